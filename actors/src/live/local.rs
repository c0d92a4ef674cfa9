//! The `LocalHub`: hands over, on one worker's thread, what the hub has for the worker's subscribers.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, Handler, Message, ResponseFuture};
use futures::future::LocalBoxFuture;
use gom_engine::events::Cursor;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::answering::AnswerTurn;
use super::groups::{Interest, Member, Presence};
use super::hub::{Hub, Subscribe, Unsubscribe};
use super::locate::Locate;
use super::sinks::Sinks;
use super::{Delivered, Live, LiveError};
use gom_runtime::owner::Owner;
use gom_runtime::supervision::{Context, Supervised, SupervisedActor, post, supervise};
use gom_runtime::waiting::Waiting;
use gom_telemetry::metrics::ActorKind;

const REBUILDING: &str = "subscriptions are being rebuilt";
/// A message stands for an event of a whole group, or for one subscriber's end.
const MAILBOX: usize = 1 << 16;

/// How long the hub may take to find a subscriber.
const LOCATING: Duration = Duration::from_secs(2);

/// Where a subscriber's events go. Called on the worker's own thread; must not block.
pub trait Sink {
    /// It is subscribed: of what comes after the cursor, nothing is missed. Not called for subscribers that had a cursor.
    fn noted(&self, _after: Cursor) {}
    /// Everything up to the cursor has been handed over, whether or not any of it was for this one.
    fn level(&self, _with: Cursor) {}
    /// A change that the subscriber receives.
    fn event(&self, event: &Delivered);
    /// Nothing follows.
    fn ended(&self, reason: LiveError);
    /// Ready when the next event can be taken; `None`: now. Events wait for it, and so does anyone who reads the log for this
    /// subscriber alone.
    fn room(&self) -> Option<Room> {
        None
    }
}

/// Ready when a client has read enough of what waits for it, or is gone.
pub type Room = LocalBoxFuture<'static, ()>;

/// What one worker's subscribers are reached by.
#[derive(Clone)]
pub struct LocalLive {
    live: Live,
    sinks: Rc<Sinks>,
    posted: Rc<Posted>,
    actor: Supervised<LocalHub>,
    worker: u64,
    _watching: Rc<Watching>,
}

/// Which subscribers the hub of now knows, or will when it comes to their messages. One that has ended knows nobody any
/// more, whether it knew them or its mailbox held them: they are ended.
#[derive(Default)]
struct Posted {
    hub: RefCell<Option<Addr<Hub>>>,
    slots: RefCell<HashSet<u64>>,
}

impl Posted {
    /// There is this hub now, or none. Gives the slots of the one before, if it was another.
    fn is_now(&self, hub: Option<&Addr<Hub>>) -> HashSet<u64> {
        if self.hub.borrow().as_ref() == hub {
            return HashSet::new();
        }
        *self.hub.borrow_mut() = hub.cloned();
        self.slots.take()
    }
}

/// The task that watches for another hub, for as long as anybody needs it.
struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A subscriber's place; giving it up ends the subscription.
pub struct SubscriptionHandle {
    local: LocalLive,
    slot: u64,
    presence: Presence,
}

impl LocalLive {
    pub(super) fn start(live: Live, waiting: &Waiting) -> Self {
        static WORKERS: AtomicU64 = AtomicU64::new(0);
        let sinks = Rc::new(Sinks::new(waiting.clone()));
        let of_actor = Rc::clone(&sinks);
        let actor = supervise(MAILBOX, move || {
            // Subscribers that are there already were its predecessor's, whose mailbox is lost.
            end_all(&of_actor, of_actor.slots());
            LocalHub {
                sinks: Rc::clone(&of_actor),
            }
        });
        let posted = Rc::new(Posted::default());
        let watching = {
            let (hub, posted, sinks) = (live.hub.clone(), Rc::clone(&posted), Rc::clone(&sinks));
            actix::spawn(async move {
                loop {
                    let known = posted.hub.borrow().clone();
                    let Some(now) = hub.other_than(known.as_ref()).await else {
                        return;
                    };
                    drop(known);
                    let orphans = posted.is_now(now.as_ref());
                    end_all(&sinks, orphans);
                }
            })
        };
        let worker = WORKERS.fetch_add(1, Ordering::Relaxed);
        let _watching = Rc::new(Watching(watching));
        LocalLive {
            live,
            sinks,
            posted,
            actor,
            worker,
            _watching,
        }
    }

    /// What the workers share.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Waits until a live query may be answered: a user's are answered one after the other.
    pub async fn answer_turn(&self, owner: &Owner) -> AnswerTurn {
        self.live.answering.turn(owner).await
    }

    /// Subscribes, from now or from a cursor on. The sink may hear of its end at any time, also at once.
    pub fn subscribe(
        &self,
        owner: Owner,
        interest: Interest,
        from: Option<Cursor>,
        sink: Rc<dyn Sink>,
    ) -> SubscriptionHandle {
        let slot = self.sinks.enter(sink, &owner);
        let presence = Presence::new();
        let hub = self.live.hub.get();
        end_all(&self.sinks, self.posted.is_now(hub.as_ref()));
        let posted = match (hub, self.actor.get()) {
            (Some(hub), Some(outlet)) => {
                self.posted.slots.borrow_mut().insert(slot);
                let (member, presence) = (
                    Member {
                        worker: self.worker,
                        slot,
                    },
                    presence.clone(),
                );
                post(
                    &hub,
                    Subscribe {
                        member,
                        outlet,
                        owner,
                        interest,
                        from,
                        presence,
                    },
                )
                .map_err(|_| "too much is asked for at the same time")
            }
            _ => Err(REBUILDING),
        };
        if let Err(reason) = posted {
            self.sinks
                .end(slot, LiveError::Unavailable(reason.to_owned()));
        }
        SubscriptionHandle {
            local: self.clone(),
            slot,
            presence,
        }
    }
}

impl SubscriptionHandle {
    /// After this cursor the subscriber goes on, and misses nothing. It is `last`, of the last event that it has had, unless that
    /// may be forgotten soon: then it is up to where it has been served, also if nothing of it was for this one. Nothing if it is unknown, or if events still wait: then the cursor of its last event stands.
    pub fn position(&self, last: Option<Cursor>) -> impl Future<Output = Option<Cursor>> + 'static {
        let (asked, answer) = oneshot::channel();
        self.local.sinks.locate(self.slot, asked);
        let member = Member {
            worker: self.local.worker,
            slot: self.slot,
        };
        let posted = self.local.live.hub.post(Locate { member, last }).is_ok();
        async move {
            if !posted {
                return None;
            }
            timeout(LOCATING, answer).await.ok()?.ok()?
        }
    }
}

impl Drop for SubscriptionHandle {
    fn drop(&mut self) {
        // The hub finds it out at once, also while it delivers.
        self.presence.leave();
        self.local.sinks.leave(self.slot);
        self.local.posted.slots.borrow_mut().remove(&self.slot);
        // A hub that was rebuilt does not know the member, which does no harm.
        if let Some(hub) = self.local.live.hub.get() {
            leave(
                &hub,
                Member {
                    worker: self.local.worker,
                    slot: self.slot,
                },
            );
        }
    }
}

fn leave(hub: &actix::Addr<Hub>, member: Member) {
    if post(hub, Unsubscribe { member }).is_err() {
        // Full: it is waited for, so that a subscriber that has left is not served without end.
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
    /// What is before this one, they have had.
    pub from: usize,
}

/// A subscriber is known to the hub.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Noted {
    pub slot: u64,
    pub after: Cursor,
}

/// Up to where a subscriber has been served. It follows all that was sent to it before.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Located {
    pub slot: u64,
    pub after: Option<Cursor>,
}

/// Subscribers get nothing any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ended {
    pub slots: Vec<u64>,
    pub reason: LiveError,
}

/// Answered when the client of one of these subscribers has read all that was delivered to it but what its connection holds,
/// or is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Drained {
    pub slots: Arc<[u64]>,
}

/// The worker has taken no events for too long: the hub has forgotten its subscribers.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct GivenUp;

pub(super) struct LocalHub {
    pub sinks: Rc<Sinks>,
}

impl SupervisedActor for LocalHub {
    const KIND: ActorKind = ActorKind::LocalHub;
}

impl Actor for LocalHub {
    type Context = Context<Self>;
}

fn end_all(sinks: &Sinks, slots: impl IntoIterator<Item = u64>) {
    for slot in slots {
        sinks.end(slot, LiveError::Unavailable(REBUILDING.to_owned()));
    }
}

impl Handler<Deliver> for LocalHub {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, _: &mut Self::Context) {
        let Deliver {
            slots,
            events,
            from,
        } = deliver;
        self.sinks.deliver(&slots, &events, from);
    }
}

impl Handler<Drained> for LocalHub {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, drained: Drained, _: &mut Self::Context) -> Self::Result {
        let sinks = Rc::clone(&self.sinks);
        Box::pin(async move { sinks.one_is_drained(&drained.slots).await })
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

impl Handler<Located> for LocalHub {
    type Result = ();

    fn handle(&mut self, Located { slot, after }: Located, _: &mut Self::Context) {
        self.sinks.located(slot, after);
    }
}

impl Handler<Ended> for LocalHub {
    type Result = ();

    fn handle(&mut self, ended: Ended, _: &mut Self::Context) {
        for slot in ended.slots {
            self.sinks.end_after_waiting(slot, &ended.reason);
        }
    }
}

impl Handler<GivenUp> for LocalHub {
    type Result = ();

    fn handle(&mut self, _: GivenUp, _: &mut Self::Context) {
        end_all(&self.sinks, self.sinks.slots());
    }
}
