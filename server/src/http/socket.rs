//! The handshake of a websocket: who asks, from which page, whether there is room, and which protocol is spoken.

use std::rc::Rc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use actix_web_actors::ws;
use gom_actors::sessions::SessionId;
use gom_telemetry::metrics::Route;

use super::State;
use super::access::RequestContext;
use super::renewal::renewing;
use super::request_id::RequestId;
use super::rest_error::RestError;
use super::viewer::{ViewerError, check_site, session_of, time_left, viewer};
use crate::identity::Viewer;
use crate::socket::{Handshake, OwnSocket, Protocol, Renew, open};

/// Whether a request asks for a websocket.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let upgrade = headers
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

pub async fn handle(request: HttpRequest, payload: Payload, state: Data<State>) -> HttpResponse {
    RequestContext::of(&request, |context| context.route(Route::Socket));
    match shake_hands(&request, payload, state).await {
        Ok(response) => response,
        Err(error) => error.error_response(),
    }
}

async fn shake_hands(
    request: &HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, RestError> {
    let session = session_of(request, &state.auth);
    let by_header = request.headers().contains_key(header::AUTHORIZATION);
    // Any page can open a socket to any server, and the browser adds the cookies.
    if session.is_some() {
        check_site(request, &state.auth)?;
    }
    let viewer = if session.is_some() || by_header {
        known(request, &state).await?
    } else {
        None
    };
    RequestContext::of(request, |context| {
        viewer.iter().for_each(|viewer| context.viewer(viewer))
    });
    let user = viewer.as_ref().and_then(Viewer::user);
    let over = match &session {
        Some(session) if viewer.is_none() => lives(&state, session).await,
        _ => false,
    };
    let address = state.auth.proxies.client_of(request).to_string();
    let place = state
        .connections
        .enter(
            &state.bounds,
            &address,
            user.map(|user| user.subject.as_str()),
        )
        .map_err(|crowded| RestError::crowded(crowded.to_string()))?;
    let protocol = protocol(request.headers());
    let mut response = ws::handshake(request).map_err(|error| {
        RestError::new(
            StatusCode::BAD_REQUEST,
            format!("This is no handshake of a websocket: {error}"),
        )
    })?;
    if let Some(name) = protocol {
        response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, name));
    }
    let handshake = Handshake {
        protocol: protocol.and_then(Protocol::named),
        over,
        // A socket of cookies that are no good any more is refused in the protocol's own words.
        session: session.filter(|_| user.is_some() || over),
        viewer: viewer.map(|viewer| (time_left(request, &state, &viewer), viewer)),
        request_id: RequestId::of_request(request).as_str().to_owned(),
        place,
        address: address.into(),
        socket: request.conn_data::<OwnSocket>().copied(),
    };
    let services = Rc::clone(&state.socket_services);
    let renew: Renew =
        Rc::new(move |session, until, outbox| renewing(state.clone(), session, until, outbox));
    Ok(open(response.take(), payload, &services, renew, handshake))
}

/// Who the headers say it is; nobody, if they are no good.
async fn known(request: &HttpRequest, state: &State) -> Result<Option<Viewer>, RestError> {
    match viewer(request, state).await {
        Ok(viewer) => Ok(Some(viewer)),
        // Nobody is refused because a store does not answer: asked again, it may.
        Err(ViewerError::Browser(error))
            if error.status_code() == StatusCode::SERVICE_UNAVAILABLE =>
        {
            Err(error)
        }
        Err(ViewerError::Bearer(refusal))
            if refusal.status_code() == StatusCode::SERVICE_UNAVAILABLE =>
        {
            Err(RestError::unavailable(refusal.to_string(), None))
        }
        Err(_) => Ok(None),
    }
}

/// Somebody has logged in to the session, and nobody out of it.
async fn lives(state: &State, session: &SessionId) -> bool {
    let living = state
        .auth
        .sessions
        .living(std::slice::from_ref(session))
        .await;
    matches!(living.as_deref(), Ok([true]))
}

/// The one that is agreed on: the first that is asked for, in whichever line, and spoken.
fn protocol(headers: &HeaderMap) -> Option<&'static str> {
    let asked = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok());
    let mut asked = asked.flat_map(|value| value.split(','));
    asked.find_map(|name| {
        Protocol::NAMES
            .into_iter()
            .find(|spoken| *spoken == name.trim())
    })
}
