//! Log lines: to standard error, as settings say. Lines carry ids, never secrets or people's data.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{Log, LogFormat};

/// Starts logging; later calls in one process change nothing.
pub fn start(settings: &Log) {
    // The settings' check has parsed the filter already.
    let filter = EnvFilter::builder().parse_lossy(&settings.level);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Pretty => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    // An error says that somebody (a test) has set one up already.
    drop(started);
}
