//! Subscribers with the same subscription are one group, and an index by the values in the groups' filters finds the groups
//! that a change may concern. Pure.

mod index;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gom_engine::datamodel::ModelId;
use gom_engine::events::{
    ChangeKind, Lead, NodeChange, Path, Subscription, SubscriptionIdentity, SubscriptionKey,
    Watched,
};

use self::index::OfModel;
use gom_runtime::owner::Owner;
use gom_telemetry::metrics::{GROUPS, GaugeGuard};

/// Paths of a model up to which live queries add more: the values of each are read of every change, by one statement.
const MAX_PATHS: usize = 32;

/// One subscriber: a slot of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub worker: u64,
    pub slot: u64,
}

/// Whether a subscriber is still there. It may have left while the hub was busy.
#[derive(Debug, Clone)]
pub(super) struct Presence(Arc<AtomicBool>);

impl Presence {
    pub fn new() -> Self {
        Presence(Arc::new(AtomicBool::new(true)))
    }

    pub fn leave(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub fn is_there(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a subscriber is interested in.
#[derive(Debug, Clone)]
pub enum Interest {
    /// Events of a subscription, with their payload.
    Events(Arc<Subscription>),
    /// That something of this has changed, without saying what.
    Touch(Arc<[Watched]>),
}

pub(super) type GroupId = u64;

/// Members with the same interest: they get the same bytes.
pub(super) struct Group {
    pub interest: Interest,
    /// Of its first member: whose time it takes.
    pub owner: Owner,
    /// By worker.
    members: HashMap<u64, Slots>,
    /// The index leads to it. Else it reads the log by itself, in the slow lane.
    attached: bool,
    _counted: GaugeGuard,
}

#[derive(Default)]
struct Slots {
    slots: Vec<u64>,
    /// The same, to be sent; made when it is needed and the slots have changed.
    shared: Option<Arc<[u64]>>,
}

#[derive(Default)]
pub(super) struct Groups {
    groups: HashMap<GroupId, Group>,
    /// Groups that others may join.
    known: HashMap<Arc<SubscriptionIdentity>, GroupId>,
    of_member: HashMap<Member, (GroupId, Presence)>,
    attached: usize,
    index: HashMap<ModelId, OfModel>,
    next: GroupId,
}

impl Groups {
    /// Adds a member to the group of its interest, which gets what comes from now on.
    pub fn add(&mut self, member: Member, interest: Interest, owner: &Owner, presence: Presence) {
        let known = match &interest {
            Interest::Events(subscription) => self.known.get(subscription.identity()).copied(),
            Interest::Touch(_) => None,
        };
        let id = known.unwrap_or_else(|| {
            let id = self.found(interest, owner);
            self.attach(id);
            id
        });
        self.enter(id, member, presence);
    }

    /// Adds a member as a group of its own, to which the index does not lead.
    pub fn add_detached(
        &mut self,
        member: Member,
        interest: Interest,
        owner: &Owner,
        presence: Presence,
    ) -> GroupId {
        let id = self.found(interest, owner);
        self.enter(id, member, presence);
        id
    }

    fn found(&mut self, interest: Interest, owner: &Owner) -> GroupId {
        self.next += 1;
        let (owner, members, counted) = (owner.clone(), HashMap::new(), GROUPS.guard(()));
        let group = Group {
            interest,
            owner,
            members,
            attached: false,
            _counted: counted,
        };
        self.groups.insert(self.next, group);
        self.next
    }

    fn enter(&mut self, id: GroupId, member: Member, presence: Presence) {
        if let Some(group) = self.groups.get_mut(&id) {
            let slots = group.members.entry(member.worker).or_default();
            slots.slots.push(member.slot);
            slots.shared = None;
            self.of_member.insert(member, (id, presence));
        }
    }

    /// From now on the index leads to the group. If there is such a group already, its members become that one's.
    pub fn attach(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        if group.attached {
            return;
        }
        let interest = group.interest.clone();
        if let Interest::Events(subscription) = &interest {
            if let Some(known) = self.known.get(subscription.identity()).copied() {
                return self.merge(id, known);
            }
            self.known.insert(Arc::clone(subscription.identity()), id);
        }
        group.attached = true;
        self.attached += 1;
        // A live query for which the index has no place is woken by more than it has to be. A subscription would be decided for it.
        let most = match &interest {
            Interest::Events(_) => usize::MAX,
            Interest::Touch(_) => MAX_PATHS,
        };
        for (model, lead) in leads(&interest) {
            self.index.entry(model).or_default().add(lead, id, most);
        }
        if let Some(of_model) = self.of_leaves(&interest) {
            of_model.reporting_leaves += 1;
        }
    }

    /// The part of the index that knows of a group that it reports leaves.
    fn of_leaves(&mut self, interest: &Interest) -> Option<&mut OfModel> {
        match interest {
            Interest::Events(subscription) if subscription.reports_leaves() => {
                self.index.get_mut(&subscription.model())
            }
            _ => None,
        }
    }

    /// Members of one group become another's, whose interest is the same.
    pub fn merge(&mut self, from: GroupId, into: GroupId) {
        for (member, presence) in self.empty(from) {
            self.enter(into, member, presence);
        }
    }

    /// From now on nothing leads to the group: neither the index nor a new member with the same interest.
    pub fn detach(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        if !std::mem::take(&mut group.attached) {
            return;
        }
        self.attached -= 1;
        let interest = group.interest.clone();
        if let Interest::Events(subscription) = &interest {
            self.known.remove(subscription.identity());
        }
        if let Some(of_model) = self.of_leaves(&interest) {
            of_model.reporting_leaves -= 1;
        }
        for (model, lead) in leads(&interest) {
            let Some(of_model) = self.index.get_mut(&model) else {
                continue;
            };
            of_model.remove(&lead, id);
            if of_model.is_empty() {
                self.index.remove(&model);
            }
        }
    }

    /// Whether it was one.
    pub fn remove(&mut self, member: Member) -> bool {
        let Some((id, _)) = self.of_member.remove(&member) else {
            return false;
        };
        let Some(group) = self.groups.get_mut(&id) else {
            return false;
        };
        if let Some(slots) = group.members.get_mut(&member.worker) {
            if let Some(place) = slots.slots.iter().position(|slot| *slot == member.slot) {
                slots.slots.swap_remove(place);
                slots.shared = None;
            }
            if slots.slots.is_empty() {
                group.members.remove(&member.worker);
            }
        }
        if group.members.is_empty() {
            self.forget(id);
        }
        true
    }

    fn forget(&mut self, id: GroupId) {
        self.detach(id);
        self.groups.remove(&id);
    }

    /// Removes a group; its members, with whether they are there.
    fn empty(&mut self, id: GroupId) -> Vec<(Member, Presence)> {
        self.detach(id);
        let Some(group) = self.groups.remove(&id) else {
            return Vec::new();
        };
        let of_worker = |(worker, slots): (u64, Slots)| {
            slots
                .slots
                .into_iter()
                .map(move |slot| Member { worker, slot })
        };
        let members: Vec<Member> = group.members.into_iter().flat_map(of_worker).collect();
        members
            .into_iter()
            .filter_map(|member| {
                self.of_member
                    .remove(&member)
                    .map(|(_, presence)| (member, presence))
            })
            .collect()
    }

    /// All members of a group, who are members no more.
    pub fn dissolve(&mut self, id: GroupId) -> Vec<Member> {
        self.empty(id)
            .into_iter()
            .map(|(member, _)| member)
            .collect()
    }

    /// The group of a member, and whether the index leads to it.
    pub fn group_of(&self, member: Member) -> Option<(GroupId, &Group, bool)> {
        let (id, _) = self.of_member.get(&member)?;
        self.groups
            .get(id)
            .map(|group| (*id, group, group.attached))
    }

    /// How many members there are in all.
    pub fn members(&self) -> usize {
        self.of_member.len()
    }

    pub fn members_of(&self, id: GroupId) -> impl Iterator<Item = Member> {
        let members = self
            .groups
            .get(&id)
            .into_iter()
            .flat_map(|group| &group.members);
        members.flat_map(|(worker, slots)| {
            slots.slots.iter().map(|slot| Member {
                worker: *worker,
                slot: *slot,
            })
        })
    }

    /// Whether somebody of the group is still there.
    pub fn is_wanted(&self, id: GroupId) -> bool {
        let mut members = self.members_of(id);
        members.any(|member| {
            self.of_member
                .get(&member)
                .is_some_and(|(_, presence)| presence.is_there())
        })
    }

    /// The members, by worker, that have got all the events that the hub has delivered: those to whom the index leads.
    pub fn level(&self) -> HashMap<u64, Vec<u64>> {
        let mut level: HashMap<u64, Vec<u64>> = HashMap::new();
        let with_events =
            |group: &&Group| group.attached && matches!(group.interest, Interest::Events(_));
        for group in self.groups.values().filter(with_events) {
            for (worker, slots) in &group.members {
                level.entry(*worker).or_default().extend(&slots.slots);
            }
        }
        level
    }

    pub fn of_worker(&self, worker: u64) -> Vec<Member> {
        self.of_member
            .keys()
            .filter(|member| member.worker == worker)
            .copied()
            .collect()
    }

    /// Those that are where the hub is.
    pub fn attached_ids(&self) -> Vec<GroupId> {
        let attached = self.groups.iter().filter(|(_, group)| group.attached);
        attached.map(|(id, _)| *id).collect()
    }

    /// Whether the index leads to nobody.
    pub fn is_idle(&self) -> bool {
        self.attached == 0
    }

    pub fn get(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    /// Whether any change of the model may concern somebody.
    pub fn concerns(&self, model: ModelId) -> bool {
        self.index.contains_key(&model)
    }

    /// The paths whose values decide whom a change of the model may concern.
    pub fn paths(&self, model: ModelId) -> Vec<Path> {
        self.index
            .get(&model)
            .map(|m| m.paths.iter().map(|(path, _)| *path).collect())
            .unwrap_or_default()
    }

    /// Whether groups of the model's rows report leaves.
    pub fn reports_leaves(&self, model: ModelId) -> bool {
        let of_model = self.index.get(&model);
        of_model.is_some_and(|of_model| of_model.reporting_leaves > 0)
    }

    /// The groups that every change of the model may concern.
    pub fn of_all(&self, model: ModelId) -> &[GroupId] {
        self.index.get(&model).map_or(&[], |of_model| &of_model.all)
    }

    /// The groups that the change may concern for the fields that it updated. Some may come several times.
    pub fn of_update(&self, change: &NodeChange) -> impl Iterator<Item = GroupId> {
        let of_model = self
            .index
            .get(&change.model)
            .filter(|of_model| !of_model.updates.is_empty() && change.kind == ChangeKind::Updated);
        let of_field = move |field| of_model.and_then(|of_model| of_model.updates.get(field));
        change
            .updated
            .iter()
            .filter_map(of_field)
            .flatten()
            .copied()
    }

    /// The groups that ask for this value on a path.
    pub fn of_value(&self, model: ModelId, path: Path, value: &str) -> &[GroupId] {
        let paths = self
            .index
            .get(&model)
            .map_or(&[][..], |of_model| &of_model.paths);
        let values = paths.iter().find(|(known, _)| *known == path);
        values
            .and_then(|(_, values)| values.get(value))
            .map_or(&[], Vec::as_slice)
    }

    /// All groups that changes of the model may concern.
    pub fn of_model(&self, model: ModelId) -> Vec<GroupId> {
        let Some(of_model) = self.index.get(&model) else {
            return Vec::new();
        };
        let by_value = of_model
            .paths
            .iter()
            .flat_map(|(_, values)| values.values().flatten());
        of_model.all.iter().chain(by_value).copied().collect()
    }

    /// The slots of each worker that get what the group gets.
    pub fn slots(&mut self, id: GroupId) -> Vec<(u64, Arc<[u64]>)> {
        let Some(group) = self.groups.get_mut(&id) else {
            return Vec::new();
        };
        let of_worker = |(worker, slots): (&u64, &mut Slots)| {
            let shared = slots
                .shared
                .get_or_insert_with(|| slots.slots.as_slice().into());
            (*worker, Arc::clone(shared))
        };
        group.members.iter_mut().map(of_worker).collect()
    }
}

fn leads(interest: &Interest) -> Vec<(ModelId, Lead)> {
    let lead = |key: Option<SubscriptionKey>| key.map_or(Lead::All, Lead::Value);
    match interest {
        Interest::Events(subscription) => {
            let model = subscription.model();
            let before = subscription.key_before().map(Lead::Value);
            let own = std::iter::once(lead(subscription.key().cloned())).chain(before);
            let others = subscription.dependencies().iter();
            let others = others.map(|other| (other.model, Lead::Updates(other.fields.clone())));
            own.map(|lead| (model, lead)).chain(others).collect()
        }
        Interest::Touch(watched) => watched
            .iter()
            .map(|watched| (watched.model, watched.lead.clone()))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
