//! Links between a parent and its partners: which must be free, which are removed, which are made,
//! and which the requiredness of both ends forbids.

use super::Writer;
use crate::datamodel::{ModelId, RelationEnd, RelationRef};
use crate::error::ApiError;
use crate::plan::filter::Unique;
use crate::plan::program::Expect;
use crate::plan::rule_inputs::LinkEffect;
use crate::sql::links::{self, WriterStamp};
use crate::sql::write::{Linked, Node};
use crate::sql::{Filter, LinkAt, Param, Register};

/// The node in whose data a nested write stands, and its relation field that leads there.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    pub model: ModelId,
    pub id: Param,
    pub relation: RelationRef,
    /// Created by the same mutation: it has no links yet.
    pub new: bool,
}

impl Parent {
    pub(super) fn linked(&self) -> Linked<'_> {
        Linked {
            relation: self.relation,
            parent_model: self.model,
            parent: &self.id,
        }
    }

    /// Whether the child's relation field is the other end of this one.
    pub(super) fn leads_back_by(&self, of_child: RelationRef) -> bool {
        of_child.relation == self.relation.relation && of_child.side == self.relation.side.other()
    }
}

impl<'a> Writer<'a> {
    /// The ends of a relation seen from a parent's field: its own, and the child's.
    pub(super) fn ends(&self, relation: RelationRef) -> (&RelationEnd, &RelationEnd) {
        let definition = self.planner.model().relation(relation.relation);
        (
            definition.end(relation.side),
            definition.end(relation.side.other()),
        )
    }

    /// 3042
    pub(super) fn required_violation(&self, relation: crate::datamodel::RelationId) -> ApiError {
        let definition = self.planner.model().relation(relation);
        ApiError::numbered(
            3042,
            format!(
                "The change you are trying to make would violate the required relation '{}' between {} and {}",
                definition.name,
                self.planner.model_name(definition.a.model),
                self.planner.model_name(definition.b.model)
            ),
        )
    }

    fn expect_none(&self, relation: RelationRef) -> Expect {
        Expect::None(Box::new(self.required_violation(relation.relation)))
    }

    /// Before a new child is linked to a parent that may have one already.
    pub(super) fn make_room_for_new_child(&mut self, parent: &Parent) {
        let (own, back) = self.ends(parent.relation);
        let (own_list, own_required) = (own.list, own.required);
        let (back_list, back_required) = (back.list, back.required);
        if parent.new || own_list {
            return;
        }
        if !back_list && back_required {
            if own_required {
                self.fail(self.required_violation(parent.relation.relation));
            } else {
                let statement = links::other_children(
                    self.planner.physical(),
                    parent.linked(),
                    None,
                    &Filter::TRUE,
                );
                self.run(statement, self.expect_none(parent.relation));
            }
        }
        self.cut_parent(parent);
    }

    /// Links an existing child to the parent, and removes its old link.
    pub(super) fn connect(&mut self, parent: &Parent, child: &Unique) {
        let (own, back) = self.ends(parent.relation);
        let takes_room = !own.list && !parent.new;
        let cuts_before = match self.planner.physical().link(parent.relation) {
            LinkAt::Own(_) => !back.list,
            // A parent with at most one child gets it only if the child's old parent does not need
            // it.
            LinkAt::Partner(_) => {
                !own.list || self.old_parent_decides(parent.model, parent.relation)
            }
            LinkAt::Table { .. } => !back.list || takes_room,
        };
        let node = if cuts_before {
            self.lock_child(parent.relation, child)
        } else {
            self.child_to_link(parent.relation, child)
        };
        self.connect_node(parent, &node, child);
    }

    /// As [`Writer::connect`], of the child that `unique` names.
    fn connect_node(&mut self, parent: &Parent, node: &Node, unique: &Unique) {
        let (own, back) = self.ends(parent.relation);
        let (own_list, moves) = (own.list, !back.list);
        let takes_room = !own.list && !parent.new;
        let needs_parent = !own.list && !back.list && back.required && !own.required;
        let physical = self.planner.physical();
        let is_in_child_row = matches!(physical.link(parent.relation), LinkAt::Partner(_));
        if !is_in_child_row {
            let change = if moves {
                LinkEffect::Any
            } else {
                LinkEffect::Made
            };
            self.touch_child(parent.relation, &node.filter(), change);
        }
        if takes_room && needs_parent {
            let statement =
                links::other_children(physical, parent.linked(), Some(node), &Filter::TRUE);
            self.run(statement, self.expect_none(parent.relation));
        }
        let known_parent = (!parent.new).then_some(&parent.id);
        self.free_child(parent.model, parent.relation, node, known_parent);
        if !own_list && !parent.new {
            self.cut_parent(parent);
        }
        let statement = links::link(
            physical,
            parent.linked(),
            node,
            self.stamps_of_links(parent),
        );
        let missing = self.planner.missing(unique, self.access);
        let (id, fills) = self.linked_id(node, unique);
        self.run_into(statement, fills, Expect::Filled(vec![(0, missing)]));
        self.touch_parent(parent, LinkEffect::Made);
        let child = Filter::IdIs(id);
        self.touch_holder(parent, &child);
        if is_in_child_row {
            self.touch_child(parent.relation, &child, LinkEffect::Any);
        }
    }

    /// The id of a child that is being connected, and the register for the id that the statement
    /// returns, where the program does not have the id yet. After the connect the filter that found
    /// the child may not match it any more.
    fn linked_id(&mut self, node: &Node, unique: &Unique) -> (Param, Vec<Register>) {
        let known = match node {
            Node::Id(id) => Some(id.clone()),
            Node::Where(_) | Node::Held(_) => self.named_id(unique),
        };
        match known {
            Some(id) => (id, Vec::new()),
            // Nothing is checked afterwards.
            None if !self.access.is_limited() => (Param::Null, Vec::new()),
            None => {
                let id = self.register();
                (Param::Register(id), vec![id])
            }
        }
    }

    /// Frees a child from its old parent, unless that is forbidden: along a one-to-one relation an
    /// old parent that needs the child keeps it.
    pub(super) fn free_child(
        &mut self,
        parent_model: ModelId,
        relation: RelationRef,
        child: &Node,
        parent: Option<&Param>,
    ) {
        let (own, back) = self.ends(relation);
        let (own_list, own_required) = (own.list, own.required);
        if back.list {
            return;
        }
        let physical = self.planner.physical();
        if !own_list && own_required {
            if back.required {
                self.fail(self.required_violation(relation.relation));
                return;
            }
            let statement = links::other_parent(physical, relation, child, parent);
            self.run(statement, self.expect_none(relation));
        }
        let (side, child_row) = (relation.side.other(), child.filter());
        let held = self.lock_link_holders(relation.relation, side, &child_row);
        let writable = self.access.writable(parent_model);
        match physical.link(relation) {
            LinkAt::Own(_) => self.check_partners(relation.relation, side, &child_row, &writable),
            LinkAt::Partner(_) => {
                self.lock_old_parent(parent_model, relation, &child_row);
                self.check_partners(
                    relation.relation,
                    side,
                    &child_row,
                    &self.access.visible(parent_model),
                );
            }
            LinkAt::Table { .. } => {
                self.lock_old_parent(parent_model, relation, &child_row);
                self.check_partners(
                    relation.relation,
                    side,
                    &child_row,
                    &self.access.visible(parent_model),
                );
                // A link that another user made may be removed by a viewer who may write one of the
                // two rows.
                let others = self.access.writable(relation.target);
                if others != self.access.visible(relation.target) {
                    let foreign = child_row.clone().and(Filter::NotTrue(Box::new(others)));
                    self.check_partners(relation.relation, side, &foreign, &writable);
                }
            }
        }
        self.touch_partners(relation.relation, side, &child_row);
        // A link in the child's own row is overwritten by the new one.
        if !matches!(physical.link(relation), LinkAt::Partner(_)) {
            let stamps = self.access.stamps_on_update(parent_model);
            let statement = links::cut_from_child(physical, relation, child, stamps);
            self.run(statement, Expect::Anything);
            if let Some(held) = held {
                self.touch_by_stamps(parent_model, super::rows(held));
            }
        }
    }

    /// Removes the links of a to-one parent; one in its own row is overwritten by the next.
    fn cut_parent(&mut self, parent: &Parent) {
        let physical = self.planner.physical();
        let RelationRef { relation, side, .. } = parent.relation;
        let (own, among) = (
            Filter::IdIs(parent.id.clone()),
            self.linkable(parent.relation),
        );
        self.touch_parent(parent, LinkEffect::Cut);
        let held = self.lock_link_holders(relation, side, &own);
        // Wherever the link is stored: rows that the viewer cannot see do not lose one.
        self.check_partners(relation, side, &own, &among);
        self.touch_partners(relation, side, &own);
        if !matches!(physical.link(parent.relation), LinkAt::Own(_)) {
            let stamps = self.stamps_of_links(parent);
            let statement =
                links::cut_from_parent(physical, parent.linked(), &Filter::TRUE, stamps);
            self.run(statement, Expect::Anything);
            if let Some(held) = held {
                self.touch_by_stamps(parent.relation.target, super::rows(held));
            }
        }
    }

    /// Links a child that this mutation created, unless its row was inserted with the link.
    pub(super) fn link_new_child(&mut self, parent: &Parent, child_id: Param) {
        let physical = self.planner.physical();
        let child = Filter::IdIs(child_id.clone());
        if !matches!(physical.link(parent.relation), LinkAt::Partner(_)) {
            let node = Node::Id(child_id);
            let statement = links::link(
                physical,
                parent.linked(),
                &node,
                self.stamps_of_links(parent),
            );
            self.run(statement, Expect::Anything);
            self.touch_holder(parent, &child);
        }
        self.touch_parent(parent, LinkEffect::Made);
        // A new row is checked anyway, unless it follows its parent.
    }

    /// Replaces all links of a to-many parent. A child that needs a parent must keep one.
    pub(super) fn replace_links(&mut self, parent: &Parent, children: &[Unique]) {
        if self.access.is_limited() {
            self.replace_own_links(parent, children);
            return;
        }
        let physical = self.planner.physical();
        let (_, back) = self.ends(parent.relation);
        if !back.list && back.required {
            let statement =
                links::other_children(physical, parent.linked(), None, &none_of(children));
            self.run(statement, self.expect_none(parent.relation));
        }
        self.run(
            links::cut_from_parent(physical, parent.linked(), &Filter::TRUE, &[]),
            Expect::Anything,
        );
        for child in children {
            self.connect(parent, child);
        }
    }

    /// As [`Writer::replace_links`], of those links that the viewer may cut. A child that stays
    /// keeps its link, which may be what makes it the viewer's.
    fn replace_own_links(&mut self, parent: &Parent, children: &[Unique]) {
        let (physical, target) = (self.planner.physical(), parent.relation.target);
        self.lock_old_parents(parent.model, parent.relation, children);
        // In one order, so that two transactions that set the same children do not deadlock.
        let mut sorted: Vec<&Unique> = children.iter().collect();
        sorted.sort_by(|a, b| (a.field.0, &a.text).cmp(&(b.field.0, &b.text)));
        let relation = parent.relation;
        let nodes: Vec<(Node, &Unique)> = sorted
            .into_iter()
            .map(|child| (self.lock_child(relation, child), child))
            .collect();
        let others = self.linkable(relation).and(none_of(children));
        let lock = self.lock_to_link(parent.relation);
        let going = self.find_many(target, &others, Some(parent), lock);
        let going = super::rows(going);
        let (_, back) = self.ends(parent.relation);
        if !back.list && back.required {
            let statement = links::other_children(physical, parent.linked(), None, &going);
            self.run(statement, self.expect_none(parent.relation));
        }
        self.touch_parent(parent, LinkEffect::Cut);
        self.touch_child(parent.relation, &going, LinkEffect::Cut);
        let stamps = self.stamps_of_links(parent);
        self.run(
            links::cut_from_parent(physical, parent.linked(), &going, stamps),
            Expect::Anything,
        );
        self.touch_holder(parent, &going);
        for (node, child) in nodes {
            self.connect_node(parent, &node, child);
        }
    }

    /// Removes the link between the parent and a child that has been found.
    pub(super) fn cut_pair(&mut self, parent: &Parent, child: Param) {
        let row = Filter::IdIs(child.clone());
        self.touch_parent(parent, LinkEffect::Cut);
        self.touch_child(parent.relation, &row, LinkEffect::Cut);
        let stamps = self.stamps_of_links(parent);
        let physical = self.planner.physical();
        let statement = links::cut_pair(physical, parent.linked(), &Node::Id(child), stamps);
        self.run(statement, Expect::Anything);
        self.touch_holder(parent, &row);
    }

    /// The stamps of the row that holds the links of a parent.
    fn stamps_of_links(&self, parent: &Parent) -> &'a [WriterStamp] {
        match self.planner.physical().link(parent.relation) {
            LinkAt::Own(_) => self.access.stamps_on_update(parent.model),
            LinkAt::Partner(_) => self.access.stamps_on_update(parent.relation.target),
            LinkAt::Table { .. } => &[],
        }
    }

    fn touch_holder(&mut self, parent: &Parent, children: &Filter) {
        match self.planner.physical().link(parent.relation) {
            LinkAt::Own(_) => self.touch_by_stamps(parent.model, Filter::IdIs(parent.id.clone())),
            LinkAt::Partner(_) => self.touch_by_stamps(parent.relation.target, children.clone()),
            LinkAt::Table { .. } => {}
        }
    }
}

/// The rows other than these: a parameter for each unique field by which they are named, however
/// many there are.
fn none_of(children: &[Unique]) -> Filter {
    if children.is_empty() {
        return Filter::TRUE;
    }
    // A row without a value in such a field is another one.
    Filter::NotTrue(Box::new(Filter::Or(Unique::any_of(children))))
}
