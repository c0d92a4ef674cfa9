//! What is told of every request: its line in the log, and its place in the metrics.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use actix_web::http::{Method as HttpMethod, StatusCode};
use actix_web::{HttpMessage, HttpRequest};
use gom_actors::metrics::{self, HTTP_DURATION, HTTP_REQUESTS, Operation, Outcome, Route, Status};
use gom_actors::traces;

use super::request_id::RequestId;
use crate::identity::Viewer;
use crate::telemetry::plain_name;

/// What handlers find out about their request.
#[derive(Debug, Default)]
pub struct Noted {
    route: Cell<Option<Route>>,
    viewer: RefCell<Option<Viewer>>,
    operation: RefCell<Option<String>>,
    answered: Cell<Option<(Operation, Outcome)>>,
}

impl Noted {
    /// Notes something of a request, if it came through the middleware.
    pub fn of(request: &HttpRequest, note: impl FnOnce(&Noted)) {
        if let Some(noted) = request.extensions().get::<Noted>() {
            note(noted);
        }
    }

    /// Where a path alone does not say it.
    pub fn route(&self, route: Route) {
        self.route.set(Some(route));
    }

    pub fn viewer(&self, viewer: &Viewer) {
        *self.viewer.borrow_mut() = Some(viewer.clone());
    }

    /// The route, where the path alone does not say it.
    pub fn own_route(&self) -> Option<Route> {
        self.route.get()
    }

    /// The viewer's id.
    pub fn viewer_name(&self) -> Option<String> {
        self.viewer.borrow().as_ref().map(|viewer| name_of(viewer).to_owned())
    }

    /// What is asked for. Of a batch the first counts.
    pub fn operation(&self, name: Option<&str>) {
        *self.operation.borrow_mut() = name.and_then(plain_name).map(str::to_owned);
    }

    /// How it went: of a batch, the first that went wrong.
    pub fn answered(&self, kind: Operation, outcome: Outcome) {
        if self.answered.get().is_none_or(|(_, before)| before == Outcome::Ok) {
            self.answered.set(Some((kind, outcome)));
        }
    }
}

pub fn count(route: Route, method: &HttpMethod, status: StatusCode, took: Duration) {
    HTTP_REQUESTS.one((route, method_of(method), class_of(status)));
    HTTP_DURATION.observe(route, took);
}

/// Counts a request and writes its line. `route`: what its path says.
pub fn tell(request: &HttpRequest, route: Route, id: &RequestId, status: StatusCode, took: Duration) {
    let extensions = request.extensions();
    let noted = extensions.get::<Noted>();
    let route = noted.and_then(|noted| noted.route.get()).unwrap_or(route);
    count(route, request.method(), status, took);
    let duration_ms = took.as_secs_f64() * 1e3;
    macro_rules! line {
        ($level:ident, $message:literal) => {{
            let viewer = noted.map(|noted| noted.viewer.borrow());
            let viewer = viewer.as_ref().and_then(|viewer| viewer.as_ref()).map(name_of);
            let operation = noted.map(|noted| noted.operation.borrow());
            let operation = operation.as_ref().and_then(|operation| operation.as_deref());
            let answered = noted.and_then(|noted| noted.answered.get());
            tracing::$level!(
                target: "gom::access",
                request_id = id.as_str(),
                method = method_of(request.method()).as_str(),
                route = route.as_str(),
                status = status.as_u16(),
                duration_ms,
                viewer,
                operation,
                kind = answered.map(|(kind, _)| kind.as_str()),
                outcome = answered.map(|(_, outcome)| outcome.as_str()),
                trace_id = traces::trace_id(),
                $message
            );
        }};
    }
    if status.is_server_error() {
        line!(warn, "answered with a server error");
    } else if matches!(route, Route::Healthz | Route::Readyz | Route::Metrics) {
        // Asked for every few seconds by machines.
        line!(debug, "answered");
    } else {
        line!(info, "answered");
    }
}

/// The id by which a viewer is told.
pub fn name_of(viewer: &Viewer) -> &str {
    viewer.user().map_or("service", |user| user.subject.as_str())
}

/// The route of a path, without a slash at its end.
pub fn route_of(path: &str) -> Route {
    match path {
        "/graphql" => Route::Graphql,
        "/" => Route::Root,
        "/auth/ping" => Route::Ping,
        "/auth/login" => Route::Login,
        "/auth/logout" => Route::Logout,
        "/auth/bp" => Route::Bp,
        "/webpush/subscribe" | "/webpush/unsubscribe" | "/webpush/key" => Route::Webpush,
        "/webpush/graphql" => Route::Ledger,
        "/healthz" => Route::Healthz,
        "/readyz" => Route::Readyz,
        "/version" => Route::Version,
        "/metrics" => Route::Metrics,
        "/openapi" | "/openapi.json" => Route::Pages,
        _ if path.starts_with("/graphql/") => Route::Pages,
        _ => Route::Other,
    }
}

pub fn method_of(method: &HttpMethod) -> metrics::Method {
    match *method {
        HttpMethod::GET => metrics::Method::Get,
        HttpMethod::POST => metrics::Method::Post,
        _ => metrics::Method::Other,
    }
}

fn class_of(status: StatusCode) -> Status {
    match status.as_u16() / 100 {
        1 => Status::Informational,
        2 => Status::Success,
        3 => Status::Redirection,
        4 => Status::ClientError,
        _ => Status::ServerError,
    }
}
