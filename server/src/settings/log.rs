//! The settings of the log.

use serde::Deserialize;

use super::key::{Key, choice, section};
use super::kind::Kind;

section! {
    /// What is logged, and how.
    pub struct Log at "log." {
        /// Which lines are logged.
        pub level: String = Key::of(Kind::LogFilter)
            .default("info,actix_http::h1=off,actix_server=warn,tokio_postgres=warn,refinery_core=warn"),
        /// How lines are written to standard error.
        pub format: LogFormat = choice(&["pretty", "json"]).default("pretty"),
    }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: coloured on a terminal.
    Pretty,
    /// One JSON object for each line.
    Json,
}
