//! How much a document may ask for. A document is measured once, when it is prepared, and the numbers are
//! compared with the caller's limits on every request, since limits differ between callers.

use crate::error::{ApiError, ErrorKind};

/// What one caller may ask for in one request; `None` is without limit. Some ceilings hold for everyone,
/// because beyond them the work is out of proportion before anything is known about it; see
/// `scan::MAX_NESTING` and the constants of `guard`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Where these limits are set, for messages: `limits` makes `limits.depth`.
    pub section: &'static str,
    /// Bytes of the query text.
    pub query_bytes: Option<u64>,
    /// Lexical tokens of the query text.
    pub tokens: Option<u64>,
    /// Nested fields; `{ a { b } }` has 2. Introspection counts as one, it has a cost of its own.
    pub depth: Option<u64>,
    /// Aliases, fragments expanded.
    pub aliases: Option<u64>,
    /// Selected fields, fragments expanded.
    pub fields: Option<u64>,
    /// Fields of the answer, with the sizes of lists as asked for or assumed.
    pub complexity: Option<u64>,
    /// Keys of the answer's `data`.
    pub root_fields: Option<u64>,
}

impl Limits {
    /// Only the ceilings that hold for everyone.
    pub const UNLIMITED: Limits = Limits {
        section: "limits",
        query_bytes: None,
        tokens: None,
        depth: None,
        aliases: None,
        fields: None,
        complexity: None,
        root_fields: None,
    };
}

impl Default for Limits {
    /// For callers who are not trusted. The shop's own client needs at most 1 KiB, 110 tokens, 5 levels, 2
    /// aliases, 32 fields, 2 fields at the root and a complexity of 61,000.
    fn default() -> Self {
        Limits {
            section: "limits",
            query_bytes: Some(64 * 1024),
            tokens: Some(4_000),
            depth: Some(15),
            aliases: Some(50),
            fields: Some(1_000),
            complexity: Some(200_000),
            root_fields: Some(20),
        }
    }
}

/// What was measured of a document; of its several operations together, but for `complexity` and
/// `root_fields`, which are of the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measures {
    pub query_bytes: u64,
    pub tokens: u64,
    pub depth: u64,
    pub aliases: u64,
    pub fields: u64,
    pub complexity: u64,
    pub root_fields: u64,
}

impl Limits {
    /// Refuses what exceeds a limit; the first exceeded one is named.
    pub fn check(&self, measures: &Measures) -> Result<(), ApiError> {
        self.check_text(measures)?;
        self.check_expansion(measures)?;
        self.check_operation(measures)
    }

    /// Known before parsing.
    pub(super) fn check_text(&self, measures: &Measures) -> Result<(), ApiError> {
        let Measures { query_bytes, tokens, .. } = *measures;
        self.hold("query_bytes", query_bytes, self.query_bytes, |n| format!("The query text has {n} bytes"))?;
        self.hold("tokens", tokens, self.tokens, |n| format!("The query has {n} tokens"))
    }

    /// Known before validation.
    pub(super) fn check_expansion(&self, measures: &Measures) -> Result<(), ApiError> {
        let Measures { depth, aliases, fields, .. } = *measures;
        self.hold("depth", depth, self.depth, |n| format!("The query is nested {n} levels deep"))?;
        self.hold("aliases", aliases, self.aliases, |n| format!("The query has {n} aliases"))?;
        self.hold("fields", fields, self.fields, |n| {
            format!("The query selects {n} fields (with its fragments expanded)")
        })
    }

    /// Known when the operation has been resolved.
    pub(super) fn check_operation(&self, measures: &Measures) -> Result<(), ApiError> {
        let Measures { root_fields, complexity, .. } = *measures;
        self.hold("root_fields", root_fields, self.root_fields, |n| {
            format!("The query has {n} fields at its root")
        })?;
        self.hold("complexity", complexity, self.complexity, |n| format!("The query has a complexity of {n}"))
    }

    pub(super) fn too_many_tokens(&self, limit: u64) -> ApiError {
        self.refusal("tokens", limit, "The query has too many tokens")
    }

    fn hold(
        &self,
        name: &str,
        measured: u64,
        limit: Option<u64>,
        what: impl Fn(u64) -> String,
    ) -> Result<(), ApiError> {
        match limit {
            Some(limit) if measured > limit => Err(self.refusal(name, limit, &what(measured))),
            _ => Ok(()),
        }
    }

    fn refusal(&self, name: &str, limit: u64, what: &str) -> ApiError {
        let message = format!("{what}; the limit is {limit} ({}.{name})", self.section);
        ApiError::new(ErrorKind::LimitExceeded, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_limit_and_its_value() {
        let limits = Limits { depth: Some(15), ..Limits::UNLIMITED };
        let measures = Measures { depth: 21, ..Measures::default() };
        let error = limits.check(&measures).expect_err("too deep");
        assert_eq!(error.message, "The query is nested 21 levels deep; the limit is 15 (limits.depth)");
        assert_eq!(error.kind, ErrorKind::LimitExceeded);
        assert_eq!(limits.check(&Measures { depth: 15, ..measures }), Ok(()));
        assert_eq!(Limits::UNLIMITED.check(&measures), Ok(()));
    }

    #[test]
    fn every_limit_is_checked() {
        let zero = Limits {
            section: "limits.service",
            query_bytes: Some(0),
            tokens: Some(0),
            depth: Some(0),
            aliases: Some(0),
            fields: Some(0),
            complexity: Some(0),
            root_fields: Some(0),
        };
        let none = Measures::default();
        for (measures, name) in [
            (Measures { query_bytes: 1, ..none }, "query_bytes"),
            (Measures { tokens: 1, ..none }, "tokens"),
            (Measures { depth: 1, ..none }, "depth"),
            (Measures { aliases: 1, ..none }, "aliases"),
            (Measures { fields: 1, ..none }, "fields"),
            (Measures { complexity: 1, ..none }, "complexity"),
            (Measures { root_fields: 1, ..none }, "root_fields"),
        ] {
            let message = zero.check(&measures).expect_err(name).message;
            assert!(message.ends_with(&format!("the limit is 0 (limits.service.{name})")), "{message}");
        }
    }
}
