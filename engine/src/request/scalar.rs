//! Scalars and enum values: which given value is taken for which type, and as what. The one place
//! for literals and variables, so that both mean the same.

use serde_json::Number;

use super::datetime;
use super::json_text::{self, JsonTextError};
use super::operation::Value;
use super::reason::ValueError;
use crate::datamodel::ScalarType;
use crate::schema::{EnumTypeId, Scalar, Schema};

/// A leaf as it was given.
#[derive(Debug, Clone, Copy)]
pub(super) enum GivenLeaf<'a> {
    Boolean(bool),
    Number(&'a Number),
    Text(&'a str),
    /// An unquoted name; only literals have these.
    Name(&'a str),
    /// `null`, a list or an object, none of which a scalar or an enum takes (`Json` is apart).
    Other,
}

/// Where a value was given. JSON has one kind of number and no names, literals have both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueOrigin {
    Document,
    Variable,
}

/// `given` as a value of `scalar`. As a `Json`, `given` is a literal's text: JSON in a string.
pub(super) fn scalar(
    scalar: Scalar,
    given: GivenLeaf,
    origin: ValueOrigin,
) -> Result<Value, ValueError> {
    let Scalar::Data(data) = scalar else {
        return integer(given, origin, i64::MIN, i64::MAX, scalar);
    };
    match data {
        ScalarType::Boolean => match given {
            GivenLeaf::Boolean(value) => Ok(Value::Boolean(value)),
            _ => Err(expected(scalar)),
        },
        ScalarType::Int => integer(given, origin, i32::MIN.into(), i32::MAX.into(), scalar),
        ScalarType::Float => match given {
            GivenLeaf::Number(number) => Ok(Value::Text(number.to_string())),
            _ => Err(expected(scalar)),
        },
        ScalarType::String => match given {
            GivenLeaf::Text(text) => storable(text),
            _ => Err(expected(scalar)),
        },
        ScalarType::Id => match given {
            GivenLeaf::Text(text) => storable(text),
            GivenLeaf::Number(number) if number.is_i64() || number.is_u64() => {
                Ok(Value::Text(number.to_string()))
            }
            _ => Err(expected(scalar)),
        },
        ScalarType::Uuid => match given {
            GivenLeaf::Text(text) => uuid(text).map(Value::Text).ok_or_else(|| expected(scalar)),
            _ => Err(expected(scalar)),
        },
        ScalarType::DateTime => match given {
            GivenLeaf::Text(text) => datetime::canonical(text)
                .map(Value::Text)
                .ok_or_else(|| expected(scalar)),
            _ => Err(expected(scalar)),
        },
        ScalarType::Json => match given {
            GivenLeaf::Text(text) => json(json_text::from_text(text)),
            _ => Err(expected(scalar)),
        },
    }
}

/// A variable's value as `Json`.
pub(super) fn json_variable(given: &serde_json::Value) -> Result<Value, ValueError> {
    json(json_text::from_value(given))
}

pub(super) fn enumeration(
    schema: &Schema,
    id: EnumTypeId,
    given: GivenLeaf,
    origin: ValueOrigin,
) -> Result<Value, ValueError> {
    let ty = schema.enumeration(id);
    let name = match (given, origin) {
        (GivenLeaf::Name(name), ValueOrigin::Document)
        | (GivenLeaf::Text(name), ValueOrigin::Variable) => name,
        _ => {
            return Err(ValueError::new(format!(
                "Enum value of type '{}' expected",
                ty.name
            )));
        }
    };
    match ty.values.iter().position(|value| value == name) {
        Some(position) => Ok(Value::Enum(id, position)),
        None => {
            let name: String = name.chars().take(100).collect();
            let known = ty.values.join(", ");
            Err(ValueError::new(format!(
                "Enum value '{name}' is undefined in enum type '{}'. Known values are: {known}",
                ty.name
            )))
        }
    }
}

/// What a scalar takes, in Prisma's words.
pub(super) fn expected(scalar: Scalar) -> ValueError {
    ValueError::new(match scalar {
        Scalar::Data(ScalarType::Id) => "String or Int value expected".to_owned(),
        Scalar::Data(ScalarType::Float) => "Float or Int value expected".to_owned(),
        Scalar::Data(ScalarType::DateTime) => "Date value expected".to_owned(),
        Scalar::Data(ScalarType::Json) => "Not valid JSON".to_owned(),
        Scalar::Data(ScalarType::Uuid) => "This is not a valid type 4 UUID.".to_owned(),
        scalar => format!("{} value expected", scalar.name()),
    })
}

fn integer(
    given: GivenLeaf,
    origin: ValueOrigin,
    least: i64,
    most: i64,
    scalar: Scalar,
) -> Result<Value, ValueError> {
    let GivenLeaf::Number(number) = given else {
        return Err(expected(scalar));
    };
    let whole = match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Some(whole),
        // JSON writers may write 1.0 for 1; beyond 2^53 a float no longer names one integer.
        (None, Some(float)) if origin == ValueOrigin::Variable && number.is_f64() => {
            let exact = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
            exact.then_some(float as i64)
        }
        _ => None,
    };
    match whole {
        Some(whole) if (least..=most).contains(&whole) => Ok(Value::Int(whole)),
        Some(_) => Err(ValueError::new(format!(
            "{} value expected, between {least} and {most}",
            scalar.name()
        ))),
        None => Err(expected(scalar)),
    }
}

/// PostgreSQL's `text` holds every character but this one.
fn storable(text: &str) -> Result<Value, ValueError> {
    if text.contains('\0') {
        Err(nul())
    } else {
        Ok(Value::Text(text.to_owned()))
    }
}

fn nul() -> ValueError {
    ValueError::new("A value without the character U+0000 expected, which cannot be stored")
}

fn json(text: Result<String, JsonTextError>) -> Result<Value, ValueError> {
    match text {
        Ok(text) => Ok(Value::Text(text)),
        Err(JsonTextError::NotJson) => Err(expected(Scalar::Data(ScalarType::Json))),
        Err(JsonTextError::HasNul) => Err(nul()),
    }
}

/// The hyphenated form only, in lower case.
fn uuid(text: &str) -> Option<String> {
    if text.len() != 36 {
        return None;
    }
    uuid::Uuid::try_parse(text)
        .ok()
        .map(|uuid| uuid.hyphenated().to_string())
}
