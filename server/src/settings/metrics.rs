//! The settings of metrics.

use super::Secret;
use super::key::{SECRET, TEXT, integer, section};

section! {
    /// Where metrics are served; with neither port nor token, nowhere.
    pub struct Metrics at "metrics." {
        /// Address or host name that goes with it.
        pub host: String = TEXT.default("127.0.0.1"),
        /// Port of its own for `GET /metrics`; 0 takes any free one, which is logged. Unset: it is served on the
        /// server's port if there is a token, else not at all.
        pub port: Option<u16> = integer(0, 65_535),
        /// A scrape has to send it as a bearer token; 16 characters or more. Unset: none has to,
        /// on a port of its own.
        pub token: Option<Secret> = SECRET.variables(&["METRICS_TOKEN"]),
    }
}
