//! `/webpush/…`: let in like `/graphql`, and nothing is there yet.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use super::State;
use super::refusal::Refusal;
use super::rest_error::RestError;
use super::viewer::{NoViewer, viewer};

pub async fn handle(request: HttpRequest, state: Data<State>) -> HttpResponse {
    match viewer(&request, &state).await {
        Ok(_) => RestError::not_found(&request).error_response(),
        Err(NoViewer::Bearer(error)) => Refusal::unauthenticated(&request, error).error_response(),
        Err(NoViewer::Browser(error)) => error.error_response(),
    }
}
