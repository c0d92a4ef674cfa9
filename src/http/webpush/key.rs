//! `GET /webpush/key`: the public key for which browsers subscribe, in base64url.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::web::Data;

use crate::http::State;
use crate::http::rest_error::RestError;

pub async fn handle(state: Data<State>) -> Result<HttpResponse, RestError> {
    match state.push.public_key() {
        Some(key) => Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(key.to_owned())),
        None => Err(RestError::new(StatusCode::NOT_FOUND, "Push is off: this server has no VAPID keys")),
    }
}
