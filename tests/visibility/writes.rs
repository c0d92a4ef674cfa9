//! Random mutations, made from the API's own input types: every kind of nested write, of rows that the viewer may write and of
//! others.

use gom_engine::datamodel::{FieldId, ModelId};
use gom_engine::schema::{InputField, InputId, InputMeaning, OutputMeaning, TypeRef};
use serde_json::{Map, Value, json};

use crate::requests::{Asker, Document, Selected};
use crate::shops;
use crate::sight::Sight;

/// How deep nested writes go.
const DEPTH: usize = 2;
pub const KEY: &str = "written";

/// A mutation of one field.
#[derive(Debug, Clone)]
pub struct Write {
    pub name: String,
    pub meaning: OutputMeaning,
    pub arguments: Map<String, Value>,
    /// What is selected of the row; nothing of a mutation of many.
    pub fields: Vec<Selected>,
}

impl Write {
    /// The model of the rows that it is about.
    pub fn model(&self) -> ModelId {
        model_of(self.meaning)
    }

    pub fn is_of_many(&self) -> bool {
        is_of_many(self.meaning)
    }

    pub fn document(&self, asker: &Asker<'_>) -> (String, Map<String, Value>) {
        let mut document = Document::default();
        let schema = asker.schema;
        let types = &schema.object(schema.mutation).fields[&self.name].args;
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .map(|(name, value)| {
                let ty = schema.type_text(&types[name].ty);
                format!("{name}: {}", document.variable(&ty, value.clone()))
            })
            .collect();
        let arguments = if arguments.is_empty() {
            String::new()
        } else {
            format!("({})", arguments.join(", "))
        };
        let selection = match self.is_of_many() {
            true => "{ count }".to_owned(),
            false => document.selection(asker.world, &self.fields),
        };
        (
            document.text(
                "mutation",
                &format!("{{ {KEY}: {}{arguments} {selection} }}", self.name),
            ),
            document.variables,
        )
    }
}

/// Makes writes for somebody.
pub struct Author<'a, 'w> {
    pub asker: &'a mut Asker<'w>,
    pub sight: &'a Sight,
    /// New rows need names that no other has, over all writes on the same rows.
    pub fresh: &'a mut usize,
    /// The rows that are linked to the row in whose data a nested write stands: it most often means one of them.
    pub linked: Vec<(ModelId, usize)>,
    /// To whom most new rows are tied by a field `owner`, if there is one.
    pub owner: Option<Value>,
}

impl<'a, 'w> Author<'a, 'w> {
    pub fn new(asker: &'a mut Asker<'w>, sight: &'a Sight, fresh: &'a mut usize) -> Self {
        Author {
            asker,
            sight,
            fresh,
            linked: Vec::new(),
            owner: None,
        }
    }

    /// One of these operations.
    pub fn write(&mut self, operations: &[String]) -> Write {
        let schema = self.asker.schema;
        loop {
            let name = self.asker.dice.pick(operations).clone();
            let field = &schema.object(schema.mutation).fields[&name];
            // Rarer: they leave little for the others.
            let rare = matches!(
                field.meaning,
                OutputMeaning::DeleteMany(_) | OutputMeaning::Delete(_)
            );
            if rare && self.asker.dice.chance(50) {
                continue;
            }
            let mut arguments = Map::new();
            let mut row = None;
            if let Some(definition) = field
                .args
                .get("where")
                .filter(|_| !is_of_many(field.meaning))
            {
                let unique = self.value(&definition.ty, DEPTH);
                row = self.row_of(model_of(field.meaning), &unique);
                arguments.insert("where".into(), unique);
            }
            for (argument, definition) in &field.args {
                if arguments.contains_key(argument) {
                    continue;
                }
                self.linked = match argument.as_str() {
                    "data" | "update" => row.map(|row| self.partners(model_of(field.meaning), row)),
                    _ => None,
                }
                .unwrap_or_default();
                if is_required(definition) || self.asker.dice.chance(80) {
                    arguments.insert(argument.clone(), self.value(&definition.ty, DEPTH));
                }
            }
            let mut write = Write {
                name,
                meaning: field.meaning,
                arguments,
                fields: Vec::new(),
            };
            if !write.is_of_many() {
                let depth = self.asker.dice.below(3);
                write.fields = self.asker.selection(write.model(), depth);
            }
            return write;
        }
    }

    fn value(&mut self, ty: &TypeRef, depth: usize) -> Value {
        match ty {
            TypeRef::NonNull(inner) => self.value(inner, depth),
            TypeRef::List(inner) => (0..self.asker.dice.between(1, 2))
                .map(|_| self.value(inner, depth))
                .collect(),
            TypeRef::Input(id) => self.input(*id, depth),
            // `disconnect: true`, `delete: true`
            _ => json!(true),
        }
    }

    fn input(&mut self, id: InputId, depth: usize) -> Value {
        let schema = self.asker.schema;
        let input = schema.input(id);
        if input.name.ends_with("WhereUniqueInput") {
            let (field, value) = self.unique(input.model);
            return json!({ &self.asker.world.model.field(input.model, field).name: value });
        }
        if input.name.ends_with("WhereInput") {
            let depth = usize::from(!input.name.ends_with("ScalarWhereInput"));
            return self.asker.filter(input.model, depth);
        }
        let is_data = |field: &InputField| {
            matches!(
                field.meaning,
                InputMeaning::Value(_) | InputMeaning::ListValue(_) | InputMeaning::Relation(_)
            )
        };
        if input.fields.values().all(is_data) {
            return self.data(id, depth);
        }
        // `where` and `data` of a nested write; or the nested writes themselves, of which none is required.
        let all = input.fields.values().any(is_required);
        let mut given = Map::new();
        for (name, field) in &input.fields {
            if all {
                given.insert(name.clone(), self.value(&field.ty, depth));
            }
        }
        if all {
            Value::Object(given)
        } else {
            self.nested(id, depth, false)
        }
    }

    fn nested(&mut self, id: InputId, depth: usize, required: bool) -> Value {
        let fields: Vec<(&String, &InputField)> =
            self.asker.schema.input(id).fields.iter().collect();
        let mut given = Map::new();
        for _ in 0..if self.asker.dice.chance(15) { 2 } else { 1 } {
            let connects = (required || depth == 0)
                && self.asker.dice.chance(if depth == 0 { 100 } else { 60 });
            let connect = fields
                .iter()
                .find(|(_, field)| field.meaning == InputMeaning::Connect);
            let (name, field) = match connect {
                Some(connect) if connects => *connect,
                // To what is there already; otherwise most of them would name what is not linked.
                _ if !self.linked.is_empty() && self.asker.dice.chance(35) => {
                    let verb = *self
                        .asker
                        .dice
                        .pick(&["connect", "set", "disconnect", "update"]);
                    let chosen = fields.iter().find(|(name, _)| name.as_str() == verb);
                    *chosen.unwrap_or_else(|| self.asker.dice.pick(&fields))
                }
                _ => *self.asker.dice.pick(&fields),
            };
            given.insert(name.clone(), self.value(&field.ty, depth.saturating_sub(1)));
        }
        Value::Object(given)
    }

    fn data(&mut self, id: InputId, depth: usize) -> Value {
        let schema = self.asker.schema;
        let input = schema.input(id);
        let mut given = Map::new();
        for (name, field) in &input.fields {
            let required = is_required(field);
            if let Some(owner) = self
                .owner
                .as_ref()
                .filter(|_| name == "owner" && input.name.contains("Create"))
                && self.asker.dice.chance(75)
            {
                given.insert(name.clone(), json!({ "connect": owner }));
                continue;
            }
            match field.meaning {
                InputMeaning::Value(column) => {
                    let chance = if name.ends_with("By") { 10 } else { 40 };
                    if required || self.asker.dice.chance(chance) {
                        given.extend(
                            self.column(input.model, column, required)
                                .map(|value| (name.clone(), value)),
                        );
                    }
                }
                InputMeaning::Relation(_)
                    if required || (depth > 0 && self.asker.dice.chance(22)) =>
                {
                    let ty = if let TypeRef::NonNull(inner) = &field.ty {
                        inner
                    } else {
                        &field.ty
                    };
                    if let TypeRef::Input(nested) = ty {
                        given.insert(name.clone(), self.nested(*nested, depth, required));
                    }
                }
                _ => {}
            }
        }
        Value::Object(given)
    }

    fn column(&mut self, model: ModelId, column: FieldId, required: bool) -> Option<Value> {
        let definition = self.asker.world.model.model(model);
        let field = definition.field(column);
        if column == definition.id || field.unique {
            return (required || self.asker.dice.chance(25)).then(|| {
                *self.fresh += 1;
                // Now and then one that is taken.
                if self.asker.dice.chance(8) {
                    self.unique(model).1
                } else {
                    json!(format!("new{}", self.fresh))
                }
            });
        }
        if !required && self.asker.dice.chance(15) && !field.required {
            return Some(Value::Null);
        }
        Some(shops::value(
            &self.asker.world.model,
            field,
            self.asker.dice,
        ))
    }

    fn row_of(&self, model: ModelId, unique: &Value) -> Option<usize> {
        let world = self.asker.world;
        let (name, value) = unique.as_object()?.iter().next()?;
        let field = world.model.model(model).field_named(name)?;
        world.rows[model.0]
            .iter()
            .position(|cells| cells[field.0] == *value)
    }

    fn partners(&self, model: ModelId, row: usize) -> Vec<(ModelId, usize)> {
        let world = self.asker.world;
        let relations = world
            .model
            .model(model)
            .fields
            .iter()
            .filter_map(|field| field.relation());
        let partners = relations.map(|to| {
            world
                .partners(to, row)
                .into_iter()
                .map(move |row| (to.target, row))
        });
        partners.flatten().collect()
    }

    /// Most often of a row that the viewer may see.
    fn unique(&mut self, model: ModelId) -> (FieldId, Value) {
        let linked: Vec<usize> = self
            .linked
            .iter()
            .filter(|(of, _)| *of == model)
            .map(|(_, row)| *row)
            .collect();
        if !linked.is_empty() && self.asker.dice.chance(60) {
            let row = *self.asker.dice.pick(&linked);
            return (
                self.asker.world.model.model(model).id,
                self.asker.world.id(model, row).clone(),
            );
        }
        let own: Vec<usize> = (0..self.sight.visible[model.0].len())
            .filter(|row| self.sight.visible[model.0][*row])
            .collect();
        if own.is_empty() || self.asker.dice.chance(10) {
            return self.asker.unique(model);
        }
        let row = *self.asker.dice.pick(&own);
        (
            self.asker.world.model.model(model).id,
            self.asker.world.id(model, row).clone(),
        )
    }
}

fn model_of(meaning: OutputMeaning) -> ModelId {
    match meaning {
        OutputMeaning::Create(model)
        | OutputMeaning::Update(model)
        | OutputMeaning::Upsert(model)
        | OutputMeaning::Delete(model)
        | OutputMeaning::UpdateMany(model)
        | OutputMeaning::DeleteMany(model) => model,
        other => panic!("{other:?}"),
    }
}

fn is_of_many(meaning: OutputMeaning) -> bool {
    matches!(
        meaning,
        OutputMeaning::UpdateMany(_) | OutputMeaning::DeleteMany(_)
    )
}

fn is_required(field: &InputField) -> bool {
    matches!(field.ty, TypeRef::NonNull(_))
}
