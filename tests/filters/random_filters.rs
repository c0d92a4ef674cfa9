//! Filters of chance: comparisons with values that stand in the rows, relations, and combinators.

use gom_engine::datamodel::{Field, FieldKind, ModelId, ScalarType};
use gom_test_support::random::world::{COLORS, FLOATS, TEXTS, TIMES, UUIDS, World};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// How deep relations and combinators nest.
const DEPTH: usize = 3;

/// Per model, filters of it.
pub fn filters(world: &World) -> Vec<BoxedStrategy<Value>> {
    let model = &world.model;
    let plain: Vec<_> = model.model_ids().map(|id| comparisons(world, id)).collect();
    let mut filters: Vec<BoxedStrategy<Value>> =
        plain.iter().map(|entry| objects(entry.clone())).collect();
    for _ in 0..DEPTH {
        let deeper = model.model_ids().map(|id| {
            let mut related = Vec::new();
            for field in &model.model(id).fields {
                let Some(relation) = field.relation() else {
                    continue;
                };
                let inner =
                    prop_oneof![12 => filters[relation.target.0].clone(), 1 => Just(json!({}))];
                if field.list {
                    for quantifier in ["some", "every", "none"] {
                        let key = format!("{}_{quantifier}", field.name);
                        let inner = prop_oneof![60 => inner.clone(), 1 => Just(Value::Null)];
                        related.push(inner.prop_map(move |v| (key.clone(), v)).boxed());
                    }
                } else {
                    let key = field.name.clone();
                    let inner = prop_oneof![6 => inner, 1 => Just(Value::Null)];
                    related.push(inner.prop_map(move |v| (key.clone(), v)).boxed());
                }
            }
            let same = filters[id.0].clone();
            let parts = prop_oneof![
                8 => vec(same.clone(), 0..4).prop_map(Value::Array),
                1 => same,
                1 => Just(Value::Null),
            ];
            let combined =
                (select(&["AND", "OR", "NOT"][..]), parts).prop_map(|(k, v)| (k.to_owned(), v));
            let related = select(related).prop_flat_map(|one| one);
            objects(prop_oneof![3 => plain[id.0].clone(), 3 => related, 3 => combined].boxed())
        });
        filters = deeper.collect();
    }
    filters
}

fn objects(entry: BoxedStrategy<(String, Value)>) -> BoxedStrategy<Value> {
    let several = prop_oneof![1 => 0..1_usize, 12 => 1..3_usize, 2 => 3..4_usize];
    several
        .prop_flat_map(move |count| vec(entry.clone(), count))
        .prop_map(|entries| Value::Object(entries.into_iter().collect()))
        .boxed()
}

fn comparisons(world: &World, model: ModelId) -> BoxedStrategy<(String, Value)> {
    let definition = world.model.model(model);
    let mut entries = Vec::new();
    for (position, field) in definition
        .fields
        .iter()
        .enumerate()
        .filter(|(_, f)| f.is_column())
    {
        let stored: Vec<Value> = world.rows[model.0]
            .iter()
            .map(|row| row[position].clone())
            .collect();
        let Some((operators, value)) = operators(field, stored) else {
            continue;
        };
        for operator in operators {
            let value = match *operator {
                "_in" | "_not_in" => prop_oneof![
                    8 => vec(value.clone(), 0..4).prop_map(Value::Array),
                    1 => value.clone(),
                    1 => Just(Value::Null),
                ]
                .boxed(),
                _ => or_null(value.clone()),
            };
            let key = format!("{}{operator}", field.name);
            entries.push(value.prop_map(move |v| (key.clone(), v)).boxed());
        }
    }
    select(entries).prop_flat_map(|entry| entry).boxed()
}

fn or_null(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    weighted(0.9, value)
        .prop_map(Option::unwrap_or_default)
        .boxed()
}

type Operators = &'static [&'static str];

/// The operators of a field and values for them; `stored` are those of its rows.
fn operators(field: &Field, stored: Vec<Value>) -> Option<(Operators, BoxedStrategy<Value>)> {
    const ORDERED: Operators = &["", "_not", "_in", "_not_in", "_lt", "_lte", "_gt", "_gte"];
    const UNORDERED: Operators = &["", "_not", "_in", "_not_in"];
    const TEXT: Operators = &[
        "",
        "_not",
        "_in",
        "_not_in",
        "_lt",
        "_lte",
        "_gt",
        "_gte",
        "_contains",
        "_not_contains",
        "_starts_with",
        "_not_starts_with",
        "_ends_with",
        "_not_ends_with",
    ];
    let stored: Vec<Value> = stored
        .into_iter()
        .filter(|v| !v.is_null())
        .chain([json!(field.name)])
        .collect();
    Some(match field.kind {
        FieldKind::Relation(_) => return None,
        FieldKind::Enum(_) => (UNORDERED, select(COLORS).prop_map(|v| json!(v)).boxed()),
        FieldKind::Scalar(scalar) => match scalar {
            ScalarType::Json => return None,
            ScalarType::Id | ScalarType::String => {
                let text = prop_oneof![
                    select(TEXTS).prop_map(|v| json!(v)),
                    select(stored),
                    "[ab%_\\\\'\"{},é]{0,3}".prop_map(|v| json!(v))
                ];
                (TEXT, text.boxed())
            }
            ScalarType::Int => {
                let int = prop_oneof![6 => -3..16, 1 => select(&[i32::MIN, i32::MAX][..])];
                (ORDERED, int.prop_map(|v| json!(v)).boxed())
            }
            ScalarType::Float => {
                let float = prop_oneof![select(FLOATS), select(&[1e300, -0.0, 0.2, 1e-40][..])];
                (
                    ORDERED,
                    prop_oneof![float.prop_map(|v| json!(v)), Just(json!(0))].boxed(),
                )
            }
            ScalarType::Boolean => (&["", "_not"], any::<bool>().prop_map(|v| json!(v)).boxed()),
            ScalarType::DateTime => {
                let time = select(TIMES).prop_flat_map(|(_, ways)| select(ways));
                (ORDERED, time.prop_map(|v| json!(v)).boxed())
            }
            ScalarType::Uuid => {
                let stored = stored
                    .into_iter()
                    .filter(|v| v.as_str().is_some_and(|v| v.len() == 36));
                let known: Vec<String> = stored
                    .map(|v| v.as_str().unwrap().to_owned())
                    .chain(UUIDS.iter().map(|v| (*v).to_owned()))
                    .collect();
                let uuid = (select(known), any::<bool>());
                (
                    UNORDERED,
                    uuid.prop_map(|(v, upper)| json!(if upper { v.to_uppercase() } else { v }))
                        .boxed(),
                )
            }
        },
    })
}
