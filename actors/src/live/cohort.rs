//! Subscribers with the same subscription that read the log together: what they have missed is read and decided once, from
//! the least place of all, and each gets what follows its own. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gom_engine::events::Cursor;

use super::Delivered;
use super::decide::Counted;
use super::groups::{Interest, Member, Presence};
use super::join::Progress;
use super::log::{LogState, Place, Stamp};
use gom_runtime::owner::Owner;

/// A subscriber on its way.
#[derive(Clone)]
pub(super) struct Arriving {
    pub member: Member,
    pub owner: Owner,
    pub interest: Interest,
    pub presence: Presence,
}

/// The same, and up to where it has come.
#[derive(Clone)]
pub(super) struct Traveller {
    pub arriving: Arriving,
    pub at: Progress,
}

impl Traveller {
    pub fn new(arriving: Arriving, from: Cursor) -> Self {
        Traveller {
            arriving,
            at: Progress::from(from),
        }
    }

    fn stamp(&self) -> Stamp {
        (self.at.place.position, self.at.place.nonce)
    }
}

/// Not empty of members when it sets off; they leave one by one.
pub(super) struct Cohort(Vec<Traveller>);

/// Slots of one worker that get events from one on.
pub(super) struct Portion {
    pub worker: u64,
    pub from: usize,
    pub slots: Arc<[u64]>,
}

impl Cohort {
    pub fn new(travellers: Vec<Traveller>) -> Self {
        Cohort(travellers)
    }

    /// Divided by how far they have come, those who are furthest behind first: reading what one of a cohort has missed must not
    /// hold up others for longer than a page.
    pub fn apart(mut all: Vec<Traveller>) -> Vec<Cohort> {
        all.sort_unstable_by_key(|one| one.at.place);
        let mut found: Vec<Vec<Traveller>> = Vec::new();
        for one in all {
            match found.last_mut() {
                Some(near) if near[0].at.place.is_close_to(one.at.place) => near.push(one),
                _ => found.push(vec![one]),
            }
        }
        found.into_iter().map(Cohort).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn members(&self) -> Vec<Member> {
        let member = |traveller: &Traveller| traveller.arriving.member;
        self.0.iter().map(member).collect()
    }

    /// Each once.
    pub fn owners(&self) -> Vec<Owner> {
        let owners: HashSet<&Owner> = self.0.iter().map(|one| &one.arriving.owner).collect();
        owners.into_iter().cloned().collect()
    }

    pub fn retain(&mut self, keep: impl FnMut(&Traveller) -> bool) {
        self.0.retain(keep);
    }

    /// Those for whom this holds are members no more.
    pub fn part(&mut self, leaves: impl FnMut(&mut Traveller) -> bool) -> Vec<Traveller> {
        self.0.extract_if(.., leaves).collect()
    }

    /// The one that is furthest behind.
    pub fn least(&self) -> Option<&Traveller> {
        let key = |one: &&Traveller| (one.at.place, one.at.after);
        self.0.iter().min_by_key(key)
    }

    /// Those who are where the least one is.
    pub fn at_least(&self) -> Vec<Traveller> {
        let Some(least) = self.least().map(|one| one.at) else {
            return Vec::new();
        };
        let is_there = |one: &&Traveller| is_level(one.at, least);
        self.0.iter().filter(is_there).cloned().collect()
    }

    /// Those who have had the least are members no more: what cannot be decided concerns them, and perhaps not those who have
    /// come further.
    pub fn part_with_least(&mut self) -> Vec<Traveller> {
        let Some(least) = self.least().map(|one| one.at) else {
            return Vec::new();
        };
        self.part(|one| is_level(one.at, least))
    }

    /// Of those that a page concerns which ends there, what the one has had that has had the least.
    pub fn least_after(&self, next: Place) -> Option<Cursor> {
        let reached = self.0.iter().filter(|one| one.at.place < next);
        reached.map(|one| one.at.after).min().flatten()
    }

    /// The stamps of all places.
    pub fn stamps(&self) -> BTreeSet<Stamp> {
        self.0.iter().map(Traveller::stamp).collect()
    }

    /// Where those are that a page concerns which ends there.
    pub fn stamps_before(&self, next: Place) -> BTreeSet<Stamp> {
        let reached = self.0.iter().filter(|one| one.at.place < next);
        reached.map(Traveller::stamp).collect()
    }

    /// Those that stood at one of these stamps, before a place.
    pub fn part_of(&mut self, lost: &BTreeSet<Stamp>, next: Place) -> Vec<Traveller> {
        self.part(|one| one.at.place < next && lost.contains(&one.stamp()))
    }

    /// Who goes on in a log of this state, which has these stamps. The others have to read again.
    pub fn prove(&mut self, state: LogState, proofs: &HashMap<Stamp, u64>) -> Vec<Traveller> {
        self.part(|one| {
            let nonce = proofs.get(&one.stamp()).copied();
            match one.at.proved(state, nonce) {
                Some(proved) => one.at = proved,
                None => return true,
            }
            false
        })
    }

    /// Everybody before `next` is there now, and gets what follows its own cursor of the events of the page that ends there.
    pub fn advance(
        &mut self,
        events: &[Delivered],
        next: Place,
        counted: Counted,
        last: Option<Cursor>,
    ) -> Vec<Portion> {
        let reached = |one: &&mut Traveller| one.at.place < next;
        let moved = self.0.iter_mut().filter(reached).map(|one| {
            let portion = (one.arriving.member, one.at.after);
            one.at = Progress {
                place: next,
                counted,
                // In the middle of a transaction the place alone does not tell what has been delivered.
                after: one.at.after.max(last),
                ..one.at
            };
            portion
        });
        portions(moved, events)
    }
}

/// Whether one has had what another has had, of the same log. In the middle of a transaction the place alone does not tell.
fn is_level(one: Progress, other: Progress) -> bool {
    one.place.is_same(other.place) && (one.place.is_whole() || one.after == other.after)
}

/// What each gets of events that are in order: those that follow its cursor.
pub(super) fn portions(
    members: impl IntoIterator<Item = (Member, Option<Cursor>)>,
    events: &[Delivered],
) -> Vec<Portion> {
    let mut slots: BTreeMap<(u64, usize), Vec<u64>> = BTreeMap::new();
    for (member, after) in members {
        let from = events.partition_point(|event| Some(event.cursor) <= after);
        if from < events.len() {
            let same = slots.entry((member.worker, from)).or_default();
            same.push(member.slot);
        }
    }
    let portion = |((worker, from), slots): (_, Vec<u64>)| Portion {
        worker,
        from,
        slots: slots.into(),
    };
    slots.into_iter().map(portion).collect()
}
