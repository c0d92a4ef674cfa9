//! Viewers and the rows that they see: the policy's rules, decided row by row.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_graphql::Name;
use async_graphql::parser::{parse_query, types::Selection};
use gom_engine::datamodel::{DataModel, FieldId, ModelId};
use gom_engine::policy::{PolicySource, RoleSource};
use gom_server::identity::{User, Viewer};
use gom_shop::customer_subject;
use serde_json::{Map, Value, json};

use gom_test_support::dice::Dice;
use gom_test_support::random::rows::holds;
use gom_test_support::random::world::World;

/// A viewer.
#[derive(Debug, Clone)]
pub struct Person {
    pub role: String,
    pub sub: String,
    /// Of a customer: whose shop the login was for.
    pub seller: String,
}

impl Person {
    /// One of those that the rows are about, or a stranger.
    pub fn any(world: &World, dice: &mut Dice) -> Person {
        let (role, model, field) = if dice.chance(65) {
            ("seller", "User", "extUid")
        } else {
            ("customer", "Bp", "uid")
        };
        let id = world.model.model_named(model).unwrap();
        let field = world.model.model(id).field_named(field).unwrap();
        let mut one_of = |model: ModelId, field: FieldId| {
            let rows = world.rows[model.0].iter();
            let known: Vec<&str> = rows.filter_map(|row| row[field.0].as_str()).collect();
            let stranger = known.is_empty() || dice.chance(3);
            if stranger {
                "nobody".to_owned()
            } else {
                (*dice.pick(&known)).to_owned()
            }
        };
        let sub = one_of(id, field);
        let sellers = world.model.model_named("User").unwrap();
        let seller = one_of(
            sellers,
            world.model.model(sellers).field_named("extUid").unwrap(),
        );
        Person {
            role: role.into(),
            sub,
            seller,
        }
    }

    /// The values of its stamps.
    pub fn subject(&self) -> String {
        if self.role == "customer" {
            customer_subject(&self.sub, &self.seller)
        } else {
            self.sub.clone()
        }
    }

    /// With every permission: what is left are the rules of rows and fields.
    pub fn viewer(&self) -> Viewer {
        let claims = json!({ "sub": self.sub, "seller": self.seller })
            .as_object()
            .cloned()
            .unwrap();
        let permissions = vec![format!("role:{}", self.role), "manage:all".to_owned()];
        let expires = SystemTime::now() + Duration::from_secs(3_600);
        Viewer::User(Arc::new(User::new(
            self.subject(),
            permissions,
            claims,
            expires,
        )))
    }

    pub fn sight(&self, policy: &PolicySource, world: &World) -> Sight {
        let role = &policy.roles[&self.role];
        let by_rows = self.within(world, |model| role.rows.get(model).map(String::as_str));
        // No further rule for writing: whatever is visible.
        let by_writes = self.within(world, |model| {
            Some(role.writes.get(model).map_or("{}", String::as_str))
        });
        let both =
            |(a, b): (&Vec<bool>, &Vec<bool>)| a.iter().zip(b).map(|(a, b)| *a && *b).collect();
        let writable = by_rows.iter().zip(&by_writes).map(both).collect();
        let views = role
            .shown
            .iter()
            .map(|(path, rule)| self.view(world, path, rule))
            .collect();
        Sight {
            visible: by_rows,
            writable,
            fields: named(role, &world.model),
            views,
        }
    }

    fn view(&self, world: &World, path: &str, rule: &str) -> View {
        let (name, field) = path.split_once('.').unwrap();
        let model = world.model.model_named(name).unwrap();
        let field = world.model.model(model).field_named(field).unwrap();
        let rows = self
            .within(world, |of| (of == name).then_some(rule))
            .swap_remove(model.0);
        let filter = self.filter(rule);
        let related = filter.as_object().unwrap().keys().any(|key| {
            let field = world
                .model
                .model(model)
                .field_named(key.split('_').next().unwrap())
                .unwrap();
            world.model.field(model, field).relation().is_some()
        });
        View {
            model,
            field,
            rows,
            related,
        }
    }

    /// By model and row whether a rule holds. It is decided with full sight.
    fn within<'a>(&self, world: &World, rule: impl Fn(&str) -> Option<&'a str>) -> Vec<Vec<bool>> {
        let of_model = |id: ModelId| {
            let filter = rule(&world.model.model(id).name).map(|rule| self.filter(rule));
            let holds = |row| {
                filter
                    .as_ref()
                    .is_some_and(|filter| holds(world, id, row, filter) == Some(true))
            };
            (0..world.rows[id.0].len()).map(holds).collect()
        };
        world.model.model_ids().map(of_model).collect()
    }

    fn filter(&self, rule: &str) -> Value {
        let document = parse_query(format!(
            "query($sub: String, $seller: String) {{ f(where: {rule}) }}"
        ))
        .unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let Selection::Field(field) = &operation.node.selection_set.node.items[0].node else {
            panic!("{rule}")
        };
        let value = field.node.arguments[0].1.node.clone();
        let claim = |name: Name| match name.as_str() {
            "sub" => Ok(self.sub.clone().into()),
            "seller" => Ok(self.seller.clone().into()),
            other => Err(other.to_owned()),
        };
        value.into_const_with(claim).unwrap().into_json().unwrap()
    }
}

/// By model, the only fields that may be named; `None`: all.
type Named = Vec<Option<Vec<FieldId>>>;

fn named(role: &RoleSource, model: &DataModel) -> Named {
    let of_model = |m: &gom_engine::datamodel::Model| {
        let names = role.fields.get(&m.name)?;
        Some(
            names
                .iter()
                .map(|name| m.field_named(name).unwrap())
                .collect(),
        )
    };
    model.models.iter().map(of_model).collect()
}

/// What there is for somebody.
pub struct Sight {
    pub visible: Vec<Vec<bool>>,
    pub writable: Vec<Vec<bool>>,
    fields: Named,
    views: Vec<View>,
}

/// A field that not every row shows.
struct View {
    model: ModelId,
    field: FieldId,
    /// By row, whether it shows it.
    rows: Vec<bool>,
    /// Whether other rows decide that.
    related: bool,
}

impl Sight {
    pub fn names(&self, model: ModelId, field: FieldId) -> bool {
        self.fields[model.0]
            .as_ref()
            .is_none_or(|fields| fields.contains(&field))
    }

    /// Whether rows can be ordered by it.
    pub fn orders(&self, model: ModelId, field: FieldId) -> bool {
        self.names(model, field)
            && !self
                .views
                .iter()
                .any(|view| (view.model, view.field) == (model, field))
    }

    /// What is shown of a row. Of one that is `gone`, nothing that other rows decide.
    pub fn cells(&self, model: ModelId, row: usize, cells: &[Value], gone: bool) -> Vec<Value> {
        let mut cells = cells.to_vec();
        for view in self.views.iter().filter(|view| view.model == model) {
            if !view.rows[row] || (gone && view.related) {
                cells[view.field.0] = Value::Null;
            }
        }
        cells
    }

    /// Whether a filter names only what may be named.
    pub fn admits(&self, model: &DataModel, of: ModelId, filter: &Value) -> bool {
        let entries: Option<&Map<String, Value>> = filter.as_object();
        entries.into_iter().flatten().all(|(key, value)| {
            if matches!(key.as_str(), "AND" | "OR" | "NOT") {
                return value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .all(|part| self.admits(model, of, part));
            }
            let field = model
                .model(of)
                .field_named(key.split('_').next().unwrap())
                .unwrap();
            let deeper = model.field(of, field).relation();
            self.names(of, field)
                && deeper.is_none_or(|relation| self.admits(model, relation.target, value))
        })
    }

    /// The world that there is for the viewer: what cannot be seen is not in it, nor any link to it.
    pub fn narrow(&self, world: &World) -> World {
        let mut places: Vec<Vec<Option<usize>>> = Vec::new();
        let mut rows = Vec::new();
        for (model, (of_model, visible)) in world.rows.iter().zip(&self.visible).enumerate() {
            let mut next = 0..;
            places.push(
                visible
                    .iter()
                    .map(|visible| visible.then(|| next.next().unwrap()))
                    .collect(),
            );
            let kept = of_model
                .iter()
                .enumerate()
                .zip(visible)
                .filter(|(_, visible)| **visible);
            rows.push(
                kept.map(|((row, cells), _)| self.cells(ModelId(model), row, cells, false))
                    .collect(),
            );
        }
        let links = world
            .model
            .relations
            .iter()
            .zip(&world.links)
            .map(|(relation, links)| {
                let seen = |(a, b): &(usize, usize)| {
                    Some((
                        places[relation.a.model.0][*a]?,
                        places[relation.b.model.0][*b]?,
                    ))
                };
                links.iter().filter_map(seen).collect()
            });
        let links = links.collect();
        World {
            model: world.model.clone(),
            rows,
            links,
        }
    }
}
