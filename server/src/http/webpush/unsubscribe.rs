//! `POST /webpush/unsubscribe`: this device receives no more notifications.
//!
//! Browsers send it when the login page opens, mostly without a session. A client that has the whole subscription, with the secret
//! that only the browser and we know, may end it. Cookies count for nothing here, so that there is no request to forge.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::{subscription, unanswered};
use crate::http::State;
use crate::http::json_body;
use crate::http::openapi::{self, OperationObject, ResponseObject, Tag};
use crate::http::rest_error::RestError;

pub fn operation() -> OperationObject {
    OperationObject::new(Tag::Push, "unsubscribeDevice", "This device receives no more notifications")
        .text("A client that has the whole subscription, with the secret that only the browser and the server know, may end it.")
        .body("What `PushSubscription.toJSON()` gives.", openapi::reference("PushSubscription"))
        .answer(
            ResponseObject::new(201, "Whether there was such a subscription. One with other keys counts as none.")
                .json(json!({ "type": "boolean" }))
                ,
        )
        .small_body_errors(json_body::LIMIT)
        .answer(ResponseObject::error(503, &["Service Unavailable"], "Devices do not answer."))
}

/// Answers whether there was such a subscription. One with other keys counts as none.
pub async fn handle(
    request: HttpRequest,
    state: Data<State>,
    body: Payload,
) -> Result<HttpResponse, RestError> {
    let body = json_body::read(&request, body, state.limits.everyone.deadline).await?;
    let device = subscription::device(body)?;
    let fingerprint = device.endpoint.fingerprint();
    let ended = state
        .push
        .unsubscribe(device)
        .await
        .map_err(|error| unanswered(&error))?;
    if ended {
        tracing::debug!(device = fingerprint, "unsubscribed");
    }
    Ok(HttpResponse::Created().json(ended))
}
