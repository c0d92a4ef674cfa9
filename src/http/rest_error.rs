//! Errors outside GraphQL, in the shape that the client knows: `{ statusCode, message, error }`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "statusCode")]
    status_code: u16,
    message: &'a str,
    error: &'a str,
}

/// The answer, with the status's usual name as `error`.
pub fn rest_error(status: StatusCode, message: &str) -> HttpResponse {
    let error = status.canonical_reason().unwrap_or("Error");
    HttpResponse::build(status).json(Body { status_code: status.as_u16(), message, error })
}

/// Nothing is served at this path.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    rest_error(StatusCode::NOT_FOUND, &format!("Cannot {} {}", request.method(), request.path()))
}

/// Something is served at this path, by other methods.
pub fn method_not_allowed(request: &HttpRequest, allow: &'static str) -> HttpResponse {
    let message = format!("Cannot {} {}", request.method(), request.path());
    let mut response = rest_error(StatusCode::METHOD_NOT_ALLOWED, &message);
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
    response
}
