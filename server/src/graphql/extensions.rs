//! What a request asks for beside its document: the entries of `extensions` that the server knows.

use gom_engine::error::{ApiError, ErrorKind};
use serde_json::{Map, Value};

/// The names of the entries. Others are for other programs, and passed over.
const KNOWN: [&str; 2] = [CURSOR, LEAVES];

/// Of a subscription: where it resumes.
pub const CURSOR: &str = "cursor";
/// Of a subscription: whether it reports which rows leave.
pub const LEAVES: &str = "leaves";

/// The known entries of a request's `extensions`, as they were sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extensions(Map<String, Value>);

impl Extensions {
    pub fn new(entries: impl IntoIterator<Item = (String, Value)>) -> Self {
        let known = entries
            .into_iter()
            .filter(|(name, value)| KNOWN.contains(&name.as_str()) && !value.is_null());
        Extensions(known.collect())
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All entries, for what depends on each of them.
    pub fn entries(&self) -> &Map<String, Value> {
        &self.0
    }

    /// An entry that is a text.
    ///
    /// # Errors
    /// If it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(malformed(name, "it must be a text")),
        }
    }

    /// An entry that is true or false; false, where it is missing.
    ///
    /// # Errors
    /// If it is something else.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(malformed(name, "it must be true or false")),
        }
    }
}

/// An entry that cannot be used, and why.
pub fn malformed(name: &str, reason: &str) -> ApiError {
    ApiError::new(
        ErrorKind::BadUserInput,
        format!("extensions.{name}: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn extensions(value: Value) -> Extensions {
        let Value::Object(entries) = value else {
            unreachable!()
        };
        Extensions::new(entries)
    }

    #[test]
    fn entries_of_other_programs_are_passed_over() {
        let known = extensions(json!({ "cursor": "ab", "persistedQuery": { "version": 1 } }));
        assert_eq!(known, extensions(json!({ "cursor": "ab" })));
        assert_eq!(extensions(json!({ "cursor": null })), Extensions::default());
    }

    #[test]
    fn an_entry_of_another_type_is_refused() {
        let given = extensions(json!({ "cursor": 3 }));
        assert_eq!(
            given.text(CURSOR).unwrap_err().message,
            "extensions.cursor: it must be a text"
        );
        assert_eq!(
            given.flag(CURSOR).unwrap_err().kind,
            ErrorKind::BadUserInput
        );
        assert_eq!(extensions(json!({})).text(CURSOR), Ok(None));
        assert_eq!(extensions(json!({})).flag(CURSOR), Ok(false));
    }
}
