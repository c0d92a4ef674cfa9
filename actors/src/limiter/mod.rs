//! Login limits: every attempt takes a point before it is made, and a successful one gives it back. Knows no
//! login and no HTTP.

mod fallback;
mod in_flight;
mod rate_limiter;
mod stores;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;

pub use self::stores::LimiterStoreChoice;

use self::in_flight::Point;
use self::rate_limiter::{MAX_IN_FLIGHT, RateLimiter, Refund, Reserve};
use self::stores::{Adjustment, Take};
use crate::database::Database;
use crate::redis::RedisOptionsError;
use gom_runtime::supervision::{Restarts, Supervised, supervise};
use gom_telemetry::health::{HealthReporter, HealthStatus};
use gom_telemetry::metrics::{self, LOGIN_ATTEMPTS};

/// The limits' names, in front of each counter's key.
const CONSECUTIVE: &str = "login_consecutive_fails";
const SLOW: &str = "login_slow_brute";
const ACCOUNT: &str = "login_account";
const DEVICE: &str = "login_device";
const RIGHT: &str = "login_right";
/// How the delay of an account grows: so many times its points in so many times its window. With 10 points in ten minutes
/// that is 10 in ten minutes, 20 in an hour, and 40 in a day.
const GROWTH: [(u32, u32); 3] = [(1, 1), (2, 6), (4, 144)];
/// A longer key, or one with characters that PostgreSQL has no room for, is counted under its digest: what a stranger
/// writes must not fill the store.
const MAX_KEY_BYTES: usize = 200;

/// A window that starts with its first attempt. Within `duration`, `points` attempts are admitted; the next one
/// is refused, and so is everything for `block_duration` from then on (for the rest of the window if that is
/// zero). A `duration` of zero never ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Attempts that a window admits.
    pub points: u32,
    /// How long a window is; zero: without an end.
    pub duration: Duration,
    /// How long attempts are refused after one too many; zero: until the window ends.
    pub block_duration: Duration,
}

/// The limits and where they are counted.
#[derive(Debug, Clone)]
pub struct LimiterOptions {
    /// Per user and address: wrong attempts in a row.
    pub consecutive: Limit,
    /// Per address: wrong attempts, for any account. Wider networks have a multiple of its points.
    pub slow: Limit,
    /// Per account, from devices without an earlier login: wrong attempts, from all networks. It grows: see `GROWTH`.
    pub account: Limit,
    /// Per account: right attempts.
    pub right: Limit,
    /// Where attempts are counted.
    pub store: LimiterStoreChoice,
}

/// An attempt to log in, as far as limits need it.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoginAttempt<'a> {
    /// The user together with the address.
    pub user_and_address: Option<&'a str>,
    /// The account that the attempt claims, from any network.
    pub account: Option<&'a str>,
    /// A device from which this account has been logged in to: it has points of its own and takes none from the account or
    /// a network, so that no stranger's attempts shut it out.
    pub device: Option<&'a str>,
    /// Where it comes from, the narrowest network first; each with how many times the points of an address it has.
    pub networks: &'a [(String, u32)],
}

/// The limiter's decision on an attempt, before it is made.
#[derive(Debug)]
pub enum Verdict {
    /// Make the attempt. Give the reservation to [`LoginLimiter::refund`] if it succeeds, to [`LoginLimiter::cancel`] if it
    /// could not be checked, and drop it if it was wrong.
    Admitted(Reservation),
    /// Too many attempts; the time until the next one may be made, in whole milliseconds.
    Blocked {
        /// When attempts are admitted again.
        retry_after: Duration,
    },
    /// Too much is waiting already, or the limiter is being restarted: do not make the attempt. It was not counted,
    /// or it was and its reply was lost.
    Overloaded,
}

/// The points that an admitted attempt took. While it lives, the attempt is in flight.
#[derive(Debug)]
pub struct Reservation {
    takes: Vec<Take>,
    points: Vec<Point>,
}

/// The login limiter of the process. Cloning is cheap.
#[derive(Clone)]
pub struct LoginLimiter {
    limiter: Supervised<RateLimiter>,
    options: Arc<LimiterOptions>,
    fallback_attempts: Arc<AtomicU64>,
    /// Of the store.
    reporter: HealthReporter,
}

impl LoginLimiter {
    /// Starts the `RateLimiter` on this thread, which needs an actix system. Returns at once, whether or not the
    /// store is there.
    pub fn start(options: LimiterOptions, database: &Database) -> Result<Self, RedisOptionsError> {
        let store = options.store.open(database)?;
        let reporter = store
            .as_ref()
            .map_or_else(HealthReporter::off, |store| store.reporter().clone());
        let fallback_attempts = Arc::new(AtomicU64::new(0));
        let of_actor = Arc::clone(&fallback_attempts);
        let limiter = supervise(MAX_IN_FLIGHT, move || {
            RateLimiter::new(store.clone(), Arc::clone(&of_actor))
        });
        Ok(LoginLimiter {
            limiter,
            options: Arc::new(options),
            fallback_attempts,
            reporter,
        })
    }

    /// As [`LoginLimiter::admit`], for an attempt from one address.
    pub async fn reserve(&self, user_and_address: Option<&str>, address: &str) -> Verdict {
        let networks = [(address.to_owned(), 1)];
        self.admit(&LoginAttempt {
            user_and_address,
            networks: &networks,
            ..LoginAttempt::default()
        })
        .await
    }

    /// Takes a point from each counter of the attempt. If one of them has none left, the others get theirs back. If
    /// only attempts in flight are in the way, which may turn out right, it waits for them, up to two seconds.
    /// When the store fails, the count in this process's memory goes on: apart from that wait there is always an
    /// answer, within 600 ms.
    pub async fn admit(&self, attempt: &LoginAttempt<'_>) -> Verdict {
        self.take(self.takes(attempt)).await
    }

    /// Counts a right attempt: how many of them an account may make is limited as well, since each opens a session.
    pub async fn count_right(&self, account: &str) -> Verdict {
        self.take(vec![take(RIGHT, account, self.options.right)])
            .await
    }

    async fn take(&self, takes: Vec<Take>) -> Verdict {
        let verdict = self.limiter.ask(Reserve { takes }).await;
        let verdict = verdict.unwrap_or(Verdict::Overloaded);
        if matches!(verdict, Verdict::Overloaded) {
            LOGIN_ATTEMPTS.inc(metrics::Verdict::Overloaded);
        }
        verdict
    }

    /// Always in the same order of kinds, so that no two attempts wait for each other.
    fn takes(&self, attempt: &LoginAttempt<'_>) -> Vec<Take> {
        let LimiterOptions {
            consecutive,
            slow,
            account,
            ..
        } = &*self.options;
        if let Some(device) = attempt.device {
            return vec![Take {
                starts_over: true,
                ..take(DEVICE, device, *consecutive)
            }];
        }
        let mut takes = Vec::with_capacity(8);
        if let Some(key) = attempt.user_and_address {
            takes.push(Take {
                starts_over: true,
                ..take(CONSECUTIVE, key, *consecutive)
            });
        }
        if let Some(key) = attempt.account {
            for (step, (points, duration)) in GROWTH.into_iter().enumerate() {
                let limit = Limit {
                    points: account.points.saturating_mul(points),
                    duration: account.duration.saturating_mul(duration),
                    block_duration: account.block_duration.saturating_mul(duration),
                };
                takes.push(take(ACCOUNT, &format!("{step}:{key}"), limit));
            }
        }
        for (network, times) in attempt.networks {
            let limit = Limit {
                points: slow.points.saturating_mul(*times),
                ..*slow
            };
            takes.push(Take {
                of_network: true,
                ..take(SLOW, network, limit)
            });
        }
        takes
    }

    /// After a success: the count of user and address starts over, and all others get their point back. What does
    /// not reach the store is not given back, and comes back with the end of its window.
    pub async fn refund(&self, reservation: Reservation) {
        self.adjust(reservation, |take| match take.starts_over {
            true => Adjustment::Reset(take.key),
            false => Adjustment::GiveBack(take.key),
        })
        .await;
    }

    /// The attempt could not be checked: it costs nothing.
    pub async fn cancel(&self, reservation: Reservation) {
        self.adjust(reservation, |take| Adjustment::GiveBack(take.key))
            .await;
    }

    async fn adjust(&self, reservation: Reservation, how: impl Fn(Take) -> Adjustment) {
        let Reservation { takes, points } = reservation;
        let adjustments = takes.into_iter().map(how).collect();
        let refund = Refund { adjustments };
        // A full mailbox refuses attempts, and must not lose the points of those that succeeded: it is waited for. What does
        // not reach the limiter comes back with the end of its window.
        match self.limiter.get() {
            Some(limiter) => drop(limiter.send(refund).await),
            None => drop(self.limiter.ask(refund).await),
        }
        // In flight until the points are back: attempts meanwhile wait for them.
        drop(points);
    }

    /// Attempts that were counted in memory because the store had failed.
    pub fn fallback_attempts(&self) -> u64 {
        self.fallback_attempts.load(Ordering::Relaxed)
    }

    /// How the store is doing; while it is not, this process counts in its memory.
    pub fn status(&self) -> HealthStatus {
        self.reporter.status()
    }

    /// How often the `RateLimiter` had to be restarted.
    pub fn restarts(&self) -> Restarts {
        self.limiter.restarts()
    }
}

fn take(name: &str, key: &str, limit: Limit) -> Take {
    let mut text = format!("{name}:");
    if key.len() <= MAX_KEY_BYTES && !key.contains(char::is_control) {
        text.push_str(key);
    } else {
        text.push_str("sha256-");
        for byte in digest::digest(&digest::SHA256, key.as_bytes()).as_ref() {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    Take {
        key: text,
        limit,
        amount: 1,
        in_flight: 0,
        of_network: false,
        starts_over: false,
    }
}
