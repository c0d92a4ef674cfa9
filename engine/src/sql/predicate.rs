//! Filters over a model's rows, and their SQL.
//!
//! A filter on a relation that pins the partner by a unique value becomes a scalar sub-select on the link
//! (`"assignedTo" = (select …)`), so that PostgreSQL can walk an index on the link; everything else becomes
//! `exists`. See docs/adr for the measurement.

use std::sync::Arc;

use super::Comparison;
use super::Param;
use super::physical::{LinkAt, Physical};
use super::read::MaskedForm;
use super::text::{Sql, array_literal, like_escaped};
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
    Compare {
        field: FieldId,
        comparison: Comparison,
        operand: Operand,
    },
    /// As [`Filter::Compare`], of the field as the viewer reads it.
    CompareView {
        field: FieldId,
        view: Arc<View>,
        comparison: Comparison,
        operand: Operand,
    },
    Related {
        field: FieldId,
        quantifier: Quantifier,
        filter: Box<Filter>,
    },
    /// A to-one relation field without a partner.
    Unrelated { field: FieldId },
    /// The row's id is one of those in a parameter that holds an array.
    IdIn(Param),
    /// The row's id.
    IdIs(Param),
    /// The filter is false, or unknown for want of a value.
    NotTrue(Box<Filter>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Null,
    One(String),
    Many(Vec<Option<String>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// The partner of a to-one relation exists and satisfies the filter.
    Is,
    Some,
    None,
}

impl Filter {
    pub const TRUE: Filter = Filter::And(Vec::new());
    pub const FALSE: Filter = Filter::Or(Vec::new());

    /// Both hold. What is said twice stands once, so that a filter which repeats the viewer's own row rule
    /// costs nothing.
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

    pub fn is_true(&self) -> bool {
        matches!(self, Filter::And(parts) if parts.iter().all(Filter::is_true))
    }

    /// Whether other rows than the one at hand decide it.
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
    fn pins_one(&self, physical: &Physical, model: ModelId) -> bool {
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

    /// The value, if the filter says only that the id has it.
    fn only_id(&self, physical: &Physical, model: ModelId) -> Option<&str> {
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

/// Where a predicate stands. Under a negation a comparison with an empty sub-select would turn "not
/// related" into "unknown", so relations are written as `exists` there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Polarity {
    Positive,
    Negated,
}

impl Sql {
    /// Writes the filter as a boolean expression over the row `alias` of `model`.
    pub fn predicate(
        &mut self,
        physical: &Physical,
        model: ModelId,
        alias: &str,
        filter: &Filter,
    ) -> &mut Self {
        self.condition(physical, model, alias, filter, Polarity::Positive)
    }

    pub(super) fn condition(
        &mut self,
        physical: &Physical,
        model: ModelId,
        alias: &str,
        filter: &Filter,
        polarity: Polarity,
    ) -> &mut Self {
        match filter {
            Filter::And(parts) => {
                self.joined(physical, model, alias, parts, " and ", "true", polarity)
            }
            Filter::Or(parts) => {
                self.joined(physical, model, alias, parts, " or ", "false", polarity)
            }
            Filter::Nor(parts) if parts.is_empty() => self.push("true"),
            Filter::Nor(parts) => {
                self.push("not (");
                self.joined(
                    physical,
                    model,
                    alias,
                    parts,
                    " or ",
                    "false",
                    Polarity::Negated,
                );
                self.push(")")
            }
            Filter::Compare {
                field,
                comparison,
                operand,
            } => self.comparison(alias, physical.column(model, *field), *comparison, operand),
            Filter::CompareView {
                field,
                view,
                comparison,
                operand,
            } => {
                // A sub-select, so that the value is written once whatever the comparison does with it.
                let viewed = self.alias();
                self.push("(select ")
                    .comparison(&viewed, "\"value\"", *comparison, operand);
                self.push(" from (select ");
                self.viewed(physical, model, (alias, *field), view, MaskedForm::Column);
                self.push(" as \"value\") ").push(&viewed).push(")")
            }
            Filter::Related {
                field,
                quantifier,
                filter,
            } => self.related(
                physical,
                model,
                alias,
                *field,
                *quantifier,
                filter,
                polarity,
            ),
            Filter::Unrelated { field } => self.unrelated(physical, model, alias, *field),
            Filter::IdIn(ids) => self
                .column(alias, physical.id(model))
                .push(" = any(")
                .bind(ids.clone())
                .push(")"),
            Filter::IdIs(id) => self
                .column(alias, physical.id(model))
                .push(" = ")
                .bind(id.clone()),
            Filter::NotTrue(filter) => self
                .push("(")
                .predicate(physical, model, alias, filter)
                .push(") is not true"),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn joined(
        &mut self,
        physical: &Physical,
        model: ModelId,
        alias: &str,
        parts: &[Filter],
        with: &str,
        empty: &str,
        polarity: Polarity,
    ) -> &mut Self {
        match parts {
            [] => return self.push(empty),
            [only] => return self.condition(physical, model, alias, only, polarity),
            _ => {}
        }
        for (i, part) in parts.iter().enumerate() {
            self.push(if i == 0 { "(" } else { with });
            self.condition(physical, model, alias, part, polarity);
        }
        self.push(")")
    }

    fn comparison(
        &mut self,
        alias: &str,
        column: &str,
        comparison: Comparison,
        operand: &Operand,
    ) -> &mut Self {
        use Comparison::*;
        match (comparison, operand) {
            (Equals | In, Operand::Null) => return self.column(alias, column).push(" is null"),
            (Not | NotIn, Operand::Null) => return self.column(alias, column).push(" is not null"),
            // An order or a pattern compared with null holds for nothing.
            (_, Operand::Null) => return self.push("false"),
            (In | NotIn, Operand::Many(items)) => {
                return self.membership(alias, column, comparison == In, items);
            }
            _ => {}
        }
        let text = match operand {
            Operand::One(text) => text.as_str(),
            // Lists come with `In` and `NotIn` only.
            _ => return self.push("false"),
        };
        self.column(alias, column);
        let (operator, pattern) = match comparison {
            Equals | In => (" = ", None),
            Not | NotIn => (" <> ", None),
            LessThan => (" < ", None),
            LessOrEqual => (" <= ", None),
            GreaterThan => (" > ", None),
            GreaterOrEqual => (" >= ", None),
            Contains => (" like ", Some(format!("%{}%", like_escaped(text)))),
            NotContains => (" not like ", Some(format!("%{}%", like_escaped(text)))),
            StartsWith => (" like ", Some(format!("{}%", like_escaped(text)))),
            NotStartsWith => (" not like ", Some(format!("{}%", like_escaped(text)))),
            EndsWith => (" like ", Some(format!("%{}", like_escaped(text)))),
            NotEndsWith => (" not like ", Some(format!("%{}", like_escaped(text)))),
        };
        self.push(operator);
        match pattern {
            Some(pattern) => self.bind(pattern),
            None => self.bind(text),
        }
    }

    fn membership(
        &mut self,
        alias: &str,
        column: &str,
        within: bool,
        items: &[Option<String>],
    ) -> &mut Self {
        let values = array_literal(items.iter().flatten().map(String::as_str));
        let has_null = items.iter().any(Option::is_none);
        if items.is_empty() {
            return self.push(if within { "false" } else { "true" });
        }
        self.push("(").column(alias, column);
        self.push(if within { " = any(" } else { " <> all(" })
            .bind(values)
            .push(")");
        if has_null {
            self.push(if within { " or " } else { " and " })
                .column(alias, column);
            self.push(if within { " is null" } else { " is not null" });
        }
        self.push(")")
    }

    #[allow(clippy::too_many_arguments)]
    fn related(
        &mut self,
        physical: &Physical,
        model: ModelId,
        alias: &str,
        field: FieldId,
        quantifier: Quantifier,
        filter: &Filter,
        polarity: Polarity,
    ) -> &mut Self {
        let Some(relation) = physical.model.field(model, field).relation() else {
            // Only relation fields have such filters; anything else matches nothing rather than everything.
            return self.push("false");
        };
        let target = relation.target;
        let some = matches!(quantifier, Quantifier::Is | Quantifier::Some);
        // In the past a unique value may stand in two rows: of the one that is gone, and of the one that took it.
        let scalar = some
            && polarity == Polarity::Positive
            && !self.reads_snapshot()
            && filter.pins_one(physical, target);
        let link = physical.link(relation);
        match link {
            LinkAt::Own(column) if some && filter.is_true() => {
                return self.column(alias, column).push(" is not null");
            }
            LinkAt::Own(column) if scalar => {
                self.column(alias, column).push(" = ");
                return self.pinned(physical, target, physical.id(target), filter);
            }
            LinkAt::Partner(column) if scalar => {
                self.column(alias, physical.id(model)).push(" = ");
                return self.pinned_column(physical, target, column, filter);
            }
            _ => {}
        }
        if !some {
            self.push("not ");
        }
        self.push("exists (select 1 from ");
        match link {
            LinkAt::Table { own, partner, .. } => {
                let row = self.alias();
                self.links_of(physical, relation.relation)
                    .push(" ")
                    .push(&row)
                    .push(" where ");
                self.column(&row, own)
                    .push(" = ")
                    .column(alias, physical.id(model));
                if some && filter.is_true() {
                    return self.end_exists();
                }
                self.push(" and ");
                if scalar {
                    self.column(&row, partner).push(" = ");
                    self.pinned(physical, target, physical.id(target), filter);
                    return self.end_exists();
                }
                let inner = self.alias();
                self.push("exists (select 1 from ")
                    .partners(physical, target, &inner);
                self.column(&inner, physical.id(target))
                    .push(" = ")
                    .column(&row, partner);
                self.satisfying(physical, target, &inner, filter);
                self.end_exists().end_exists()
            }
            LinkAt::Own(column) => {
                let inner = self.alias();
                self.partners(physical, target, &inner);
                self.column(&inner, physical.id(target))
                    .push(" = ")
                    .column(alias, column);
                self.satisfying(physical, target, &inner, filter);
                self.end_exists()
            }
            LinkAt::Partner(column) => {
                let inner = self.alias();
                self.partners(physical, target, &inner);
                self.column(&inner, column)
                    .push(" = ")
                    .column(alias, physical.id(model));
                self.satisfying(physical, target, &inner, filter);
                self.end_exists()
            }
        }
    }

    /// `table alias where `
    fn partners(&mut self, physical: &Physical, target: ModelId, inner: &str) -> &mut Self {
        self.rows_of(physical, target)
            .push(" ")
            .push(inner)
            .push(" where ")
    }

    /// `)`. From a few rows at hand to their partners: `offset 0` keeps PostgreSQL from reading all partners first to
    /// join them.
    fn end_exists(&mut self) -> &mut Self {
        let fence = if self.few { " offset 0)" } else { ")" };
        self.push(fence)
    }

    /// ` and …` for the partner rows that the (negated) `exists` looks for.
    fn satisfying(
        &mut self,
        physical: &Physical,
        target: ModelId,
        inner: &str,
        filter: &Filter,
    ) -> &mut Self {
        if filter.is_true() {
            return self;
        }
        self.push(" and ")
            .predicate(physical, target, inner, filter)
    }

    /// The id of the one row that the filter pins: the value itself, or a scalar sub-select.
    fn pinned(
        &mut self,
        physical: &Physical,
        target: ModelId,
        id: &str,
        filter: &Filter,
    ) -> &mut Self {
        match filter.only_id(physical, target) {
            // The link is a foreign key, so an equal id is a partner that exists.
            Some(value) => self.bind(value),
            None => self.pinned_column(physical, target, id, filter),
        }
    }

    fn pinned_column(
        &mut self,
        physical: &Physical,
        target: ModelId,
        column: &str,
        filter: &Filter,
    ) -> &mut Self {
        let inner = self.alias();
        self.push("(select ").column(&inner, column);
        self.push(" from ")
            .push(physical.table(target))
            .push(" ")
            .push(&inner)
            .push(" where ");
        self.predicate(physical, target, &inner, filter).push(")")
    }

    fn unrelated(
        &mut self,
        physical: &Physical,
        model: ModelId,
        alias: &str,
        field: FieldId,
    ) -> &mut Self {
        let Some(relation) = physical.model.field(model, field).relation() else {
            return self.push("false");
        };
        match physical.link(relation) {
            LinkAt::Own(column) => self.column(alias, column).push(" is null"),
            LinkAt::Partner(column) => {
                let inner = self.alias();
                self.push("not exists (select 1 from ")
                    .partners(physical, relation.target, &inner);
                self.column(&inner, column).push(" = ");
                self.column(alias, physical.id(model)).end_exists()
            }
            LinkAt::Table { own, .. } => {
                let row = self.alias();
                self.push("not exists (select 1 from ")
                    .links_of(physical, relation.relation)
                    .push(" ")
                    .push(&row);
                self.push(" where ").column(&row, own).push(" = ");
                self.column(alias, physical.id(model)).end_exists()
            }
        }
    }
}
