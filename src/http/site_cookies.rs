//! The cookies of a session: `session-id` names the session, `session-token` holds the readable half of its access
//! token, `csrf-token` is for scripts to repeat in a header.
//!
//! Where it is sent over https only, the session's name stands in `__Host-session-id` as well, which no neighbouring host
//! can set, and which counts before the other. `session-id` is for servers of the previous version, until they are gone.

use actix_web::HttpMessage;
use actix_web::HttpRequest;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderValue, SET_COOKIE};
use actix_web::middleware::Next;
use gom_actors::sessions::SessionId;

use super::cookies::{self, Attributes};
use super::cors::{CSRF_HEADER, is_listed};
use super::device_cookie::{self, DEVICE};
use super::{csrf, session_cookie};
use crate::identity::AppKeys;

const SESSION_ID: &str = "session-id";
const HOST_SESSION_ID: &str = "__Host-session-id";
/// Of several halves of a token in one request, these are looked at: a neighbour may have set others beside ours.
const MAX_TOKEN_HALVES: usize = 8;
const SESSION_TOKEN: &str = "session-token";
const CSRF_TOKEN: &str = "csrf-token";

/// How each is set, and what signs them.
#[derive(Debug, Clone)]
pub struct SiteCookies {
    pub keys: AppKeys,
    pub session_id: Attributes,
    pub session_token: Attributes,
    pub csrf_token: Attributes,
}

impl SiteCookies {
    /// The session's id that the request brings, if we gave it out. It may be one that was never opened, or
    /// is closed.
    pub fn id_of(&self, request: &HttpRequest) -> Option<SessionId> {
        // Somebody may have set another beside ours.
        let ours = self.uses_host_prefix().then(|| cookies::values(request.headers(), HOST_SESSION_ID));
        ours.into_iter()
            .flatten()
            .chain(cookies::values(request.headers(), SESSION_ID))
            .find_map(|value| session_cookie::open(&self.keys, &value))
    }

    fn uses_host_prefix(&self) -> bool {
        self.session_id.secure
    }

    /// `header.payload`, as the browser keeps it. There is more than one if somebody set another beside ours: which is ours, its
    /// signature tells.
    pub fn token_halves_of(request: &HttpRequest) -> Vec<String> {
        let mut halves: Vec<String> = Vec::new();
        for value in cookies::values(request.headers(), SESSION_TOKEN) {
            if !value.is_empty()
                && halves.len() < MAX_TOKEN_HALVES
                && halves.iter().all(|half| *half != value)
            {
                halves.push(value.into_owned());
            }
        }
        halves
    }

    /// Whether the request's own CSRF cookie is good for the session.
    pub fn has_csrf_cookie(&self, request: &HttpRequest, id: &SessionId) -> bool {
        cookies::values(request.headers(), CSRF_TOKEN).any(|token| csrf::belongs(&self.keys, id, &token))
    }

    /// Names the session to the browser.
    pub fn give_id(&self, request: &HttpRequest, id: &SessionId) {
        let value = session_cookie::seal(&self.keys, id);
        for name in self.names_of_id() {
            put(request, name, cookies::set(name, &value, &self.session_id));
        }
    }

    /// Gives the browser its half of the token.
    pub fn give_token_half(&self, request: &HttpRequest, head: &str) {
        put(request, SESSION_TOKEN, cookies::set(SESSION_TOKEN, head, &self.session_token));
    }

    /// Gives the browser a CSRF token for a session.
    pub fn give_csrf_token(&self, request: &HttpRequest, id: &SessionId) {
        let token = csrf::token(&self.keys, id);
        put(request, CSRF_TOKEN, cookies::set(CSRF_TOKEN, &token, &self.csrf_token));
        show_csrf_token(request, token);
    }

    /// Notes in the browser that this account was logged in to from it.
    pub fn give_device(&self, request: &HttpRequest, account: &str) {
        let value = device_cookie::seal(&self.keys, account);
        let attributes =
            Attributes { max_age: Some(device_cookie::MAX_AGE), http_only: true, ..self.session_id.clone() };
        put(request, DEVICE, cookies::set(DEVICE, &value, &attributes));
    }

    /// A CSRF token for the session that the browser has, or for a new one, so that it can log in. Nothing is
    /// stored.
    pub fn prepare(&self, request: &HttpRequest) {
        let id = self.id_of(request).unwrap_or_else(SessionId::new);
        // Always anew: the browser keeps it from now on, and it is signed with the key in use.
        self.give_id(request, &id);
        if self.has_csrf_cookie(request, &id) {
            show_csrf_token(request, csrf::token(&self.keys, &id));
        } else {
            self.give_csrf_token(request, &id);
        }
    }

    /// Makes the browser forget what shows it as logged in.
    pub fn forget_tokens(&self, request: &HttpRequest) {
        put(request, SESSION_TOKEN, cookies::expire(SESSION_TOKEN, &self.session_token));
        put(request, CSRF_TOKEN, cookies::expire(CSRF_TOKEN, &self.csrf_token));
    }

    /// Makes the browser forget the session's name.
    pub fn forget_id(&self, request: &HttpRequest) {
        for name in self.names_of_id() {
            put(request, name, cookies::expire(name, &self.session_id));
        }
    }

    fn names_of_id(&self) -> impl Iterator<Item = &'static str> {
        self.uses_host_prefix().then_some(HOST_SESSION_ID).into_iter().chain([SESSION_ID])
    }
}

/// The lines for the request's answer, whatever that will be: a renewed token must arrive with an error too.
struct Outgoing(Vec<(&'static str, HeaderValue)>);

/// The CSRF token for the answer's header, if a page asks that cannot read our cookies.
struct Shown(String);

fn show_csrf_token(request: &HttpRequest, token: String) {
    if is_listed(request) {
        request.extensions_mut().insert(Shown(token));
    }
}

/// The last line for a name counts.
fn put(request: &HttpRequest, name: &'static str, line: HeaderValue) {
    let mut extensions = request.extensions_mut();
    let Some(Outgoing(lines)) = extensions.get_mut::<Outgoing>() else {
        extensions.insert(Outgoing(vec![(name, line)]));
        return;
    };
    lines.retain(|(kept, _)| *kept != name);
    lines.push((name, line));
}

/// Puts the cookies that were given during a request on its answer.
pub async fn carry<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let mut response = next.call(request).await?;
    let outgoing = response.request().extensions_mut().remove::<Outgoing>();
    for (_, line) in outgoing.into_iter().flat_map(|Outgoing(lines)| lines) {
        response.headers_mut().append(SET_COOKIE, line);
    }
    let shown = response.request().extensions_mut().remove::<Shown>();
    if let Some(value) = shown.and_then(|Shown(token)| HeaderValue::try_from(token).ok()) {
        response.headers_mut().insert(CSRF_HEADER, value);
    }
    Ok(response)
}
