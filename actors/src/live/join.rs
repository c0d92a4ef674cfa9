//! The last step of those who read the log by themselves: the hub takes it for them, between two batches, when nobody can
//! get ahead of them.

use std::rc::Rc;

use actix::{AtomicResponse, Handler, Message, WrapFuture};
use gom_engine::events::Cursor;
use tokio::time::Instant;

use super::behind::Behind;
use super::cohort::{Arriving, Traveller, portions};
use super::decide::{Counted, Decided, Decider, Wanted};
use super::groups::{GroupId, Interest};
use super::hub::{Core, Hub};
use super::log::{LogState, Page, Place};
use super::{Delivered, LiveError};
use crate::database::StatementError;
use gom_runtime::owner::Owner;

/// Up to where somebody has read the log by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Of which the place is: the same position of another epoch is another transaction.
    pub epoch: u64,
    pub place: Place,
    pub counted: Counted,
    /// Of what follows the place, this and what is before it has been delivered.
    pub after: Option<Cursor>,
}

impl Progress {
    /// Of who has had everything up to a cursor.
    pub fn from(cursor: Cursor) -> Self {
        let place = match cursor.part {
            Cursor::WHOLE => Place::after(cursor.position),
            _ => Place::before(cursor.position),
        };
        Progress {
            epoch: cursor.epoch,
            place: place.with(cursor.nonce),
            counted: (0, 0),
            after: Some(cursor),
        }
    }

    /// The same in a log that has the place's stamp with this nonce, if everything that follows is in the log.
    pub fn proved(self, state: LogState, nonce: Option<u64>) -> Option<Self> {
        let nonce = nonce?;
        let is_of_epoch = self.place.cursor(self.epoch).may_be_of(state.epoch);
        if !is_of_epoch || state.has_forgotten_after(self.place) {
            return None;
        }
        let after = self.after.map(|after| Cursor {
            epoch: state.epoch,
            nonce: match after.nonce {
                0 => nonce,
                known => known,
            },
            ..after
        });
        Some(Progress {
            epoch: state.epoch,
            place: self.place.with(nonce),
            after,
            ..self
        })
    }
}

/// Members with the same interest have read up to the same place by themselves. The hub reads the rest for them, if that is no
/// more than one page, and they join.
#[derive(Message)]
#[rtype(result = "Joined")]
pub(super) struct Join {
    pub travellers: Vec<Traveller>,
}

/// The same for a group of the slow lane.
#[derive(Message)]
#[rtype(result = "Joined")]
pub(super) struct Rejoin {
    pub id: GroupId,
    pub at: Progress,
}

#[derive(Debug)]
pub(super) enum Joined {
    /// Each gets what the hub delivers from now on; or it has left meanwhile, or has gone to the slow lane.
    Done,
    /// More than one page is missing.
    TooFar,
    /// The hub has not come there yet, is in the middle of a transaction, or cannot read: later.
    NotYet,
    /// The owner's budget has to be refilled first.
    Exhausted,
    /// The owner has no time left for it: not before then.
    Costly(Instant),
    Failed(LiveError),
}

/// What the hub has read for somebody.
enum Rest {
    Events(Vec<Delivered>),
    /// Nothing: the hub comes there too; or one of the two is of a log that has lost it.
    Ahead,
    Not(Joined),
}

impl Handler<Join> for Hub {
    type Result = AtomicResponse<Self, Joined>;

    fn handle(&mut self, join: Join, _: &mut Self::Context) -> Self::Result {
        let core = Rc::clone(&self.core);
        let joining = async move { core.join(join).await };
        AtomicResponse::new(Box::pin(joining.into_actor(self)))
    }
}

impl Handler<Rejoin> for Hub {
    type Result = AtomicResponse<Self, Joined>;

    fn handle(&mut self, Rejoin { id, at }: Rejoin, _: &mut Self::Context) -> Self::Result {
        let core = Rc::clone(&self.core);
        let joining = async move { core.rejoin(id, at).await };
        AtomicResponse::new(Box::pin(joining.into_actor(self)))
    }
}

impl Core {
    /// All are where the first is.
    pub async fn join(&self, Join { mut travellers }: Join) -> Joined {
        travellers.retain(|Traveller { arriving, .. }| {
            self.is_arriving(arriving.member) && arriving.presence.is_there()
        });
        let least = travellers.iter().min_by_key(|one| one.at.after);
        let Some(at) = least.map(|one| one.at) else {
            return Joined::Done;
        };
        if self.place_in(at.epoch).is_some_and(|here| at.place < here) {
            // Something is to be read for them, at the cost of those who may have it read.
            let now = Instant::now();
            let is_penalized = |one: &Traveller| {
                let until = self.budgets.penalized_until(&one.arriving.owner, now);
                if let Some(until) = until {
                    self.go_slow(one.arriving.clone(), one.at, until);
                }
                until.is_some()
            };
            travellers.retain(|one| !is_penalized(one));
        }
        // One pays for all: nobody is to wait for somebody who cannot.
        let now = Instant::now();
        let may_pay = |one: &Traveller| self.budgets.may_join(&one.arriving.owner, now);
        if let Some(payer) = travellers.iter().position(may_pay) {
            travellers.swap(0, payer);
        }
        let Some(Traveller { arriving, .. }) = travellers.first() else {
            return Joined::Done;
        };
        let payer = arriving.owner.clone();
        match self.rest(&arriving.interest, &payer, at).await {
            Rest::Events(events) => {
                let members = travellers
                    .iter()
                    .map(|one| (one.arriving.member, one.at.after));
                let portions = portions(members, &events);
                self.deliver_portions(portions, events).await;
                for Traveller { arriving, .. } in travellers {
                    let Arriving {
                        member,
                        interest,
                        owner,
                        presence,
                    } = arriving;
                    // It may have been given up with its worker.
                    if self.arriving.borrow_mut().remove(&member) {
                        self.groups
                            .borrow_mut()
                            .add(member, interest, &owner, presence);
                    }
                }
                self.count();
                Joined::Done
            }
            Rest::Not(Joined::Costly(until)) => {
                for Traveller { arriving, at } in travellers {
                    let is_payer = arriving.owner == payer;
                    let until = if is_payer { until } else { Instant::now() };
                    self.go_slow(arriving, at, until);
                }
                Joined::Done
            }
            // They prove where they are themselves, before each step.
            Rest::Ahead => Joined::NotYet,
            Rest::Not(reason) => reason,
        }
    }

    async fn rejoin(&self, id: GroupId, at: Progress) -> Joined {
        let found = self
            .groups
            .borrow()
            .get(id)
            .map(|group| (group.interest.clone(), group.owner.clone()));
        let Some((interest, owner)) = found else {
            return Joined::Done;
        };
        match self.rest(&interest, &owner, at).await {
            Rest::Events(events) => {
                self.deliver(id, events).await;
                self.groups.borrow_mut().attach(id);
                Joined::Done
            }
            Rest::Ahead => self.later(at).await,
            Rest::Not(reason) => reason,
        }
    }

    /// A member that has not arrived goes on in the slow lane, together with those of its owner's that are equal.
    pub fn go_slow(&self, arriving: Arriving, at: Progress, until: Instant) {
        let Arriving {
            member,
            interest,
            owner,
            presence,
        } = arriving;
        if self.arriving.borrow_mut().remove(&member) {
            let id =
                self.groups
                    .borrow_mut()
                    .add_detached(member, interest.clone(), &owner, presence);
            self.slow.enter(owner, Behind::new(id, interest, at, until));
            self.count();
        }
    }

    /// What follows a place up to where the hub is.
    async fn rest(&self, interest: &Interest, owner: &Owner, at: Progress) -> Rest {
        let here = self.place.get();
        if self.epoch.get() != Some(at.epoch) {
            return Rest::Not(Joined::NotYet);
        }
        if at.place.is_same(here) {
            return Rest::Events(Vec::new());
        }
        if at.place >= here {
            return Rest::Ahead;
        }
        if !here.is_whole() {
            return Rest::Not(Joined::NotYet);
        }
        // Before anything is read: everybody waits for what is read here.
        let now = Instant::now();
        if let Some(until) = self.budgets.penalized_until(owner, now) {
            return Rest::Not(Joined::Costly(until));
        }
        if !self.budgets.may_join(owner, now) {
            return Rest::Not(Joined::Exhausted);
        }
        match self.read_rest(interest, owner, at, here).await {
            Ok(rest) => rest,
            Err(StatementError::Unavailable(_) | StatementError::Slow(_)) => {
                Rest::Not(Joined::NotYet)
            }
            Err(StatementError::Excessive(_)) => Rest::Not(Joined::Failed(LiveError::TooManyMoved)),
            Err(StatementError::Rejected(cause)) => {
                tracing::error!(cause, "the change log cannot be read");
                Rest::Not(Joined::Failed(LiveError::Failed(
                    "the change log cannot be read".to_owned(),
                )))
            }
        }
    }

    /// Whether one who has come further than the hub can wait for it.
    async fn later(&self, at: Progress) -> Joined {
        match self.decider.log.state(at.place).await {
            Ok((state, nonce)) if at.proved(state, nonce).is_none() => {
                Joined::Failed(LiveError::Resync)
            }
            _ => Joined::NotYet,
        }
    }

    async fn read_rest(
        &self,
        interest: &Interest,
        owner: &Owner,
        at: Progress,
        here: Place,
    ) -> Result<Rest, StatementError> {
        let Page {
            state,
            proof,
            pieces,
            next,
        } = self.decider.log.read(at.place, here.position).await?;
        if state.epoch != at.epoch {
            return Ok(Rest::Not(Joined::NotYet));
        }
        if at.proved(state, proof).is_none() {
            return Ok(Rest::Not(Joined::Failed(LiveError::Resync)));
        }
        if next != here {
            return Ok(Rest::Not(Joined::TooFar));
        }
        if !next.is_same(here) {
            // The hub finds out next that the log has lost where it is.
            return Ok(Rest::Not(Joined::NotYet));
        }
        let pieces = self.decider.interpret(&pieces, &mut at.counted.clone());
        let ats = Decider::admitted(
            interest,
            &pieces,
            &Decider::all(&pieces),
            at.epoch,
            at.after,
        );
        let wanted = Wanted {
            id: 0,
            interest: interest.clone(),
            owner: owner.clone(),
            ats,
            after: at.after,
        };
        let decided = self
            .decider
            .decide(&wanted, &pieces, at.epoch, &self.budgets)
            .await?;
        self.decider.still_logged(&pieces, at.epoch).await?;
        Ok(match decided {
            Decided::Events(events) => Rest::Events(events),
            Decided::Costly(until) => Rest::Not(Joined::Costly(until)),
            Decided::Failed(reason) => Rest::Not(Joined::Failed(reason)),
        })
    }
}
