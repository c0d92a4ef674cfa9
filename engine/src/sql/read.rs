//! Statements that read: each gives one row with one text column, the JSON of one root field.

use std::sync::Arc;

use super::answer_size::AnswerLimit;
use super::entries::list_key;
use super::filter::Filter;
use super::physical::Physical;
use super::rows::Rows;
use super::text::{Sql, TOO_MANY};
use super::view::View;
use super::{Param, Statement};
use crate::datamodel::{FieldId, ModelId, RelationRef};

/// The JSON object made of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape<'a> {
    /// The row's model.
    pub model: ModelId,
    /// How large the whole answer may be.
    pub answer: Option<AnswerLimit>,
    /// The selected fields by their keys, in the order of the selection.
    pub entries: Vec<(&'a str, ShapeEntry<'a>)>,
}

/// What stands under one key of the object.
#[derive(Debug, Clone, PartialEq)]
pub enum ShapeEntry<'a> {
    /// A scalar or enum field, from its column.
    Column(FieldId),
    /// The column as the viewer reads it.
    Viewed(FieldId, Arc<View>),
    /// Null in place of a column that is not shown.
    Hidden,
    /// A scalar list, as a JSON array.
    ScalarList(FieldId),
    /// `__typename`, with the type's name.
    Typename(&'a str),
    /// Null where the partner does not satisfy the filter.
    ToOne(FieldId, Filter, Shape<'a>),
    /// The partners of a to-many relation field, as a JSON array.
    ToMany(FieldId, Rows, Shape<'a>),
}

/// All rows as a JSON array.
pub fn find_many(physical: &Physical, rows: &Rows, shape: &Shape<'_>) -> Statement {
    let mut sql = Sql::new();
    sql.answer = shape.answer;
    sql.push("select ");
    sql.list(physical, rows, shape, None).push("::text");
    sql.finish()
}

/// The one row that satisfies a filter which pins a unique value; no row: null.
pub fn find_one(physical: &Physical, filter: &Filter, shape: &Shape<'_>) -> Statement {
    let mut sql = Sql::new();
    sql.answer = shape.answer;
    sql.push("select ");
    sql.one(physical, filter, shape).push("::text");
    sql.finish()
}

/// The first model's row with the id that satisfies the model's filter.
pub fn find_node(physical: &Physical, id: &str, shapes: &[(Filter, Shape<'_>)]) -> Statement {
    let mut sql = Sql::new();
    sql.push("select coalesce(");
    for (i, (visible, shape)) in shapes.iter().enumerate() {
        sql.push(if i > 0 { ", " } else { "" });
        sql.answer = shape.answer;
        sql.one(
            physical,
            &Filter::IdIs(id.into()).and(visible.clone()),
            shape,
        );
    }
    if shapes.is_empty() {
        sql.push("null");
    }
    sql.push(")::text");
    sql.finish()
}

/// Writes a row and answers with it in one statement: `written` returns the row. What else the
/// shape shows is as it was before the statement. Each of `links` (quoted columns) follows as text.
pub fn read_written(
    physical: &Physical,
    written: Statement,
    shape: &Shape<'_>,
    links: &[&str],
) -> Statement {
    let mut sql = Sql::around("with written as (", written);
    sql.answer = shape.answer;
    let object = sql.alias();
    sql.push(") select (select ")
        .object(physical, shape, &object)
        .push(" from (select ");
    sql.entries(physical, "written", shape)
        .push(") ")
        .push(&object)
        .push(")::text");
    for link in links {
        sql.push(", ").column("written", link).push("::text");
    }
    sql.push(" from written");
    sql.finish()
}

/// A row as JSON with its columns' names and, under the names of their tables, its scalar lists:
/// what [`record`] reads once the row is gone.
pub fn find_record(physical: &Physical, model: ModelId, id: &Param) -> Statement {
    let mut sql = Sql::new();
    let (row, object) = (sql.alias(), sql.alias());
    sql.push("select row_to_json(")
        .whole(&object)
        .push(")::text from (select ")
        .push(&row)
        .push(".*");
    let definition = physical.model.model(model);
    for field in definition
        .field_ids()
        .filter(|f| definition.field(*f).is_scalar_list())
    {
        sql.push(", ")
            .scalar_list(physical, model, field, &row)
            .push(" as ")
            .name(&list_key(field));
    }
    sql.push(" from ")
        .push(physical.table(model))
        .push(" ")
        .push(&row)
        .push(" where ");
    sql.predicate(physical, model, &row, &Filter::IdIs(id.clone()))
        .push(") ")
        .push(&object);
    sql.finish()
}

/// The shape of a row that is no longer in its table, kept as JSON by [`find_record`].
pub fn record(physical: &Physical, row: Param, shape: &Shape<'_>) -> Statement {
    let mut sql = Sql::new();
    let (alias, object) = (sql.alias(), sql.alias());
    let number = sql.add_param(row);
    sql.record = Some((alias.clone(), number));
    sql.answer = shape.answer;
    sql.push("select ")
        .object(physical, shape, &object)
        .push("::text from (select ");
    sql.entries(physical, &alias, shape);
    sql.push(" from json_populate_record(null::")
        .push(physical.table(shape.model))
        .push(", ");
    sql.placeholder(number)
        .push("::json) ")
        .push(&alias)
        .push(") ")
        .push(&object);
    sql.finish()
}

impl Shape<'_> {
    pub(super) fn keys(&self) -> Vec<&str> {
        self.entries.iter().map(|(key, _)| *key).collect()
    }

    /// Whether rows of the model are looked at anywhere below the row itself.
    pub fn reads_model_again(&self, model: ModelId) -> bool {
        self.entries.iter().any(|(_, entry)| match entry {
            // A filter may lead anywhere.
            ShapeEntry::ToOne(_, filter, shape) => {
                shape.model == model || filter.is_related() || shape.reads_model_again(model)
            }
            ShapeEntry::ToMany(_, rows, shape) => {
                shape.model == model || rows.filter.is_related() || shape.reads_model_again(model)
            }
            // What triggers write is not there before the statement has ended.
            ShapeEntry::Viewed(_, view) => view.is_related(),
            ShapeEntry::Column(_)
            | ShapeEntry::Hidden
            | ShapeEntry::ScalarList(_)
            | ShapeEntry::Typename(_) => false,
        })
    }
}

impl Sql {
    /// `(select json of the row)`, null without a row.
    fn one(&mut self, physical: &Physical, filter: &Filter, shape: &Shape<'_>) -> &mut Self {
        let (row, object) = (self.alias(), self.alias());
        self.push("(select ")
            .object(physical, shape, &object)
            .push(" from (select ");
        self.entries(physical, &row, shape);
        self.push(" from ")
            .push(physical.table(shape.model))
            .push(" ")
            .push(&row)
            .push(" where ");
        self.predicate(physical, shape.model, &row, filter);
        self.push(") ").push(&object).push(")")
    }

    /// `(select json array)`.
    pub(super) fn list(
        &mut self,
        physical: &Physical,
        rows: &Rows,
        shape: &Shape<'_>,
        parent: Option<(RelationRef, &str)>,
    ) -> &mut Self {
        let (row, object) = (self.alias(), self.alias());
        let cap = rows
            .cap
            .filter(|_| rows.first.is_none() && rows.last.is_none());
        self.push("(select ");
        if let Some(cap) = cap {
            self.push("case when count(*) > ")
                .page_size(cap)
                .push(" then '")
                .push(TOO_MANY);
            self.push("'::json else ");
        }
        self.lists += 1;
        self.push("coalesce(json_agg(")
            .object_in_aggregate(shape, &object)
            .push(")");
        self.filter_rows(physical, shape, &object)
            .push(", '[]'::json)");
        if cap.is_some() {
            self.push(" end");
        }
        self.push(" from (select ");
        self.entries(physical, &row, shape);
        self.push(" from ");
        if rows.last.is_some() {
            let inner = self.alias();
            self.push("(select ").push(&inner).push(".* from ");
            self.rows(physical, shape.model, rows, &inner, parent)
                .push(") ")
                .push(&row)
                .push(" order by ");
            self.order(physical, shape.model, rows, &row, false);
        } else {
            let capped = Rows {
                first: rows.first.or(cap.map(|c| c.saturating_add(1))),
                ..rows.clone()
            };
            self.rows(physical, shape.model, &capped, &row, parent);
        }
        self.lists -= 1;
        self.push(") ").push(&object).push(")")
    }
}
