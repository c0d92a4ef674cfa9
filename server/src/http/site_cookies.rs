//! The cookies of a session: `session-id` names the session, `session-token` holds the readable half of its access
//! token, `csrf-token` is for scripts to repeat in a header.
//!
//! Where it is sent over https only, the session's name stands in `__Host-session-id` as well, which no neighbouring host
//! can set, and which counts before the other. `session-id` is for servers of the previous version, until they are gone.

use std::sync::Arc;

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

/// Of several halves of a token in one request, these are looked at: a neighbour may have set others beside ours.
const MAX_TOKEN_HALVES: usize = 8;

/// What the cookies are called here: two servers on one host need names of their own, whatever their ports.
#[derive(Debug, Clone)]
pub struct CookieNames {
    session_id: Arc<str>,
    host_session_id: Arc<str>,
    session_token: Arc<str>,
    csrf_token: Arc<str>,
    device: Arc<str>,
}

impl CookieNames {
    /// `prefix` stands before each; in a name with `__Host-`, behind that.
    pub fn new(prefix: &str) -> Self {
        let named = |name: &str| Arc::from(format!("{prefix}{name}"));
        CookieNames {
            session_id: named("session-id"),
            host_session_id: Arc::from(format!("__Host-{prefix}session-id")),
            session_token: named("session-token"),
            csrf_token: named("csrf-token"),
            device: named(DEVICE),
        }
    }
}

/// How each is set, and what signs them.
#[derive(Debug, Clone)]
pub struct SiteCookies {
    pub keys: AppKeys,
    pub names: CookieNames,
    pub session_id: Attributes,
    pub session_token: Attributes,
    pub csrf_token: Attributes,
}

impl SiteCookies {
    /// The session's id that the request brings, if we gave it out. It may be one that was never opened, or
    /// is closed.
    pub fn id_of(&self, request: &HttpRequest) -> Option<SessionId> {
        // Somebody may have set another beside ours.
        let ours = self
            .uses_host_prefix()
            .then(|| cookies::values(request.headers(), &self.names.host_session_id));
        ours.into_iter()
            .flatten()
            .chain(cookies::values(request.headers(), &self.names.session_id))
            .find_map(|value| session_cookie::open(&self.keys, &value))
    }

    fn uses_host_prefix(&self) -> bool {
        self.session_id.secure
    }

    /// `header.payload`, as the browser keeps it. There is more than one if somebody set another beside ours: which is ours, its
    /// signature tells.
    pub fn token_halves_of(&self, request: &HttpRequest) -> Vec<String> {
        let mut halves: Vec<String> = Vec::new();
        for value in cookies::values(request.headers(), &self.names.session_token) {
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
        cookies::values(request.headers(), &self.names.csrf_token)
            .any(|token| csrf::belongs(&self.keys, id, &token))
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
        put(
            request,
            &self.names.session_token,
            cookies::set(&self.names.session_token, head, &self.session_token),
        );
    }

    /// Gives the browser a CSRF token for a session.
    pub fn give_csrf_token(&self, request: &HttpRequest, id: &SessionId) {
        let token = csrf::token(&self.keys, id);
        put(
            request,
            &self.names.csrf_token,
            cookies::set(&self.names.csrf_token, &token, &self.csrf_token),
        );
        show_csrf_token(request, token);
    }

    /// Notes in the browser that this account was logged in to from it.
    pub fn give_device(&self, request: &HttpRequest, account: &str) {
        let value = device_cookie::seal(&self.keys, account);
        let attributes = Attributes {
            max_age: Some(device_cookie::MAX_AGE),
            http_only: true,
            ..self.session_id.clone()
        };
        put(
            request,
            &self.names.device,
            cookies::set(&self.names.device, &value, &attributes),
        );
    }

    /// A CSRF token for the session that the browser has, or for a new one, so that it can log in. Nothing is
    /// stored.
    pub fn prepare(&self, request: &HttpRequest) {
        let id = self.id_of(request).unwrap_or_else(SessionId::new);
        // At every login and refresh: the browser keeps it from now on, and it is signed with the key in use.
        self.give_id(request, &id);
        if self.has_csrf_cookie(request, &id) {
            show_csrf_token(request, csrf::token(&self.keys, &id));
        } else {
            self.give_csrf_token(request, &id);
        }
    }

    /// The name of the request's device, if `account` was logged in to from it.
    pub fn device_of(&self, request: &HttpRequest, account: &str) -> Option<String> {
        device_cookie::name_of(&self.keys, request, &self.names.device, account)
    }

    /// Makes the browser forget what shows it as logged in.
    pub fn forget_tokens(&self, request: &HttpRequest) {
        put(
            request,
            &self.names.session_token,
            cookies::expire(&self.names.session_token, &self.session_token),
        );
        put(
            request,
            &self.names.csrf_token,
            cookies::expire(&self.names.csrf_token, &self.csrf_token),
        );
    }

    /// Makes the browser forget the session's name.
    pub fn forget_id(&self, request: &HttpRequest) {
        for name in self.names_of_id() {
            put(request, name, cookies::expire(name, &self.session_id));
        }
    }

    fn names_of_id(&self) -> impl Iterator<Item = &Arc<str>> {
        let host = self
            .uses_host_prefix()
            .then_some(&self.names.host_session_id);
        host.into_iter().chain([&self.names.session_id])
    }
}

/// The lines for the request's answer, whatever that will be: a renewed token must arrive with an error too.
struct Outgoing(Vec<(Arc<str>, HeaderValue)>);

/// The CSRF token for the answer's header, if a page asks that cannot read our cookies.
struct Shown(String);

fn show_csrf_token(request: &HttpRequest, token: String) {
    if is_listed(request) {
        request.extensions_mut().insert(Shown(token));
    }
}

/// The last line for a name counts.
fn put(request: &HttpRequest, name: &Arc<str>, line: HeaderValue) {
    let mut extensions = request.extensions_mut();
    let Some(Outgoing(lines)) = extensions.get_mut::<Outgoing>() else {
        extensions.insert(Outgoing(vec![(Arc::clone(name), line)]));
        return;
    };
    lines.retain(|(kept, _)| kept != name);
    lines.push((Arc::clone(name), line));
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
