//! The keys of subscriptions: how changes are followed, and for how long.

use crate::settings::kind::Kind;
use crate::settings::table::Key;

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    Key::new(
        "live.poll_interval",
        Kind::Milliseconds {
            min: 1,
            max: 60_000,
        },
        Some("100"),
        "While somebody subscribes: how often the change log is looked at for writes of which nobody told, such as plain SQL, or of other nodes where there is no Redis.",
    ),
    Key::new(
        "live.keep_for",
        Kind::Milliseconds {
            min: 1_000,
            max: 31_536_000_000,
        },
        Some("86400000"),
        "How long changes are kept, and with them the cursors with which subscribers may come back.",
    ),
    Key::new(
        "live.keep",
        Kind::Integer {
            min: 1_000,
            max: 1_000_000_000,
        },
        Some("1000000"),
        "How many changes are kept at most.",
    ),
    Key::new(
        "live.remember_for",
        Kind::Milliseconds {
            min: 0,
            max: 86_400_000,
        },
        Some("300000"),
        "For how long after their connection was lost the subscriptions of clients without cursors (sessions over the subprotocol `graphql-ws`) go on from where they were. 0: they begin again from now.",
    ),
    Key::new(
        "live.user_budget",
        Kind::Milliseconds { min: 1, max: 1_000 },
        Some("50"),
        "Time of a node that the subscriptions of one user may take for one batch of changes, refilled at a tenth of the time that passes. Those that take more are served apart, more slowly, so that they do not delay others.",
    ),
    Key::new(
        "live.max_lag",
        Kind::Milliseconds {
            min: 1_000,
            max: 86_400_000,
        },
        Some("60000"),
        "A subscription that is served apart and falls behind by more than this is ended with `LIMIT_EXCEEDED`.",
    ),
];
