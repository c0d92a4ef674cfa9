//! Log lines: to standard error, as settings say. Lines carry ids, never secrets or people's data.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::settings::{Log, LogFormat};

/// Libraries whose finer lines show what passes through them: parameters of statements, headers, paths.
const SENSITIVE_TARGETS: [&str; 8] = [
    "tokio_postgres",
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "rustls",
    "tungstenite",
    "redis",
];

/// Starts logging; later calls in one process change nothing.
pub fn start(settings: &Log) {
    // The settings' check has parsed the filter already.
    let filter = EnvFilter::builder().parse_lossy(&settings.level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Pretty => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(is_safe_to_log))
        .with(lines)
        .try_init();
    // An error says that somebody (a test) has set one up already.
    drop(started);
}

/// Whatever the filter says: what libraries tell of their insides is not for a log that people read.
fn is_safe_to_log(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO || {
        let library = line.target().split("::").next().unwrap_or_default();
        !SENSITIVE_TARGETS.contains(&library)
    }
}
