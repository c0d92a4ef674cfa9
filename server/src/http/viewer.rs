//! Who asks, from the request's headers: a service or a user with a bearer token, or a browser with its cookies.

use std::time::{Duration, SystemTime};

use actix_web::HttpRequest;
use actix_web::http::header;
use gom_actors::sessions::SessionId;
use gom_engine::error::{ApiError, ErrorKind};

use super::State;
use super::access::RequestContext;
use super::auth_services::AuthServices;
use super::cors::CSRF_HEADER;
use super::refusal::Refusal;
use super::rest_error::RestError;
use super::{csrf, session};
use crate::identity::{TokenError, Viewer};

/// Prisma's error for a token that it does not accept.
const INVALID_TOKEN: u16 = 3015;

/// There is no viewer.
#[derive(Debug)]
pub enum ViewerError {
    /// The bearer token is wrong, or cannot be verified now.
    Bearer(Refusal),
    /// The cookies are.
    Browser(RestError),
}

/// The viewer of a request. Only the cookies' need a CSRF token: no page can make a browser send another
/// header. A session that has ended is answered first, whatever else is wrong: it is the only answer on which
/// the client logs out.
///
/// # Errors
/// A wrong bearer token; no live session; a request that a page of ours did not send.
pub async fn viewer(request: &HttpRequest, state: &State) -> Result<Viewer, ViewerError> {
    let auth = &state.auth;
    let id = auth.cookies.id_of(request);
    match credentials(request) {
        Some(Authorization::Bearer(token)) => return bearer(request, state, token).await,
        // A proxy in front may want a password of its own from browsers.
        Some(Authorization::Other) if id.is_some() => {}
        Some(Authorization::Other) => {
            let refusal = Refusal::unauthenticated(request, invalid_token());
            return Err(ViewerError::Bearer(refusal));
        }
        None => {}
    }
    let id =
        id.ok_or_else(|| ViewerError::Browser(RestError::logged_out("jwt must be provided")))?;
    let logged_in = session::join(request, state, &id)
        .await
        .map_err(|no| ViewerError::Browser(no.into()))?;
    if !request.method().is_safe() {
        check_page(request, auth, &id).map_err(ViewerError::Browser)?;
    }
    Ok(Viewer::User(logged_in.user))
}

/// The viewer that a bearer token names. Which check has refused a token is in the request's line of the log.
async fn bearer(request: &HttpRequest, state: &State, token: &str) -> Result<Viewer, ViewerError> {
    if state.tokens.check(token).is_ok() {
        return Ok(Viewer::Service);
    }
    match state.auth.identity.bearer(token).await {
        Ok(user) => Ok(Viewer::User(user)),
        Err(error) => {
            let expired = error != TokenError::Unavailable && state.tokens.has_expired(token);
            let error = if expired { TokenError::Expired } else { error };
            RequestContext::of(request, |context| context.refused(&error));
            let wrong = || Refusal::unauthenticated(request, invalid_token());
            Err(ViewerError::Bearer(match error {
                TokenError::Unavailable => Refusal::not_taken_in(request, unverified()),
                _ if token.is_empty() => wrong(),
                error => wrong().of_token(&error.to_string()),
            }))
        }
    }
}

/// The session of a request's cookies. A bearer token is sent in their place: what is done with it is not the session's.
pub fn session_of(request: &HttpRequest, auth: &AuthServices) -> Option<SessionId> {
    match credentials(request) {
        Some(Authorization::Bearer(_)) => None,
        _ => auth.cookies.id_of(request),
    }
}

/// How long the viewer of a request stays the viewer: until the token ends.
pub fn time_left(request: &HttpRequest, state: &State, viewer: &Viewer) -> Duration {
    if let Some(user) = viewer.user() {
        return user
            .expires
            .duration_since(SystemTime::now())
            .unwrap_or_default();
    }
    match credentials(request) {
        Some(Authorization::Bearer(token)) => state.tokens.time_left(token).unwrap_or_default(),
        _ => Duration::ZERO,
    }
}

/// Whether a page of ours, or none, sent the request.
///
/// # Errors
/// If a page of another site did.
pub fn check_site(request: &HttpRequest, auth: &AuthServices) -> Result<(), RestError> {
    if auth.origins.admit(request, &auth.proxies) {
        Ok(())
    } else {
        Err(RestError::csrf())
    }
}

/// Whether a page of ours sent the request, for whatever it changes.
///
/// # Errors
/// If not. If it has no token, or one of another session, the answer brings one that is good, so that the
/// client can try again.
pub fn check_page(
    request: &HttpRequest,
    auth: &AuthServices,
    id: &SessionId,
) -> Result<(), RestError> {
    check_site(request, auth)?;
    let token = request
        .headers()
        .get(CSRF_HEADER)
        .and_then(|value| value.to_str().ok());
    if token.is_some_and(|token| csrf::belongs(&auth.cookies.keys, id, token)) {
        return Ok(());
    }
    auth.cookies.give_csrf_token(request, id);
    Err(RestError::csrf())
}

fn invalid_token() -> ApiError {
    ApiError {
        kind: ErrorKind::Unauthenticated,
        ..ApiError::numbered(
            INVALID_TOKEN,
            "Your token is invalid. It might have expired or you might be using a token from a different project.",
        )
    }
}

fn unverified() -> ApiError {
    let message = "Tokens cannot be verified at the moment; try again";
    ApiError::new(ErrorKind::Unavailable, message)
}

#[derive(Debug, PartialEq, Eq)]
enum Authorization<'a> {
    Bearer(&'a str),
    Other,
}

/// What the header `Authorization` has. What is no text is no token, and does not make the cookies count.
fn credentials(request: &HttpRequest) -> Option<Authorization<'_>> {
    let value = request.headers().get(header::AUTHORIZATION)?;
    Some(
        value
            .to_str()
            .map_or(Authorization::Bearer(""), authorization),
    )
}

/// The token of `Bearer TOKEN`; the scheme's letters may be of either case.
fn authorization(value: &str) -> Authorization<'_> {
    match value.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Authorization::Bearer(token.trim())
        }
        _ if value.trim().eq_ignore_ascii_case("bearer") => Authorization::Bearer(""),
        _ => Authorization::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_carries_tokens() {
        assert_eq!(authorization("Bearer abc"), Authorization::Bearer("abc"));
        assert_eq!(authorization("bearer  abc "), Authorization::Bearer("abc"));
        assert_eq!(authorization("Bearer"), Authorization::Bearer(""));
        assert_eq!(authorization("Basic abc"), Authorization::Other);
        assert_eq!(authorization(""), Authorization::Other);
    }
}
