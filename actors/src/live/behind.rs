//! A place in the slow lane: up to where equal groups of one owner have read the log. They share it, so that what several
//! of them have missed is read and decided once. Pure.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gom_engine::events::Cursor;
use tokio::time::Instant;

use super::Delivered;
use super::groups::{GroupId, Groups, Interest};
use super::join::Progress;
use super::log::Place;
use gom_telemetry::metrics::{GaugeGuard, SLOW_GROUPS};

/// Changes that are decided in one go.
pub(super) const TOGETHER: usize = 200;
/// Groups come to share a place within so long after it was made: it is not set back later.
const SHARED_WITHIN: Duration = Duration::from_secs(5);
/// After a change that could not be decided in time; doubled each time that it still cannot.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(16);

pub(super) struct Behind {
    /// The group that has had everything up to `at`.
    pub id: GroupId,
    pub interest: Interest,
    /// Of its subscription: equal ones have the same.
    hash: u64,
    pub at: Progress,
    /// Equal groups that have come further: each gets what follows its cursor.
    ahead: Vec<(GroupId, Cursor)>,
    /// How many changes are decided at once.
    pub together: usize,
    /// Before that it does not become the hub's again.
    pub until: Instant,
    /// When it was made.
    since: Instant,
    /// When the hub was where the place is now, or when it was last found that this is unknown.
    pub level: Instant,
    /// Where the hub was when the place was last served, and when that was.
    pub goal: Option<(Place, Instant)>,
    /// It has been where the hub was.
    pub has_caught_up: bool,
    /// Not even one change could be decided in time.
    pub stuck: Option<Stuck>,
    /// Which clients have not read yet what was delivered.
    pub pace: Pace,
    _counted: GaugeGuard,
}

/// A change that could not be decided in the time that a statement may take: perhaps the machine's fault, or a lock's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stuck {
    /// How long the statement may take.
    pub statement: Duration,
    /// When it is retried.
    pub again: Instant,
    pause: Duration,
}

/// The slots of a group on one worker.
pub(super) type Clients = (u64, Arc<[u64]>);

/// Which clients have not read yet what was delivered. Each worker is asked once, until it answers that one of them has:
/// a slow client holds up nobody who shares the place, whatever worker it is connected to.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace(Rc<RefCell<HashSet<Clients>>>);

impl Pace {
    fn is_waiting(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    fn waits_for_all(&self, clients: &[Clients]) -> bool {
        clients
            .iter()
            .all(|of_worker| self.0.borrow().contains(of_worker))
    }

    /// They are waited for; whether they were not before.
    pub fn wait_for(&self, clients: &Clients) -> bool {
        self.0.borrow_mut().insert(clients.clone())
    }

    /// One of them has read it.
    pub fn have_room(&self, clients: &Clients) {
        self.0.borrow_mut().remove(clients);
    }
}

impl Behind {
    /// Of a group that comes from afar.
    pub fn new(id: GroupId, interest: Interest, at: Progress, until: Instant) -> Self {
        let mut hasher = DefaultHasher::new();
        if let Interest::Events(subscription) = &interest {
            subscription.identity().hash(&mut hasher);
        }
        Behind {
            id,
            interest,
            hash: hasher.finish(),
            at,
            ahead: Vec::new(),
            together: TOGETHER,
            until,
            since: Instant::now(),
            level: Instant::now(),
            goal: None,
            has_caught_up: false,
            stuck: None,
            pace: Pace::default(),
            _counted: SLOW_GROUPS.guard(()),
        }
    }

    /// Of a group that has been the hub's.
    pub fn level_with_the_hub(
        id: GroupId,
        interest: Interest,
        at: Progress,
        until: Instant,
    ) -> Self {
        Behind {
            has_caught_up: true,
            ..Behind::new(id, interest, at, until)
        }
    }

    /// All groups that share the place.
    pub fn ids(&self) -> impl Iterator<Item = GroupId> {
        std::iter::once(self.id).chain(self.ahead.iter().map(|(id, _)| *id))
    }

    /// Whether two places can be one: both are new, and one that has caught up does not go back to where another comes
    /// from.
    fn may_share_with(&self, other: &Behind) -> bool {
        let equal = || match (&self.interest, &other.interest) {
            (Interest::Events(one), Interest::Events(other)) => one.identity() == other.identity(),
            _ => false,
        };
        let is_new = |place: &Behind| place.since.elapsed() < SHARED_WITHIN;
        self.hash == other.hash
            && is_new(self)
            && is_new(other)
            && equal()
            && self.at.epoch == other.at.epoch
            && self.has_caught_up == other.has_caught_up
            && match (self.reached(), other.reached()) {
                // The same position by another stamp: one of the two is of a log that has lost it, and neither would wait for the other.
                (Some(one), Some(other)) => {
                    one.position != other.position || one.nonce == other.nonce
                }
                _ => false,
            }
    }

    /// Up to where everything has been delivered, if a cursor can tell: it cannot in the middle of a transaction of which
    /// nothing is known but how many rows were read.
    fn reached(&self) -> Option<Cursor> {
        let Progress {
            epoch,
            place,
            after,
            ..
        } = self.at;
        if place.is_whole() {
            let whole = place.cursor(epoch);
            return Some(after.map_or(whole, |after| after.max(whole)));
        }
        after.filter(|after| after.position == place.position)
    }

    /// One place of two: where the one is that is further behind.
    fn shared_with(self, other: Behind) -> Behind {
        let (mut behind, front) = if self.reached() <= other.reached() {
            (self, other)
        } else {
            (other, self)
        };
        behind
            .ahead
            .extend(front.reached().map(|reached| (front.id, reached)));
        behind.ahead.extend(front.ahead);
        behind.until = behind.until.max(front.until);
        behind.since = behind.since.min(front.since);
        behind.together = behind.together.min(front.together);
        behind
    }

    /// Forgets groups that nobody wants any more, and makes those one that have come to the same place. Whether anybody
    /// is left.
    pub fn settle(&mut self, groups: &RefCell<Groups>) -> bool {
        let mut groups = groups.borrow_mut();
        self.ahead.retain(|(id, _)| groups.is_wanted(*id));
        if !groups.is_wanted(self.id) {
            let nearest = self
                .ahead
                .iter()
                .enumerate()
                .min_by_key(|(_, (_, cursor))| *cursor);
            let Some((nearest, _)) = nearest else {
                return false;
            };
            let (id, cursor) = self.ahead.swap_remove(nearest);
            self.id = id;
            let at = Progress::from(cursor);
            if at.place > self.at.place {
                self.at = at;
            } else {
                self.at.after = self.at.after.max(Some(cursor));
            }
        }
        if let Some(reached) = self.reached() {
            let id = self.id;
            self.ahead.retain(|(equal, cursor)| {
                let is_ahead = *cursor > reached;
                if !is_ahead {
                    groups.merge(*equal, id);
                }
                is_ahead
            });
        }
        true
    }

    /// Those who share the place.
    pub fn clients(&self, groups: &RefCell<Groups>) -> Vec<Clients> {
        let mut groups = groups.borrow_mut();
        self.ids().flat_map(|id| groups.slots(id)).collect()
    }

    /// Whether not one client can take more.
    pub fn is_full(&self, groups: &RefCell<Groups>) -> bool {
        self.pace.is_waiting() && self.pace.waits_for_all(&self.clients(groups))
    }

    /// Where those are who have come further, up to a position: the stamps of their cursors.
    pub fn stamps_ahead(&self, upto: u64) -> BTreeSet<(u64, u64)> {
        let stamps = self
            .ahead
            .iter()
            .map(|(_, cursor)| (cursor.position, cursor.nonce));
        stamps.filter(|(position, _)| *position <= upto).collect()
    }

    /// Those of them that are at one of these stamps.
    pub fn ahead_at(&self, stamps: &BTreeSet<(u64, u64)>) -> Vec<GroupId> {
        let is_there =
            |(_, cursor): &&(GroupId, Cursor)| stamps.contains(&(cursor.position, cursor.nonce));
        let found = self.ahead.iter().filter(is_there);
        found.map(|(id, _)| *id).collect()
    }

    /// Whether nobody shares the place who has come further.
    pub fn is_together(&self) -> bool {
        self.ahead.is_empty()
    }

    /// What each group gets of events that follow the place.
    pub fn parts(&self, events: Vec<Delivered>) -> Vec<(GroupId, Vec<Delivered>)> {
        let after = |cursor: Cursor| {
            events
                .iter()
                .filter(move |event| event.cursor > cursor)
                .cloned()
                .collect()
        };
        let mut parts: Vec<_> = self
            .ahead
            .iter()
            .map(|(id, cursor)| (*id, after(*cursor)))
            .collect();
        parts.push((self.id, events));
        parts
    }

    /// One change alone could not be decided: it is retried after a pause.
    pub fn postpone(&mut self, statement: Duration, now: Instant) {
        let pause = self
            .stuck
            .map_or(FIRST_PAUSE, |stuck| (stuck.pause * 2).min(MAX_PAUSE));
        self.stuck = Some(Stuck {
            statement,
            again: now + pause,
            pause,
        });
    }
}

/// The places of one owner, in rotation.
#[derive(Default)]
pub(super) struct Lane {
    places: VecDeque<Behind>,
    /// How many places there are of each hash: one owner may have very many, which come and go all the time.
    of_hash: HashMap<u64, usize>,
    /// Until it has rested for as long as it has taken.
    pub rests_until: Option<Instant>,
}

impl Lane {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn take(&mut self) -> Option<Behind> {
        let behind = self.places.pop_front()?;
        self.forget(behind.hash);
        Some(behind)
    }

    /// Up to where a group has been served.
    pub fn reached(&self, id: GroupId) -> Option<Cursor> {
        let place = self
            .places
            .iter()
            .find(|place| place.ids().any(|one| one == id))?;
        let ahead = place.ahead.iter().find(|(one, _)| *one == id);
        ahead.map(|(_, cursor)| *cursor).or_else(|| place.reached())
    }

    /// At the end; one that is equal comes with it.
    pub fn put(&mut self, mut behind: Behind) {
        while self.of_hash.contains_key(&behind.hash)
            && let Some(equal) = self
                .places
                .iter()
                .position(|other| other.may_share_with(&behind))
            && let Some(other) = self.places.remove(equal)
        {
            self.forget(other.hash);
            behind = other.shared_with(behind);
        }
        *self.of_hash.entry(behind.hash).or_default() += 1;
        self.places.push_back(behind);
    }

    fn forget(&mut self, hash: u64) {
        if let Some(count) = self.of_hash.get_mut(&hash) {
            *count -= 1;
            if *count == 0 {
                self.of_hash.remove(&hash);
            }
        }
    }

    /// Whether nothing has to be remembered of it.
    pub fn is_done(&self) -> bool {
        self.places.is_empty() && self.rests_until.is_none_or(|until| until <= Instant::now())
    }
}

#[cfg(test)]
mod tests;
