//! Random documents: several root fields, each with a selection of its own, with lists, pages and filters at every depth.

use gom_engine::datamodel::{FieldId, FieldKind, ModelId, ScalarType};
use gom_engine::schema::{ObjectId, OutputMeaning, Schema};
use serde_json::{Map, Value, json};

use crate::shops;
use gom_test_support::dice::Dice;
use gom_test_support::random::rows::Page;
use gom_test_support::random::world::World;

const DEPTH: usize = 3;

/// A field of a selection.
#[derive(Debug, Clone)]
pub struct Selected {
    pub key: String,
    pub name: String,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Column(FieldId),
    ToOne(FieldId, Vec<Selected>),
    ToMany(FieldId, ModelId, Page, Vec<Selected>),
    One(ModelId, FieldId, Value, Vec<Selected>),
    Many(ModelId, Page, Vec<Selected>),
    Connection(ModelId, Page, Vec<Selected>),
}

/// Makes requests about the rows of a world, the hidden ones too: guessed ids must reveal nothing.
pub struct Asker<'a> {
    pub world: &'a World,
    pub schema: &'a Schema,
    pub dice: &'a mut Dice,
    keys: usize,
}

impl<'a> Asker<'a> {
    pub fn new(world: &'a World, schema: &'a Schema, dice: &'a mut Dice) -> Self {
        Asker {
            world,
            schema,
            dice,
            keys: 0,
        }
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("k{}", self.keys)
    }

    pub fn query(&mut self) -> Vec<Selected> {
        (0..self.dice.between(1, 2)).map(|_| self.root()).collect()
    }

    fn root(&mut self) -> Selected {
        let model = self.model();
        let (key, depth) = (self.key(), self.dice.between(0, DEPTH));
        let selection = self.selection(model, depth);
        let (meaning, what) = match self.dice.below(5) {
            0 => {
                let (field, value) = self.unique(model);
                (
                    OutputMeaning::FindOne(model),
                    What::One(model, field, value, selection),
                )
            }
            1 | 2 => (
                OutputMeaning::FindMany(model),
                What::Many(model, self.page(model), selection),
            ),
            _ => (
                OutputMeaning::Connection(model),
                What::Connection(model, self.page(model), selection),
            ),
        };
        Selected {
            key,
            name: field_of(self.schema, self.schema.query, meaning),
            what,
        }
    }

    pub fn model(&mut self) -> ModelId {
        ModelId(self.dice.below(self.world.model.models.len()))
    }

    /// A unique field and a value, most often that of a row.
    pub fn unique(&mut self, model: ModelId) -> (FieldId, Value) {
        let definition = self.world.model.model(model);
        let fields: Vec<FieldId> = definition
            .field_ids()
            .filter(|f| {
                *f == definition.id || (definition.field(*f).unique && self.dice.chance(40))
            })
            .collect();
        let field = *self.dice.pick(&fields);
        (
            field,
            self.stored(model, field)
                .filter(|v| !v.is_null())
                .unwrap_or(json!("nobody's")),
        )
    }

    fn stored(&mut self, model: ModelId, field: FieldId) -> Option<Value> {
        let rows = &self.world.rows[model.0];
        (!rows.is_empty() && self.dice.chance(95)).then(|| self.dice.pick(rows)[field.0].clone())
    }

    /// At least the id.
    pub fn selection(&mut self, model: ModelId, depth: usize) -> Vec<Selected> {
        let definition = self.world.model.model(model);
        let mut selection = Vec::new();
        for id in definition.field_ids() {
            let field = definition.field(id);
            let name = field.name.clone();
            let Some(relation) = field.relation() else {
                // Few, as most do not say whose the row is.
                if id == definition.id || self.dice.chance(12) {
                    selection.push(Selected {
                        key: self.key(),
                        name,
                        what: What::Column(id),
                    });
                }
                continue;
            };
            if depth == 0 || !self.dice.chance(55) {
                continue;
            }
            let deeper = self.selection(relation.target, depth - 1);
            let what = if field.list {
                What::ToMany(id, relation.target, self.page(relation.target), deeper)
            } else {
                What::ToOne(id, deeper)
            };
            selection.push(Selected {
                key: self.key(),
                name,
                what,
            });
        }
        selection
    }

    pub fn page(&mut self, model: ModelId) -> Page {
        let mut page = Page::default();
        if self.dice.chance(45) {
            page.filter = self.filter(model, 2);
        }
        let definition = self.world.model.model(model);
        if self.dice.chance(30) {
            let columns: Vec<FieldId> = definition
                .field_ids()
                .filter(|f| definition.field(*f).is_column())
                .collect();
            page.order = Some((*self.dice.pick(&columns), self.dice.chance(50)));
        }
        match self.dice.below(10) {
            0 | 1 => page.first = Some(self.dice.below(5)),
            2 | 3 => page.last = Some(self.dice.below(5)),
            _ => {}
        }
        if self.dice.chance(15) {
            page.skip = Some(self.dice.below(3));
        }
        let cursor = |asker: &mut Self| {
            asker
                .stored(model, definition.id)
                .and_then(|v| v.as_str().map(str::to_owned))
        };
        if self.dice.chance(15) {
            page.after = cursor(self);
        }
        if self.dice.chance(10) {
            page.before = cursor(self);
        }
        page
    }

    pub fn filter(&mut self, model: ModelId, depth: usize) -> Value {
        let definition = self.world.model.model(model);
        let mut entries = Map::new();
        for _ in 0..self.dice.between(1, 2) {
            if depth > 0 && self.dice.chance(20) {
                let parts: Vec<Value> = (0..self.dice.between(1, 2))
                    .map(|_| self.filter(model, depth - 1))
                    .collect();
                entries.insert(
                    (*self.dice.pick(&["AND", "OR", "NOT"])).into(),
                    Value::Array(parts),
                );
                continue;
            }
            let id = FieldId(self.dice.below(definition.fields.len()));
            let field = definition.field(id);
            match field.relation() {
                Some(_) if depth == 0 => {}
                Some(relation) => {
                    let inner = if self.dice.chance(30) {
                        json!({})
                    } else {
                        self.filter(relation.target, depth - 1)
                    };
                    let (key, inner) = if field.list {
                        (
                            format!(
                                "{}_{}",
                                field.name,
                                self.dice.pick(&["some", "every", "none"])
                            ),
                            inner,
                        )
                    } else if self.dice.chance(20) {
                        (field.name.clone(), Value::Null)
                    } else {
                        (field.name.clone(), inner)
                    };
                    entries.insert(key, inner);
                }
                None => {
                    let (key, value) = self.comparison(model, id);
                    entries.insert(key, value);
                }
            }
        }
        Value::Object(entries)
    }

    fn comparison(&mut self, model: ModelId, id: FieldId) -> (String, Value) {
        let field = self.world.model.field(model, id);
        let operators: &[&str] = match field.kind {
            FieldKind::Scalar(ScalarType::Id | ScalarType::String) => &[
                "",
                "_not",
                "_in",
                "_not_in",
                "_lt",
                "_gte",
                "_contains",
                "_not_contains",
                "_starts_with",
                "_ends_with",
            ],
            FieldKind::Scalar(ScalarType::Boolean) | FieldKind::Enum(_) => &["", "_not"],
            _ => &["", "_not", "_in", "_not_in", "_lt", "_lte", "_gt", "_gte"],
        };
        let operator = *self.dice.pick(operators);
        let mut one = || {
            let stored = self.stored(model, id).filter(|value| !value.is_null());
            stored.unwrap_or_else(|| {
                shops::value(
                    &self.world.model,
                    self.world.model.field(model, id),
                    self.dice,
                )
            })
        };
        let value = match operator {
            "_in" | "_not_in" => json!([one(), one()]),
            "_contains" | "_not_contains" | "_starts_with" | "_ends_with" => {
                let text = one().as_str().unwrap().to_owned();
                json!(text.chars().take(2).collect::<String>())
            }
            _ => one(),
        };
        let value = if !field.required && matches!(operator, "" | "_not") && self.dice.chance(20) {
            Value::Null
        } else {
            value
        };
        (format!("{}{operator}", field.name), value)
    }
}

/// The name of the field with that meaning.
pub fn field_of(schema: &Schema, object: ObjectId, meaning: OutputMeaning) -> String {
    let fields = &schema.object(object).fields;
    fields
        .iter()
        .find(|(_, field)| field.meaning == meaning)
        .map(|(name, _)| name.clone())
        .unwrap()
}

/// A document with its variables.
#[derive(Debug, Default)]
pub struct Document {
    declared: Vec<String>,
    pub variables: Map<String, Value>,
}

impl Document {
    pub fn of(kind: &str, world: &World, fields: &[Selected]) -> (String, Map<String, Value>) {
        let mut document = Document::default();
        let body = document.selection(world, fields);
        (document.text(kind, &body), document.variables)
    }

    pub fn text(&self, kind: &str, body: &str) -> String {
        let declared = self.declared.join(", ");
        let declared = if declared.is_empty() {
            declared
        } else {
            format!("({declared})")
        };
        format!("{kind}{declared} {body}")
    }

    pub fn variable(&mut self, ty: &str, value: Value) -> String {
        let name = format!("v{}", self.declared.len());
        self.declared.push(format!("${name}: {ty}"));
        self.variables.insert(name.clone(), value);
        format!("${name}")
    }

    pub fn selection(&mut self, world: &World, fields: &[Selected]) -> String {
        let fields: Vec<String> = fields
            .iter()
            .map(|field| {
                let rest = match &field.what {
                    What::Column(_) => String::new(),
                    What::ToOne(_, deeper) => format!(" {}", self.selection(world, deeper)),
                    What::ToMany(_, target, page, deeper) => self.list(world, *target, page, deeper),
                    What::One(model, unique, value, deeper) => {
                        let name = &world.model.field(*model, *unique).name;
                        let ty = format!("{}WhereUniqueInput!", world.model.model(*model).name);
                        let given = self.variable(&ty, json!({ name: value }));
                        format!("(where: {given}) {}", self.selection(world, deeper))
                    }
                    What::Many(model, page, deeper) => self.list(world, *model, page, deeper),
                    What::Connection(model, page, deeper) => {
                        let arguments = self.arguments(world, *model, page);
                        format!(
                            "{arguments} {{ pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} \
                             edges {{ cursor node {} }} aggregate {{ count }} }}",
                            self.selection(world, deeper)
                        )
                    }
                };
                format!("{}: {}{rest}", field.key, field.name)
            })
            .collect();
        format!("{{ {} }}", fields.join(" "))
    }

    fn list(&mut self, world: &World, model: ModelId, page: &Page, deeper: &[Selected]) -> String {
        format!(
            "{} {}",
            self.arguments(world, model, page),
            self.selection(world, deeper)
        )
    }

    fn arguments(&mut self, world: &World, model: ModelId, page: &Page) -> String {
        let definition = world.model.model(model);
        let name = &definition.name;
        let mut arguments = Vec::new();
        if !page.filter.is_null() {
            let given = self.variable(&format!("{name}WhereInput"), page.filter.clone());
            arguments.push(format!("where: {given}"));
        }
        if let Some((field, descends)) = page.order {
            let direction = if descends { "DESC" } else { "ASC" };
            arguments.push(format!(
                "orderBy: {}_{direction}",
                definition.field(field).name
            ));
        }
        for (argument, count) in [
            ("skip", page.skip),
            ("first", page.first),
            ("last", page.last),
        ] {
            arguments.extend(count.map(|count| format!("{argument}: {count}")));
        }
        for (argument, cursor) in [("after", &page.after), ("before", &page.before)] {
            arguments.extend(
                cursor
                    .as_ref()
                    .map(|cursor| format!("{argument}: {}", json!(cursor))),
            );
        }
        if arguments.is_empty() {
            String::new()
        } else {
            format!("({})", arguments.join(", "))
        }
    }
}
