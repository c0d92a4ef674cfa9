//! The `Hub`: knows who wants what, and follows the log for them. One message at a time: while changes are delivered
//! nobody joins, so that whoever joins knows exactly from where on.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::dev::SendError;
use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, AtomicResponse, Handler, Message, WrapFuture,
};
use bytes::Bytes;
use gom_engine::events::Cursor;
use gom_engine::plan::Planner;
use tokio::time::{Instant, timeout};

use super::behind::Behind;
use super::budget::{Budgets, SERVICE_BUDGET};
use super::catch_up::{Arriving, catch_up};
use super::decide::{Counted, Decided, Decider, Piece, Wanted};
use super::groups::{GroupId, Groups, Interest, Member, Presence};
use super::join::Progress;
use super::local::{Deliver, Drained, Ended, GivenUp, LocalHub, Noted};
use super::log::{Log, LogState, Page, Place};
use super::slow::SlowLane;
use super::turns::Turns;
use super::{Delivered, Encode, LiveError, LiveOptions, Shared};
use crate::database::{Database, LineError, ThreadWork};
use gom_runtime::crash::crash_point;
use gom_runtime::owner::Owner;
use gom_runtime::supervision::{Context, SupervisedActor, post};
use gom_telemetry::metrics::{ActorKind, FEED_DELIVERED};

/// Subscribers that read the log by themselves at the same time.
const CATCHING_UP: usize = 16;
/// How long a statement for a subscriber may take that reads the log by itself: others wait for it. One that takes longer
/// is run in the slow lane.
const CATCH_UP_LIMIT: Duration = Duration::from_millis(250);
/// How long a statement may take in the slow lane.
const SLOW_LIMIT: Duration = Duration::from_secs(1);
/// How long a worker's mailbox may stay full before its subscribers are given up.
const TIMEOUT: Duration = Duration::from_secs(5);

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
    pub workers: RefCell<HashMap<u64, Addr<LocalHub>>>,
    /// Nothing before the feed has reached the database.
    pub epoch: Cell<Option<u64>>,
    pub place: Cell<Place>,
    /// The last position that is not kept any more, as far as the feed has told.
    pub oldest: Cell<u64>,
    counted: Cell<Counted>,
    pub turns: Turns,
    /// The hub lives; else its tasks have nothing more to do.
    alive: Cell<bool>,
}

/// The log goes on up to here. Answered when all of it has been delivered.
#[derive(Message)]
#[rtype(result = "Result<(), LineError>")]
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
        Hub::tell_level_often(ctx);
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
    type Result = AtomicResponse<Self, Result<(), LineError>>;

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
        // Not in the actor's own context, which stands still while the hub delivers: an answer that nobody takes holds up
        // all that follow it on a connection.
        let spawned = |arriving: Option<_>, _: &mut Self, _: &mut Context<Self>| {
            if let Some(arriving) = arriving {
                actix::spawn(arriving);
            }
        };
        AtomicResponse::new(Box::pin(subscribing.into_actor(self).map(spawned)))
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

    fn move_to(&self, epoch: u64, place: Place) {
        self.place.set(place);
        if place.is_whole() {
            FEED_DELIVERED.set((), place.position);
            self.shared
                .head
                .send_replace(Some(Cursor::after(epoch, place.position)));
        }
    }

    async fn advance(&self, state: LogState) -> Result<(), LineError> {
        self.oldest.set(state.oldest);
        let same = self.epoch.get() == Some(state.epoch);
        if !same || state.has_forgotten_after(self.place.get()) {
            return self.restart(state).await;
        }
        if Place::after(state.position) <= self.place.get() {
            return Ok(());
        }
        if self.groups.borrow().is_idle() {
            self.move_to(state.epoch, Place::after(state.position));
            return Ok(());
        }
        while self.place.get() != Place::after(state.position) {
            crash_point("hub-advance");
            let Page {
                state: now,
                pieces,
                next,
            } = self
                .decider
                .log
                .read(self.place.get(), state.position)
                .await?;
            if now.epoch != state.epoch || now.position < state.position {
                // Another database, or one that was restored: the feed finds out which.
                return Err(LineError::Unavailable(
                    "the change log is not the one that it was".to_owned(),
                ));
            }
            if now.has_forgotten_after(self.place.get()) {
                // It was trimmed beneath us, perhaps in the middle of a transaction that comes in pages.
                return self.restart(now).await;
            }
            let mut counted = self.counted.get();
            let pieces = self.decider.interpret(&pieces, &mut counted);
            self.distribute(&pieces, state.epoch).await?;
            self.counted.set(counted);
            self.move_to(state.epoch, next);
        }
        Ok(())
    }

    /// Goes on from now. Members are of an epoch that is over, or of a time that is forgotten.
    async fn restart(&self, state: LogState) -> Result<(), LineError> {
        self.epoch.set(Some(state.epoch));
        self.move_to(state.epoch, Place::after(state.position));
        // The next transaction may have the position of one that was counted.
        self.counted.set((0, 0));
        let ids = self.groups.borrow().ids();
        for id in ids {
            let is_touch = self
                .groups
                .borrow()
                .get(id)
                .is_some_and(|g| matches!(g.interest, Interest::Touch(_)));
            if is_touch {
                // A live query has no cursor: it is answered again, and has lost nothing.
                let cursor = Cursor::after(state.epoch, state.position);
                self.deliver(
                    id,
                    vec![Delivered {
                        payload: Bytes::new(),
                        cursor,
                    }],
                )
                .await;
            } else {
                self.end(id, &LiveError::Resync).await;
            }
        }
        Ok(())
    }

    /// Publishes how many members there are, by which the feed knows whether anybody listens.
    pub fn count(&self) {
        if self.alive.get() {
            let arriving = self.arriving.borrow().len();
            self.shared.arriving.store(arriving, Ordering::Relaxed);
            self.shared
                .members
                .store(self.groups.borrow().members() + arriving, Ordering::Relaxed);
        }
    }

    /// Delivers all of it or, if the database fails meanwhile, nothing: then it is done again. What takes longer than its
    /// user may is left to the slow lane.
    async fn distribute(&self, pieces: &[Piece], epoch: u64) -> Result<(), LineError> {
        let candidates = self.decider.candidates(&self.groups, pieces).await?;
        let wanted = {
            let groups = self.groups.borrow();
            let of_group = |(id, ats): (GroupId, _)| {
                let group = groups.get(id)?;
                let (interest, owner) = (group.interest.clone(), group.owner.clone());
                Some(Wanted {
                    id,
                    interest,
                    owner,
                    ats,
                })
            };
            candidates.into_iter().filter_map(of_group).collect()
        };
        let decided = self
            .decider
            .of_groups(wanted, pieces, epoch, &self.budgets, &self.groups)
            .await?;
        self.decider.still_logged(pieces, epoch).await?;
        for (id, decided) in decided {
            match decided {
                Decided::Events(events) => self.deliver(id, events).await,
                Decided::Failed(reason) => self.end(id, &reason).await,
                Decided::Costly(until) => self.detach(id, epoch, until),
            }
        }
        Ok(())
    }

    /// Leaves a group to the slow lane, from where the hub is.
    fn detach(&self, id: GroupId, epoch: u64, until: Instant) {
        let found = self
            .groups
            .borrow()
            .get(id)
            .map(|group| (group.interest.clone(), group.owner.clone()));
        let Some((interest, owner)) = found else {
            return;
        };
        self.groups.borrow_mut().detach(id);
        let at = Progress {
            epoch,
            place: self.place.get(),
            counted: self.counted.get(),
            after: None,
        };
        self.slow
            .enter(owner, Behind::level_with_the_hub(id, interest, at, until));
    }

    /// Hands events to all members of a group.
    pub async fn deliver(&self, id: GroupId, events: Vec<Delivered>) {
        if events.is_empty() {
            return;
        }
        let events: Arc<[_]> = events.into();
        let slots = self.groups.borrow_mut().slots(id);
        for (worker, slots) in slots {
            self.send(
                worker,
                Deliver {
                    slots,
                    events: Arc::clone(&events),
                },
            )
            .await;
        }
    }

    /// To a worker; if it takes nothing for too long, its subscribers are given up: they come back with their cursors.
    pub async fn send<M>(&self, worker: u64, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        LocalHub: Handler<M>,
    {
        let Some(outlet) = self.workers.borrow().get(&worker).cloned() else {
            return;
        };
        let message = match post(&outlet, message) {
            Ok(()) => return,
            Err(SendError::Full(message) | SendError::Closed(message)) => message,
        };
        if !matches!(timeout(TIMEOUT, outlet.send(message)).await, Ok(Ok(()))) {
            self.give_up(worker);
        }
    }

    /// Waits until the client of one of these members of a worker has read what was delivered to it. A client that reads
    /// nothing is disconnected, which ends this.
    pub async fn drained(&self, worker: u64, slots: Arc<[u64]>) {
        let outlet = self.workers.borrow().get(&worker).cloned();
        if let Some(outlet) = outlet {
            // A worker that has ended has no members.
            let _ = outlet.send(Drained { slots }).await;
        }
    }

    fn give_up(&self, worker: u64) {
        tracing::warn!(
            worker,
            "a worker takes no events; its subscribers are given up"
        );
        let arriving: Vec<Member> = self
            .arriving
            .borrow()
            .iter()
            .filter(|member| member.worker == worker)
            .copied()
            .collect();
        let members = self.groups.borrow_mut().of_worker(worker);
        for member in members.into_iter().chain(arriving) {
            self.remove(member);
        }
        if let Some(outlet) = self.workers.borrow_mut().remove(&worker) {
            // However long it takes: its subscribers must hear of it, to come back.
            let given_up = outlet.send(GivenUp);
            actix::spawn(async move {
                let _ = given_up.await;
            });
        }
    }

    pub async fn end(&self, id: GroupId, reason: &LiveError) {
        let members = self.groups.borrow_mut().dissolve(id);
        self.count();
        let mut of_worker: HashMap<u64, Vec<u64>> = HashMap::new();
        for member in members {
            of_worker
                .entry(member.worker)
                .or_default()
                .push(member.slot);
        }
        for (worker, slots) in of_worker {
            self.send(
                worker,
                Ended {
                    slots,
                    reason: reason.clone(),
                },
            )
            .await;
        }
    }

    /// Ends a member that has not arrived.
    pub async fn end_arriving(&self, member: Member, reason: LiveError) {
        if self.arriving.borrow_mut().remove(&member) {
            self.count();
            self.send(
                member.worker,
                Ended {
                    slots: vec![member.slot],
                    reason,
                },
            )
            .await;
        }
    }

    fn remove(&self, member: Member) {
        if self.groups.borrow_mut().remove(member) || self.arriving.borrow_mut().remove(&member) {
            self.count();
        }
    }

    /// The first subscriber may come before the feed has told anything.
    async fn known_epoch(&self) -> Result<u64, LineError> {
        if let Some(epoch) = self.epoch.get() {
            return Ok(epoch);
        }
        let state = self.decider.log.open().await?;
        self.epoch.set(Some(state.epoch));
        self.move_to(state.epoch, Place::after(state.position));
        Ok(state.epoch)
    }

    /// Lets a member in at once, if it wants what comes from now on; else gives the task that brings it here.
    async fn subscribe(
        self: Rc<Self>,
        subscribe: Subscribe,
        hub: Addr<Hub>,
    ) -> Option<impl Future<Output = ()>> {
        let Subscribe {
            member,
            outlet,
            owner,
            interest,
            from,
            presence,
        } = subscribe;
        self.workers.borrow_mut().insert(member.worker, outlet);
        self.arriving.borrow_mut().insert(member);
        self.count();
        let epoch = match self.known_epoch().await {
            Ok(epoch) => epoch,
            Err(error) => {
                let reason = match error {
                    LineError::Rejected(cause) => {
                        tracing::warn!(cause, "the change log cannot be opened");
                        LiveError::Unlogged
                    }
                    error => LiveError::Unavailable(error.to_string()),
                };
                self.end_arriving(member, reason).await;
                return None;
            }
        };
        if let Some(from) = from {
            return Some(catch_up(
                self,
                hub,
                Arriving {
                    member,
                    owner,
                    interest,
                    presence,
                },
                from,
            ));
        }
        if self.groups.borrow().is_idle() {
            // Nobody has listened, so nobody has looked: what was committed before is none of its business.
            match self.decider.log.stamp().await {
                Ok(position) => {
                    self.shared.furthest.reached(epoch, position);
                    self.move_to(epoch, Place::after(position.max(self.place.get().position)));
                }
                Err(error) => {
                    self.end_arriving(member, LiveError::Unavailable(error.to_string()))
                        .await;
                    return None;
                }
            }
        }
        let place = self.place.get();
        let noted = |position| Noted {
            slot: member.slot,
            after: Cursor::after(epoch, position),
        };
        if matches!(interest, Interest::Events(_)) && !place.is_whole() {
            // A large transaction has been delivered in part, which this one must not miss: it reads all of it by itself.
            let noted = noted(place.position.saturating_sub(1));
            let from = noted.after;
            self.send(member.worker, noted).await;
            return Some(catch_up(
                self,
                hub,
                Arriving {
                    member,
                    owner,
                    interest,
                    presence,
                },
                from,
            ));
        }
        self.arriving.borrow_mut().remove(&member);
        self.groups
            .borrow_mut()
            .add(member, interest, &owner, presence);
        self.count();
        self.send(member.worker, noted(place.position)).await;
        None
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
