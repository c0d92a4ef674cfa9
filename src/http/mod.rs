//! The HTTP edge: routes, extractors, and the shapes of answers. Handlers hold checked values only; what is
//! answered is decided in `graphql` and below.

mod auth;
mod call;
mod client_address;
mod cookies;
mod csrf;
mod edge;
mod graphql;
mod health;
mod json_body;
mod media_type;
mod origin;
mod refusal;
mod request_id;
mod rest_error;
mod session;
mod session_cookie;
mod site_cookies;
mod socket;
mod sse;
mod viewer;
mod webpush;

use std::sync::Arc;

use actix_web::guard::{GuardContext, fn_guard};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use gom_actors::push::Push;

pub use edge::{Edge, EdgeError};
pub use request_id::identify;
pub use site_cookies::carry;

use rest_error::RestError;

use crate::graphql::Api;
use crate::identity::{ServiceTokens, Viewer};
use crate::settings::{AllLimits, Limits, Sockets};
use crate::socket::{Census, LocalSockets};

/// What the handlers of one worker share.
pub struct State {
    pub api: Api,
    /// The same over the ledger of push.
    pub ledger: Api,
    pub tokens: Arc<ServiceTokens>,
    pub limits: Arc<AllLimits>,
    pub edge: Arc<Edge>,
    pub push: Push,
    /// What connections may take that outlive an answer.
    pub bounds: Arc<Sockets>,
    pub census: Census,
    pub sockets: LocalSockets,
}

impl State {
    /// The viewer's limits, and where they are set.
    fn limits_of(&self, viewer: &Viewer) -> (&'static str, &Limits) {
        match viewer {
            Viewer::Service => ("limits.service", &self.limits.service),
            Viewer::User(_) => ("limits", &self.limits.everyone),
        }
    }
}

/// Every route. Paths come without a trailing slash (the server trims it).
pub fn routes(config: &mut ServiceConfig) {
    // Other methods than GET and POST are the extractor's to refuse.
    config
        .service(
            web::resource("/graphql")
                .route(web::get().guard(fn_guard(asks_for_socket)).to(socket::handle))
                .route(web::route().to(graphql::handle)),
        )
        // Prisma's default service was served at the root.
        .service(
            web::resource("/").route(web::post().to(graphql::handle)).default_service(web::to(not_found)),
        )
        .configure(auth::routes)
        .configure(webpush::routes)
        .service(
            web::resource("/healthz")
                .route(web::get().to(health::healthz))
                .default_service(web::to(only_get)),
        )
        .service(
            web::resource("/readyz").route(web::get().to(health::readyz)).default_service(web::to(only_get)),
        )
        .default_service(web::to(not_found));
}

fn asks_for_socket(request: &GuardContext<'_>) -> bool {
    socket::is_asked_for(request.head().headers())
}

async fn only_get(request: HttpRequest) -> HttpResponse {
    RestError::method_not_allowed(&request, "GET").error_response()
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    RestError::not_found(&request).error_response()
}
