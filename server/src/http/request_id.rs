//! An id for each request: on the answer (`Request-Id`), in errors, and in log lines.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest};
use gom_telemetry::metrics::Route;
use gom_telemetry::traces::{self, Begun, Context, KeyValue, SpanKind, SpanRef, Status};

use super::State;
use super::access::{InFlight, RequestContext, method_of};
use super::endpoint::RouteLabels;
use crate::telemetry::parent_of;

const HEADER: HeaderName = HeaderName::from_static("request-id");

/// Unique for as long as anybody keeps logs: a random part for the process, and a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    fn next() -> Self {
        static PROCESS: LazyLock<String> =
            LazyLock::new(|| uuid::Uuid::new_v4().simple().to_string());
        static COUNT: AtomicU64 = AtomicU64::new(1);
        RequestId(
            format!(
                "{}-{}",
                &PROCESS[..16],
                COUNT.fetch_add(1, Ordering::Relaxed)
            )
            .into(),
        )
    }

    /// The id that the middleware gave to the request.
    pub fn of_request(request: &HttpRequest) -> Self {
        request
            .extensions()
            .get::<RequestId>()
            .cloned()
            .unwrap_or_else(Self::next)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives the request its id, puts it on the answer, and logs how the request went.
pub async fn identify<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let id = RequestId::next();
    request.extensions_mut().insert(id.clone());
    let context = Rc::new(RequestContext::default());
    request.extensions_mut().insert(Rc::clone(&context));
    let labels = request.app_data::<Data<RouteLabels>>();
    let route = labels.map_or(Route::Other, |labels| labels.label_of(request.path()));
    let method = request.method().clone();
    let begun = traces::begin(|| span(route, &method, &id, &request));
    let answering = async {
        let in_flight = InFlight::begin(&method, route, id.clone(), context);
        let mut response = match next.call(request).await {
            Ok(response) => response,
            // Of a middleware: the request is answered without its handler.
            Err(error) => {
                in_flight.answered(error.as_response_error().status_code());
                return Err(error);
            }
        };
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(HEADER, value);
        }
        // No browser may take an answer for anything but what it says to be.
        response
            .headers_mut()
            .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        in_flight.answered(response.status());
        Ok(response)
    };
    traces::within(begun, answering, |answer, span| {
        conclude(answer.as_ref(), &span)
    })
    .await
}

fn span(route: Route, method: &Method, id: &RequestId, request: &ServiceRequest) -> Begun {
    let method = method_of(method).as_str();
    Begun {
        name: format!("{method} {}", route.as_str()).into(),
        kind: SpanKind::Server,
        attributes: vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.as_str()),
            KeyValue::new("gom.request_id", id.as_str().to_owned()),
        ],
        parent: Some(if is_believed(request) {
            parent_of(request.headers())
        } else {
            Context::new()
        }),
    }
}

/// Whether its word counts on which trace it belongs to, and whether that is kept: strangers could have all of theirs kept.
fn is_believed(request: &ServiceRequest) -> bool {
    let state = request.app_data::<Data<State>>();
    state.is_some_and(|state| state.auth.proxies.sent(request.request()))
}

fn conclude<B>(answer: Result<&ServiceResponse<B>, &Error>, span: &SpanRef<'_>) {
    let status = match answer {
        Ok(answer) => {
            RequestContext::of(answer.request(), |context| {
                if let Some(route) = context.own_route() {
                    span.set_attribute(KeyValue::new("http.route", route.as_str()));
                }
                if let Some(viewer) = context.viewer_name() {
                    span.set_attribute(KeyValue::new("enduser.id", viewer));
                }
            });
            answer.status()
        }
        Err(error) => error.as_response_error().status_code(),
    };
    span.set_attribute(KeyValue::new(
        "http.response.status_code",
        i64::from(status.as_u16()),
    ));
    if status.is_server_error() {
        span.set_status(Status::error(""));
    }
}
