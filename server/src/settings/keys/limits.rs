//! What callers may ask for: everyone, and the service role.

use super::{COUNT, SIZE, TIME};
use crate::settings::kind::Kind;
use crate::settings::table::Key;

const DEPTH: Kind = Kind::Integer { min: 1, max: 64 };

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    Key::new(
        "limits.body_bytes",
        SIZE,
        Some("1048576"),
        "Size of a request's body.",
    ),
    Key::new(
        "limits.query_bytes",
        SIZE,
        Some("65536"),
        "Size of a GraphQL document.",
    ),
    Key::new(
        "limits.tokens",
        COUNT,
        Some("4000"),
        "Lexical tokens of a document.",
    ),
    Key::new(
        "limits.depth",
        DEPTH,
        Some("15"),
        "Levels of nested fields.",
    ),
    Key::new(
        "limits.aliases",
        COUNT,
        Some("50"),
        "Aliases in a document, fragments expanded.",
    ),
    Key::new(
        "limits.fields",
        COUNT,
        Some("1000"),
        "Selected fields of a document, fragments expanded.",
    ),
    Key::new(
        "limits.root_fields",
        COUNT,
        Some("20"),
        "Top-level fields of an operation.",
    ),
    Key::new(
        "limits.complexity",
        COUNT,
        Some("200000"),
        "Fields that an answer may hold: each list counts as many times as rows were asked for, and so does each condition and relation of its filter and of the policy's `shown` and `own_values` for the fields that it selects.",
    ),
    Key::new(
        "limits.filter_conditions",
        COUNT,
        Some("200"),
        "Conditions of all filters of a request, those of the row rules included that apply where the filters lead, and those of the policy's `shown` and `own_values` for the fields that filters and unique selectors compare; a list of values counts once more for each full 100.",
    ),
    Key::new(
        "limits.filter_depth",
        DEPTH,
        Some("6"),
        "Relations that a filter crosses one within the other, those of the row rules included that apply where it leads, and those of the policy's `shown` and `own_values` for the fields that filters and unique selectors compare.",
    ),
    Key::new(
        "limits.filter_relations",
        COUNT,
        Some("30"),
        "Relations that all filters of a request cross, those of the row rules included that apply where they lead, and those of the policy's `shown` and `own_values` for the fields that filters and unique selectors compare.",
    ),
    Key::new(
        "limits.filter_bytes",
        SIZE,
        Some("262144"),
        "Size of the values in all filters of a request.",
    ),
    Key::new(
        "limits.nested_writes",
        COUNT,
        Some("1000"),
        "Items of `create`, `connect`, `update` and the like within the data of a request, at every level.",
    ),
    Key::new(
        "limits.page_size",
        COUNT,
        Some("1000"),
        "Rows of one list in an answer.",
    ),
    Key::new(
        "limits.answer_bytes",
        SIZE,
        Some("8388608"),
        "Size of an answer; of a batch, of all its answers.",
    ),
    Key::new(
        "limits.text_bytes",
        SIZE,
        Some("65536"),
        "Size of a text, a `Json` or a list that is stored, where the datamodel says nothing else (`@size`).",
    ),
    Key::new(
        "limits.request_bytes",
        SIZE,
        Some("8388608"),
        "Size of all requests of one user that the process holds: bodies that arrive, operations that wait or are carried out, documents and variables of subscriptions and live queries that go on. At least `limits.body_bytes`; beyond it, the next is refused with 429 and `TOO_MANY_REQUESTS`.",
    ),
    Key::new(
        "limits.waiting_bytes",
        SIZE,
        Some("33554432"),
        "What waits for one user's clients to read it, answers and events, over HTTP, websockets and event streams; while there is more, operations are refused with 429 and `TOO_MANY_REQUESTS`, and subscriptions whose events wait are ended with 1013.",
    ),
    Key::new(
        "limits.batch",
        COUNT,
        Some("10"),
        "Operations in one batched request.",
    ),
    Key::new(
        "limits.deadline",
        TIME,
        Some("5000"),
        "A request that takes longer is answered with an error.",
    ),
    Key::new(
        "limits.in_flight_per_user",
        COUNT,
        Some("8"),
        "Operations of one user that this process carries out at once, whatever they come by. The service role has no such bound.",
    ),
    Key::new(
        "limits.busy_in_flight_per_user",
        COUNT,
        Some("2"),
        "The same, and no more than that, of a user who has just begun, or who keeps the database busy: with operations of 10 ms and more, of which more than one was in flight on average over some seconds. Many of more than a second side by side are remembered for minutes.",
    ),
    Key::new(
        "limits.waiting_per_user",
        Kind::Integer {
            min: 0,
            max: 1_000_000,
        },
        Some("32"),
        "Operations of one user that wait for those in flight, until their deadline; the next is refused as `TOO_MANY_REQUESTS`.",
    ),
    Key::new(
        "limits.service.body_bytes",
        SIZE,
        Some("16777216"),
        "For the service role: size of a request's body.",
    ),
    Key::new(
        "limits.service.query_bytes",
        SIZE,
        Some("4194304"),
        "For the service role: size of a GraphQL document.",
    ),
    Key::new(
        "limits.service.tokens",
        COUNT,
        Some("200000"),
        "For the service role: lexical tokens of a document.",
    ),
    Key::new(
        "limits.service.depth",
        DEPTH,
        Some("40"),
        "For the service role: levels of nested fields.",
    ),
    Key::new(
        "limits.service.aliases",
        COUNT,
        Some("10000"),
        "For the service role: aliases in a document, fragments expanded.",
    ),
    Key::new(
        "limits.service.fields",
        COUNT,
        Some("100000"),
        "For the service role: selected fields of a document, fragments expanded.",
    ),
    Key::new(
        "limits.service.root_fields",
        COUNT,
        Some("1000"),
        "For the service role: top-level fields of an operation.",
    ),
    Key::new(
        "limits.service.complexity",
        COUNT,
        Some("1000000000"),
        "For the service role: fields that an answer may hold: each list counts as many times as rows were asked for, and so does each condition and relation of its filter and of the policy's `shown` and `own_values` for the fields that it selects.",
    ),
    Key::new(
        "limits.service.filter_conditions",
        COUNT,
        Some("10000"),
        "For the service role: conditions of all filters of a request, those of the row rules included that apply where the filters lead, and those of the policy's `shown` and `own_values` for the fields that filters and unique selectors compare; a list of values counts once more for each full 100.",
    ),
    Key::new(
        "limits.service.filter_depth",
        DEPTH,
        Some("40"),
        "For the service role: relations that a filter crosses one within the other, those of the row rules included that apply where it leads, and those of the policy's `shown` and `own_values` for the fields that filters and unique selectors compare.",
    ),
    Key::new(
        "limits.service.filter_relations",
        COUNT,
        Some("1000"),
        "For the service role: relations that all filters of a request cross, those of the row rules included that apply where they lead, and those of the policy's `shown` and `own_values` for the fields that filters and unique selectors compare.",
    ),
    Key::new(
        "limits.service.filter_bytes",
        SIZE,
        Some("16777216"),
        "For the service role: size of the values in all filters of a request.",
    ),
    Key::new(
        "limits.service.nested_writes",
        COUNT,
        Some("20000"),
        "For the service role: items of `create`, `connect`, `update` and the like within the data of a request, at every level.",
    ),
    Key::new(
        "limits.service.page_size",
        COUNT,
        Some("1000000"),
        "For the service role: rows of one list in an answer.",
    ),
    Key::new(
        "limits.service.answer_bytes",
        SIZE,
        Some("134217728"),
        "For the service role: size of an answer; of a batch, of all its answers.",
    ),
    Key::new(
        "limits.service.text_bytes",
        SIZE,
        Some("16777216"),
        "For the service role: size of a text, a `Json` or a list that is stored, where the datamodel says nothing else (`@size`).",
    ),
    Key::new(
        "limits.service.request_bytes",
        SIZE,
        Some("268435456"),
        "For the service role: size of all its requests that the process holds: bodies that arrive, operations that wait or are carried out, documents and variables of subscriptions and live queries that go on. At least `limits.service.body_bytes`; beyond it, the next is refused with 429 and `TOO_MANY_REQUESTS`.",
    ),
    Key::new(
        "limits.service.waiting_bytes",
        SIZE,
        Some("268435456"),
        "For the service role: what waits for its clients to read it, answers and events, over HTTP, websockets and event streams; while there is more, operations are refused with 429 and `TOO_MANY_REQUESTS`, and subscriptions whose events wait are ended with 1013.",
    ),
    Key::new(
        "limits.service.batch",
        COUNT,
        Some("100"),
        "For the service role: operations in one batched request.",
    ),
    Key::new(
        "limits.service.deadline",
        TIME,
        Some("5000"),
        "For the service role: a request that takes longer is answered with an error.",
    ),
];
