//! What the API is asked and what it answers, between the transports (HTTP, websockets) and the engine with its
//! actors. Knows no HTTP.

mod answer;
mod api;
mod canonical;
mod clock;
mod context;
mod execute;
mod extensions;
mod failure;
mod idempotency;
mod key_turns;
mod live;
mod offload;
mod position;
mod raw;
mod sources;
mod turns;
mod wire;
mod write_rules;

pub use answer::{Answer, AnswerCursor, Data, Fragment};
pub(crate) use api::SUBJECT;
pub use api::{Admission, Api, CallerLimits, Engine, EngineOptions};
pub use execute::execute;
pub(crate) use execute::serve;
pub use extensions::Extensions;
pub(crate) use extensions::{
    AFTER, CURSOR, CursorEntry, IDEMPOTENCY_KEY, LEAVES, PATCH, malformed,
};
pub use failure::api_error;
pub use idempotency::HeaderKey;
pub use live::{LiveCost, Next, Outlet, Running, Started, start};
pub use offload::Offload;
pub(crate) use offload::is_large;
pub(crate) use sources::Sources;
pub(crate) use wire::{write_answer, write_errors, write_event, write_refusal};
pub use write_rules::WriteRules;

use serde_json::{Map, Value};

/// One operation that is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The document.
    pub text: String,
    /// Which of its operations; may be left out if there is only one.
    pub operation_name: Option<String>,
    /// The values of the operation's variables, as they were sent.
    pub variables: Map<String, Value>,
    /// The entries of `extensions` that the server knows.
    pub extensions: Extensions,
    /// By HTTP, beside the request itself.
    pub header_key: HeaderKey,
    /// The handle of the session that it came with. Given of requests with an idempotency key, which ends with the session.
    pub session: Option<String>,
}

impl From<async_graphql::Request> for Request {
    fn from(request: async_graphql::Request) -> Self {
        let variables = match request.variables.into_value().into_json() {
            Ok(Value::Object(variables)) => variables,
            // Variables are an object of JSON values by their type.
            _ => Map::new(),
        };
        let extensions = request.extensions.0.into_iter();
        let extensions =
            extensions.filter_map(|(name, value)| Some((name, value.into_json().ok()?)));
        Request {
            text: request.query,
            operation_name: request.operation_name,
            variables,
            extensions: Extensions::new(extensions),
            ..Request::default()
        }
    }
}
