//! Who looks, and what there is for them: the policy's rules, decided row by row.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_graphql::Name;
use async_graphql::parser::{parse_query, types::Selection};
use gom::identity::{User, Viewer};
use gom_engine::datamodel::{DataModel, FieldId, ModelId};
use gom_engine::policy::{PolicySource, RoleSource};
use serde_json::{Map, Value, json};

use crate::dice::Dice;
use crate::rows::holds;
use crate::world::World;

/// Somebody who asks.
#[derive(Debug, Clone)]
pub struct Person {
    pub role: String,
    pub sub: String,
}

impl Person {
    /// One of those that the rows are about, or a stranger.
    pub fn any(world: &World, dice: &mut Dice) -> Person {
        let (role, model, field) =
            if dice.chance(65) { ("seller", "User", "extUid") } else { ("customer", "Bp", "uid") };
        let id = world.model.model_named(model).unwrap();
        let field = world.model.model(id).field_named(field).unwrap();
        let known: Vec<&str> = world.rows[id.0].iter().filter_map(|row| row[field.0].as_str()).collect();
        let stranger = known.is_empty() || dice.chance(3);
        let sub = if stranger { "nobody" } else { *dice.pick(&known) };
        Person { role: role.into(), sub: sub.into() }
    }

    /// With every permission: what is left are the rules of rows and fields.
    pub fn viewer(&self) -> Viewer {
        let claims = json!({ "sub": self.sub }).as_object().cloned().unwrap();
        let permissions = vec![format!("role:{}", self.role), "manage:all".to_owned()];
        let expires = SystemTime::now() + Duration::from_secs(3_600);
        Viewer::User(Arc::new(User::new(self.sub.clone(), permissions, claims, expires)))
    }

    pub fn sight(&self, policy: &PolicySource, world: &World) -> Sight {
        let role = &policy.roles[&self.role];
        let by_rows = self.within(world, |model| role.rows.get(model).map(String::as_str));
        // No further rule for writing: whatever is visible.
        let by_writes = self.within(world, |model| Some(role.writes.get(model).map_or("{}", String::as_str)));
        let both = |(a, b): (&Vec<bool>, &Vec<bool>)| a.iter().zip(b).map(|(a, b)| *a && *b).collect();
        let writable = by_rows.iter().zip(&by_writes).map(both).collect();
        Sight { visible: by_rows, writable, fields: named(role, &world.model) }
    }

    /// By model and row whether a rule holds. It is decided with full sight.
    fn within<'a>(&self, world: &World, rule: impl Fn(&str) -> Option<&'a str>) -> Vec<Vec<bool>> {
        let of_model = |id: ModelId| {
            let filter = rule(&world.model.model(id).name).map(|rule| self.filter(rule));
            let holds =
                |row| filter.as_ref().is_some_and(|filter| holds(world, id, row, filter) == Some(true));
            (0..world.rows[id.0].len()).map(holds).collect()
        };
        world.model.model_ids().map(of_model).collect()
    }

    fn filter(&self, rule: &str) -> Value {
        let document = parse_query(format!("query($sub: String) {{ f(where: {rule}) }}")).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let Selection::Field(field) = &operation.node.selection_set.node.items[0].node else {
            panic!("{rule}")
        };
        let value = field.node.arguments[0].1.node.clone();
        let claim = |name: Name| match name.as_str() {
            "sub" => Ok(self.sub.clone().into()),
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
        Some(names.iter().map(|name| m.field_named(name).unwrap()).collect())
    };
    model.models.iter().map(of_model).collect()
}

/// What there is for somebody.
pub struct Sight {
    pub visible: Vec<Vec<bool>>,
    pub writable: Vec<Vec<bool>>,
    fields: Named,
}

impl Sight {
    pub fn names(&self, model: ModelId, field: FieldId) -> bool {
        self.fields[model.0].as_ref().is_none_or(|fields| fields.contains(&field))
    }

    /// Whether a filter names only what may be named.
    pub fn admits(&self, model: &DataModel, of: ModelId, filter: &Value) -> bool {
        let entries: Option<&Map<String, Value>> = filter.as_object();
        entries.into_iter().flatten().all(|(key, value)| {
            if matches!(key.as_str(), "AND" | "OR" | "NOT") {
                return value.as_array().into_iter().flatten().all(|part| self.admits(model, of, part));
            }
            let field = model.model(of).field_named(key.split('_').next().unwrap()).unwrap();
            let deeper = model.field(of, field).relation();
            self.names(of, field) && deeper.is_none_or(|relation| self.admits(model, relation.target, value))
        })
    }

    /// The world that there is for the viewer: what cannot be seen is not in it, nor any link to it.
    pub fn narrow(&self, world: &World) -> World {
        let mut places: Vec<Vec<Option<usize>>> = Vec::new();
        let mut rows = Vec::new();
        for (of_model, visible) in world.rows.iter().zip(&self.visible) {
            let mut next = 0..;
            places.push(visible.iter().map(|visible| visible.then(|| next.next().unwrap())).collect());
            let kept = of_model.iter().zip(visible).filter(|(_, visible)| **visible);
            rows.push(kept.map(|(row, _)| row.clone()).collect());
        }
        let links = world.model.relations.iter().zip(&world.links).map(|(relation, links)| {
            let seen = |(a, b): &(usize, usize)| {
                Some((places[relation.a.model.0][*a]?, places[relation.b.model.0][*b]?))
            };
            links.iter().filter_map(seen).collect()
        });
        let links = links.collect();
        World { model: world.model.clone(), rows, links }
    }
}
