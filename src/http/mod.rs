//! The HTTP edge: routes, extractors, and the shapes of answers. Handlers hold checked values only; what is
//! answered is decided in `graphql` and below.

mod answer;
mod call;
mod graphql;
mod health;
mod media_type;
mod refusal;
mod request_id;
mod rest_error;
mod viewer;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

pub use request_id::identify;

use crate::graphql::Api;
use crate::identity::{ServiceTokens, Viewer};
use crate::settings::{AllLimits, Limits};

/// What the handlers of one worker share.
pub struct State {
    pub api: Api,
    pub tokens: Arc<ServiceTokens>,
    pub limits: Arc<AllLimits>,
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
        .service(web::resource("/graphql").route(web::route().to(graphql::handle)))
        // Prisma's default service was served at the root.
        .service(
            web::resource("/")
                .route(web::post().to(graphql::handle))
                .default_service(web::to(rest_error::not_found)),
        )
        .service(
            web::resource("/healthz")
                .route(web::get().to(health::healthz))
                .default_service(web::to(only_get)),
        )
        .service(
            web::resource("/readyz").route(web::get().to(health::readyz)).default_service(web::to(only_get)),
        )
        .default_service(web::to(rest_error::not_found));
}

async fn only_get(request: HttpRequest) -> HttpResponse {
    rest_error::method_not_allowed(&request, "GET")
}
