//! `GET /auth/ping`: a browser gets what it needs to log in.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::http::State;
use crate::http::openapi::{Answer, Operation, SET_COOKIE, Tag};

pub fn operation() -> Operation {
    let body = json!({
        "type": "object",
        "required": ["success"],
        "properties": { "success": { "const": true } },
        "additionalProperties": false,
    });
    Operation::new(Tag::Sessions, "ping", "A CSRF token, and a session to log in with")
        .text("For the session that the browser has, or for a new one. Nothing is stored.")
        .answer(
            Answer::new(200, "The cookies hold what the next request needs.").json(body).header(SET_COOKIE),
        )
}

pub async fn handle(request: HttpRequest, state: Data<State>) -> HttpResponse {
    state.edge.cookies.prepare(&request);
    HttpResponse::Ok().json(json!({ "success": true }))
}
