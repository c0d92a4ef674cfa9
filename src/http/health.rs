//! `GET /healthz`: the process lives. `GET /readyz`: it can do its work, and if not, what is in the way.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::web::Data;
use gom_actors::database::DatabaseState;
use serde_json::json;

use super::State;
use super::openapi::{Answer, Operation, Tag};

pub fn describe_healthz() -> Operation {
    let body =
        json!({ "type": "object", "required": ["status"], "properties": { "status": { "const": "ok" } } });
    Operation::new(Tag::Server, "health", "Whether the process answers")
        .answer(Answer::new(200, "It does.").json(body))
}

pub fn describe_readyz() -> Operation {
    let age = json!({ "type": ["integer", "null"], "minimum": 0 });
    let body = |status: &str| {
        json!({
            "type": "object",
            "required": ["status", "database"],
            "properties": {
                "status": { "const": status },
                "database": {
                    "type": "object",
                    "required": ["state", "forMs", "lastSuccessMsAgo", "version", "deployed"],
                    "properties": {
                        "state": { "enum": ["connecting", "ready", "read_only", "out_of_connections", "down"] },
                        "forMs": { "type": "integer", "minimum": 0 },
                        "lastSuccessMsAgo": age,
                        "version": { "type": ["string", "null"] },
                        "deployed": { "type": "boolean" },
                    },
                },
            },
        })
    };
    Operation::new(Tag::Server, "readiness", "Whether the server can do its work")
        .answer(Answer::new(200, "It can.").json(body("ready")))
        .answer(Answer::new(503, "It cannot: the body says what is in the way.").json(body("not ready")))
}

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
