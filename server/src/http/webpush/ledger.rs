//! `POST /webpush/graphql`: the ledger of push, by the rules of `/graphql`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::http::State;
use crate::http::call::Call;
use crate::http::graphql::{OnlyQueries, answer, described, refused};
use crate::http::openapi::{OperationObject, Tag};
use crate::ledger;

pub fn operation() -> OperationObject {
    let operation = OperationObject::new(Tag::Push, "pushLedger", "Who was notified of what, by GraphQL")
        .text("A datamodel of its own, read by the rules of `/graphql`: a service sees all, a user what concerns the user. Introspection describes it.");
    described(operation).answer(refused(
        403,
        "Or the operation is no query: the ledger is not written here.",
    ))
}

pub async fn handle(request: HttpRequest, state: Data<State>, call: Call) -> HttpResponse {
    let call = Call {
        viewer: ledger::reader(&call.viewer),
        ..call
    };
    answer(
        &request,
        &state,
        &state.ledger,
        call,
        Some(OnlyQueries::Ledger),
    )
    .await
}
