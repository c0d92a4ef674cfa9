//! Whose turn it is: how many operations of one user this process carries out at once. The others wait, in the order in
//! which they came, and no more than a few; the next is refused. The service role has no such bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gom_engine::error::{ApiError, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Shared by all workers.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Lines>);

#[derive(Debug)]
struct Lines {
    in_flight: usize,
    waiting: usize,
    /// By the user's name, of those who have an operation in flight.
    open: Mutex<HashMap<Arc<str>, Line>>,
}

#[derive(Debug)]
struct Line {
    turns: Arc<Semaphore>,
    /// Operations in flight and waiting.
    operations: usize,
}

/// One operation's turn, over when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

/// A place in a user's line, in flight or waiting.
#[derive(Debug)]
struct Place {
    lines: Arc<Lines>,
    user: Arc<str>,
}

impl Turns {
    /// `in_flight` operations of each user at once, and `waiting` more that wait for their turn.
    pub fn new(in_flight: usize, waiting: usize) -> Self {
        Turns(Arc::new(Lines { in_flight, waiting, open: Mutex::default() }))
    }

    /// The user's next turn.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyRequests`], if too many wait already, or the turn does not come by the deadline. Nothing has
    /// been done then.
    pub async fn take(&self, user: &str, deadline: Instant) -> Result<Turn, ApiError> {
        let (turns, place) = self.enter(user)?;
        match timeout_at(deadline, turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit, _place: place }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(self.refused("its turn did not come before the deadline")),
        }
    }

    fn enter(&self, user: &str) -> Result<(Arc<Semaphore>, Place), ApiError> {
        let Lines { in_flight, waiting, ref open } = *self.0;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let user = open.get_key_value(user).map_or_else(|| Arc::from(user), |(known, _)| Arc::clone(known));
        let line = open
            .entry(Arc::clone(&user))
            .or_insert_with(|| Line { turns: Arc::new(Semaphore::new(in_flight)), operations: 0 });
        if line.operations >= in_flight.saturating_add(waiting) {
            return Err(self.refused(&format!("{waiting} more are waiting (limits.waiting_per_user)")));
        }
        line.operations += 1;
        Ok((Arc::clone(&line.turns), Place { lines: Arc::clone(&self.0), user }))
    }

    fn refused(&self, why: &str) -> ApiError {
        let most = self.0.in_flight;
        let message = format!(
            "A user may have {most} operations in flight (limits.in_flight_per_user), and {why}; nothing was done. \
             Try again."
        );
        ApiError::new(ErrorKind::TooManyRequests, message)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.lines.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = open.get_mut(&self.user) {
            line.operations -= 1;
            if line.operations == 0 {
                open.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;

    use super::*;

    fn within(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    #[actix_web::test]
    async fn a_user_has_some_turns_at_once_some_wait_and_the_next_is_refused() {
        let turns = Turns::new(2, 1);
        let first = turns.take("ana", within(10_000)).await.unwrap();
        let second = turns.take("ana", within(10_000)).await.unwrap();
        let waiting = turns.take("ana", within(10_000));
        let mut waiting = std::pin::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        let refused = turns.take("ana", within(10_000)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::TooManyRequests);
        let expected = "A user may have 2 operations in flight (limits.in_flight_per_user), and 1 more are waiting \
                        (limits.waiting_per_user); nothing was done. Try again.";
        assert_eq!(refused.message, expected);
        turns.take("eva", within(10_000)).await.expect("another's turns are another's");
        drop(first);
        let third = waiting.await.expect("the next turn");
        let late = turns.take("ana", within(1)).await.unwrap_err();
        assert!(late.message.contains("before the deadline"), "{late}");
        drop((second, third));
        assert!(turns.0.open.lock().unwrap().is_empty(), "nothing is kept of who has nothing in flight");
    }

    #[actix_web::test]
    async fn never_more_are_in_flight_than_there_are_turns_and_who_gives_up_leaves_nothing() {
        let turns = Turns::new(3, 1_000);
        let (now, most) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let operation = async |patience| {
            let Ok(_turn) = turns.take("ana", within(patience)).await else { return };
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            tokio::task::yield_now().await;
            now.set(now.get() - 1);
        };
        join_all((0..200).map(|n| operation(if n % 3 == 0 { 0 } else { 10_000 }))).await;
        assert_eq!((now.get(), most.get()), (0, 3));
        assert!(turns.0.open.lock().unwrap().is_empty());
    }
}
