//! `/auth`: logging in and out, and what a browser needs before it can. One file for each endpoint.

mod bp;
mod login;
mod logout;
mod ping;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse, ResponseError};

use super::rest_error::RestError;

pub fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("/auth")
            .wrap(from_fn(keep_from_caches))
            .service(
                web::resource("/ping").route(web::get().to(ping::handle)).default_service(web::to(only_get)),
            )
            .service(
                web::resource("/login")
                    .route(web::post().to(login::handle))
                    .default_service(web::to(only_post)),
            )
            .service(
                web::resource("/logout")
                    .route(web::post().to(logout::handle))
                    .route(web::get().to(logout::handle))
                    .default_service(web::to(get_or_post)),
            )
            .service(
                web::resource("/bp").route(web::get().to(bp::handle)).default_service(web::to(only_get)),
            ),
    );
}

async fn only_get(request: HttpRequest) -> HttpResponse {
    RestError::method_not_allowed(&request, "GET").error_response()
}

async fn only_post(request: HttpRequest) -> HttpResponse {
    RestError::method_not_allowed(&request, "POST").error_response()
}

async fn get_or_post(request: HttpRequest) -> HttpResponse {
    RestError::method_not_allowed(&request, "GET, POST").error_response()
}

/// Every answer is for one browser, and for now.
pub async fn keep_from_caches<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
