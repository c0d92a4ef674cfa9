//! Datamodels of chance: names that are odd for GraphQL, for SQL and for our own statements, and every shape that a field or a
//! relation can have. Text only; shares nothing with what reads it.

use std::fmt::Write;

use crate::dice::Dice;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int,
    Float,
    Boolean,
    Time,
    Json,
    Uuid,
    Enum,
}

pub const KINDS: [Kind; 8] = [
    Kind::Text,
    Kind::Int,
    Kind::Float,
    Kind::Boolean,
    Kind::Time,
    Kind::Json,
    Kind::Uuid,
    Kind::Enum,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    Id,
    Uuid,
    Int,
}

/// A datamodel with one enum, `Color`.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    pub colors: Vec<String>,
    pub models: Vec<ModelDraft>,
    pub relations: Vec<RelationDraft>,
    /// How many names of each kind were given, and how many keys.
    names: usize,
    keys: usize,
}

#[derive(Debug, Clone)]
pub struct ModelDraft {
    /// Stays the same whatever becomes of its name; so do those of fields and relations.
    pub key: usize,
    pub name: String,
    /// `@db(name:)`
    pub table: Option<String>,
    pub id: IdKind,
    pub fields: Vec<FieldDraft>,
}

#[derive(Debug, Clone)]
pub struct FieldDraft {
    pub key: usize,
    pub name: String,
    pub column: Option<String>,
    pub kind: Kind,
    pub list: bool,
    pub required: bool,
    pub unique: bool,
    /// As the datamodel writes it.
    pub default: Option<String>,
}

#[derive(Debug, Clone)]
pub struct RelationDraft {
    pub key: usize,
    pub name: String,
    pub ends: [End; 2],
    /// The end whose model has a column with the links; else they are in a table.
    pub inline: Option<usize>,
}

/// Where a relation begins.
#[derive(Debug, Clone)]
pub struct End {
    /// The key of its model.
    pub model: usize,
    /// Nothing if the datamodel leaves it out; then it is a list.
    pub field: Option<String>,
    /// `@db(name:)`, of the end that has the column.
    pub column: Option<String>,
    pub list: bool,
    pub required: bool,
}

/// What else is a name in statements, in GraphQL, or in the tables of lists and links.
const FIELDS: [&str; 30] = [
    "t0", "t1", "t2", "t3", "t5", "page", "row", "rows", "value", "position", "select", "order",
    "limit", "user", "count", "node", "cursor", "edges", "gom_i", "gom_0", "i", "old", "new",
    "nodeId", "A", "B", "type", "default", "with_in", "mutation",
];
/// For fields that lead to other models.
const ENDS: [&str; 10] = [
    "from", "where", "group", "join", "left", "lateral", "union", "nodes", "data", "links",
];
const MODELS: [&str; 10] = [
    "Select", "T1", "Order", "Row", "Page", "User", "Value", "Table", "Item", "Boxes",
];
/// For tables and columns.
const STORED: [&str; 16] = [
    "t1",
    "t2",
    "a\"b",
    "it's",
    "Ünï cödé",
    "select",
    "%s",
    "a.b",
    "$1",
    "a\\b",
    " ",
    "gom_i",
    "{}",
    "page",
    "A",
    "a name of sixty-three bytes, which is all that PostgreSQL keeps",
];

impl Kind {
    fn written(self) -> &'static str {
        match self {
            Kind::Text => "String",
            Kind::Int => "Int",
            Kind::Float => "Float",
            Kind::Boolean => "Boolean",
            Kind::Time => "DateTime",
            Kind::Json => "Json",
            Kind::Uuid => "UUID",
            Kind::Enum => "Color",
        }
    }
}

impl IdKind {
    fn written(self) -> &'static str {
        match self {
            IdKind::Id => "ID! @id",
            IdKind::Uuid => "UUID! @id",
            IdKind::Int => "Int! @id(strategy: SEQUENCE)",
        }
    }
}

impl ModelDraft {
    pub fn stored(&self) -> &str {
        self.table.as_deref().unwrap_or(&self.name)
    }
}

impl FieldDraft {
    pub fn stored(&self) -> &str {
        self.column.as_deref().unwrap_or(&self.name)
    }
}

impl Draft {
    /// Two to four models; each leads to many of the next one, and there are some other relations.
    pub fn any(dice: &mut Dice) -> Draft {
        let colors = ["RED", "GREEN", "BLUE"].map(str::to_owned).to_vec();
        let mut draft = Draft {
            colors,
            ..Draft::default()
        };
        for _ in 0..dice.between(2, 4) {
            draft.add_model(dice);
        }
        let keys: Vec<usize> = draft.models.iter().map(|model| model.key).collect();
        for (at, from) in keys.iter().enumerate() {
            draft.add_relation(
                [*from, keys[(at + 1) % keys.len()]],
                [true, dice.chance(50)],
                dice,
            );
        }
        for _ in 0..dice.between(1, 4) {
            let ends = [*dice.pick(&keys), *dice.pick(&keys)];
            draft.add_relation(ends, [dice.chance(40), dice.chance(40)], dice);
        }
        draft
    }

    pub fn key(&mut self) -> usize {
        self.keys += 1;
        self.keys
    }

    /// A name that has not been given yet, for the kind of thing of which these are odd ones.
    pub fn name(&mut self, odd: &[&str], plain: &str, dice: &mut Dice) -> String {
        self.names += 1;
        let name = dice.pick(odd);
        if dice.chance(60) && !self.is_taken(name) {
            (*name).to_owned()
        } else {
            format!("{plain}{}", self.names)
        }
    }

    fn is_taken(&self, name: &str) -> bool {
        let fields = self.models.iter().flat_map(|model| &model.fields);
        let ends = self.relations.iter().flat_map(|relation| &relation.ends);
        self.models
            .iter()
            .any(|model| model.name.eq_ignore_ascii_case(name) || model.stored() == name)
            || fields
                .into_iter()
                .any(|field| field.name == name || field.stored() == name)
            || ends.into_iter().any(|end| {
                end.field.as_deref() == Some(name) || end.column.as_deref() == Some(name)
            })
    }

    fn stored(&self, percent: usize, dice: &mut Dice) -> Option<String> {
        let name = *dice.pick(&STORED);
        (dice.chance(percent) && !self.is_taken(name)).then(|| name.to_owned())
    }

    pub fn add_model(&mut self, dice: &mut Dice) -> usize {
        let (key, name) = (self.key(), self.name(&MODELS, "Model", dice));
        let table = self.stored(40, dice);
        let id = *dice.pick(&[IdKind::Id, IdKind::Id, IdKind::Uuid, IdKind::Int]);
        self.models.push(ModelDraft {
            key,
            name,
            table,
            id,
            fields: Vec::new(),
        });
        for _ in 0..dice.between(2, 5) {
            let field = self.field(dice);
            self.model_mut(key).fields.push(field);
        }
        key
    }

    /// Not one of a model yet.
    pub fn field(&mut self, dice: &mut Dice) -> FieldDraft {
        let (key, name) = (self.key(), self.name(&FIELDS, "field", dice));
        let kind = *dice.pick(&KINDS);
        let list = dice.chance(20);
        let column = if list { None } else { self.stored(30, dice) };
        let unique = !list && matches!(kind, Kind::Text | Kind::Int) && dice.chance(20);
        FieldDraft {
            key,
            name,
            column,
            kind,
            list,
            required: dice.chance(30),
            unique,
            default: None,
        }
    }

    /// `lists`: whether there may be many partners, by end.
    pub fn add_relation(&mut self, models: [usize; 2], lists: [bool; 2], dice: &mut Dice) -> usize {
        let (key, name) = (self.key(), format!("Relation{}", self.keys));
        let single = [0, 1]
            .into_iter()
            .filter(|end| !lists[*end])
            .collect::<Vec<_>>();
        let inline = (!single.is_empty() && dice.chance(60)).then(|| *dice.pick(&single));
        let mut ends = [0, 1].map(|end| End {
            model: models[end],
            field: None,
            column: None,
            list: lists[end],
            required: false,
        });
        // The end at many partners may be left out, not in a relation of a model with itself.
        let left_out = (lists[1] && models[0] != models[1] && dice.chance(20)).then_some(1);
        for end in [0, 1].into_iter().filter(|end| Some(*end) != left_out) {
            ends[end].field = Some(self.name(&ENDS, "to", dice));
            if inline == Some(end) {
                ends[end].column = self.stored(30, dice);
            }
        }
        self.relations.push(RelationDraft {
            key,
            name,
            ends,
            inline,
        });
        key
    }

    pub fn model(&self, key: usize) -> &ModelDraft {
        self.models.iter().find(|model| model.key == key).unwrap()
    }

    pub fn model_mut(&mut self, key: usize) -> &mut ModelDraft {
        self.models
            .iter_mut()
            .find(|model| model.key == key)
            .unwrap()
    }

    pub fn text(&self) -> String {
        let mut text = format!("enum Color {{ {} }}\n", self.colors.join(" "));
        for model in &self.models {
            write!(
                text,
                "type {}{} {{\n  id: {}\n",
                model.name,
                stored(model.table.as_ref()),
                model.id.written()
            )
            .unwrap();
            for field in &model.fields {
                write!(text, "  {}: {}", field.name, field.ty()).unwrap();
                text.push_str(if field.unique { " @unique" } else { "" });
                if let Some(default) = &field.default {
                    write!(text, " @default(value: {default})").unwrap();
                }
                writeln!(text, "{}", stored(field.column.as_ref())).unwrap();
            }
            for relation in &self.relations {
                for end in [0, 1]
                    .into_iter()
                    .filter(|end| relation.ends[*end].model == model.key)
                {
                    text.push_str(&self.end(relation, end));
                }
            }
            text.push_str("}\n");
        }
        text
    }

    fn end(&self, relation: &RelationDraft, end: usize) -> String {
        let (own, other) = (&relation.ends[end], &relation.ends[1 - end]);
        let Some(field) = &own.field else {
            return String::new();
        };
        let target = &self.model(other.model).name;
        let ty = match (own.list, own.required) {
            (true, _) => format!("[{target}!]!"),
            (false, true) => format!("{target}!"),
            (false, false) => target.clone(),
        };
        // On one end only.
        let link = match relation.inline {
            Some(inline) if inline == end => ", link: INLINE",
            None if end == 0 => ", link: TABLE",
            _ => "",
        };
        format!(
            "  {field}: {ty} @relation(name: \"{}\"{link}){}\n",
            relation.name,
            stored(own.column.as_ref())
        )
    }
}

impl FieldDraft {
    fn ty(&self) -> String {
        let kind = self.kind.written();
        match (self.list, self.required) {
            (true, true) => format!("[{kind}!]!"),
            (true, false) => format!("[{kind}] @scalarList(strategy: RELATION)"),
            (false, true) => format!("{kind}!"),
            (false, false) => kind.to_owned(),
        }
    }
}

fn stored(name: Option<&String>) -> String {
    name.map(|name| {
        format!(
            " @db(name: \"{}\")",
            name.replace('\\', "\\\\").replace('"', "\\\"")
        )
    })
    .unwrap_or_default()
}
