//! The slow lane: groups that take longer than their users may read the log by themselves, on a connection of their own,
//! one statement at a time and their users in rotation, until they are quick enough to be the hub's again. Anyone who falls
//! too far behind is ended.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::WeakAddr;
use futures::FutureExt;
use gom_engine::events::Cursor;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::behind::{Behind, Lane, TOGETHER};
use super::budget::Meter;
use super::decide::{Counted, Decider, Piece, last_cursor, own_fault};
use super::groups::GroupId;
use super::hub::{Core, Hub};
use super::join::{Joined, Progress, Rejoin};
use super::log::{Page, Place};
use super::{Delivered, LiveError};
use crate::database::StatementError;
use gom_runtime::owner::Owner;

/// A place is looked at again whether it can be served, if nothing else happens.
const PAUSE: Duration = Duration::from_millis(50);
/// While the database is away.
const AWAY: Duration = Duration::from_millis(100);
/// How old a page of the log may be that several places read.
const FRESH: Duration = Duration::from_secs(1);
/// A place of no more members is read for no faster than the quickest of their clients reads.
const PACED: usize = 64;

pub(super) struct SlowLane {
    decider: Decider,
    max_lag: Duration,
    lanes: RefCell<HashMap<Owner, Lane>>,
    rotation: RefCell<VecDeque<Owner>>,
    page: RefCell<Option<Rc<Read>>>,
    wake: Notify,
}

/// A page of the log, interpreted.
struct Read {
    from: (u64, Place, u64, Counted),
    when: Instant,
    pieces: Vec<Piece>,
    next: Place,
    counted: Counted,
}

/// What became of a place in its turn.
enum Turn {
    /// It has taken this long.
    Served(Duration),
    /// There is nothing to do for it now.
    Idle,
    /// It is the hub's again, or nobody wants it any more.
    Left,
}

impl SlowLane {
    pub fn new(decider: Decider, max_lag: Duration) -> Self {
        let (lanes, rotation) = (RefCell::default(), RefCell::default());
        SlowLane {
            decider,
            max_lag,
            lanes,
            rotation,
            page: RefCell::default(),
            wake: Notify::new(),
        }
    }

    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn enter(&self, owner: Owner, behind: Behind) {
        let mut lanes = self.lanes.borrow_mut();
        if !lanes.contains_key(&owner) {
            self.rotation.borrow_mut().push_back(owner.clone());
        }
        lanes.entry(owner).or_default().put(behind);
        self.wake();
    }

    /// Up to where a group has been served; nothing while it is being served.
    pub fn reached(&self, owner: &Owner, id: GroupId) -> Option<Cursor> {
        self.lanes.borrow().get(owner)?.reached(id)
    }

    /// Serves its groups for as long as the hub lives.
    pub async fn run(core: Rc<Core>, hub: WeakAddr<Hub>) {
        while core.is_alive() {
            let served = core.slow.round(&core, &hub).await;
            if served {
                continue;
            }
            if core.slow.lanes.borrow().is_empty() {
                core.slow.page.take();
                core.slow.wake.notified().await;
            } else {
                tokio::select! {
                    () = core.slow.wake.notified() => {}
                    () = core.moved(PAUSE) => {}
                }
            }
        }
    }

    /// One turn for each owner. Whether anybody was served.
    pub async fn round(&self, core: &Rc<Core>, hub: &WeakAddr<Hub>) -> bool {
        let mut served = false;
        let owners: Vec<Owner> = self.rotation.borrow().iter().cloned().collect();
        for owner in owners {
            served |= self.turn_of(&owner, core, hub).await;
            let mut lanes = self.lanes.borrow_mut();
            if lanes.get(&owner).is_some_and(Lane::is_done) {
                lanes.remove(&owner);
                self.rotation.borrow_mut().retain(|one| *one != owner);
            }
        }
        served
    }

    /// Serves the first place of an owner for which there is something to do.
    async fn turn_of(&self, owner: &Owner, core: &Rc<Core>, hub: &WeakAddr<Hub>) -> bool {
        let count = match self.lanes.borrow().get(owner) {
            Some(lane) if lane.rests_until.is_none_or(|until| until <= Instant::now()) => {
                lane.len()
            }
            _ => return false,
        };
        for _ in 0..count {
            let first = self.lanes.borrow_mut().get_mut(owner).and_then(Lane::take);
            let Some(mut behind) = first else {
                return false;
            };
            let began = Instant::now();
            let turn = AssertUnwindSafe(self.serve(&mut behind, owner, core, hub))
                .catch_unwind()
                .await;
            let turn = turn.unwrap_or_else(|_| {
                // The panic has been logged.
                Err(LiveError::Unavailable(
                    "reading an event has failed".to_owned(),
                ))
            });
            let turn = match turn {
                Ok(turn) => turn,
                Err(reason) => {
                    // What failed has taken its time as well: the owner's next place waits for the next turn.
                    for id in behind.ids() {
                        core.end(id, &reason).await;
                    }
                    self.rest(owner, began.elapsed());
                    return true;
                }
            };
            if matches!(turn, Turn::Left) {
                continue;
            }
            let mut lanes = self.lanes.borrow_mut();
            let Some(lane) = lanes.get_mut(owner) else {
                return false;
            };
            lane.put(behind);
            if let Turn::Served(took) = turn {
                drop(lanes);
                self.rest(owner, took);
                return true;
            }
        }
        false
    }

    /// A user is served again after as long as it was served.
    fn rest(&self, owner: &Owner, took: Duration) {
        if let (Owner::User(_), Some(lane)) = (owner, self.lanes.borrow_mut().get_mut(owner)) {
            lane.rests_until = Some(Instant::now() + took);
        }
    }

    async fn serve(
        &self,
        behind: &mut Behind,
        owner: &Owner,
        core: &Rc<Core>,
        hub: &WeakAddr<Hub>,
    ) -> Result<Turn, LiveError> {
        if !behind.settle(&core.groups) {
            return Ok(Turn::Left);
        }
        let now = Instant::now();
        // The hub has gone on to another epoch, perhaps before it knew of this group.
        let Some(goal) = core.place_in(behind.at.epoch) else {
            return Err(LiveError::Resync);
        };
        if behind.is_full(&core.groups) {
            (behind.level, behind.goal) = (now, None);
            return Ok(Turn::Idle);
        }
        match behind.goal {
            Some((place, when)) if behind.at.place >= place => {
                behind.level = when;
                behind.goal = Some((goal, now));
            }
            Some(_) => {}
            None => behind.goal = Some((goal, now)),
        }
        behind.has_caught_up |= behind.at.place >= goal;
        if behind.at.place < goal && now.saturating_duration_since(behind.level) > self.max_lag {
            return Err(self.too_far(behind));
        }
        if behind.stuck.is_some_and(|stuck| now < stuck.again) {
            return Ok(Turn::Idle);
        }
        let served = if behind.at.place < goal {
            match self.step(behind, core, goal).await {
                Ok(took) => Some(took),
                Err(StatementError::Unavailable(_)) => {
                    (behind.level, behind.goal) = (Instant::now(), None);
                    sleep(AWAY).await;
                    return Ok(Turn::Idle);
                }
                Err(error) => {
                    return Err(own_fault(error).unwrap_or(LiveError::Costly(self.max_lag)));
                }
            }
        } else {
            None
        };
        if behind.at.place >= goal {
            behind.has_caught_up = true;
            let now = Instant::now();
            let penalized = core.budgets.penalized_until(owner, now);
            if now >= behind.until.max(penalized.unwrap_or(now))
                && behind.settle(&core.groups)
                && behind.is_together()
                && self.rejoin(behind, hub).await?
            {
                return Ok(Turn::Left);
            }
        }
        Ok(served.map_or(Turn::Idle, Turn::Served))
    }

    fn too_far(&self, behind: &Behind) -> LiveError {
        let max_lag = self.max_lag;
        tracing::warn!(
            max_lag_ms = max_lag.as_millis(),
            "a costly subscription is too far behind and is ended"
        );
        match behind.stuck {
            Some(stuck) => LiveError::CostlyChange {
                statement: stuck.statement,
                max_lag,
            },
            None => LiveError::Costly(max_lag),
        }
    }

    /// Decides some changes for those who share a place. How long it has taken.
    async fn step(
        &self,
        behind: &mut Behind,
        core: &Rc<Core>,
        goal: Place,
    ) -> Result<Duration, StatementError> {
        let Some(read) = self.read(behind.at, goal).await? else {
            // Those who have come further may still be served: one of them has the place then.
            core.end(behind.id, &LiveError::Resync).await;
            return Ok(Duration::ZERO);
        };
        let (epoch, pieces) = (behind.at.epoch, &read.pieces);
        let ats = Decider::admitted(
            &behind.interest,
            pieces,
            &Decider::all(pieces),
            epoch,
            behind.at.after,
        );
        let part = &ats[..ats.len().min(behind.together)];
        let meter = Meter::unlimited();
        match self
            .decider
            .events(
                &behind.interest,
                pieces,
                part,
                (epoch, behind.at.after),
                &meter,
            )
            .await
        {
            Ok(events) => {
                self.decider.still_logged(pieces, epoch).await?;
                // They skip what they have had: of a log that has lost it, other changes have its positions.
                let lost = self
                    .decider
                    .log
                    .lost(&behind.stamps_ahead(read.next.position))
                    .await?;
                for id in behind.ahead_at(&lost) {
                    core.end(id, &LiveError::Resync).await;
                }
                self.deliver(behind, core, events).await;
                behind.stuck = None;
                behind.at.after = last_cursor(pieces, part, epoch).or(behind.at.after);
                if part.len() == ats.len() {
                    (behind.at.place, behind.at.counted) = (read.next, read.counted);
                    behind.together = TOGETHER;
                }
            }
            // Fewer may take less.
            Err(StatementError::Slow(_)) if part.len() > 1 => {
                behind.together = (part.len() / 8).max(1)
            }
            Err(StatementError::Slow(limit)) => behind.postpone(limit, Instant::now()),
            Err(error) => return Err(error),
        }
        Ok(meter.spent())
    }

    /// The page that follows; nothing if something of it is not kept any more.
    async fn read(&self, at: Progress, goal: Place) -> Result<Option<Rc<Read>>, StatementError> {
        let from = (at.epoch, at.place, at.place.nonce, at.counted);
        let known = self.page.borrow().clone();
        if let Some(known) = known.filter(|page| page.from == from && page.when.elapsed() < FRESH) {
            return Ok(Some(known));
        }
        let Page {
            state,
            proof,
            pieces,
            next,
        } = self.decider.log.read(at.place, goal.position).await?;
        if at.proved(state, proof).is_none() {
            return Ok(None);
        }
        let mut counted = at.counted;
        let pieces = self.decider.interpret(&pieces, &mut counted);
        let read = Rc::new(Read {
            from,
            when: Instant::now(),
            pieces,
            next,
            counted,
        });
        *self.page.borrow_mut() = Some(Rc::clone(&read));
        Ok(Some(read))
    }

    async fn deliver(&self, behind: &Behind, core: &Rc<Core>, events: Vec<Delivered>) {
        if events.is_empty() {
            return;
        }
        for (id, events) in behind.parts(events) {
            core.deliver(id, events).await;
        }
        // Those who come back from afar are read for no faster than the quickest of their clients reads. One that got nothing
        // of this waits for more.
        let clients = behind.clients(&core.groups);
        if clients.iter().map(|(_, slots)| slots.len()).sum::<usize>() > PACED {
            return;
        }
        for clients in clients {
            if behind.pace.wait_for(&clients) {
                let (core, pace) = (Rc::clone(core), behind.pace.clone());
                actix::spawn(async move {
                    core.drained(clients.0, Arc::clone(&clients.1)).await;
                    pace.have_room(&clients);
                    core.slow.wake();
                });
            }
        }
    }

    /// Whether the group is the hub's again.
    async fn rejoin(&self, behind: &mut Behind, hub: &WeakAddr<Hub>) -> Result<bool, LiveError> {
        // A hub that has ended has forgotten the group.
        let Some(hub) = hub.upgrade() else {
            return Ok(true);
        };
        match hub
            .send(Rejoin {
                id: behind.id,
                at: behind.at,
            })
            .await
        {
            Ok(Joined::Done) | Err(_) => Ok(true),
            Ok(Joined::NotYet | Joined::TooFar | Joined::Exhausted) => Ok(false),
            Ok(Joined::Costly(until)) => {
                behind.until = until;
                Ok(false)
            }
            Ok(Joined::Failed(reason)) => Err(reason),
        }
    }
}
