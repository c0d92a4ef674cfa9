//! How something that works by itself is doing: written by whoever does the work, read by `/readyz`. No reasons: they are
//! in the log.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It has not worked yet since the start of the process.
    Starting,
    Ready,
    /// It works, and is later with it than it should be.
    Behind,
    /// It worked, or was tried, and does not work now.
    Down,
    /// It has nothing to do here.
    Off,
}

impl Condition {
    /// A stable name for `/readyz`.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Starting => "starting",
            Condition::Ready => "ready",
            Condition::Behind => "behind",
            Condition::Down => "down",
            Condition::Off => "off",
        }
    }
}

/// What was last felt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    pub condition: Condition,
    /// When the condition began.
    pub since: Instant,
    /// When it last did what it is for.
    pub last_success: Option<Instant>,
}

/// Where the pulse is written down. Cloning gives the same one.
#[derive(Debug, Clone)]
pub(crate) struct Heart(Arc<Mutex<Pulse>>);

impl Heart {
    pub fn new() -> Self {
        Heart::in_condition(Condition::Starting)
    }

    /// Of what is not there at all.
    pub fn off() -> Self {
        Heart::in_condition(Condition::Off)
    }

    fn in_condition(condition: Condition) -> Self {
        Heart(Arc::new(Mutex::new(Pulse { condition, since: Instant::now(), last_success: None })))
    }

    /// Called some times in a second at most.
    pub fn beat(&self, condition: Condition) {
        let now = Instant::now();
        let mut pulse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pulse.condition != condition {
            (pulse.condition, pulse.since) = (condition, now);
        }
        if condition == Condition::Ready {
            pulse.last_success = Some(now);
        }
    }

    pub fn pulse(&self) -> Pulse {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_condition_has_an_age_and_success_a_time() {
        let heart = Heart::new();
        heart.beat(Condition::Ready);
        let first = heart.pulse();
        sleep(Duration::from_millis(2));
        heart.beat(Condition::Ready);
        let ready = heart.pulse();
        assert_eq!((ready.condition, ready.since), (Condition::Ready, first.since));
        assert!(ready.last_success > first.last_success);
        sleep(Duration::from_millis(2));
        heart.beat(Condition::Down);
        let down = heart.pulse();
        assert!(down.condition == Condition::Down && down.since > ready.since);
        assert_eq!(down.last_success, ready.last_success, "what was is still known");
    }
}
