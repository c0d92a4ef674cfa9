//! `POST /webpush/graphql`: the ledger of push, by the rules of `/graphql`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use super::State;
use super::call::Call;
use super::graphql::{OnlyQueries, answer};
use super::rest_error::RestError;
use crate::ledger;

pub async fn handle(request: HttpRequest, state: Data<State>, call: Call) -> HttpResponse {
    let call = Call { viewer: ledger::reader(&call.viewer), ..call };
    answer(&request, &state.ledger, call, Some(OnlyQueries::Ledger)).await
}

pub async fn only_post(request: HttpRequest) -> HttpResponse {
    RestError::method_not_allowed(&request, "POST").error_response()
}
