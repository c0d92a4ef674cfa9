//! Login limits: every attempt takes a point before it is made, and a successful one gives it back. Knows no
//! login and no HTTP.

use std::time::Duration;

use crate::database::Database;
use crate::redis::{RedisOptions, RedisOptionsError};
use crate::watch::Restarts;

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
    /// In its database 3.
    Redis(RedisOptions),
    /// In the table `gom.login_limit`.
    Postgres,
}

/// What an attempt to log in is told before it is made.
#[derive(Debug)]
pub enum Verdict {
    /// Go on. Give the reservation to [`LoginLimiter::refund`] if the attempt succeeds, drop it otherwise.
    Admitted(Reservation),
    /// Too many attempts; whole milliseconds until the next one may be made.
    Blocked { retry_after: Duration },
    /// Too much is waiting already, or the limiter is being rebuilt: nothing was counted.
    Overloaded,
}

/// The points that an admitted attempt took.
#[derive(Debug)]
pub struct Reservation {}

/// The login limiter of the process. Cloning is cheap.
#[derive(Clone)]
pub struct LoginLimiter {}

impl LoginLimiter {
    /// Starts the `RateLimiter` on this thread, which needs an actix system. Returns at once, whether or not the
    /// store is there.
    pub fn start(options: LimiterOptions, database: &Database) -> Result<Self, RedisOptionsError> {
        let _ = (options, database);
        Ok(LoginLimiter {})
    }

    /// Takes a point from the address and, if it is given, from user and address together. If one of them has
    /// none left, the other gets its point back. When the store fails, the count in this process's memory goes on.
    pub async fn reserve(&self, user_and_address: Option<&str>, address: &str) -> Verdict {
        let _ = (user_and_address, address);
        Verdict::Overloaded
    }

    /// After a success: the count of user and address starts over, and the address gets its point back.
    pub async fn refund(&self, reservation: Reservation) {
        let _ = reservation;
    }

    /// How many answers came from memory because the store had failed.
    pub fn insured(&self) -> u64 {
        0
    }

    /// How often the `RateLimiter` had to be rebuilt.
    pub fn restarts(&self) -> Restarts {
        Restarts::default()
    }
}
