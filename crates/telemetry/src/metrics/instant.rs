//! An instant that threads share, from which ages are computed when they are read.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An instant that any thread may set and read. Unset at first.
#[derive(Debug, Default)]
pub struct AtomicInstant(AtomicU64);

impl AtomicInstant {
    /// Sets it to now.
    pub fn set_now(&self) {
        self.0.store(now(), Ordering::Relaxed);
    }

    /// Sets it to now, unless it is set.
    pub fn set_once(&self) {
        // Another thread that is quicker has set the same instant.
        let _ = self
            .0
            .compare_exchange(0, now(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Unsets it.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// How long ago it was; nothing while it is unset.
    pub fn age(&self) -> Option<Duration> {
        let instant = self.0.load(Ordering::Relaxed);
        (instant > 0).then(|| Duration::from_micros(now().saturating_sub(instant)))
    }
}

/// Microseconds since the first call; never 0.
fn now() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGAN.elapsed().as_micros())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}
