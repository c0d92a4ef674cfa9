//! The checked datamodel: what every later stage reads. Made only by [`super::parse`], so that
//! every index in a [`DataModel`] is valid and every rule of the datamodel language holds.

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
    /// The models, in the order of the text.
    pub models: Vec<Model>,
    /// The enums, in the order of the text.
    pub enums: Vec<Enum>,
    /// The relations, in the order in which the text names them first.
    pub relations: Vec<Relation>,
    /// The models whose changes queue jobs. Set by the application after the text was parsed.
    pub watched: Vec<WatchedModel>,
    /// Tables of Gom's own that follow the model's. Set by the application as well.
    pub followed: Vec<FollowedTables>,
    /// Lists that clients order otherwise than by creation, each served by an index. Set by the
    /// application as well.
    pub lists: Vec<OrderedList>,
}

/// The list at the other end of a link, in the order of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderedList {
    /// The model that has the link's column.
    pub model: ModelId,
    /// The relation field of the link.
    pub link: FieldId,
    /// The field that orders the list.
    pub order: FieldId,
}

/// Changes that a function in the schema `gom` follows, in the transaction that makes them, to keep
/// a table of Gom's own in step with the model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedTables {
    /// What the trigger is called.
    pub name: &'static str,
    /// The table that is kept in step, in the schema `gom`.
    pub table: &'static str,
    /// The function for a trigger on `gom.change`, and the one that makes up for what there is
    /// already, given the schema and the names. Both are made by Gom's own migrations.
    pub function: &'static str,
    /// The function that makes up for the rows that exist when the trigger is made.
    pub fill: &'static str,
    /// The tables, without their schema, of which the function is called.
    pub tables: Vec<String>,
    /// The models whose writers the function records.
    pub models: Vec<ModelId>,
    /// The names of tables and columns that both are given.
    pub names: Vec<String>,
}

/// A model each of whose changes leaves a job in the transaction that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedModel {
    /// The model.
    pub model: ModelId,
    /// What jobs call the model.
    pub subject: &'static str,
    /// Which changes make a job.
    pub jobs: JobRule,
    /// Which nodes get a job when the trigger is made, whenever they were written.
    pub open: Option<OpenNodes>,
}

/// Nodes that have something before them: a column of text or of an enum, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenNodes {
    /// The column's name, unquoted.
    pub column: String,
    /// The value of nodes that get a job.
    pub value: &'static str,
    /// Columns of times: the first that is not null is when the wait began; jobs that waited too
    /// long are recognised by it.
    pub since: Vec<String>,
}

/// Which changes make a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobRule {
    /// A job for each transaction that creates or updates a node.
    Each,
    /// A node has one job until that is done; what happens meanwhile makes it due at once.
    Latest,
}

/// A `type` of the datamodel: one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The name in the datamodel and in the API.
    pub name: String,
    /// The table's name: the model's, or what `@db(name:)` says.
    pub table: String,
    /// The fields, in the order of the text.
    pub fields: Vec<Field>,
    /// The field marked `@id`: the primary key, never a list, always required.
    pub id: FieldId,
}

/// An `enum` of the datamodel, stored as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Enum {
    /// The name in the datamodel and in the API.
    pub name: String,
    /// The values, in the order of the text.
    pub values: Vec<String>,
}

/// One visible field of a model. Back relations that the datamodel leaves out are not fields: they
/// stand only as a [`RelationEnd`] without a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The name in the datamodel and in the API.
    pub name: String,
    /// The column's name (scalars and enums), or the name after which the link column is called
    /// (inline relations): the field's name, or what `@db(name:)` says.
    pub column: String,
    /// Scalar, enum or relation.
    pub kind: FieldKind,
    /// `T!`; for lists the outer `!`.
    pub required: bool,
    /// `[T]`: a scalar list, or a to-many relation.
    pub list: bool,
    /// `@unique`; false for ids, which are unique as primary keys.
    pub unique: bool,
    /// `@default(value:)`, already checked against the type: a JSON string, number, boolean. Times
    /// are normalised to `2020-01-31T12:00:00.000Z`; the default of a `Json` field is a string that
    /// holds JSON.
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

/// What a field's type names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A scalar.
    Scalar(ScalarType),
    /// An enum of the datamodel.
    Enum(EnumId),
    /// Another model, or the same.
    Relation(RelationRef),
}

/// A relation field's view of its relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationRef {
    /// The relation.
    pub relation: RelationId,
    /// The end at which this field's own model stands.
    pub side: Side,
    /// The model at the other end.
    pub target: ModelId,
}

/// The scalars of the datamodel language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScalarType {
    /// `ID`: a text of at most 25 characters (`varchar(25)`).
    Id,
    /// `String` (`text`)
    String,
    /// `Int`, 32 bits (`integer`)
    Int,
    /// `Float` (`decimal(65,30)`)
    Float,
    /// `Boolean` (`boolean`)
    Boolean,
    /// `DateTime`, UTC with milliseconds (`timestamp(3)`)
    DateTime,
    /// `Json` (`text`)
    Json,
    /// `UUID` (`uuid`)
    Uuid,
}

/// How a new row gets its id.
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
    /// The sequence's name, unquoted.
    pub name: String,
    /// The first number.
    pub initial_value: i64,
    /// The difference between numbers.
    pub allocation_size: i64,
}

/// The two ends of a relation. `A` is the model that comes first in the alphabet; in a self
/// relation the field that comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first end.
    A,
    /// The second end.
    B,
}

impl Side {
    /// The opposite end.
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
    /// The end [`Side::A`].
    pub a: RelationEnd,
    /// The end [`Side::B`].
    pub b: RelationEnd,
    /// Where the links are.
    pub storage: RelationStorage,
}

/// One end of a relation: the model that stands there and its field that leads to the other end.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationEnd {
    /// The model.
    pub model: ModelId,
    /// `None` when the datamodel leaves the back relation out. Such an end counts as an optional
    /// list.
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
    Inline {
        /// The end whose table has the column.
        side: Side,
        /// The column's name, unquoted.
        column: String,
    },
    /// A table of its own with columns `a_column` (ids of the model at [`Side::A`]) and `b_column`.
    Table {
        /// The table's name, unquoted.
        table: String,
        /// The column with the ids of the model at [`Side::A`].
        a_column: String,
        /// The column with the ids of the model at [`Side::B`].
        b_column: String,
        /// The column of `@id`, if the datamodel declares one.
        id_column: Option<String>,
    },
}

impl DataModel {
    /// The model with the id.
    pub fn model(&self, id: ModelId) -> &Model {
        &self.models[id.0]
    }

    /// The field with the id.
    pub fn field(&self, model: ModelId, field: FieldId) -> &Field {
        &self.models[model.0].fields[field.0]
    }

    /// The relation with the id, or that of a relation field.
    pub fn relation(&self, id: RelationId) -> &Relation {
        &self.relations[id.0]
    }

    /// The enum with the id.
    pub fn enumeration(&self, id: EnumId) -> &Enum {
        &self.enums[id.0]
    }

    /// The ids of all models, in the order of the text.
    pub fn model_ids(&self) -> impl Iterator<Item = ModelId> + use<> {
        (0..self.models.len()).map(ModelId)
    }

    /// The model of that name.
    pub fn model_named(&self, name: &str) -> Option<ModelId> {
        self.models.iter().position(|m| m.name == name).map(ModelId)
    }
}

impl Model {
    /// The field with the id.
    pub fn field(&self, id: FieldId) -> &Field {
        &self.fields[id.0]
    }

    /// The field marked `@id`.
    pub fn id_field(&self) -> &Field {
        &self.fields[self.id.0]
    }

    /// The ids of all fields, in the order of the text.
    pub fn field_ids(&self) -> impl Iterator<Item = FieldId> + use<> {
        (0..self.fields.len()).map(FieldId)
    }

    /// The field of that name.
    pub fn field_named(&self, name: &str) -> Option<FieldId> {
        self.fields.iter().position(|f| f.name == name).map(FieldId)
    }

    /// The table that holds the values of a scalar list of this model.
    pub fn list_table(&self, field: &Field) -> String {
        format!("{}_{}", self.table, field.column)
    }
}

impl Field {
    /// The relation with the id, or that of a relation field.
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
    /// The end at that side.
    pub fn end(&self, side: Side) -> &RelationEnd {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}
