//! `POST /webpush/subscribe`: from now on the browser's user is told on this device.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde_json::json;

use super::{subscription, unanswered};
use crate::http::State;
use crate::http::graphql::refused;
use crate::http::json_body;
use crate::http::openapi::{self, Answer, Caller, Operation, SET_COOKIE, Tag};
use crate::http::refusal::Refusal;
use crate::http::rest_error::RestError;
use crate::http::viewer::{NoViewer, viewer};

pub fn operation() -> Operation {
    Operation::new(Tag::Push, "subscribeDevice", "From now on the user is told on this device")
        .text("A device has one user: the one who subscribed it last. Of a user's devices, the oldest is forgotten where there are too many.")
        .by(&[Caller::SessionWithCsrf])
        .body("What `PushSubscription.toJSON()` gives.", openapi::reference("PushSubscription"))
        .answer(Answer::new(201, "Subscribed.").json(json!({ "const": true })).header(SET_COOKIE))
        .small_body_errors(json_body::LIMIT)
        .answer(refused(401, "A bearer token was sent, which is not valid."))
        .answer(
            Answer::error(
                403,
                &["jwt_error", "EBADCSRFTOKEN", "Forbidden"],
                "Nobody is logged in (`jwt_error`); the CSRF token is missing or another session's, or the page is another \
                 site's (`EBADCSRFTOKEN`); or a service asks, which has no devices (`Forbidden`).",
            )
            .header(SET_COOKIE),
        )
        .answer(Answer::error(503, &["Service Unavailable"], "Sessions or devices do not answer."))
}

pub async fn handle(request: HttpRequest, state: Data<State>, body: Payload) -> HttpResponse {
    let viewer = match viewer(&request, &state).await {
        Ok(viewer) => viewer,
        Err(NoViewer::Bearer(error)) => return Refusal::unauthenticated(&request, error).error_response(),
        Err(NoViewer::Browser(error)) => return error.error_response(),
    };
    let Some(user) = viewer.user() else {
        let message = "A service has no devices: only users can subscribe";
        return RestError::new(StatusCode::FORBIDDEN, message).error_response();
    };
    match subscribe(&request, &state, body, &user.subject).await {
        Ok(()) => HttpResponse::Created().json(true),
        Err(error) => error.error_response(),
    }
}

async fn subscribe(request: &HttpRequest, state: &State, body: Payload, user: &str) -> Result<(), RestError> {
    let body = json_body::read(request, body, state.limits.everyone.deadline).await?;
    let device = subscription::device(body)?;
    if device.expires.is_some_and(|expires| expires <= now()) {
        return Err(RestError::invalid(vec!["expirationTime has passed".to_owned()]));
    }
    state.push.allows(&device.endpoint).map_err(|reason| RestError::invalid(vec![reason.to_string()]))?;
    let fingerprint = device.endpoint.fingerprint();
    let change = state.push.subscribe(user, device).await.map_err(|error| unanswered(&error))?;
    tracing::debug!(user, device = fingerprint, ?change, "subscribed");
    Ok(())
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
