//! What the viewer's rules ask of a write: which rows it may reach, which it must leave alone, and that what it has
//! written is still the viewer's. For the service role none of this makes a statement.

use super::links::Parent;
use super::{Touched, Writer};
use crate::datamodel::{FieldId, ModelId, RelationId, RelationRef, Side};
use crate::error::ApiError;
use crate::plan::context::entries;
use crate::plan::filter::Unique;
use crate::plan::program::{Expect, Param, Step};
use crate::plan::rights::Change;
use crate::request::Value;
use crate::schema::InputMeaning;
use crate::sql::write::{self, Lock};
use crate::sql::{Filter, LinkAt, array_literal, guard};

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

    /// Refuses data that names fields which the viewer may not.
    pub(super) fn check_data(&self, model: ModelId, data: &Value) -> Result<(), ApiError> {
        for (meaning, _) in entries(data) {
            if let InputMeaning::Value(field)
            | InputMeaning::ListValue(field)
            | InputMeaning::Relation(field) = meaning
            {
                self.access.check_field(self.planner, model, *field)?;
            }
        }
        Ok(())
    }

    /// Refuses to write rows inside the data of others, where the policy does not make them parts.
    pub(super) fn check_nested(&self, kind: InputMeaning, parent: &Parent) -> Result<(), ApiError> {
        let target = parent.relation.target;
        match kind {
            InputMeaning::Connect | InputMeaning::Set | InputMeaning::Disconnect => {
                match self.planner.physical().link(parent.relation) {
                    LinkAt::Partner(_) => self.access.check_link_in(self.planner, target, self.top),
                    LinkAt::Own(_) | LinkAt::Table { .. } => Ok(()),
                }
            }
            _ => self.access.check_part(self.planner, target, self.top),
        }
    }

    /// Fails if a partner of these rows, at the end `side`, is not among those that the filter says.
    pub(super) fn spare(&mut self, relation: RelationId, side: Side, rows: &Filter, among: &Filter) {
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

    /// These rows are new, or changed in what decides whose they are: they are looked at when all is done.
    pub(super) fn touch(&mut self, model: ModelId, rows: Filter) {
        if self.access.is_limited() {
            self.touched.push(Touched::Rows(model, rows));
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
        if stamps.iter().any(|(field, _)| self.access.column_matters(model, *field)) {
            self.touch(model, rows);
        }
    }

    pub(super) fn matters(&self, model: ModelId, columns: &[(FieldId, Param)]) -> bool {
        columns.iter().any(|(field, _)| self.access.column_matters(model, *field))
    }

    /// As [`Writer::touch`], of those rows that are writable now: what the viewer could not write before need not be
    /// writable after a write that leaves the rows themselves alone.
    pub(super) fn touch_if_writable(&mut self, model: ModelId, rows: &Filter) {
        let filter = rows.clone().and(self.access.writable(model));
        let ids = self.register();
        let find = write::find_ids(self.planner.physical(), model, &filter, None, Lock::None);
        self.run_into(find, vec![ids], Expect::Anything);
        self.touch(model, super::rows(ids));
    }

    /// Links of the parent are about to change.
    pub(super) fn touch_parent(&mut self, parent: &Parent, change: Change) {
        if self.access.links_matter(parent.model, parent.relation.relation, change) {
            self.touch(parent.model, Filter::IdIs(parent.id.clone()));
        }
    }

    /// Links of a child that was there before are about to change along the parent's relation.
    pub(super) fn touch_child(&mut self, relation: RelationRef, child: &Filter, change: Change) {
        if !self.access.links_matter(relation.target, relation.relation, change) {
            return;
        }
        match self.planner.physical().link(relation) {
            LinkAt::Partner(_) => self.touch(relation.target, child.clone()),
            LinkAt::Own(_) | LinkAt::Table { .. } => self.touch_if_writable(relation.target, child),
        }
    }

    /// The partners of these rows, which stand at the end `side` of the relation, are about to lose their link.
    pub(super) fn touch_partners(&mut self, relation: RelationId, side: Side, rows: &Filter) {
        let physical = self.planner.physical();
        let model = physical.model.relation(relation).end(side.other()).model;
        if self.access.links_matter(model, relation, Change::Cut) {
            let ids = self.register();
            let find = guard::linked_ids(physical, relation, side, rows, &self.access.writable(model));
            self.run_into(find, vec![ids], Expect::Anything);
            self.touch(model, super::rows(ids));
        }
    }

    /// The last steps of a program: everything touched must be writable for the viewer now.
    pub(super) fn check_touched(&mut self, touched: Vec<Touched>) {
        let mut known: Vec<(ModelId, Vec<String>)> = Vec::new();
        for touched in touched {
            match touched {
                Touched::Rows(model, Filter::IdIs(Param::Text(id))) => {
                    match known.iter_mut().find(|(m, _)| *m == model) {
                        Some((_, ids)) if ids.contains(&id) => {}
                        Some((_, ids)) => ids.push(id),
                        None => known.push((model, vec![id])),
                    }
                }
                Touched::Rows(model, rows) => self.claim(model, &rows),
                Touched::Either { register, then, otherwise } => {
                    let outer = std::mem::take(&mut self.steps);
                    self.check_touched(then);
                    let then = std::mem::take(&mut self.steps);
                    self.check_touched(otherwise);
                    let otherwise = std::mem::replace(&mut self.steps, outer);
                    if !then.is_empty() || !otherwise.is_empty() {
                        self.steps.push(Step::Choose { register, then, otherwise });
                    }
                }
            }
        }
        for (model, ids) in known {
            let ids = array_literal(ids.iter().map(String::as_str));
            self.claim(model, &Filter::IdIn(Param::Text(ids)));
        }
    }
}
