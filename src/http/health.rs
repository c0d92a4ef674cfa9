//! `GET /healthz`: the process lives. `GET /readyz`: it can do its work, and if not, what is in the way.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::web::Data;
use gom_actors::database::DatabaseState;
use serde_json::json;

use super::State;

/// Answers as long as the process and this worker do.
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({ "status": "ok" }))
}

/// 200 if the database takes reads and writes and has the datamodel's tables; else 503. Reasons are for the operator's log: they may name
/// hosts.
pub async fn readyz(state: Data<State>) -> HttpResponse {
    let health = state.api.database.database().health().await;
    let deployed = state.api.deployed.is_done();
    let ready = health.state == DatabaseState::Ready && deployed;
    let body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "database": {
            "state": health.state.name(),
            "forMs": milliseconds(health.since.elapsed()),
            "lastSuccessMsAgo": health.last_success.map(|at| milliseconds(at.elapsed())),
            "version": health.server_version,
            "deployed": deployed,
        },
    });
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if !ready {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response.insert_header((CACHE_CONTROL, "no-store")).json(body)
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
