//! How long a retry waits: the one policy of all loops that retry. Knows nothing of what is retried.
//!
//! The step doubles from the first delay to the longest; each delay is between half of its step and the whole, at random, so
//! that clients that lost a server together do not come back together.
//!
//! ```
//! use std::time::Duration;
//! use gom_runtime::backoff::Backoff;
//!
//! let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(250));
//! assert!(backoff.next_delay() <= Duration::from_millis(20));
//! for _ in 0..10 {
//!     assert!(backoff.next_delay() <= Duration::from_millis(250));
//! }
//! backoff.reset();
//! assert!(backoff.next_delay() <= Duration::from_millis(20));
//! ```

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The delays of one loop of retries.
#[derive(Debug)]
pub struct Backoff {
    policy: ExponentialBuilder,
    delays: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Delays of up to `first`, then up to twice that, and so on; never longer than `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        // backon adds up to as much again to each delay.
        let policy = ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(first.min(longest) / 2)
            .with_max_delay(longest / 2)
            .without_max_times()
            .with_jitter();
        Backoff {
            policy,
            delays: policy.build(),
            longest,
        }
    }

    /// How long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.delays.next().unwrap_or(self.longest);
        delay.min(self.longest)
    }

    /// After a success: the next failure is the first.
    pub fn reset(&mut self) {
        self.delays = self.policy.build();
    }

    /// Waits for the next delay, by tokio's timer.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_over() {
        let step = Duration::from_millis(10);
        let mut backoff = Backoff::new(step, 40 * step);
        for _ in 0..2 {
            for times in [1, 2, 4, 8, 16, 32, 40, 40, 40] {
                let (delay, step) = (backoff.next_delay(), times * step);
                assert!(step / 2 <= delay && delay <= step, "{delay:?} of {step:?}");
            }
            backoff.reset();
        }
    }

    #[test]
    fn those_that_fail_together_do_not_come_back_together() {
        let hour = Duration::from_secs(3600);
        let delay = || Backoff::new(hour, hour).next_delay();
        assert_ne!(delay(), delay());
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_waits_by_the_timer() {
        let hour = Duration::from_secs(3600);
        let began = tokio::time::Instant::now();
        Backoff::new(hour, hour).wait().await;
        assert!(began.elapsed() >= hour / 2);
    }
}
