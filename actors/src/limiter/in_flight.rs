//! Attempts of this process that are being checked: who has taken points and neither given them back nor lost them.
//! Where they alone are in the way of another attempt, that one waits for them, a few at a time, instead of being
//! counted as one too many.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Mutex;

use super::store::Take;

/// Counters without attempts are forgotten once there are this many.
const ROOM: usize = 8192;

#[derive(Debug, Default)]
pub(super) struct InFlight {
    counters: RefCell<HashMap<String, Counter>>,
}

#[derive(Debug, Clone, Default)]
struct Counter {
    attempts: Arc<AtomicU32>,
    turn: Arc<Mutex<()>>,
}

/// A point that one attempt has taken, in flight until it is dropped, on whatever thread.
#[derive(Debug)]
pub(super) struct Point(Arc<AtomicU32>);

impl Drop for Point {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl InFlight {
    /// Adds an attempt at each of the counters, and notes with each how many were there before it.
    pub fn begin(&self, takes: &mut [Take]) -> Vec<Point> {
        let mut counters = self.counters.borrow_mut();
        if counters.len() > ROOM {
            counters.retain(|_, counter| {
                counter.attempts.load(Ordering::Relaxed) > 0 || Arc::strong_count(&counter.turn) > 1
            });
        }
        let begin = |take: &mut Take| {
            let attempts = &counters.entry(take.key.clone()).or_default().attempts;
            take.in_flight = attempts.fetch_add(1, Ordering::Relaxed);
            Point(Arc::clone(attempts))
        };
        takes.iter_mut().map(begin).collect()
    }

    /// Whose turn it is to ask again for this counter. One at a time: those who merely ask would otherwise count as in
    /// flight for each other, and none of them would learn that the counter is used up.
    pub fn turn(&self, key: &str) -> Arc<Mutex<()>> {
        Arc::clone(
            &self
                .counters
                .borrow_mut()
                .entry(key.to_owned())
                .or_default()
                .turn,
        )
    }
}
