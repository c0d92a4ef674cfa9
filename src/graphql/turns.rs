//! Whose turn it is: how many operations of one user this process carries out at once. The others wait, in the order in
//! which they came, and no more than a few; the next is refused. The service role has no such bound.
//!
//! How many that are is found as TCP finds its window: each fast operation adds one up to the most that are allowed, a
//! slow one takes all but [`SLOW_IN_FLIGHT`] away. So one user's dear operations leave cores to others, and a user
//! whose operations are fast has as many in flight as may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gom_engine::error::{ApiError, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// An operation that is in flight for longer is slow.
const SLOW: Duration = Duration::from_millis(50);
/// Operations in flight of a user whose operations are slow, or of whom nothing is known yet.
const SLOW_IN_FLIGHT: usize = 2;

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
    /// Operations that may be in flight now.
    window: usize,
    /// Permits that there are, in use or not: more than `window` until those that are in use come back.
    permits: usize,
    /// Operations in flight and waiting.
    operations: usize,
}

/// One operation's turn, over when it is dropped.
#[derive(Debug)]
pub struct Turn {
    /// There until it is dropped.
    permit: Option<OwnedSemaphorePermit>,
    began: Instant,
    place: Place,
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
            Ok(Ok(permit)) => Ok(Turn { permit: Some(permit), began: Instant::now(), place }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(self.refused("its turn did not come before the deadline")),
        }
    }

    fn enter(&self, user: &str) -> Result<(Arc<Semaphore>, Place), ApiError> {
        let Lines { in_flight, waiting, ref open } = *self.0;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let user = open.get_key_value(user).map_or_else(|| Arc::from(user), |(known, _)| Arc::clone(known));
        let line = open.entry(Arc::clone(&user)).or_insert_with(|| Line::new(in_flight.min(SLOW_IN_FLIGHT)));
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

impl Line {
    fn new(window: usize) -> Self {
        Line { turns: Arc::new(Semaphore::new(window)), window, permits: window, operations: 0 }
    }

    /// Takes a permit back from an operation that was in flight for so long.
    fn settle(&mut self, permit: OwnedSemaphorePermit, took: Duration, in_flight: usize) {
        self.window = if took < SLOW { self.window + 1 } else { SLOW_IN_FLIGHT }.min(in_flight);
        if self.permits > self.window {
            permit.forget();
            self.permits -= 1;
            self.permits -= self.turns.forget_permits(self.permits - self.window);
        } else {
            drop(permit);
            self.turns.add_permits(self.window - self.permits);
            self.permits = self.window;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Place { lines, user } = &self.place;
        let mut open = lines.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(permit), Some(line)) = (self.permit.take(), open.get_mut(user)) {
            line.settle(permit, self.began.elapsed(), lines.in_flight);
        }
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
    async fn slow_operations_leave_a_user_two_at_once_and_fast_ones_win_the_others_back() {
        let turns = Turns::new(8, 32);
        let take = || turns.take("ana", within(10_000));
        let window =
            || turns.0.open.lock().unwrap().get("ana").map(|line| (line.window, line.permits)).unwrap();
        let first = take().await.unwrap();
        assert_eq!(window(), (2, 2), "nothing is known of the user");
        for expected in [3, 4, 5, 6, 7, 8, 8] {
            drop(take().await);
            assert_eq!(window(), (expected, expected));
        }
        let mut slow = join_all((0..7).map(|_| take())).await;
        tokio::time::sleep(SLOW).await;
        slow.pop();
        assert_eq!(window(), (2, 7), "those in flight go on");
        let next = take();
        let mut next = std::pin::pin!(next);
        while slow.pop().is_some() {
            assert_eq!(
                futures::poll!(next.as_mut()).is_ready(),
                slow.is_empty(),
                "{} and the first",
                slow.len()
            );
        }
        assert_eq!(window(), (3, 3), "the one that waited was fast");
        drop(first);
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
