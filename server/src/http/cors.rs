//! Pages of other origins: what browsers let them ask and read. Only those of `server.origins`, with cookies (ADR 36).

use std::sync::Arc;

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::middleware::Condition;
use actix_web::{HttpRequest, web};

use super::State;
use super::origin::Origins;
use super::position_headers::GOM_CURSOR;

/// Where a page of another origin finds the token that it cannot read in our cookie, and where it repeats it.
pub const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// Seconds for which a browser may go without asking.
const MAX_AGE: usize = 600;

/// Answers preflights and marks answers for the pages of `origins`; does nothing where there are none.
pub fn cors(origins: &Arc<Origins>) -> Condition<Cors> {
    let (any, allowed) = (origins.has_others(), Arc::clone(origins));
    let cors = Cors::default()
        .allowed_origin_fn(move |origin, _| {
            origin.to_str().is_ok_and(|origin| allowed.lists(origin))
        })
        .allowed_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_any_header()
        .expose_headers([
            CSRF_HEADER,
            REQUEST_ID,
            RETRY_AFTER,
            GOM_CURSOR,
            WWW_AUTHENTICATE,
        ])
        .supports_credentials()
        .max_age(MAX_AGE);
    Condition::new(any, cors)
}

/// Whether a page of an origin that is listed asks.
pub fn is_listed(request: &HttpRequest) -> bool {
    let origin = request
        .headers()
        .get(ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    let state = request.app_data::<web::Data<State>>();
    origin
        .zip(state)
        .is_some_and(|(origin, state)| state.auth.origins.lists(origin))
}
