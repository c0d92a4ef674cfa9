//! The extractor of the GraphQL endpoint: whoever holds a [`Call`] holds requests from a known viewer, within
//! the limits of size and number, with a deadline. Looks into no document.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{Bytes, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use async_graphql::BatchRequest;
use async_graphql_actix_web::GraphQLBatchRequest;
use futures::{Stream, StreamExt};
use tokio::time::Instant;

use super::State;
use super::media_type::{MediaType, is_plain_text};
use super::refusal::{Refusal, is_known};
use super::request_id::RequestId;
use super::rest_error::RestError;
use super::viewer::{NoViewer, viewer};
use crate::graphql::Request;
use crate::identity::Viewer;

/// One request to the GraphQL endpoint.
#[derive(Debug)]
pub struct Call {
    pub viewer: Viewer,
    /// At least one.
    pub requests: Vec<Request>,
    /// Whether they came as a list, and are answered by one.
    pub batched: bool,
    pub media: MediaType,
    pub deadline: Instant,
    pub id: RequestId,
    /// The method is GET, which must change nothing.
    pub by_get: bool,
}

/// A request that does not become a call.
#[derive(Debug)]
pub enum NoCall {
    /// Answered as GraphQL answers.
    Refused(Refusal),
    /// Answered as the client expects it of all that concerns its session.
    Browser(RestError),
}

impl From<Refusal> for NoCall {
    fn from(refusal: Refusal) -> Self {
        NoCall::Refused(refusal)
    }
}

impl fmt::Display for NoCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoCall::Refused(refusal) => refusal.fmt(f),
            NoCall::Browser(error) => error.fmt(f),
        }
    }
}

impl ResponseError for NoCall {
    fn status_code(&self) -> StatusCode {
        match self {
            NoCall::Refused(refusal) => refusal.status_code(),
            NoCall::Browser(error) => error.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            NoCall::Refused(refusal) => refusal.error_response(),
            NoCall::Browser(error) => error.error_response(),
        }
    }
}

impl FromRequest for Call {
    type Error = NoCall;
    type Future = Pin<Box<dyn Future<Output = Result<Self, NoCall>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { extract(&request, payload).await })
    }
}

async fn extract(request: &HttpRequest, payload: Payload) -> Result<Call, NoCall> {
    if !is_known(request.method()) {
        return Err(Refusal::method(request).into());
    }
    let state = request.app_data::<Data<State>>().expect("the routes are set up with their state");
    let viewer = viewer(request, state).await.map_err(|no| match no {
        NoViewer::Bearer(error) => Refusal::unauthenticated(request, error).into(),
        NoViewer::Browser(error) => NoCall::Browser(error),
    })?;
    let (section, limits) = state.limits_of(&viewer);
    let deadline = Instant::now() + limits.deadline;
    let by_get = request.method() == Method::GET;
    let readable = by_get || (is_json(request) && is_plain_text(request));
    if !readable {
        return Err(Refusal::media_type(request).into());
    }
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > limits.body_bytes) {
        return Err(Refusal::too_large(request, section, limits.body_bytes).into());
    }

    // async-graphql-actix-web reads whatever comes; the bound is put in front of it.
    let overflow = Rc::new(Cell::new(false));
    let bounded: Pin<Box<dyn Stream<Item = _>>> =
        Box::pin(bounded(payload, limits.body_bytes, Rc::clone(&overflow)));
    let mut payload = Payload::from(bounded);
    let read = GraphQLBatchRequest::from_request(request, &mut payload);
    let batch = match tokio::time::timeout_at(deadline, read).await {
        Err(_) => return Err(Refusal::too_slow(request).into()),
        Ok(Err(_)) if overflow.get() => {
            return Err(Refusal::too_large(request, section, limits.body_bytes).into());
        }
        Ok(Err(error)) => {
            return Err(Refusal::malformed(request, format!("The request cannot be read: {error}")).into());
        }
        Ok(Ok(GraphQLBatchRequest(batch))) => batch,
    };
    let (batched, mut requests) = match batch {
        BatchRequest::Single(single) => (false, vec![Request::from(single)]),
        BatchRequest::Batch(batch) => (true, batch.into_iter().map(Request::from).collect::<Vec<_>>()),
    };
    if requests.len() > limits.batch {
        return Err(Refusal::batch(request, section, requests.len(), limits.batch).into());
    }
    if by_get {
        // The crate's GET extractor looks for `operation_name`, which no client sends.
        for request_ in &mut requests {
            request_.operation_name = operation_name(request.query_string());
        }
    }
    if requests.is_empty() || requests.iter().any(|request| request.text.is_empty()) {
        return Err(Refusal::malformed(request, "The request has no query: send {\"query\": \"…\"}").into());
    }
    let (media, id) = (MediaType::preferred(request), RequestId::of_request(request));
    Ok(Call { viewer, requests, batched, media, deadline, id, by_get })
}

/// `application/json`, and its relatives such as `application/graphql+json`. Nothing that a page of another
/// site could send without being asked, and no uploads.
fn is_json(request: &HttpRequest) -> bool {
    use actix_web::HttpMessage;
    let content_type = request.content_type().to_ascii_lowercase();
    content_type == "application/json"
        || (content_type.starts_with("application/") && content_type.ends_with("+json"))
}

fn bounded(
    payload: Payload,
    limit: usize,
    overflow: Rc<Cell<bool>>,
) -> impl Stream<Item = Result<Bytes, PayloadError>> {
    let mut read = 0;
    payload.map(move |chunk| {
        let chunk = chunk?;
        read += chunk.len();
        if read > limit {
            overflow.set(true);
            return Err(PayloadError::Overflow);
        }
        Ok(chunk)
    })
}

fn operation_name(query: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Parameters {
        #[serde(rename = "operationName")]
        operation_name: Option<String>,
    }
    actix_web::web::Query::<Parameters>::from_query(query).ok()?.into_inner().operation_name
}
