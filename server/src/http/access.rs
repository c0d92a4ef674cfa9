//! What is recorded of every request: its line in the log, and its place in the metrics.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use actix_web::http::{Method as HttpMethod, StatusCode};
use actix_web::{HttpMessage, HttpRequest};
use gom_telemetry::metrics::{
    self, GaugeGuard, HTTP_DURATION, HTTP_IN_FLIGHT, HTTP_REQUESTS, Operation, Outcome, Route,
    Status,
};
use gom_telemetry::traces;

use super::request_id::RequestId;
use crate::identity::{TokenError, Viewer};
use crate::telemetry::plain_name;

/// The status of what had no answer, as nginx has it.
const GONE_AWAY: u16 = 499;

/// What handlers record about their request.
#[derive(Debug, Default)]
pub struct RequestContext {
    route: Cell<Option<Route>>,
    viewer: RefCell<Option<Viewer>>,
    refused: RefCell<Option<String>>,
    operation: RefCell<Option<String>>,
    answered: Cell<Option<(Operation, Outcome)>>,
}

impl RequestContext {
    /// Notes something of a request, if it came through the middleware.
    pub fn of(request: &HttpRequest, note: impl FnOnce(&RequestContext)) {
        if let Some(context) = request.extensions().get::<Rc<RequestContext>>() {
            note(context);
        }
    }

    /// Where a path alone does not say it.
    pub fn route(&self, route: Route) {
        self.route.set(Some(route));
    }

    pub fn viewer(&self, viewer: &Viewer) {
        *self.viewer.borrow_mut() = Some(viewer.clone());
    }

    /// Why its bearer token is not accepted.
    pub fn refused(&self, reason: &TokenError) {
        *self.refused.borrow_mut() = Some(reason.to_string());
    }

    /// The route, where the path alone does not say it.
    pub fn own_route(&self) -> Option<Route> {
        self.route.get()
    }

    /// The viewer's id.
    pub fn viewer_name(&self) -> Option<String> {
        self.viewer
            .borrow()
            .as_ref()
            .map(|viewer| name_of(viewer).to_owned())
    }

    /// What is asked for. Of a batch the first counts.
    pub fn operation(&self, name: Option<&str>) {
        *self.operation.borrow_mut() = name.and_then(plain_name).map(str::to_owned);
    }

    /// How it went: of a batch, the first that went wrong.
    pub fn answered(&self, kind: Operation, outcome: Outcome) {
        if self
            .answered
            .get()
            .is_none_or(|(_, before)| before == Outcome::Ok)
        {
            self.answered.set(Some((kind, outcome)));
        }
    }
}

/// A request in flight: counted and logged once, however it ends.
pub struct InFlight {
    method: metrics::Method,
    /// What its path says.
    route: Route,
    id: RequestId,
    context: Rc<RequestContext>,
    began: Instant,
    logged: bool,
    _level: GaugeGuard,
}

impl InFlight {
    pub fn begin(
        method: &HttpMethod,
        route: Route,
        id: RequestId,
        context: Rc<RequestContext>,
    ) -> Self {
        let (method, _level) = (method_of(method), HTTP_IN_FLIGHT.guard(()));
        InFlight {
            method,
            route,
            id,
            context,
            began: Instant::now(),
            logged: false,
            _level,
        }
    }

    pub fn answered(mut self, status: StatusCode) {
        self.logged = true;
        log(&self, status.as_u16(), "answered");
    }
}

impl Drop for InFlight {
    /// Not answered: it was dropped with its connection, which the client or the end of the server has closed.
    fn drop(&mut self) {
        if self.logged {
            return;
        }
        if std::thread::panicking() {
            log(
                self,
                StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
                "ended by a panic",
            );
        } else {
            log(self, GONE_AWAY, "cancelled before its answer");
        }
    }
}

fn log(request: &InFlight, status: u16, message: &'static str) {
    let (context, took) = (&*request.context, request.began.elapsed());
    let route = context.route.get().unwrap_or(request.route);
    HTTP_REQUESTS.inc((route, request.method, class_of(status)));
    HTTP_DURATION.observe(route, took);
    let duration_ms = took.as_micros() as f64 / 1e3;
    macro_rules! line {
        ($level:ident) => {{
            let (viewer, operation) = (context.viewer.borrow(), context.operation.borrow());
            let refused = context.refused.borrow();
            let answered = context.answered.get();
            tracing::$level!(
                target: "gom::access",
                request_id = request.id.as_str(),
                method = request.method.as_str(),
                route = route.as_str(),
                status,
                duration_ms,
                viewer = viewer.as_ref().map(name_of),
                refused = refused.as_deref(),
                operation = operation.as_deref(),
                kind = answered.map(|(kind, _)| kind.as_str()),
                outcome = answered.map(|(_, outcome)| outcome.as_str()),
                trace_id = traces::trace_id(),
                "{message}"
            );
        }};
    }
    if status >= 500 {
        line!(warn);
    } else if matches!(route, Route::Healthz | Route::Readyz | Route::Metrics) {
        // Asked for every few seconds by machines.
        line!(debug);
    } else {
        line!(info);
    }
}

/// The id by which a viewer is logged.
pub fn name_of(viewer: &Viewer) -> &str {
    viewer
        .user()
        .map_or("service", |user| user.subject.as_str())
}

pub fn method_of(method: &HttpMethod) -> metrics::Method {
    match *method {
        HttpMethod::GET => metrics::Method::Get,
        HttpMethod::POST => metrics::Method::Post,
        _ => metrics::Method::Other,
    }
}

fn class_of(status: u16) -> Status {
    match status / 100 {
        1 => Status::Informational,
        2 => Status::Success,
        3 => Status::Redirection,
        4 => Status::ClientError,
        _ => Status::ServerError,
    }
}
