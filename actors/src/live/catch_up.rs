//! A subscriber that comes back with a cursor reads the log by itself until it has come close to where the hub is, which
//! then takes the last step for it.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use futures::FutureExt;
use gom_engine::events::Cursor;
use tokio::time::{Instant, sleep};

use super::budget::Meter;
use super::decide::{Decider, last_cursor, own_fault};
use super::groups::{Interest, Member, Presence};
use super::hub::{Core, Hub};
use super::join::{Join, Joined, Progress};
use super::local::Deliver;
use super::log::{Page, Place};
use super::{Delivered, LiveError};
use crate::database::StatementError;
use gom_runtime::crash::crash_point;
use gom_runtime::owner::Owner;

/// How long the database may be away before a subscriber is sent away.
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// A subscriber on its way.
#[derive(Clone)]
pub(super) struct Arriving {
    pub member: Member,
    pub owner: Owner,
    pub interest: Interest,
    pub presence: Presence,
}

pub(super) async fn catch_up(core: Rc<Core>, hub: Addr<Hub>, arriving: Arriving, from: Cursor) {
    let way = CatchUp {
        core: &core,
        hub: &hub,
        arriving: &arriving,
        from,
    };
    let reason = match AssertUnwindSafe(way.go()).catch_unwind().await {
        Ok(Ok(())) => return,
        Ok(Err(reason)) => reason,
        // The panic has been logged. Nobody else may suffer for it, and the subscriber must not wait without end.
        Err(_) => LiveError::Unavailable("reading missed events has failed".to_owned()),
    };
    core.end_arriving(arriving.member, reason).await;
}

pub(super) struct CatchUp<'a> {
    pub core: &'a Core,
    pub hub: &'a Addr<Hub>,
    pub arriving: &'a Arriving,
    pub from: Cursor,
}

/// What a page of the log has for a subscriber.
pub(super) enum Step {
    Events {
        events: Vec<Delivered>,
        next: Progress,
    },
    /// Deciding takes too long here.
    Costly,
    Forgotten,
}

impl CatchUp<'_> {
    pub async fn go(&self) -> Result<(), LiveError> {
        let mut at = Progress::from(self.from);
        loop {
            // For one step: others are waiting, and anyone who waits for its client to read holds up nobody.
            let turn = self.core.turns.take(&self.arriving.owner).await;
            // Asked for before each step: what is forgotten meanwhile was not forgotten yet when it was read.
            let (state, nonce) = self
                .patiently(async || self.core.history.log.state(at.place).await)
                .await?;
            at = at.proved(state, nonce).ok_or(LiveError::Resync)?;
            // The hub is of another epoch until its feed has found out that there is a new one: it is no goal then.
            let goal = self.core.place_in(state.epoch);
            if !self.core.is_arriving(self.arriving.member) || !self.arriving.presence.is_there() {
                return Ok(());
            }
            let Some(goal) = goal else {
                drop(turn);
                self.core.moved(PAUSE).await;
                continue;
            };
            if at.place < goal {
                let penalized = self
                    .core
                    .budgets
                    .penalized_until(&self.arriving.owner, Instant::now());
                if let Some(until) = penalized {
                    self.core.go_slow(self.arriving.clone(), at, until);
                    return Ok(());
                }
                crash_point("catch-up");
                match self.patiently(async || self.read(at, goal).await).await? {
                    Step::Events { events, next } => {
                        drop(turn);
                        if !events.is_empty() {
                            self.deliver(events).await;
                        }
                        if next.place == at.place {
                            // The log ends before the hub's place, until the hub finds that it has lost what was there.
                            self.core.moved(PAUSE).await;
                        }
                        at = next;
                    }
                    Step::Costly => {
                        let until = self
                            .core
                            .budgets
                            .penalize(&self.arriving.owner, Instant::now());
                        self.core.go_slow(self.arriving.clone(), at, until);
                        return Ok(());
                    }
                    Step::Forgotten => return Err(LiveError::Resync),
                }
                // Delivering took as long as the client did: the hub may have gone on far meanwhile.
                let here = self.core.place_in(at.epoch);
                if at.place < goal || here.is_none_or(|here| !at.place.is_close_to(here)) {
                    continue;
                }
            } else {
                drop(turn);
            }
            match self
                .hub
                .send(Join {
                    arriving: self.arriving.clone(),
                    at,
                })
                .await
            {
                Ok(Joined::Done) => return Ok(()),
                Ok(Joined::TooFar | Joined::Costly(_)) => {}
                // Another node has been quicker, and this one will come there too.
                Ok(Joined::NotYet) => self.core.moved(PAUSE).await,
                // However often the hub moves on meanwhile: others of the owner have just joined.
                Ok(Joined::Exhausted) => sleep(PAUSE).await,
                Ok(Joined::Failed(reason)) => return Err(reason),
                Err(_) => {
                    return Err(LiveError::Unavailable(
                        "subscriptions are being rebuilt".to_owned(),
                    ));
                }
            }
        }
    }

    /// Reads a page, on the connection of those who arrive.
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
        let mut counted = at.counted;
        let pieces = history.interpret(&pieces, &mut counted);
        let interest = &self.arriving.interest;
        let ats = Decider::admitted(
            interest,
            &pieces,
            &Decider::all(&pieces),
            at.epoch,
            at.after,
        );
        match history
            .events(
                interest,
                &pieces,
                &ats,
                (at.epoch, at.after),
                &Meter::unlimited(),
            )
            .await
        {
            Ok(events) => {
                history.still_logged(&pieces, at.epoch).await?;
                // In the middle of a transaction the place alone does not tell what has been delivered.
                let after = last_cursor(&pieces, &ats, at.epoch).or(at.after);
                Ok(Step::Events {
                    events,
                    next: Progress {
                        place: next,
                        counted,
                        after,
                        ..at
                    },
                })
            }
            Err(StatementError::Slow(_)) => Ok(Step::Costly),
            Err(error) => Err(error),
        }
    }

    /// Waits until the client has read it, so that no more than a page waits for it.
    async fn deliver(&self, events: Vec<Delivered>) {
        let member = self.arriving.member;
        let slots: Arc<[u64]> = [member.slot].into();
        let deliver = Deliver {
            slots: Arc::clone(&slots),
            events: events.into(),
        };
        self.core.send(member.worker, deliver).await;
        self.core.drained(member.worker, slots).await;
    }

    /// Tries again while the database is away, for a while.
    async fn patiently<T>(
        &self,
        ask: impl AsyncFn() -> Result<T, StatementError>,
    ) -> Result<T, LiveError> {
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
}
