//! `/webpush`: browsers tell where push messages for their users go, and take it back. One file for each endpoint.

mod key;
mod ledger;
mod subscribe;
mod subscription;
mod unsubscribe;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use gom_actors::push::DevicesError;

use super::auth::keep_from_caches;
use super::rest_error::RestError;

pub fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("/webpush")
            .wrap(from_fn(keep_from_caches))
            .service(
                web::resource("/subscribe")
                    .route(web::post().to(subscribe::handle))
                    .default_service(web::to(only_post)),
            )
            .service(
                web::resource("/unsubscribe")
                    .route(web::post().to(unsubscribe::handle))
                    .default_service(web::to(only_post)),
            )
            .service(
                web::resource("/graphql")
                    .route(web::post().to(ledger::handle))
                    .default_service(web::to(only_post)),
            )
            .service(
                web::resource("/key").route(web::get().to(key::handle)).default_service(web::to(only_get)),
            ),
    );
}

async fn only_get(request: HttpRequest) -> HttpResponse {
    RestError::method_not_allowed(&request, "GET").error_response()
}

async fn only_post(request: HttpRequest) -> HttpResponse {
    RestError::method_not_allowed(&request, "POST").error_response()
}

/// There is no answer about a device.
fn unanswered(error: &DevicesError) -> RestError {
    // Why is the operator's business: it may name hosts.
    tracing::warn!(cause = %error, "there is no answer about a device");
    RestError::unavailable("Devices are not available at the moment; try again", None)
}
