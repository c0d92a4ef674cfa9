//! `GET /auth/ping`: a browser gets what it needs to log in.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::http::State;
use crate::http::openapi::{OperationObject, ResponseObject, SET_COOKIE, Tag};
use crate::http::rest_error::RestError;
use crate::http::viewer::check_site;

pub fn operation() -> OperationObject {
    let body = json!({
        "type": "object",
        "required": ["success"],
        "properties": { "success": { "const": true } },
        "additionalProperties": false,
    });
    OperationObject::new(
        Tag::Sessions,
        "ping",
        "A CSRF token, and a session to log in with",
    )
    .text("For the session that the browser has, or for a new one. Nothing is stored.")
    .answer(
        ResponseObject::new(200, "The cookies hold what the next request needs.")
            .json(body)
            .header(SET_COOKIE),
    )
    .answer(ResponseObject::error(
        403,
        &["EBADCSRFTOKEN"],
        "The page is another site's. No cookie is set.",
    ))
}

pub async fn handle(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, RestError> {
    // A new session's name would take the place of the one that a page of ours has.
    check_site(&request, &state.auth)?;
    state.auth.cookies.prepare(&request);
    Ok(HttpResponse::Ok().json(json!({ "success": true })))
}
