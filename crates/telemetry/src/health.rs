//! The condition of a component that works in the background: written by the component, read by `/readyz`. Reasons are in the
//! log only.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Whether a component does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It has not worked yet since the start of the process.
    Starting,
    /// It works.
    Ready,
    /// It works, and is late.
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

/// A component's condition, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthStatus {
    /// The condition that was last reported.
    pub condition: Condition,
    /// When the condition began.
    pub since: Instant,
    /// When it was last [`Condition::Ready`].
    pub last_success: Option<Instant>,
}

/// Where a component writes its condition. Clones share it.
#[derive(Debug, Clone)]
pub struct HealthReporter(Arc<Mutex<HealthStatus>>);

impl Default for HealthReporter {
    fn default() -> Self {
        HealthReporter::new()
    }
}

impl HealthReporter {
    /// Of a component that has not worked yet.
    pub fn new() -> Self {
        HealthReporter::in_condition(Condition::Starting)
    }

    /// Of a component that is switched off.
    pub fn off() -> Self {
        HealthReporter::in_condition(Condition::Off)
    }

    fn in_condition(condition: Condition) -> Self {
        HealthReporter(Arc::new(Mutex::new(HealthStatus {
            condition,
            since: Instant::now(),
            last_success: None,
        })))
    }

    /// Writes the condition. Takes a lock: for a few calls a second.
    pub fn report(&self, condition: Condition) {
        let now = Instant::now();
        let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if status.condition != condition {
            (status.condition, status.since) = (condition, now);
        }
        if condition == Condition::Ready {
            status.last_success = Some(now);
        }
    }

    /// The condition that was last written.
    pub fn status(&self) -> HealthStatus {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_condition_has_an_age_and_success_a_time() {
        let reporter = HealthReporter::new();
        reporter.report(Condition::Ready);
        let first = reporter.status();
        advance(MINUTE).await;
        reporter.report(Condition::Ready);
        let ready = reporter.status();
        assert_eq!(
            (ready.condition, ready.since),
            (Condition::Ready, first.since)
        );
        assert!(ready.last_success > first.last_success);
        advance(MINUTE).await;
        reporter.report(Condition::Down);
        let down = reporter.status();
        assert!(down.condition == Condition::Down && down.since > ready.since);
        assert_eq!(
            down.last_success, ready.last_success,
            "what was is still known"
        );
    }
}
