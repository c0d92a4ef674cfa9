//! `POST /webpush/graphql`: the ledger of push, by the rules of `/graphql`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::http::State;
use crate::http::call::Call;
use crate::http::graphql::{OnlyQueries, answer};
use crate::ledger;

pub async fn handle(request: HttpRequest, state: Data<State>, call: Call) -> HttpResponse {
    let call = Call { viewer: ledger::reader(&call.viewer), ..call };
    answer(&request, &state.ledger, call, Some(OnlyQueries::Ledger)).await
}
