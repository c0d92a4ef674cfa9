//! `GET /version`: which program this is, and what it was built and started for.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use gom_actors::migrations;
use serde_json::json;

use super::health::HealthChecks;
use super::openapi::{OperationObject, ResponseObject, Tag};
use crate::build_info;

pub fn describe() -> OperationObject {
    let text = json!({ "type": ["string", "null"] });
    let body = json!({
        "type": "object",
        "required": ["name", "version", "revision", "builtAt", "role", "datamodel", "migrations"],
        "properties": {
            "name": { "const": "gom" },
            "version": { "type": "string" },
            "revision": text,
            "builtAt": text,
            "role": { "enum": ["all", "api", "worker"] },
            "datamodel": { "type": "string", "description": "SHA-256 of its text, in hexadecimal." },
            "migrations": { "type": "integer", "description": "The version of Gom's own tables." },
        },
    });
    OperationObject::new(
        Tag::Server,
        "version",
        "Which program this is, and what it was built and started for",
    )
    .answer(ResponseObject::new(200, "Null: the build was not given it.").json(body))
}

/// Answers always. `datamodel` is a digest of its text: nodes that serve different ones can be distinguished.
pub async fn version(checks: Data<HealthChecks>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(json!({
            "name": "gom",
            "version": env!("CARGO_PKG_VERSION"),
            "revision": build_info::revision(),
            "builtAt": build_info::built_at(),
            "role": checks.role.name(),
            "datamodel": *checks.datamodel,
            "migrations": migrations::system_version(),
        }))
}
