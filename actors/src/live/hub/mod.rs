//! The `Hub`: has all groups of subscribers, and follows the log for them. One message at a time: while changes are delivered
//! nobody joins, so that each member begins at an exact position.

mod advance;
mod subscribe;
mod workers;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, AtomicResponse, Handler, Message, WrapFuture};
use gom_engine::events::Cursor;
use gom_engine::plan::Planner;
use tokio::time::timeout;

use super::budget::{Budgets, SERVICE_BUDGET};
use super::decide::{Counted, Decider};
use super::gathering::Gatherings;
use super::groups::{Groups, Interest, Member, Presence};
use super::local::LocalHub;
use super::log::{Log, LogState, Place};
use super::slow::SlowLane;
use super::turns::Turns;
use super::{Encode, LiveOptions, Shared};
use crate::database::{Database, StatementError, ThreadWork};
use gom_runtime::owner::Owner;
use gom_runtime::supervision::{Context, SupervisedActor};
use gom_telemetry::metrics::{ActorKind, FEED_DELIVERED};

/// Subscribers that read the log by themselves at the same time.
const CATCHING_UP: usize = 16;
/// How long a statement for a subscriber may take that reads the log by itself: others wait for it. One that takes longer
/// is run in the slow lane.
const CATCH_UP_LIMIT: Duration = Duration::from_millis(250);
/// How long a statement may take in the slow lane.
const SLOW_LIMIT: Duration = Duration::from_secs(1);

pub(super) struct Hub {
    pub core: Rc<Core>,
}

/// What the hub's tasks share.
pub(super) struct Core {
    pub decider: Decider,
    /// For those who arrive, with a connection of their own: they must not hold up those who are there.
    pub history: Decider,
    /// Groups that take longer than their users may, with a connection of their own.
    pub slow: SlowLane,
    pub budgets: Budgets,
    pub shared: Arc<Shared>,
    pub groups: RefCell<Groups>,
    /// Members on their way: they read the log until they have come to where the hub is.
    pub arriving: RefCell<HashSet<Member>>,
    /// Those of them that wait for others.
    pub gatherings: Gatherings,
    pub workers: RefCell<HashMap<u64, Addr<LocalHub>>>,
    /// Nothing before the feed has reached the database.
    pub epoch: Cell<Option<u64>>,
    pub place: Cell<Place>,
    /// The last position that is not kept any more, as far as the feed has reported.
    pub oldest: Cell<u64>,
    counted: Cell<Counted>,
    pub turns: Turns,
    /// The hub lives; else its tasks have nothing more to do.
    alive: Cell<bool>,
}

/// The log goes on up to here. Answered when all of it has been delivered.
#[derive(Message)]
#[rtype(result = "Result<(), StatementError>")]
pub(super) struct Advance(pub LogState);

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Subscribe {
    pub member: Member,
    pub outlet: Addr<LocalHub>,
    pub owner: Owner,
    pub interest: Interest,
    pub from: Option<Cursor>,
    pub presence: Presence,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Unsubscribe {
    pub member: Member,
}

impl Hub {
    pub fn new(
        options: &LiveOptions,
        database: &Database,
        planner: &Planner,
        encode: &Arc<Encode>,
        shared: Arc<Shared>,
    ) -> Self {
        shared.members.store(0, Ordering::Relaxed);
        shared.arriving.store(0, Ordering::Relaxed);
        // What one of the three does on this thread is not charged to a statement of another.
        let thread = ThreadWork::default();
        let log = |limit| Log::beside(database, &options.schema, limit, thread.clone());
        let decider = |limit: Duration| Decider {
            log: log(None),
            groups: log(Some(limit)),
            trusted: log(Some(limit.max(SERVICE_BUDGET))),
            planner: planner.clone(),
            encode: Arc::clone(encode),
            thread: thread.clone(),
        };
        Hub {
            core: Rc::new(Core {
                decider: decider(options.user_budget),
                history: decider(CATCH_UP_LIMIT),
                slow: SlowLane::new(decider(SLOW_LIMIT), options.max_lag),
                budgets: Budgets::new(options.user_budget),
                shared,
                groups: RefCell::default(),
                arriving: RefCell::default(),
                gatherings: Gatherings::default(),
                workers: RefCell::default(),
                epoch: Cell::new(None),
                place: Cell::new(Place::after(0)),
                oldest: Cell::new(0),
                counted: Cell::new((0, 0)),
                turns: Turns::new(CATCHING_UP),
                alive: Cell::new(true),
            }),
        }
    }
}

impl SupervisedActor for Hub {
    const KIND: ActorKind = ActorKind::Hub;
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Not in the actor's own context, which stands still while the hub delivers.
        actix::spawn(SlowLane::run(
            Rc::clone(&self.core),
            ctx.address().downgrade(),
        ));
        Hub::send_level_often(ctx);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Workers find out by the address that is published.
        self.core.alive.set(false);
        self.core.slow.wake();
    }
}

impl Handler<Advance> for Hub {
    type Result = AtomicResponse<Self, Result<(), StatementError>>;

    fn handle(&mut self, Advance(state): Advance, _: &mut Self::Context) -> Self::Result {
        let core = Rc::clone(&self.core);
        let advancing = async move { core.advance(state).await };
        AtomicResponse::new(Box::pin(advancing.into_actor(self)))
    }
}

impl Handler<Subscribe> for Hub {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, subscribe: Subscribe, ctx: &mut Self::Context) -> Self::Result {
        let core = Rc::clone(&self.core);
        let hub = ctx.address();
        let subscribing = async move { core.subscribe(subscribe, hub).await };
        AtomicResponse::new(Box::pin(subscribing.into_actor(self)))
    }
}

impl Handler<Unsubscribe> for Hub {
    type Result = ();

    fn handle(&mut self, Unsubscribe { member }: Unsubscribe, _: &mut Self::Context) {
        self.core.remove(member);
    }
}

impl Core {
    /// Where the hub is, if it is in this epoch.
    pub fn place_in(&self, epoch: u64) -> Option<Place> {
        (self.epoch.get() == Some(epoch)).then(|| self.place.get())
    }

    pub fn is_arriving(&self, member: Member) -> bool {
        self.arriving.borrow().contains(&member)
    }

    pub fn is_alive(&self) -> bool {
        self.alive.get()
    }

    /// Waits until the hub has moved on, or so long.
    pub async fn moved(&self, patience: Duration) {
        let mut head = self.shared.head.subscribe();
        let _ = timeout(patience, head.changed()).await;
    }

    /// The last whole transaction up to which the hub is. In the middle of one: the one before it.
    pub fn whole(&self) -> Option<Cursor> {
        let epoch = self.epoch.get()?;
        let place = self.place.get();
        if place.is_whole() {
            Some(place.cursor(epoch))
        } else {
            *self.shared.head.borrow()
        }
    }

    fn move_to(&self, epoch: u64, place: Place) {
        self.place.set(place);
        if place.is_whole() {
            FEED_DELIVERED.set((), place.position);
            self.shared.head.send_replace(Some(place.cursor(epoch)));
        }
    }
}

#[cfg(test)]
mod tests;
