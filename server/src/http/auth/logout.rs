//! `POST /auth/logout`, and GET for the client: closes the session, and forgets the devices that were subscribed in it and the
//! answers of its idempotency keys.
//! Whatever becomes of that, the response makes the browser forget what shows it as logged in; a client that cannot would be stuck.

use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use gom_actors::sessions::SessionId;

use crate::http::State;
use crate::http::openapi::{Caller, OperationObject, ResponseObject, SET_COOKIE, Tag};
use crate::http::rest_error::RestError;
use crate::http::session::unanswered;
use crate::http::viewer::{check_page, check_site};
use crate::http::webpush::unanswered as devices_unanswered;

pub fn by_post() -> OperationObject {
    described(OperationObject::new(
        Tag::Sessions,
        "logOut",
        "Closes the session",
    ))
    .by(&[Caller::SessionWithCsrf, Caller::Anyone])
}

pub fn by_get() -> OperationObject {
    described(OperationObject::new(
        Tag::Sessions,
        "logOutByGet",
        "The same, for links",
    ))
    .by(&[Caller::Session, Caller::Anyone])
}

fn described(operation: OperationObject) -> OperationObject {
    operation
        .text(
            "Devices that were subscribed in the session receive nothing any more. Where there is no session, there is \
             nothing to do, and nothing to protect.",
        )
        .answer(ResponseObject::new(204, "Closed. The cookies expire.").header(SET_COOKIE))
        .answer(
            ResponseObject::error(
                403,
                &["EBADCSRFTOKEN"],
                "The page is another site's; or, by POST, the CSRF token is missing or another session's.",
            )
            .header(SET_COOKIE),
        )
        .answer(
            ResponseObject::error(
                503,
                &["Service Unavailable"],
                "Sessions or devices do not answer. The browser's tokens expire all the same.",
            )
            .header(SET_COOKIE),
        )
}

pub async fn handle(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, RestError> {
    let auth = &state.auth;
    // Whatever cookies came with it: what expires in the answer expires in the browser.
    check_site(&request, auth)?;
    if let Some(id) = auth.cookies.id_of(&request) {
        close(&request, &state, &id).await.inspect_err(|error| {
            // A store has no answer: the name stays with the browser, so that it can ask again.
            if error.status_code().is_server_error() {
                auth.cookies.forget_tokens(&request);
            }
        })?;
    }
    auth.cookies.forget_tokens(&request);
    auth.cookies.forget_id(&request);
    Ok(HttpResponse::NoContent().finish())
}

async fn close(request: &HttpRequest, state: &State, id: &SessionId) -> Result<(), RestError> {
    let sessions = &state.auth.sessions;
    let unclosed = |error| RestError::from(unanswered(error));
    let Some(session) = sessions.resume(id).await.map_err(unclosed)? else {
        // What is not there needs no protection.
        return sessions.close(id).await.map_err(unclosed);
    };
    if request.method() != Method::GET {
        check_page(request, &state.auth, id)?;
    }
    let (user, handle) = (&session.subject, id.handle());
    // Before, so that what fails can be retried: afterwards nobody would know whose they are.
    state
        .push
        .forget_session(user, &handle)
        .await
        .map_err(|error| devices_unanswered(&error))?;
    sessions.close(id).await.map_err(unclosed)?;
    // After, for a device that was subscribed meanwhile.
    if let Err(error) = state.push.forget_session(user, &handle).await {
        tracing::warn!(cause = %error, "a device may have been subscribed during a log-out, and still be notified");
    }
    // They are nobody else's to read, and end with their keys: not worth a log-out that fails.
    if let Err(error) = state.api.forget_keys(handle).await {
        tracing::warn!(cause = %error, "answers of a session's idempotency keys are kept for their time, though it has been closed");
    }
    Ok(())
}
