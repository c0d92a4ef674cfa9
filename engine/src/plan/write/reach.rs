//! Which rows a viewer's write may change. For the service role none of this adds a statement.

use super::Writer;
use crate::datamodel::{ModelId, RelationId, RelationRef, Side};
use crate::error::ApiError;
use crate::plan::filter::Unique;
use crate::plan::program::Expect;
use crate::sql::{Filter, LinkAt, guard};

impl Writer<'_> {
    /// The row that a `where` names, if the viewer may write it.
    pub(super) fn writable_row(&self, unique: &Unique) -> Filter {
        unique.filter().and(self.access.writable(unique.model))
    }

    /// The rows at the far end of a relation whose links may be made or removed: those whose own
    /// row holds the link must be writable.
    pub(super) fn linkable(&self, relation: RelationRef) -> Filter {
        match self.planner.physical().link(relation) {
            LinkAt::Partner(_) => self.access.writable(relation.target),
            LinkAt::Own(_) | LinkAt::Table { .. } => self.access.visible(relation.target),
        }
    }

    /// Fails if a partner of these rows, at the end `side`, does not satisfy the filter.
    pub(super) fn check_partners(
        &mut self,
        relation: RelationId,
        side: Side,
        rows: &Filter,
        among: &Filter,
    ) {
        if among.is_true() {
            return;
        }
        let physical = self.planner.physical();
        let model = physical.model.relation(relation).end(side.other()).model;
        let statement = guard::linked_outside(physical, relation, side, rows, among);
        self.run(statement, Expect::None(Box::new(self.refusal(model))));
    }

    /// The error for a write that reaches a row of the model which the viewer may not write. While
    /// rows are deleted it names their model, and does not reveal which other rows depend on them.
    fn refusal(&self, model: ModelId) -> ApiError {
        self.planner.no_access(self.deleted.unwrap_or(model))
    }

    /// Fails if one of these rows is not the viewer's to write.
    pub(super) fn check_writable(&mut self, model: ModelId, rows: &Filter) {
        let writable = self.access.writable(model);
        if writable.is_true() {
            return;
        }
        let statement = guard::outside(self.planner.physical(), model, rows, &writable);
        self.run(statement, Expect::None(Box::new(self.refusal(model))));
    }
}
