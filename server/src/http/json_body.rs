//! A small JSON object as body or query: its size, and what its fields hold. All problems are reported together.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::{BytesMut, Payload};
use actix_web::{HttpMessage, HttpRequest};
use futures::StreamExt;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::http::media_type::is_plain_text;
use crate::http::rest_error::RestError;

/// More than a login with every field at its limit takes, in bytes.
pub const LIMIT: usize = 16_384;

/// The object that the request's body is.
///
/// # Errors
/// If it is no JSON object, larger than [`LIMIT`], or does not arrive within `patience`.
pub async fn read(
    request: &HttpRequest,
    body: Payload,
    patience: Duration,
) -> Result<Map<String, Value>, RestError> {
    if !request
        .content_type()
        .eq_ignore_ascii_case("application/json")
        || !is_plain_text(request)
    {
        return Err(RestError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The request's body must be JSON in UTF-8, not compressed, with Content-Type: application/json",
        ));
    }
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    if length
        .and_then(|length| length.parse::<usize>().ok())
        .is_some_and(|length| length > LIMIT)
    {
        return Err(too_large());
    }
    let bytes = timeout(patience, collect(body)).await.map_err(|_| {
        RestError::new(
            StatusCode::REQUEST_TIMEOUT,
            "The request's body did not arrive before the deadline",
        )
    })??;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(RestError::new(
            StatusCode::BAD_REQUEST,
            "The request's body must be a JSON object",
        )),
    }
}

async fn collect(mut body: Payload) -> Result<BytesMut, RestError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let unreadable =
            |_| RestError::new(StatusCode::BAD_REQUEST, "The request's body cannot be read");
        bytes.extend_from_slice(&chunk.map_err(unreadable)?);
        if bytes.len() > LIMIT {
            return Err(too_large());
        }
    }
    Ok(bytes)
}

fn too_large() -> RestError {
    RestError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("The request's body is too large; the limit is {LIMIT} bytes"),
    )
}

/// Takes fields out of an object, and collects what is wrong with them.
#[derive(Debug)]
pub struct Fields {
    object: Map<String, Value>,
    problems: Vec<String>,
}

impl Fields {
    /// Begins with all fields of a body, and no problem.
    pub fn of(object: Map<String, Value>) -> Self {
        Fields {
            object,
            problems: Vec::new(),
        }
    }

    /// A text that is not empty, of at most `limit` characters; empty if it is not there.
    pub fn text(&mut self, name: &str, limit: usize) -> String {
        match self.object.remove(name) {
            Some(Value::String(text)) if text.is_empty() => {
                self.problems.push(format!("{name} should not be empty"));
                String::new()
            }
            // A zero byte is in no name, and no text of PostgreSQL's can hold it.
            Some(Value::String(text)) if text.contains('\0') => {
                self.problems
                    .push(format!("{name} must not contain a zero byte"));
                String::new()
            }
            Some(Value::String(text)) if text.chars().count() > limit => {
                self.problems.push(format!(
                    "{name} must be shorter than or equal to {limit} characters"
                ));
                String::new()
            }
            Some(Value::String(text)) => text,
            Some(_) => {
                self.problems.push(format!("{name} must be a string"));
                String::new()
            }
            None => {
                self.problems.push(format!("{name} should not be empty"));
                String::new()
            }
        }
    }

    /// A text of exactly `count` digits.
    pub fn digits(&mut self, name: &str, count: usize) -> String {
        let before = self.problems.len();
        let text = self.text(name, count);
        if self.problems.len() == before
            && !(text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit()))
        {
            self.problems.push(format!("{name} must be {count} digits"));
        }
        text
    }

    /// Adds what a check of the application's own found wrong.
    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// Ends the reading of the fields.
    ///
    /// # Errors
    /// 400 with all that was wrong with them.
    pub fn check(self) -> Result<(), RestError> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(RestError::invalid(self.problems))
        }
    }

    /// All that was wrong with the fields, for an error of another shape.
    pub fn into_problems(self) -> Vec<String> {
        self.problems
    }
}
