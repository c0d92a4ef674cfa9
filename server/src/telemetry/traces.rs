//! Where spans go, by OpenTelemetry's own environment variables. Off unless they name an endpoint or an exporter.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use async_trait::async_trait;
use gom_telemetry::traces;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;

/// Spans are sent, until this is shut down.
pub struct Traces(SdkTracerProvider);

/// The variables cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// `OTEL_TRACES_EXPORTER` has this value, which names no exporter of this server.
    #[error("OTEL_TRACES_EXPORTER is {0:?}; this server knows otlp and none")]
    Exporter(String),
    /// Another protocol than `http/protobuf` is demanded.
    #[error(
        "{variable} is {value:?}; this server sends by http/protobuf, for which collectors listen at port 4318"
    )]
    Protocol {
        /// The variable that demands it.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// The exporter cannot be built, for this reason.
    #[error("spans cannot be sent: {0}")]
    Start(String),
}

impl Traces {
    /// Whether the environment says that spans are to be sent.
    ///
    /// # Errors
    /// Variables that cannot be followed.
    pub fn are_wanted(variable: impl Fn(&str) -> Option<String>) -> Result<bool, TracesError> {
        wanted(&variable)
    }

    /// Begins to send spans, if the environment says so. Needs a Tokio runtime, on which they are sent.
    ///
    /// # Errors
    /// Variables that cannot be followed.
    pub fn start(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, TracesError> {
        if !wanted(&variable)? {
            return Ok(None);
        }
        let start = |error: &dyn std::error::Error| TracesError::Start(error.to_string());
        let client = reqwest::Client::builder()
            .timeout(patience(&variable))
            .build();
        let client = client.map_err(|error| start(&error))?;
        let client = OnRuntime {
            client,
            runtime: Handle::current(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build();
        let exporter = exporter.map_err(|error| start(&error))?;
        let mut resource = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if variable("OTEL_SERVICE_NAME").is_none()
            && !names_service(variable("OTEL_RESOURCE_ATTRIBUTES"))
        {
            resource = resource.with_service_name("gom");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        global::set_tracer_provider(provider.clone());
        traces::switch_on();
        tracing::info!("traces are sent");
        Ok(Some(Traces(provider)))
    }

    /// Sends what is left, for so long at most.
    pub async fn shut_down(self, most: Duration) {
        // It waits on its thread for what is sent from this one.
        let shut_down = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(most));
        match tokio::time::timeout(most, shut_down).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(cause = %error, "the last spans were not sent"),
            _ => tracing::warn!("the last spans were not sent in time"),
        }
    }
}

fn wanted(variable: &impl Fn(&str) -> Option<String>) -> Result<bool, TracesError> {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    let exporter = set("OTEL_TRACES_EXPORTER");
    let endpoint = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ];
    match exporter.as_deref() {
        Some("none") => return Ok(false),
        Some("otlp") => {}
        Some(other) => return Err(TracesError::Exporter(other.to_owned())),
        None if endpoint.iter().all(|name| set(name).is_none()) => return Ok(false),
        None => {}
    }
    for name in [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ] {
        match set(name) {
            Some(value) if value != "http/protobuf" => {
                return Err(TracesError::Protocol {
                    variable: name,
                    value,
                });
            }
            // The first that is set counts.
            Some(_) => break,
            None => {}
        }
    }
    Ok(true)
}

/// How long an answer of the collector may take.
fn patience(variable: &impl Fn(&str) -> Option<String>) -> Duration {
    let names = [
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ];
    let given = names
        .iter()
        .find_map(|name| variable(name)?.trim().parse().ok());
    given.map_or(Duration::from_secs(10), Duration::from_millis)
}

fn names_service(attributes: Option<String>) -> bool {
    attributes.is_some_and(|text| {
        text.split(',')
            .any(|pair| pair.trim().starts_with("service.name="))
    })
}

/// The trace that a request belongs to, as its `traceparent` says.
pub fn parent_of(headers: &HeaderMap) -> Context {
    struct Headers<'a>(&'a HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(|name| name.as_str()).collect()
        }
    }

    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

/// Sends from the server's runtime; the caller may be on a thread without one.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let mut answer = client.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                *headers = std::mem::take(answer.headers_mut());
            }
            Ok::<_, HttpError>(response.body(answer.bytes().await?)?)
        });
        sending.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_wanted(variables: &[(&str, &str)]) -> Result<bool, String> {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        wanted(&find).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_sent_that_was_not_asked_for() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert_eq!(is_wanted(&[]), Ok(false));
        assert_eq!(
            is_wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]),
            Ok(false)
        );
        assert_eq!(is_wanted(&[endpoint]), Ok(true));
        assert_eq!(is_wanted(&[("OTEL_TRACES_EXPORTER", "otlp")]), Ok(true));
        assert_eq!(
            is_wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]),
            Ok(false)
        );
        assert_eq!(
            is_wanted(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]),
            Ok(false)
        );
        assert!(
            is_wanted(&[("OTEL_TRACES_EXPORTER", "zipkin")])
                .unwrap_err()
                .contains("zipkin")
        );
        let grpc = is_wanted(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert!(grpc.unwrap_err().contains("4318"));
    }
}
