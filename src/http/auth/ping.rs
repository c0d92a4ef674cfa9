//! `GET /auth/ping`: a browser gets what it needs to log in.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::http::State;

pub async fn handle(request: HttpRequest, state: Data<State>) -> HttpResponse {
    state.edge.cookies.prepare(&request);
    HttpResponse::Ok().json(json!({ "success": true }))
}
