//! Links between a parent and its partners: what must be free, what is cut, what is tied, and what the
//! requiredness of both ends forbids.

use super::Writer;
use crate::datamodel::{ModelId, RelationEnd, RelationRef};
use crate::error::ApiError;
use crate::plan::filter::Unique;
use crate::plan::program::{Expect, Param};
use crate::sql::write::{self, Linked, Node};
use crate::sql::{Filter, LinkAt};

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
    pub fn linked(&self) -> Linked<'_> {
        Linked { relation: self.relation, parent_model: self.model, parent: &self.id }
    }

    /// Whether the child's relation field is the other end of this one.
    pub fn leads_back_by(&self, of_child: RelationRef) -> bool {
        of_child.relation == self.relation.relation && of_child.side == self.relation.side.other()
    }
}

impl Writer<'_> {
    /// The ends of a relation seen from a parent's field: its own, and the child's.
    pub(super) fn ends(&self, relation: RelationRef) -> (&RelationEnd, &RelationEnd) {
        let definition = self.planner.model().relation(relation.relation);
        (definition.end(relation.side), definition.end(relation.side.other()))
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

    /// Before a new child is tied to a parent that may have one already.
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
                let statement =
                    write::other_children(self.planner.physical(), parent.linked(), &[], &Filter::TRUE);
                self.run(statement, self.expect_none(parent.relation));
            }
        }
        self.cut_parent(parent);
    }

    /// Ties an existing child to the parent, taking it from where it was.
    pub(super) fn connect(&mut self, parent: &Parent, child: &Unique) {
        let node = self.partner(parent.relation, child);
        let missing = self.planner.missing(child, self.access);
        let (own, back) = self.ends(parent.relation);
        let own_list = own.list;
        let takes_room = !own.list && !parent.new;
        let needs_parent = !own.list && !back.list && back.required && !own.required;
        if takes_room && needs_parent {
            let except = std::slice::from_ref(&node);
            let statement =
                write::other_children(self.planner.physical(), parent.linked(), except, &Filter::TRUE);
            self.run(statement, self.expect_none(parent.relation));
        }
        let known_parent = (!parent.new).then_some(&parent.id);
        self.free_child(parent.model, parent.relation, &node, known_parent);
        if !own_list && !parent.new {
            self.cut_parent(parent);
        }
        let statement = write::link(self.planner.physical(), parent.linked(), &node);
        self.run(statement, Expect::Filled(vec![(0, missing)]));
        self.touch_link(parent, child.filter());
    }

    /// Frees a child from its old parent, unless that is forbidden: along a one-to-one relation an old
    /// parent that needs the child keeps it.
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
            let statement = write::other_parent(physical, relation, parent_model, child, parent);
            self.run(statement, self.expect_none(relation));
        }
        let (side, child_row) = (relation.side.other(), child.filter());
        let among = match physical.link(relation) {
            LinkAt::Own(_) => self.access.writable(parent_model),
            _ => self.access.visible(parent_model),
        };
        self.spare(relation.relation, side, &child_row, &among);
        // A link in the child's own row is overwritten by the new one.
        if !matches!(physical.link(relation), LinkAt::Partner(_)) {
            self.touch_partners(relation.relation, side, &child_row, &among);
            self.run(write::cut_from_child(physical, relation, parent_model, child), Expect::Anything);
        }
    }

    /// Removes the links of a to-one parent; one in its own row is overwritten by the next.
    fn cut_parent(&mut self, parent: &Parent) {
        let physical = self.planner.physical();
        let RelationRef { relation, side, .. } = parent.relation;
        let (own, among) = (Filter::IdIs(parent.id.clone()), self.tieable(parent.relation));
        self.touch_partners(relation, side, &own, &among);
        // However the link is kept: whoever cannot be seen does not lose one.
        self.spare(relation, side, &own, &among);
        if !matches!(physical.link(parent.relation), LinkAt::Own(_)) {
            self.run(write::cut_from_parent(physical, parent.linked(), &Filter::TRUE), Expect::Anything);
        }
    }

    /// Ties a child that this mutation created, unless its row was born linked.
    pub(super) fn tie_new_child(&mut self, parent: &Parent, child: Param) {
        let physical = self.planner.physical();
        if !matches!(physical.link(parent.relation), LinkAt::Partner(_)) {
            let statement = write::link(physical, parent.linked(), &Node::Id(child.clone()));
            self.run(statement, Expect::Anything);
        }
        self.touch_link(parent, Filter::IdIs(child));
    }

    /// Replaces all links of a to-many parent. A child that needs a parent must not be left without.
    pub(super) fn replace_links(&mut self, parent: &Parent, children: &[Unique]) {
        let physical = self.planner.physical();
        let (_, back) = self.ends(parent.relation);
        let nodes: Vec<Node> = children.iter().map(|child| self.partner(parent.relation, child)).collect();
        let among = self.tieable(parent.relation);
        if !back.list && back.required {
            let statement = write::other_children(physical, parent.linked(), &nodes, &among);
            self.run(statement, self.expect_none(parent.relation));
        }
        let RelationRef { relation, side, .. } = parent.relation;
        self.touch_partners(relation, side, &Filter::IdIs(parent.id.clone()), &among);
        self.run(write::cut_from_parent(physical, parent.linked(), &among), Expect::Anything);
        for child in children {
            self.connect(parent, child);
        }
    }
}
