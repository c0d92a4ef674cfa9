//! Of the requests with one idempotency key, one at a time in this process. The others wait here, where they hold no turn and no
//! connection: they would wait for the first one all the same, in PostgreSQL (ADR 41).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gom_engine::error::{ApiError, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::failure::LATE_WITH_KEY;

/// Shared by all workers.
#[derive(Debug, Clone)]
pub(super) struct KeyTurns(Arc<Lines>);

#[derive(Debug)]
struct Lines {
    /// Requests of one user that may wait here.
    waiting: usize,
    /// Of those who have a request with a key, by whose keys they are.
    owners: Mutex<HashMap<String, Owner>>,
}

#[derive(Debug, Default)]
struct Owner {
    /// By key.
    lines: HashMap<String, Line>,
    /// In flight and waiting, with any key.
    requests: usize,
}

#[derive(Debug)]
struct Line {
    turn: Arc<Semaphore>,
    requests: usize,
}

/// The turn of one request with its key, over when it is dropped.
#[derive(Debug)]
pub(super) struct KeyTurn {
    // Given back before the place, which may be the line's last.
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

/// A place in a line, in flight or waiting.
#[derive(Debug)]
struct Place {
    lines: Arc<Lines>,
    owner: String,
    key: String,
}

impl KeyTurns {
    pub fn new(waiting: usize) -> Self {
        KeyTurns(Arc::new(Lines {
            waiting,
            owners: Mutex::default(),
        }))
    }

    /// The key's next turn. `is_bounded`: whether only so many of the owner's requests may wait.
    ///
    /// # Errors
    /// If it does not come by the deadline, or too many wait already.
    pub async fn take(
        &self,
        (owner, key): (&str, &str),
        is_bounded: bool,
        deadline: Instant,
    ) -> Result<KeyTurn, ApiError> {
        let (turn, place) = self.0.enter(owner, key, is_bounded)?;
        match timeout_at(deadline, turn.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(KeyTurn {
                _permit: permit,
                _place: place,
            }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(ApiError::new(ErrorKind::DeadlineExceeded, LATE_WITH_KEY)),
        }
    }
}

impl Lines {
    fn owners(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(
        self: &Arc<Self>,
        owner: &str,
        key: &str,
        is_bounded: bool,
    ) -> Result<(Arc<Semaphore>, Place), ApiError> {
        let mut owners = self.owners();
        let of_owner = owners.entry(owner.to_owned()).or_default();
        // One of each line is in flight.
        let waiting = of_owner.requests - of_owner.lines.len();
        if is_bounded && of_owner.lines.contains_key(key) && waiting >= self.waiting {
            let message = format!(
                "{} requests of yours wait already for earlier ones with the same idempotency keys (limits.waiting_per_user). This \
                 one has written nothing; an earlier one with the same key may still be carried out. Repeat the request with \
                 the same idempotency key.",
                self.waiting
            );
            return Err(ApiError::new(ErrorKind::TooManyRequests, message));
        }
        of_owner.requests += 1;
        let line = of_owner
            .lines
            .entry(key.to_owned())
            .or_insert_with(|| Line {
                turn: Arc::new(Semaphore::new(1)),
                requests: 0,
            });
        line.requests += 1;
        let place = Place {
            lines: Arc::clone(self),
            owner: owner.to_owned(),
            key: key.to_owned(),
        };
        Ok((Arc::clone(&line.turn), place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut owners = self.lines.owners();
        let Some(owner) = owners.get_mut(&self.owner) else {
            return;
        };
        owner.requests -= 1;
        if let Some(line) = owner.lines.get_mut(&self.key) {
            line.requests -= 1;
            if line.requests == 0 {
                owner.lines.remove(&self.key);
            }
        }
        if owner.requests == 0 {
            owners.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[actix_web::test]
    async fn requests_with_one_key_follow_each_other_and_leave_nothing_behind() {
        let turns = KeyTurns::new(1);
        let first = turns.take(("ana", "k"), true, later()).await.unwrap();
        let other_key = turns.take(("ana", "l"), true, later()).await.unwrap();
        let other_owner = turns.take(("eva", "k"), true, later()).await.unwrap();

        let late = turns.take(("ana", "k"), true, Instant::now()).await;
        let late = late.unwrap_err();
        assert_eq!(late.kind, ErrorKind::DeadlineExceeded);
        assert!(late.message.contains("may still"), "{}", late.message);

        let second = turns.take(("ana", "k"), true, later());
        let mut second = std::pin::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        let third = turns.take(("ana", "k"), true, later()).await.unwrap_err();
        assert_eq!(third.kind, ErrorKind::TooManyRequests);
        drop(first);
        let second = second.await.unwrap();
        drop((second, other_key, other_owner));
        assert!(turns.0.owners().is_empty());
    }
}
