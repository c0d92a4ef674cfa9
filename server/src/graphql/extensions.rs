//! What a request asks for beside its document: the entries of `extensions` that the server knows.

use gom_engine::error::{ApiError, ErrorKind};
use serde_json::{Map, Value};

/// The names of the entries. Others are for other programs, and passed over.
const KNOWN: [&str; 5] = [CURSOR, AFTER, LEAVES, PATCH, IDEMPOTENCY_KEY];

/// A subscription resumes after the cursor that it gives; an answer gets a cursor where it is true.
pub const CURSOR: &str = "cursor";
/// Of a subscription: whether it reports which rows leave.
pub const LEAVES: &str = "leaves";
/// A query reads no earlier state than that of the cursor.
pub const AFTER: &str = "after";

/// Of a live query: the format in which its answers come after the first one.
pub const PATCH: &str = "patch";

/// What a request says of its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorEntry<'a> {
    Absent,
    /// Its answer is to have one.
    Wanted,
    /// It resumes after this one.
    Resume(&'a str),
}

/// Of a mutation: the key with which it may be repeated.
pub const IDEMPOTENCY_KEY: &str = "idempotencyKey";

/// The known entries of a request's `extensions`, as they were sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extensions(Map<String, Value>);

impl Extensions {
    /// Keeps of a request's entries those that the server knows and that are not null.
    pub fn new(entries: impl IntoIterator<Item = (String, Value)>) -> Self {
        let known = entries
            .into_iter()
            .filter(|(name, value)| KNOWN.contains(&name.as_str()) && !value.is_null());
        Extensions(known.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All entries, for what depends on each of them.
    pub(crate) fn entries(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a cursor is asked for, or given.
    ///
    /// # Errors
    /// If the entry is neither true nor a text.
    pub(crate) fn cursor(&self) -> Result<CursorEntry<'_>, ApiError> {
        match self.get(CURSOR) {
            None | Some(Value::Bool(false)) => Ok(CursorEntry::Absent),
            Some(Value::Bool(true)) => Ok(CursorEntry::Wanted),
            Some(Value::String(text)) => Ok(CursorEntry::Resume(text)),
            Some(_) => Err(malformed(CURSOR, "it must be a cursor, or true")),
        }
    }

    /// An entry that a client gives by a header instead.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// An entry that is a text.
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
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
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
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
        let given = extensions(json!({ "cursor": 3, "after": true }));
        let refused = given.cursor().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::BadUserInput);
        assert_eq!(
            refused.message,
            "extensions.cursor: it must be a cursor, or true"
        );
        let refused = given.text(AFTER).unwrap_err();
        assert_eq!(refused.message, "extensions.after: it must be a text");
        assert!(given.flag(CURSOR).is_err());
        assert_eq!(extensions(json!({})).text(AFTER), Ok(None));
    }

    #[test]
    fn a_cursor_is_asked_for_or_given() {
        for (given, expected) in [
            (json!({}), CursorEntry::Absent),
            (json!({ "cursor": null }), CursorEntry::Absent),
            (json!({ "cursor": false }), CursorEntry::Absent),
            (json!({ "cursor": true }), CursorEntry::Wanted),
            (json!({ "cursor": "ab" }), CursorEntry::Resume("ab")),
        ] {
            assert_eq!(extensions(given.clone()).cursor(), Ok(expected), "{given}");
        }
    }
}
