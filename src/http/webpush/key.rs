//! `GET /webpush/key`: the public key for which browsers subscribe, in base64url.

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::web::Data;
use actix_web::{HttpResponse, Responder};

use crate::http::State;
use crate::http::rest_error::RestError;

pub async fn handle(state: Data<State>) -> Result<impl Responder, RestError> {
    let key = state.edge.push_key.clone();
    let key = key
        .ok_or_else(|| RestError::new(StatusCode::NOT_FOUND, "Push is off: this server has no VAPID keys"))?;
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(key))
}
