//! Statements that read: each gives one row with one text column, the JSON of one root field.

use std::sync::Arc;

use super::answer_size::AnswerLimit;
use super::physical::{LinkAt, Physical};
use super::predicate::Filter;
use super::text::{MISSING_LINK, Sql, TOO_MANY};
use super::view::View;
use super::{Param, Statement};
use crate::datamodel::OWN_COLUMN;
use crate::datamodel::{Field, FieldId, FieldKind, ModelId, ScalarType};

/// Which rows of a model, in which order.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    pub filter: Filter,
    /// The part of the filter that says which rows there are for the viewer: a cursor must name one of them.
    pub visible: Filter,
    /// The field and whether it descends; ties, and everything without an order, go by ascending id.
    pub order: Option<(FieldId, bool)>,
    /// Exclusive cursors: ids.
    pub after: Option<String>,
    pub before: Option<String>,
    pub skip: Option<i64>,
    pub first: Option<i64>,
    pub last: Option<i64>,
    /// A list without `first` and `last` that has more rows than this is refused.
    pub cap: Option<i64>,
}

/// The JSON object made of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape<'a> {
    pub model: ModelId,
    /// How large the whole answer may be.
    pub answer: Option<AnswerLimit>,
    pub entries: Vec<(&'a str, Entry<'a>)>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    Column(FieldId),
    /// The column as the viewer reads it.
    Viewed(FieldId, Arc<View>),
    /// The column, of which nothing is said.
    Hidden,
    ScalarList(FieldId),
    Typename(&'a str),
    /// Null where the partner does not satisfy the filter.
    ToOne(FieldId, Filter, Shape<'a>),
    ToMany(FieldId, Rows, Shape<'a>),
}

/// Of a field that is not read as its column has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MaskedForm {
    /// As JSON shows it.
    Json,
    /// As comparisons take it.
    Column,
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

/// Writes a row and answers with it in one statement: `written` returns the row. What else the shape shows
/// is as it was before the statement. Each of `links` (quoted columns) follows as text.
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

/// A row as JSON with its columns' names and, under the names of their tables, its scalar lists: what
/// [`record`] reads once the row is gone.
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

fn list_key(field: FieldId) -> String {
    format!("{OWN_COLUMN}list_{}", field.0)
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
    pub fn looks_again_at(&self, model: ModelId) -> bool {
        self.entries.iter().any(|(_, entry)| match entry {
            // A filter may lead anywhere.
            Entry::ToOne(_, filter, shape) => {
                shape.model == model || filter.is_related() || shape.looks_again_at(model)
            }
            Entry::ToMany(_, rows, shape) => {
                shape.model == model || rows.filter.is_related() || shape.looks_again_at(model)
            }
            // What triggers write is not there before the statement has ended.
            Entry::Viewed(_, view) => view.is_related(),
            Entry::Column(_) | Entry::Hidden | Entry::ScalarList(_) | Entry::Typename(_) => false,
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
    fn list(
        &mut self,
        physical: &Physical,
        rows: &Rows,
        shape: &Shape<'_>,
        parent: Option<(LinkAt<'_>, &str, &str)>,
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

    /// `table alias … where … order by … limit … offset …`; with `last` in reversed order.
    pub(super) fn rows(
        &mut self,
        physical: &Physical,
        model: ModelId,
        rows: &Rows,
        alias: &str,
        parent: Option<(LinkAt<'_>, &str, &str)>,
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
        parent: Option<(LinkAt<'_>, &str, &str)>,
    ) -> &mut Self {
        self.push(physical.table(model)).push(" ").push(alias);
        let mut glue = " where ";
        if let Some((link, parent_alias, parent_id)) = parent {
            match link {
                LinkAt::Table {
                    table,
                    own,
                    partner,
                    ..
                } => {
                    let row = self.alias();
                    self.push(" join ")
                        .push(table)
                        .push(" ")
                        .push(&row)
                        .push(" on ");
                    self.column(&row, partner)
                        .push(" = ")
                        .column(alias, physical.id(model));
                    self.push(" where ")
                        .column(&row, own)
                        .push(" = ")
                        .column(parent_alias, parent_id);
                }
                LinkAt::Partner(column) => {
                    self.push(" where ")
                        .column(alias, column)
                        .push(" = ")
                        .column(parent_alias, parent_id);
                }
                LinkAt::Own(column) => {
                    self.push(" where ")
                        .column(alias, physical.id(model))
                        .push(" = ");
                    self.column(parent_alias, column);
                }
            }
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

    fn order(
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

    /// The select list of a shape over the row `alias`.
    pub(super) fn entries(
        &mut self,
        physical: &Physical,
        alias: &str,
        shape: &Shape<'_>,
    ) -> &mut Self {
        let keys: Vec<&str> = shape.entries.iter().map(|(key, _)| *key).collect();
        for (i, (key, entry)) in shape.entries.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            match entry {
                Entry::Column(field) => self.value(
                    physical.model.field(shape.model, *field),
                    alias,
                    physical.column(shape.model, *field),
                ),
                Entry::Viewed(field, view) => self.viewed(
                    physical,
                    shape.model,
                    (alias, *field),
                    view,
                    MaskedForm::Json,
                ),
                Entry::Hidden => self.push("null::text"),
                Entry::ScalarList(field) => self.scalar_list(physical, shape.model, *field, alias),
                Entry::Typename(name) => self.typename(name),
                Entry::ToOne(field, filter, inner) => {
                    self.partner(physical, shape.model, *field, alias, filter, inner)
                }
                Entry::ToMany(field, rows, inner) => {
                    match physical.model.field(shape.model, *field).relation() {
                        Some(relation) => {
                            let parent = (physical.link(relation), alias, physical.id(shape.model));
                            self.list(physical, rows, inner, Some(parent))
                        }
                        None => self.push("'[]'::json"),
                    }
                }
            };
            self.key(&keys, i, key);
        }
        self
    }

    /// A column in the form in which JSON shows it.
    pub(super) fn value(&mut self, field: &Field, alias: &str, column: &str) -> &mut Self {
        match field.kind {
            FieldKind::Scalar(ScalarType::DateTime) => self
                .push("to_char(")
                .column(alias, column)
                .push(", 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"),
            FieldKind::Scalar(ScalarType::Float) => self.column(alias, column).push("::float8"),
            FieldKind::Scalar(ScalarType::Json) => self.column(alias, column).push("::json"),
            _ => self.column(alias, column),
        }
    }

    fn scalar_list(
        &mut self,
        physical: &Physical,
        model: ModelId,
        field: FieldId,
        alias: &str,
    ) -> &mut Self {
        if let Some((_, number)) = self.record.clone().filter(|(record, _)| record == alias) {
            return self
                .placeholder(number)
                .push("::json->'")
                .push(&list_key(field))
                .push("'");
        }
        if let Some((_, lists)) = self.before.clone().filter(|(before, _)| before == alias) {
            let removed = format!("{lists}->'{}'", field.0);
            let row = self.alias();
            self.push("case when ")
                .push(&removed)
                .push(" is not null then ");
            self.push("(select coalesce(json_agg(");
            self.value(physical.model.field(model, field), &row, "\"value\"");
            self.push(" order by ")
                .column(&row, "\"position\"")
                .push("), '[]'::json) from ");
            self.push("json_populate_recordset(null::")
                .push(physical.list_table(model, field))
                .push(", ");
            self.push(&removed).push(") ").push(&row).push(") else ");
            return self
                .current_list(physical, model, field, alias)
                .push(" end");
        }
        self.current_list(physical, model, field, alias)
    }

    fn current_list(
        &mut self,
        physical: &Physical,
        model: ModelId,
        field: FieldId,
        alias: &str,
    ) -> &mut Self {
        let row = self.alias();
        self.push("(select coalesce(json_agg(");
        self.value(physical.model.field(model, field), &row, "\"value\"");
        self.push(" order by ")
            .column(&row, "\"position\"")
            .push("), '[]'::json) from ");
        self.push(physical.list_table(model, field))
            .push(" ")
            .push(&row)
            .push(" where ");
        self.column(&row, "\"nodeId\"")
            .push(" = ")
            .column(alias, physical.id(model))
            .push(")")
    }

    fn partner(
        &mut self,
        physical: &Physical,
        model: ModelId,
        field: FieldId,
        alias: &str,
        filter: &Filter,
        shape: &Shape<'_>,
    ) -> &mut Self {
        let definition = physical.model.field(model, field);
        let Some(relation) = definition.relation() else {
            return self.push("null::json");
        };
        let (row, object) = (self.alias(), self.alias());
        if definition.required {
            self.push("coalesce(");
        }
        self.push("(select ")
            .object(physical, shape, &object)
            .push(" from (select ");
        self.entries(physical, &row, shape);
        self.push(" from ")
            .push(physical.table(relation.target))
            .push(" ")
            .push(&row);
        let id = physical.id(model);
        let link = physical.link(relation);
        match link {
            LinkAt::Own(column) => {
                self.push(" where ")
                    .column(&row, physical.id(relation.target))
                    .push(" = ");
                self.column(alias, column)
            }
            LinkAt::Partner(column) => self
                .push(" where ")
                .column(&row, column)
                .push(" = ")
                .column(alias, id),
            LinkAt::Table {
                table,
                own,
                partner,
                ..
            } => {
                let link = self.alias();
                self.push(" join ")
                    .push(table)
                    .push(" ")
                    .push(&link)
                    .push(" on ");
                self.column(&link, partner)
                    .push(" = ")
                    .column(&row, physical.id(relation.target));
                self.push(" where ")
                    .column(&link, own)
                    .push(" = ")
                    .column(alias, id)
            }
        };
        if !filter.is_true() {
            self.push(" and ")
                .predicate(physical, relation.target, &row, filter);
        }
        if !matches!(link, LinkAt::Own(_)) {
            // Nothing in the tables keeps two from tying themselves to one: all are shown the same.
            self.push(" order by ")
                .column(&row, physical.id(relation.target))
                .push(" limit 1");
        }
        self.push(") ").push(&object).push(")");
        if definition.required {
            self.push(", '").push(MISSING_LINK).push("'::json)");
        }
        self
    }
}
