//! Whose turn it is: how many operations of one user this process carries out at once. The others wait, in the order in
//! which they came, and no more than a few; the next is refused. The service role has no such bound.
//!
//! Several costly statements of one user at once would be as many processes of PostgreSQL, with which everybody else's
//! share the cores. So a user begins with a few turns and gets one more with each operation that has ended; and the time
//! of the operations fills a leaky bucket: while it is full, there are no more than those few.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gom_engine::error::{ApiError, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// An operation that is in flight for less adds nothing to its user's bucket.
const FREE: Duration = Duration::from_millis(10);
/// Beyond so much the bucket is full. It leaks a second each second.
const FULL: Duration = Duration::from_millis(250);
/// An operation that is in flight for longer counts once more for each that is in flight with it beyond those of a full
/// bucket: side by side such operations take more from others than one after the other.
const LONG: Duration = Duration::from_secs(1);
/// No more than that is added: what a user has done is forgotten after so long.
const DEEPEST: Duration = Duration::from_secs(600);
/// Users with nothing in flight of whom something is remembered, before those are looked for of whom nothing need be.
const MANY: usize = 1_024;

#[derive(Debug, Clone, Copy)]
pub struct TurnLimits {
    /// Operations of a user at once.
    pub in_flight: usize,
    /// The same of one whose bucket is full, or who has just begun.
    pub busy_in_flight: usize,
    /// Operations that wait for their turn.
    pub waiting: usize,
}

/// Shared by all workers.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Lines>);

#[derive(Debug)]
struct Lines {
    limits: TurnLimits,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    /// By the user's name, of those who have an operation in flight, or had one that filled their bucket.
    lines: HashMap<Arc<str>, Line>,
    /// How many there may be before the empty ones are dropped.
    most: usize,
}

#[derive(Debug)]
struct Line {
    turns: Arc<Semaphore>,
    /// Operations that the user may have in flight now.
    window: usize,
    /// Permits that there are, in use or not: more than `window` until those that are in use come back.
    permits: usize,
    /// Operations in flight and waiting.
    operations: usize,
    /// When the bucket will have leaked out.
    empty_at: Instant,
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
    pub fn new(limits: TurnLimits) -> Self {
        let limits = TurnLimits {
            busy_in_flight: limits.busy_in_flight.min(limits.in_flight),
            ..limits
        };
        let open = Open {
            lines: HashMap::new(),
            most: MANY,
        };
        Turns(Arc::new(Lines {
            limits,
            open: Mutex::new(open),
        }))
    }

    /// The user's next turn.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyRequests`], if too many wait already, or the turn does not come by the deadline. Nothing has
    /// been done then.
    pub async fn take(&self, user: &str, deadline: Instant) -> Result<Turn, ApiError> {
        let (turns, place) = self.0.enter(user)?;
        match timeout_at(deadline, turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn {
                permit: Some(permit),
                began: Instant::now(),
                place,
            }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(place.lines.too_late(place.is_busy())),
        }
    }
}

impl Lines {
    fn enter(self: &Arc<Self>, user: &str) -> Result<(Arc<Semaphore>, Place), ApiError> {
        let TurnLimits {
            in_flight,
            busy_in_flight,
            waiting,
        } = self.limits;
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.forget_idle(now);
        let known = open
            .lines
            .get_key_value(user)
            .map(|(known, _)| Arc::clone(known));
        let user = known.unwrap_or_else(|| Arc::from(user));
        let line = open
            .lines
            .entry(Arc::clone(&user))
            .or_insert_with(|| Line::new(busy_in_flight, now));
        if line.operations >= in_flight.saturating_add(waiting) {
            let message = format!(
                "A user may have {in_flight} operations in flight (limits.in_flight_per_user) and {waiting} waiting \
                 (limits.waiting_per_user), {} together; nothing was done. Try again.",
                in_flight.saturating_add(waiting)
            );
            return Err(ApiError::new(ErrorKind::TooManyRequests, message));
        }
        line.operations += 1;
        Ok((
            Arc::clone(&line.turns),
            Place {
                lines: Arc::clone(self),
                user,
            },
        ))
    }

    fn too_late(&self, is_busy: bool) -> ApiError {
        let TurnLimits {
            in_flight,
            busy_in_flight,
            ..
        } = self.limits;
        let rule = if is_busy {
            format!(
                "A user whose operations take long may have {busy_in_flight} in flight (limits.busy_in_flight_per_user)"
            )
        } else {
            format!("A user may have {in_flight} operations in flight (limits.in_flight_per_user)")
        };
        let message = format!(
            "{rule}, and its turn did not come before the deadline; nothing was done. Try again."
        );
        ApiError::new(ErrorKind::TooManyRequests, message)
    }
}

impl Open {
    /// Of who has nothing in flight and nothing in their bucket, nothing is kept.
    fn forget_idle(&mut self, now: Instant) {
        if self.lines.len() >= self.most {
            self.lines.retain(|_, line| !line.is_idle(now));
            self.most = MANY.max(self.lines.len() * 2);
        }
    }
}

impl Line {
    fn new(window: usize, now: Instant) -> Self {
        let turns = Arc::new(Semaphore::new(window));
        Line {
            turns,
            window,
            permits: window,
            operations: 0,
            empty_at: now,
        }
    }

    fn is_busy(&self, now: Instant) -> bool {
        self.empty_at > now + FULL
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.operations == 0 && self.empty_at <= now
    }

    /// Takes a permit back from an operation that was in flight for so long.
    fn settle(&mut self, permit: OwnedSemaphorePermit, took: Duration, limits: &TurnLimits) {
        let now = Instant::now();
        if took >= FREE {
            let in_flight = self.permits.saturating_sub(self.turns.available_permits());
            let beside = if took > LONG {
                in_flight.saturating_sub(limits.busy_in_flight)
            } else {
                0
            };
            let added = took.saturating_mul(u32::try_from(beside + 1).unwrap_or(u32::MAX));
            // It has leaked meanwhile.
            let empty_at = self.empty_at.max(now - took).checked_add(added);
            self.empty_at = empty_at.map_or(now + DEEPEST, |at| at.min(now + DEEPEST));
        }
        self.window = if self.is_busy(now) {
            limits.busy_in_flight
        } else {
            limits.in_flight.min(self.window + 1)
        };
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

impl Place {
    fn is_busy(&self) -> bool {
        let open = self
            .lines
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.lines
            .get(&self.user)
            .is_some_and(|line| line.is_busy(Instant::now()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Place { lines, user } = &self.place;
        let mut open = lines.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(permit), Some(line)) = (self.permit.take(), open.lines.get_mut(user)) {
            line.settle(
                permit,
                Instant::now().saturating_duration_since(self.began),
                &lines.limits,
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self
            .lines
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = open.lines.get_mut(&self.user) {
            line.operations -= 1;
            if line.is_idle(Instant::now()) {
                open.lines.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests;
