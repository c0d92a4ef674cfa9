//! `POST /graphql`, `GET /graphql?query=…`, and the same at `/` and at `/SERVICE/STAGE`.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use futures::FutureExt;
use gom_engine::error::{ApiError, ErrorKind};
use gom_telemetry::metrics;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::State;
use super::access::RequestContext;
use super::call::Call;
use super::media_type::{self, MediaType};
use super::openapi::{
    ALLOW, Caller, GOM_CURSOR, OperationObject, ResponseObject, SET_COOKIE, Tag, reference,
};
use super::outgoing;
use super::position_headers;
use super::refusal::Refusal;
use super::sse;
use crate::admission::reader;
use crate::graphql::{self, Answer, AnswerCursor, Api, Data};
use crate::socket::OwnSocket;
use crate::telemetry::{observe_operation, outcome_of};

/// Seconds after which an overloaded or unready server may be asked again.
pub const RETRY_AFTER: &str = "1";

pub fn by_post(id: &'static str) -> OperationObject {
    described(OperationObject::new(Tag::Graphql, id, "An operation, or several"))
        .text(
            "Of a list, the operations are done one after the other, and answered by a list. Where `Accept` names \
             `application/graphql-response+json`, the status says whether the document was refused (400), and a refusal has no `data`; else refused \
             documents are answered with 200. Where it prefers `text/event-stream`, by quality, then order, one operation is answered by events, \
             a subscription by as many as come; `Last-Event-ID` resumes it. With a header `Idempotency-Key`, or `extensions.idempotencyKey`, a mutation \
             that is repeated is carried out once.",
        )
        .answer(live())
        .answer(crowded())
}

pub fn by_get(id: &'static str) -> OperationObject {
    let text = json!({ "type": "string" });
    asked(OperationObject::new(Tag::Graphql, id, "A query"))
        .text(
            "Media types and events as by POST. With `Upgrade: websocket` it is the handshake of a websocket, for whose \
             subprotocols (`graphql-transport-ws`, `graphql-ws`, `graphql-subscriptions`) see their own descriptions.",
        )
        .by(&[Caller::Session, Caller::Bearer])
        .query("query", true, "The document.", json!({ "type": "string", "minLength": 1 }))
        .query("operationName", false, "Which of the document's operations; needed if there are several.", text)
        .json_query("variables", "The variables.", json!({ "type": ["object", "null"] }))
        .json_query("extensions", "As by POST.", json!({ "type": ["object", "null"] }))
        .answer(answered(ResponseObject::new(200, "Answered, errors or not: they are in the body."), &reference("GraphqlAnswer")).header(GOM_CURSOR))
        .answer(live())
        .answer(
            refused(405, "The operation is no query, and a GET must change nothing.").header(ALLOW),
        )
        .answer(crowded())
}

/// What all say that read GraphQL from a body.
pub fn described(operation: OperationObject) -> OperationObject {
    let several = |name| json!({ "anyOf": [reference(name), { "type": "array", "minItems": 1, "items": reference(name) }] });
    asked(operation)
        .by(&[Caller::SessionWithCsrf, Caller::Bearer])
        .body(
            "JSON in UTF-8; also as any `application/*+json`. Its size, and how many operations a list may have, are settings (`limits`).",
            several("GraphqlRequest"),
        )
        .answer(answered(
            ResponseObject::new(200, "Answered, errors or not: they are in the body."),
            &several("GraphqlAnswer"),
        ).header(GOM_CURSOR))
        .answer(refused(408, "The body did not arrive before the deadline."))
        .answer(refused(413, "The body is larger than `limits.body_bytes`."))
        .answer(refused(415, "The body is not JSON, or is compressed."))
        .answer(refused(422, "The idempotency key (`Idempotency-Key`, or `extensions.idempotencyKey`) came with another request before; nothing was done."))
}

fn asked(operation: OperationObject) -> OperationObject {
    let several = json!({ "anyOf": [reference("GraphqlAnswer"), { "type": "array", "minItems": 1, "items": reference("GraphqlAnswer") }] });
    operation
        .header("Gom-Cursor", "As `extensions.cursor`, answered by the header of the same name. For one operation.", json!({ "const": "true" }))
        .header("Gom-After", "As `extensions.after`. For one operation.", json!({ "type": "string" }))
        .answer(refused(
            400,
            "The request cannot be read; or the document was refused, and the answer is `application/graphql-response+json`.",
        ))
        .answer(refused(401, "A bearer token was sent, which is not valid."))
        .answer(
            ResponseObject::error(
                403,
                &["jwt_error", "EBADCSRFTOKEN"],
                "Nobody is logged in (`jwt_error`); or the CSRF token is missing or another session's, or the page is \
                 another site's (`EBADCSRFTOKEN`).",
            )
            .header(SET_COOKIE),
        )
        .answer(impatient())
        .answer(ResponseObject::error(503, &["Service Unavailable"], "Sessions do not answer."))
        .answer(answered(ResponseObject::new(503, "Nothing was done, because the database, time, a thread for large requests, or room for what waits was lacking (`server.waiting_bytes`, `server.request_bytes`)."), &several))
}

fn answered(answer: ResponseObject, schema: &Value) -> ResponseObject {
    let newer = "application/graphql-response+json";
    answer
        .json(schema.clone())
        .content(newer, schema.clone())
        .header(SET_COOKIE)
}

/// A refusal in GraphQL's shape.
pub fn refused(status: u16, text: &str) -> ResponseObject {
    answered(
        ResponseObject::new(status, text),
        &reference("GraphqlRefusal"),
    )
}

fn live() -> ResponseObject {
    ResponseObject::new(
        200,
        "Or, as events: `next` with an answer for each, then `complete`.",
    )
    .content("text/event-stream", json!({ "type": "string" }))
}

fn crowded() -> ResponseObject {
    ResponseObject::error(
        429,
        &["Too Many Requests"],
        "There is no room for one more event stream.",
    )
}

fn impatient() -> ResponseObject {
    refused(
        429,
        "As many operations of this user are in flight, and wait, as may (`limits.in_flight_per_user`), a large request was not read \
         in time for the user's others, requests take more than `limits.request_bytes`, or earlier answers are not read \
         (`limits.waiting_bytes`); nothing was done.",
    )
}

pub async fn handle(request: HttpRequest, state: web::Data<State>, call: Call) -> HttpResponse {
    if media_type::prefers_events(request.headers()) {
        if let Err(error) = state.api.admission.check(&call.viewer) {
            return Refusal::unread(&request, error).error_response();
        }
        return sse::stream(&request, &state, call)
            .await
            .unwrap_or_else(|error| error.error_response());
    }
    let only_queries = call.by_get.then_some(OnlyQueries::Get);
    answer(&request, &state, &state.api, call, only_queries).await
}

/// Why nothing but queries is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyQueries {
    /// A GET must change nothing.
    Get,
    /// The ledger is not written by those who read it.
    Ledger,
}

/// Answers a call by an API.
pub async fn answer(
    request: &HttpRequest,
    state: &State,
    api: &Api,
    call: Call,
    only_queries: Option<OnlyQueries>,
) -> HttpResponse {
    let (section, limits) = state.limits_of(&call.viewer);
    if let Err(error) = api.admission.check(&call.viewer) {
        return Refusal::unread(request, error).error_response();
    }
    let account = state.waiting.account(&reader(&call.viewer));
    let mut bytes = 0;
    let mut answers = Vec::with_capacity(call.requests.len());
    let mut held = Vec::new();
    let mut cursor = AnswerCursor::None;
    // One after the other, so that a batch's writes happen in its order.
    for asked in call.requests {
        let (kind, began) = (Cell::new(metrics::Operation::Unknown), Instant::now());
        let viewer = call.viewer.clone();
        let answering = graphql::serve(
            api,
            asked,
            viewer,
            only_queries.is_some(),
            call.deadline,
            &kind,
        );
        let mut answer = match AssertUnwindSafe(answering).catch_unwind().await {
            Ok(Some(answer)) => answer,
            Ok(None) if only_queries == Some(OnlyQueries::Ledger) => {
                return Refusal::read_only(request).error_response();
            }
            Ok(None) => return Refusal::not_a_query(request).error_response(),
            Err(_) => {
                let answer = Answer::panicked();
                observe_operation(kind.get(), &answer.errors, began.elapsed());
                answer
            }
        };
        if call.cursor_in_header {
            cursor = std::mem::take(&mut answer.cursor);
        }
        RequestContext::of(request, |context| {
            context.answered(kind.get(), outcome_of(&answer.errors))
        });
        for error in answer
            .errors
            .iter()
            .filter(|error| error.kind == ErrorKind::Internal)
        {
            tracing::error!(request_id = %call.id, cause = error.message, "internal error");
        }
        let with_it = bytes + answer.bytes() as u64;
        answers.push(if with_it <= limits.answer_bytes {
            bytes = with_it;
            // It waits for the others of its batch.
            held.extend(call.batched.then(|| account.charge(answer.bytes())));
            answer
        } else {
            left_out(&answer, section, limits.answer_bytes)
        });
    }
    let mut body = Vec::new();
    if call.batched {
        body.push(b'[');
        for (i, answer) in answers.iter().enumerate() {
            if i > 0 {
                body.push(b',');
            }
            call.media.write(&mut body, answer, call.id.as_str());
        }
        body.push(b']');
    } else {
        answers
            .iter()
            .for_each(|answer| call.media.write(&mut body, answer, call.id.as_str()));
    }
    let status = status(&answers, call.batched, call.media);
    let mut response = HttpResponse::build(status);
    response.content_type(call.media.content_type());
    // A GET's answer, too, is for one viewer and for now.
    response.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        response.insert_header((header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER)));
    }
    position_headers::write(&mut response, &cursor);
    let socket = request.conn_data::<OwnSocket>().copied();
    response.body(outgoing::body(
        body,
        &call.viewer,
        &state.waiting,
        socket,
        state.sending.timeout,
    ))
}

/// In place of an answer with which those of a batch would be too large.
fn left_out(answer: &Answer, section: &str, limit: u64) -> Answer {
    let message = format!(
        "The answers of the batch have more bytes than they may have; the limit is {limit} ({section}.answer_bytes). \
         What this operation writes was written."
    );
    let error = ApiError::new(ErrorKind::LimitExceeded, message);
    Answer {
        data: Data::Null,
        errors: answer.errors.iter().cloned().chain([error]).collect(),
        cursor: AnswerCursor::None,
    }
}

/// 503 if nothing was done because the database was unavailable or the deadline passed, 429 for all else that the caller has in flight; 422 for an idempotency key of another request; 400 for a refused document where the media
/// type says so; else 200, errors or not: they are in the body.
fn status(answers: &[Answer], batched: bool, media: MediaType) -> StatusCode {
    if answers.iter().all(Answer::may_be_repeated) {
        let waits = answers.iter().any(Answer::has_to_wait);
        if waits {
            StatusCode::TOO_MANY_REQUESTS
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    } else if answers.iter().all(Answer::reuses_key) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else if media == MediaType::GraphqlResponse
        && !batched
        && answers.iter().all(Answer::is_refused)
    {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::Fragment;

    fn refused(kind: ErrorKind) -> Answer {
        Answer::refused(vec![ApiError::new(kind, "")])
    }

    fn half_done() -> Answer {
        Answer {
            data: Data::Fields(vec![
                ("a".into(), Fragment::Text("1".into())),
                ("b".into(), Fragment::Null),
            ]),
            errors: vec![ApiError::new(ErrorKind::Unavailable, "")],
            cursor: AnswerCursor::None,
        }
    }

    #[test]
    fn a_refused_document_is_200_or_400_by_media_type() {
        let answers = [refused(ErrorKind::ValidationFailed)];
        assert_eq!(status(&answers, false, MediaType::Json), StatusCode::OK);
        assert_eq!(
            status(&answers, false, MediaType::GraphqlResponse),
            StatusCode::BAD_REQUEST
        );
        assert_eq!(
            status(&answers, true, MediaType::GraphqlResponse),
            StatusCode::OK
        );
    }

    #[test]
    fn a_key_of_another_request_is_422() {
        let reused = || refused(ErrorKind::IdempotencyKeyReused);
        let of = |answers: &[Answer], media| status(answers, answers.len() > 1, media);
        for media in [MediaType::Json, MediaType::GraphqlResponse] {
            assert_eq!(of(&[reused()], media), StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(
                of(&[reused(), reused()], media),
                StatusCode::UNPROCESSABLE_ENTITY
            );
            assert_eq!(of(&[reused(), half_done()], media), StatusCode::OK);
        }
    }

    #[test]
    fn only_what_may_be_repeated_as_a_whole_is_503() {
        let down = || refused(ErrorKind::Unavailable);
        assert_eq!(
            status(&[down()], false, MediaType::Json),
            StatusCode::SERVICE_UNAVAILABLE
        );
        let waits = || refused(ErrorKind::TooManyRequests);
        assert_eq!(
            status(&[waits()], false, MediaType::Json),
            StatusCode::TOO_MANY_REQUESTS
        );
        assert_eq!(
            status(&[waits(), down()], true, MediaType::Json),
            StatusCode::TOO_MANY_REQUESTS
        );
        assert_eq!(
            status(&[waits(), half_done()], true, MediaType::Json),
            StatusCode::OK
        );
        assert_eq!(
            status(&[down(), half_done()], true, MediaType::Json),
            StatusCode::OK
        );
        assert_eq!(
            status(&[half_done()], false, MediaType::Json),
            StatusCode::OK,
            "a part was done"
        );
        let hidden = Answer {
            data: Data::NullAfterWrite,
            errors: vec![ApiError::new(ErrorKind::Unavailable, "")],
            cursor: AnswerCursor::None,
        };
        assert_eq!(
            status(&[hidden], false, MediaType::Json),
            StatusCode::OK,
            "a part was done and is not shown"
        );
        let unknown = Answer {
            data: Data::Null,
            errors: vec![ApiError::new(ErrorKind::OutcomeUnknown, "")],
            cursor: AnswerCursor::None,
        };
        assert_eq!(
            status(&[unknown], false, MediaType::Json),
            StatusCode::OK,
            "it may have been done"
        );
    }
}
