//! What a write comes to, worked out on rows in memory and without the engine: by what docs/CONFORMANCE.md and ADR 24 say of
//! nested writes and of whose rows they may touch. Where all rows that a write touches are the viewer's, before and after, it
//! must be done, and leave exactly these rows and links; where it names what is not there, it must fail. Of the others the
//! model says nothing: `effects` says what they must not do.

mod comparison;
mod links;
mod nested;

use std::collections::BTreeSet;

use gom_engine::datamodel::{FieldId, ModelId, RelationRef};
use gom_engine::schema::OutputMeaning;
use serde_json::{Value, json};

pub use self::comparison::difference;
use crate::sight::Sight;
use crate::writes::Write;
use gom_test_support::random::rows::holds;
use gom_test_support::random::world::World;

/// Nested writes are carried out by kind, whatever the order in the document.
const KINDS: [&str; 9] = [
    "create",
    "update",
    "upsert",
    "delete",
    "connect",
    "set",
    "disconnect",
    "updateMany",
    "deleteMany",
];

/// What must come of a write.
#[derive(Debug)]
pub enum Outcome {
    /// It is done, and these are the rows.
    Done(Box<World>),
    /// It is refused, because of what is or is not there.
    Fails(&'static str),
    /// It touches what is not the viewer's.
    Open(&'static str),
}

enum Stop {
    Fails(&'static str),
    Open(&'static str),
}

type OrStop<T = ()> = Result<T, Stop>;
/// A model and an id.
type RowKey = (ModelId, String);
/// Fields that Gom writes itself.
pub type Kept = BTreeSet<(ModelId, FieldId)>;

/// Whose rows they are, and which fields nobody's input writes.
pub struct Rules<'a> {
    pub see: &'a dyn Fn(&World) -> Sight,
    /// Inputs that name them are ignored.
    pub kept: &'a Kept,
}

struct Serial<'a> {
    rules: &'a Rules<'a>,
    world: World,
    /// Of the rows as they are now.
    sight: Option<Sight>,
    new: BTreeSet<RowKey>,
    /// Rows that must be the viewer's to write at the end.
    own: BTreeSet<RowKey>,
    /// The rows in whose data the write at hand stands.
    enclosing: Vec<RowKey>,
}

pub fn outcome(world: &World, rules: &Rules<'_>, write: &Write) -> Outcome {
    let world = world.clone();
    let (new, own) = (BTreeSet::new(), BTreeSet::new());
    let mut serial = Serial {
        rules,
        world,
        sight: None,
        new,
        own,
        enclosing: Vec::new(),
    };
    let mut arguments = ["data", "create", "update"]
        .into_iter()
        .filter_map(|name| write.arguments.get(name));
    let named = arguments.try_for_each(|data| serial.check_names(write.model(), data));
    let done = named
        .and_then(|()| serial.write(write))
        .and_then(|()| serial.look_again());
    match done {
        Ok(()) => Outcome::Done(Box::new(serial.world)),
        Err(Stop::Fails(reason)) => Outcome::Fails(reason),
        Err(Stop::Open(reason)) => Outcome::Open(reason),
    }
}

/// A field's entry in an input object.
fn given<'v>(data: &'v Value, name: &str) -> Option<&'v Value> {
    data.get(name).filter(|value| !value.is_null())
}

fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        single => vec![single],
    }
}

impl Serial<'_> {
    fn write(&mut self, write: &Write) -> OrStop {
        let argument = |name: &str| write.arguments.get(name).cloned().unwrap_or_default();
        match write.meaning {
            OutputMeaning::Create(model) => self.create(model, &argument("data"), None).map(drop),
            OutputMeaning::Update(model) => {
                let row = self.find_own(model, &argument("where"))?;
                self.update(&row, &argument("data"))
            }
            OutputMeaning::Upsert(model) => {
                let found = self.find(model, &argument("where"));
                match found.filter(|row| self.is_own(row)) {
                    Some(row) => self.update(&row, &argument("update")),
                    None => self.create(model, &argument("create"), None).map(drop),
                }
            }
            OutputMeaning::Delete(model) => {
                let row = self.find_own(model, &argument("where"))?;
                self.delete(&[row])
            }
            OutputMeaning::UpdateMany(model) => {
                let rows = self.matching(model, &argument("where"), None)?;
                self.update_columns(&rows, &argument("data"))
            }
            OutputMeaning::DeleteMany(model) => {
                let rows = self.matching(model, &argument("where"), None)?;
                self.delete(&rows)
            }
            _ => Err(Stop::Open("no write")),
        }
    }

    /// What was written must be the viewer's still.
    fn look_again(&mut self) -> OrStop {
        let rows: Vec<RowKey> = self.own.iter().chain(&self.new).cloned().collect();
        for row in rows {
            if self.at(&row).is_some() && !self.is_own(&row) {
                return Err(Stop::Open("the viewer's no more"));
            }
        }
        Ok(())
    }

    // ── Rows ──

    fn at(&self, (model, id): &RowKey) -> Option<usize> {
        (0..self.world.rows[model.0].len()).find(|row| self.world.id(*model, *row) == id.as_str())
    }

    fn key(&self, model: ModelId, row: usize) -> RowKey {
        (
            model,
            self.world.id(model, row).as_str().unwrap().to_owned(),
        )
    }

    fn sight(&mut self) -> &Sight {
        let (rules, world) = (self.rules, &self.world);
        self.sight.get_or_insert_with(|| (rules.see)(world))
    }

    fn sees(&mut self, row: &RowKey) -> bool {
        let at = self.at(row).unwrap();
        self.new.contains(row) || self.sight().visible[row.0.0][at]
    }

    fn is_own(&mut self, row: &RowKey) -> bool {
        let at = self.at(row).unwrap();
        let sight = self.sight();
        sight.visible[row.0.0][at] && sight.writable[row.0.0][at]
    }

    /// The row itself is about to be written.
    fn touch(&mut self, row: &RowKey) -> OrStop {
        if !self.new.contains(row) {
            if !self.is_own(row) {
                return Err(Stop::Open("not the viewer's"));
            }
            self.own.insert(row.clone());
        }
        Ok(())
    }

    /// A partner is about to get or lose a link that is kept elsewhere.
    fn name(&mut self, row: &RowKey) -> OrStop {
        if !self.sees(row) {
            return Err(Stop::Open("not for the viewer to see"));
        }
        if !self.new.contains(row) && self.is_own(row) {
            self.own.insert(row.clone());
        }
        Ok(())
    }

    /// The row with a unique value. A value that is not shown to the viewer finds nothing.
    fn find(&mut self, model: ModelId, unique: &Value) -> Option<RowKey> {
        let (name, value) = unique.as_object()?.iter().next()?;
        let field = self.world.model.model(model).field_named(name)?;
        let rows = &self.world.rows[model.0];
        let row = (0..rows.len()).find(|row| rows[*row][field.0] == *value)?;
        let cells = rows[row].clone();
        let shown = self.sight().cells(model, row, &cells, false);
        (shown[field.0] == *value).then(|| self.key(model, row))
    }

    fn find_seen(&mut self, model: ModelId, unique: &Value) -> OrStop<RowKey> {
        let found = self.find(model, unique);
        found
            .filter(|row| self.sees(row))
            .ok_or(Stop::Fails("no such row"))
    }

    fn find_own(&mut self, model: ModelId, unique: &Value) -> OrStop<RowKey> {
        let row = self.find_seen(model, unique)?;
        self.touch(&row)?;
        Ok(row)
    }

    /// The viewer's own rows that satisfy a filter, of all rows or of some.
    fn matching(
        &mut self,
        model: ModelId,
        filter: &Value,
        among: Option<&[RowKey]>,
    ) -> OrStop<Vec<RowKey>> {
        let rows: Vec<RowKey> = (0..self.world.rows[model.0].len())
            .map(|row| self.key(model, row))
            .collect();
        let world = self.world.clone();
        let sight = self.sight();
        if !sight.admits(&world.model, model, filter) {
            return Err(Stop::Open("a filter by what the viewer may not name"));
        }
        let narrowed = sight.narrow(&world);
        let seen = rows
            .iter()
            .enumerate()
            .filter(|(row, _)| sight.visible[model.0][*row]);
        let satisfying = seen
            .enumerate()
            .filter(|(place, (row, _))| {
                sight.writable[model.0][*row]
                    && holds(&narrowed, model, *place, filter) == Some(true)
            })
            .map(|(_, (_, key))| key.clone());
        let found: Vec<RowKey> = satisfying
            .filter(|key| among.is_none_or(|among| among.contains(key)))
            .collect();
        if among.is_some() && found.iter().any(|row| self.new.contains(row)) {
            return Err(Stop::Open("of rows that the same write has made"));
        }
        self.own.extend(found.iter().cloned());
        Ok(found)
    }

    // ── Columns ──

    /// Whether the data, in branches that are not taken as well, name only what the viewer may.
    fn check_names(&mut self, model: ModelId, data: &Value) -> OrStop {
        for (name, value) in data.as_object().into_iter().flatten() {
            let definition = self.world.model.model(model);
            let Some(id) = definition.field_named(name) else {
                return Err(Stop::Open("no field"));
            };
            let relation = definition.field(id).relation();
            if !self.sight().names(model, id) {
                return Err(Stop::Open("a field that the viewer may not name"));
            }
            let Some(relation) = relation else { continue };
            for (verb, writes) in value.as_object().into_iter().flatten() {
                for item in items(writes) {
                    let parts = ["where", "data", "update", "create"].map(|part| given(item, part));
                    let is_data =
                        matches!(verb.as_str(), "create" | "update") && parts[1].is_none();
                    match verb.as_str() {
                        "update" | "upsert" | "updateMany" if !is_data => {
                            for part in parts.into_iter().flatten() {
                                self.check_names(relation.target, part)?;
                            }
                        }
                        _ if item.is_object() => self.check_names(relation.target, item)?,
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn values(&mut self, model: ModelId, data: &Value) -> OrStop<Vec<(FieldId, Value)>> {
        let mut values = Vec::new();
        for (name, value) in data.as_object().into_iter().flatten() {
            let Some(field) = self.world.model.model(model).field_named(name) else {
                return Err(Stop::Open("no field"));
            };
            if !self.sight().names(model, field) {
                return Err(Stop::Open("a field that the viewer may not name"));
            }
            let definition = self.world.model.field(model, field);
            if definition.list && definition.relation().is_none() {
                return Err(Stop::Open("a list of scalars"));
            }
            if definition.is_column() && !self.rules.kept.contains(&(model, field)) {
                values.push((field, value.clone()));
            }
        }
        Ok(values)
    }

    fn check_unique(
        &self,
        model: ModelId,
        values: &[(FieldId, Value)],
        but: Option<usize>,
    ) -> OrStop {
        let definition = self.world.model.model(model);
        for (field, value) in values {
            let unique = definition.field(*field).unique || *field == definition.id;
            let mut rows = self.world.rows[model.0].iter().enumerate();
            if unique
                && !value.is_null()
                && rows.any(|(row, cells)| Some(row) != but && cells[field.0] == *value)
            {
                return Err(Stop::Fails("the value is taken"));
            }
        }
        Ok(())
    }

    fn update_columns(&mut self, rows: &[RowKey], data: &Value) -> OrStop {
        for row in rows {
            let values = self.values(row.0, data)?;
            let at = self.at(row).unwrap();
            self.check_unique(row.0, &values, Some(at))?;
            if values
                .iter()
                .any(|(field, _)| *field == self.world.model.model(row.0).id)
            {
                return Err(Stop::Open("an id that changes"));
            }
            for (field, value) in values {
                self.world.rows[row.0.0][at][field.0] = value;
            }
            self.sight = None;
        }
        Ok(())
    }

    fn update(&mut self, row: &RowKey, data: &Value) -> OrStop {
        self.touch(row)?;
        self.update_columns(std::slice::from_ref(row), data)?;
        self.nested(row, data)
    }

    /// A new row, and the link to the row in whose data it stands.
    fn create(
        &mut self,
        model: ModelId,
        data: &Value,
        parent: Option<(&RowKey, RelationRef)>,
    ) -> OrStop<RowKey> {
        let values = self.values(model, data)?;
        self.check_unique(model, &values, None)?;
        let definition = self.world.model.model(model);
        let mut cells: Vec<Value> = definition
            .fields
            .iter()
            .map(|field| field.default.clone().unwrap_or_default())
            .collect();
        cells[definition.id.0] = json!(format!("#{}", self.new.len()));
        for (field, value) in values {
            cells[field.0] = value;
        }
        self.world.rows[model.0].push(cells);
        self.sight = None;
        let row = self.key(model, self.world.rows[model.0].len() - 1);
        self.new.insert(row.clone());
        if let Some((parent, relation)) = parent {
            self.tie(relation, parent, &row)?;
        }
        self.nested(&row, data)?;
        let definition = self.world.model.model(model);
        let at = self.at(&row).unwrap();
        let lacks = definition.fields.iter().any(|field| {
            field.required
                && !field.list
                && field
                    .relation()
                    .is_some_and(|to| self.world.partners(to, at).is_empty())
        });
        if lacks {
            Err(Stop::Fails("a required link is missing"))
        } else {
            Ok(row)
        }
    }

    // ── Nested writes ──

    fn children(&self, parent: &RowKey, relation: RelationRef) -> Vec<RowKey> {
        let partners = self.world.partners(relation, self.at(parent).unwrap());
        partners
            .into_iter()
            .map(|row| self.key(relation.target, row))
            .collect()
    }

    /// The child of that unique value, or the only one.
    fn linked(
        &mut self,
        parent: &RowKey,
        relation: RelationRef,
        unique: Option<&Value>,
    ) -> OrStop<RowKey> {
        let named = unique.map(|unique| self.find(relation.target, unique));
        let children = self.children(parent, relation);
        let mut found = children
            .into_iter()
            .filter(|child| named.as_ref().is_none_or(|n| n.as_ref() == Some(child)));
        let child = found.next().ok_or(Stop::Fails("not linked"))?;
        if self.new.contains(&child) && !self.is_own(&child) {
            return Err(Stop::Open("new, and not the viewer's yet"));
        }
        if self.sees(&child) {
            Ok(child)
        } else {
            Err(Stop::Fails("not linked that one could see"))
        }
    }

    /// Children that may not be cut stay, as if they were not there.
    fn set(&mut self, parent: &RowKey, relation: RelationRef, wanted: &[&Value]) -> OrStop {
        let mut stay = Vec::new();
        for unique in wanted {
            stay.push(self.find_seen(relation.target, unique)?);
        }
        for child in self.children(parent, relation) {
            if stay.contains(&child) || !self.sees(&child) {
                continue;
            }
            self.cut(relation, parent, &child)?;
        }
        for child in stay {
            self.tie(relation, parent, &child)?;
        }
        Ok(())
    }
}
