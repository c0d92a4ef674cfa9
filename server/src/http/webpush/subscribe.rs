//! `POST /webpush/subscribe`: from now on this device receives the notifications of the browser's user.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use gom_actors::push::{Change, Subscriber};
use gom_actors::sessions::SessionId;
use serde_json::json;

use super::{OTHER_KEY, admit, subscription, unanswered};
use crate::http::State;
use crate::http::graphql::refused;
use crate::http::json_body;
use crate::http::openapi::{self, Caller, OperationObject, ResponseObject, SET_COOKIE, Tag};
use crate::http::rest_error::RestError;
use crate::http::session;
use crate::http::viewer::{ViewerError, session_of, viewer};

pub fn operation() -> OperationObject {
    OperationObject::new(Tag::Push, "subscribeDevice", "From now on this device receives the user's notifications")
        .text("A device has one user: the one who subscribed it last. It is forgotten when the session is closed. Of a user's devices, the oldest is forgotten where there are too many.")
        .by(&[Caller::SessionWithCsrf])
        .body("What `PushSubscription.toJSON()` gives.", openapi::reference("PushSubscription"))
        .answer(ResponseObject::new(201, "Subscribed.").json(json!({ "const": true })).header(SET_COOKIE))
        .small_body_errors(json_body::LIMIT)
        .answer(refused(401, "A bearer token was sent, which is not valid."))
        .answer(
            ResponseObject::error(
                403,
                &["jwt_error", "EBADCSRFTOKEN", "Forbidden"],
                "Nobody is logged in (`jwt_error`); the CSRF token is missing or another session's, or the page is another \
                 site's (`EBADCSRFTOKEN`); or a bearer token was sent, and devices belong to sessions (`Forbidden`).",
            )
            .header(SET_COOKIE),
        )
        .answer(ResponseObject::error(503, &["Service Unavailable"], "Sessions or devices do not answer."))
}

pub async fn handle(request: HttpRequest, state: Data<State>, body: Payload) -> HttpResponse {
    let viewer = match viewer(&request, &state).await {
        Ok(viewer) => viewer,
        Err(ViewerError::Bearer(refusal)) => return refusal.error_response(),
        Err(ViewerError::Browser(error)) => return error.error_response(),
    };
    let forbidden = |message| RestError::new(StatusCode::FORBIDDEN, message).error_response();
    let Some(user) = viewer.user() else {
        return forbidden("A service has no devices: only users can subscribe");
    };
    let Some(id) = session_of(&request, &state.auth) else {
        return forbidden(
            "Devices end with their session: subscribe with its cookies, without a bearer token",
        );
    };
    match subscribe(&request, &state, body, &user.subject, &id).await {
        Ok(()) => HttpResponse::Created().json(true),
        Err(error) => error.error_response(),
    }
}

/// `id`: the session that the user is known by.
async fn subscribe(
    request: &HttpRequest,
    state: &State,
    body: Payload,
    user: &str,
    id: &SessionId,
) -> Result<(), RestError> {
    let body = json_body::read(request, body, state.limits.everyone.deadline).await?;
    let device = subscription::device(body)?;
    admit(state, &device).map_err(|problem| RestError::invalid(vec![problem]))?;
    let (fingerprint, session) = (device.endpoint.fingerprint(), id.handle());
    let by = Subscriber {
        user: user.to_owned(),
        session: Some(session.clone()),
    };
    let change = state
        .push
        .subscribe(by, device)
        .await
        .map_err(|error| unanswered(&error))?;
    if change == Change::OtherKey {
        return Err(RestError::invalid(vec![format!(
            "the subscription {OTHER_KEY}"
        )]));
    }
    // Closing a session forgets its devices: those that were there. This one may have come a moment later.
    let living = state.auth.sessions.living(std::slice::from_ref(id)).await;
    if !matches!(living.as_deref(), Ok([true])) {
        state
            .push
            .forget_session(user, &session)
            .await
            .map_err(|error| unanswered(&error))?;
        return Err(living
            .map_or_else(session::unanswered, |_| session::closed())
            .into());
    }
    tracing::debug!(user, device = fingerprint, ?change, "subscribed");
    Ok(())
}
