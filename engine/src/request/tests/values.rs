//! Scalars: which value is taken as what, from a document and from a variable.

use super::fixture::{COLOR, json, requests};
use crate::request::{RequestLimits, Value};

/// The value of a field of `UserCreateInput`, from a literal or from a variable; or why not.
pub(super) fn coerce(
    field: &str,
    ty: &str,
    literal: Option<&str>,
    variable: Option<&str>,
) -> Result<Value, String> {
    let requests = requests();
    let text = match literal {
        Some(literal) => {
            format!("mutation {{ createUser(data: {{name: \"a\", {field}: {literal}}}) {{ id }} }}")
        }
        None => format!(
            "mutation($v: {ty}) {{ createUser(data: {{name: \"a\", {field}: $v}}) {{ id }} }}"
        ),
    };
    let prepared = requests
        .prepare(&text, None, &RequestLimits::UNLIMITED)
        .map_err(|e| e[0].message.clone())?;
    let given = json(&variable.map_or("{}".to_owned(), |v| format!("{{\"v\": {v}}}")));
    let variables = requests
        .coerce(&prepared.operation, &given)
        .map_err(|error| error.message)?;
    let argument = prepared.operation.fields[0].arguments[0]
        .1
        .resolve(&variables)
        .expect("has a value");
    match argument.into_owned() {
        Value::Object(_, mut fields) => Ok(fields.remove(1).1),
        other => panic!("{other:?}"),
    }
}

const UUID: &str = "\"0CB2C4B1-6E0B-4B57-9B0B-2BAF6BD9EA4F\"";

/// Field, type, value as a literal and as a variable alike, and what it becomes.
fn taken() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let text = |text: &str| Value::Text(text.into());
    vec![
        ("name_", "String", "\"\"", text("")),
        ("id", "ID", "\"abc\"", text("abc")),
        ("id", "ID", "12", text("12")),
        (
            "id",
            "ID",
            "-9223372036854775808",
            text("-9223372036854775808"),
        ),
        (
            "id",
            "ID",
            "18446744073709551615",
            text("18446744073709551615"),
        ),
        ("age", "Int", "-2147483648", Value::Int(-2_147_483_648)),
        ("age", "Int", "2147483647", Value::Int(2_147_483_647)),
        ("age", "Int", "null", Value::Null),
        ("big", "Long", "9223372036854775807", Value::Int(i64::MAX)),
        ("score", "Float", "1", text("1")),
        ("score", "Float", "-1.25", text("-1.25")),
        ("score", "Float", "0.1", text("0.1")),
        ("score", "Float", "1.5e10", text("15000000000.0")),
        ("active", "Boolean", "true", Value::Boolean(true)),
        (
            "born",
            "DateTime",
            "\"2016\"",
            text("2016-01-01T00:00:00.000"),
        ),
        (
            "born",
            "DateTime",
            "\"2018-12-05T12:29:32.342+02:00\"",
            text("2018-12-05T10:29:32.342"),
        ),
        (
            "key",
            "UUID",
            UUID,
            text("0cb2c4b1-6e0b-4b57-9b0b-2baf6bd9ea4f"),
        ),
        ("tags", "[String!]", "\"a\"", Value::List(vec![text("a")])),
        (
            "tags",
            "[String!]",
            "[\"a\", \"\\u00e4😀\"]",
            Value::List(vec![text("a"), text("ä😀")]),
        ),
        ("tags", "[String!]", "[]", Value::List(vec![])),
        ("tags", "[String!]", "null", Value::Null),
    ]
}

#[test]
fn literals_and_variables_mean_the_same() {
    for (field, ty, given, expected) in taken().into_iter().filter(|(field, ..)| *field != "name_")
    {
        assert_eq!(
            coerce(field, ty, Some(given), None),
            Ok(expected.clone()),
            "literal {field}: {given}"
        );
        assert_eq!(
            coerce(field, ty, None, Some(given)),
            Ok(expected),
            "variable {field}: {given}"
        );
    }
    assert_eq!(
        coerce("color", "Color", Some("GREEN"), None),
        Ok(Value::Enum(COLOR, 1))
    );
    assert_eq!(
        coerce("color", "Color", None, Some("\"GREEN\"")),
        Ok(Value::Enum(COLOR, 1))
    );
    let json = Value::Text("{\"b\":[1,null],\"a\":\"x\"}".into());
    let literal = r#""{\"b\": [1, null], \"a\": \"x\"}""#;
    assert_eq!(
        coerce("data", "Json", Some(literal), None),
        Ok(json.clone())
    );
    assert_eq!(
        coerce(
            "data",
            "Json",
            None,
            Some("{\"b\": [1, null], \"a\": \"x\"}")
        ),
        Ok(json)
    );
    assert_eq!(coerce("age", "Int", None, Some("5.0")), Ok(Value::Int(5)));
}

#[test]
fn literals_and_variables_are_refused_alike() {
    for (field, ty, given, reason) in [
        ("id", "ID", "true", "String or Int value expected"),
        ("id", "ID", "1.5", "String or Int value expected"),
        (
            "id",
            "ID",
            "123456789012345678901234567890",
            "String or Int value expected",
        ),
        ("id", "ID", "\"\\u0000\"", "without the character U+0000"),
        (
            "age",
            "Int",
            "2147483648",
            "Int value expected, between -2147483648 and 2147483647",
        ),
        ("age", "Int", "-2147483649", "Int value expected"),
        ("age", "Int", "1.5", "Int value expected"),
        ("age", "Int", "1e300", "Int value expected"),
        ("age", "Int", "\"1\"", "Int value expected"),
        ("age", "Int", "[1]", "Int value expected"),
        ("big", "Long", "9223372036854775808", "Long value expected"),
        ("score", "Float", "\"1\"", "Float or Int value expected"),
        ("active", "Boolean", "1", "Boolean value expected"),
        ("active", "Boolean", "\"true\"", "Boolean value expected"),
        ("born", "DateTime", "2016", "Date value expected"),
        ("born", "DateTime", "\"2016-13\"", "Date value expected"),
        (
            "key",
            "UUID",
            "\"0cb2c4b16e0b4b579b0b2baf6bd9ea4f\"",
            "This is not a valid type 4 UUID.",
        ),
        ("key", "UUID", "5", "This is not a valid type 4 UUID."),
        ("data", "Json", "1", "Not valid JSON"),
        ("data", "Json", "\"x\"", "Not valid JSON"),
        ("color", "Color", "5", "Enum value of type 'Color' expected"),
        ("tags", "[String!]", "[1]", "String value expected"),
        ("tags", "[String!]", "[null]", "String value expected"),
    ] {
        for (literal, variable) in [(Some(given), None), (None, Some(given))] {
            let message = coerce(field, ty, literal, variable).expect_err(given);
            assert!(message.contains(reason), "{field}: {given}: {message}");
        }
    }
    let message =
        coerce("data", "Json", None, Some("\"{}\"")).expect_err("a string is not for variables");
    assert!(message.contains("Not valid JSON"));
    let message =
        coerce("data", "Json", None, Some("[\"\\u0000\"]")).expect_err("cannot be stored");
    assert!(message.contains("U+0000"), "{message}");
    let message = coerce("color", "Color", None, Some("\"BLUE\"")).expect_err("unknown");
    assert!(
        message.contains("'BLUE' is undefined in enum type 'Color'"),
        "{message}"
    );
}
