//! `POST /graphql`, `GET /graphql?query=…`, and the same at `/`.

use std::panic::AssertUnwindSafe;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use futures::FutureExt;
use gom_engine::error::{ApiError, ErrorKind};

use super::State;
use super::call::Call;
use super::media_type::MediaType;
use super::refusal::Refusal;
use super::sse;
use crate::graphql::{self, Answer, Api, write_answer};

/// Seconds after which an overloaded or unready server may be asked again.
const RETRY_AFTER: &str = "1";

pub async fn handle(request: HttpRequest, state: Data<State>, call: Call) -> HttpResponse {
    if sse::is_asked_for(request.headers()) {
        return sse::stream(&request, &state, call).await.unwrap_or_else(|error| error.error_response());
    }
    let only_queries = call.by_get.then_some(OnlyQueries::Get);
    answer(&request, &state.api, call, only_queries).await
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
    api: &Api,
    call: Call,
    only_queries: Option<OnlyQueries>,
) -> HttpResponse {
    let mut answers = Vec::with_capacity(call.requests.len());
    // One after the other, so that a batch's writes happen in its order.
    for asked in call.requests {
        let answering =
            graphql::execute(api, asked, call.viewer.clone(), only_queries.is_some(), call.deadline);
        let answer = match AssertUnwindSafe(answering).catch_unwind().await {
            Ok(Some(answer)) => answer,
            Ok(None) if only_queries == Some(OnlyQueries::Ledger) => {
                return Refusal::read_only(request).error_response();
            }
            Ok(None) => return Refusal::not_a_query(request).error_response(),
            // The panic's own message has been logged where it happened.
            Err(_) => Answer::refused(vec![ApiError::new(ErrorKind::Internal, "a panic")]),
        };
        for error in answer.errors.iter().filter(|error| error.kind == ErrorKind::Internal) {
            tracing::error!(request_id = %call.id, cause = error.message, "internal error");
        }
        answers.push(answer);
    }
    let mut body = Vec::new();
    if call.batched {
        body.push(b'[');
        for (i, answer) in answers.iter().enumerate() {
            if i > 0 {
                body.push(b',');
            }
            write_answer(&mut body, answer, call.id.as_str());
        }
        body.push(b']');
    } else {
        answers.iter().for_each(|answer| write_answer(&mut body, answer, call.id.as_str()));
    }
    let status = status(&answers, call.batched, call.media);
    let mut response = HttpResponse::build(status);
    response.content_type(call.media.content_type());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER)));
    }
    response.body(body)
}

/// 503 if nothing was done for want of the database or of time; 400 for a refused document where the media
/// type says so; else 200, errors or not: they are in the body.
fn status(answers: &[Answer], batched: bool, media: MediaType) -> StatusCode {
    if answers.iter().all(Answer::may_be_repeated) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if media == MediaType::GraphqlResponse && !batched && answers.iter().all(Answer::is_refused) {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::{Data, Fragment};

    fn refused(kind: ErrorKind) -> Answer {
        Answer::refused(vec![ApiError::new(kind, "")])
    }

    fn half_done() -> Answer {
        Answer {
            data: Data::Fields(vec![("a".into(), Fragment::Text("1".into())), ("b".into(), Fragment::Null)]),
            errors: vec![ApiError::new(ErrorKind::Unavailable, "")],
        }
    }

    #[test]
    fn a_refused_document_is_200_or_400_by_media_type() {
        let answers = [refused(ErrorKind::ValidationFailed)];
        assert_eq!(status(&answers, false, MediaType::Json), StatusCode::OK);
        assert_eq!(status(&answers, false, MediaType::GraphqlResponse), StatusCode::BAD_REQUEST);
        assert_eq!(status(&answers, true, MediaType::GraphqlResponse), StatusCode::OK);
    }

    #[test]
    fn only_what_may_be_repeated_as_a_whole_is_503() {
        let down = || refused(ErrorKind::Unavailable);
        assert_eq!(status(&[down()], false, MediaType::Json), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&[down(), half_done()], true, MediaType::Json), StatusCode::OK);
        assert_eq!(status(&[half_done()], false, MediaType::Json), StatusCode::OK, "a part was done");
        let hidden =
            Answer { data: Data::NullAfterWrite, errors: vec![ApiError::new(ErrorKind::Unavailable, "")] };
        assert_eq!(
            status(&[hidden], false, MediaType::Json),
            StatusCode::OK,
            "a part was done and is not shown"
        );
        let unknown = Answer { data: Data::Null, errors: vec![ApiError::new(ErrorKind::OutcomeUnknown, "")] };
        assert_eq!(status(&[unknown], false, MediaType::Json), StatusCode::OK, "it may have been done");
    }
}
