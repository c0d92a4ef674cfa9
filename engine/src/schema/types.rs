//! The API's types as plain data, each part tagged with what it means for the datamodel, so that later
//! stages never take names apart again.

use indexmap::IndexMap;

use crate::datamodel::{EnumId, FieldId, ModelId, ScalarType};

/// Position in [`Schema::inputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputId(pub usize);

/// Position in [`Schema::objects`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId(pub usize);

/// Position in [`Schema::enums`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnumTypeId(pub usize);

/// The whole API, generated from a datamodel.
#[derive(Debug)]
pub struct Schema {
    pub objects: Vec<ObjectType>,
    pub inputs: Vec<InputType>,
    pub enums: Vec<EnumType>,
    /// Whether any model implements the interface `Node`, so that it and the field `node` exist.
    pub has_node: bool,
    pub query: ObjectId,
    pub mutation: ObjectId,
    pub subscription: ObjectId,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TypeRef {
    Scalar(Scalar),
    Enum(EnumTypeId),
    Input(InputId),
    Object(ObjectId),
    /// The interface `Node`.
    Node,
    List(Box<TypeRef>),
    NonNull(Box<TypeRef>),
}

/// The API's scalars: the datamodel's, and `Long`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    Data(ScalarType),
    Long,
}

#[derive(Debug)]
pub struct ObjectType {
    pub name: String,
    pub description: Option<&'static str>,
    pub implements_node: bool,
    /// The model whose rows this type shows, if it is a model's type.
    pub model: Option<ModelId>,
    pub fields: IndexMap<String, OutputField>,
}

#[derive(Debug)]
pub struct OutputField {
    pub description: Option<&'static str>,
    pub args: IndexMap<String, InputField>,
    pub ty: TypeRef,
    pub meaning: OutputMeaning,
}

/// What a field of an object type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMeaning {
    // Query
    FindMany(ModelId),
    FindOne(ModelId),
    Connection(ModelId),
    Node,
    // Mutation
    Create(ModelId),
    Update(ModelId),
    Delete(ModelId),
    Upsert(ModelId),
    UpdateMany(ModelId),
    DeleteMany(ModelId),
    ExecuteRaw,
    // Subscription
    Subscribe(ModelId),
    // model types
    Column(FieldId),
    ScalarList(FieldId),
    ToOne(FieldId),
    ToMany(FieldId),
    // connections
    PageInfo,
    Edges,
    Aggregate,
    HasNextPage,
    HasPreviousPage,
    StartCursor,
    EndCursor,
    EdgeNode,
    EdgeCursor,
    /// `count` of an aggregate and of a `BatchPayload`.
    Count,
    // subscription payloads
    EventMutation,
    EventNode,
    EventUpdatedFields,
    EventPreviousValues,
}

#[derive(Debug)]
pub struct InputType {
    pub name: String,
    pub fields: IndexMap<String, InputField>,
}

/// An input object's field, or an argument.
#[derive(Debug)]
pub struct InputField {
    pub description: Option<&'static str>,
    pub ty: TypeRef,
    pub meaning: InputMeaning,
}

/// What an argument or an input object's field stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputMeaning {
    // arguments, and keys of nested writes that carry the same name
    Where,
    Data,
    Create,
    Update,
    OrderBy,
    Skip,
    After,
    Before,
    First,
    Last,
    /// `node(id:)`
    NodeId,
    RawDatabase,
    RawQuery,
    // filters
    And,
    Or,
    Not,
    Compare(FieldId, Comparison),
    /// `field: XWhereInput` on a to-one relation
    RelatedIs(FieldId),
    RelatedEvery(FieldId),
    RelatedSome(FieldId),
    RelatedNone(FieldId),
    // unique look-ups and data
    /// A scalar or enum field's value (in a unique `where` or in data).
    Value(FieldId),
    /// A scalar list's `{ set: … }`.
    ListValue(FieldId),
    /// A relation field's nested writes.
    Relation(FieldId),
    // nested writes (besides Create, Update)
    Connect,
    Set,
    Disconnect,
    Delete,
    UpdateMany,
    DeleteMany,
    Upsert,
    // subscriptions
    MutationIn,
    UpdatedFieldsContains,
    UpdatedFieldsContainsEvery,
    UpdatedFieldsContainsSome,
    EventNode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equals,
    Not,
    In,
    NotIn,
    LessThan,
    LessOrEqual,
    GreaterThan,
    GreaterOrEqual,
    Contains,
    NotContains,
    StartsWith,
    NotStartsWith,
    EndsWith,
    NotEndsWith,
}

#[derive(Debug)]
pub struct EnumType {
    pub name: String,
    pub values: Vec<String>,
    pub meaning: EnumMeaning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnumMeaning {
    /// An enum of the datamodel.
    Data(EnumId),
    /// `XOrderByInput`: for each value the field and whether it descends.
    OrderBy(Vec<(FieldId, bool)>),
    /// `MutationType`
    MutationType,
    /// `PrismaDatabase`
    Database,
}

impl Schema {
    pub fn object(&self, id: ObjectId) -> &ObjectType {
        &self.objects[id.0]
    }

    pub fn input(&self, id: InputId) -> &InputType {
        &self.inputs[id.0]
    }

    pub fn enumeration(&self, id: EnumTypeId) -> &EnumType {
        &self.enums[id.0]
    }
}
