//! Subscribers that come back with a cursor read the log by themselves, equal ones together, until they have come close to
//! where the hub is, which then takes the last step for them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use gom_engine::events::Cursor;
use tokio::time::{Instant, sleep, timeout};

use super::budget::Meter;
use super::cohort::{Cohort, Portion, Traveller};
use super::decide::{Counted, Decider, Piece, last_cursor, own_fault, trimmed};
use super::groups::Member;
use super::hub::{Core, Hub};
use super::join::{Join, Joined, Progress};
use super::local::Deliver;
use super::log::{LogState, Page, Place, Stamp};
use super::turns::Turn;
use super::{Delivered, LiveError};
use crate::database::StatementError;
use gom_runtime::crash::crash_point;

/// How long the database may be away before a subscriber is sent away.
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// How long several wait for the clients of all to read. Whose client takes longer goes on later, without them.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) struct CatchUp {
    core: Rc<Core>,
    hub: Addr<Hub>,
    pub cohort: Cohort,
}

/// What a page of the log has for those who read it together.
pub(super) enum Step {
    Events {
        events: Vec<Delivered>,
        next: Place,
        counted: Counted,
        /// Of the last change that was decided.
        last: Option<Cursor>,
        /// Stamps of those further on which the log does not have.
        lost: BTreeSet<Stamp>,
    },
    /// Deciding takes too long here.
    Costly,
    /// What follows the cursor cannot be decided.
    Failed(LiveError),
    Forgotten,
}

/// How they go on.
pub(super) enum Way {
    /// Events were sent to these members. The hub was at this place before.
    Read {
        served: Vec<Member>,
        goal: Place,
    },
    /// Nothing is left to be read.
    Join,
    /// When the hub has moved on.
    Wait,
    Again,
}

impl CatchUp {
    pub fn new(core: &Rc<Core>, hub: &Addr<Hub>, cohort: Cohort) -> Self {
        let (core, hub) = (Rc::clone(core), hub.clone());
        CatchUp { core, hub, cohort }
    }

    pub fn spawn(self) {
        actix::spawn(self.go_on(Way::Again));
    }

    /// Reads the first page. What follows is done by a task.
    pub async fn set_off(mut self, turn: Turn) {
        match AssertUnwindSafe(self.step(turn)).catch_unwind().await {
            Ok(Ok(way)) if !self.cohort.is_empty() => {
                actix::spawn(self.go_on(way));
            }
            Ok(Ok(_)) => {}
            Ok(Err(reason)) => self.end(reason).await,
            Err(_) => self.end(has_panicked()).await,
        }
    }

    async fn go_on(mut self, way: Way) {
        match AssertUnwindSafe(self.go(way)).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => self.end(reason).await,
            Err(_) => self.end(has_panicked()).await,
        }
    }

    /// Goes until all have joined, have left or have gone another way.
    ///
    /// # Errors
    /// Why all that are left are to be ended.
    pub async fn go(&mut self, mut way: Way) -> Result<(), LiveError> {
        loop {
            self.follow(way).await?;
            if self.cohort.is_empty() {
                return Ok(());
            }
            // For one step: others are waiting, and anyone who waits for its client to read holds up nobody.
            let turn = self.core.turns.take_any(&self.cohort.owners()).await;
            way = self.step(turn).await?;
        }
    }

    async fn end(&self, reason: LiveError) {
        for member in self.cohort.members() {
            self.core.end_arriving(member, reason.clone()).await;
        }
    }

    async fn resync(&self, lost: Vec<Traveller>) {
        for traveller in lost {
            let member = traveller.arriving.member;
            self.core.end_arriving(member, LiveError::Resync).await;
        }
    }

    fn forget_those_who_left(&mut self) {
        let core = &self.core;
        self.cohort.retain(|Traveller { arriving, .. }| {
            core.is_arriving(arriving.member) && arriving.presence.is_there()
        });
    }

    /// Those whose owner has taken too much go on in the slow lane.
    fn send_penalized_away(&mut self) {
        let core = &self.core;
        let now = Instant::now();
        self.cohort.retain(|Traveller { arriving, at }| {
            let until = core.budgets.penalized_until(&arriving.owner, now);
            if let Some(until) = until {
                core.go_slow(arriving.clone(), *at, until);
            }
            until.is_none()
        });
    }

    /// Serves a page to those whom it concerns.
    async fn step(&mut self, turn: Turn) -> Result<Way, LiveError> {
        self.forget_those_who_left();
        if self.cohort.is_empty() {
            return Ok(Way::Again);
        }
        // Asked for before each step: what is forgotten meanwhile was not forgotten yet when it was read.
        let stamps = self.cohort.stamps();
        let (state, proofs) =
            patiently(async || self.core.history.log.prove(&stamps).await).await?;
        let lost = self.cohort.prove(state, &proofs);
        self.resync(lost).await;
        self.forget_those_who_left();
        // The hub is of another epoch until its feed has found out that there is a new one: it is no goal then.
        let Some(goal) = self.core.place_in(state.epoch) else {
            return Ok(Way::Wait);
        };
        if self
            .cohort
            .least()
            .is_some_and(|least| least.at.place >= goal)
        {
            return Ok(Way::Join);
        }
        self.send_penalized_away();
        let Some(at) = self.cohort.least().map(|least| least.at) else {
            return Ok(Way::Again);
        };
        crash_point("catch-up");
        let reading = AssertUnwindSafe(patiently(async || self.read(at, goal).await));
        // What cannot be decided concerns those who have it before them, and perhaps not those who have come further.
        let read = reading.catch_unwind().await;
        match read.unwrap_or_else(|_| Ok(Step::Failed(has_panicked())))? {
            Step::Events {
                events,
                next,
                counted,
                last,
                lost,
            } => {
                drop(turn);
                if next <= at.place {
                    // The log ends before the hub's place, until the hub finds that it has lost what was there.
                    return Ok(Way::Wait);
                }
                let lost = self.cohort.part_of(&lost, next);
                self.resync(lost).await;
                // A page from here on is of no use to those who are further: they need not wait for the others.
                let ahead = self.cohort.part(|one| one.at.place > next);
                for cohort in Cohort::apart(ahead) {
                    CatchUp::new(&self.core, &self.hub, cohort).spawn();
                }
                let portions = self.cohort.advance(&events, next, counted, last);
                let served = self.core.deliver_portions(portions, events).await;
                Ok(Way::Read { served, goal })
            }
            Step::Costly => {
                self.send_costly_away();
                Ok(Way::Again)
            }
            Step::Failed(reason) => {
                for failed in self.cohort.part_with_least() {
                    let member = failed.arriving.member;
                    self.core.end_arriving(member, reason.clone()).await;
                }
                Ok(Way::Again)
            }
            // It is found out next whom this concerns.
            Step::Forgotten => Ok(Way::Wait),
        }
    }

    /// To the slow lane, as each would have to go by itself.
    fn send_costly_away(&mut self) {
        let mut penalized = HashMap::new();
        for Traveller { arriving, at } in self.cohort.part_with_least() {
            let owner = arriving.owner.clone();
            let until = *penalized
                .entry(owner)
                .or_insert_with_key(|owner| self.core.budgets.penalize(owner, Instant::now()));
            self.core.go_slow(arriving, at, until);
        }
    }

    /// Reads a page for all, on the connection of those who arrive.
    pub async fn read(&self, at: Progress, goal: Place) -> Result<Step, StatementError> {
        let history = &self.core.history;
        let Page {
            state,
            proof,
            pieces,
            next,
        } = history.log.read(at.place, goal.position).await?;
        let Some(at) = at.proved(state, proof) else {
            return Ok(Step::Forgotten);
        };
        let Some(interest) = self.cohort.least().map(|one| &one.arriving.interest) else {
            return Ok(Step::Forgotten);
        };
        let mut counted = at.counted;
        let pieces = history.interpret(&pieces, &mut counted);
        let after = self.cohort.least_after(next);
        let all = Decider::all(&pieces);
        let ats = Decider::admitted(interest, &pieces, &all, at.epoch, after);
        let events = history
            .events(
                interest,
                &pieces,
                &ats,
                (at.epoch, after),
                &Meter::unlimited(),
            )
            .await;
        let events = match events {
            Ok(events) => events,
            Err(StatementError::Slow(_)) => return Ok(Step::Costly),
            Err(error) => return own_fault(error).map(Step::Failed),
        };
        let mut ahead = self.cohort.stamps_before(next);
        ahead.remove(&(at.place.position, at.place.nonce));
        let lost = self.still_logged(&pieces, ahead, at.epoch).await?;
        let last = last_cursor(&pieces, &ats, at.epoch);
        Ok(Step::Events {
            events,
            next,
            counted,
            last,
            lost,
        })
    }

    /// As [`Decider::still_logged`]; and which stamps of those further on the log does not have: they skip what they have had,
    /// and of a log that has lost it, other changes have its positions.
    async fn still_logged(
        &self,
        pieces: &[Piece],
        ahead: BTreeSet<Stamp>,
        epoch: u64,
    ) -> Result<BTreeSet<Stamp>, StatementError> {
        let log = &self.core.history.log;
        if ahead.is_empty() {
            self.core.history.still_logged(pieces, epoch).await?;
            return Ok(ahead);
        }
        let (first, last) = (pieces.first(), pieces.last());
        let last = last.map(|piece| (piece.position, piece.nonce));
        let stamps: BTreeSet<Stamp> = ahead.iter().copied().chain(last).collect();
        let (state, proofs): (LogState, HashMap<Stamp, u64>) = log.prove(&stamps).await?;
        let is_trimmed = first.is_some_and(|piece| piece.position <= state.oldest);
        let is_lost = last.is_some_and(|stamp| !proofs.contains_key(&stamp));
        if state.epoch != epoch || is_trimmed || is_lost {
            return Err(trimmed());
        }
        let is_lost = |stamp: &Stamp| stamp.0 > state.oldest && !proofs.contains_key(stamp);
        Ok(ahead.into_iter().filter(is_lost).collect())
    }

    async fn follow(&mut self, way: Way) -> Result<(), LiveError> {
        match way {
            Way::Again => Ok(()),
            Way::Wait => {
                self.core.moved(PAUSE).await;
                Ok(())
            }
            Way::Join => self.join().await,
            Way::Read { served, goal } => {
                self.drain(served).await;
                // Reading took as long as the clients did: the hub may have gone on far meanwhile.
                let is_close = self.cohort.least().is_some_and(|one| {
                    let here = self.core.place_in(one.at.epoch);
                    one.at.place >= goal && here.is_some_and(|here| one.at.place.is_close_to(here))
                });
                if is_close {
                    self.join().await?;
                }
                Ok(())
            }
        }
    }

    /// Waits until clients have read what was sent to them, so that no more than a page waits for each. Those that do not read
    /// delay nobody else: they go on once they have.
    async fn drain(&mut self, served: Vec<Member>) {
        let is_alone = self.cohort.len() == 1;
        let mut waiting: HashSet<Member> = served.iter().copied().collect();
        let reading = served.into_iter().map(|member| {
            let core = Rc::clone(&self.core);
            async move {
                let slots: Arc<[u64]> = [member.slot].into();
                core.drained(member.worker, slots).await;
                member
            }
        });
        let mut reading: FuturesUnordered<_> = reading.collect();
        let all = async {
            while let Some(member) = reading.next().await {
                waiting.remove(&member);
            }
        };
        if is_alone {
            return all.await;
        }
        if timeout(PATIENCE, all).await.is_ok() {
            return;
        }
        let late = self
            .cohort
            .part(|one| waiting.contains(&one.arriving.member));
        let of_member = |one: Traveller| (one.arriving.member, one);
        let mut late: HashMap<Member, Traveller> = late.into_iter().map(of_member).collect();
        let (core, hub) = (Rc::clone(&self.core), self.hub.clone());
        actix::spawn(async move {
            while let Some(member) = reading.next().await {
                if let Some(traveller) = late.remove(&member) {
                    core.arrive(&hub, traveller);
                }
            }
        });
    }

    /// Has the hub take the last step for those who are furthest behind: mostly all.
    async fn join(&mut self) -> Result<(), LiveError> {
        let travellers = self.cohort.at_least();
        let members: HashSet<Member> = travellers.iter().map(|one| one.arriving.member).collect();
        match self.hub.send(Join { travellers }).await {
            Ok(Joined::Done) => self
                .cohort
                .retain(|one| !members.contains(&one.arriving.member)),
            Ok(Joined::TooFar | Joined::Costly(_)) => {}
            // Another node has been quicker, and this one will come there too.
            Ok(Joined::NotYet) => self.core.moved(PAUSE).await,
            // However often the hub moves on meanwhile: others of the owner have just joined.
            Ok(Joined::Exhausted) => sleep(PAUSE).await,
            Ok(Joined::Failed(reason)) => {
                self.cohort
                    .retain(|one| !members.contains(&one.arriving.member));
                for member in members {
                    self.core.end_arriving(member, reason.clone()).await;
                }
            }
            Err(_) => {
                return Err(LiveError::Unavailable(
                    "subscriptions are being rebuilt".to_owned(),
                ));
            }
        }
        Ok(())
    }
}

impl Core {
    /// Sends each its portion; to whom something was sent.
    pub async fn deliver_portions(
        &self,
        portions: Vec<Portion>,
        events: Vec<Delivered>,
    ) -> Vec<Member> {
        let events: Arc<[Delivered]> = events.into();
        let mut served = Vec::new();
        for Portion {
            worker,
            from,
            slots,
        } in portions
        {
            served.extend(slots.iter().map(|slot| Member {
                worker,
                slot: *slot,
            }));
            let deliver = Deliver {
                slots,
                events: Arc::clone(&events),
                from,
            };
            self.send(worker, deliver).await;
        }
        served
    }
}

/// The panic has been logged. Nobody else may suffer for it, and subscribers must not wait without end.
fn has_panicked() -> LiveError {
    LiveError::Unavailable("reading missed events has failed".to_owned())
}

/// Tries again while the database is away, for a while.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, StatementError>) -> Result<T, LiveError> {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => match own_fault(error) {
                Ok(reason) => return Err(reason),
                Err(error) if began.elapsed() > TIMEOUT => {
                    return Err(LiveError::Unavailable(error.to_string()));
                }
                Err(_) => sleep(PAUSE).await,
            },
        }
    }
}
