//! The extractor of the GraphQL endpoint: a [`Call`] is requests from an authenticated viewer, within
//! the limits of size and number, with a deadline. Looks into no document.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{BytesMut, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use futures::StreamExt;
use gom_runtime::waiting::{Account, Charge, Full};
use tokio::time::Instant;

use super::State;
use super::access::RequestContext;
use super::documents::{self, Asked};
use super::idempotency_key;
use super::media_type::{MediaType, is_plain_text};
use super::position_headers;
use super::refusal::{Refusal, is_known};
use super::request_id::RequestId;
use super::rest_error::RestError;
use super::viewer::{ViewerError, viewer};
use crate::graphql::{Request, is_large};
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
    /// The cursor of the answer is wanted as a header.
    pub cursor_in_header: bool,
    /// Counts the request for as long as it is held.
    pub held: Charge,
}

/// A request that does not become a call.
#[derive(Debug)]
pub enum CallError {
    /// Answered as GraphQL answers.
    Refused(Refusal),
    /// Answered as the client expects it of all that concerns its session.
    Browser(RestError),
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        CallError::Refused(refusal)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Refused(refusal) => refusal.fmt(f),
            CallError::Browser(error) => error.fmt(f),
        }
    }
}

impl ResponseError for CallError {
    fn status_code(&self) -> StatusCode {
        match self {
            CallError::Refused(refusal) => refusal.status_code(),
            CallError::Browser(error) => error.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            CallError::Refused(refusal) => refusal.error_response(),
            CallError::Browser(error) => error.error_response(),
        }
    }
}

impl FromRequest for Call {
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, CallError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { extract(&request, payload).await })
    }
}

/// The viewer of a request, who is noted for the log.
pub(super) async fn authenticate(
    request: &HttpRequest,
    state: &State,
) -> Result<Viewer, CallError> {
    let viewer = viewer(request, state).await.map_err(|no| match no {
        ViewerError::Bearer(refusal) => refusal.into(),
        ViewerError::Browser(error) => CallError::Browser(error),
    })?;
    RequestContext::of(request, |context| context.viewer(&viewer));
    Ok(viewer)
}

async fn extract(request: &HttpRequest, payload: Payload) -> Result<Call, CallError> {
    if !is_known(request.method()) {
        return Err(Refusal::method(request).into());
    }
    let state = request
        .app_data::<Data<State>>()
        .expect("the routes are set up with their state");
    let viewer = authenticate(request, state).await?;
    let (section, limits) = state.limits_of(&viewer);
    let deadline = Instant::now() + limits.deadline;
    let by_get = request.method() == Method::GET;
    let readable = by_get || (is_json(request) && is_plain_text(request));
    if !readable {
        return Err(Refusal::media_type(request).into());
    }
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    if length
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: usize| length > limits.body_bytes)
    {
        return Err(Refusal::too_large(request, section, limits.body_bytes).into());
    }

    let asked = state.requests.account(&viewer);
    if let Err(full) = asked.check() {
        return Err(Refusal::not_taken_in(request, state.requests.refusal(&viewer, full)).into());
    }
    let mut held = asked.charge(request.query_string().len());
    let read = if by_get {
        documents::of_query(request.query_string()).map(Asked::One)
    } else {
        let body = tokio::time::timeout_at(
            deadline,
            collect(payload, limits.body_bytes, &asked, &mut held),
        )
        .await;
        match body.map_err(|_| Refusal::too_slow(request))? {
            Ok(body) if is_large(body.len()) => {
                let body = body.freeze();
                let reading = move || documents::of_large_body(&body);
                let user = viewer.user().map(|user| user.subject.as_str());
                let read = state.api.engine.offload.run(user, deadline, reading).await;
                read.map_err(|error| Refusal::crowded(request, error))?
            }
            Ok(body) => documents::of_body(request, body.freeze()).await,
            Err(NotCollected::Payload(PayloadError::Overflow)) => {
                return Err(Refusal::too_large(request, section, limits.body_bytes).into());
            }
            Err(NotCollected::Full(full)) => {
                return Err(
                    Refusal::not_taken_in(request, state.requests.refusal(&viewer, full)).into(),
                );
            }
            Err(NotCollected::Payload(error)) => {
                Err(format!("The request's body cannot be read: {error}"))
            }
        }
    };
    let (batched, mut requests) =
        match read.map_err(|problem| Refusal::malformed(request, problem))? {
            Asked::One(one) => (false, vec![one]),
            Asked::Several(several) => (true, several),
        };
    if requests.len() > limits.batch {
        return Err(Refusal::batch(request, section, requests.len(), limits.batch).into());
    }
    if requests.is_empty() || requests.iter().any(|request| request.text.is_empty()) {
        return Err(Refusal::malformed(
            request,
            "The request has no query: send {\"query\": \"…\"}",
        )
        .into());
    }
    let mut extensions: Vec<_> = requests
        .iter_mut()
        .map(|request| &mut request.extensions)
        .collect();
    let cursor_in_header = position_headers::read(request, &mut extensions)
        .map_err(|problem| Refusal::malformed(request, problem))?;
    idempotency_key::assign(&mut requests, request, state, &viewer);
    // Many small values take more in memory than as text.
    let memory: usize = requests.iter().map(Request::memory).sum();
    held.add(memory.saturating_sub(held.bytes()));
    let name = requests
        .first()
        .and_then(|request| request.operation_name.as_deref());
    RequestContext::of(request, |context| context.operation(name));
    let (media, id) = (
        MediaType::preferred(request),
        RequestId::of_request(request),
    );
    Ok(Call {
        viewer,
        requests,
        batched,
        media,
        deadline,
        id,
        by_get,
        cursor_in_header,
        held,
    })
}

/// `application/json`, and its relatives such as `application/graphql+json`. Nothing that a page of another
/// site could send without being asked, and no uploads.
fn is_json(request: &HttpRequest) -> bool {
    use actix_web::HttpMessage;
    let content_type = request.content_type().to_ascii_lowercase();
    content_type == "application/json"
        || (content_type.starts_with("application/") && content_type.ends_with("+json"))
}

enum NotCollected {
    Payload(PayloadError),
    /// Too much is held of requests already.
    Full(Full),
}

/// The whole body, of at most `limit` bytes, counted while it arrives.
async fn collect(
    mut payload: Payload,
    limit: usize,
    asked: &Account,
    held: &mut Charge,
) -> Result<BytesMut, NotCollected> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(NotCollected::Payload)?;
        if chunk.len() > limit - body.len() {
            return Err(NotCollected::Payload(PayloadError::Overflow));
        }
        asked.check().map_err(NotCollected::Full)?;
        held.add(chunk.len());
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
