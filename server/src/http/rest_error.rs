//! Errors outside GraphQL, in the shape that the client knows: `{ statusCode, message, error }`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use gom_actors::limiter::Verdict;
use serde::Serialize;

/// What a client does that reads it, beside showing it: it logs out.
const LOG_OUT: &str = "jwt_error";
/// Seconds after which what was not available may be asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestError {
    status: StatusCode,
    message: Message,
    error: &'static str,
    retry_after: Option<Duration>,
    allow: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Message {
    One(Cow<'static, str>),
    /// All that is wrong with a body.
    Each(Vec<String>),
}

impl RestError {
    /// With the status's usual name as `error`.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::with(status, Message::One(message.into()))
    }

    fn with(status: StatusCode, message: Message) -> Self {
        let error = status.canonical_reason().unwrap_or("Error");
        RestError {
            status,
            message,
            error,
            retry_after: None,
            allow: None,
        }
    }

    /// The values of a body or a query that are not as they must be.
    pub fn invalid(messages: Vec<String>) -> Self {
        Self::with(StatusCode::BAD_REQUEST, Message::Each(messages))
    }

    /// There is no live session with a valid token: the client has to log in again.
    pub(crate) fn logged_out(message: impl Into<Cow<'static, str>>) -> Self {
        RestError {
            error: LOG_OUT,
            ..Self::new(StatusCode::FORBIDDEN, message)
        }
    }

    pub(crate) fn csrf() -> Self {
        RestError {
            error: "EBADCSRFTOKEN",
            ..Self::new(StatusCode::FORBIDDEN, "invalid csrf token")
        }
    }

    /// One answer for all that may be wrong with a login.
    pub fn wrong_credentials() -> Self {
        RestError {
            error: "invalid_grant",
            ..Self::new(StatusCode::FORBIDDEN, "Invalid credentials")
        }
    }

    pub(crate) fn too_many_requests(retry_after: Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
        RestError {
            retry_after: Some(retry_after),
            ..error
        }
    }

    /// The login limiter did not admit an attempt.
    pub fn not_admitted(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Blocked { retry_after } => Self::too_many_requests(*retry_after),
            _ => Self::unavailable("Too many logins are waiting already; try again", None),
        }
    }

    /// There is no room for one more connection.
    pub fn crowded(message: String) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, message);
        RestError {
            retry_after: Some(RETRY_AFTER),
            ..error
        }
    }

    /// Nothing was decided, because a store or an issuer was unavailable: the request may be retried, after a second
    /// if nothing else is known.
    pub fn unavailable(
        message: impl Into<Cow<'static, str>>,
        retry_after: Option<Duration>,
    ) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, message);
        RestError {
            retry_after: Some(retry_after.unwrap_or(RETRY_AFTER)),
            ..error
        }
    }

    /// A fault of the server, whose cause is in the log.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }

    /// Nothing is served at this path.
    pub fn not_found(request: &HttpRequest) -> Self {
        Self::new(StatusCode::NOT_FOUND, cannot(request))
    }

    /// Something is served at this path, by other methods.
    pub(crate) fn method_not_allowed(request: &HttpRequest, allow: String) -> Self {
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, cannot(request));
        RestError {
            allow: Some(allow),
            ..error
        }
    }
}

fn cannot(request: &HttpRequest) -> String {
    format!("Cannot {} {}", request.method(), request.path())
}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Message::One(message) => f.write_str(message),
            Message::Each(messages) => f.write_str(&messages.join("; ")),
        }
    }
}

impl ResponseError for RestError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(rename = "statusCode")]
            status_code: u16,
            message: &'a Message,
            error: &'a str,
        }
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        if let Some(wait) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, whole_seconds(wait)));
        }
        response.json(Body {
            status_code: self.status.as_u16(),
            message: &self.message,
            error: self.error,
        })
    }
}

/// Rounded up: a client that retries then retries late enough.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_are_whole_seconds() {
        for (milliseconds, expected) in [
            (0, 1),
            (1, 1),
            (1_000, 1),
            (1_001, 2),
            (3_600_000, 3_600),
            (3_599_001, 3_600),
        ] {
            assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), expected);
        }
    }
}
