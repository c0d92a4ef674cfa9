//! The settings of the process: where it listens, what it does, how it stops.

use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::key::{FLAG, Key, NETWORKS, SIZE, TEXT, TIME, choice, integer, milliseconds, section};
use super::kind::Kind;
use super::networks;

section! {
    /// How the process listens, and how it stops.
    pub struct Server at "server." {
        /// Address or host name that the server listens on.
        pub host: String = TEXT.default("127.0.0.1"),
        /// Port that the server listens on; 0 takes any free one, which is printed.
        pub port: u16 = integer(0, 65_535).default("3000").flag("--port"),
        /// Worker threads; 0 means one for each core.
        pub workers: usize = integer(0, 1_024).default("0"),
        /// What this process does: `api` answers requests and holds sockets, `worker` sends push messages, `all`
        /// does both.
        #[serde(default)]
        pub role: ServerRole = choice(&["all", "api", "worker"]).default("all").flag("--role"),
        /// How long requests and push messages in flight may take to finish once the server stops; it has ended by
        /// then.
        pub shutdown_timeout: Duration = TIME.default("10000"),
        /// How long the server takes requests after it was requested to stop, with `/readyz` answering 503: so that a
        /// proxy sends no more before it stops.
        pub drain_delay: Duration = milliseconds(0, 3_600_000).default("0"),
        /// A client that takes nothing of its answer for so long is cut off (answers of more than 32 KiB).
        pub send_timeout: Duration = TIME.default("30000"),
        /// Size of the requests of all users that the process holds (see `limits.request_bytes`); beyond it, the
        /// next is refused with 503.
        pub request_bytes: usize = SIZE.default("268435456"),
        /// What waits for all clients of the process to read it; when there is more, connections are cut off for
        /// others, the greatest first of the user for whom the most waits. That user's requests get 503.
        pub waiting_bytes: usize = SIZE.default("536870912"),
        /// Proxies whose `X-Forwarded-For`, `X-Forwarded-Host` and `traceparent` are believed. Unset: nobody's.
        #[serde(deserialize_with = "networks")]
        pub trusted_proxies: Vec<IpNet> = NETWORKS,
        /// Origins, beside the server's own, whose pages may send requests with cookies and read the answers
        /// (CORS); `https://*.shop.example` is every name below it.
        #[serde(default)]
        pub origins: Vec<String> = Key::of(Kind::Origins),
        /// Stands before the name of each cookie (`shop-` makes `shop-session-id`): browsers keep cookies by host,
        /// not by port, so two servers on one host need different names. Pages read `csrf-token` and
        /// `session-token` under that name; the built-in GraphiQL does not, and needs a pasted token.
        pub cookie_prefix: Option<String> = Key::of(Kind::Name),
        /// Show at `/` the version and where to go on; else the name and the state only.
        pub welcome: bool = FLAG.default("true"),
        /// Describe the server at `/openapi` and `/openapi.json`. Off in production.
        pub openapi: bool = FLAG.default("true"),
    }
}

/// What a process does of all that there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerRole {
    /// Both of the following.
    #[default]
    All,
    /// Answers requests and holds sockets; what is to be sent waits for a worker.
    Api,
    /// Sends; answers nobody but those who look after it.
    Worker,
}

impl ServerRole {
    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            ServerRole::All => "all",
            ServerRole::Api => "api",
            ServerRole::Worker => "worker",
        }
    }

    /// Whether it answers the API's requests.
    pub fn answers(self) -> bool {
        self != ServerRole::Worker
    }

    /// Whether it carries out push jobs.
    pub fn dispatches(self) -> bool {
        self != ServerRole::Api
    }
}
