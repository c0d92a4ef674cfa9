//! A request to the GraphQL endpoint that is refused before its documents are looked at. The body has the
//! shape of every other GraphQL answer.

use std::fmt;

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use gom_engine::error::{ApiError, ErrorKind};

use super::graphql::RETRY_AFTER;
use super::media_type::MediaType;
use super::request_id::RequestId;
use crate::graphql::Answer;

/// Why a request is refused, and how that is answered.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: ApiError,
    allow: Option<&'static str>,
    /// What is wrong with a bearer token.
    challenge: Option<HeaderValue>,
    /// Some of the request's body is left unread.
    leaves_body: bool,
    media: MediaType,
    id: RequestId,
}

impl Refusal {
    fn new(
        request: &HttpRequest,
        status: StatusCode,
        kind: ErrorKind,
        message: impl Into<String>,
    ) -> Self {
        Self::with(request, status, ApiError::new(kind, message))
    }

    fn with(request: &HttpRequest, status: StatusCode, error: ApiError) -> Self {
        let (media, id) = (
            MediaType::preferred(request),
            RequestId::of_request(request),
        );
        let leaves_body = matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNSUPPORTED_MEDIA_TYPE
                | StatusCode::REQUEST_TIMEOUT
        );
        Refusal {
            status,
            error,
            allow: None,
            challenge: None,
            leaves_body,
            media,
            id,
        }
    }

    /// Not JSON, or not of the shape of a GraphQL request.
    pub fn malformed(request: &HttpRequest, message: impl Into<String>) -> Self {
        Self::new(
            request,
            StatusCode::BAD_REQUEST,
            ErrorKind::BadUserInput,
            message,
        )
    }

    pub fn unauthenticated(request: &HttpRequest, error: ApiError) -> Self {
        Self::with(request, StatusCode::UNAUTHORIZED, error)
    }

    /// The reason for the client, as RFC 6750 has it: another token helps, or none does.
    #[must_use]
    pub fn of_token(self, reason: &str) -> Self {
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{reason}\"");
        Refusal {
            challenge: HeaderValue::try_from(challenge).ok(),
            ..self
        }
    }

    pub fn media_type(request: &HttpRequest) -> Self {
        Self::new(
            request,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorKind::BadUserInput,
            "The request's body must be JSON in UTF-8, not compressed, with Content-Type: application/json. Uploads are not supported.",
        )
    }

    /// `section`: where the limit is set.
    pub fn too_large(request: &HttpRequest, section: &str, limit: usize) -> Self {
        Self::new(
            request,
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::LimitExceeded,
            format!(
                "The request's body is too large; the limit is {limit} bytes ({section}.body_bytes)"
            ),
        )
    }

    /// More operations than a batch may have.
    pub fn batch(request: &HttpRequest, section: &str, count: usize, limit: usize) -> Self {
        Self::new(
            request,
            StatusCode::BAD_REQUEST,
            ErrorKind::LimitExceeded,
            format!("The batch has {count} operations; the limit is {limit} ({section}.batch)"),
        )
    }

    /// Too much waits to be read already.
    pub fn unread(request: &HttpRequest, error: ApiError) -> Self {
        let status = match error.kind {
            ErrorKind::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::with(request, status, error)
    }

    /// It is large, and its turn to be read has not come.
    pub fn crowded(request: &HttpRequest, error: ApiError) -> Self {
        let status = match error.kind {
            ErrorKind::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::with(request, status, error)
    }

    /// Too much is held of requests already: the body is not read to its end.
    pub fn not_taken_in(request: &HttpRequest, error: ApiError) -> Self {
        Refusal {
            leaves_body: true,
            ..Self::crowded(request, error)
        }
    }

    /// The body did not arrive in time.
    pub fn too_slow(request: &HttpRequest) -> Self {
        Self::new(
            request,
            StatusCode::REQUEST_TIMEOUT,
            ErrorKind::DeadlineExceeded,
            "The request's body did not arrive before the deadline",
        )
    }

    pub fn method(request: &HttpRequest) -> Self {
        let message = format!(
            "GraphQL is asked by GET or POST, not by {}",
            request.method()
        );
        let refusal = Self::new(
            request,
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::BadUserInput,
            message,
        );
        Refusal {
            allow: Some("GET, POST"),
            ..refusal
        }
    }

    /// A GET must change nothing.
    pub fn not_a_query(request: &HttpRequest) -> Self {
        let message = "Only queries may be asked by GET; send this operation by POST";
        let refusal = Self::new(
            request,
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::BadUserInput,
            message,
        );
        Refusal {
            allow: Some("POST"),
            ..refusal
        }
    }

    /// What is asked is no query, where nothing is written.
    pub fn read_only(request: &HttpRequest) -> Self {
        Self::new(
            request,
            StatusCode::FORBIDDEN,
            ErrorKind::Forbidden,
            "The ledger is read by queries, and not written",
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut body = Vec::new();
        self.media.write(
            &mut body,
            &Answer::refused(vec![self.error.clone()]),
            self.id.as_str(),
        );
        let mut response = HttpResponse::build(self.status);
        response.content_type(self.media.content_type());
        response.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if let Some(allow) = self.allow {
            response.insert_header((header::ALLOW, HeaderValue::from_static(allow)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = self.challenge.clone();
            let challenge = challenge.unwrap_or_else(|| HeaderValue::from_static("Bearer"));
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER)));
        }
        // The connection cannot be used again.
        if self.leaves_body {
            response.force_close();
        }
        response.body(body)
    }
}

/// Whether a method is one that the GraphQL endpoint knows.
pub fn is_known(method: &Method) -> bool {
    method == Method::GET || method == Method::POST
}
