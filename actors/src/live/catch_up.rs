//! A subscriber that comes back with a cursor reads the log by itself until it has come to where the hub is.

use std::rc::Rc;
use std::time::Duration;

use actix::Addr;
use gom_engine::events::Cursor;
use tokio::time::{Instant, sleep};

use super::LiveError;
use super::decide::{Decider, own_fault};
use super::groups::{Interest, Member};
use super::hub::{Core, Hub, Join};
use super::local::Deliver;
use super::log::{Page, Place};
use crate::crash::crash_point;
use crate::database::LineError;

/// How long the database may be away before a subscriber is sent away.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(2);

pub(super) async fn catch_up(
    core: Rc<Core>,
    hub: Addr<Hub>,
    member: Member,
    interest: Interest,
    from: Cursor,
) {
    let way = Way { core: &core, hub: &hub, member, interest: &interest, from };
    if let Err(reason) = way.go().await {
        core.end_arriving(member, reason).await;
    }
}

struct Way<'a> {
    core: &'a Core,
    hub: &'a Addr<Hub>,
    member: Member,
    interest: &'a Interest,
    from: Cursor,
}

impl Way<'_> {
    async fn go(&self) -> Result<(), LiveError> {
        let mut place = match self.from.part {
            Cursor::WHOLE => Place::after(self.from.position),
            _ => Place::before(self.from.position),
        };
        let mut counted = (0, 0);
        loop {
            // For one step: whoever waits for its client to read holds up nobody else.
            let Ok(turn) = self.core.turns.acquire().await else { return Ok(()) };
            // Asked for before each step: what is forgotten meanwhile was not forgotten yet when it was read.
            let state = self.patiently(async || self.core.history.log.state().await).await?;
            // The hub is of another epoch until its feed has found out that there is a new one: it is no goal then.
            let goal = self.core.place_in(state.epoch);
            let ahead = self.from.position > state.position.max(goal.map_or(0, |goal| goal.position));
            if self.from.epoch != state.epoch || ahead || state.has_forgotten_after(place) {
                return Err(LiveError::Resync);
            }
            if !self.core.is_arriving(self.member) {
                return Ok(());
            }
            let Some(goal) = goal else {
                sleep(STEP).await;
                continue;
            };
            if place < goal {
                let read = async || {
                    let Page { state: now, pieces, next } =
                        self.core.history.log.read(place, goal.position).await?;
                    if now.epoch != state.epoch || now.has_forgotten_after(place) {
                        return Ok(None);
                    }
                    let mut counted = counted;
                    let pieces = self.core.history.interpret(&pieces, &mut counted);
                    let all = Decider::all(&pieces);
                    let (epoch, after) = (state.epoch, Some(self.from));
                    let events = self.core.history.events(self.interest, &pieces, &all, epoch, after).await?;
                    Ok(Some((events, next, counted)))
                };
                crash_point("catch-up");
                let Some((events, next, now_counted)) = self.patiently(read).await? else {
                    return Err(LiveError::Resync);
                };
                if !events.is_empty() {
                    let deliver = Deliver { slots: [self.member.slot].into(), events: events.into() };
                    self.core.send(self.member.worker, deliver).await;
                    drop(turn);
                    self.core.drained(self.member).await;
                }
                (place, counted) = (next, now_counted);
                continue;
            }
            let (member, interest) = (self.member, self.interest.clone());
            let join = Join { member, interest, epoch: state.epoch, place };
            match self.hub.send(join).await {
                Ok(true) => return Ok(()),
                // It has moved on meanwhile; or another node has been quicker, and this one will come there too.
                Ok(false) => sleep(STEP).await,
                Err(_) => return Err(LiveError::Unavailable("subscriptions are being rebuilt".to_owned())),
            }
        }
    }

    /// Tries again while the database is away, for a while.
    async fn patiently<T>(&self, ask: impl AsyncFn() -> Result<T, LineError>) -> Result<T, LiveError> {
        let began = Instant::now();
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => match own_fault(error) {
                    Ok(reason) => return Err(reason),
                    Err(error) if began.elapsed() > PATIENCE => {
                        return Err(LiveError::Unavailable(error.to_string()));
                    }
                    Err(_) => sleep(PAUSE).await,
                },
            }
        }
    }
}
