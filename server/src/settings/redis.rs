//! Where Redis is, and which of the two backends stores what: [`Settings::stores`] is the one place that decides.

use std::time::Duration;

use gom_actors::limiter::LimiterStoreChoice;
use gom_actors::push::DeviceStoreChoice;
use gom_actors::redis::RedisOptions;
use gom_actors::secret::SecretText;
use gom_actors::sessions::SessionStoreChoice;
use serde::Deserialize;

use super::key::{SECRET, TEXT, integer, milliseconds, section};
use super::{Secret, Settings};

section! {
    /// Where Redis is.
    pub struct Redis at "redis." {
        /// Host of Redis. Set: it stores sessions, login attempts and devices, unless `sessions.store`,
        /// `login_limiter.store` or `push.devices_store` says `postgres`, and it wakes other nodes for writes.
        pub host: Option<String> = TEXT.variables(&["REDIS_HOST"]),
        /// Port of Redis.
        pub port: u16 = integer(1, 65_535).default("6379").variables(&["REDIS_PORT"]),
        /// Password of Redis.
        pub password: Option<Secret> = SECRET.variables(&["REDIS_PASSWORD"]),
        /// Redis counts as failed if an answer takes longer.
        pub timeout: Duration = milliseconds(1, 500).default("250"),
    }
}

impl Redis {
    /// Whether `redis.host` is set.
    pub(crate) fn is_configured(&self) -> bool {
        self.host.is_some()
    }

    /// How it is reached; nothing if there is none.
    pub fn options(&self) -> Option<RedisOptions> {
        let host = self.host.as_ref()?;
        Some(RedisOptions {
            password: self
                .password
                .as_ref()
                .map(|password| SecretText::new(password.expose())),
            timeout: self.timeout,
            ..RedisOptions::new(host, self.port)
        })
    }
}

/// What stores sessions, login attempts, or devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreBackend {
    /// Tables of Gom's own in the served database.
    Postgres,
    /// The Redis that `redis` names.
    Redis,
}

impl StoreBackend {
    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            StoreBackend::Postgres => "postgres",
            StoreBackend::Redis => "redis",
        }
    }
}

/// A backend, and how it is reached.
#[derive(Debug, Clone)]
pub enum Backend {
    /// The served database.
    Postgres,
    /// Redis, with these options.
    Redis(RedisOptions),
}

impl Backend {
    /// The same, without how it is reached.
    pub(crate) fn kind(&self) -> StoreBackend {
        match self {
            Backend::Postgres => StoreBackend::Postgres,
            Backend::Redis(_) => StoreBackend::Redis,
        }
    }
}

/// The backend of each store.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Where sessions are stored.
    pub sessions: Backend,
    /// Where login attempts are counted.
    pub login_limiter: Backend,
    /// Where the subscriptions of devices are stored.
    pub devices: Backend,
}

impl Settings {
    /// The chosen backends; by default Redis if there is one, else PostgreSQL. Redis is there wherever it was chosen: that has
    /// been checked when the settings were read.
    pub(crate) fn stores(&self) -> Stores {
        let backend = |chosen| match (chosen, self.redis.options()) {
            (None | Some(StoreBackend::Redis), Some(options)) => Backend::Redis(options),
            _ => Backend::Postgres,
        };
        Stores {
            sessions: backend(self.sessions.store),
            login_limiter: backend(self.login_limiter.store),
            devices: backend(self.push.devices_store),
        }
    }
}

impl From<Backend> for SessionStoreChoice {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Postgres => SessionStoreChoice::Postgres,
            Backend::Redis(options) => SessionStoreChoice::Redis(options),
        }
    }
}

impl From<Backend> for LimiterStoreChoice {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Postgres => LimiterStoreChoice::Postgres,
            Backend::Redis(options) => LimiterStoreChoice::Redis(options),
        }
    }
}

impl From<Backend> for DeviceStoreChoice {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Postgres => DeviceStoreChoice::Postgres,
            Backend::Redis(options) => DeviceStoreChoice::Redis(options),
        }
    }
}
