//! The `LocalHub`: hands over, on one worker's thread, what the hub has for the worker's subscribers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::{Actor, Handler, Message};
use gom_engine::events::Cursor;

use super::groups::{Interest, Member};
use super::hub::{Hub, Subscribe, Unsubscribe};
use super::{Delivered, Live, LiveError};
use crate::metrics::{ActorKind, RESYNCS};
use crate::watch::{Context, Published, Watched, post, watch};

/// A message stands for an event of a whole group, or for one subscriber's end.
const MAILBOX: usize = 1 << 16;

/// Where a subscriber's events go. Called on the worker's own thread; must not block.
pub trait Sink {
    /// It is subscribed: of what comes after the cursor, nothing is missed. Not told to those who had a cursor.
    fn noted(&self, _after: Cursor) {}
    fn event(&self, event: &Delivered);
    /// Nothing follows.
    fn ended(&self, reason: LiveError);
}

/// What one worker's subscribers are reached by.
#[derive(Clone)]
pub struct LocalLive {
    live: Live,
    sinks: Rc<Sinks>,
    actor: Published<LocalHub>,
    worker: u64,
}

#[derive(Default)]
struct Sinks {
    by_slot: RefCell<HashMap<u64, Rc<dyn Sink>>>,
    next: Cell<u64>,
}

impl Sinks {
    fn get(&self, slot: u64) -> Option<Rc<dyn Sink>> {
        self.by_slot.borrow().get(&slot).cloned()
    }

    fn end(&self, slot: u64, reason: LiveError) {
        let sink = self.by_slot.borrow_mut().remove(&slot);
        if let Some(sink) = sink {
            if reason == LiveError::Resync {
                RESYNCS.one(());
            }
            sink.ended(reason);
        }
    }
}

/// A subscriber's place; giving it up ends the subscription.
pub struct Ticket {
    local: LocalLive,
    slot: u64,
}

impl LocalLive {
    pub(super) fn start(live: Live) -> Self {
        static WORKERS: AtomicU64 = AtomicU64::new(0);
        let sinks = Rc::new(Sinks::default());
        let of_actor = Rc::clone(&sinks);
        let actor = watch(MAILBOX, move || LocalHub { sinks: Rc::clone(&of_actor) });
        LocalLive { live, sinks, actor, worker: WORKERS.fetch_add(1, Ordering::Relaxed) }
    }

    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Subscribes, from now or from a cursor on. The sink may hear of its end at any time, also at once.
    pub fn subscribe(&self, interest: Interest, from: Option<Cursor>, sink: Rc<dyn Sink>) -> Ticket {
        let slot = self.sinks.next.replace(self.sinks.next.get() + 1);
        self.sinks.by_slot.borrow_mut().insert(slot, sink);
        let asked = match (self.live.hub.get(), self.actor.get()) {
            (Some(hub), Some(outlet)) => {
                let member = Member { worker: self.worker, slot };
                post(&hub, Subscribe { member, outlet, interest, from }).is_ok()
            }
            _ => false,
        };
        if !asked {
            let reason = LiveError::Unavailable("too much is asked for at the same time".to_owned());
            self.sinks.end(slot, reason);
        }
        Ticket { local: self.clone(), slot }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.local.sinks.by_slot.borrow_mut().remove(&self.slot);
        // A hub that was rebuilt does not know the member, which does no harm.
        if let Some(hub) = self.local.live.hub.get() {
            leave(&hub, Member { worker: self.local.worker, slot: self.slot });
        }
    }
}

fn leave(hub: &actix::Addr<Hub>, member: Member) {
    if post(hub, Unsubscribe { member }).is_err() {
        // Full: it is waited for, so that nobody is served for ever.
        let left = hub.send(Unsubscribe { member });
        actix::spawn(async move {
            let _ = left.await;
        });
    }
}

/// Events for subscribers of this worker, all of one group, in order.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Deliver {
    pub slots: Arc<[u64]>,
    pub events: Arc<[Delivered]>,
}

/// A subscriber is known to the hub.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Noted {
    pub slot: u64,
    pub after: Cursor,
}

/// Subscribers get nothing any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ended {
    pub slots: Vec<u64>,
    pub reason: LiveError,
}

/// The hub has died, and knows nobody any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct HubGone;

pub(super) struct LocalHub {
    sinks: Rc<Sinks>,
}

impl Watched for LocalHub {
    const KIND: ActorKind = ActorKind::LocalHub;
}

impl Actor for LocalHub {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        // Whoever there is already was its predecessor's, whose mailbox is lost.
        self.end_all();
    }
}

impl LocalHub {
    fn end_all(&self) {
        let slots: Vec<u64> = self.sinks.by_slot.borrow().keys().copied().collect();
        for slot in slots {
            self.sinks.end(slot, LiveError::Unavailable("subscriptions are being rebuilt".to_owned()));
        }
    }
}

impl Handler<Deliver> for LocalHub {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, _: &mut Self::Context) {
        for slot in deliver.slots.iter() {
            // Not held while it is called: it may give up its place.
            if let Some(sink) = self.sinks.get(*slot) {
                for event in deliver.events.iter() {
                    sink.event(event);
                }
            }
        }
    }
}

impl Handler<Noted> for LocalHub {
    type Result = ();

    fn handle(&mut self, noted: Noted, _: &mut Self::Context) {
        if let Some(sink) = self.sinks.get(noted.slot) {
            sink.noted(noted.after);
        }
    }
}

impl Handler<Ended> for LocalHub {
    type Result = ();

    fn handle(&mut self, ended: Ended, _: &mut Self::Context) {
        for slot in ended.slots {
            self.sinks.end(slot, ended.reason.clone());
        }
    }
}

impl Handler<HubGone> for LocalHub {
    type Result = ();

    fn handle(&mut self, _: HubGone, _: &mut Self::Context) {
        self.end_all();
    }
}
