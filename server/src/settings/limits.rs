//! What callers may ask for: everyone, and the service role.

use std::time::Duration;

use serde::Deserialize;

use super::key::{COUNT, Key, SIZE, TIME, integer, section};

const DEPTH: Key = integer(1, 64);

/// Declares the limits that everyone and the service role have: for each its kind, and both defaults.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ pub $field:ident: $ty:ty = $key:expr, $everyone:literal, $service:literal;)*) => {
        /// The limits of everyone, or those of the service role.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $field: $ty,)*
        }

        const EVERYONE: &[Key] = &[
            $($key.default($everyone).at(
                concat!("limits.", stringify!($field)),
                concat!($($doc),+),
            ),)*
        ];

        const SERVICE: &[Key] = &[
            $($key.default($service).at(
                concat!("limits.service.", stringify!($field)),
                concat!("For the service role.", $($doc),+),
            ),)*
        ];
    };
}

limits! {
    /// Size of a request's body.
    pub body_bytes: usize = SIZE, "1048576", "16777216";
    /// Size of a GraphQL document.
    pub query_bytes: u64 = SIZE, "65536", "4194304";
    /// Lexical tokens of a document.
    pub tokens: u64 = COUNT, "4000", "200000";
    /// Levels of nested fields.
    pub depth: u64 = DEPTH, "15", "40";
    /// Aliases in a document, fragments expanded.
    pub aliases: u64 = COUNT, "50", "10000";
    /// Selected fields of a document, fragments expanded.
    pub fields: u64 = COUNT, "1000", "100000";
    /// Top-level fields of an operation.
    pub root_fields: u64 = COUNT, "20", "1000";
    /// Fields that an answer may hold: each list counts as many times as rows were asked for, and so does each
    /// condition and relation of its filter and of the policy's `shown` and `own_values` for the fields that it
    /// selects.
    pub complexity: u64 = COUNT, "200000", "1000000000";
    /// Conditions of all filters of a request, those of the row rules included that apply where the filters lead,
    /// and those of the policy's `shown` and `own_values` for the fields that filters and unique selectors compare;
    /// a list of values counts once more for each full 100.
    pub filter_conditions: u64 = COUNT, "200", "10000";
    /// Relations that a filter crosses one within the other, those of the row rules included that apply where it
    /// leads, and those of the policy's `shown` and `own_values` for the fields that filters and unique selectors
    /// compare.
    pub filter_depth: u64 = DEPTH, "6", "40";
    /// Relations that all filters of a request cross, those of the row rules included that apply where they lead,
    /// and those of the policy's `shown` and `own_values` for the fields that filters and unique selectors compare.
    pub filter_relations: u64 = COUNT, "30", "1000";
    /// Size of the values in all filters of a request.
    pub filter_bytes: u64 = SIZE, "262144", "16777216";
    /// Items of `create`, `connect`, `update` and the like within the data of a request, at every level.
    pub nested_writes: u64 = COUNT, "1000", "20000";
    /// Rows of one list in an answer.
    pub page_size: u64 = COUNT, "1000", "1000000";
    /// Size of an answer; of a batch, of all its answers.
    pub answer_bytes: u64 = SIZE, "8388608", "134217728";
    /// Size of a text, a `Json` or a list that is stored, where the datamodel says nothing else (`@size`).
    pub text_bytes: u64 = SIZE, "65536", "16777216";
    /// Size of all requests of one user that the process holds: bodies that arrive, operations that wait or are
    /// carried out, documents and variables of subscriptions and live queries that go on. At least
    /// `limits.body_bytes`; beyond it, the next is refused with 429 and `TOO_MANY_REQUESTS`.
    pub request_bytes: usize = SIZE, "8388608", "268435456";
    /// What waits for one user's clients to read it, answers and events, over HTTP, websockets and event streams;
    /// while there is more, operations are refused with 429 and `TOO_MANY_REQUESTS`, and subscriptions whose events
    /// wait are ended with 1013.
    pub waiting_bytes: usize = SIZE, "33554432", "268435456";
    /// Operations in one batched request.
    pub batch: usize = COUNT, "10", "100";
    /// A request that takes longer is answered with an error.
    pub deadline: Duration = TIME, "5000", "5000";
}

section! {
    /// The limits of everyone, and those of the service role.
    pub struct AllLimits at "limits." {
        /// Operations of one user that this process carries out at once, whatever they come by. The service role
        /// has no such bound.
        pub in_flight_per_user: usize = COUNT.default("8"),
        /// The same, and no more than that, of a user who has just begun, or who keeps the database busy: with
        /// operations of 10 ms and more, of which more than one was in flight on average over some seconds. Many of
        /// more than a second side by side are remembered for minutes.
        pub busy_in_flight_per_user: usize = COUNT.default("2"),
        /// Operations of one user that wait for those in flight, until their deadline; the next is refused as
        /// `TOO_MANY_REQUESTS`.
        pub waiting_per_user: usize = integer(0, 1_000_000).default("32"),
    } with {
        /// Those of everyone else.
        #[serde(flatten)]
        pub everyone: Limits = EVERYONE,
        /// Those of the service role.
        pub service: Limits = SERVICE,
    }
}
