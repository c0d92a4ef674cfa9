//! One worker's subscribers, and what is delivered faster than their clients read it. A batch waits once, however many
//! subscribers wait for it; the memory of all batches that wait is bounded, and who holds most of it is ended first. It also
//! counts as all else does that waits for clients ([`Waiting`]): a user for whom too much waits has subscribers ended.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::select_all;
use gom_engine::events::Cursor;
use tokio::sync::{Notify, oneshot};

use super::local::Sink;
use super::{Delivered, LiveError};
use gom_runtime::owner::Owner;
use gom_runtime::waiting::{Account, Charge, Reader, Waiting};
use gom_telemetry::metrics::RESYNCS;

/// Bytes of events that wait on one worker, over all its subscribers. When more would wait, subscribers are ended for whose
/// clients much waits, first those of the user for whom the most does: their clients come back with their last cursors.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// What an event takes beside its payload.
const EVENT_BYTES: usize = size_of::<Delivered>();

pub(super) struct Sinks {
    by_slot: RefCell<HashMap<u64, Slot>>,
    next: Cell<u64>,
    waiting_bytes: Rc<Cell<usize>>,
    /// The same for each user who has subscribers here: a batch counts once for each that waits for it.
    of_owner: RefCell<HashMap<Owner, OfOwner>>,
    /// What waits for all clients of the process, these batches among it.
    waiting: Waiting,
}

struct OfOwner {
    subscribers: usize,
    waiting_bytes: Rc<Cell<usize>>,
    account: Arc<Account>,
}

struct Slot {
    sink: Rc<dyn Sink>,
    owner: Owner,
    waiting: VecDeque<Waits>,
    /// Those who want to know up to where it has been served.
    locating: Vec<oneshot::Sender<Option<Cursor>>>,
    /// Signalled when nothing waits any more, and when the subscriber has left.
    emptied: Rc<Notify>,
}

enum Waits {
    /// From this event on.
    Events(Rc<Share>, usize),
    End(LiveError),
}

/// A batch that subscribers of one user have not taken.
struct Share {
    batch: Rc<Batch>,
    of_owner: Rc<Cell<usize>>,
    _charge: Charge,
}

impl Share {
    fn new(batch: &Rc<Batch>, of_owner: &OfOwner) -> Rc<Self> {
        let OfOwner {
            waiting_bytes,
            account,
            ..
        } = of_owner;
        waiting_bytes.set(waiting_bytes.get() + batch.bytes);
        let (batch, of_owner) = (Rc::clone(batch), Rc::clone(waiting_bytes));
        Rc::new(Share {
            _charge: account.share(batch.bytes),
            batch,
            of_owner,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of_owner.set(self.of_owner.get() - self.batch.bytes);
    }
}

impl Slot {
    /// Of what waits for it, whether or not others wait for the same.
    fn waiting_bytes(&self) -> usize {
        let bytes = |waits: &Waits| match waits {
            Waits::Events(share, _) => share.batch.bytes,
            Waits::End(_) => 0,
        };
        self.waiting.iter().map(bytes).sum()
    }
}

/// Events that not all of their subscribers have taken.
struct Batch {
    events: Arc<[Delivered]>,
    bytes: usize,
    waiting_bytes: Rc<Cell<usize>>,
    _charge: Charge,
}

impl Batch {
    fn new(events: &Arc<[Delivered]>, from: usize, sinks: &Sinks) -> Rc<Self> {
        let bytes = events[from..]
            .iter()
            .map(|event| event.payload.len() + EVENT_BYTES)
            .sum();
        let waiting_bytes = Rc::clone(&sinks.waiting_bytes);
        waiting_bytes.set(waiting_bytes.get() + bytes);
        let _charge = sinks.waiting.charge(bytes);
        Rc::new(Batch {
            // What is before it is not to be kept for those who are later.
            events: events[from..].into(),
            bytes,
            waiting_bytes,
            _charge,
        })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.waiting_bytes
            .set(self.waiting_bytes.get() - self.bytes);
    }
}

impl Sinks {
    pub fn new(waiting: Waiting) -> Self {
        Sinks {
            by_slot: RefCell::default(),
            next: Cell::default(),
            waiting_bytes: Rc::default(),
            of_owner: RefCell::default(),
            waiting,
        }
    }

    pub fn enter(&self, sink: Rc<dyn Sink>, owner: &Owner) -> u64 {
        let slot = self.next.replace(self.next.get() + 1);
        let (waiting, emptied) = (VecDeque::new(), Rc::default());
        let entry = Slot {
            sink,
            owner: owner.clone(),
            waiting,
            locating: Vec::new(),
            emptied,
        };
        self.by_slot.borrow_mut().insert(slot, entry);
        let first = || OfOwner {
            subscribers: 0,
            waiting_bytes: Rc::default(),
            account: self.waiting.account(&Reader::from(owner)),
        };
        self.of_owner
            .borrow_mut()
            .entry(owner.clone())
            .or_insert_with(first)
            .subscribers += 1;
        slot
    }

    pub fn leave(&self, slot: u64) {
        // Dropped when the map is free again: a sink may hold the last of what refers to it.
        let left = self.remove(slot);
        if let Some(left) = &left {
            left.emptied.notify_waiters();
        }
    }

    fn remove(&self, slot: u64) -> Option<Slot> {
        let removed = self.by_slot.borrow_mut().remove(&slot)?;
        let mut of_owner = self.of_owner.borrow_mut();
        if let Some(of_this) = of_owner.get_mut(&removed.owner) {
            of_this.subscribers -= 1;
            if of_this.subscribers == 0 {
                of_owner.remove(&removed.owner);
            }
        }
        Some(removed)
    }

    pub fn get(&self, slot: u64) -> Option<Rc<dyn Sink>> {
        self.by_slot
            .borrow()
            .get(&slot)
            .map(|slot| Rc::clone(&slot.sink))
    }

    /// Answered by [`Sinks::located`], and by the subscriber's end.
    pub fn locate(&self, slot: u64, asked: oneshot::Sender<Option<Cursor>>) {
        if let Some(slot) = self.by_slot.borrow_mut().get_mut(&slot) {
            slot.locating.push(asked);
        }
    }

    /// A subscriber has been served up to here, if nothing waits for it.
    pub fn located(&self, slot: u64, after: Option<Cursor>) {
        if let Some(slot) = self.by_slot.borrow_mut().get_mut(&slot) {
            let after = after.filter(|_| slot.waiting.is_empty());
            for asked in slot.locating.drain(..) {
                // Who has asked may be gone.
                let _ = asked.send(after);
            }
        }
    }

    /// A subscriber for whom nothing waits has everything up to the cursor.
    pub fn level(&self, slot: u64, with: Cursor) {
        let sink = match self.by_slot.borrow().get(&slot) {
            Some(slot) if slot.waiting.is_empty() => Rc::clone(&slot.sink),
            _ => return,
        };
        sink.level(with);
    }

    pub fn slots(&self) -> Vec<u64> {
        self.by_slot.borrow().keys().copied().collect()
    }

    /// Hands events from one on to subscribers, as far as they can take them; the rest waits.
    pub fn deliver(self: &Rc<Self>, slots: &[u64], events: &Arc<[Delivered]>, from: usize) {
        let mut batch = None;
        let mut shares: HashMap<Owner, Rc<Share>> = HashMap::new();
        for slot in slots {
            let (sink, owner, idle) = match self.by_slot.borrow().get(slot) {
                Some(slot) => (
                    Rc::clone(&slot.sink),
                    slot.owner.clone(),
                    slot.waiting.is_empty(),
                ),
                None => continue,
            };
            let taken = if idle {
                hand_over(sink.as_ref(), events, from)
            } else {
                from
            };
            if taken == events.len() {
                continue;
            }
            // Judged by what has waited before.
            if batch.is_none() {
                self.make_room();
            }
            if !shares.contains_key(&owner) {
                self.make_room_of(&owner);
            }
            let batch = batch.get_or_insert_with(|| Batch::new(events, from, self));
            let share = match shares.entry(owner) {
                Entry::Occupied(share) => Rc::clone(share.get()),
                Entry::Vacant(vacant) => {
                    let of_owner = self.of_owner.borrow();
                    // All of its subscribers may have been ended for what waited for them.
                    let Some(of_owner) = of_owner.get(vacant.key()) else {
                        continue;
                    };
                    Rc::clone(vacant.insert(Share::new(batch, of_owner)))
                }
            };
            self.wait(*slot, Waits::Events(share, taken - from));
        }
        if batch.is_some() {
            self.waiting.make_room();
        }
    }

    /// Ends subscribers until less waits on this worker than may: of the user for whom the most waits, those first for whom the
    /// most does.
    fn make_room(&self) {
        while self.waiting_bytes.get() >= MAX_WAITING_BYTES {
            let of_owner = |(owner, of_owner): (&Owner, &OfOwner)| {
                (owner.clone(), of_owner.waiting_bytes.get())
            };
            let most = self
                .of_owner
                .borrow()
                .iter()
                .map(of_owner)
                .max_by_key(|(_, bytes)| *bytes);
            let Some((owner, 1..)) = most else { return };
            if !self.end_those_of(&owner, || self.waiting_bytes.get() >= MAX_WAITING_BYTES) {
                // What it holds is just being handed over.
                return;
            }
        }
    }

    /// The same for a user for whom too much waits, here or elsewhere.
    fn make_room_of(&self, owner: &Owner) {
        let account = self
            .of_owner
            .borrow()
            .get(owner)
            .map(|of_owner| Arc::clone(&of_owner.account));
        if let Some(account) = account {
            self.end_those_of(owner, || account.is_full());
        }
    }

    /// Ends subscribers of a user for whom events wait, those first for whom the most do, while too many do. Whether one was.
    fn end_those_of(&self, owner: &Owner, too_many: impl Fn() -> bool) -> bool {
        if !too_many() {
            return false;
        }
        let mut slots: Vec<(usize, u64)> = {
            let by_slot = self.by_slot.borrow();
            let of_owner = by_slot.iter().filter(|(_, slot)| slot.owner == *owner);
            of_owner
                .map(|(id, slot)| (slot.waiting_bytes(), *id))
                .filter(|(bytes, _)| *bytes > 0)
                .collect()
        };
        slots.sort_unstable_by_key(|slot| Reverse(*slot));
        let mut ended = false;
        for (_, slot) in slots {
            if !too_many() {
                break;
            }
            tracing::debug!(
                "too many events wait for a user's clients to read them; a subscriber is ended"
            );
            self.end(
                slot,
                LiveError::Unavailable("the client reads too slowly".to_owned()),
            );
            ended = true;
        }
        ended
    }

    /// Ends a subscriber, after what waits for it.
    pub fn end_after_waiting(self: &Rc<Self>, slot: u64, reason: &LiveError) {
        let idle = self
            .by_slot
            .borrow()
            .get(&slot)
            .is_none_or(|slot| slot.waiting.is_empty());
        if idle {
            self.end(slot, reason.clone());
        } else {
            self.wait(slot, Waits::End(reason.clone()));
        }
    }

    /// Ends a subscriber at once.
    pub fn end(&self, slot: u64, reason: LiveError) {
        if let Some(Slot {
            sink,
            emptied,
            waiting,
            ..
        }) = self.remove(slot)
        {
            drop(waiting);
            emptied.notify_waiters();
            if reason == LiveError::Resync {
                RESYNCS.inc(());
            }
            sink.ended(reason);
        }
    }

    /// Returns when that holds for one of several.
    pub async fn one_is_drained(&self, slots: &[u64]) {
        if !slots.is_empty() {
            select_all(slots.iter().map(|slot| self.drained(*slot).boxed_local())).await;
        }
    }

    /// Returns when nothing waits for a subscriber and it can take more, or when it has left.
    pub async fn drained(&self, slot: u64) {
        loop {
            let (sink, emptied) = match self.by_slot.borrow().get(&slot) {
                Some(slot) => {
                    let emptied = (!slot.waiting.is_empty()).then(|| Rc::clone(&slot.emptied));
                    (Rc::clone(&slot.sink), emptied)
                }
                None => return,
            };
            match (emptied, sink.room()) {
                (Some(emptied), _) => emptied.notified().await,
                (None, Some(room)) => room.await,
                (None, None) => return,
            }
        }
    }

    fn wait(self: &Rc<Self>, slot: u64, what: Waits) {
        let first = match self.by_slot.borrow_mut().get_mut(&slot) {
            Some(slot) => {
                slot.waiting.push_back(what);
                slot.waiting.len() == 1
            }
            None => false,
        };
        if first {
            let sinks = Rc::clone(self);
            actix::spawn(async move { sinks.drain(slot).await });
        }
    }

    /// Hands over what waits for a subscriber, whenever it can take some.
    async fn drain(&self, slot: u64) {
        while let Some(sink) = self.get(slot) {
            if let Some(room) = sink.room() {
                room.await;
                continue;
            }
            let next = match self
                .by_slot
                .borrow()
                .get(&slot)
                .and_then(|slot| slot.waiting.front())
            {
                Some(Waits::Events(share, from)) => Ok((Rc::clone(share), *from)),
                Some(Waits::End(reason)) => Err(reason.clone()),
                None => return,
            };
            let (share, from) = match next {
                Ok(events) => events,
                Err(reason) => return self.end(slot, reason),
            };
            let events = &share.batch.events;
            let taken = hand_over(sink.as_ref(), events, from);
            let mut by_slot = self.by_slot.borrow_mut();
            let Some(entry) = by_slot.get_mut(&slot) else {
                return;
            };
            if taken < events.len() {
                entry.waiting[0] = Waits::Events(share, taken);
                continue;
            }
            entry.waiting.pop_front();
            if entry.waiting.is_empty() {
                entry.emptied.notify_waiters();
                return;
            }
        }
    }
}

/// From one event on, as many as there is room for. Which one is next.
fn hand_over(sink: &dyn Sink, events: &[Delivered], from: usize) -> usize {
    let mut next = from;
    while next < events.len() && sink.room().is_none() {
        sink.event(&events[next]);
        next += 1;
    }
    next
}

#[cfg(test)]
mod tests;
