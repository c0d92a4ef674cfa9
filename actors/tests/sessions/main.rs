//! Sessions: one suite over both stores, refreshes that meet, and stores that go away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clocks;
mod failed_refreshes;
mod issuer;
mod lives;
mod one_command;
mod outages;
mod proxy;
mod refreshes;

use std::time::{Duration, SystemTime};

use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::secret::SecretText;
use gom_actors::sessions::{NewSession, SessionId, SessionOptions, SessionStoreChoice, Sessions};
use gom_runtime::clock::ManualClock;
use gom_test_support::{TestDatabase, TestRedis, eventually};

/// Where sessions are kept, in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Postgres,
}

/// Each of the functions, as a test of each store.
#[macro_export]
macro_rules! everywhere {
    ($($name:ident),+ $(,)?) => {
        mod redis { $(#[actix::test] async fn $name() { super::$name($crate::Kind::Redis).await; })+ }
        mod postgres { $(#[actix::test] async fn $name() { super::$name($crate::Kind::Postgres).await; })+ }
    };
}

/// Sessions with a store of their own.
pub struct Place {
    pub sessions: Sessions,
    pub database: Database,
    pub options: SessionOptions,
    pub time: ManualClock,
    pub redis: Option<TestRedis>,
    pub postgres: Option<TestDatabase>,
}

impl Place {
    pub async fn of(kind: Kind) -> Place {
        Place::with(kind, |_| {}).await
    }

    /// An hour unused, a day at most.
    pub async fn with(kind: Kind, change: impl FnOnce(&mut SessionOptions)) -> Place {
        let redis = (kind == Kind::Redis).then(TestRedis::start);
        let postgres = if kind == Kind::Postgres {
            Some(TestDatabase::with_own_tables().await)
        } else {
            None
        };
        let store = match &redis {
            Some(redis) => SessionStoreChoice::Redis(redis.options()),
            None => SessionStoreChoice::Postgres,
        };
        let (hour, time) = (
            Duration::from_secs(3600),
            ManualClock::new(SystemTime::now()),
        );
        let mut options = SessionOptions::new(hour, 24 * hour, store);
        options.clock = time.clock();
        change(&mut options);
        let database = started(postgres.as_ref());
        let sessions = connected(Sessions::start(options.clone(), &database).unwrap()).await;
        Place {
            sessions,
            database,
            options,
            time,
            redis,
            postgres,
        }
    }

    /// Lets time pass for the sessions, here and in the store: Redis measures it by itself.
    pub fn advance(&self, time: Duration) {
        self.time.advance(time);
        if let Some(redis) = &self.redis {
            redis.advance(2, time);
        }
    }

    /// As on another node: nothing is shared but the store.
    pub async fn another(&self) -> Sessions {
        connected(Sessions::start(self.options.clone(), &self.database).unwrap()).await
    }
}

/// Waits until the store is there for reads and for writes, which have connections of their own.
pub async fn connected(sessions: Sessions) -> Sessions {
    let nobody = SessionId::new();
    let there =
        async || sessions.resume(&nobody).await.is_ok() && sessions.close(&nobody).await.is_ok();
    eventually("the store is connected", there).await;
    sessions
}

/// With Redis nobody needs the database: the address is nobody's.
fn started(postgres: Option<&TestDatabase>) -> Database {
    let config = match postgres {
        Some(postgres) => postgres.config(),
        None => "host=127.0.0.1 port=1 user=nobody".parse().unwrap(),
    };
    Database::start(DatabaseOptions::new(config)).unwrap()
}

pub fn login(subject: &str) -> NewSession {
    NewSession {
        subject: subject.to_owned(),
        provider: "accounts".to_owned(),
        signature: "first-signature".to_owned(),
        refresh_token: Some(SecretText::new("first-refresh-token")),
    }
}
