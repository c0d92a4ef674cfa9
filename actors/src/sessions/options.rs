//! The options of sessions. Reads no file and no environment.

use std::time::Duration;

use super::stores::SessionStoreChoice;
use gom_runtime::clock::Clock;

/// How sessions live and where they are kept.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// A session that was not used for this long ends.
    pub idle: Duration,
    /// A session ends this long after its login, whether used or not.
    pub absolute: Duration,
    /// Sessions that a subject may have; a login beyond that ends the one that was used least recently.
    pub per_subject: usize,
    /// How long a request that set out with the token before a refresh is still recognised.
    pub grace: Duration,
    /// How long one refresh may take, the issuer's answer included.
    pub refresh_patience: Duration,
    /// Where sessions are stored.
    pub store: SessionStoreChoice,
    /// Requests of the process that may wait for the store at once; the next is refused as overload.
    pub max_in_flight: usize,
    /// The time by which sessions and grace periods end.
    pub clock: Clock,
}

impl SessionOptions {
    /// Sessions that end after `idle` without a request, and after `absolute` in any case; the other options are the defaults.
    pub fn new(idle: Duration, absolute: Duration, store: SessionStoreChoice) -> Self {
        SessionOptions {
            idle,
            absolute,
            per_subject: 20,
            grace: Duration::from_secs(60),
            refresh_patience: Duration::from_secs(10),
            store,
            max_in_flight: 4096,
            clock: Clock::system(),
        }
    }
}
