//! What decides whether a row satisfies a filter: columns, links, other rows.

use super::context::Planner;
use crate::datamodel::{FieldId, ModelId, RelationId};
use crate::sql::{Filter, LinkAt, Quantifier};

/// What decides a filter: columns and relations.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct RuleInputs {
    pub(super) columns: Vec<(ModelId, FieldId)>,
    pub(super) relations: Vec<(RelationId, LinkEffect)>,
}

/// What happens to the links of a row along a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkEffect {
    Made,
    Cut,
    Any,
}

impl Planner {
    pub(super) fn rule_inputs(&self, model: ModelId, filter: &Filter) -> RuleInputs {
        let mut inputs = RuleInputs::default();
        self.collect_rule_inputs(model, filter, true, &mut inputs);
        inputs
    }

    /// `wanted`: the whole is true rather than false where the filter is.
    fn collect_rule_inputs(
        &self,
        model: ModelId,
        filter: &Filter,
        wanted: bool,
        inputs: &mut RuleInputs,
    ) {
        let relation = |field| self.model().field(model, field).relation();
        match filter {
            Filter::And(parts) | Filter::Or(parts) => {
                parts
                    .iter()
                    .for_each(|part| self.collect_rule_inputs(model, part, wanted, inputs));
            }
            Filter::Nor(parts) => parts
                .iter()
                .for_each(|part| self.collect_rule_inputs(model, part, !wanted, inputs)),
            Filter::NotTrue(part) => self.collect_rule_inputs(model, part, !wanted, inputs),
            Filter::Compare { field, .. } => inputs.columns.push((model, *field)),
            // Rules are read with full access, which sees columns as they are.
            Filter::CompareView { field, .. } => inputs.columns.push((model, *field)),
            Filter::Related {
                field,
                quantifier,
                filter,
            } => {
                let Some(relation) = relation(*field) else {
                    return;
                };
                // One more partner can only make "some partner is such" true, and "none is such"
                // false.
                let (change, within) = match quantifier {
                    Quantifier::Is => (LinkEffect::Any, wanted),
                    Quantifier::Some if wanted => (LinkEffect::Cut, true),
                    Quantifier::Some => (LinkEffect::Made, false),
                    Quantifier::None if wanted => (LinkEffect::Made, false),
                    Quantifier::None => (LinkEffect::Cut, true),
                };
                inputs.relations.push((relation.relation, change));
                self.collect_rule_inputs(relation.target, filter, within, inputs);
            }
            Filter::Unrelated { field } => {
                inputs
                    .relations
                    .extend(relation(*field).map(|r| (r.relation, LinkEffect::Any)));
            }
            Filter::IdIn(_) | Filter::IdIs(_) => {}
        }
    }

    /// Whether the filter depends on links and columns that stand in other rows. A statement that
    /// waited for a lock reads the locked row as it is by then, but other rows as they were before.
    /// Columns of the partners that a row's own columns name do not count: such filters (`owner: {
    /// id: … }`) name the row's owner.
    pub(super) fn is_decided_elsewhere(&self, model: ModelId, filter: &Filter) -> bool {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => parts
                .iter()
                .any(|part| self.is_decided_elsewhere(model, part)),
            Filter::NotTrue(part) => self.is_decided_elsewhere(model, part),
            Filter::Related { field, filter, .. } => {
                filter.is_related() || !self.holds_link(model, *field)
            }
            Filter::Unrelated { field } => !self.holds_link(model, *field),
            Filter::Compare { .. }
            | Filter::CompareView { .. }
            | Filter::IdIn(_)
            | Filter::IdIs(_) => false,
        }
    }

    /// Whether other rows than one of the model decide whether it satisfies the filter.
    pub(super) fn reads_other_rows(&self, model: ModelId, filter: &Filter) -> bool {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                parts.iter().any(|part| self.reads_other_rows(model, part))
            }
            Filter::NotTrue(part) => self.reads_other_rows(model, part),
            Filter::Unrelated { field } => !self.holds_link(model, *field),
            other => other.is_related(),
        }
    }

    fn holds_link(&self, model: ModelId, field: FieldId) -> bool {
        let relation = self.model().field(model, field).relation();
        relation.is_some_and(|relation| matches!(self.physical().link(relation), LinkAt::Own(_)))
    }
}
