//! The checked datamodel: what every later stage reads. Made only by [`super::parse`], so that whoever
//! holds a [`DataModel`] may rely on every index in it and on every rule of the datamodel language.

use serde_json::Value as Json;

/// Position of a model in [`DataModel::models`], in the order of the datamodel text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(pub usize);

/// Position of an enum in [`DataModel::enums`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnumId(pub usize);

/// Position of a relation in [`DataModel::relations`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationId(pub usize);

/// Position of a field in [`Model::fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub usize);

/// A whole checked datamodel.
#[derive(Debug, Clone, PartialEq)]
pub struct DataModel {
    pub models: Vec<Model>,
    pub enums: Vec<Enum>,
    pub relations: Vec<Relation>,
    /// Whose changes the application acts upon. Its own word, after the text was read.
    pub watched: Vec<Watched>,
    /// Tables of Gom's own that follow the model's. The application's word as well.
    pub followed: Vec<Followed>,
    /// Lists that clients order otherwise than by creation, each served by an index. The application's word as well.
    pub lists: Vec<OrderedList>,
}

/// The list at the other end of a link, in the order of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderedList {
    /// The model that has the link's column.
    pub model: ModelId,
    pub link: FieldId,
    pub order: FieldId,
}

/// Changes that a function in the schema `gom` follows, in the transaction that makes them, to keep a table of Gom's own
/// in step with the model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// What the trigger is called.
    pub name: &'static str,
    /// The table that is kept in step, in the schema `gom`.
    pub table: &'static str,
    /// The function for a trigger on `gom.change`, and the one that makes up for what there is already, given the schema
    /// and the names. Both are made by Gom's own migrations.
    pub function: &'static str,
    pub fill: &'static str,
    /// The tables, without their schema, of which the function is called.
    pub tables: Vec<String>,
    /// The models of which the function wants to know who writes.
    pub models: Vec<ModelId>,
    /// The names of tables and columns that both are given.
    pub names: Vec<String>,
}

/// A model each of whose changes leaves a job in the transaction that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub model: ModelId,
    /// What jobs call the model.
    pub subject: &'static str,
    pub jobs: Jobs,
    /// Which nodes get a job when the trigger is made, whenever they were written.
    pub open: Option<OpenNodes>,
}

/// Nodes that have something before them: a column of text or of an enum, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenNodes {
    pub column: String,
    pub value: &'static str,
    /// Columns of times: the first that is not null is when that began, so that what has waited for too long can be told.
    pub since: Vec<String>,
}

/// Which changes make a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// A job for each transaction that creates or updates a node.
    Each,
    /// A node has one job until that is done; what happens meanwhile makes it due at once.
    Latest,
}

/// A `type` of the datamodel: one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub name: String,
    /// The table's name: the model's, or what `@db(name:)` says.
    pub table: String,
    pub fields: Vec<Field>,
    /// The field marked `@id`: the primary key, never a list, always required.
    pub id: FieldId,
}

/// An `enum` of the datamodel, stored as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Enum {
    pub name: String,
    pub values: Vec<String>,
}

/// One visible field of a model. Back relations that the datamodel leaves out are not fields: they
/// stand only as a [`RelationEnd`] without a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    /// The column's name (scalars and enums), or the name after which the link column is called
    /// (inline relations): the field's name, or what `@db(name:)` says.
    pub column: String,
    pub kind: FieldKind,
    /// `T!`; for lists the outer `!`.
    pub required: bool,
    pub list: bool,
    pub unique: bool,
    /// `@default(value:)`, already checked against the type: a JSON string, number, boolean. Times are
    /// normalised to `2020-01-31T12:00:00.000Z`; the default of a `Json` field is a string that holds JSON.
    pub default: Option<Json>,
    /// `@createdAt`: the server's clock at creation.
    pub created_at: bool,
    /// `@updatedAt`: the server's clock at every write of the node's own values.
    pub updated_at: bool,
    /// Set on the id field only.
    pub id_strategy: Option<IdStrategy>,
    /// `@sequence` of an `Int` id.
    pub sequence: Option<Sequence>,
    /// `@size(max:)`: bytes of a value that a user writes; of a list, of all its items.
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Scalar(ScalarType),
    Enum(EnumId),
    Relation(RelationRef),
}

/// A relation field's view of its relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationRef {
    pub relation: RelationId,
    /// The end at which this field's own model stands.
    pub side: Side,
    /// The model at the other end.
    pub target: ModelId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScalarType {
    Id,
    String,
    Int,
    Float,
    Boolean,
    DateTime,
    Json,
    Uuid,
}

/// Who makes the id of a new row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdStrategy {
    /// The server: a cuid (`ID`), a random UUID (`UUID`); an `Int` id comes from a sequence.
    Auto,
    /// The client: the id is a required input.
    None,
    /// A database sequence (`Int` only).
    Sequence,
}

/// `@sequence(name:, initialValue:, allocationSize:)`; without it PostgreSQL's defaults hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    pub name: String,
    pub initial_value: i64,
    pub allocation_size: i64,
}

/// The two ends of a relation. `A` is the model that comes first in the alphabet; in a self relation the
/// field that comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// A relation between two models (or of one with itself).
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    /// `@relation(name:)`, or `<A>To<B>`.
    pub name: String,
    pub a: RelationEnd,
    pub b: RelationEnd,
    pub storage: RelationStorage,
}

/// One end of a relation: the model that stands there and its field that leads to the other end.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationEnd {
    pub model: ModelId,
    /// `None` when the datamodel leaves the back relation out. Such an end counts as an optional list.
    pub field: Option<FieldId>,
    /// Whether a node at this end may have several partners.
    pub list: bool,
    /// Whether a node at this end must have a partner (to-one ends only).
    pub required: bool,
    /// `onDelete: CASCADE` on this end's field: deleting a node here deletes its partners.
    pub cascade: bool,
}

/// Where the links of a relation are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelationStorage {
    /// A nullable column in the table of the model at `side`, holding the partner's id.
    Inline { side: Side, column: String },
    /// A table of its own with columns `a_column` (ids of the model at [`Side::A`]) and `b_column`.
    Table {
        table: String,
        a_column: String,
        b_column: String,
        id_column: Option<String>,
    },
}

impl DataModel {
    pub fn model(&self, id: ModelId) -> &Model {
        &self.models[id.0]
    }

    pub fn field(&self, model: ModelId, field: FieldId) -> &Field {
        &self.models[model.0].fields[field.0]
    }

    pub fn relation(&self, id: RelationId) -> &Relation {
        &self.relations[id.0]
    }

    pub fn enumeration(&self, id: EnumId) -> &Enum {
        &self.enums[id.0]
    }

    pub fn model_ids(&self) -> impl Iterator<Item = ModelId> + use<> {
        (0..self.models.len()).map(ModelId)
    }

    pub fn model_named(&self, name: &str) -> Option<ModelId> {
        self.models.iter().position(|m| m.name == name).map(ModelId)
    }
}

impl Model {
    pub fn field(&self, id: FieldId) -> &Field {
        &self.fields[id.0]
    }

    pub fn id_field(&self) -> &Field {
        &self.fields[self.id.0]
    }

    pub fn field_ids(&self) -> impl Iterator<Item = FieldId> + use<> {
        (0..self.fields.len()).map(FieldId)
    }

    pub fn field_named(&self, name: &str) -> Option<FieldId> {
        self.fields.iter().position(|f| f.name == name).map(FieldId)
    }

    /// The table that holds the values of a scalar list of this model.
    pub fn list_table(&self, field: &Field) -> String {
        format!("{}_{}", self.table, field.column)
    }
}

impl Field {
    pub fn relation(&self) -> Option<RelationRef> {
        match self.kind {
            FieldKind::Relation(r) => Some(r),
            _ => None,
        }
    }

    /// A value in a column of the model's own table (scalar or enum, no list).
    pub fn is_column(&self) -> bool {
        !self.list && self.relation().is_none()
    }

    /// A scalar or enum list, kept in a table of its own.
    pub fn is_scalar_list(&self) -> bool {
        self.list && self.relation().is_none()
    }

    /// Set by the server only, hence in no input type.
    pub fn is_server_set(&self) -> bool {
        self.created_at || self.updated_at
    }
}

impl Relation {
    pub fn end(&self, side: Side) -> &RelationEnd {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}
