//! Keys of the limits of logins.

use super::COUNT;
use crate::settings::kind::Kind;
use crate::settings::table::Key;

const SECONDS: Kind = Kind::Seconds {
    min: 1,
    max: 31_536_000,
};
const BLOCK: Kind = Kind::Seconds {
    min: 0,
    max: 31_536_000,
};

pub(super) static KEYS: &[Key] = &[
    Key::new(
        "login_limiter.consecutive_fails.points",
        COUNT,
        Some("5"),
        "Wrong logins in a row of one user from one address before it is blocked.",
    ),
    Key::new(
        "login_limiter.consecutive_fails.duration",
        SECONDS,
        Some("86400"),
        "How long they count, from the first on.",
    ),
    Key::new(
        "login_limiter.consecutive_fails.block_duration",
        BLOCK,
        Some("3600"),
        "How long user and address are blocked; 0: for the rest of the time that is counted.",
    ),
    Key::new(
        "login_limiter.slow_brute.points",
        COUNT,
        Some("50"),
        "Wrong logins from one address, whichever the users, before it is blocked.",
    ),
    Key::new(
        "login_limiter.slow_brute.duration",
        SECONDS,
        Some("86400"),
        "How long they count, from the first on.",
    ),
    Key::new(
        "login_limiter.slow_brute.block_duration",
        BLOCK,
        Some("86400"),
        "How long the address is blocked; 0: for the rest of the time that is counted.",
    ),
    Key::new(
        "login_limiter.account.points",
        COUNT,
        Some("10"),
        "Wrong logins to one account, from whatever addresses, before it has to wait; twice as many in six times that time, and four times as many in 144 times. Devices that have logged in to it before are counted for themselves.",
    ),
    Key::new(
        "login_limiter.account.duration",
        SECONDS,
        Some("600"),
        "How long they count, from the first on.",
    ),
    Key::new(
        "login_limiter.account.block_duration",
        BLOCK,
        Some("0"),
        "How long the account then waits; 0: for the rest of the time that is counted.",
    ),
    Key::new(
        "login_limiter.right_logins.points",
        COUNT,
        Some("100"),
        "Right logins to one account: each opens a session.",
    ),
    Key::new(
        "login_limiter.right_logins.duration",
        SECONDS,
        Some("3600"),
        "How long they count, from the first on.",
    ),
    Key::new(
        "login_limiter.right_logins.block_duration",
        BLOCK,
        Some("0"),
        "How long no more are opened; 0: for the rest of the time that is counted.",
    ),
];
