//! One text for equal variables, in whatever order their fields came: for digests of requests.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::Request;

impl Request {
    /// The variables as text: equal for equal ones, and different for others. It is no JSON.
    pub fn canonical_variables(&self) -> String {
        canonical(&self.variables)
    }
}

/// The same text for the same values, in whatever order they came.
pub(super) fn canonical(values: &Map<String, Value>) -> String {
    let mut canonical = String::new();
    for (name, value) in sorted(values) {
        write_canonical(&mut canonical, name, value);
    }
    canonical
}

fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries
}

/// The same text for the same value, in whatever order its fields came.
fn write_canonical(out: &mut String, name: &str, value: &Value) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{name:?}:");
    match value {
        Value::Object(map) => {
            out.push('{');
            sorted(map)
                .into_iter()
                .for_each(|(name, value)| write_canonical(out, name, value));
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            values
                .iter()
                .for_each(|value| write_canonical(out, "", value));
            out.push(']');
        }
        other => {
            let _ = write!(out, "{other},");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_text(text: &str) -> String {
        let mut out = String::new();
        write_canonical(&mut out, "", &serde_json::from_str(text).unwrap());
        out
    }

    #[test]
    fn equal_variables_are_equal_in_whatever_order_and_others_are_not() {
        assert_eq!(
            canonical_text(r#"{"a":{"b":1,"c":[2]},"d":null}"#),
            canonical_text(r#"{"d":null,"a":{"c":[2],"b":1}}"#)
        );
        let different = [
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"b":1}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[[1],2]}"#,
            r#"{"a":[[1,2]]}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{},"b":1}"#,
            r#"{"a":null}"#,
            "{}",
            "[]",
            r#"{"a\":1,":2}"#,
            r#"[{"a":1},{"b":1}]"#,
            r#"[{"a":1,"b":1}]"#,
        ];
        let mut texts: Vec<String> = different.into_iter().map(canonical_text).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), different.len());
    }
}
