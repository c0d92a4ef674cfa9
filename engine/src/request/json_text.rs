//! `Json` values as the text that PostgreSQL stores: compact, keys in the order given, numbers as
//! written.

use serde_json::Value as Json;

/// Deeper JSON is refused; `serde_json` reads no deeper either.
const MAX_DEPTH: usize = 127;

/// Why a value is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonTextError {
    /// It is no JSON, or not of a kind that is taken.
    NotJson,
    /// Some string or key holds U+0000.
    HasNul,
}

/// Any JSON text.
pub(super) fn from_text(text: &str) -> Result<String, JsonTextError> {
    let value: Json = serde_json::from_str(text).map_err(|_| JsonTextError::NotJson)?;
    check(&value, 0)?;
    Ok(compact(text))
}

/// An object or a list; Prisma takes no other value as a variable.
pub(super) fn from_value(value: &Json) -> Result<String, JsonTextError> {
    if !matches!(value, Json::Object(_) | Json::Array(_)) {
        return Err(JsonTextError::NotJson);
    }
    check(value, 0)?;
    Ok(value.to_string())
}

fn check(value: &Json, depth: usize) -> Result<(), JsonTextError> {
    let text = |text: &str| {
        if text.contains('\0') {
            Err(JsonTextError::HasNul)
        } else {
            Ok(())
        }
    };
    if depth > MAX_DEPTH {
        return Err(JsonTextError::NotJson);
    }
    match value {
        Json::String(string) => text(string),
        Json::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        Json::Object(fields) => fields.iter().try_for_each(|(key, item)| {
            text(key)?;
            check(item, depth + 1)
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
    }
}

/// Valid JSON without the white space between its tokens.
fn compact(text: &str) -> String {
    let mut compact = String::with_capacity(text.len());
    let mut in_string = false;
    let mut escaped = false;
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
        } else if c.is_ascii_whitespace() {
            continue;
        }
        compact.push(c);
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_numbers_and_strings() {
        let given =
            " { \"z\" : [ 1.50, 1e2, -0 ] ,\n\t\"a b\":\" \\\" \\\\\" , \"\\u00e4\": null } ";
        let expected = "{\"z\":[1.50,1e2,-0],\"a b\":\" \\\" \\\\\",\"\\u00e4\":null}";
        assert_eq!(from_text(given).as_deref(), Ok(expected));
        for plain in ["1", "\"x\"", "null", "[]", "true"] {
            assert_eq!(from_text(plain).as_deref(), Ok(plain));
        }
    }

    #[test]
    fn a_variable_is_an_object_or_a_list() {
        let given: Json = serde_json::from_str("{\"z\": [1.5], \"a\": null}").unwrap();
        assert_eq!(
            from_value(&given).as_deref(),
            Ok("{\"z\":[1.5],\"a\":null}")
        );
        for given in [
            Json::from("{}"),
            Json::from(1),
            Json::Null,
            Json::Bool(true),
        ] {
            assert_eq!(from_value(&given), Err(JsonTextError::NotJson));
        }
    }

    #[test]
    fn refuses_what_postgresql_cannot_keep() {
        for given in ["", "[{'a':2}]", "{", "[1] 2", "\"\\ud800\"", "1e999", "NaN"] {
            assert_eq!(from_text(given), Err(JsonTextError::NotJson), "{given}");
        }
        assert_eq!(from_text(&"[".repeat(100_000)), Err(JsonTextError::NotJson));
        assert_eq!(
            from_text("{\"a\":[\"x\\u0000\"]}"),
            Err(JsonTextError::HasNul)
        );
        assert_eq!(from_text("{\"a\\u0000\":1}"), Err(JsonTextError::HasNul));
        assert_eq!(
            from_text("[\"\\\\u0000\"]").as_deref(),
            Ok("[\"\\\\u0000\"]")
        );
    }
}
