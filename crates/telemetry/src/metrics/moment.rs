//! A moment that threads share, for ages that are told when they are asked for.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Unset at first.
#[derive(Debug, Default)]
pub struct Moment(AtomicU64);

impl Moment {
    pub fn is_now(&self) {
        self.0.store(now(), Ordering::Relaxed);
    }

    pub fn set_now_if_unset(&self) {
        // Whoever is quicker has the same moment to say.
        let _ = self
            .0
            .compare_exchange(0, now(), Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// How long ago it was.
    pub fn age(&self) -> Option<Duration> {
        let moment = self.0.load(Ordering::Relaxed);
        (moment > 0).then(|| Duration::from_micros(now().saturating_sub(moment)))
    }
}

/// Microseconds since the first question; never 0.
fn now() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGAN.elapsed().as_micros())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}
