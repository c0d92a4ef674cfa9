//! `GET /webpush/key`: the public key for which browsers subscribe, in base64url.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::web::Data;
use serde_json::json;

use crate::http::State;
use crate::http::openapi::{OperationObject, ResponseObject, Tag};
use crate::http::rest_error::RestError;

pub fn operation() -> OperationObject {
    // An uncompressed point on P-256: 65 bytes.
    let key = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{87}$" });
    OperationObject::new(
        Tag::Push,
        "pushKey",
        "The public key (VAPID) for which browsers subscribe",
    )
    .answer(ResponseObject::new(200, "The key, in base64url.").content("text/plain", key))
    .answer(ResponseObject::error(
        404,
        &["Not Found"],
        "Push is off: there are no VAPID keys.",
    ))
}

pub async fn handle(state: Data<State>) -> Result<HttpResponse, RestError> {
    match state.push.public_key() {
        Some(key) => Ok(HttpResponse::Ok()
            .content_type(ContentType::plaintext())
            .body(key.to_owned())),
        None => Err(RestError::new(
            StatusCode::NOT_FOUND,
            "Push is off: this server has no VAPID keys",
        )),
    }
}
