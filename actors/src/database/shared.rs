//! The clients that a worker's reads share: statements of many requests follow each other on one connection
//! without waiting. Answers come in order, so a long statement holds up its neighbours, and nothing sent may
//! be cancelled. Hence the watch over how long each keeps the client busy.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use gom_engine::plan::Statement;
use quick_cache::unsync::Cache;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::error::Failure;
use super::link::Link;
use super::text::JsonText;

/// How many statements are remembered as slow; each stands for one that ran for `slow_read` or longer.
const SLOW_STATEMENTS: usize = 256;

/// A shared client and what is known of its pipeline.
pub(super) struct Shared {
    link: Link,
    in_flight: Cell<usize>,
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

    /// For how long whoever is sent now would have had to wait already.
    fn held_up(&self, now: Instant) -> Duration {
        if self.in_flight.get() == 0 { Duration::ZERO } else { now - self.head_since.get() }
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

    pub async fn run(&self, statement: &Statement, deadline: Instant) -> Ran {
        let sent = Instant::now();
        if self.in_flight.get() == 0 {
            self.head_since.set(sent);
        }
        let _in_flight = InFlight::new(&self.in_flight);
        let answer = timeout_at(deadline, self.link.ask(statement)).await;
        let now = Instant::now();
        let busy = now - sent.max(self.head_since.get());
        match answer {
            Ok(answer) => {
                self.head_since.set(now);
                if matches!(answer, Err(Failure::Lost(_))) {
                    self.retire();
                }
                Ran { answer: Some(answer), busy }
            }
            Err(_) => {
                // Hung, or busy with something long: either way others are better off elsewhere.
                self.retire();
                Ran { answer: None, busy }
            }
        }
    }
}

struct InFlight<'a>(&'a Cell<usize>);

impl<'a> InFlight<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        InFlight(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The shared clients of one worker. Each place is kept filled by its keeper.
pub(super) struct SharedClients {
    places: RefCell<Vec<Option<Rc<Shared>>>>,
    pub arrived: Notify,
}

impl SharedClients {
    pub fn new(places: usize) -> Self {
        SharedClients { places: RefCell::new(vec![None; places]), arrived: Notify::new() }
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

    /// The client with the shortest pipeline, and for how long its head has been running.
    pub fn pick(&self, now: Instant) -> Option<(Rc<Shared>, Duration)> {
        let places = self.places.borrow();
        let usable = places.iter().flatten().filter(|client| client.is_usable());
        let best = usable.min_by_key(|client| (client.held_up(now).as_millis(), client.in_flight.get()))?;
        Some((Rc::clone(best), best.held_up(now)))
    }
}

/// The statements seen to take long, by their text.
pub(super) struct SlowStatements {
    known: RefCell<Cache<String, ()>>,
    threshold: Duration,
}

impl SlowStatements {
    pub fn new(threshold: Duration) -> Self {
        SlowStatements { known: RefCell::new(Cache::new(SLOW_STATEMENTS)), threshold }
    }

    pub fn contains(&self, sql: &str) -> bool {
        let known = self.known.borrow();
        !known.is_empty() && known.get(sql).is_some()
    }

    /// Remembers a statement that was slow; forgets one that has become fast.
    pub fn observe(&self, sql: &str, busy: Duration) {
        if busy >= self.threshold {
            self.known.borrow_mut().insert(sql.to_owned(), ());
        } else if self.contains(sql) && busy < self.threshold / 2 {
            self.known.borrow_mut().remove(sql);
        }
    }
}
