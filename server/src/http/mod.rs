//! HTTP: routes, extractors, and the shapes of answers. Handlers hold checked values only; what is
//! answered is decided in `graphql` and below.

mod access;
mod added_routes;
mod additions;
mod auth;
mod auth_services;
mod built_in;
mod call;
mod client_address;
mod console;
mod cookies;
mod cors;
mod csrf;
mod device_cookie;
mod documents;
mod ended;
mod endpoint;
mod extract;
mod graphql;
mod health;
mod idempotency_key;
mod json_body;
mod media_type;
mod metrics;
pub mod openapi;
mod origin;
mod outgoing;
mod page;
mod position_headers;
mod prisma;
mod refusal;
mod renewal;
mod request_id;
mod rest_error;
mod session;
mod session_cookie;
mod site_cookies;
mod socket;
mod sse;
mod version;
mod viewer;
mod webpush;
mod welcome;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::guard::{GuardContext, fn_guard};
use actix_web::http::header::{HeaderValue, VARY};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse, ResponseError};
use gom_actors::push::Push;
use gom_runtime::waiting::Waiting;
use gom_telemetry::metrics::Route;

pub use added_routes::RouteError;
pub(crate) use added_routes::register_routes;
pub use additions::{AcceptedLogin, Additions, Credentials, LoginProvider};
pub use auth_services::{AuthServices, AuthServicesError};
pub use client_address::{ClientAddress, TrustedProxies};
pub(crate) use console::{ANY_EXAMPLES, Console};
pub(crate) use cors::cors;
pub(crate) use ended::forget_devices;
pub use endpoint::Endpoint;
use endpoint::RouteLabels;
pub use extract::{Authenticated, JsonBody};
pub(crate) use health::HealthChecks;
pub use json_body::{Fields, LIMIT as MAX_JSON_BODY_BYTES};
pub(crate) use metrics::{InlineMetrics, Metrics, MetricsServer};
pub(crate) use page::without_slash;
pub(crate) use request_id::identify;
pub use rest_error::RestError;
pub(crate) use site_cookies::carry;
pub use viewer::check_site;
pub(crate) use welcome::Welcome;

use openapi::Description;
pub(crate) use webpush::Renewals;

use crate::admission::{HeldRequests, limits_of};
use crate::graphql::Api;
use crate::identity::{ServiceTokens, Viewer};
use crate::settings::{self, AllLimits, Limits, Sockets};
use crate::socket::{ConnectionLimiter, LocalSockets, SocketServices};

/// How answers are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendingLimits {
    /// A client that takes nothing for so long is cut off.
    pub timeout: Duration,
    /// How much may wait for all clients.
    pub waiting_bytes: usize,
    /// How much the requests of all clients may be.
    pub request_bytes: usize,
}

/// What the handlers of one worker share. Handlers take it as `web::Data<State>`.
pub struct State {
    /// What operations on the served datamodel run on.
    pub api: Api,
    /// The same over the ledger of push.
    pub(crate) ledger: Api,
    pub(crate) tokens: Arc<ServiceTokens>,
    /// What users and the service role may ask for (`limits` in the settings).
    pub limits: Arc<AllLimits>,
    /// Logins: tokens, the login limiter, and the addresses of clients.
    pub auth: Arc<AuthServices>,
    pub(crate) push: Push,
    /// How often subscriptions are renewed, from where.
    pub(crate) renewals: Arc<Renewals>,
    /// What connections may take that outlive an answer.
    pub(crate) bounds: Arc<Sockets>,
    pub(crate) connections: ConnectionLimiter,
    pub(crate) sockets: LocalSockets,
    /// What websockets use.
    pub(crate) socket_services: Rc<SocketServices>,
    /// What waits for clients.
    pub(crate) waiting: Waiting,
    /// What requests make the process hold.
    pub(crate) requests: HeldRequests,
    /// How much may wait, and for how long.
    pub(crate) sending: SendingLimits,
    /// GraphiQL, if it is shown.
    pub(crate) console: Option<Arc<Console>>,
    /// How much the page at the root shows.
    pub(crate) welcome: Welcome,
    /// What the application adds.
    pub(crate) additions: Arc<Additions>,
    /// The description of all endpoints, if it is served.
    pub(crate) description: Option<Arc<Description>>,
}

impl SendingLimits {
    pub fn of(server: &settings::Server) -> Self {
        SendingLimits {
            timeout: server.send_timeout,
            waiting_bytes: server.waiting_bytes,
            request_bytes: server.request_bytes,
        }
    }
}

impl State {
    /// The viewer's limits, and where they are set.
    pub fn limits_of(&self, viewer: &Viewer) -> (&'static str, &Limits) {
        limits_of(&self.limits, viewer)
    }
}

/// Every path that is served, with its description.
fn endpoints(additions: &Additions) -> Vec<Endpoint> {
    let mut all = vec![
        Endpoint::at("/graphql")
            .route(
                web::get()
                    .guard(fn_guard(asks_for_socket))
                    .to(socket::handle),
            )
            .route(
                web::route()
                    .guard(fn_guard(console::is_asked_for))
                    .to(console::page),
            )
            .route(web::get().to(graphql::handle).wrap(from_fn(vary_by_accept)))
            .route(web::route().to(graphql::handle))
            .described(
                Method::GET,
                graphql::by_get("graphqlByGet")
                    .answer(console::described())
                    .answer(console::unchanged()),
            )
            .described(Method::POST, graphql::by_post("graphqlByPost"))
            .refuses_methods_itself()
            .labelled(Route::Graphql),
        // Seen from `/graphql/`, with a slash, the console's files are one level deeper.
        Endpoint::at("/graphql/{file}")
            .also_at("/graphql/graphql/{file}")
            .get(console::file, console::describe_file())
            .labelled(Route::Pages),
        // Prisma's default service was served at the root.
        Endpoint::at("/")
            .route(
                web::get()
                    .guard(fn_guard(asks_for_socket))
                    .to(socket::handle),
            )
            .route(
                web::get()
                    .guard(fn_guard(console::has_document))
                    .to(graphql::handle)
                    .wrap(from_fn(vary_by_accept)),
            )
            .get(welcome::welcome, welcome::describe())
            .post(graphql::handle, graphql::by_post("graphqlAtRoot"))
            .labelled(Route::Root),
        Endpoint::at("/favicon.svg")
            .also_at("/favicon.ico")
            .get(welcome::icon, welcome::describe_icon())
            .labelled(Route::Pages),
    ];
    all.extend(of_operation());
    all.extend(auth::endpoints());
    let added = (additions.endpoints)().into_iter();
    all.extend(added.map(|endpoint| {
        let route = Route::registered(endpoint.path()).unwrap_or(Route::Other);
        endpoint.labelled(route)
    }));
    all.extend(webpush::endpoints());
    all.extend(openapi::endpoints());
    // Last: it takes the paths that are left.
    all.push(prisma::service());
    all
}

/// Every route. Paths come without a trailing slash (the server trims it).
pub(crate) fn routes(additions: &Additions, config: &mut ServiceConfig) {
    serve(endpoints(additions), config);
    config.default_service(web::to(not_found));
}

/// What a process serves that answers no requests of the API.
pub(crate) fn worker_routes(config: &mut ServiceConfig) {
    serve(of_operation(), config);
    config.default_service(web::to(not_served_here));
}

/// Serves the endpoints, with their labels, and the metrics.
fn serve(endpoints: Vec<Endpoint>, config: &mut ServiceConfig) {
    let mut labels = RouteLabels::of(&endpoints);
    labels.add("/metrics", Route::Metrics);
    config.app_data(web::Data::new(labels));
    endpoints
        .into_iter()
        .for_each(|endpoint| endpoint.serve(config));
    metrics::serve(config);
}

/// For those who look after the server, whatever its role; with [`HealthChecks`].
fn of_operation() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/healthz")
            .get(health::healthz, health::describe_healthz())
            .labelled(Route::Healthz),
        Endpoint::at("/readyz")
            .get(health::readyz, health::describe_readyz())
            .labelled(Route::Readyz),
        Endpoint::at("/version")
            .get(version::version, version::describe())
            .labelled(Route::Version),
        prisma::status().labelled(Route::Healthz),
    ]
}

/// What a GET is answered depends on what is accepted, and caches keep answers to GET.
async fn vary_by_accept<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn asks_for_socket(request: &GuardContext<'_>) -> bool {
    socket::is_asked_for(request.head().headers())
}

async fn not_served_here() -> HttpResponse {
    let message = "This process only sends push messages (server.role is worker): ask one that serves the API";
    RestError::new(StatusCode::NOT_FOUND, message).error_response()
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    RestError::not_found(&request).error_response()
}
