//! Random rows of several shops: enough that viewers share some of them, few enough that requests hit them.

use gom_engine::datamodel::{DataModel, Field, FieldKind, ModelId, Relation, ScalarType, Side};
use serde_json::{Value, json};

use gom_test_support::dice::Dice;
use gom_test_support::random::world::World;

pub const TEXTS: &[&str] = &["a", "b", "ab", "Ábc", "it's", "50%", "x_y", "😀"];
const FLOATS: &[f64] = &[0.5, 1.0, 2.25, 10.0, -3.5];
const TIMES: &[&str] = &[
    "2020-01-01T00:00:00.000Z",
    "2020-06-30T12:00:00.500Z",
    "2024-02-29T23:59:59.999Z",
];

/// Rows and links. Most rows have the links that they must have.
pub fn shops(model: &DataModel, dice: &mut Dice) -> World {
    let mut rows = Vec::new();
    for definition in &model.models {
        let count = if definition.name == "User" {
            3
        } else {
            dice.between(4, 11)
        };
        let of_model = (0..count).map(|number| {
            let cell = |field: &Field, dice: &mut Dice| {
                if field.id_strategy.is_some() || field.unique {
                    return json!(name_of(&definition.name, field, number));
                }
                let optional = !field.required && !field.is_server_set();
                if !field.is_column() || (optional && dice.chance(30)) {
                    return Value::Null;
                }
                value(model, field, dice)
            };
            definition
                .fields
                .iter()
                .map(|field| cell(field, dice))
                .collect::<Vec<_>>()
        });
        rows.push(of_model.collect::<Vec<_>>());
    }
    let count = |id: ModelId| rows[id.0].len();
    let links = model
        .relations
        .iter()
        .map(|relation| links(relation, count, dice))
        .collect();
    World {
        model: model.clone(),
        rows,
        links,
    }
}

/// A value that no other row has, and whose order is not that of the rows.
fn name_of(model: &str, field: &Field, number: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(number * 7 % 26).unwrap());
    format!("{letter}{}{}{number}", &model[..2], &field.name[..1])
}

pub fn value(model: &DataModel, field: &Field, dice: &mut Dice) -> Value {
    match field.kind {
        FieldKind::Enum(id) => json!(dice.pick(&model.enumeration(id).values)),
        FieldKind::Relation(_) => Value::Null,
        FieldKind::Scalar(scalar) => match scalar {
            ScalarType::Int => json!(dice.below(4)),
            ScalarType::Float => json!(dice.pick(FLOATS)),
            ScalarType::Boolean => json!(dice.chance(50)),
            ScalarType::DateTime => json!(dice.pick(TIMES)),
            ScalarType::Json => json!("{}"),
            ScalarType::Id | ScalarType::String | ScalarType::Uuid => json!(dice.pick(TEXTS)),
        },
    }
}

fn links(
    relation: &Relation,
    count: impl Fn(ModelId) -> usize,
    dice: &mut Dice,
) -> Vec<(usize, usize)> {
    let (at_a, at_b) = (count(relation.a.model), count(relation.b.model));
    let mut links = Vec::new();
    let single = [Side::A, Side::B]
        .into_iter()
        .find(|side| !relation.end(*side).list);
    let Some(single) = single else {
        for a in 0..at_a {
            links.extend((0..at_b).filter(|_| dice.chance(30)).map(|b| (a, b)));
        }
        return links;
    };
    let tied = if relation.end(single).required {
        97
    } else {
        60
    };
    let (own, others) = if single == Side::A {
        (at_a, at_b)
    } else {
        (at_b, at_a)
    };
    for row in 0..own {
        if dice.chance(tied) {
            let other = dice.below(others);
            let (a, b) = if single == Side::A {
                (row, other)
            } else {
                (other, row)
            };
            let taken = |link: &(usize, usize)| {
                (!relation.a.list && link.0 == a) || (!relation.b.list && link.1 == b)
            };
            if !links.iter().any(taken) {
                links.push((a, b));
            }
        }
    }
    links
}
