//! The keys of metrics.

use crate::settings::kind::Kind;
use crate::settings::table::Key;

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    Key::new(
        "metrics.port",
        Kind::Integer { min: 0, max: 65_535 },
        None,
        "Port of its own for `GET /metrics`; 0 takes any free one, which is logged. Unset: it is served on the server's port if there is a token, else not at all.",
    ),
    Key::new("metrics.host", Kind::Text, Some("127.0.0.1"), "Address or host name that goes with it."),
    Key::new(
        "metrics.token",
        Kind::Secret,
        None,
        "Whoever asks for metrics has to send it as a bearer token; 16 characters or more. Unset: nobody has to, on a port of its own.",
    )
    .variables(&["METRICS_TOKEN"]),
];
