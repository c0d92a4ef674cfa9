//! The limits of logins.

use std::time::Duration;

use gom_actors::limiter::{Limit, LimiterOptions};
use serde::Deserialize;

use super::key::{COUNT, Key, SECONDS, STORE, seconds, section};
use super::{Settings, StoreBackend};

/// Zero: for the rest of the time that is counted.
const BLOCK: Key = seconds(0, 31_536_000);

section! {
    /// How often logins may fail, and how many may succeed.
    pub struct LoginLimiter at "login_limiter." {
        /// Where attempts are counted. Unset: in Redis if `redis.host` is set, else in PostgreSQL.
        pub store: Option<StoreBackend> = STORE,
    } with {
        /// Per user and address.
        pub consecutive_fails: LoginLimit = CONSECUTIVE_FAILS,
        /// Per address.
        pub slow_brute: LoginLimit = SLOW_BRUTE,
        /// Per account, wherever the attempts come from.
        pub account: LoginLimit = ACCOUNT,
        /// Per account: logins that succeeded.
        pub right_logins: LoginLimit = RIGHT_LOGINS,
    }
}

/// One limit; the lists of keys below say what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct LoginLimit {
    /// Attempts that may be made before it blocks.
    pub points: u32,
    /// How long they are counted, from the first on.
    pub duration: Duration,
    /// How long it then blocks; zero: for the rest of the time that is counted.
    pub block_duration: Duration,
}

const CONSECUTIVE_FAILS: &[Key] = &[
    COUNT.default("5").at(
        "login_limiter.consecutive_fails.points",
        "Wrong logins in a row of one user from one address before it is blocked.",
    ),
    SECONDS.default("86400").at(
        "login_limiter.consecutive_fails.duration",
        "How long they count, from the first on.",
    ),
    BLOCK.default("3600").at(
        "login_limiter.consecutive_fails.block_duration",
        "How long user and address are blocked; 0: for the rest of the time that is counted.",
    ),
];

const SLOW_BRUTE: &[Key] = &[
    COUNT.default("50").at(
        "login_limiter.slow_brute.points",
        "Wrong logins from one address, whichever the users, before it is blocked.",
    ),
    SECONDS.default("86400").at(
        "login_limiter.slow_brute.duration",
        "How long they count, from the first on.",
    ),
    BLOCK.default("86400").at(
        "login_limiter.slow_brute.block_duration",
        "How long the address is blocked; 0: for the rest of the time that is counted.",
    ),
];

const ACCOUNT: &[Key] = &[
    COUNT.default("10").at(
        "login_limiter.account.points",
        "Wrong logins to one account, from whatever addresses, before it has to wait; twice as many in six times that time, and four times as many in 144 times. Devices that have logged in to it before are counted for themselves.",
    ),
    SECONDS.default("600").at(
        "login_limiter.account.duration",
        "How long they count, from the first on.",
    ),
    BLOCK.default("0").at(
        "login_limiter.account.block_duration",
        "How long the account then waits; 0: for the rest of the time that is counted.",
    ),
];

const RIGHT_LOGINS: &[Key] = &[
    COUNT.default("100").at(
        "login_limiter.right_logins.points",
        "Successful logins to one account: each opens a session.",
    ),
    SECONDS.default("3600").at(
        "login_limiter.right_logins.duration",
        "How long they count, from the first on.",
    ),
    BLOCK.default("0").at(
        "login_limiter.right_logins.block_duration",
        "How long no more are opened; 0: for the rest of the time that is counted.",
    ),
];

impl From<LoginLimit> for Limit {
    fn from(limit: LoginLimit) -> Self {
        let LoginLimit {
            points,
            duration,
            block_duration,
        } = limit;
        Limit {
            points,
            duration,
            block_duration,
        }
    }
}

impl Settings {
    /// The limits of logins, and where attempts are counted.
    pub(crate) fn limiter_options(&self) -> LimiterOptions {
        let limits = &self.login_limiter;
        LimiterOptions {
            consecutive: limits.consecutive_fails.into(),
            slow: limits.slow_brute.into(),
            account: limits.account.into(),
            right: limits.right_logins.into(),
            store: self.stores().login_limiter.into(),
        }
    }
}
