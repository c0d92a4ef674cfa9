//! Live queries that execute the same are one class: evaluated once for all its members, on all workers, who are given the same bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use actix_web::web::Bytes;
use aws_lc_rs::digest::{SHA256, digest};
use gom_actors::live::{LiveError, Owner};
use gom_engine::error::ApiError;
use gom_engine::events::Cursor;
use gom_telemetry::metrics::LIVE_EVALUATIONS;
use tokio::sync::Notify;

use super::lanes::Lanes;
use super::patch::{Comparable, Patches};
use crate::graphql::execute::LiveQuery;
use crate::graphql::wire::write_answer_at;
use crate::graphql::{Answer, AnswerCursor, Engine};

/// By what a payload is recognized.
pub(super) type Shown = [u8; 32];

/// By what they execute. What can change within a query (what was found out of its viewer's rights) is no part of its hash.
type Open = HashMap<Arc<LiveQuery>, Arc<Class>>;

/// The classes of an engine that have members.
#[derive(Default)]
pub struct Classes {
    open: Mutex<Open>,
    lanes: OnceLock<Arc<Lanes>>,
    evaluations: AtomicU64,
}

/// What the live queries of an engine have cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveCost {
    /// Classes of equal live queries that there are now.
    pub classes: usize,
    /// Times that one of them was evaluated.
    pub evaluations: u64,
    /// Times that the database was asked, for one of them or for several.
    pub reads: u64,
}

/// Live queries that are answered by the same bytes.
pub(super) struct Class {
    pub query: Arc<LiveQuery>,
    seats: Mutex<Seats>,
    /// A member waits for an answer that has not been made.
    pub wake: Notify,
    /// The last member has left.
    pub emptied: Notify,
}

#[derive(Default)]
struct Seats {
    by_id: HashMap<u64, Seat>,
    next: u64,
    end: Option<LiveError>,
}

/// What a class knows of a member.
struct Seat {
    owner: Owner,
    /// Something was touched since the last evaluation for it began, or there was none.
    is_stale: bool,
    /// Its client takes an answer.
    waits: bool,
    shown: Option<Shown>,
    newest: Option<Arc<Evaluated>>,
    ready: Arc<Notify>,
}

/// One live query of a class. It leaves when it is dropped.
pub(super) struct Member {
    classes: Arc<Classes>,
    class: Arc<Class>,
    id: u64,
    ready: Arc<Notify>,
}

/// The answer to a class, ready to be handed over.
pub(super) struct Evaluated {
    answer: Answer,
    /// Without a cursor, and with one: the same for all members. Nothing of an answer with errors, which name each client's request.
    payload: Option<Bytes>,
    with_cursor: OnceLock<Bytes>,
    /// Made for the first member that wants differences.
    comparable: OnceLock<Comparable>,
    pub shown: Shown,
    /// A position that it includes.
    at: Option<Cursor>,
}

impl Evaluated {
    pub fn new(answer: Answer, at: Option<Cursor>) -> Self {
        let mut payload = Vec::new();
        write_answer_at(&mut payload, &answer, &AnswerCursor::None, "");
        let mut shown = Shown::default();
        shown.copy_from_slice(digest(&SHA256, &payload).as_ref());
        let payload = answer.errors.is_empty().then(|| Bytes::from(payload));
        Evaluated {
            answer,
            payload,
            with_cursor: OnceLock::new(),
            comparable: OnceLock::new(),
            shown,
            at,
        }
    }

    pub fn errors(&self) -> &[ApiError] {
        &self.answer.errors
    }

    fn cursor(&self, engine: &Engine) -> AnswerCursor {
        match self.at {
            Some(at) => AnswerCursor::At(engine.cursors.seal(at)),
            None => AnswerCursor::Unknown,
        }
    }

    /// What a client is sent that wants differences.
    pub fn message(
        &self,
        patches: &mut Patches,
        engine: &Engine,
        wants_cursor: bool,
        request_id: &str,
    ) -> Bytes {
        let comparable = self
            .comparable
            .get_or_init(|| Comparable::of(&self.answer.data));
        let cursor = if wants_cursor {
            self.cursor(engine)
        } else {
            AnswerCursor::None
        };
        Bytes::from(patches.message(&self.answer, comparable, &cursor, request_id))
    }

    /// What a client is sent.
    pub fn payload(&self, engine: &Engine, wants_cursor: bool, request_id: &str) -> Bytes {
        let written = |cursor: &AnswerCursor| {
            let mut out = Vec::new();
            write_answer_at(&mut out, &self.answer, cursor, request_id);
            Bytes::from(out)
        };
        let cursor = || self.cursor(engine);
        match (&self.payload, wants_cursor) {
            (Some(payload), false) => payload.clone(),
            (Some(_), true) => self.with_cursor.get_or_init(|| written(&cursor())).clone(),
            (None, false) => written(&AnswerCursor::None),
            (None, true) => written(&cursor()),
        }
    }
}

impl Classes {
    /// A new member of the class of a query; and whether the class is new, so that its evaluation has to be started.
    pub(super) fn join(
        self: &Arc<Self>,
        query: LiveQuery,
        owner: Owner,
    ) -> (Member, Option<Arc<Class>>) {
        let mut open = lock(&self.open);
        let query = Arc::new(query);
        let known = open.get(&query).cloned();
        let is_new = known.is_none();
        let class = known.unwrap_or_else(|| {
            let class = Arc::new(Class {
                query: Arc::clone(&query),
                seats: Mutex::default(),
                wake: Notify::new(),
                emptied: Notify::new(),
            });
            open.insert(query, Arc::clone(&class));
            class
        });
        let ready = Arc::new(Notify::new());
        let id = lock(&class.seats).enter(owner, Arc::clone(&ready));
        let member = Member {
            classes: Arc::clone(self),
            class: Arc::clone(&class),
            id,
            ready,
        };
        (member, is_new.then_some(class))
    }

    /// What they have cost so far.
    pub fn cost(&self) -> LiveCost {
        LiveCost {
            classes: lock(&self.open).len(),
            evaluations: self.evaluations.load(Ordering::Relaxed),
            reads: self.lanes.get().map_or(0, |lanes| lanes.reads()),
        }
    }

    pub(super) fn count_evaluation(&self) {
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        LIVE_EVALUATIONS.inc(());
    }

    pub(super) fn lanes(&self, connections: usize) -> &Arc<Lanes> {
        self.lanes.get_or_init(|| Lanes::new(connections))
    }

    /// Ends all members of a class: nothing is evaluated any more.
    pub(super) fn end(&self, class: &Arc<Class>, reason: LiveError) {
        let mut open = lock(&self.open);
        self.forget(&mut open, class);
        let mut seats = lock(&class.seats);
        seats.end.get_or_insert(reason);
        for seat in seats.by_id.values() {
            seat.ready.notify_one();
        }
    }

    #[expect(clippy::mutable_key_type, reason = "see `Open`")]
    fn forget(&self, open: &mut Open, class: &Arc<Class>) {
        if open
            .get(&class.query)
            .is_some_and(|known| Arc::ptr_eq(known, class))
        {
            open.remove(&class.query);
        }
    }
}

impl Seats {
    fn enter(&mut self, owner: Owner, ready: Arc<Notify>) -> u64 {
        let id = self.next;
        self.next += 1;
        let seat = Seat {
            owner,
            is_stale: true,
            waits: false,
            shown: None,
            newest: None,
            ready,
        };
        self.by_id.insert(id, seat);
        id
    }
}

impl Class {
    /// What was read has changed, or may have.
    pub fn touched(&self) {
        let mut seats = lock(&self.seats);
        seats
            .by_id
            .values_mut()
            .for_each(|seat| seat.is_stale = true);
        if seats.by_id.values().any(|seat| seat.waits) {
            self.wake.notify_one();
        }
    }

    /// The members that wait for an answer which has yet to be made. What begins to be read now is one for them.
    pub fn due(&self) -> Vec<u64> {
        let mut seats = lock(&self.seats);
        let due = seats
            .by_id
            .iter_mut()
            .filter(|(_, seat)| seat.waits && seat.is_stale);
        due.map(|(id, seat)| {
            seat.is_stale = false;
            *id
        })
        .collect()
    }

    /// Nothing was read for these.
    pub fn put_back(&self, due: &[u64]) {
        let mut seats = lock(&self.seats);
        for id in due {
            if let Some(seat) = seats.by_id.get_mut(id) {
                seat.is_stale = true;
            }
        }
        self.wake.notify_one();
    }

    /// Users who wait for an answer that has yet to be made; no more than so many.
    pub fn owners(&self, most: usize) -> Vec<Owner> {
        let seats = lock(&self.seats);
        let mut owners = Vec::new();
        let waiting = |seat: &&Seat| seat.waits && seat.is_stale;
        for seat in seats.by_id.values().filter(waiting) {
            if !owners.contains(&seat.owner) {
                owners.push(seat.owner.clone());
                if owners.len() == most {
                    break;
                }
            }
        }
        owners
    }

    /// Hands an answer to those of the members who do not show it.
    pub fn publish(&self, due: &[u64], evaluated: &Arc<Evaluated>) {
        let mut seats = lock(&self.seats);
        for id in due {
            let Some(seat) = seats.by_id.get_mut(id) else {
                continue;
            };
            if seat.shown != Some(evaluated.shown) {
                seat.waits = false;
                seat.newest = Some(Arc::clone(evaluated));
                seat.ready.notify_one();
            }
        }
    }
}

impl Member {
    /// The next answer that is another than the one that was shown. What is read for it is read after this was called, or after the
    /// answer before.
    pub async fn next(&self) -> Result<Arc<Evaluated>, LiveError> {
        loop {
            {
                let mut seats = lock(&self.class.seats);
                let end = seats.end.clone();
                let Some(seat) = seats.by_id.get_mut(&self.id) else {
                    return Err(LiveError::Failed("a live query has no place".into()));
                };
                if let Some(newest) = seat.newest.take() {
                    return Ok(newest);
                }
                if let Some(end) = end {
                    return Err(end);
                }
                seat.waits = true;
                if seat.is_stale {
                    self.class.wake.notify_one();
                }
            }
            self.ready.notified().await;
        }
    }

    /// The client shows this.
    pub fn has_shown(&self, shown: Shown) {
        if let Some(seat) = lock(&self.class.seats).by_id.get_mut(&self.id) {
            seat.shown = Some(shown);
        }
    }

    /// The client could not take what [`Member::next`] has given.
    pub fn has_not_shown(&self) {
        if let Some(seat) = lock(&self.class.seats).by_id.get_mut(&self.id) {
            seat.is_stale = true;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Nobody joins a class that is being left by its last member.
        let mut open = lock(&self.classes.open);
        let left = {
            let mut seats = lock(&self.class.seats);
            let left = seats.by_id.remove(&self.id);
            if seats.by_id.is_empty() {
                self.classes.forget(&mut open, &self.class);
                self.class.emptied.notify_one();
            }
            left
        };
        drop(open);
        drop(left);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
