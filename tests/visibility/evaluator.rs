//! What a query answers, by the policy's own words: what the same query answers to somebody who may see everything, in a
//! world in which there is nothing but what the viewer may see.

use std::collections::BTreeSet;

use gom_engine::datamodel::{FieldId, ModelId};
use gom_engine::schema::{ObjectId, Schema, TypeRef};
use serde_json::{Map, Value, json};

use crate::requests::{Selected, What};
use crate::sight::Sight;
use gom_test_support::random::rows::{Page, cursor, page};
use gom_test_support::random::world::World;

/// An answer and where errors are, all `FORBIDDEN`.
#[derive(Debug, PartialEq)]
pub struct Expected {
    pub data: Value,
    pub errors: BTreeSet<String>,
}

/// Null has to go further up.
struct Propagate;

pub struct Evaluator<'a> {
    schema: &'a Schema,
    /// Narrowed to what the viewer may see.
    world: &'a World,
    sight: &'a Sight,
    path: Vec<String>,
    errors: BTreeSet<String>,
}

impl<'a> Evaluator<'a> {
    pub fn new(schema: &'a Schema, world: &'a World, sight: &'a Sight) -> Self {
        Evaluator {
            schema,
            world,
            sight,
            path: Vec::new(),
            errors: BTreeSet::new(),
        }
    }

    pub fn query(mut self, fields: &[Selected]) -> Expected {
        let mut data = Map::new();
        let mut whole = true;
        for field in fields {
            match self.within(field, |e| e.root(field)) {
                Ok(value) => {
                    data.insert(field.key.clone(), value);
                }
                Err(Propagate) => whole = false,
            }
        }
        let data = if whole {
            Value::Object(data)
        } else {
            Value::Null
        };
        Expected {
            data,
            errors: self.errors,
        }
    }

    /// The answer of a mutation's field that shows one row.
    pub fn row(
        mut self,
        key: &str,
        nullable: bool,
        model: ModelId,
        row: usize,
        fields: &[Selected],
    ) -> Expected {
        self.path.push(key.to_owned());
        let data = match self.object(model, row, fields) {
            Ok(value) => json!({ key: value }),
            Err(Propagate) if nullable => json!({ key: null }),
            Err(Propagate) => Value::Null,
        };
        Expected {
            data,
            errors: self.errors,
        }
    }

    /// The answer of a deletion: the row as it was, its partners as they are. `link`: by field, the partner that its own
    /// columns led to.
    pub fn deleted(
        mut self,
        key: &str,
        model: ModelId,
        cells: &[Value],
        link: impl Fn(FieldId) -> Option<usize>,
        fields: &[Selected],
    ) -> Expected {
        self.path.push(key.to_owned());
        let object = self.schema.object_of(model);
        let (mut shown, mut whole) = (Map::new(), true);
        for field in fields {
            let nullable = self.is_nullable(object, &field.name);
            let value = self.within(field, |e| match &field.what {
                What::Column(id) => Ok(cells[id.0].clone()),
                What::ToMany(..) => Ok(json!([])),
                What::ToOne(id, deeper) => {
                    let target = e.world.model.field(model, *id).relation().unwrap().target;
                    match link(*id) {
                        Some(partner) => e.object(target, partner, deeper),
                        None if nullable => Ok(Value::Null),
                        None => {
                            e.forbid();
                            Err(Propagate)
                        }
                    }
                }
                other => panic!("{other:?}"),
            });
            match value {
                Err(Propagate) if !nullable => whole = false,
                value => _ = shown.insert(field.key.clone(), value.unwrap_or_default()),
            }
        }
        let data = if whole {
            Value::Object(shown)
        } else {
            Value::Null
        };
        Expected {
            data: json!({ key: data }),
            errors: self.errors,
        }
    }

    fn within<T>(&mut self, field: &Selected, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(field.key.clone());
        let result = inner(self);
        self.path.pop();
        result
    }

    fn root(&mut self, field: &Selected) -> Result<Value, Propagate> {
        let nullable = self.is_nullable(self.schema.query, &field.name);
        if !self.may_ask(field) {
            self.forbid();
            return if nullable {
                Ok(Value::Null)
            } else {
                Err(Propagate)
            };
        }
        let all = |e: &Self, model: ModelId| (0..e.world.rows[model.0].len()).collect::<Vec<_>>();
        let shown = match &field.what {
            What::One(model, unique, value, fields) => {
                let found = all(self, *model)
                    .into_iter()
                    .find(|r| self.world.rows[model.0][*r][unique.0] == *value);
                found.map_or(Ok(Value::Null), |row| self.object(*model, row, fields))
            }
            What::Many(model, arguments, fields) => {
                let (rows, _) = page(self.world, *model, &all(self, *model), arguments);
                self.list(
                    self.has_nullable_items(self.schema.query, &field.name),
                    *model,
                    &rows,
                    fields,
                )
            }
            What::Connection(model, arguments, fields) => {
                let (rows, more) = page(self.world, *model, &all(self, *model), arguments);
                self.connection(*model, &rows, more, arguments, fields)
            }
            other => panic!("{other:?}"),
        };
        match shown {
            Err(Propagate) if nullable => Ok(Value::Null),
            shown => shown,
        }
    }

    fn forbid(&mut self) {
        self.errors.insert(self.path.join("."));
    }

    /// Whether a field, its arguments and all below name only what the viewer may name.
    pub fn may_ask(&self, field: &Selected) -> bool {
        let model = &self.world.model;
        let page = |of: ModelId, page: &Page| {
            let order = page
                .order
                .is_none_or(|(field, _)| self.sight.orders(of, field));
            order && self.sight.admits(model, of, &page.filter)
        };
        match &field.what {
            What::One(of, unique, _, fields) => {
                self.sight.names(*of, *unique) && self.may_ask_all(*of, fields)
            }
            What::Many(of, arguments, fields) | What::Connection(of, arguments, fields) => {
                page(*of, arguments) && self.may_ask_all(*of, fields)
            }
            What::ToMany(_, of, arguments, fields) => {
                page(*of, arguments) && self.may_ask_all(*of, fields)
            }
            What::Column(_) | What::ToOne(..) => true,
        }
    }

    pub fn may_ask_all(&self, of: ModelId, fields: &[Selected]) -> bool {
        fields.iter().all(|field| match &field.what {
            What::Column(id) => self.sight.names(of, *id),
            What::ToOne(id, deeper) => {
                let target = self.world.model.field(of, *id).relation().unwrap().target;
                self.sight.names(of, *id) && self.may_ask_all(target, deeper)
            }
            What::ToMany(id, ..) => self.sight.names(of, *id) && self.may_ask(field),
            _ => true,
        })
    }

    fn is_nullable(&self, object: ObjectId, field: &str) -> bool {
        !matches!(
            self.schema.object(object).fields[field].ty,
            TypeRef::NonNull(_)
        )
    }

    fn has_nullable_items(&self, object: ObjectId, field: &str) -> bool {
        let ty = &self.schema.object(object).fields[field].ty;
        let list = if let TypeRef::NonNull(list) = ty {
            list
        } else {
            ty
        };
        matches!(list, TypeRef::List(item) if !matches!(**item, TypeRef::NonNull(_)))
    }

    /// A row that cannot be shown takes the list with it, unless rows of this list may be null.
    fn list(
        &mut self,
        nullable_items: bool,
        model: ModelId,
        rows: &[usize],
        fields: &[Selected],
    ) -> Result<Value, Propagate> {
        let mut list = Vec::new();
        let mut whole = true;
        for (position, row) in rows.iter().enumerate() {
            self.path.push(position.to_string());
            match self.object(model, *row, fields) {
                Ok(value) => list.push(value),
                Err(Propagate) if nullable_items => list.push(Value::Null),
                Err(Propagate) => whole = false,
            }
            self.path.pop();
        }
        if whole {
            Ok(Value::Array(list))
        } else {
            Err(Propagate)
        }
    }

    fn connection(
        &mut self,
        model: ModelId,
        rows: &[usize],
        more: bool,
        arguments: &Page,
        fields: &[Selected],
    ) -> Result<Value, Propagate> {
        let ids: Vec<String> = rows
            .iter()
            .map(|row| cursor(self.world.id(model, *row)))
            .collect();
        let mut edges = Vec::new();
        self.path.push("edges".into());
        for (position, row) in rows.iter().enumerate() {
            self.path.extend([position.to_string(), "node".to_owned()]);
            // Prisma's edges may be null in their list; a node may not be null in its edge.
            let node = self.object(model, *row, fields);
            edges.push(node.map_or(
                Value::Null,
                |node| json!({ "cursor": ids[position], "node": node }),
            ));
            self.path.truncate(self.path.len() - 2);
        }
        self.path.pop();
        Ok(json!({
            "pageInfo": {
                "hasNextPage": more && arguments.first.is_some(),
                "hasPreviousPage": more && arguments.last.is_some(),
                "startCursor": ids.first(),
                "endCursor": ids.last(),
            },
            "edges": edges,
            "aggregate": { "count": rows.len() },
        }))
    }

    fn object(
        &mut self,
        model: ModelId,
        row: usize,
        fields: &[Selected],
    ) -> Result<Value, Propagate> {
        let object = self.schema.object_of(model);
        let mut shown = Map::new();
        let mut whole = true;
        for field in fields {
            let nullable = self.is_nullable(object, &field.name);
            let value = self.within(field, |e| match &field.what {
                What::Column(id) => Ok(e.world.rows[model.0][row][id.0].clone()),
                What::ToOne(id, deeper) => {
                    let relation = e.world.model.field(model, *id).relation().unwrap();
                    match e.world.partners(relation, row).first() {
                        Some(partner) => e.object(relation.target, *partner, deeper),
                        None if nullable => Ok(Value::Null),
                        None => {
                            e.forbid();
                            Err(Propagate)
                        }
                    }
                }
                What::ToMany(id, target, arguments, deeper) => {
                    let relation = e.world.model.field(model, *id).relation().unwrap();
                    let partners = e.world.partners(relation, row);
                    let (rows, _) = page(e.world, *target, &partners, arguments);
                    e.list(
                        e.has_nullable_items(object, &field.name),
                        *target,
                        &rows,
                        deeper,
                    )
                }
                other => panic!("{other:?}"),
            });
            match value {
                Err(Propagate) if nullable => {
                    shown.insert(field.key.clone(), Value::Null);
                }
                Ok(value) => {
                    shown.insert(field.key.clone(), value);
                }
                Err(Propagate) => whole = false,
            }
        }
        if whole {
            Ok(Value::Object(shown))
        } else {
            Err(Propagate)
        }
    }
}
