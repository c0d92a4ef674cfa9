//! The one way to get the time. Knows no timers: components wait with tokio's, so that `tokio::time::pause` holds them still.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use gom_runtime::clock::{Clock, ManualClock};
//!
//! struct Token { until: SystemTime }
//!
//! fn is_expired(token: &Token, clock: &Clock) -> bool {
//!     clock.now() >= token.until
//! }
//!
//! let time = ManualClock::new(SystemTime::UNIX_EPOCH);
//! let token = Token { until: SystemTime::UNIX_EPOCH + Duration::from_secs(60) };
//! assert!(!is_expired(&token, &time.clock()));
//! time.advance(Duration::from_secs(60));
//! assert!(is_expired(&token, &time.clock()));
//! ```

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The time as a component sees it. Cloning is cheap.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(ManualClock),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Clock(Source::System)
    }

    /// The calendar's time, which may be set back.
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            Source::System => SystemTime::now(),
            Source::Manual(manual) => manual.start + manual.advanced(),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::System => "Clock(system)",
            Source::Manual(_) => "Clock(manual)",
        })
    }
}

/// A clock that stands still until a test advances it. Cloning gives the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    start: SystemTime,
    advanced: Arc<Mutex<Duration>>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: SystemTime) -> Self {
        ManualClock {
            start,
            advanced: Arc::default(),
        }
    }

    /// The clock as components take it.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(self.clone()))
    }

    /// Moves the calendar forward.
    pub fn advance(&self, by: Duration) {
        *self.advanced.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    fn advanced(&self) -> Duration {
        *self.advanced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock::new(SystemTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_manual_clock_stands_still_until_it_is_advanced() {
        let time = ManualClock::default();
        let clock = time.clock();
        let now = clock.now();
        assert_eq!(clock.now(), now);
        time.advance(MINUTE);
        assert_eq!(clock.now(), now + MINUTE);
    }
}
