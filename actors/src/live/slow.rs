//! The slow lane: groups that take longer than their users may read the log by themselves, on a connection of their own,
//! one statement at a time and their users in rotation, until they are quick enough to be the hub's again. Anyone who falls
//! too far behind is ended.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use actix::WeakAddr;
use futures::FutureExt;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::budget::Owner;
use super::decide::{Counted, Decider, Meter, Piece, last_cursor, own_fault};
use super::groups::{GroupId, Member};
use super::hub::{Core, Hub};
use super::join::{Joined, Progress, Rejoin};
use super::log::{Page, Place};
use super::{Delivered, LiveError};
use crate::database::LineError;
use crate::metrics::{Level, SLOW_GROUPS};

/// Changes that are decided in one go.
const TOGETHER: usize = 200;
/// A group is asked again whether it can be served, if nothing else happens.
const PAUSE: Duration = Duration::from_millis(50);
/// While the database is away.
const AWAY: Duration = Duration::from_millis(100);
/// How old a page of the log may be that several groups read.
const FRESH: Duration = Duration::from_secs(1);

pub(super) struct SlowLane {
    decider: Decider,
    max_lag: Duration,
    lanes: RefCell<HashMap<Owner, Lane>>,
    rotation: RefCell<VecDeque<Owner>>,
    page: RefCell<Option<Rc<Read>>>,
    wake: Notify,
}

/// The groups of one owner.
#[derive(Default)]
struct Lane {
    groups: VecDeque<Behind>,
    /// Until it has rested for as long as it has taken.
    rests_until: Option<Instant>,
}

impl Lane {
    /// Whether nothing has to be remembered of it.
    fn is_done(&self) -> bool {
        self.groups.is_empty() && self.rests_until.is_none_or(|until| until <= Instant::now())
    }
}

/// A group that reads the log by itself.
pub(super) struct Behind {
    id: GroupId,
    at: Progress,
    /// How many changes it decides at once.
    together: usize,
    /// Before that it does not become the hub's again.
    until: Instant,
    /// When the hub was where the group is now.
    level: Instant,
    /// Where the hub was when the group was last served, and when that was.
    goal: Option<(Place, Instant)>,
    /// Its only client has not read yet what was delivered.
    full: Rc<Cell<bool>>,
    _counted: Level,
}

impl Behind {
    pub fn new(id: GroupId, at: Progress, until: Instant) -> Self {
        Behind {
            id,
            at,
            together: TOGETHER,
            until,
            level: Instant::now(),
            goal: None,
            full: Rc::default(),
            _counted: SLOW_GROUPS.level(()),
        }
    }
}

/// A page of the log, interpreted.
struct Read {
    from: (u64, Place, Counted),
    when: Instant,
    pieces: Vec<Piece>,
    next: Place,
    counted: Counted,
}

/// What became of a group in its turn.
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
        SlowLane { decider, max_lag, lanes, rotation, page: RefCell::default(), wake: Notify::new() }
    }

    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn enter(&self, owner: Owner, behind: Behind) {
        let mut lanes = self.lanes.borrow_mut();
        if !lanes.contains_key(&owner) {
            self.rotation.borrow_mut().push_back(owner.clone());
        }
        lanes.entry(owner).or_default().groups.push_back(behind);
        self.wake();
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
    async fn round(&self, core: &Rc<Core>, hub: &WeakAddr<Hub>) -> bool {
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

    /// Serves the first group of an owner for which there is something to do.
    async fn turn_of(&self, owner: &Owner, core: &Rc<Core>, hub: &WeakAddr<Hub>) -> bool {
        let count = match self.lanes.borrow().get(owner) {
            Some(lane) if lane.rests_until.is_none_or(|until| until <= Instant::now()) => lane.groups.len(),
            _ => return false,
        };
        for _ in 0..count {
            let first = self.lanes.borrow_mut().get_mut(owner).and_then(|lane| lane.groups.pop_front());
            let Some(mut behind) = first else { return false };
            let began = Instant::now();
            let turn = AssertUnwindSafe(self.serve(&mut behind, owner, core, hub)).catch_unwind().await;
            let turn = turn.unwrap_or_else(|_| {
                // The panic has been logged.
                Err(LiveError::Unavailable("reading an event has failed".to_owned()))
            });
            let turn = match turn {
                Ok(turn) => turn,
                Err(reason) => {
                    // What failed has taken its time as well: the owner's next group waits for the next turn.
                    core.end(behind.id, &reason).await;
                    self.rest(owner, began.elapsed());
                    return true;
                }
            };
            if matches!(turn, Turn::Left) {
                continue;
            }
            let mut lanes = self.lanes.borrow_mut();
            let Some(lane) = lanes.get_mut(owner) else { return false };
            lane.groups.push_back(behind);
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
        if !core.groups.borrow().is_wanted(behind.id) {
            return Ok(Turn::Left);
        }
        let now = Instant::now();
        // The hub has gone on to another epoch, perhaps before it knew of this group.
        let Some(goal) = core.place_in(behind.at.epoch) else { return Err(LiveError::Resync) };
        if behind.full.get() {
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
        if behind.at.place < goal && now.saturating_duration_since(behind.level) > self.max_lag {
            tracing::warn!(
                max_lag_ms = self.max_lag.as_millis(),
                "a costly subscription is too far behind and is ended"
            );
            return Err(LiveError::Costly(self.max_lag));
        }
        let served = if behind.at.place < goal {
            match self.step(behind, core, goal).await {
                Ok(took) => Some(took),
                Err(LineError::Unavailable(_)) => {
                    (behind.level, behind.goal) = (Instant::now(), None);
                    sleep(AWAY).await;
                    return Ok(Turn::Idle);
                }
                Err(error) => return Err(own_fault(error).unwrap_or(LiveError::Costly(self.max_lag))),
            }
        } else {
            None
        };
        if behind.at.place >= goal && now >= behind.until && self.rejoin(behind, owner, core, hub).await? {
            return Ok(Turn::Left);
        }
        Ok(served.map_or(Turn::Idle, Turn::Served))
    }

    /// Decides some changes for a group. How long it has taken.
    async fn step(&self, behind: &mut Behind, core: &Rc<Core>, goal: Place) -> Result<Duration, LineError> {
        let read = self.read(behind.at, goal).await?;
        let Some(read) = read else {
            core.end(behind.id, &LiveError::Resync).await;
            return Ok(Duration::ZERO);
        };
        let interest = core.groups.borrow().get(behind.id).map(|group| group.interest.clone());
        let Some(interest) = interest else { return Ok(Duration::ZERO) };
        let (epoch, pieces) = (behind.at.epoch, &read.pieces);
        let ats = Decider::admitted(&interest, pieces, &Decider::all(pieces), epoch, behind.at.after);
        let part = &ats[..ats.len().min(behind.together)];
        let meter = Meter::unlimited();
        match self.decider.events(&interest, pieces, part, epoch, &meter).await {
            Ok(events) => {
                self.deliver(behind, core, events).await;
                behind.at.after = last_cursor(pieces, part, epoch).or(behind.at.after);
                if part.len() == ats.len() {
                    (behind.at.place, behind.at.counted) = (read.next, read.counted);
                    behind.together = TOGETHER;
                }
            }
            // Fewer may take less.
            Err(LineError::Slow(_)) if part.len() > 1 => behind.together = (part.len() / 8).max(1),
            Err(error) => return Err(error),
        }
        Ok(meter.spent())
    }

    /// The page that follows; nothing if something of it is not kept any more.
    async fn read(&self, at: Progress, goal: Place) -> Result<Option<Rc<Read>>, LineError> {
        let from = (at.epoch, at.place, at.counted);
        let known = self.page.borrow().clone();
        if let Some(known) = known.filter(|page| page.from == from && page.when.elapsed() < FRESH) {
            return Ok(Some(known));
        }
        let Page { state, pieces, next } = self.decider.log.read(at.place, goal.position).await?;
        if state.epoch != at.epoch || state.has_forgotten_after(at.place) {
            return Ok(None);
        }
        let mut counted = at.counted;
        let pieces = self.decider.interpret(&pieces, &mut counted);
        let read = Rc::new(Read { from, when: Instant::now(), pieces, next, counted });
        *self.page.borrow_mut() = Some(Rc::clone(&read));
        Ok(Some(read))
    }

    async fn deliver(&self, behind: &Behind, core: &Rc<Core>, events: Vec<Delivered>) {
        if events.is_empty() {
            return;
        }
        core.deliver(behind.id, events).await;
        let slots = core.groups.borrow_mut().slots(behind.id);
        // One that comes back from afar is read for no faster than its client reads; of many, none waits for another.
        if let [(worker, slots)] = &slots[..]
            && let [slot] = slots[..]
        {
            let (core, full) = (Rc::clone(core), Rc::clone(&behind.full));
            let member = Member { worker: *worker, slot };
            full.set(true);
            actix::spawn(async move {
                core.drained(member).await;
                full.set(false);
                core.slow.wake();
            });
        }
    }

    /// Whether the group is the hub's again.
    async fn rejoin(
        &self,
        behind: &mut Behind,
        owner: &Owner,
        core: &Rc<Core>,
        hub: &WeakAddr<Hub>,
    ) -> Result<bool, LiveError> {
        // A hub that has ended has forgotten the group.
        let Some(hub) = hub.upgrade() else { return Ok(true) };
        match hub.send(Rejoin { id: behind.id, at: behind.at }).await {
            Ok(Joined::Done) | Err(_) => Ok(true),
            Ok(Joined::NotYet | Joined::TooFar) => Ok(false),
            Ok(Joined::Costly) => {
                behind.until = Instant::now() + core.budgets.penalize(owner, Instant::now());
                Ok(false)
            }
            Ok(Joined::Failed(reason)) => Err(reason),
        }
    }
}
