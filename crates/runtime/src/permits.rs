//! How much may be in flight at once. Knows nothing of what it is that flies.
//!
//! A permit goes back when it is dropped, and so with the future that holds it, whether that future ends or is dropped.
//!
//! ```
//! use gom_runtime::permits::Permits;
//!
//! let uploads = Permits::new(1);
//! let first = uploads.try_acquire().expect("nothing is in flight");
//! assert!(uploads.try_acquire().is_err(), "an answer at once: overload");
//! drop(first);
//! assert!(uploads.try_acquire().is_ok());
//! assert_eq!(uploads.in_flight(), 0);
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// As many are in flight as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is in flight")]
pub struct OverloadError;

/// A number of permits. Cloning gives the same permits.
#[derive(Debug, Clone)]
pub struct Permits {
    semaphore: Arc<Semaphore>,
    max: u32,
}

/// The right to be in flight, until it is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped is returned at once"]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl Permits {
    /// At most `max`; more than tokio's semaphore can count are as good as no bound.
    pub fn new(max: usize) -> Self {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let max = u32::try_from(max.min(most)).unwrap_or(u32::MAX);
        Permits {
            semaphore: Arc::new(Semaphore::new(max as usize)),
            max,
        }
    }

    /// A permit, if one is left.
    ///
    /// # Errors
    /// If none is left.
    pub fn try_acquire(&self) -> Result<Permit, OverloadError> {
        match Arc::clone(&self.semaphore).try_acquire_owned() {
            Ok(permit) => Ok(Permit { _permit: permit }),
            Err(_) => Err(OverloadError),
        }
    }

    /// A permit, first come first served.
    ///
    /// # Errors
    /// None today: the permits are never revoked.
    pub async fn acquire(&self) -> Result<Permit, OverloadError> {
        match Arc::clone(&self.semaphore).acquire_owned().await {
            Ok(permit) => Ok(Permit { _permit: permit }),
            // Nobody closes the semaphore.
            Err(_) => Err(OverloadError),
        }
    }

    /// As [`Permits::acquire`], if it can be had within this time. The time is that of tokio's timer.
    ///
    /// # Errors
    /// If the time is over before a permit is returned.
    pub async fn acquire_within(&self, time: Duration) -> Result<Permit, OverloadError> {
        timeout(time, self.acquire())
            .await
            .unwrap_or(Err(OverloadError))
    }

    /// How many permits are out. A permit that another thread takes or returns may be counted or not.
    pub fn in_flight(&self) -> usize {
        self.max as usize - self.semaphore.available_permits()
    }

    /// Waits until nothing is in flight. Meanwhile no more permits are given; they are again when this future ends or is
    /// dropped.
    pub async fn idle(&self) {
        // Nobody closes the semaphore.
        let _ = self.semaphore.acquire_many(self.max).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_dropped_future_returns_its_permit() {
        let permits = Permits::new(1);
        let work = async {
            let _permit = permits.try_acquire().unwrap();
            std::future::pending::<()>().await;
        };
        assert!(timeout(SECOND, work).await.is_err());
        assert_eq!(permits.in_flight(), 0);
        // One that waited for a permit leaves nothing behind, either.
        let held = permits.try_acquire().unwrap();
        assert!(permits.acquire_within(SECOND).await.is_err());
        drop(held);
        assert!(permits.acquire_within(SECOND).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_waits_for_all_and_lets_nothing_new_in() {
        let permits = Permits::new(3);
        let held = permits.try_acquire().unwrap();
        {
            let mut idle = pin!(permits.idle());
            assert!(timeout(SECOND, &mut idle).await.is_err());
            assert_eq!(permits.try_acquire().err(), Some(OverloadError));
            drop(held);
            idle.await;
        }
        assert!(permits.try_acquire().is_ok());
    }

    #[test]
    fn a_bound_beyond_counting_is_no_bound() {
        let permits = Permits::new(usize::MAX);
        let _permit = permits.try_acquire().unwrap();
        assert_eq!(permits.in_flight(), 1);
    }
}
