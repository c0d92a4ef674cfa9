//! Rows that a viewer's write creates, or changes in what decides who may write them, and the check
//! at the end that the viewer still may. For the service role none of this adds a statement.

use indexmap::{IndexMap, IndexSet};

use super::Writer;
use super::links::Parent;
use crate::datamodel::{FieldId, ModelId, RelationId, RelationRef, Side};
use crate::plan::program::{Expect, Step};
use crate::plan::rule_inputs::LinkEffect;
use crate::sql::write::{self, Lock};
use crate::sql::{Filter, LinkAt, Param, Register, array_literal, guard};

/// Rows that must be writable for the viewer once all is done.
pub(super) enum TouchedRows {
    /// By their ids: a condition might not find them any more, after what the write has made of
    /// them.
    Rows(ModelId, Filter),
    /// By the branch that was taken.
    Either {
        register: Register,
        then: Vec<TouchedRows>,
        otherwise: Vec<TouchedRows>,
    },
}

impl Writer<'_> {
    /// These rows are new, or changed in what decides who may write them: they are checked when all
    /// is done.
    pub(super) fn touch(&mut self, model: ModelId, rows: Filter) {
        debug_assert!(
            matches!(rows, Filter::IdIs(_) | Filter::IdIn(_)),
            "rows are touched by their ids"
        );
        if self.access.is_limited() {
            self.touched.push(TouchedRows::Rows(model, rows));
        }
    }

    /// As [`Writer::touch`], if one of the columns decides.
    pub(super) fn touch_by(&mut self, model: ModelId, columns: &[(FieldId, Param)], rows: &Filter) {
        if self.matters(model, columns) {
            self.touch(model, rows.clone());
        }
    }

    /// As [`Writer::touch_by`], of the stamps on rows whose link column is written.
    pub(super) fn touch_by_stamps(&mut self, model: ModelId, rows: Filter) {
        let stamps = self.access.stamps_on_update(model);
        if stamps
            .iter()
            .any(|(field, _)| self.access.column_matters(model, *field))
        {
            self.touch(model, rows);
        }
    }

    pub(super) fn matters(&self, model: ModelId, columns: &[(FieldId, Param)]) -> bool {
        columns
            .iter()
            .any(|(field, _)| self.access.column_matters(model, *field))
    }

    /// As [`Writer::touch`], of those rows that are writable now: what the viewer could not write
    /// before need not be writable after a write that leaves the rows themselves alone.
    pub(super) fn touch_if_writable(&mut self, model: ModelId, rows: &Filter) {
        let filter = rows.clone().and(self.access.writable(model));
        let ids = self.register();
        let find = write::find_ids(self.planner.physical(), model, &filter, None, Lock::None);
        self.run_into(find, vec![ids], Expect::Anything);
        self.touch(model, super::rows(ids));
    }

    /// Links of the parent are about to change.
    pub(super) fn touch_parent(&mut self, parent: &Parent, change: LinkEffect) {
        if self
            .access
            .links_matter(parent.model, parent.relation.relation, change)
        {
            self.touch(parent.model, Filter::IdIs(parent.id.clone()));
        }
    }

    /// Links of a child that was there before are about to change along the parent's relation.
    pub(super) fn touch_child(
        &mut self,
        relation: RelationRef,
        child: &Filter,
        change: LinkEffect,
    ) {
        if !self
            .access
            .links_matter(relation.target, relation.relation, change)
        {
            return;
        }
        match self.planner.physical().link(relation) {
            LinkAt::Partner(_) => self.touch(relation.target, child.clone()),
            LinkAt::Own(_) | LinkAt::Table { .. } => self.touch_if_writable(relation.target, child),
        }
    }

    /// The partners of these rows, which stand at the end `side` of the relation, are about to lose
    /// their link.
    pub(super) fn touch_partners(&mut self, relation: RelationId, side: Side, rows: &Filter) {
        let physical = self.planner.physical();
        let model = physical.model.relation(relation).end(side.other()).model;
        if self.access.links_matter(model, relation, LinkEffect::Cut) {
            let ids = self.register();
            let find =
                guard::linked_ids(physical, relation, side, rows, &self.access.writable(model));
            self.run_into(find, vec![ids], Expect::Anything);
            self.touch(model, super::rows(ids));
        }
    }

    /// The last steps of a program: everything touched must be writable for the viewer now.
    pub(super) fn check_touched(&mut self, touched: Vec<TouchedRows>) {
        let mut known: IndexMap<ModelId, IndexSet<String>> = IndexMap::new();
        for touched in touched {
            match touched {
                TouchedRows::Rows(model, Filter::IdIs(Param::Text(id))) => {
                    known.entry(model).or_default().insert(id);
                }
                TouchedRows::Rows(model, rows) => self.check_writable(model, &rows),
                TouchedRows::Either {
                    register,
                    then,
                    otherwise,
                } => {
                    let outer = std::mem::take(&mut self.steps);
                    self.check_touched(then);
                    let then = std::mem::take(&mut self.steps);
                    self.check_touched(otherwise);
                    let otherwise = std::mem::replace(&mut self.steps, outer);
                    if !then.is_empty() || !otherwise.is_empty() {
                        self.steps.push(Step::Choose {
                            register,
                            then,
                            otherwise,
                        });
                    }
                }
            }
        }
        for (model, ids) in known {
            let ids = array_literal(ids.iter().map(String::as_str));
            self.check_writable(model, &Filter::IdIn(Param::Text(ids)));
        }
    }
}
