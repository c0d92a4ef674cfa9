//! Login limits: every attempt takes a point before it is made, and a successful one gives it back. Knows no
//! login and no HTTP.

mod insurance;
mod postgres_store;
mod rate_limiter;
mod redis_store;
mod store;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::postgres_store::PostgresCounters;
use self::rate_limiter::{MOST_IN_HAND, RateLimiter, Refund, Reserve};
use self::redis_store::RedisCounters;
use self::store::{LimiterStore, Take};
use crate::database::Database;
use crate::metrics::{self, LOGIN_ATTEMPTS};
use crate::pulse::{Heart, Pulse};
use crate::redis::{RedisOptions, RedisOptionsError};
use crate::watch::{Published, Restarts, post, watch};

/// The limits' names, in front of each counter's key.
const CONSECUTIVE: &str = "login_consecutive_fails";
const SLOW: &str = "login_slow_brute";
/// A longer key, or one with characters that PostgreSQL has no room for, is counted under its digest: what a stranger
/// writes must not fill the store.
const LONGEST_KEY: usize = 200;
/// How long a request waits for a limiter that is being rebuilt.
const REBUILD: Duration = Duration::from_millis(300);

/// A window that starts with its first attempt. Within `duration`, `points` attempts are admitted; the next one
/// is refused, and so is everything for `block_duration` from then on (for the rest of the window if that is
/// zero). A `duration` of zero never ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub points: u32,
    pub duration: Duration,
    pub block_duration: Duration,
}

/// The limits and where they are counted.
#[derive(Debug, Clone)]
pub struct LimiterOptions {
    /// Per user and address: wrong attempts in a row.
    pub consecutive: Limit,
    /// Per address: wrong attempts, whoever they claim to be.
    pub slow: Limit,
    pub store: LimiterStoreChoice,
}

/// Where the attempts are counted.
#[derive(Debug, Clone)]
pub enum LimiterStoreChoice {
    /// In its database 3, as rate-limiter-flexible does.
    Redis(RedisOptions),
    /// In the table `gom.login_limit`.
    Postgres,
    /// In this process: other processes count for themselves, and a restart forgets.
    Memory,
}

/// What an attempt to log in is told before it is made.
#[derive(Debug)]
pub enum Verdict {
    /// Go on. Give the reservation to [`LoginLimiter::refund`] if the attempt succeeds, drop it otherwise.
    Admitted(Reservation),
    /// Too many attempts; the time until the next one may be made, in whole milliseconds.
    Blocked { retry_after: Duration },
    /// Too much is waiting already, or the limiter is being rebuilt: do not make the attempt. It was not counted,
    /// or it was and nobody knows.
    Overloaded,
}

/// The points that an admitted attempt took.
#[derive(Debug)]
pub struct Reservation {
    /// The counter of the address.
    give_back: String,
    /// The counter of user and address.
    reset: Option<String>,
}

/// The login limiter of the process. Cloning is cheap.
#[derive(Clone)]
pub struct LoginLimiter {
    limiter: Published<RateLimiter>,
    consecutive: Limit,
    slow: Limit,
    insured: Arc<AtomicU64>,
    /// Of the store.
    heart: Heart,
}

impl LoginLimiter {
    /// Starts the `RateLimiter` on this thread, which needs an actix system. Returns at once, whether or not the
    /// store is there.
    pub fn start(options: LimiterOptions, database: &Database) -> Result<Self, RedisOptionsError> {
        let store: Option<Rc<dyn LimiterStore>> = match &options.store {
            LimiterStoreChoice::Redis(redis) => Some(Rc::new(RedisCounters::new(redis)?)),
            LimiterStoreChoice::Postgres => Some(Rc::new(PostgresCounters::new(database))),
            LimiterStoreChoice::Memory => None,
        };
        let heart = store.as_ref().map_or_else(Heart::off, |store| store.heart().clone());
        let insured = Arc::new(AtomicU64::new(0));
        let of_actor = Arc::clone(&insured);
        let limiter = watch(MOST_IN_HAND, move || RateLimiter::new(store.clone(), Arc::clone(&of_actor)));
        Ok(LoginLimiter { limiter, consecutive: options.consecutive, slow: options.slow, insured, heart })
    }

    /// Takes a point from the address and, if it is given, from user and address together. If one of them has
    /// none left, the other gets its point back. When the store fails, the count in this process's memory goes
    /// on: there is always an answer, within 600 ms.
    pub async fn reserve(&self, user_and_address: Option<&str>, address: &str) -> Verdict {
        let of_user = user_and_address.map(|key| take(CONSECUTIVE, key, self.consecutive));
        let takes = of_user.into_iter().chain([take(SLOW, address, self.slow)]).collect();
        let (reply, answer) = oneshot::channel();
        let verdict = match self.send(Reserve { takes, reply }).await {
            true => answer.await.unwrap_or(Verdict::Overloaded),
            false => Verdict::Overloaded,
        };
        if matches!(verdict, Verdict::Overloaded) {
            LOGIN_ATTEMPTS.one(metrics::Verdict::Overloaded);
        }
        verdict
    }

    /// After a success: the count of user and address starts over, and the address gets its point back. What the
    /// store does not hear is not given back, and comes back with the end of its window.
    pub async fn refund(&self, reservation: Reservation) {
        let (reply, done) = oneshot::channel();
        if self.send(Refund { reservation, reply }).await {
            let _ = done.await;
        }
    }

    /// How many answers came from memory because the store had failed.
    pub fn insured(&self) -> u64 {
        self.insured.load(Ordering::Relaxed)
    }

    /// How the store is doing; while it is not, this process counts in its memory.
    pub fn pulse(&self) -> Pulse {
        self.heart.pulse()
    }

    /// How often the `RateLimiter` had to be rebuilt.
    pub fn restarts(&self) -> Restarts {
        self.limiter.restarts()
    }

    /// Whether the message was taken.
    async fn send<M>(&self, message: M) -> bool
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        RateLimiter: actix::Handler<M>,
    {
        let address = match self.limiter.get() {
            Some(address) => Some(address),
            None => timeout(REBUILD, self.limiter.wait()).await.ok().flatten(),
        };
        address.is_some_and(|address| post(&address, message).is_ok())
    }
}

fn take(name: &str, key: &str, limit: Limit) -> Take {
    let mut text = format!("{name}:");
    if key.len() <= LONGEST_KEY && !key.contains(char::is_control) {
        text.push_str(key);
    } else {
        text.push_str("sha256-");
        for byte in digest::digest(&digest::SHA256, key.as_bytes()).as_ref() {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    Take { key: text, limit, amount: 1 }
}
