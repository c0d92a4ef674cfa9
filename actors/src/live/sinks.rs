//! One worker's subscribers, and what is delivered faster than their clients read it. A batch waits once, however many
//! subscribers wait for it; the memory of all batches that wait is bounded.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::local::Sink;
use super::{Delivered, LiveError};
use crate::metrics::RESYNCS;

/// Bytes of events that wait on one worker, over all its subscribers. While more waits, a subscriber that cannot take what is
/// delivered is ended: its client comes back with its last cursor.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// What an event takes beside its payload.
const EVENT_BYTES: usize = size_of::<Delivered>();

#[derive(Default)]
pub(super) struct Sinks {
    by_slot: RefCell<HashMap<u64, Slot>>,
    next: Cell<u64>,
    waiting_bytes: Rc<Cell<usize>>,
}

struct Slot {
    sink: Rc<dyn Sink>,
    waiting: VecDeque<Waiting>,
    /// Signalled when nothing waits any more, and when the subscriber has left.
    emptied: Rc<Notify>,
}

enum Waiting {
    /// From this event on.
    Events(Rc<Batch>, usize),
    End(LiveError),
}

/// Events that not all of their subscribers have taken.
struct Batch {
    events: Arc<[Delivered]>,
    bytes: usize,
    waiting_bytes: Rc<Cell<usize>>,
}

impl Batch {
    fn new(events: &Arc<[Delivered]>, waiting_bytes: &Rc<Cell<usize>>) -> Rc<Self> {
        let bytes = events.iter().map(|event| event.payload.len() + EVENT_BYTES).sum();
        waiting_bytes.set(waiting_bytes.get() + bytes);
        Rc::new(Batch { events: Arc::clone(events), bytes, waiting_bytes: Rc::clone(waiting_bytes) })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.waiting_bytes.set(self.waiting_bytes.get() - self.bytes);
    }
}

impl Sinks {
    pub fn enter(&self, sink: Rc<dyn Sink>) -> u64 {
        let slot = self.next.replace(self.next.get() + 1);
        let entry = Slot { sink, waiting: VecDeque::new(), emptied: Rc::default() };
        self.by_slot.borrow_mut().insert(slot, entry);
        slot
    }

    pub fn leave(&self, slot: u64) {
        // Dropped when the map is free again: a sink may hold the last of what refers to it.
        let left = self.by_slot.borrow_mut().remove(&slot);
        if let Some(left) = &left {
            left.emptied.notify_waiters();
        }
    }

    pub fn get(&self, slot: u64) -> Option<Rc<dyn Sink>> {
        self.by_slot.borrow().get(&slot).map(|slot| Rc::clone(&slot.sink))
    }

    pub fn slots(&self) -> Vec<u64> {
        self.by_slot.borrow().keys().copied().collect()
    }

    /// Hands events to subscribers, as far as they can take them; the rest waits.
    pub fn deliver(self: &Rc<Self>, slots: &[u64], events: &Arc<[Delivered]>) {
        let mut batch = None;
        for slot in slots {
            let (sink, idle) = match self.by_slot.borrow().get(slot) {
                Some(slot) => (Rc::clone(&slot.sink), slot.waiting.is_empty()),
                None => continue,
            };
            let taken = if idle { hand_over(sink.as_ref(), events, 0) } else { 0 };
            if taken == events.len() {
                continue;
            }
            // Judged by what has waited before.
            if batch.is_none() && self.waiting_bytes.get() >= MAX_WAITING_BYTES {
                tracing::debug!("too many events wait for clients to read them; a subscriber is ended");
                self.end(*slot, LiveError::Unavailable("the client reads too slowly".to_owned()));
                continue;
            }
            let batch = batch.get_or_insert_with(|| Batch::new(events, &self.waiting_bytes));
            self.wait(*slot, Waiting::Events(Rc::clone(batch), taken));
        }
    }

    /// Ends a subscriber, after what waits for it.
    pub fn end_after_waiting(self: &Rc<Self>, slot: u64, reason: &LiveError) {
        let idle = self.by_slot.borrow().get(&slot).is_none_or(|slot| slot.waiting.is_empty());
        if idle {
            self.end(slot, reason.clone());
        } else {
            self.wait(slot, Waiting::End(reason.clone()));
        }
    }

    /// Ends a subscriber at once.
    pub fn end(&self, slot: u64, reason: LiveError) {
        let ended = self.by_slot.borrow_mut().remove(&slot);
        if let Some(Slot { sink, emptied, .. }) = ended {
            emptied.notify_waiters();
            if reason == LiveError::Resync {
                RESYNCS.one(());
            }
            sink.ended(reason);
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

    fn wait(self: &Rc<Self>, slot: u64, what: Waiting) {
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
            let next = match self.by_slot.borrow().get(&slot).and_then(|slot| slot.waiting.front()) {
                Some(Waiting::Events(batch, from)) => Ok((Rc::clone(batch), *from)),
                Some(Waiting::End(reason)) => Err(reason.clone()),
                None => return,
            };
            let (batch, from) = match next {
                Ok(events) => events,
                Err(reason) => return self.end(slot, reason),
            };
            let taken = hand_over(sink.as_ref(), &batch.events, from);
            let mut by_slot = self.by_slot.borrow_mut();
            let Some(entry) = by_slot.get_mut(&slot) else { return };
            if taken < batch.events.len() {
                entry.waiting[0] = Waiting::Events(batch, taken);
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
mod tests {
    use bytes::Bytes;
    use gom_engine::events::Cursor;

    use super::super::local::Room;
    use super::*;

    /// Takes two events at a time.
    #[derive(Default)]
    struct Narrow {
        taken: RefCell<Vec<u64>>,
        ended: Cell<bool>,
        left: Cell<usize>,
        more: Rc<Notify>,
    }

    impl Narrow {
        fn read(&self) {
            self.left.set(2);
            self.more.notify_waiters();
        }
    }

    impl Sink for Narrow {
        fn event(&self, event: &Delivered) {
            self.left.set(self.left.get().checked_sub(1).expect("there was room"));
            self.taken.borrow_mut().push(event.cursor.position);
        }

        fn ended(&self, _: LiveError) {
            self.ended.set(true);
        }

        fn room(&self) -> Option<Room> {
            let more = Rc::clone(&self.more);
            (self.left.get() == 0).then(|| Box::pin(async move { more.notified().await }) as Room)
        }
    }

    fn events(positions: std::ops::Range<u64>, bytes: usize) -> Arc<[Delivered]> {
        let payload = Bytes::from(vec![b'x'; bytes]);
        positions
            .map(|position| Delivered {
                payload: payload.clone(),
                cursor: Cursor { epoch: 1, position, part: 0 },
            })
            .collect()
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[actix::test]
    async fn a_burst_is_handed_over_as_its_client_reads_in_order_and_the_end_comes_last() {
        let (sinks, sink) = (Rc::new(Sinks::default()), Rc::new(Narrow::default()));
        let slot = sinks.enter(Rc::clone(&sink) as Rc<dyn Sink>);
        sink.read();
        sinks.deliver(&[slot], &events(0..5, 10));
        sinks.deliver(&[slot], &events(5..7, 10));
        sinks.end_after_waiting(slot, &LiveError::Resync);
        assert_eq!(*sink.taken.borrow(), [0, 1]);
        let mut seen = 2;
        while !sink.ended.get() {
            settle().await;
            sink.read();
            settle().await;
            seen = (seen + 2).min(7);
            assert_eq!(sink.taken.borrow().len(), seen);
        }
        assert_eq!(*sink.taken.borrow(), (0..7).collect::<Vec<_>>());
        assert_eq!(sinks.waiting_bytes.get(), 0, "nothing is kept");
    }

    #[actix::test]
    async fn whoever_reads_the_log_for_a_subscriber_waits_for_its_client() {
        let (sinks, sink) = (Rc::new(Sinks::default()), Rc::new(Narrow::default()));
        let slot = sinks.enter(Rc::clone(&sink) as Rc<dyn Sink>);
        sinks.deliver(&[slot], &events(0..3, 10));
        let of_wait = Rc::clone(&sinks);
        let waiting = actix::spawn(async move { of_wait.drained(slot).await });
        for _ in 0..2 {
            settle().await;
            assert!(!waiting.is_finished());
            sink.read();
        }
        settle().await;
        assert!(waiting.is_finished());
        sink.left.set(0);
        let of_wait = Rc::clone(&sinks);
        sinks.deliver(&[slot], &events(3..9, 10));
        let waiting = actix::spawn(async move { of_wait.drained(slot).await });
        settle().await;
        sinks.leave(slot);
        settle().await;
        assert!(waiting.is_finished(), "nobody waits for one that has left");
    }

    #[actix::test]
    async fn what_waits_is_counted_once_for_all_its_subscribers_and_bounded() {
        let sinks = Rc::new(Sinks::default());
        let all: Vec<_> = (0..100).map(|_| Rc::new(Narrow::default())).collect();
        let slots: Vec<u64> = all.iter().map(|sink| sinks.enter(Rc::clone(sink) as Rc<dyn Sink>)).collect();
        let megabyte = 1024 * 1024;
        sinks.deliver(&slots, &events(0..10, megabyte));
        assert!(sinks.waiting_bytes.get() < 11 * megabyte);
        for _ in 0..10 {
            sinks.deliver(&slots[..1], &events(10..20, megabyte));
        }
        assert!(all[0].ended.get(), "a subscriber that takes nothing is ended");
        assert!(sinks.waiting_bytes.get() <= MAX_WAITING_BYTES + 11 * megabyte);
        assert!(all[1..].iter().all(|sink| !sink.ended.get()));
    }
}
