//! The key of the subscriptions' index: an equality that every change for the subscription
//! satisfies.

use super::payload::{PreviousRows, events};
use super::{NodeChange, Path};
use crate::datamodel::{FieldId, FieldKind, ModelId, ScalarType};
use crate::plan::{Planner, Statement};
use crate::sql::{self, Comparison, Filter, Operand, Quantifier};

/// The node, or one of its partners, has this value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubscriptionKey {
    /// Where the value is.
    pub path: Path,
    /// In the text in which [`Planner::probe`] gives values.
    pub value: String,
}

impl Planner {
    /// The statement that reads the values of changed nodes of `model` on each path, as rows
    /// `(ordinal, path, value)`, two ints and a text: the positions in `changes` and `paths`. Of
    /// deleted nodes as they were before they were deleted.
    pub fn probe(&self, model: ModelId, paths: &[Path], changes: &[&NodeChange]) -> Statement {
        let events = events(changes, PreviousRows::Unseen, |_, _| {});
        sql::event_values(self.physical(), model, paths, &events)
    }

    /// The most selective key of the filters, all of which must hold.
    pub(super) fn key(&self, model: ModelId, filters: &[&Filter]) -> Option<SubscriptionKey> {
        let mut found = Vec::new();
        filters
            .iter()
            .for_each(|filter| self.keys(model, filter, &mut found));
        found
            .into_iter()
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, key)| key)
    }

    fn keys(&self, model: ModelId, filter: &Filter, found: &mut Vec<(u8, SubscriptionKey)>) {
        match filter {
            Filter::And(parts) => parts.iter().for_each(|part| self.keys(model, part, found)),
            Filter::Compare { .. } => {
                if let Some((field, value)) = self.equality(model, filter) {
                    let of = self.model().model(model);
                    let rank = match (of.id == field, of.field(field).unique) {
                        (true, _) => 0,
                        (_, true) => 1,
                        _ => 3,
                    };
                    found.push((
                        rank,
                        SubscriptionKey {
                            path: Path::Column(field),
                            value,
                        },
                    ));
                }
            }
            Filter::Related {
                field,
                quantifier: Quantifier::Is | Quantifier::Some,
                filter,
            } => {
                let Some(relation) = self.model().field(model, *field).relation() else {
                    return;
                };
                let target = self.model().model(relation.target);
                let parts = match &**filter {
                    Filter::And(parts) => parts.as_slice(),
                    one => std::slice::from_ref(one),
                };
                for (unique, value) in parts
                    .iter()
                    .filter_map(|part| self.equality(relation.target, part))
                {
                    if target.id == unique || target.field(unique).unique {
                        found.push((
                            2,
                            SubscriptionKey {
                                path: Path::Linked(*field, unique),
                                value,
                            },
                        ));
                    }
                }
            }
            _ => {}
        }
    }

    /// The column and its value, for types of which equal values have equal texts.
    fn equality(&self, model: ModelId, filter: &Filter) -> Option<(FieldId, String)> {
        use ScalarType::*;
        let (field, value) = match filter {
            Filter::Compare {
                field,
                comparison: Comparison::Equals,
                operand: Operand::One(value),
            } => (*field, value),
            Filter::Compare {
                field,
                comparison: Comparison::In,
                operand: Operand::Many(values),
            } => match values.as_slice() {
                [Some(value)] => (*field, value),
                _ => return None,
            },
            _ => return None,
        };
        match self.model().field(model, field).kind {
            FieldKind::Scalar(Id | String | Int | Boolean | Uuid) | FieldKind::Enum(_) => {
                Some((field, value.clone()))
            }
            _ => None,
        }
    }
}
