//! Attempts of this process in flight: they have taken points and neither given them back nor lost them. Where they alone
//! block another attempt, that one waits for them, instead of being counted as one too many.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Mutex;

use super::stores::Take;

/// Counters without attempts are removed once there are this many.
const MAX_COUNTERS: usize = 8192;

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
    /// Adds an attempt at each of the counters, and records with each how many were there before it.
    pub fn begin(&self, takes: &mut [Take]) -> Vec<Point> {
        let mut counters = self.counters.borrow_mut();
        if counters.len() > MAX_COUNTERS {
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

    /// The turn to retry at this counter. One at a time: attempts that only retry would otherwise count as in flight for each
    /// other, and none of them would find the counter used up.
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
