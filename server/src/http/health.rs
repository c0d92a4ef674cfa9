//! `GET /healthz`: the process lives. `GET /readyz`: it can do its work, and if not, what is in the way. Both are open to
//! everybody, and name no host; why something is down stands in the log.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gom_actors::database::Database;
use gom_actors::limiter::LoginLimiter;
use gom_actors::live::Live;
use gom_actors::push::Push;
use gom_actors::sessions::Sessions;
use gom_telemetry::health::{Condition, HealthStatus};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::openapi::{OperationObject, ResponseObject, Tag};
use crate::deployment::Deployed;
use crate::settings::{ServerRole, StoreBackend, Stores};
use crate::stop::Stop;

/// The state of a change feed that works, and does not get the changes of all tables.
const INCOMPLETE: &str = "incomplete";

/// What tells how this process is doing, whatever its role.
#[derive(Clone)]
pub struct HealthChecks {
    pub role: ServerRole,
    /// A digest of the datamodel's text.
    pub datamodel: Arc<str>,
    pub database: Database,
    pub deployed: Deployed,
    pub live: Live,
    pub push: Push,
    /// Of those who log in; nothing where nobody can.
    pub logins: Option<(Sessions, LoginLimiter)>,
    /// What stores sessions, login attempts and devices.
    pub stores: Stores,
    pub stop: Stop,
}

pub fn describe_healthz() -> OperationObject {
    let body = |status: &str| json!({ "type": "object", "required": ["status"], "properties": { "status": { "const": status } } });
    OperationObject::new(Tag::Server, "health", "Whether the process answers")
        .query(
            "started",
            false,
            "Given, with any value: whether it has been able to serve.",
            json!({ "type": "string" }),
        )
        .answer(ResponseObject::new(200, "It does.").json(body("ok")))
        .answer(
            ResponseObject::new(503, "Asked with `started`: it has not served yet.")
                .json(body("starting"))
                .header("Retry-After"),
        )
}

pub fn describe_readyz() -> OperationObject {
    let dependency = |states: &[&str], more: Value| {
        let mut shape = json!({
            "type": "object",
            "required": ["state", "forMs", "lastSuccessMsAgo", "required"],
            "properties": {
                "state": { "enum": states },
                "forMs": { "type": "integer", "minimum": 0 },
                "lastSuccessMsAgo": { "type": ["integer", "null"], "minimum": 0 },
                "required": { "type": "boolean", "description": "Without it the server is not ready." },
            },
        });
        if let (Some(properties), Value::Object(more)) = (shape["properties"].as_object_mut(), more)
        {
            properties.extend(more);
        }
        shape
    };
    let kept = json!({ "in": { "enum": ["redis", "postgres"] } });
    let body = |status: Value| {
        json!({
            "type": "object",
            "required": ["status", "role", "database", "datamodel", "devices", "changeFeed", "push"],
            "properties": {
                "status": status,
                "role": { "enum": ["all", "api", "worker"] },
                "database": dependency(
                    &["connecting", "ready", "read_only", "out_of_connections", "down"],
                    json!({ "version": { "type": ["string", "null"] } }),
                ),
                "datamodel": dependency(&["starting", "ready"], json!({})),
                "sessions": dependency(&["starting", "ready", "down"], kept.clone()),
                "loginLimiter": dependency(&["starting", "ready", "down"], kept.clone()),
                "devices": dependency(&["starting", "ready", "down"], kept.clone()),
                "changeFeed": dependency(
                    &["starting", "ready", "behind", "incomplete", "down", "off"],
                    json!({ "lagMs": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "For how long there has been something to deliver; 0 if there is nothing. Over 5000, the state is `behind`.",
                    }, "unlogged": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "Tables without triggers, whose changes nobody sees. If there are any, the state is `incomplete`.",
                    } }),
                ),
                "push": dependency(
                    &["starting", "ready", "down", "off"],
                    json!({ "refusedBy": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "Push services that do not accept this server's keys, clock or contact: messages to them wait.",
                    } }),
                ),
            },
        })
    };
    OperationObject::new(
        Tag::Server,
        "readiness",
        "Whether the server can do its work",
    )
    .answer(ResponseObject::new(200, "It can.").json(body(json!({ "const": "ready" }))))
    .answer(
        ResponseObject::new(503, "It cannot: the body says what is in the way.")
            .json(body(json!({ "enum": ["not ready", "stopping"] }))),
    )
}

/// Answers as long as the process and this worker do. With `?started`, only once the database has been brought to the
/// datamodel or found to agree with it: what goes away after that is no reason to start the process again.
pub async fn healthz(request: HttpRequest, checks: Data<HealthChecks>) -> HttpResponse {
    let mut parameters = request
        .query_string()
        .split('&')
        .map(|parameter| parameter.split('=').next());
    let (mut response, status) =
        if parameters.any(|name| name == Some("started")) && !checks.deployed.is_done() {
            let mut response = HttpResponse::ServiceUnavailable();
            response.insert_header((RETRY_AFTER, "1"));
            (response, "starting")
        } else {
            (HttpResponse::Ok(), "ok")
        };
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(json!({ "status": status }))
}

/// 200 if everything is there without which this role's work fails; else 503, also once the server was requested to stop.
pub async fn readyz(checks: Data<HealthChecks>) -> HttpResponse {
    let mut report = Report {
        ready: true,
        dependencies: Map::new(),
    };
    checks.examine(&mut report).await;
    let (status, word) = match () {
        () if checks.stop.is_requested() => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        () if report.ready => (StatusCode::OK, "ready"),
        () => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let mut body = Map::new();
    body.insert("status".into(), word.into());
    body.insert("role".into(), checks.role.name().into());
    body.append(&mut report.dependencies);
    let mut response = HttpResponse::build(status);
    if status != StatusCode::OK {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(body)
}

struct Report {
    ready: bool,
    dependencies: Map<String, Value>,
}

impl Report {
    /// `required`: without it the server is not ready.
    fn add(
        &mut self,
        name: &str,
        condition: &str,
        status: (Instant, Option<Instant>),
        required: bool,
    ) {
        let (since, last_success) = status;
        self.ready &= !required || condition == Condition::Ready.name();
        let dependency = json!({
            "state": condition,
            "forMs": milliseconds(since),
            "lastSuccessMsAgo": last_success.map(milliseconds),
            "required": required,
        });
        self.dependencies.insert(name.to_owned(), dependency);
    }

    fn add_status(&mut self, name: &str, status: HealthStatus, required: bool) {
        self.add(
            name,
            status.condition.name(),
            (status.since, status.last_success),
            required,
        );
    }

    /// What only one of the dependencies has.
    fn note(&mut self, name: &str, key: &str, value: impl Into<Value>) {
        if let Some(Value::Object(dependency)) = self.dependencies.get_mut(name) {
            dependency.insert(key.to_owned(), value.into());
        }
    }
}

impl HealthChecks {
    /// What keeps `/readyz` from saying that all is well: the first dependency that is needed and not ready, with its state.
    pub async fn lacking(&self) -> Option<(String, String)> {
        let mut report = Report {
            ready: true,
            dependencies: Map::new(),
        };
        self.examine(&mut report).await;
        let lacking = |dependency: &Value| {
            dependency["required"] == true && dependency["state"] != Condition::Ready.name()
        };
        let (name, dependency) = report
            .dependencies
            .iter()
            .find(|(_, dependency)| lacking(dependency))?;
        Some((
            name.clone(),
            dependency["state"].as_str().unwrap_or_default().to_owned(),
        ))
    }

    async fn examine(&self, report: &mut Report) {
        let health = self.database.health().await;
        report.add(
            "database",
            health.state.name(),
            (health.since, health.last_success),
            true,
        );
        report.note("database", "version", health.server_version);
        let deployed = self.deployed.is_done();
        let condition = if deployed {
            Condition::Ready
        } else {
            Condition::Starting
        };
        let since = self.deployed.since();
        report.add(
            "datamodel",
            condition.name(),
            (since, deployed.then_some(since)),
            true,
        );

        let (of_sessions, of_limiter, of_devices) = (
            self.stores.sessions.kind(),
            self.stores.login_limiter.kind(),
            self.stores.devices.kind(),
        );
        if let Some((sessions, limiter)) = &self.logins {
            // Users are refused without Redis; a proxy finds a node that reaches it, if there is one. A database without
            // the tables of sessions can still be served to the service.
            report.add_status(
                "sessions",
                sessions.status(),
                of_sessions == StoreBackend::Redis,
            );
            report.note("sessions", "in", of_sessions.name());
            // Meanwhile this process counts in its memory.
            report.add_status("loginLimiter", limiter.status(), false);
            report.note("loginLimiter", "in", of_limiter.name());
        }
        let worker = !self.role.answers();
        // Where requests are answered, messages wait and requests do not.
        report.add_status("devices", self.push.devices_status(), worker);
        report.note("devices", "in", of_devices.name());
        // Subscribers keep their cursors; queries and writes do without.
        let (feed, unlogged) = (self.live.status(), self.deployed.unlogged().len());
        let condition = match feed.condition {
            Condition::Ready | Condition::Behind if unlogged > 0 => INCOMPLETE,
            condition => condition.name(),
        };
        report.add(
            "changeFeed",
            condition,
            (feed.since, feed.last_success),
            false,
        );
        report.note("changeFeed", "unlogged", unlogged);
        let lag = self.live.lag().unwrap_or_default();
        report.note(
            "changeFeed",
            "lagMs",
            u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
        );
        let push = self.push.status();
        report.add_status("push", push, worker && push.condition != Condition::Off);
        report.note("push", "refusedBy", self.push.refusing());
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
