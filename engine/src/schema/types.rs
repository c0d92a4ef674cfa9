//! The API's types as plain data, each part tagged with what it means for the datamodel, so that
//! later stages never take names apart again.

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
    /// All object types, the roots included.
    pub objects: Vec<ObjectType>,
    /// All input types.
    pub inputs: Vec<InputType>,
    /// All enum types.
    pub enums: Vec<EnumType>,
    /// The root type of queries.
    pub query: ObjectId,
    /// The root type of mutations.
    pub mutation: ObjectId,
    /// The root type of subscriptions.
    pub subscription: ObjectId,
    /// For each model, in the datamodel's order, the types that later stages look up directly.
    pub models: Vec<ModelTypes>,
    /// Names that the datamodel gives to two things of the API, each as a sentence for people. A
    /// schema with any of these cannot be served: [`super::Served::new`] refuses it.
    pub clashes: Vec<String>,
}

/// The types of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelTypes {
    /// The type of the model's rows, such as `Order`.
    pub object: ObjectId,
    /// `OrderWhereInput`
    pub where_input: InputId,
    /// `OrderWhereUniqueInput`
    pub where_unique_input: InputId,
    /// `OrderOrderByInput`
    pub order_by: EnumTypeId,
}

/// A type as a field or argument has it.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeRef {
    /// A scalar.
    Scalar(Scalar),
    /// An enum type.
    Enum(EnumTypeId),
    /// An input type; in arguments and input fields only.
    Input(InputId),
    /// An object type; in output fields only.
    Object(ObjectId),
    /// The interface `Node`: the single field `id: ID!`, on the objects with `implements_node`.
    Node,
    /// A list of a type.
    List(Box<TypeRef>),
    /// A type whose values are never null.
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
    /// A scalar of the datamodel.
    Data(ScalarType),
    /// `Long`, which only the API has: counts.
    Long,
}

impl Scalar {
    /// Every scalar, in the order in which SDL lists them.
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

    /// The name in SDL.
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

    /// The description in SDL, if it has one.
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

/// An object type.
#[derive(Debug)]
pub struct ObjectType {
    /// The name in SDL.
    pub name: String,
    /// The description in SDL, if it has one.
    pub description: Option<&'static str>,
    /// Whether it implements the interface `Node`.
    pub implements_node: bool,
    /// The model whose rows this type shows, if it is a model's type.
    pub model: Option<ModelId>,
    /// The fields by their names, in the API's order.
    pub fields: IndexMap<String, OutputField>,
}

/// A field of an object type.
#[derive(Debug)]
pub struct OutputField {
    /// The description in SDL, if it has one.
    pub description: Option<&'static str>,
    /// The arguments by their names, in the API's order.
    pub args: IndexMap<String, InputField>,
    /// The type of its values.
    pub ty: TypeRef,
    /// What it stands for.
    pub meaning: OutputMeaning,
}

/// What a field of an object type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMeaning {
    // Query
    /// `orders`: the rows that a filter finds.
    FindMany(ModelId),
    /// `order`: the row with a unique value.
    FindOne(ModelId),
    /// `ordersConnection`: a page of rows with its edges, cursors and counts.
    Connection(ModelId),
    /// `node`: the row with an id, of whatever model.
    Node,
    // Mutation
    /// `createOrder`
    Create(ModelId),
    /// `updateOrder`
    Update(ModelId),
    /// `deleteOrder`
    Delete(ModelId),
    /// `upsertOrder`: updates the row with a unique value, or creates it.
    Upsert(ModelId),
    /// `updateManyOrders`
    UpdateMany(ModelId),
    /// `deleteManyOrders`
    DeleteMany(ModelId),
    /// `executeRaw`: runs SQL that the request holds.
    ExecuteRaw,
    // Subscription
    /// `order`: events of changed rows.
    Subscribe(ModelId),
    // model types
    /// A scalar or enum field.
    Column(FieldId),
    /// A list of scalars or enum values.
    ScalarList(FieldId),
    /// A relation field with at most one partner.
    ToOne(FieldId),
    /// A relation field with any number of partners.
    ToMany(FieldId),
    // connections
    /// `pageInfo` of a connection.
    PageInfo,
    /// `edges` of a connection.
    Edges,
    /// `aggregate` of a connection.
    Aggregate,
    /// `hasNextPage` of `pageInfo`.
    HasNextPage,
    /// `hasPreviousPage` of `pageInfo`.
    HasPreviousPage,
    /// `startCursor` of `pageInfo`.
    StartCursor,
    /// `endCursor` of `pageInfo`.
    EndCursor,
    /// `node` of an edge.
    EdgeNode,
    /// `cursor` of an edge.
    EdgeCursor,
    /// `count` of an aggregate and of a `BatchPayload`.
    Count,
    // subscription payloads
    /// `mutation`: what happened to the row.
    EventMutation,
    /// `node`: the row now.
    EventNode,
    /// `updatedFields`: the names of the changed fields.
    EventUpdatedFields,
    /// `previousValues`: the row's scalars before the change.
    EventPreviousValues,
}

/// An input type.
#[derive(Debug)]
pub struct InputType {
    /// The name in SDL.
    pub name: String,
    /// The model whose fields the [`FieldId`]s in this type's meanings name.
    pub model: ModelId,
    /// The fields by their names, in the API's order.
    pub fields: IndexMap<String, InputField>,
}

/// An input object's field, or an argument.
#[derive(Debug)]
pub struct InputField {
    /// The description in SDL, if it has one.
    pub description: Option<&'static str>,
    /// The type of its values.
    pub ty: TypeRef,
    /// What it stands for.
    pub meaning: InputMeaning,
}

/// What an argument or an input object's field stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputMeaning {
    // arguments, and keys of nested writes that carry the same name
    /// `where`
    Where,
    /// `data`
    Data,
    /// `create`
    Create,
    /// `update`
    Update,
    /// `orderBy`
    OrderBy,
    /// `skip`
    Skip,
    /// `after`: an exclusive cursor, the id of a row.
    After,
    /// `before`: an exclusive cursor, the id of a row.
    Before,
    /// `first`
    First,
    /// `last`
    Last,
    /// `node(id:)`
    NodeId,
    /// `database` of `executeRaw`.
    RawDatabase,
    /// `query` of `executeRaw`: SQL.
    RawQuery,
    // filters
    /// `AND`: all filters of the list hold.
    And,
    /// `OR`: a filter of the list holds.
    Or,
    /// `NOT`: no filter of the list holds.
    Not,
    /// A comparison of a scalar or enum field, such as `price_gt`.
    Compare(FieldId, Comparison),
    /// `field: XWhereInput` on a to-one relation
    RelatedIs(FieldId),
    /// `field_every`
    RelatedEvery(FieldId),
    /// `field_some`
    RelatedSome(FieldId),
    /// `field_none`
    RelatedNone(FieldId),
    // unique look-ups and data
    /// A scalar or enum field's value (in a unique `where` or in data).
    Value(FieldId),
    /// A scalar list's `{ set: … }`.
    ListValue(FieldId),
    /// A relation field's nested writes.
    Relation(FieldId),
    // nested writes (besides Create, Update)
    /// `connect`
    Connect,
    /// `set`
    Set,
    /// `disconnect`
    Disconnect,
    /// `delete`
    Delete,
    /// `updateMany`
    UpdateMany,
    /// `deleteMany`
    DeleteMany,
    /// `upsert`
    Upsert,
    // subscriptions
    /// `mutation_in`: the kinds of change.
    MutationIn,
    /// `updatedFields_contains`
    UpdatedFieldsContains,
    /// `updatedFields_contains_every`
    UpdatedFieldsContainsEvery,
    /// `updatedFields_contains_some`
    UpdatedFieldsContainsSome,
    /// `node`: a filter on the changed row.
    EventNode,
}

/// An enum type.
#[derive(Debug)]
pub struct EnumType {
    /// The name in SDL.
    pub name: String,
    /// The values, in the API's order.
    pub values: Vec<String>,
    /// What its values stand for.
    pub meaning: EnumMeaning,
}

/// What an enum type stands for.
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
    /// The object type with the id.
    pub fn object(&self, id: ObjectId) -> &ObjectType {
        &self.objects[id.0]
    }

    /// The input type with the id.
    pub fn input(&self, id: InputId) -> &InputType {
        &self.inputs[id.0]
    }

    /// The enum type with the id.
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

/// The descriptions of the interface `Node` and of its field `id`.
pub(super) const NODE_DESCRIPTIONS: [&str; 2] = ["An object with an ID", "The id of the object."];
