//! The clients that a worker's reads share: statements of many requests follow each other on one connection
//! without waiting. Answers come in order, so a long statement holds up its neighbours, and nothing sent may
//! be cancelled. Hence the watch over how long each keeps the client busy.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use gom_engine::plan::Statement;
use quick_cache::unsync::Cache;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::error::Failure;
use super::link::Link;
use super::share::Asker;
use super::text::JsonText;

/// How many statements are remembered that once ran for `slow_read` or longer.
const SLOW_STATEMENTS: usize = 256;

/// A shared client and what is known of its pipeline.
pub(super) struct Shared {
    link: Link,
    in_flight: Cell<usize>,
    /// Of how many statements in flight each asker is.
    askers: RefCell<HashMap<Asker, usize>>,
    /// Since when the statement at the head of the pipeline has the client for itself.
    head_since: Cell<Instant>,
    retired: Cell<bool>,
    on_retired: Notify,
}

/// How a statement fared on a shared client.
pub(super) struct Ran {
    /// Nothing if the deadline came first.
    pub answer: Option<Result<Option<JsonText>, Failure>>,
    /// How long it kept the client busy.
    pub busy: Duration,
}

impl Shared {
    pub fn new(link: Link) -> Self {
        Shared {
            link,
            in_flight: Cell::new(0),
            askers: RefCell::default(),
            head_since: Cell::new(Instant::now()),
            retired: Cell::new(false),
            on_retired: Notify::new(),
        }
    }

    pub fn generation(&self) -> u64 {
        self.link.generation
    }

    fn is_usable(&self) -> bool {
        !self.retired.get() && !self.link.is_closed()
    }

    /// For how long a statement that is sent now would have waited already.
    fn held_up(&self, now: Instant) -> Duration {
        if self.in_flight.get() == 0 {
            Duration::ZERO
        } else {
            now - self.head_since.get()
        }
    }

    /// Ends when the connection has ended or is to be replaced.
    pub async fn ended(&self) {
        tokio::select! {
            () = self.link.closed() => {}
            () = self.on_retired.notified() => {}
        }
    }

    /// Takes no more statements; what was sent is still answered.
    fn retire(&self) {
        self.retired.set(true);
        self.on_retired.notify_one();
    }

    fn serves(&self, asker: Asker) -> bool {
        self.askers.borrow().contains_key(&asker)
    }

    pub async fn run(&self, statement: &Statement, asker: Option<Asker>, deadline: Instant) -> Ran {
        let sent = Instant::now();
        if self.in_flight.get() == 0 {
            self.head_since.set(sent);
        }
        let _in_flight = InFlight::new(self, asker);
        let answer = timeout_at(deadline, self.link.ask(statement)).await;
        let now = Instant::now();
        let busy = now - sent.max(self.head_since.get());
        match answer {
            Ok(answer) => {
                self.head_since.set(now);
                if matches!(answer, Err(Failure::Lost(_))) {
                    self.retire();
                }
                Ran {
                    answer: Some(answer),
                    busy,
                }
            }
            Err(_) => {
                // Hung, or busy with something long: either way others are better off elsewhere.
                self.retire();
                Ran { answer: None, busy }
            }
        }
    }
}

struct InFlight<'a>(&'a Shared, Option<Asker>);

impl<'a> InFlight<'a> {
    fn new(client: &'a Shared, asker: Option<Asker>) -> Self {
        client.in_flight.set(client.in_flight.get() + 1);
        if let Some(asker) = asker {
            *client.askers.borrow_mut().entry(asker).or_default() += 1;
        }
        InFlight(client, asker)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let InFlight(client, asker) = self;
        client.in_flight.set(client.in_flight.get() - 1);
        let Some(asker) = asker else { return };
        let mut askers = client.askers.borrow_mut();
        if let Some(count) = askers.get_mut(asker) {
            *count -= 1;
            if *count == 0 {
                askers.remove(asker);
            }
        }
    }
}

/// The shared clients of one worker. Each place is kept filled by its keeper.
pub(super) struct SharedClients {
    places: RefCell<Vec<Option<Rc<Shared>>>>,
    pub arrived: Notify,
}

impl SharedClients {
    pub fn new(places: usize) -> Self {
        SharedClients {
            places: RefCell::new(vec![None; places]),
            arrived: Notify::new(),
        }
    }

    pub fn places(&self) -> usize {
        self.places.borrow().len()
    }

    pub fn put(&self, place: usize, client: Option<Rc<Shared>>) {
        let arrived = client.is_some();
        self.places.borrow_mut()[place] = client;
        if arrived {
            self.arrived.notify_waiters();
        }
    }

    /// The client with the shortest pipeline, and for how long its head has been running. Anyone who has statements in all
    /// pipelines but one stays with these: one is always left in which nobody waits behind them.
    pub fn pick(&self, now: Instant, asker: Option<Asker>) -> Option<(Rc<Shared>, Duration)> {
        let places = self.places.borrow();
        let usable = || places.iter().flatten().filter(|client| client.is_usable());
        let own = |client: &Rc<Shared>| asker.is_some_and(|asker| client.serves(asker));
        let most = places.len().saturating_sub(1).max(1);
        let stays = asker.is_some() && usable().filter(|client| own(client)).count() >= most;
        let open = usable().filter(|client| !stays || own(client));
        let best =
            open.min_by_key(|client| (client.held_up(now).as_millis(), client.in_flight.get()))?;
        Some((Rc::clone(best), best.held_up(now)))
    }
}

/// So many slow runs more than fast ones make a statement slow. One alone says little: on a busy machine any
/// statement may have to wait for a processor that long, and what goes to leased clients then, which cost more,
/// makes the machine no less busy.
const SLOW_FROM: u8 = 2;
/// What a statement is remembered by at most: so many fast runs, and one more, and it is forgotten.
const MAX_STRIKES: u8 = 3;
/// What takes this many times the threshold is not the machine's doing.
pub(super) const BEYOND_DOUBT: u32 = 4;

/// The statements seen to take long: how often. By a hash of the text, which may be long: two that share one are
/// slow together, and that costs a client of their own.
pub(super) struct SlowStatements {
    strikes: RefCell<Cache<u64, u8>>,
    hasher: RandomState,
    threshold: Duration,
}

impl SlowStatements {
    pub fn new(threshold: Duration) -> Self {
        SlowStatements {
            strikes: RefCell::new(Cache::new(SLOW_STATEMENTS)),
            hasher: RandomState::new(),
            threshold,
        }
    }

    pub fn contains(&self, sql: &str) -> bool {
        self.strikes_of(sql) >= SLOW_FROM
    }

    fn strikes_of(&self, sql: &str) -> u8 {
        let strikes = self.strikes.borrow();
        if strikes.is_empty() {
            0
        } else {
            strikes
                .get(&self.hasher.hash_one(sql))
                .copied()
                .unwrap_or(0)
        }
    }

    /// Counts a run that was slow; takes one back for a run that was fast.
    pub fn observe(&self, sql: &str, busy: Duration) {
        let strikes = self.strikes_of(sql);
        if busy >= self.threshold {
            let doubtful = busy < self.threshold * BEYOND_DOUBT;
            let strikes = if doubtful {
                (strikes + 1).min(MAX_STRIKES)
            } else {
                MAX_STRIKES
            };
            self.strikes
                .borrow_mut()
                .insert(self.hasher.hash_one(sql), strikes);
        } else if strikes > 0 && busy < self.threshold / 2 {
            let (mut known, statement) = (self.strikes.borrow_mut(), self.hasher.hash_one(sql));
            if strikes == 1 {
                known.remove(&statement);
            } else {
                known.insert(statement, strikes - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_slow_after_two_slow_runs_or_one_beyond_doubt_and_fast_runs_clear_it() {
        let slow = SlowStatements::new(Duration::from_millis(50));
        let run = |ms| {
            slow.observe("select", Duration::from_millis(ms));
            slow.contains("select")
        };
        assert!(!run(60), "once may have been the machine");
        assert!(!run(1), "forgotten");
        assert!(!run(60));
        assert!(run(60));
        assert!(run(30), "neither fast nor slow");
        assert!(!run(1));
        assert!(!run(1));
        assert!(run(200), "beyond doubt");
        assert!(run(1));
        assert!(!run(1));
        assert!(!slow.contains("another"));
    }
}
