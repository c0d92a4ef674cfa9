//! The key of the subscriptions' index: an equality that every change for the subscription
//! satisfies.

use super::payload::{PreviousRows, events};
use super::{NodeChange, Path};
use crate::datamodel::{FieldId, FieldKind, ModelId, ScalarType};
use crate::plan::{Planner, Statement};
use crate::sql::{self, Comparison, Filter, Operand, Quantifier};

/// How few rows have a value, the fewest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Id,
    Unique,
    /// Of rows that are linked to one with a unique value, so many hops away.
    Linked(usize),
    Column,
}

fn most_selective(found: Vec<(Rank, SubscriptionKey)>) -> Option<SubscriptionKey> {
    found
        .into_iter()
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, key)| key)
}

/// The node, or one of its partners, has this value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
        for filter in filters {
            self.keys(model, filter, 1, &mut found);
        }
        most_selective(found)
    }

    /// The same for rows that a rule of the policy lets through, which may lead further than what anybody asks for: the index has
    /// only so many kinds of paths.
    pub(super) fn key_within(
        &self,
        model: ModelId,
        filter: &Filter,
        rule: &Filter,
    ) -> Option<SubscriptionKey> {
        let mut found = Vec::new();
        self.keys(model, filter, 1, &mut found);
        self.keys(model, rule, usize::MAX, &mut found);
        most_selective(found)
    }

    fn keys(
        &self,
        model: ModelId,
        filter: &Filter,
        hops: usize,
        found: &mut Vec<(Rank, SubscriptionKey)>,
    ) {
        match filter {
            Filter::And(parts) => {
                for part in parts {
                    self.keys(model, part, hops, found);
                }
            }
            Filter::Compare { .. } => {
                if let Some((field, value)) = self.equality(model, filter) {
                    let of = self.model().model(model);
                    let rank = match (of.id == field, of.field(field).unique) {
                        (true, _) => Rank::Id,
                        (_, true) => Rank::Unique,
                        _ => Rank::Column,
                    };
                    let path = Path::column(field);
                    found.push((rank, SubscriptionKey { path, value }));
                }
            }
            Filter::Related {
                field,
                quantifier: Quantifier::Is | Quantifier::Some,
                filter,
            } if hops > 0 => {
                let Some(relation) = self.model().field(model, *field).relation() else {
                    return;
                };
                let mut theirs = Vec::new();
                self.keys(relation.target, filter, hops - 1, &mut theirs);
                for (rank, key) in theirs {
                    if rank != Rank::Column
                        && let Some(path) = Path::through(*field, key.path)
                    {
                        let rank = Rank::Linked(path.hops().count());
                        found.push((
                            rank,
                            SubscriptionKey {
                                path,
                                value: key.value,
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
