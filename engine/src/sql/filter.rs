//! Filters: conditions on a model's rows, as values. Knows columns and relations, and no SQL text.

use std::sync::Arc;

use super::Comparison;
use super::Param;
use super::physical::Physical;
use super::view::View;
use crate::datamodel::{FieldId, ModelId};

/// A condition on a row of some model.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All hold; of nothing: true.
    And(Vec<Filter>),
    /// One holds; of nothing: false.
    Or(Vec<Filter>),
    /// None holds; of nothing: true.
    Nor(Vec<Filter>),
    /// The field's column compares with a value.
    Compare {
        /// The field, of the model that the filter is for.
        field: FieldId,
        /// How the value relates to the operand.
        comparison: Comparison,
        /// What the value is compared with.
        operand: Operand,
    },
    /// As [`Filter::Compare`], of the field as the viewer reads it.
    CompareView {
        /// The field, of the model that the filter is for.
        field: FieldId,
        /// How the viewer reads the field.
        view: Arc<View>,
        /// How the value relates to the operand.
        comparison: Comparison,
        /// What the value is compared with.
        operand: Operand,
    },
    /// Partners along a relation field satisfy a filter.
    Related {
        /// The field, of the model that the filter is for.
        field: FieldId,
        /// Which partners have to satisfy the filter.
        quantifier: Quantifier,
        /// The filter on partners.
        filter: Box<Filter>,
    },
    /// A to-one relation field without a partner.
    Unrelated {
        /// The relation field.
        field: FieldId,
    },
    /// The row's id is one of those in a parameter that holds an array.
    IdIn(Param),
    /// The row's id.
    IdIs(Param),
    /// The filter is false, or unknown because a value is null.
    NotTrue(Box<Filter>),
}

/// What a field is compared with, as text in PostgreSQL's input format.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Null.
    Null,
    /// One value.
    One(String),
    /// The values of a list; `None` is null.
    Many(Vec<Option<String>>),
}

/// How many partners have to satisfy a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// The partner of a to-one relation exists and satisfies the filter.
    Is,
    /// At least one partner satisfies the filter.
    Some,
    /// No partner satisfies the filter.
    None,
}

impl Filter {
    /// Holds for every row.
    pub const TRUE: Filter = Filter::And(Vec::new());
    /// Holds for no row.
    pub const FALSE: Filter = Filter::Or(Vec::new());

    /// Both hold. Equal parts are written once, so that a filter that repeats the viewer's own row
    /// rule costs nothing.
    #[must_use]
    pub fn and(self, other: Filter) -> Filter {
        let mut parts = Vec::new();
        for filter in [self, other] {
            let given = match filter {
                Filter::And(parts) => parts,
                one => vec![one],
            };
            for part in given {
                if !part.is_true() && !parts.contains(&part) {
                    parts.push(part);
                }
            }
        }
        if parts.len() == 1 {
            parts.swap_remove(0)
        } else {
            Filter::And(parts)
        }
    }

    /// All partners satisfy the filter: none is there for which it is not true.
    pub fn every(field: FieldId, filter: Filter, among: Filter) -> Filter {
        let violates = among.and(Filter::NotTrue(Box::new(filter)));
        Filter::Related {
            field,
            quantifier: Quantifier::None,
            filter: Box::new(violates),
        }
    }

    /// Whether the filter has no condition, and so holds for every row.
    pub fn is_true(&self) -> bool {
        matches!(self, Filter::And(parts) if parts.iter().all(Filter::is_true))
    }

    /// Whether other rows decide it.
    pub fn is_related(&self) -> bool {
        match self {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                parts.iter().any(Filter::is_related)
            }
            Filter::NotTrue(part) => part.is_related(),
            Filter::Related { .. } | Filter::Unrelated { .. } => true,
            Filter::CompareView { view, .. } => view.is_related(),
            Filter::Compare { .. } | Filter::IdIn(_) | Filter::IdIs(_) => false,
        }
    }

    /// Whether at most one row can satisfy the filter because it pins a unique value.
    pub(super) fn pins_one(&self, physical: &Physical, model: ModelId) -> bool {
        match self {
            Filter::And(parts) => parts.iter().any(|p| p.pins_one(physical, model)),
            Filter::Compare {
                field,
                comparison: Comparison::Equals,
                operand: Operand::One(_),
            } => {
                physical.model.field(model, *field).unique
                    || physical.model.model(model).id == *field
            }
            Filter::IdIs(_) => true,
            _ => false,
        }
    }

    /// The value, if the filter's only condition is that the id equals it.
    pub(super) fn only_id(&self, physical: &Physical, model: ModelId) -> Option<&str> {
        match self {
            Filter::And(parts) if parts.len() == 1 => parts[0].only_id(physical, model),
            Filter::Compare {
                field,
                comparison: Comparison::Equals,
                operand: Operand::One(id),
            } if physical.model.model(model).id == *field => Some(id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datamodel;
    use crate::sql::PhysicalOptions;

    const DATAMODEL: &str =
        "type User { id: ID! @id  code: String @unique  name: String  friends: [User] }";

    fn physical() -> Physical {
        let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a sound datamodel");
        Physical::new(model, &PhysicalOptions::in_schema("shop"))
    }

    /// A comparison of a field of the only model.
    fn compare(physical: &Physical, field: &str, comparison: Comparison, value: &str) -> Filter {
        let field = physical.model.models[0]
            .field_named(field)
            .expect("a field");
        Filter::Compare {
            field,
            comparison,
            operand: Operand::One(value.into()),
        }
    }

    #[test]
    fn equal_parts_are_written_once_and_true_parts_not_at_all() {
        let physical = physical();
        let [a, b] = ["a", "b"].map(|value| compare(&physical, "name", Comparison::Equals, value));
        assert_eq!(Filter::TRUE.and(Filter::TRUE), Filter::TRUE);
        assert_eq!(Filter::TRUE.and(a.clone()), a);
        assert_eq!(a.clone().and(a.clone()), a);
        assert_eq!(
            a.clone().and(b.clone()).and(a.clone()),
            Filter::And(vec![a.clone(), b.clone()])
        );
        let nested = Filter::And(vec![Filter::And(vec![]), a.clone()]);
        assert_eq!(nested.and(b.clone()), Filter::And(vec![a, b]));
    }

    #[test]
    fn only_a_conjunction_of_nothing_is_true() {
        let physical = physical();
        let name = compare(&physical, "name", Comparison::Equals, "a");
        assert!(Filter::TRUE.is_true());
        assert!(Filter::And(vec![Filter::And(vec![])]).is_true());
        assert!(!Filter::FALSE.is_true());
        assert!(!Filter::Nor(vec![]).is_true(), "true, but not recognised");
        assert!(!Filter::And(vec![Filter::TRUE, name.clone()]).is_true());
        assert!(!name.is_true());
    }

    #[test]
    fn relations_at_any_depth_make_a_filter_depend_on_other_rows() {
        let physical = physical();
        let name = compare(&physical, "name", Comparison::Equals, "a");
        let field = physical.model.models[0]
            .field_named("friends")
            .expect("a field");
        let related = Filter::every(field, name.clone(), Filter::TRUE);
        for filter in [
            related.clone(),
            Filter::Unrelated { field },
            Filter::And(vec![name.clone(), related.clone()]),
            Filter::Or(vec![name.clone(), related.clone()]),
            Filter::Nor(vec![name.clone(), related.clone()]),
            Filter::NotTrue(Box::new(related)),
        ] {
            assert!(filter.is_related(), "{filter:?}");
        }
        for filter in [
            name.clone(),
            Filter::TRUE,
            Filter::IdIs("x".into()),
            Filter::IdIn("{x}".into()),
            Filter::NotTrue(Box::new(name)),
        ] {
            assert!(!filter.is_related(), "{filter:?}");
        }
    }

    #[test]
    fn every_means_that_no_partner_among_those_violates_the_filter() {
        let physical = physical();
        let [name, among] =
            ["a", "b"].map(|value| compare(&physical, "name", Comparison::Equals, value));
        let field = FieldId(3);
        let expected = Filter::Related {
            field,
            quantifier: Quantifier::None,
            filter: Box::new(Filter::And(vec![
                among.clone(),
                Filter::NotTrue(Box::new(name.clone())),
            ])),
        };
        assert_eq!(Filter::every(field, name, among), expected);
    }

    #[test]
    fn equality_of_a_unique_field_pins_one_row() {
        let physical = physical();
        let user = ModelId(0);
        let pins = |filter: &Filter| filter.pins_one(&physical, user);
        let named = |field, comparison| compare(&physical, field, comparison, "x");
        let name = named("name", Comparison::Equals);
        for field in ["id", "code"] {
            let equal = named(field, Comparison::Equals);
            assert!(pins(&equal), "{field}");
            assert!(
                pins(&Filter::And(vec![name.clone(), equal.clone()])),
                "{field}"
            );
            assert!(!pins(&Filter::Or(vec![equal.clone(), equal])), "{field}");
            assert!(!pins(&named(field, Comparison::Not)), "{field}");
        }
        assert!(pins(&Filter::IdIs("x".into())));
        assert!(!pins(&Filter::IdIn("{x}".into())));
        assert!(!pins(&name));
        assert!(!pins(&Filter::TRUE));
    }

    #[test]
    fn only_a_lone_equality_of_the_id_gives_its_value() {
        let physical = physical();
        let user = ModelId(0);
        let id = compare(&physical, "id", Comparison::Equals, "x");
        let code = compare(&physical, "code", Comparison::Equals, "x");
        let value = |filter: &Filter| filter.only_id(&physical, user).map(str::to_owned);
        assert_eq!(value(&id).as_deref(), Some("x"));
        assert_eq!(value(&Filter::And(vec![id.clone()])).as_deref(), Some("x"));
        assert_eq!(value(&Filter::And(vec![id, code.clone()])), None);
        assert_eq!(value(&Filter::And(vec![code.clone()])), None);
        assert_eq!(value(&code), None);
        assert_eq!(value(&compare(&physical, "id", Comparison::Not, "x")), None);
    }
}
