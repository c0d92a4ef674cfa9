//! The SQL of filters over a model's rows.
//!
//! A filter on a relation that pins the partner by a unique value becomes a scalar sub-select on
//! the link (`"assignedTo" = (select …)`), so that PostgreSQL can walk an index on the link;
//! everything else becomes `exists`. See docs/adr for the measurement.

use super::Comparison;
use super::entries::MaskedForm;
use super::filter::{Filter, Operand, Quantifier};
use super::link_row::LinkHolder;
use super::physical::{LinkAt, Physical};
use super::text::{Sql, array_literal, like_escaped};
use crate::datamodel::{FieldId, ModelId};

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
                // A sub-select, so that the value is written once whatever the comparison does with
                // it.
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
            // Only relation fields have such filters; anything else matches nothing rather than
            // everything.
            return self.push("false");
        };
        let target = relation.target;
        let some = matches!(quantifier, Quantifier::Is | Quantifier::Some);
        // In a snapshot two rows may have a unique value: the deleted row, and the row that has it
        // since.
        let scalar = some
            && polarity == Polarity::Positive
            && !self.reads_snapshot()
            && filter.pins_one(physical, target);
        match physical.link(relation) {
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
        let link = physical.link_row(relation);
        if let Some((theirs, ours)) = link.equal_columns() {
            let inner = self.alias();
            self.partners(physical, target, &inner);
            self.column(&inner, theirs).push(" = ").column(alias, ours);
            self.satisfying(physical, target, &inner, filter);
            return self.end_exists();
        }
        let row = self.alias();
        self.links_of(physical, link.relation)
            .push(" ")
            .push(&row)
            .push(" where ");
        self.column(&row, link.own)
            .push(" = ")
            .column(alias, physical.id(model));
        if some && filter.is_true() {
            return self.end_exists();
        }
        self.push(" and ");
        if scalar {
            self.column(&row, link.partner).push(" = ");
            self.pinned(physical, target, physical.id(target), filter);
            return self.end_exists();
        }
        let inner = self.alias();
        self.push("exists (select 1 from ")
            .partners(physical, target, &inner);
        self.column(&inner, physical.id(target))
            .push(" = ")
            .column(&row, link.partner);
        self.satisfying(physical, target, &inner, filter);
        self.end_exists().end_exists()
    }

    /// `table alias where `
    fn partners(&mut self, physical: &Physical, target: ModelId, inner: &str) -> &mut Self {
        self.rows_of(physical, target)
            .push(" ")
            .push(inner)
            .push(" where ")
    }

    /// `)`. From a few rows to their partners: `offset 0` keeps PostgreSQL from reading all
    /// partners first to join them.
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
        let link = physical.link_row(relation);
        if matches!(link.holder, LinkHolder::Own(_)) {
            return self.column(alias, link.partner).push(" is null");
        }
        let row = self.alias();
        self.push("not exists (select 1 from ");
        match link.holder {
            LinkHolder::Table => self.links_of(physical, link.relation),
            LinkHolder::Own(_) | LinkHolder::Partner(_) => self.rows_of(physical, relation.target),
        };
        self.push(" ").push(&row);
        self.push(" where ").column(&row, link.own).push(" = ");
        self.column(alias, physical.id(model)).end_exists()
    }
}
