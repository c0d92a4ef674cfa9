//! The settings of push.

use std::path::PathBuf;
use std::time::Duration;

use gom_actors::push::PushOptions;
use ipnet::IpNet;

use super::key::{
    FLAG, Key, NETWORKS, PATH, SECRET, STORE, TEXT, TIME, integer, milliseconds, section,
};
use super::kind::Kind;
use super::{Secret, ServerRole, StoreBackend, networks};

/// How often a worker that is not woken, because there is no Redis, polls for jobs: each poll is one statement through an index.
const POLL_APART: Duration = Duration::from_millis(50);

section! {
    /// Web Push.
    pub struct Push at "push." {
        /// How long a server that has claimed a delivery may hold it without renewing: after a crash others take
        /// it over then. At least three times `push.timeout`.
        pub lease: Duration = milliseconds(1_000, 3_600_000).default("30000"),
        /// How often jobs and deliveries that are due are looked for, beside those of writes of this server's own.
        pub poll_interval: Duration = milliseconds(10, 60_000).default("500"),
        /// Messages in flight at a time, in all. An eighth of them is kept for urgent ones, and those to services
        /// that have never taken a message get a quarter.
        pub concurrency: usize = integer(1, 10_000).default("256"),
        /// Messages in flight at a time to one push service. An eighth of them is kept for urgent ones.
        pub per_origin: usize = integer(1, 10_000).default("128"),
        /// The pause before a second attempt; it grows fourfold with each, up to an hour. A push service's
        /// `Retry-After` makes it longer.
        pub retry: Duration = TIME.default("5000"),
        /// A message is given up after so many attempts without a known result (the server died while it was
        /// sending). After an attempt that failed it is retried until it is delivered, refused or too late.
        pub attempts: u32 = integer(1, 1_000).default("10"),
        /// How long the ledger of notifications and deliveries is kept.
        pub keep_for: Duration = milliseconds(1_000, 31_536_000_000).default("2592000000"),
        /// Where devices are stored. Unset: in Redis if `redis.host` is set, else in PostgreSQL.
        pub devices_store: Option<StoreBackend> = STORE,
        /// Devices that one user may have. One more, and the one that was subscribed the longest time ago is
        /// forgotten.
        pub devices_per_user: usize = integer(1, 1_000).default("20"),
        /// How often one address may call `/webpush/renew` within a minute; each process counts for itself. Wider
        /// IPv6 networks have a multiple.
        pub renewals_per_minute: u32 = integer(1, 1_000_000).default("60"),
        /// How long sending one message may take.
        pub timeout: Duration = milliseconds(100, 60_000).default("10000"),
        /// A PEM file of certificates that are trusted beside the system's: of a push service of one's own.
        pub ca_file: Option<PathBuf> = PATH,
        /// Networks that messages may be sent to although their addresses are private, local or reserved. Unset:
        /// none.
        #[serde(deserialize_with = "networks")]
        pub inside: Vec<IpNet> = NETWORKS,
        /// The only hosts that browsers may subscribe at and messages are sent to. Unset: any that is not inside.
        pub allowed_hosts: Vec<String> = Key::of(Kind::Hosts),
        /// Take endpoints with other ports than 443: of a push service of one's own.
        pub any_port: bool = FLAG.default("false"),
    } with {
        /// Whose messages they are, for push services.
        pub vapid: Vapid,
    }
}

section! {
    /// The key pair that push services know the server by.
    pub struct Vapid at "push.vapid." {
        /// Public key of Web Push (VAPID): browsers subscribe with it. `gom vapid generate` makes a pair. Unset:
        /// push is off, but with the private database, which keeps a pair of its own.
        pub public_key: Option<String> = TEXT.variables(&["VAPID_PUBLIC_KEY"]),
        /// Private key of Web Push: base64url, or PEM (SEC 1 or PKCS 8).
        pub private_key: Option<Secret> = SECRET.variables(&["VAPID_PRIVATE_KEY"]),
        /// Whom push services write to about this server. Needed with keys of one's own; some services refuse
        /// messages without.
        pub subject: Option<String> = Key::of(Kind::Contact).variables(&["VAPID_SUBJECT"]),
    }
}

impl Push {
    /// The options of the dispatcher for the role of this process. `schema`: of the models' tables. `is_woken`: jobs that others
    /// write are reported to it.
    pub(crate) fn options(&self, role: ServerRole, schema: &str, is_woken: bool) -> PushOptions {
        PushOptions {
            dispatches: role.dispatches(),
            schema: schema.to_owned(),
            lease: self.lease,
            poll: self.poll_interval,
            poll_jobs: if is_woken {
                self.poll_interval
            } else {
                self.poll_interval.min(POLL_APART)
            },
            concurrency: self.concurrency,
            per_origin: self.per_origin,
            retry: self.retry,
            attempts: self.attempts,
            keep_for: self.keep_for,
        }
    }
}
