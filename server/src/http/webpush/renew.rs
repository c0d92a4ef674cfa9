//! `POST /webpush/renew`: a browser's subscription was replaced by another, which receives the notifications from now on.
//!
//! Service workers send it when their push service changes the subscription (`pushsubscriptionchange`), pages when they find
//! another one than they sent last: both may have no session. As for `unsubscribe`, the old subscription's secret proves it, and
//! cookies count for nothing.

use std::time::Instant;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use gom_actors::push::Renewal;
use serde_json::json;

use super::{OTHER_KEY, admit, subscription, unanswered};
use crate::http::State;
use crate::http::json_body;
use crate::http::openapi::{self, OperationObject, ResponseObject, Tag};
use crate::http::rest_error::RestError;

pub fn operation() -> OperationObject {
    OperationObject::new(Tag::Push, "renewDevice", "A browser's new subscription receives the user's notifications instead of the old one")
        .text("A client that has both subscriptions whole may do it, without a session. Doing it again changes nothing.")
        .body("What `PushSubscription.toJSON()` gave before, and what it gives now.", openapi::reference("PushRenewal"))
        .answer(
            ResponseObject::new(
                201,
                "Whether the new one receives notifications now. If not, there was no such old one (one with other keys counts as none): \
                 subscribe when somebody is logged in.",
            )
            .json(json!({ "type": "boolean" })),
        )
        .small_body_errors(json_body::LIMIT)
        .answer(ResponseObject::error(429, &["Too Many Requests"], "Too many renewals from this address within a minute."))
        .answer(ResponseObject::error(503, &["Service Unavailable"], "Devices do not answer."))
}

/// Answers whether the new subscription receives notifications now.
pub async fn handle(
    request: HttpRequest,
    state: Data<State>,
    body: Payload,
) -> Result<HttpResponse, RestError> {
    let networks = state.auth.proxies.client_of(&request).networks();
    state
        .renewals
        .admit(&networks, Instant::now())
        .map_err(RestError::too_many_requests)?;
    let body = json_body::read(&request, body, state.limits.everyone.deadline).await?;
    let [old, new] = subscription::two_devices(body, ["old", "new"])?;
    admit(&state, &new).map_err(|problem| RestError::invalid(vec![format!("new.{problem}")]))?;
    let fingerprints = [&old, &new].map(|device| device.endpoint.fingerprint());
    let renewed = state
        .push
        .renew(old, new)
        .await
        .map_err(|error| unanswered(&error))?;
    match renewed {
        Renewal::Refused => return Err(RestError::invalid(vec![format!("new {OTHER_KEY}")])),
        Renewal::Replaced(change) => {
            let [old, new] = fingerprints;
            tracing::debug!(old, new, ?change, "a subscription was renewed");
        }
        Renewal::Known | Renewal::Unknown => {}
    }
    Ok(HttpResponse::Created().json(renewed != Renewal::Unknown))
}
