//! How changes are followed, and for how long they are kept.

use std::time::Duration;

use gom_actors::live::LiveOptions;
use gom_actors::redis::RedisOptions;

use super::key::{integer, milliseconds, section};

section! {
    /// How changes are followed.
    pub struct Live at "live." {
        /// While there are subscriptions: how often the change log is polled for writes that were not announced, such
        /// as plain SQL, or of other nodes where there is no Redis.
        pub poll_interval: Duration = milliseconds(1, 60_000).default("100"),
        /// How long changes are kept, and with them the cursors with which subscribers may come back. They are removed
        /// within an eighth of this time more.
        pub keep_for: Duration = milliseconds(1_000, 31_536_000_000).default("86400000"),
        /// How many changes are kept; older ones are removed with their partition of the log, of an eighth of this
        /// number.
        pub keep: u64 = integer(1_000, 1_000_000_000).default("1000000"),
        /// How many bytes of the database's disk the change log may take. Beyond that, its oldest partitions are
        /// dropped, however new their changes are. 0: no bound.
        pub keep_bytes: u64 = integer(0, 1 << 50).default("4294967296"),
        /// For how long after their connection was lost the subscriptions of clients without cursors (sessions over
        /// the subprotocol `graphql-ws`) go on from where they were. 0: they begin again from now.
        pub remember_for: Duration = milliseconds(0, 86_400_000).default("300000"),
        /// Time of a node that the subscriptions of one user may take for one batch of changes, refilled at a tenth
        /// of the time that passes. Those that take more are served apart, more slowly, so that they do not delay
        /// others.
        pub user_budget: Duration = milliseconds(1, 1_000).default("50"),
        /// Connections to the database on which live queries are answered, beside those of requests: half of them for
        /// queries that take long, of which each user has one at a time.
        pub connections: usize = integer(2, 64).default("4"),
        /// A subscription that is served apart and falls behind by more than this is ended with `LIMIT_EXCEEDED`.
        pub max_lag: Duration = milliseconds(1_000, 86_400_000).default("60000"),
    }
}

impl Live {
    /// The options of the hub that follows the change log in `schema`; `redis` wakes it for writes of other nodes.
    /// `keep_keys_for`: idempotency keys, which are removed together with old changes.
    pub(crate) fn options(
        &self,
        schema: &str,
        redis: Option<RedisOptions>,
        keep_keys_for: Duration,
    ) -> LiveOptions {
        LiveOptions {
            schema: schema.to_owned(),
            poll: self.poll_interval,
            keep_for: self.keep_for,
            keep: self.keep,
            keep_bytes: self.keep_bytes,
            keep_keys_for,
            user_budget: self.user_budget,
            max_lag: self.max_lag,
            redis,
        }
    }
}
