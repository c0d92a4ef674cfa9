//! The API's types as plain data, each part tagged with what it means for the datamodel, so that later
//! stages never take names apart again.

use std::collections::HashSet;

use indexmap::IndexMap;

use crate::datamodel::{EnumId, FieldId, ModelId, ScalarType};
use crate::sql::Comparison;

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
    pub query: ObjectId,
    pub mutation: ObjectId,
    pub subscription: ObjectId,
    /// For each model, in the datamodel's order, the types that stages ask for without a path to them.
    pub models: Vec<ModelTypes>,
    /// Names that the datamodel gives to two things of the API, each as a sentence for people. A schema
    /// with any of these cannot be served: [`super::Served::new`] refuses it.
    pub clashes: Vec<String>,
}

/// The types of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelTypes {
    pub object: ObjectId,
    pub where_input: InputId,
    pub where_unique_input: InputId,
    pub order_by: EnumTypeId,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TypeRef {
    Scalar(Scalar),
    Enum(EnumTypeId),
    Input(InputId),
    Object(ObjectId),
    /// The interface `Node`: the single field `id: ID!`, on the objects that say `implements_node`.
    Node,
    List(Box<TypeRef>),
    NonNull(Box<TypeRef>),
}

impl TypeRef {
    /// `T!`
    #[must_use]
    pub fn required(self) -> TypeRef {
        TypeRef::NonNull(Box::new(self))
    }

    /// `[T!]`
    #[must_use]
    pub fn list(self) -> TypeRef {
        TypeRef::List(Box::new(self.required()))
    }

    /// The type without its lists and non-nulls.
    pub fn named(&self) -> &TypeRef {
        match self {
            TypeRef::List(inner) | TypeRef::NonNull(inner) => inner.named(),
            named => named,
        }
    }
}

/// The API's scalars: the datamodel's, and `Long`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    Data(ScalarType),
    Long,
}

impl Scalar {
    pub const ALL: [Scalar; 9] = [
        Scalar::Data(ScalarType::Id),
        Scalar::Data(ScalarType::String),
        Scalar::Data(ScalarType::Int),
        Scalar::Data(ScalarType::Float),
        Scalar::Data(ScalarType::Boolean),
        Scalar::Data(ScalarType::DateTime),
        Scalar::Data(ScalarType::Json),
        Scalar::Data(ScalarType::Uuid),
        Scalar::Long,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Scalar::Data(ScalarType::Id) => "ID",
            Scalar::Data(ScalarType::String) => "String",
            Scalar::Data(ScalarType::Int) => "Int",
            Scalar::Data(ScalarType::Float) => "Float",
            Scalar::Data(ScalarType::Boolean) => "Boolean",
            Scalar::Data(ScalarType::DateTime) => "DateTime",
            Scalar::Data(ScalarType::Json) => "Json",
            Scalar::Data(ScalarType::Uuid) => "UUID",
            Scalar::Long => "Long",
        }
    }

    pub fn description(self) -> Option<&'static str> {
        match self {
            Scalar::Data(ScalarType::Json) => Some("Raw JSON value"),
            Scalar::Long => Some(
                "The `Long` scalar type represents non-fractional signed whole numeric values.\nLong can represent \
                 values between -(2^63) and 2^63 - 1.",
            ),
            Scalar::Data(_) => None,
        }
    }

    /// Whether GraphQL itself defines the scalar, so that no schema declares it.
    pub fn is_built_in(self) -> bool {
        use ScalarType::*;
        matches!(self, Scalar::Data(Id | String | Int | Float | Boolean))
    }
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
    /// The model whose fields the [`FieldId`]s in this type's meanings name.
    pub model: ModelId,
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

    /// The scalars that the schema uses and must declare.
    pub fn declared_scalars(&self) -> Vec<Scalar> {
        let outputs = self
            .objects
            .iter()
            .flat_map(|object| object.fields.values());
        let args = outputs.clone().flat_map(|field| field.args.values());
        let inputs = self.inputs.iter().flat_map(|input| input.fields.values());
        let used: HashSet<Scalar> = (outputs.map(|field| &field.ty))
            .chain(args.chain(inputs).map(|input| &input.ty))
            .filter_map(|ty| match ty.named() {
                TypeRef::Scalar(scalar) => Some(*scalar),
                _ => None,
            })
            .collect();
        Scalar::ALL
            .into_iter()
            .filter(|scalar| !scalar.is_built_in() && used.contains(scalar))
            .collect()
    }

    /// The object type that shows a model's rows.
    pub fn object_of(&self, model: ModelId) -> ObjectId {
        self.models[model.0].object
    }

    /// `XWhereInput`
    pub fn where_input(&self, model: ModelId) -> InputId {
        self.models[model.0].where_input
    }

    /// `XWhereUniqueInput`
    pub fn where_unique_input(&self, model: ModelId) -> InputId {
        self.models[model.0].where_unique_input
    }

    /// `XOrderByInput`
    pub fn order_by(&self, model: ModelId) -> EnumTypeId {
        self.models[model.0].order_by
    }

    /// A type as it is written in SDL and in messages: `[Order!]!`.
    pub fn type_text(&self, ty: &TypeRef) -> String {
        match ty {
            TypeRef::List(inner) => format!("[{}]", self.type_text(inner)),
            TypeRef::NonNull(inner) => format!("{}!", self.type_text(inner)),
            named => self.type_name(named).to_owned(),
        }
    }

    /// The name of a type without its lists and non-nulls.
    pub fn type_name<'s>(&'s self, ty: &TypeRef) -> &'s str {
        match ty.named() {
            TypeRef::Scalar(scalar) => scalar.name(),
            TypeRef::Enum(id) => &self.enumeration(*id).name,
            TypeRef::Input(id) => &self.input(*id).name,
            TypeRef::Object(id) => &self.object(*id).name,
            _ => NODE,
        }
    }
}

/// The name of the interface that every model with a field `id: ID!` marked `@id` implements.
pub const NODE: &str = "Node";

/// What the API says of the interface `Node` and of its field `id`.
pub(super) const NODE_DESCRIPTIONS: [&str; 2] = ["An object with an ID", "The id of the object."];
