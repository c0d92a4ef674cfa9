//! Rows are locked before a viewer's write decides on them: a concurrent change of such a row comes
//! first or waits. Links in tables are not locked, only the rows that they link. The service role
//! locks what it deletes, and no more than its statements do by themselves otherwise.

use super::Writer;
use super::links::Parent;
use crate::datamodel::{ModelId, RelationId, RelationRef, Side};
use crate::plan::filter::Unique;
use crate::plan::program::Expect;
use crate::plan::rule_inputs::LinkEffect;
use crate::sql::write::{self, Lock, Node};
use crate::sql::{Filter, LinkAt, Param, Register, Statement, delete, guard};

impl Writer<'_> {
    /// The lock on rows that a nested write or one of many finds in order to change them.
    pub(super) fn lock(&self) -> Lock {
        if self.access.is_limited() {
            Lock::Update
        } else {
            Lock::None
        }
    }

    /// Whether other rows decide which rows of the model the viewer may write; not so where a
    /// parent does that this transaction has locked.
    pub(super) fn is_decided_elsewhere(&self, model: ModelId, parent: Option<&Parent>) -> bool {
        let held = parent.is_some_and(|parent| self.is_decided_by_locked(model, parent));
        !held
            && self
                .planner
                .is_decided_elsewhere(model, &self.access.writable(model))
    }

    /// Whether the parent, which is locked, and the row itself decide whether the row is the
    /// viewer's to write. A link in a table is part of neither: a statement that waited for the row
    /// reads the link as it was before.
    pub(super) fn is_decided_by_locked(&self, model: ModelId, parent: &Parent) -> bool {
        let in_table = matches!(
            self.planner.physical().link(parent.relation),
            LinkAt::Table { .. }
        );
        !in_table && self.follows(model, parent)
    }

    /// Whether a row is the viewer's to write because the parent, whose row holds it, is.
    pub(super) fn follows(&self, model: ModelId, parent: &Parent) -> bool {
        let (_, back) = self.ends(parent.relation);
        self.access.follows(model, back.field, parent.model)
    }

    /// Runs what finds and locks one row. A statement that waited for its lock reads the row as it
    /// is by then, but other rows as they were when it began: where those decide, it runs again,
    /// now that the row is locked.
    pub(super) fn find_one(
        &mut self,
        elsewhere: bool,
        filter: &Filter,
        find: impl Fn(&Filter) -> Statement,
        fills: Vec<Register>,
        expect: Expect,
    ) {
        if elsewhere && expect == Expect::Anything {
            let first = self.register();
            self.run_into(
                find(&with_isolated_conditions(filter)),
                vec![first],
                Expect::Anything,
            );
            let locked = filter.clone().and(Filter::IdIs(Param::Register(first)));
            self.run_into(find(&locked), fills, expect);
            return;
        }
        if elsewhere {
            self.run(find(&with_isolated_conditions(filter)), expect.clone());
        }
        self.run_into(find(filter), fills, expect);
    }

    /// The ids of rows that are to be written, as an array.
    pub(super) fn find_many(
        &mut self,
        model: ModelId,
        filter: &Filter,
        parent: Option<&Parent>,
        lock: Lock,
    ) -> Register {
        let ids = self.register();
        self.find_many_into(model, filter, parent, lock, vec![ids]);
        ids
    }

    /// As [`Writer::find_many`], and how many there are.
    pub(super) fn find_and_count(
        &mut self,
        model: ModelId,
        filter: &Filter,
        parent: Option<&Parent>,
        lock: Lock,
    ) -> (Register, Register) {
        let (ids, count) = (self.register(), self.register());
        self.find_many_into(model, filter, parent, lock, vec![ids, count]);
        (ids, count)
    }

    fn find_many_into(
        &mut self,
        model: ModelId,
        filter: &Filter,
        parent: Option<&Parent>,
        lock: Lock,
        fills: Vec<Register>,
    ) {
        let physical = self.planner.physical();
        let linked = parent.map(Parent::linked);
        let mut filter = filter.clone();
        let serves = lock != Lock::None && !self.access.is_limited();
        if serves && self.planner.reads_other_rows(model, &filter) {
            // A statement that locks would hold a row it has waited for to the partner that it had
            // before, and pass over one that has another by now which matches as well.
            let found = self.register();
            self.run_into(
                write::find_ids(physical, model, &filter, linked, Lock::None),
                vec![found],
                Expect::Anything,
            );
            self.run(
                delete::lock_rows(physical, model, &Param::Register(found)),
                Expect::Anything,
            );
            filter = filter.and(super::rows(found));
        } else if lock != Lock::None && self.is_decided_elsewhere(model, parent) {
            let first = self.register();
            let find = write::find_ids(
                physical,
                model,
                &with_isolated_conditions(&filter),
                linked,
                lock,
            );
            self.run_into(find, vec![first], Expect::Anything);
            filter = filter.and(super::rows(first));
        }
        self.run_into(
            write::find_ids(physical, model, &filter, linked, lock),
            fills,
            Expect::Anything,
        );
    }

    /// The child that is to be connected, if the viewer may connect it: found and locked by the
    /// statement that links it.
    pub(super) fn child_to_link(&mut self, relation: RelationRef, unique: &Unique) -> Node {
        let filter = self.linkable_child(relation, unique);
        if self.access.is_limited() {
            Node::Held(filter)
        } else {
            Node::Where(filter)
        }
    }

    /// As [`Writer::child_to_link`], found and locked before anything else is done: links that are
    /// removed before the child is connected may be what makes it the viewer's, and no other
    /// transaction connects it after its old parent was checked.
    pub(super) fn lock_child(&mut self, relation: RelationRef, unique: &Unique) -> Node {
        let filter = self.linkable_child(relation, unique);
        if !self.access.is_limited() {
            return Node::Where(filter);
        }
        let (planner, lock) = (self.planner, self.lock_to_link(relation));
        let missing = Expect::Some(Box::new(planner.missing(unique, self.access)));
        let id = self.register();
        let statement = write::lock_as(planner.physical(), relation.target, &filter, lock);
        self.run_into(statement, vec![id], missing);
        Node::Id(self.named_id(unique).unwrap_or(Param::Register(id)))
    }

    /// The condition on a child that is to be connected. Where other rows decide it, the child is
    /// locked by now.
    fn linkable_child(&mut self, relation: RelationRef, unique: &Unique) -> Filter {
        let among = self.linkable(relation);
        let filter = unique.filter().and(among.clone());
        self.flush_before(unique);
        let (planner, target) = (self.planner, relation.target);
        if self.access.is_limited() && planner.is_decided_elsewhere(target, &among) {
            let missing = Expect::Some(Box::new(planner.missing(unique, self.access)));
            let lock = self.lock_to_link(relation);
            self.run(
                write::lock_as(
                    planner.physical(),
                    target,
                    &with_isolated_conditions(&filter),
                    lock,
                ),
                missing,
            );
        }
        filter
    }

    /// The id, if it names the row: then the next statements need not wait for this one.
    pub(super) fn named_id(&self, unique: &Unique) -> Option<Param> {
        let by_id = unique.field == self.planner.model().model(unique.model).id;
        by_id.then(|| Param::Text(unique.text.clone()))
    }

    /// The lock on a child that is connected: against concurrent connects if it can have only one
    /// parent, or if its row holds the link.
    pub(super) fn lock_to_link(&self, relation: RelationRef) -> Lock {
        if !self.access.is_limited() {
            return Lock::None;
        }
        let (_, back) = self.ends(relation);
        match self.planner.physical().link(relation) {
            LinkAt::Partner(_) => Lock::Update,
            _ if !back.list => Lock::Update,
            _ => Lock::Share,
        }
    }

    /// Locks the partners of these rows, which stand at the end `side`, where the partners' rows
    /// hold the link and are about to lose it. Gives their ids.
    pub(super) fn lock_link_holders(
        &mut self,
        relation: RelationId,
        side: Side,
        rows: &Filter,
    ) -> Option<Register> {
        let held = matches!(
            self.planner.physical().link_at(relation, side),
            LinkAt::Partner(_)
        );
        (held && self.access.is_limited()).then(|| self.lock_partners(relation, side, rows))
    }

    /// Locks the old parents of all children that are about to be connected, in the order of their
    /// ids and before any of the children: a transaction that writes an old parent's children locks
    /// the parent first as well. A child that the viewer may not connect locks nothing.
    pub(super) fn lock_old_parents(
        &mut self,
        parent_model: ModelId,
        relation: RelationRef,
        children: &[Unique],
    ) {
        if !children.is_empty() && self.locks_old_parents(parent_model, relation) {
            let named = Filter::Or(Unique::any_of(children)).and(self.linkable(relation));
            self.lock_partners(relation.relation, relation.side.other(), &named);
        }
    }

    /// Whether a child's old parent is locked before the child is taken from it.
    pub(super) fn locks_old_parents(&self, parent_model: ModelId, relation: RelationRef) -> bool {
        let (_, back) = self.ends(relation);
        if back.list || !self.access.is_limited() {
            return false;
        }
        let in_parents_row = matches!(self.planner.physical().link(relation), LinkAt::Own(_));
        in_parents_row || self.old_parent_decides(parent_model, relation)
    }

    /// Locks the old parent of a child whose own row, or a table, holds the link, if the old parent
    /// decides whether the child may be taken from it: no other transaction changes it, or takes
    /// its other children, until that is decided. Usually it is locked already
    /// ([`Writer::lock_old_parents`]); the child may have got another one before it was locked.
    pub(super) fn lock_old_parent(
        &mut self,
        parent_model: ModelId,
        relation: RelationRef,
        child: &Filter,
    ) {
        if self.old_parent_decides(parent_model, relation) {
            self.lock_partners(relation.relation, relation.side.other(), child);
        }
    }

    /// Whether the old parent decides that a child may be connected.
    pub(super) fn old_parent_decides(&self, parent_model: ModelId, relation: RelationRef) -> bool {
        let rule = match self.planner.physical().link(relation) {
            LinkAt::Table { .. } => self.access.writable(parent_model),
            LinkAt::Own(_) | LinkAt::Partner(_) => self.access.visible(parent_model),
        };
        !rule.is_true()
            || self
                .access
                .links_matter(parent_model, relation.relation, LinkEffect::Cut)
    }

    /// Locks the partners of these rows, which stand at the end `side`, and gives their ids.
    fn lock_partners(&mut self, relation: RelationId, side: Side, rows: &Filter) -> Register {
        let ids = self.register();
        let statement = guard::lock_linked(self.planner.physical(), relation, side, rows);
        self.run_into(statement, vec![ids], Expect::Anything);
        ids
    }
}

/// The same filter, its conditions on other rows evaluated by themselves. PostgreSQL joins those
/// rows otherwise, and a statement that waited for the row would compare it with its previous
/// partner.
pub(super) fn with_isolated_conditions(filter: &Filter) -> Filter {
    match filter {
        Filter::And(parts) => Filter::And(parts.iter().map(with_isolated_conditions).collect()),
        part if part.is_related() => {
            Filter::NotTrue(Box::new(Filter::NotTrue(Box::new(part.clone()))))
        }
        part => part.clone(),
    }
}
