//! What the messages of both protocols hold.

use std::sync::Arc;

use gom_engine::error::{ApiError, ErrorKind};
use serde_json::{Map, Value};

use super::machine::Start;
use crate::graphql::{CursorEntry, Extensions, Request};

/// The payload of `subscribe` and `start`. The outer error: it is no such payload; the inner one: the operation cannot be
/// started with it. `bytes`: of the message.
pub fn start(
    payload: Option<&Value>,
    bytes: usize,
) -> Result<Result<Start, ApiError>, &'static str> {
    let Some(Value::Object(payload)) = payload else {
        return Err("the payload is no object");
    };
    start_of(payload, bytes)
}

/// The same, of an object that may have more in it.
pub fn start_of(
    payload: &Map<String, Value>,
    bytes: usize,
) -> Result<Result<Start, ApiError>, &'static str> {
    let Some(Value::String(text)) = payload.get("query") else {
        return Err("the payload has no query");
    };
    let operation_name = match payload.get("operationName") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(_) => return Err("operationName is no text"),
    };
    let object = |key| match payload.get(key) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(_) => Err(()),
    };
    let variables = object("variables").map_err(|()| "variables are no object")?;
    let extensions = object("extensions").map_err(|()| "extensions are no object")?;
    let request = Arc::new(Request {
        text: text.clone(),
        operation_name,
        variables,
        extensions: Extensions::new(extensions),
        ..Request::default()
    });
    let from = match request.extensions.cursor() {
        Ok(CursorEntry::Resume(cursor)) => Some(cursor.to_owned()),
        Ok(CursorEntry::Absent | CursorEntry::Wanted) => None,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Start {
        request,
        bytes,
        from,
    }))
}

/// Bytes of an operation's id as JSON, of which each message of the operation has a copy.
pub const MAX_ID_BYTES: usize = 256;

/// The bearer token in the payload of `connection_init` and, to renew it, of `ping`.
pub fn bearer(payload: Option<&Value>) -> Option<String> {
    let payload = payload?.as_object()?;
    let value = payload
        .get("Authorization")
        .or_else(|| payload.get("authorization"))?
        .as_str()?
        .trim();
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => value,
    };
    (!token.is_empty()).then(|| token.to_owned())
}

/// An operation beyond what a socket may have at once.
pub fn too_many(most: usize) -> ApiError {
    let message = format!("A socket may have {most} operations at once (sockets.operations)");
    ApiError::new(ErrorKind::LimitExceeded, message)
}
