//! What the viewer's rules ask of a write: which rows it may reach, which it must leave alone, and that what it has
//! written is still the viewer's. For the service role none of this makes a statement.

use super::Writer;
use super::links::Parent;
use crate::datamodel::{FieldId, ModelId, RelationId, RelationRef, Side};
use crate::error::ApiError;
use crate::plan::context::entries;
use crate::plan::filter::Unique;
use crate::plan::program::{Expect, Param};
use crate::request::Value;
use crate::schema::InputMeaning;
use crate::sql::write::Node;
use crate::sql::{Filter, LinkAt, array_literal, guard};

impl Writer<'_> {
    /// The row that a `where` names, if the viewer may write it.
    pub(super) fn own(&self, unique: &Unique) -> Filter {
        unique.filter().and(self.access.writable(unique.model))
    }

    /// The partner to be tied, if the viewer may: one whose own row will hold the link must be writable.
    pub(super) fn partner(&self, relation: RelationRef, unique: &Unique) -> Node {
        Node::Where(unique.filter().and(self.tieable(relation)))
    }

    /// The rows at the far end of a relation that may be tied or cut.
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
            self.touched.push((model, rows));
        }
    }

    /// As [`Writer::touch`], if one of the columns decides.
    pub(super) fn touch_by(&mut self, model: ModelId, columns: &[(FieldId, Param)], rows: &Filter) {
        if self.matters(model, columns) {
            self.touch(model, rows.clone());
        }
    }

    pub(super) fn matters(&self, model: ModelId, columns: &[(FieldId, Param)]) -> bool {
        columns.iter().any(|(field, _)| self.access.column_matters(model, *field))
    }

    /// A link between these rows is made or cut.
    pub(super) fn touch_link(&mut self, parent: &Parent, child: Filter) {
        let RelationRef { relation, target, .. } = parent.relation;
        if self.access.relation_matters(parent.model, relation) {
            self.touch(parent.model, Filter::IdIs(parent.id.clone()));
        }
        if self.access.relation_matters(target, relation) {
            self.touch(target, child);
        }
    }

    /// These rows, which stand at the end `side` of the relation, and their partners are about to lose their link.
    pub(super) fn touch_partners(&mut self, relation: RelationId, side: Side, rows: &Filter, among: &Filter) {
        let physical = self.planner.physical();
        let ends = physical.model.relation(relation);
        let (own, model) = (ends.end(side).model, ends.end(side.other()).model);
        if self.access.relation_matters(own, relation) {
            self.touch(own, rows.clone());
        }
        if self.access.relation_matters(model, relation) {
            let ids = self.register();
            let find = guard::linked_ids(physical, relation, side, rows, among);
            self.run_into(find, vec![ids], Expect::Anything);
            self.touch(model, super::rows(ids));
        }
    }

    /// The last step of a program: everything touched must be writable for the viewer now.
    pub(super) fn check_touched(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        let mut known: Vec<(ModelId, Vec<String>)> = Vec::new();
        for (model, rows) in touched {
            match rows {
                Filter::IdIs(Param::Text(id)) => match known.iter_mut().find(|(m, _)| *m == model) {
                    Some((_, ids)) if ids.contains(&id) => {}
                    Some((_, ids)) => ids.push(id),
                    None => known.push((model, vec![id])),
                },
                rows => self.claim(model, &rows),
            }
        }
        for (model, ids) in known {
            let ids = array_literal(ids.iter().map(String::as_str));
            self.claim(model, &Filter::IdIn(Param::Text(ids)));
        }
    }
}
