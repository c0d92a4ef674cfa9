//! From the two halves of a token, one in a cookie and one in the session, to the user; renewing the token if
//! it has expired and can be renewed.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::HttpRequest;
use gom_actors::sessions::{Refreshed, Refresher, Session, SessionError, SessionId};

use super::State;
use super::auth_services::AuthServices;
use super::rest_error::RestError;
use crate::identity::{TokenError, User};

/// The second in which it was last logged that sessions give no answer.
static WARNED: AtomicU64 = AtomicU64::new(0);

/// A live session with a valid token.
#[derive(Debug)]
pub struct LoggedIn {
    pub user: Arc<User>,
    /// The browser's half of the token, as it is now; nothing if the browser keeps an older one.
    pub head: Option<String>,
}

/// There is no user.
#[derive(Debug, PartialEq, Eq)]
pub enum NotLoggedIn {
    /// Not, or not any more.
    No(Cow<'static, str>),
    /// It is not known: nobody is logged out for that.
    Unknown(RestError),
}

impl From<NotLoggedIn> for RestError {
    fn from(reason: NotLoggedIn) -> Self {
        match reason {
            NotLoggedIn::No(message) => RestError::logged_out(message),
            NotLoggedIn::Unknown(error) => error,
        }
    }
}

/// Joins the two halves. A renewed half goes to the browser with the answer.
pub async fn join(
    request: &HttpRequest,
    state: &State,
    id: &SessionId,
) -> Result<LoggedIn, NotLoggedIn> {
    let auth = &*state.auth;
    let session = auth.sessions.resume(id).await.map_err(unanswered)?;
    let session = session.ok_or_else(closed)?;
    let mut reason = None;
    let mut unavailable = false;
    for head in auth.cookies.token_halves_of(request) {
        match auth
            .identity
            .verify(&session.provider, &head, &session.signature)
            .await
        {
            Ok(user) => {
                return Ok(LoggedIn {
                    user,
                    head: Some(head),
                });
            }
            Err(TokenError::Expired) => return renew(request, state, id, &session).await,
            Err(TokenError::Invalid(message)) => match replaced(auth, &session, &head).await {
                Ok(Some(newer)) => return newer_half(request, state, id, &session, newer).await,
                // Another may be the session's.
                Ok(None) => reason = reason.or(Some(message.into())),
                Err(_) => unavailable = true,
            },
            // Another may need no keys that cannot be had.
            Err(TokenError::Unavailable) => unavailable = true,
        }
    }
    if unavailable {
        return Err(unverified());
    }
    Err(NotLoggedIn::No(
        reason.unwrap_or("jwt must be provided".into()),
    ))
}

/// There is no such session, or not any more.
pub fn closed() -> NotLoggedIn {
    NotLoggedIn::No("there is no such session".into())
}

/// The half that replaced the one that the request brings: it set out before the answer to another one, which
/// renewed the token, had arrived.
async fn replaced(
    auth: &AuthServices,
    session: &Session,
    head: &str,
) -> Result<Option<String>, NotLoggedIn> {
    let Some(previous) = &session.previous else {
        return Ok(None);
    };
    for signature in previous.signatures() {
        match auth
            .identity
            .verify(&session.provider, head, signature)
            .await
        {
            // It was the session's, expired or not.
            Ok(_) | Err(TokenError::Expired) => return Ok(Some(previous.head.clone())),
            Err(TokenError::Invalid(_)) => {}
            Err(TokenError::Unavailable) => return Err(unverified()),
        }
    }
    Ok(None)
}

/// The user of a session's token that ends after `until`, for a connection that came with the session. The token is renewed if
/// it has to be; however many connections and servers want it at once, the issuer is asked once.
///
/// # Errors
/// The session is over, or its token cannot be renewed; or neither can be found out now.
pub async fn renew_for_connection(
    state: &State,
    id: &SessionId,
    until: SystemTime,
) -> Result<Arc<User>, NotLoggedIn> {
    let auth = &*state.auth;
    let session = auth
        .sessions
        .resume(id)
        .await
        .map_err(unanswered)?
        .ok_or_else(closed)?;
    // Another connection, or a request, may have renewed it.
    if let Some(previous) = &session.previous
        && let Ok(user) = auth
            .identity
            .verify(&session.provider, &previous.head, &session.signature)
            .await
        && user.expires > until
    {
        return Ok(user);
    }
    match refreshed(state, id, &session, For::Connection).await? {
        Ok(Refreshed { session, head }) => {
            match auth
                .identity
                .verify(&session.provider, &head, &session.signature)
                .await
            {
                Ok(user) => Ok(user),
                Err(TokenError::Unavailable) => Err(unverified()),
                Err(error) => Err(NotLoggedIn::No(error.to_string().into())),
            }
        }
        Err(SessionError::Gone) => Err(expired()),
        Err(error) => Err(unanswered(error)),
    }
}

fn expired() -> NotLoggedIn {
    NotLoggedIn::No(TokenError::Expired.to_string().into())
}

/// # Errors
/// The session's token is not renewed.
fn refresher(auth: &AuthServices, session: &Session) -> Result<Box<dyn Refresher>, NotLoggedIn> {
    let renewable = session.refresh_token.is_some();
    renewable
        .then(|| auth.identity.refresher(&session.provider))
        .flatten()
        .ok_or_else(expired)
}

/// Gets a new token from the issuer of the expired one. However many requests need it together, there is one refresh.
async fn renew(
    request: &HttpRequest,
    state: &State,
    id: &SessionId,
    session: &Session,
) -> Result<LoggedIn, NotLoggedIn> {
    match refreshed(state, id, session, For::Request).await? {
        Ok(Refreshed { session, head }) => verified(request, &state.auth, id, &session, head).await,
        Err(SessionError::Gone) => Err(expired()),
        Err(error) => Err(unanswered(error)),
    }
}

/// Who wants a token to be renewed.
#[derive(Debug, Clone, Copy)]
enum For {
    Request,
    Connection,
}

/// Refreshes the session's token.
///
/// # Errors
/// The session's token is not renewed.
async fn refreshed(
    state: &State,
    id: &SessionId,
    session: &Session,
    recipient: For,
) -> Result<Result<Refreshed, SessionError>, NotLoggedIn> {
    let refresher = refresher(&state.auth, session)?;
    let sessions = &state.auth.sessions;
    Ok(match recipient {
        For::Request => sessions.refresh(id, &session.signature, refresher).await,
        For::Connection => {
            sessions
                .refresh_for_connection(id, &session.signature, refresher)
                .await
        }
    })
}

/// The user of the half that replaced the request's. It has ended as well if connections renewed the token for a while, and
/// then none did any more.
async fn newer_half(
    request: &HttpRequest,
    state: &State,
    id: &SessionId,
    session: &Session,
    head: String,
) -> Result<LoggedIn, NotLoggedIn> {
    match state
        .auth
        .identity
        .verify(&session.provider, &head, &session.signature)
        .await
    {
        Err(TokenError::Expired) => renew(request, state, id, session).await,
        _ => verified(request, &state.auth, id, session, head).await,
    }
}

/// The user of a newer half, which goes to the browser if the session notes that; else the browser's own stays good.
async fn verified(
    request: &HttpRequest,
    auth: &AuthServices,
    id: &SessionId,
    session: &Session,
    head: String,
) -> Result<LoggedIn, NotLoggedIn> {
    match auth
        .identity
        .verify(&session.provider, &head, &session.signature)
        .await
    {
        Ok(user) => {
            // A half of which the session does not know that the browser has it would be refused after the next renewal.
            let head = auth.sessions.heard(id, session).await.then_some(head);
            if let Some(head) = &head {
                auth.cookies.give_token_half(request, head);
            }
            auth.cookies.give_id(request, id);
            Ok(LoggedIn { user, head })
        }
        Err(TokenError::Unavailable) => Err(unverified()),
        Err(error) => Err(NotLoggedIn::No(error.to_string().into())),
    }
}

/// The store gave no answer, or said that the session is gone.
pub fn unanswered(error: SessionError) -> NotLoggedIn {
    if error == SessionError::Gone {
        return NotLoggedIn::No(error.to_string().into());
    }
    // Why is the operator's business: it may name hosts. All requests and connections of a process may find it out at once.
    let second = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if WARNED.swap(second, Ordering::Relaxed) != second {
        tracing::warn!(cause = %error, "there is no answer about a session; logged at most once a second");
    }
    NotLoggedIn::Unknown(RestError::unavailable(
        "Sessions are not available at the moment; try again",
        None,
    ))
}

fn unverified() -> NotLoggedIn {
    NotLoggedIn::Unknown(RestError::unavailable(
        "Logins cannot be verified at the moment; try again",
        None,
    ))
}
