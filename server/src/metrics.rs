//! Collects the metrics that are read at a scrape, beside those that are counted as things happen.

use std::sync::Arc;
use std::time::Duration;

use gom_actors::live::Live;
use gom_actors::push::Push;
use gom_telemetry::metrics::{
    self, AtomicInstant, BUILD_INFO, DOCUMENT_BYTES, DOCUMENTS, Format, UPTIME,
};

use crate::build_info;
use crate::graphql::Engine;

/// How long the database may take to count the backlog of push. What it has not counted by then is left out.
const BACKLOG_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything that metrics are read from. Cloning is cheap.
#[derive(Clone)]
pub struct MetricsCollector {
    /// Has the number and the bytes of cached documents.
    pub engine: Arc<Engine>,
    /// Has the age of the last look at the change log, and the lag.
    pub live: Live,
    /// Has the backlog of notifications, which the database counts.
    pub push: Push,
    /// When the server began.
    pub began: Arc<AtomicInstant>,
}

impl MetricsCollector {
    /// All metrics as text.
    pub async fn text(&self, format: Format) -> String {
        // Waits for an answer; what follows is all of one moment.
        self.push.read_metrics(BACKLOG_TIMEOUT).await;
        let requests = &self.engine.requests;
        DOCUMENTS.set((), requests.cached() as u64);
        DOCUMENT_BYTES.set((), requests.cached_bytes());
        UPTIME.set_duration((), self.began.age().unwrap_or_default());
        BUILD_INFO.set((), 1);
        self.live.read_metrics();
        metrics::read_process();
        metrics::expose(format, &build())
    }
}

fn build() -> [(&'static str, String); 2] {
    let revision = build_info::revision().unwrap_or("unknown");
    [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("revision", revision.to_owned()),
    ]
}
