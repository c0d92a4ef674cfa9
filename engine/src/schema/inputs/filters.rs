//! Inputs that choose rows: `XWhereInput` and its kin.

use super::{InputFields, InputKey};
use crate::datamodel::{FieldId, FieldKind, ModelId, ScalarType};
use crate::schema::builder::{Builder, data, described, plain};
use crate::schema::types::*;
use crate::sql::Comparison;

use Comparison::*;

/// (suffix of the key, whether it takes a list, description)
const COMPARISONS: [(Comparison, &str, bool, Option<&str>); 14] = [
    (Equals, "", false, None),
    (
        Not,
        "_not",
        false,
        Some("All values that are not equal to given value."),
    ),
    (
        In,
        "_in",
        true,
        Some("All values that are contained in given list."),
    ),
    (
        NotIn,
        "_not_in",
        true,
        Some("All values that are not contained in given list."),
    ),
    (
        LessThan,
        "_lt",
        false,
        Some("All values less than the given value."),
    ),
    (
        LessOrEqual,
        "_lte",
        false,
        Some("All values less than or equal the given value."),
    ),
    (
        GreaterThan,
        "_gt",
        false,
        Some("All values greater than the given value."),
    ),
    (
        GreaterOrEqual,
        "_gte",
        false,
        Some("All values greater than or equal the given value."),
    ),
    (
        Contains,
        "_contains",
        false,
        Some("All values containing the given string."),
    ),
    (
        NotContains,
        "_not_contains",
        false,
        Some("All values not containing the given string."),
    ),
    (
        StartsWith,
        "_starts_with",
        false,
        Some("All values starting with the given string."),
    ),
    (
        NotStartsWith,
        "_not_starts_with",
        false,
        Some("All values not starting with the given string."),
    ),
    (
        EndsWith,
        "_ends_with",
        false,
        Some("All values ending with the given string."),
    ),
    (
        NotEndsWith,
        "_not_ends_with",
        false,
        Some("All values not ending with the given string."),
    ),
];

/// How many of [`COMPARISONS`], from the first, a kind of column has.
fn comparisons(kind: FieldKind) -> usize {
    use ScalarType::*;
    match kind {
        FieldKind::Scalar(Id | String) => 14,
        FieldKind::Scalar(Int | Float | DateTime) => 8,
        FieldKind::Scalar(Uuid) | FieldKind::Enum(_) => 4,
        FieldKind::Scalar(Boolean) => 2,
        FieldKind::Scalar(Json) | FieldKind::Relation(_) => 0,
    }
}

pub(super) fn full(builder: &mut Builder, model: ModelId) -> InputFields {
    let mut fields = combinators(builder, InputKey::Where(model));
    add_columns(builder, model, &mut fields);
    let of = builder.datamodel.model(model);
    for id in of.field_ids() {
        let field = of.field(id);
        let Some(relation) = field.relation() else {
            continue;
        };
        let target = TypeRef::Input(builder.input(InputKey::Where(relation.target)));
        if field.list {
            for (suffix, meaning) in [
                ("every", InputMeaning::RelatedEvery(id)),
                ("some", InputMeaning::RelatedSome(id)),
                ("none", InputMeaning::RelatedNone(id)),
            ] {
                fields.insert(
                    format!("{}_{suffix}", field.name),
                    plain(target.clone(), meaning),
                );
            }
        } else {
            fields.insert(
                field.name.clone(),
                plain(target, InputMeaning::RelatedIs(id)),
            );
        }
    }
    fields
}

pub(super) fn scalars_only(builder: &mut Builder, model: ModelId) -> InputFields {
    let mut fields = combinators(builder, InputKey::ScalarWhere(model));
    add_columns(builder, model, &mut fields);
    fields
}

pub(super) fn unique(builder: &mut Builder, model: ModelId) -> InputFields {
    let of = builder.datamodel.model(model);
    let is_unique =
        |id: &FieldId| of.field(*id).is_column() && (of.field(*id).unique || *id == of.id);
    let mut fields = InputFields::new();
    for id in of.field_ids().filter(is_unique) {
        if let Some(ty) = builder.value_type(of.field(id)) {
            fields.insert(
                of.field(id).name.clone(),
                plain(ty, InputMeaning::Value(id)),
            );
        }
    }
    fields
}

pub(super) fn subscription(builder: &mut Builder, model: ModelId) -> InputFields {
    let mut fields = combinators(builder, InputKey::SubscriptionWhere(model));
    let mutation_type = TypeRef::Enum(builder.mutation_type());
    let node = TypeRef::Input(builder.input(InputKey::Where(model)));
    let string = data(ScalarType::String);
    let only_when = [
        (
            "mutation_in",
            described(
                "The subscription event gets dispatched when it's listed in mutation_in",
                mutation_type.list(),
                InputMeaning::MutationIn,
            ),
        ),
        (
            "updatedFields_contains",
            described(
                "The subscription event gets only dispatched when one of the updated fields names is included in this list",
                string.clone(),
                InputMeaning::UpdatedFieldsContains,
            ),
        ),
        (
            "updatedFields_contains_every",
            described(
                "The subscription event gets only dispatched when all of the field names included in this list have \
                 been updated",
                string.clone().list(),
                InputMeaning::UpdatedFieldsContainsEvery,
            ),
        ),
        (
            "updatedFields_contains_some",
            described(
                "The subscription event gets only dispatched when some of the field names included in this list have \
                 been updated",
                string.list(),
                InputMeaning::UpdatedFieldsContainsSome,
            ),
        ),
        ("node", plain(node, InputMeaning::EventNode)),
    ];
    fields.extend(only_when.map(|(name, field)| (name.to_owned(), field)));
    fields
}

/// `AND`, `OR`, `NOT` over lists of the same type.
fn combinators(builder: &mut Builder, own: InputKey) -> InputFields {
    let list = TypeRef::Input(builder.input(own)).list();
    [
        (
            "AND",
            "Logical AND on all given filters.",
            InputMeaning::And,
        ),
        ("OR", "Logical OR on all given filters.", InputMeaning::Or),
        (
            "NOT",
            "Logical NOT on all given filters combined by AND.",
            InputMeaning::Not,
        ),
    ]
    .map(|(name, description, meaning)| {
        (
            name.to_owned(),
            described(description, list.clone(), meaning),
        )
    })
    .into_iter()
    .collect()
}

fn add_columns(builder: &mut Builder, model: ModelId, fields: &mut InputFields) {
    let of = builder.datamodel.model(model);
    for id in of.field_ids().filter(|id| of.field(*id).is_column()) {
        let field = of.field(id);
        let Some(ty) = builder.value_type(field) else {
            continue;
        };
        for (comparison, suffix, takes_list, description) in &COMPARISONS[..comparisons(field.kind)]
        {
            let ty = if *takes_list {
                ty.clone().list()
            } else {
                ty.clone()
            };
            let meaning = InputMeaning::Compare(id, *comparison);
            let input = InputField {
                description: *description,
                ty,
                meaning,
            };
            fields.insert(format!("{}{suffix}", field.name), input);
        }
    }
}
