//! Which rows of a model an answer shows: filter, order, cursors and page size.

use super::filter::Filter;
use super::physical::Physical;
use super::text::Sql;
use crate::datamodel::{FieldId, ModelId, RelationRef};

/// Which rows of a model, in which order.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// What a row must satisfy, `visible` included.
    pub filter: Filter,
    /// The part of the filter that selects the viewer's visible rows: a cursor must name one of
    /// them.
    pub visible: Filter,
    /// The field and whether it descends; ties, and everything without an order, go by ascending
    /// id.
    pub order: Option<(FieldId, bool)>,
    /// Exclusive cursors: ids.
    pub after: Option<String>,
    /// As `after`, for the rows that precede the cursor's.
    pub before: Option<String>,
    /// How many rows are left out, counted from the end that `first` or `last` counts from.
    pub skip: Option<i64>,
    /// At most so many rows from the beginning.
    pub first: Option<i64>,
    /// At most so many rows from the end, in the order of the list.
    pub last: Option<i64>,
    /// A list without `first` and `last` that has more rows than this is refused.
    pub cap: Option<i64>,
}

impl Sql {
    /// `table alias … where … order by … limit … offset …`; with `last` in reversed order.
    pub(super) fn rows(
        &mut self,
        physical: &Physical,
        model: ModelId,
        rows: &Rows,
        alias: &str,
        parent: Option<(RelationRef, &str)>,
    ) -> &mut Self {
        self.unordered(physical, model, rows, alias, parent);
        self.push(" order by ")
            .order(physical, model, rows, alias, rows.last.is_some());
        if let Some(limit) = rows.first.or(rows.last) {
            self.push(" limit ").page_size(limit);
        }
        if let Some(skip) = rows.skip.filter(|s| *s > 0) {
            self.push(" offset ").bind(skip.to_string());
        }
        self
    }

    /// `table alias … where …`: the rows of the filter between the cursors, in no order.
    pub(super) fn unordered(
        &mut self,
        physical: &Physical,
        model: ModelId,
        rows: &Rows,
        alias: &str,
        parent: Option<(RelationRef, &str)>,
    ) -> &mut Self {
        self.push(physical.table(model)).push(" ").push(alias);
        let mut glue = " where ";
        if let Some((relation, parent)) = parent {
            self.where_linked(physical, relation, alias, parent);
            glue = " and ";
        }
        if rows.filter != Filter::TRUE {
            self.push(glue)
                .predicate(physical, model, alias, &rows.filter);
            glue = " and ";
        }
        for (cursor, after) in [(&rows.after, true), (&rows.before, false)] {
            if let Some(id) = cursor {
                self.push(glue)
                    .cursor(physical, model, rows, alias, id, after);
                glue = " and ";
            }
        }
        self
    }

    pub(super) fn order(
        &mut self,
        physical: &Physical,
        model: ModelId,
        rows: &Rows,
        alias: &str,
        reversed: bool,
    ) -> &mut Self {
        let direction = |descends: bool| {
            if descends != reversed {
                " desc"
            } else {
                " asc"
            }
        };
        let id = physical.model.model(model).id;
        if let Some((field, descends)) = rows.order {
            self.column(alias, physical.column(model, field))
                .push(direction(descends));
            if field == id {
                return self;
            }
            self.push(", ");
        }
        self.column(alias, physical.id(model))
            .push(direction(false))
    }

    /// The rows beyond the cursor's row, which is found by its id: nothing if there is none.
    fn cursor(
        &mut self,
        physical: &Physical,
        model: ModelId,
        rows: &Rows,
        alias: &str,
        cursor: &str,
        after: bool,
    ) -> &mut Self {
        let number = self.add_param(cursor);
        let id = physical.id(model);
        let order = rows
            .order
            .filter(|(f, _)| *f != physical.model.model(model).id);
        let id_descends = order.is_none() && rows.order.is_some_and(|(_, descends)| descends);
        let id_sign = if after != id_descends { " > " } else { " < " };
        let row = self.alias();
        self.push("exists (select 1 from ")
            .push(physical.table(model))
            .push(" ")
            .push(&row)
            .push(" where ");
        self.column(&row, id)
            .push(" = ")
            .placeholder(number)
            .push(" and ");
        if !rows.visible.is_true() {
            self.predicate(physical, model, &row, &rows.visible)
                .push(" and ");
        }
        let Some((field, descends)) = order else {
            self.column(alias, id).push(id_sign).column(&row, id);
            return self.push(")");
        };
        let column = physical.column(model, field);
        let sign = if after != descends { " > " } else { " < " };
        let beyond_in_tie = |sql: &mut Sql| {
            sql.column(alias, id).push(id_sign).column(&row, id);
        };
        if physical.model.field(model, field).required {
            self.push("(")
                .column(alias, column)
                .push(sign)
                .column(&row, column)
                .push(" or (");
            self.column(alias, column)
                .push(" = ")
                .column(&row, column)
                .push(" and ");
            beyond_in_tie(self);
            return self.push(")))");
        }
        // Nulls come last in ascending and first in descending order.
        let nulls_beyond = sign == " > ";
        self.push("case when ")
            .column(&row, column)
            .push(" is null then ");
        self.push("(").column(alias, column).push(if nulls_beyond {
            " is null and "
        } else {
            " is not null or "
        });
        beyond_in_tie(self);
        self.push(") else (")
            .column(alias, column)
            .push(sign)
            .column(&row, column);
        if nulls_beyond {
            self.push(" or ").column(alias, column).push(" is null");
        }
        self.push(" or (")
            .column(alias, column)
            .push(" = ")
            .column(&row, column)
            .push(" and ");
        beyond_in_tie(self);
        self.push(")) end)")
    }
}
