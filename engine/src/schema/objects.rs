//! The object types around each model: its rows, connections, and the payloads of subscriptions.

use indexmap::IndexMap;

use super::builder::{Builder, data, plain};
use super::inputs::InputKey;
use super::types::*;
use crate::datamodel::{Field, FieldKind, Model, ModelId, ScalarType};

pub(super) type OutputFields = IndexMap<String, OutputField>;

pub(super) fn output(ty: TypeRef, meaning: OutputMeaning) -> OutputField {
    OutputField {
        description: None,
        args: IndexMap::new(),
        ty,
        meaning,
    }
}

fn described(description: &'static str, ty: TypeRef, meaning: OutputMeaning) -> OutputField {
    OutputField {
        description: Some(description),
        ..output(ty, meaning)
    }
}

fn named<const N: usize>(fields: [(&str, OutputField); N]) -> OutputFields {
    fields
        .map(|(name, field)| (name.to_owned(), field))
        .into_iter()
        .collect()
}

/// `Node` requires a field `id: ID!`.
fn implements_node(model: &Model) -> bool {
    let id = model.id_field();
    id.name == "id" && id.kind == FieldKind::Scalar(ScalarType::Id)
}

/// The object types of all models, without fields yet: the others refer to them.
pub(super) fn reserve(builder: &mut Builder) -> Vec<ModelTypes> {
    let datamodel = builder.datamodel;
    let types = |model: ModelId| {
        let of = datamodel.model(model);
        ModelTypes {
            object: builder.add_object(ObjectType {
                name: of.name.clone(),
                description: None,
                implements_node: implements_node(of),
                model: Some(model),
                fields: IndexMap::new(),
            }),
            where_input: builder.input(InputKey::Where(model)),
            where_unique_input: builder.input(InputKey::WhereUnique(model)),
            order_by: builder.order_by(model),
        }
    };
    datamodel.model_ids().map(types).collect()
}

/// Gives a model's object type its fields, in the datamodel's order.
pub(super) fn fill(builder: &mut Builder, models: &[ModelTypes], model: ModelId) {
    let of = builder.datamodel.model(model);
    let mut fields = OutputFields::new();
    for id in of.field_ids() {
        let field = of.field(id);
        let made = match field.relation() {
            None => value(builder, field).map(|(ty, list)| {
                output(
                    ty,
                    if list {
                        OutputMeaning::ScalarList(id)
                    } else {
                        OutputMeaning::Column(id)
                    },
                )
            }),
            Some(relation) => {
                let target = TypeRef::Object(models[relation.target.0].object);
                Some(if field.list {
                    let args = list_args(models[relation.target.0]);
                    OutputField {
                        args,
                        ..output(target.list(), OutputMeaning::ToMany(id))
                    }
                } else {
                    let ty = if field.required {
                        target.required()
                    } else {
                        target
                    };
                    output(ty, OutputMeaning::ToOne(id))
                })
            }
        };
        fields.extend(made.map(|made| (field.name.clone(), made)));
    }
    builder.set_fields(models[model.0].object, fields);
}

/// The type that shows a scalar or enum field, and whether it is a list; `None` for a relation.
fn value(builder: &mut Builder, field: &Field) -> Option<(TypeRef, bool)> {
    let ty = builder.value_type(field)?;
    Some(match (field.list, field.required) {
        (true, _) => (ty.list().required(), true),
        (false, true) => (ty.required(), false),
        (false, false) => (ty, false),
    })
}

/// The arguments of every list of rows.
pub(super) fn list_args(of: ModelTypes) -> IndexMap<String, InputField> {
    let int = || data(ScalarType::Int);
    let string = || data(ScalarType::String);
    [
        ("where", TypeRef::Input(of.where_input), InputMeaning::Where),
        ("orderBy", TypeRef::Enum(of.order_by), InputMeaning::OrderBy),
        ("skip", int(), InputMeaning::Skip),
        ("after", string(), InputMeaning::After),
        ("before", string(), InputMeaning::Before),
        ("first", int(), InputMeaning::First),
        ("last", int(), InputMeaning::Last),
    ]
    .map(|(name, ty, meaning)| (name.to_owned(), plain(ty, meaning)))
    .into_iter()
    .collect()
}

fn object(name: String, description: Option<&'static str>, fields: OutputFields) -> ObjectType {
    ObjectType {
        name,
        description,
        implements_node: false,
        model: None,
        fields,
    }
}

pub(super) fn page_info(builder: &mut Builder) -> ObjectId {
    let boolean = || data(ScalarType::Boolean).required();
    let string = || data(ScalarType::String);
    let fields = named([
        (
            "hasNextPage",
            described(
                "When paginating forwards, are there more items?",
                boolean(),
                OutputMeaning::HasNextPage,
            ),
        ),
        (
            "hasPreviousPage",
            described(
                "When paginating backwards, are there more items?",
                boolean(),
                OutputMeaning::HasPreviousPage,
            ),
        ),
        (
            "startCursor",
            described(
                "When paginating backwards, the cursor to continue.",
                string(),
                OutputMeaning::StartCursor,
            ),
        ),
        (
            "endCursor",
            described(
                "When paginating forwards, the cursor to continue.",
                string(),
                OutputMeaning::EndCursor,
            ),
        ),
    ]);
    builder.add_object(object(
        "PageInfo".to_owned(),
        Some("Information about pagination in a connection."),
        fields,
    ))
}

/// `XConnection`, with `XEdge` and `AggregateX`.
pub(super) fn connection(
    builder: &mut Builder,
    model: &Model,
    row: ObjectId,
    page_info: ObjectId,
) -> ObjectId {
    let aggregate = named([(
        "count",
        output(data(ScalarType::Int).required(), OutputMeaning::Count),
    )]);
    let aggregate = builder.add_object(object(format!("Aggregate{}", model.name), None, aggregate));

    let cursor = data(ScalarType::String).required();
    let edge = named([
        (
            "node",
            described(
                "The item at the end of the edge.",
                TypeRef::Object(row).required(),
                OutputMeaning::EdgeNode,
            ),
        ),
        (
            "cursor",
            described(
                "A cursor for use in pagination.",
                cursor,
                OutputMeaning::EdgeCursor,
            ),
        ),
    ]);
    let edge = builder.add_object(object(
        format!("{}Edge", model.name),
        Some("An edge in a connection."),
        edge,
    ));

    let edges = TypeRef::List(Box::new(TypeRef::Object(edge))).required();
    let fields = named([
        (
            "pageInfo",
            described(
                "Information to aid in pagination.",
                TypeRef::Object(page_info).required(),
                OutputMeaning::PageInfo,
            ),
        ),
        (
            "edges",
            described("A list of edges.", edges, OutputMeaning::Edges),
        ),
        (
            "aggregate",
            output(
                TypeRef::Object(aggregate).required(),
                OutputMeaning::Aggregate,
            ),
        ),
    ]);
    let description = Some("A connection to a list of items.");
    builder.add_object(object(
        format!("{}Connection", model.name),
        description,
        fields,
    ))
}

pub(super) fn batch_payload(builder: &mut Builder) -> ObjectId {
    let count = described(
        "The number of nodes that have been affected by the Batch operation.",
        TypeRef::Scalar(Scalar::Long).required(),
        OutputMeaning::Count,
    );
    builder.add_object(object(
        "BatchPayload".to_owned(),
        None,
        named([("count", count)]),
    ))
}

/// `XSubscriptionPayload`, with `XPreviousValues`.
pub(super) fn subscription_payload(
    builder: &mut Builder,
    model: ModelId,
    row: ObjectId,
) -> ObjectId {
    let of = builder.datamodel.model(model);
    let mut previous = OutputFields::new();
    for id in of.field_ids() {
        if let Some((ty, list)) = value(builder, of.field(id)) {
            let meaning = if list {
                OutputMeaning::ScalarList(id)
            } else {
                OutputMeaning::Column(id)
            };
            previous.insert(of.field(id).name.clone(), output(ty, meaning));
        }
    }
    let previous = ObjectType {
        model: Some(model),
        ..object(format!("{}PreviousValues", of.name), None, previous)
    };
    let previous = builder.add_object(previous);

    let mutation = TypeRef::Enum(builder.mutation_type()).required();
    let fields = named([
        ("mutation", output(mutation, OutputMeaning::EventMutation)),
        (
            "node",
            output(TypeRef::Object(row), OutputMeaning::EventNode),
        ),
        (
            "updatedFields",
            output(
                data(ScalarType::String).list(),
                OutputMeaning::EventUpdatedFields,
            ),
        ),
        (
            "previousValues",
            output(
                TypeRef::Object(previous),
                OutputMeaning::EventPreviousValues,
            ),
        ),
    ]);
    builder.add_object(object(
        format!("{}SubscriptionPayload", of.name),
        None,
        fields,
    ))
}
