//! The limits of a request. A document is measured once, when it is prepared, and the numbers are
//! compared with the caller's limits on every request, since limits differ between callers.

use crate::error::{ApiError, ErrorKind};

/// The limits of one caller's requests; `None` is without limit. Some ceilings hold for every
/// caller, because they protect the steps that measure a document; see `scan::MAX_NESTING` and the
/// constants of `guard`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLimits {
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
    /// Fields of the answer, with the sizes of lists as requested or assumed.
    pub complexity: Option<u64>,
    /// Keys of the answer's `data`.
    pub root_fields: Option<u64>,
    /// Conditions of all filters of a request, and of its unique selectors by fields that rules
    /// decide.
    pub filter_conditions: Option<u64>,
    /// Relations that they cross, one within the other.
    pub filter_depth: Option<u64>,
    /// Relations that they cross, in all.
    pub filter_relations: Option<u64>,
    /// Bytes of the values in its filters.
    pub filter_bytes: Option<u64>,
    /// Items of its nested writes, each of which has statements of its own.
    pub nested_writes: Option<u64>,
}

impl RequestLimits {
    /// Only the ceilings that hold for everyone.
    pub const UNLIMITED: RequestLimits = RequestLimits {
        section: "limits",
        query_bytes: None,
        tokens: None,
        depth: None,
        aliases: None,
        fields: None,
        complexity: None,
        root_fields: None,
        filter_conditions: None,
        filter_depth: None,
        filter_relations: None,
        filter_bytes: None,
        nested_writes: None,
    };
}

impl Default for RequestLimits {
    /// For callers who are not trusted. A client that was measured needs at most 1 KiB, 110 tokens,
    /// 5 levels, 2 aliases, 32 fields, 2 fields at the root, a complexity of 61,000, and filters of
    /// 3 conditions and 1 relation, those of row rules included.
    fn default() -> Self {
        RequestLimits {
            section: "limits",
            query_bytes: Some(64 * 1024),
            tokens: Some(4_000),
            depth: Some(15),
            aliases: Some(50),
            fields: Some(1_000),
            complexity: Some(200_000),
            root_fields: Some(20),
            filter_conditions: Some(200),
            filter_depth: Some(6),
            filter_relations: Some(30),
            filter_bytes: Some(256 * 1024),
            nested_writes: Some(1_000),
        }
    }
}

/// What was measured of a document; of its several operations together, but for `complexity` and
/// `root_fields`, which are of the requested one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measures {
    /// Bytes of the text.
    pub query_bytes: u64,
    /// Lexical tokens of the text.
    pub tokens: u64,
    /// Nested fields, fragments expanded.
    pub depth: u64,
    /// Aliases, fragments expanded.
    pub aliases: u64,
    /// Selected fields, fragments expanded.
    pub fields: u64,
    /// `None` where variables set the lengths of lists: then it is measured with their values
    /// ([`InputMeasures::selection`]).
    pub complexity: Option<u64>,
    /// Keys of the answer's `data`.
    pub root_fields: u64,
}

/// What was counted of a request's filters and data. Filters are all of its `where` arguments and
/// those of its nested writes that may find several rows, with the row rules of the tables that
/// they lead to. A unique selector counts as the rule of its field, if the viewer does not read
/// that from its column. Variables carry both, so that this is counted for every request. See
/// [`crate::plan::Planner::measure_input`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputMeasures {
    /// Comparisons. One with a list counts once more for every full [`VALUES_PER_CONDITION`] of its
    /// values; an empty combinator such as `OR: []` counts as well, because the statement contains
    /// it.
    pub conditions: u64,
    /// Relations that the filters cross, one within the other.
    pub depth: u64,
    /// Relations that the filters cross, in all.
    pub relations: u64,
    /// Bytes of the values in the filters.
    pub bytes: u64,
    /// Whether unique selectors are among what was counted.
    pub selectors: bool,
    /// Conditions and relations, each for every row of the list that the filter is for; and those
    /// of selected fields that the viewer does not read from their columns.
    pub complexity: u64,
    /// Items of `create`, `connect`, `update` and so on within data, at every level.
    pub nested_writes: u64,
    /// The complexity of the selection, where variables set the lengths of its lists: in place of
    /// [`Measures::complexity`].
    pub selection: Option<u64>,
}

/// So many values of a list cost as much as a condition of their own.
pub const VALUES_PER_CONDITION: usize = 100;

impl RequestLimits {
    /// Checks what was measured of a document.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] with the first exceeded limit and its value.
    pub fn check(&self, measures: &Measures) -> Result<(), ApiError> {
        self.check_text(measures)?;
        self.check_expansion(measures)?;
        self.check_operation(measures)
    }

    /// Checks what is measured before parsing.
    pub(super) fn check_text(&self, measures: &Measures) -> Result<(), ApiError> {
        let Measures {
            query_bytes,
            tokens,
            ..
        } = *measures;
        self.check_limit("query_bytes", query_bytes, self.query_bytes, |n| {
            format!("The query text has {n} bytes")
        })?;
        self.check_limit("tokens", tokens, self.tokens, |n| {
            format!("The query has {n} tokens")
        })
    }

    /// Checks what is measured before validation.
    pub(super) fn check_expansion(&self, measures: &Measures) -> Result<(), ApiError> {
        let Measures {
            depth,
            aliases,
            fields,
            ..
        } = *measures;
        self.check_limit("depth", depth, self.depth, |n| {
            format!("The query is nested {n} levels deep")
        })?;
        self.check_limit("aliases", aliases, self.aliases, |n| {
            format!("The query has {n} aliases")
        })?;
        self.check_limit("fields", fields, self.fields, |n| {
            format!("The query selects {n} fields (with its fragments expanded)")
        })
    }

    /// Checks what is measured once the operation is resolved.
    pub(super) fn check_operation(&self, measures: &Measures) -> Result<(), ApiError> {
        let Measures {
            root_fields,
            complexity,
            ..
        } = *measures;
        self.check_limit("root_fields", root_fields, self.root_fields, |n| {
            format!("The query has {n} fields at its root")
        })?;
        self.check_limit(
            "complexity",
            complexity.unwrap_or_default(),
            self.complexity,
            |n| format!("The query has a complexity of {n}"),
        )
    }

    /// Checks what is measured with the variables' values. `measures` are the document's.
    ///
    /// # Errors
    /// As [`RequestLimits::check`].
    pub fn check_input(&self, input: &InputMeasures, measures: &Measures) -> Result<(), ApiError> {
        let InputMeasures {
            conditions,
            depth,
            relations,
            bytes,
            selectors,
            ..
        } = *input;
        let InputMeasures {
            complexity,
            nested_writes,
            selection,
            ..
        } = *input;
        let (who, with_rules) = if selectors {
            (
                "filters and unique selectors",
                "the rules of their fields and of the tables that they lead to",
            )
        } else {
            ("filters", "the rules of the tables that they lead to")
        };
        self.check_limit(
            "filter_conditions",
            conditions,
            self.filter_conditions,
            |n| format!("The {who} have {n} conditions ({with_rules} included)"),
        )?;
        self.check_limit("filter_depth", depth, self.filter_depth, |n| {
            format!("The {who} cross {n} relations one within the other ({with_rules} included)")
        })?;
        self.check_limit("filter_relations", relations, self.filter_relations, |n| {
            format!("The {who} cross {n} relations in all ({with_rules} included)")
        })?;
        self.check_limit("filter_bytes", bytes, self.filter_bytes, |n| {
            format!("The values in the filters have {n} bytes")
        })?;
        self.check_limit("nested_writes", nested_writes, self.nested_writes, |n| {
            format!("The data has {n} nested writes")
        })?;
        let complexity =
            complexity.saturating_add(selection.or(measures.complexity).unwrap_or_default());
        self.check_limit("complexity", complexity, self.complexity, |n| {
            format!(
                "The query has a complexity of {n} with its filters and the rules of its fields"
            )
        })
    }

    pub(super) fn too_many_tokens(&self, limit: u64) -> ApiError {
        self.refusal("tokens", limit, "The query has too many tokens")
    }

    fn check_limit(
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
        let limits = RequestLimits {
            depth: Some(15),
            ..RequestLimits::UNLIMITED
        };
        let measures = Measures {
            depth: 21,
            ..Measures::default()
        };
        let error = limits.check(&measures).expect_err("too deep");
        assert_eq!(
            error.message,
            "The query is nested 21 levels deep; the limit is 15 (limits.depth)"
        );
        assert_eq!(error.kind, ErrorKind::LimitExceeded);
        assert_eq!(
            limits.check(&Measures {
                depth: 15,
                ..measures
            }),
            Ok(())
        );
        assert_eq!(RequestLimits::UNLIMITED.check(&measures), Ok(()));
    }

    #[test]
    fn every_limit_is_checked() {
        let zero = RequestLimits {
            section: "limits.service",
            query_bytes: Some(0),
            tokens: Some(0),
            depth: Some(0),
            aliases: Some(0),
            fields: Some(0),
            complexity: Some(0),
            root_fields: Some(0),
            filter_conditions: Some(0),
            filter_depth: Some(0),
            filter_relations: Some(0),
            filter_bytes: Some(0),
            nested_writes: Some(0),
        };
        let none = Measures::default();
        for (measures, name) in [
            (
                Measures {
                    query_bytes: 1,
                    ..none
                },
                "query_bytes",
            ),
            (Measures { tokens: 1, ..none }, "tokens"),
            (Measures { depth: 1, ..none }, "depth"),
            (Measures { aliases: 1, ..none }, "aliases"),
            (Measures { fields: 1, ..none }, "fields"),
            (
                Measures {
                    complexity: Some(1),
                    ..none
                },
                "complexity",
            ),
            (
                Measures {
                    root_fields: 1,
                    ..none
                },
                "root_fields",
            ),
        ] {
            let message = zero.check(&measures).expect_err(name).message;
            assert!(
                message.ends_with(&format!("the limit is 0 (limits.service.{name})")),
                "{message}"
            );
        }
        let none = InputMeasures::default();
        for (filters, name) in [
            (
                InputMeasures {
                    conditions: 1,
                    ..none
                },
                "filter_conditions",
            ),
            (InputMeasures { depth: 1, ..none }, "filter_depth"),
            (
                InputMeasures {
                    relations: 1,
                    ..none
                },
                "filter_relations",
            ),
            (InputMeasures { bytes: 1, ..none }, "filter_bytes"),
            (
                InputMeasures {
                    complexity: 1,
                    ..none
                },
                "complexity",
            ),
            (
                InputMeasures {
                    nested_writes: 1,
                    ..none
                },
                "nested_writes",
            ),
            (
                InputMeasures {
                    selection: Some(1),
                    ..none
                },
                "complexity",
            ),
        ] {
            let message = zero
                .check_input(&filters, &Measures::default())
                .expect_err(name)
                .message;
            assert!(
                message.ends_with(&format!("the limit is 0 (limits.service.{name})")),
                "{message}"
            );
        }
    }

    #[test]
    fn filters_and_selection_share_one_limit_of_complexity() {
        let limits = RequestLimits {
            complexity: Some(100),
            ..RequestLimits::UNLIMITED
        };
        let filters = InputMeasures {
            complexity: 41,
            ..InputMeasures::default()
        };
        let selection = |complexity| Measures {
            complexity: Some(complexity),
            ..Measures::default()
        };
        assert_eq!(limits.check_input(&filters, &selection(59)), Ok(()));
        let error = limits
            .check_input(&filters, &selection(60))
            .expect_err("101");
        assert!(
            error.message.starts_with(
                "The query has a complexity of 101 with its filters and the rules of its fields;"
            ),
            "{error}"
        );
    }
}
