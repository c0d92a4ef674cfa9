//! How sessions are stored, and for how long.

use std::time::Duration;

use gom_actors::sessions::SessionOptions;

use super::key::{LIFETIME, STORE, integer, section};
use super::{Settings, StoreBackend};

section! {
    /// Sessions, as the server stores them.
    pub struct Sessions at "sessions." {
        /// Where sessions are stored. Unset: in Redis if `redis.host` is set, else in PostgreSQL.
        pub store: Option<StoreBackend> = STORE,
        /// A session ends this long after its login, however much it is used.
        pub max_lifetime: Duration = LIFETIME.default("7776000000").formerly(&["session.max_lifetime"]),
        /// Sessions that one user may have; a login beyond that ends the one that was used least recently.
        pub per_user: usize = integer(1, 10_000).default("20").formerly(&["session.per_user"]),
    }
}

impl Settings {
    /// How sessions are stored: the same for servers and for commands, so that a command finds the sessions that a server
    /// opened.
    pub fn session_options(&self) -> SessionOptions {
        SessionOptions {
            per_subject: self.sessions.per_user,
            ..SessionOptions::new(
                self.session.options.max_age,
                self.sessions.max_lifetime,
                self.stores().sessions.into(),
            )
        }
    }
}
