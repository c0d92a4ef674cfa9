//! The login limiter: one suite over all places where it can count, storms of wrong guesses, and npm's
//! rate-limiter-flexible beside it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod differential;
mod mixed;
mod outages;
mod rules;
mod storms;

use std::time::Duration;

use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::limiter::{
    Limit, LimiterOptions, LimiterStoreChoice, LoginLimiter, Reservation, Verdict,
};
use gom_telemetry::health::Condition;
use gom_test_support::{TestDatabase, TestRedis, eventually};

/// Where a limiter counts, in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Postgres,
    Memory,
}

/// A limiter with a store of its own.
pub struct Place {
    pub limiter: LoginLimiter,
    pub database: Database,
    pub options: LimiterOptions,
    pub redis: Option<TestRedis>,
    pub postgres: Option<TestDatabase>,
}

/// Ten points in the long run, three in a row; windows of a minute.
pub fn usual(store: LimiterStoreChoice) -> LimiterOptions {
    LimiterOptions {
        consecutive: limit(3, 60_000, 60_000),
        slow: limit(10, 60_000, 60_000),
        account: limit(10, 60_000, 0),
        right: limit(5, 60_000, 0),
        store,
    }
}

pub fn limit(points: u32, duration: u64, block_duration: u64) -> Limit {
    Limit {
        points,
        duration: Duration::from_millis(duration),
        block_duration: Duration::from_millis(block_duration),
    }
}

impl Place {
    pub async fn of(kind: Kind) -> Place {
        Place::with(kind, |_| {}).await
    }

    pub async fn with(kind: Kind, change: impl FnOnce(&mut LimiterOptions)) -> Place {
        let redis = (kind == Kind::Redis).then(TestRedis::start);
        let postgres = match kind {
            Kind::Postgres => Some(TestDatabase::with_own_tables().await),
            _ => None,
        };
        let mut options = usual(match (&redis, kind) {
            (Some(redis), _) => LimiterStoreChoice::Redis(redis.options()),
            (None, Kind::Postgres) => LimiterStoreChoice::Postgres,
            _ => LimiterStoreChoice::Memory,
        });
        change(&mut options);
        let database = started(postgres.as_ref());
        let limiter = connected(LoginLimiter::start(options.clone(), &database).unwrap()).await;
        Place {
            limiter,
            database,
            options,
            redis,
            postgres,
        }
    }

    /// Lets time pass for the counters, wherever they are: the stores measure it by themselves, and memory goes by tokio's
    /// timer, which the test has paused.
    pub async fn advance(&self, time: Duration) {
        if let Some(redis) = &self.redis {
            redis.advance(3, time);
        } else if let Some(postgres) = &self.postgres {
            let earlier =
                "UPDATE gom.login_limit SET expires_at = expires_at - $1 * interval '1 second'";
            let client = postgres.connect().await;
            client
                .execute(earlier, &[&time.as_secs_f64()])
                .await
                .unwrap();
        } else {
            tokio::time::advance(time).await;
        }
    }

    /// As on another node: nothing is shared but the store.
    pub async fn another(&self) -> LoginLimiter {
        connected(LoginLimiter::start(self.options.clone(), &self.database).unwrap()).await
    }
}

/// Waits until the store is there: an attempt before that is counted in memory if it has to wait too long.
async fn connected(limiter: LoginLimiter) -> LoginLimiter {
    let there = || {
        matches!(
            limiter.status().condition,
            Condition::Ready | Condition::Off
        )
    };
    eventually("the store is connected", async || there()).await;
    limiter
}

/// Without a database nobody needs it: the address is nobody's.
pub fn started(postgres: Option<&TestDatabase>) -> Database {
    let config = match postgres {
        Some(postgres) => postgres.config(),
        None => "host=127.0.0.1 port=1 user=nobody".parse().unwrap(),
    };
    Database::start(DatabaseOptions::new(config)).unwrap()
}

pub fn admitted(verdict: Verdict) -> Reservation {
    match verdict {
        Verdict::Admitted(reservation) => reservation,
        other => panic!("not admitted: {other:?}"),
    }
}

pub fn blocked(verdict: Verdict) -> Duration {
    match verdict {
        Verdict::Blocked { retry_after } => retry_after,
        other => panic!("not blocked: {other:?}"),
    }
}
