//! An id for each request: on the answer (`Request-Id`), in errors, and in log lines.

use std::fmt;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};

const HEADER: HeaderName = HeaderName::from_static("request-id");

/// Unique for as long as anybody keeps logs: a random part for the process, and a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    fn next() -> Self {
        static PROCESS: LazyLock<String> = LazyLock::new(|| uuid::Uuid::new_v4().simple().to_string());
        static COUNT: AtomicU64 = AtomicU64::new(1);
        RequestId(format!("{}-{}", &PROCESS[..16], COUNT.fetch_add(1, Ordering::Relaxed)).into())
    }

    /// The id that the middleware gave to the request.
    pub fn of_request(request: &HttpRequest) -> Self {
        request.extensions().get::<RequestId>().cloned().unwrap_or_else(Self::next)
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
    let started = std::time::Instant::now();
    let mut response = next.call(request).await?;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(HEADER, value);
    }
    let status = response.status();
    let asked = response.request();
    if status.is_server_error() {
        tracing::warn!(request_id = %id, method = %asked.method(), path = asked.path(), status = status.as_u16(), elapsed = ?started.elapsed(), "answered with a server error");
    } else {
        tracing::debug!(request_id = %id, method = %asked.method(), path = asked.path(), status = status.as_u16(), elapsed = ?started.elapsed(), "answered");
    }
    Ok(response)
}
