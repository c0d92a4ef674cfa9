//! Which rows a viewer's write may reach, and which it must leave alone. For the service role none of this makes a
//! statement.

use super::Writer;
use crate::datamodel::{ModelId, RelationId, RelationRef, Side};
use crate::error::ApiError;
use crate::plan::filter::Unique;
use crate::plan::program::Expect;
use crate::sql::{Filter, LinkAt, guard};

impl Writer<'_> {
    /// The row that a `where` names, if the viewer may write it.
    pub(super) fn own(&self, unique: &Unique) -> Filter {
        unique.filter().and(self.access.writable(unique.model))
    }

    /// The rows at the far end of a relation that may be tied or cut: those whose own row holds the link must be
    /// writable.
    pub(super) fn tieable(&self, relation: RelationRef) -> Filter {
        match self.planner.physical().link(relation) {
            LinkAt::Partner(_) => self.access.writable(relation.target),
            LinkAt::Own(_) | LinkAt::Table { .. } => self.access.visible(relation.target),
        }
    }

    /// Fails if a partner of these rows, at the end `side`, is not among those that the filter says.
    pub(super) fn spare(
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

    /// The answer to a write that reaches a row of the model which is not the viewer's. While rows are deleted it names
    /// their model: which rows of others hang on them is not told.
    fn refusal(&self, model: ModelId) -> ApiError {
        self.planner.no_access(self.deleted.unwrap_or(model))
    }

    /// Fails if one of these rows is not the viewer's to write.
    pub(super) fn claim(&mut self, model: ModelId, rows: &Filter) {
        let writable = self.access.writable(model);
        if writable.is_true() {
            return;
        }
        let statement = guard::outside(self.planner.physical(), model, rows, &writable);
        self.run(statement, Expect::None(Box::new(self.refusal(model))));
    }
}
