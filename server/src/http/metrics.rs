//! `GET /metrics`, for Prometheus: behind a token on the server's port, or on a port of its own.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, ResponseError};
use aws_lc_rs::{constant_time, digest};
use gom_telemetry::metrics::Format;

use super::rest_error::RestError;
use crate::metrics::MetricsCollector;
use crate::settings;

/// The metrics, and who may see them.
pub struct Metrics {
    collector: MetricsCollector,
    /// Digests are compared, so that the time tells nothing of the token, nor of its length.
    token: Option<digest::Digest>,
}

impl Metrics {
    pub fn new(settings: &settings::Metrics, collector: MetricsCollector) -> Self {
        let token = settings
            .token
            .as_ref()
            .map(|token| digested(token.expose()));
        Metrics { collector, token }
    }

    async fn answer(&self, request: &HttpRequest) -> HttpResponse {
        if !self.admits(request) {
            let message = "Metrics need the bearer token that is set for them (metrics.token)";
            let mut response = RestError::new(StatusCode::UNAUTHORIZED, message).error_response();
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                header::HeaderValue::from_static("Bearer"),
            );
            return response;
        }
        let accepted = request
            .headers()
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok());
        let modern =
            accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text"));
        let format = if modern {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        };
        let text = self.collector.text(format).await;
        HttpResponse::Ok()
            .content_type(format.content_type())
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(text)
    }

    fn admits(&self, request: &HttpRequest) -> bool {
        let Some(wanted) = &self.token else {
            return true;
        };
        let given = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.trim().split_once(' '));
        let token = given
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token.trim());
        constant_time::verify_slices_are_equal(wanted.as_ref(), digested(token).as_ref()).is_ok()
    }
}

fn digested(text: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, text.as_bytes())
}

/// The metrics, if they are served on the server's port: behind a token, and if they have no port of their own.
pub struct InlineMetrics(pub Option<Arc<Metrics>>);

/// The route on the server's port. It is for Prometheus, and no part of the API that is described.
#[allow(clippy::disallowed_methods, reason = "no part of what is described")]
pub fn serve(config: &mut ServiceConfig) {
    config.service(
        web::resource("/metrics")
            .route(web::get().to(handle))
            .default_service(web::to(only_get)),
    );
}

async fn handle(request: HttpRequest, here: Data<InlineMetrics>) -> HttpResponse {
    match &here.0 {
        Some(metrics) => metrics.answer(&request).await,
        None => RestError::not_found(&request).error_response(),
    }
}

async fn only_get(request: HttpRequest) -> HttpResponse {
    RestError::method_not_allowed(&request, "GET".to_owned()).error_response()
}

/// A server that answers nothing else.
pub struct MetricsServer {
    pub handle: ServerHandle,
}

impl MetricsServer {
    /// Starts it, with one thread.
    ///
    /// # Errors
    /// If it cannot listen there.
    #[allow(
        clippy::disallowed_methods,
        reason = "a server beside the one that is described"
    )]
    pub fn start(listener: TcpListener, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let metrics = Data::from(Arc::clone(metrics));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(metrics.clone())
                .service(
                    web::resource("/metrics")
                        .route(web::get().to(alone))
                        .default_service(web::to(only_get)),
                )
                .default_service(web::to(super::not_found))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        tracing::info!(%address, "metrics are served");
        Ok(MetricsServer { handle })
    }
}

async fn alone(request: HttpRequest, metrics: Data<Metrics>) -> HttpResponse {
    metrics.answer(&request).await
}
