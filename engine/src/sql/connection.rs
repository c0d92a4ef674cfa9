//! Connections: one page of rows, with its edges, cursors and counts. The page is fetched once;
//! edges, cursors and counts read it.

use super::answer_size::AnswerLimit;
use super::physical::Physical;
use super::read::Shape;
use super::rows::Rows;
use super::text::{Sql, TOO_MANY};
use super::{Param, Statement};
use crate::datamodel::ModelId;

/// The selected fields of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionPage<'a> {
    /// How large the whole answer may be.
    pub answer: Option<AnswerLimit>,
    /// The selected fields by their keys, in the order of the selection.
    pub fields: Vec<(&'a str, PageField<'a>)>,
}

/// A field of a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum PageField<'a> {
    /// `__typename`, with the type's name.
    Typename(&'a str),
    /// `pageInfo` and its selected fields.
    PageInfo(Vec<(&'a str, PageInfoField<'a>)>),
    /// `edges` and the selected fields of each.
    Edges(Vec<(&'a str, EdgeField<'a>)>),
    /// `aggregate` and its selected fields.
    Aggregate(Vec<(&'a str, AggregateField<'a>)>),
}

/// A field of `pageInfo`.
#[derive(Debug, Clone, PartialEq)]
pub enum PageInfoField<'a> {
    /// `__typename`, with the type's name.
    Typename(&'a str),
    /// `hasNextPage`: whether rows follow that `first` leaves out.
    HasNextPage,
    /// `hasPreviousPage`: whether rows precede that `last` leaves out.
    HasPreviousPage,
    /// `startCursor`: the id of the page's first row, or null.
    StartCursor,
    /// `endCursor`: the id of the page's last row, or null.
    EndCursor,
}

/// A field of an edge.
#[derive(Debug, Clone, PartialEq)]
pub enum EdgeField<'a> {
    /// `__typename`, with the type's name.
    Typename(&'a str),
    /// `node`: the row.
    Node(Shape<'a>),
    /// `cursor`: the row's id.
    Cursor,
}

/// A field of an aggregate or of a batch payload.
#[derive(Debug, Clone, PartialEq)]
pub enum AggregateField<'a> {
    /// `__typename`, with the type's name.
    Typename(&'a str),
    /// `count`: the number of rows.
    Count,
}

impl ConnectionPage<'_> {
    fn shows_edges(&self) -> bool {
        self.fields
            .iter()
            .any(|(_, field)| matches!(field, PageField::Edges(_)))
    }

    fn needs_info(&self, wanted: impl Fn(&PageInfoField<'_>) -> bool) -> bool {
        self.fields.iter().any(|(_, field)| match field {
            PageField::PageInfo(infos) => infos.iter().any(|(_, info)| wanted(info)),
            _ => false,
        })
    }
}

/// A connection: one page of rows with its edges, cursors and counts. The cap is for edges: what is
/// only counted, or only shows where it begins and ends, is the whole set, and none of its rows is
/// fetched.
pub fn connection(
    physical: &Physical,
    model: ModelId,
    rows: &Rows,
    page: &ConnectionPage<'_>,
) -> Statement {
    use PageInfoField::{EndCursor, HasNextPage, HasPreviousPage, StartCursor};
    let mut sql = Sql::new();
    sql.answer = page.answer;
    let looks_ahead = page.needs_info(|info| matches!(info, HasNextPage | HasPreviousPage));
    let size = rows.first.or(rows.last);
    let shows_edges = page.shows_edges();
    let set = (size.is_none() && !shows_edges).then_some((physical, model, rows));
    if set.is_none() || page.needs_info(|info| matches!(info, StartCursor | EndCursor)) {
        let fetched = Rows {
            first: match (rows.first, rows.last, rows.cap) {
                (Some(n), ..) => Some(n.saturating_add(i64::from(looks_ahead))),
                (None, None, Some(cap)) if shows_edges => Some(cap.saturating_add(1)),
                _ => None,
            },
            last: rows.last.map(|n| n.saturating_add(i64::from(looks_ahead))),
            ..rows.clone()
        };
        // With `last` the page is fetched backwards, so `i` counts from its end.
        sql.push("with page as materialized (select row_number() over () as \"~i\", ");
        let (inner, base) = (sql.alias(), sql.alias());
        sql.push(&inner).push(".* from (select ");
        if set.is_some() {
            sql.column(&base, physical.id(model));
        } else {
            sql.push(&base).push(".*");
        }
        sql.push(" from ");
        sql.rows(physical, model, &fetched, &base, None)
            .push(") ")
            .push(&inner)
            .push(") ");
    }
    let object = sql.alias();
    let backwards = rows.last.is_some();
    let keys: Vec<&str> = page.fields.iter().map(|(key, _)| *key).collect();
    sql.push("select ")
        .object_of(&keys, &object)
        .push("::text from (select ");
    for (i, (key, field)) in page.fields.iter().enumerate() {
        sql.push(if i > 0 { ", " } else { "" });
        match field {
            PageField::Typename(name) => sql.typename(name),
            PageField::PageInfo(infos) => sql.page_info(physical.id(model), infos, rows, size),
            PageField::Edges(edges) => sql.edges(physical, model, edges, size, backwards, rows.cap),
            PageField::Aggregate(fields) => sql.aggregate(fields, size, set),
        };
        sql.key(&keys, i, key);
    }
    sql.push(") ").push(&object);
    sql.finish()
}

/// What an update or deletion of many rows answers: how many there were, in a parameter.
pub fn batch_payload(count: Param, fields: &[(&str, AggregateField<'_>)]) -> Statement {
    let mut sql = Sql::new();
    let keys: Vec<&str> = fields.iter().map(|(key, _)| *key).collect();
    let number = sql.add_param(count);
    let object = sql.alias();
    sql.push("select ")
        .object_of(&keys, &object)
        .push("::text from (select ");
    for (i, (key, field)) in fields.iter().enumerate() {
        sql.push(if i > 0 { ", " } else { "" });
        match field {
            AggregateField::Typename(name) => sql.typename(name),
            AggregateField::Count => sql.placeholder(number).push("::bigint"),
        };
        sql.key(&keys, i, key);
    }
    // The parameter is used in any case, so that its type is known.
    sql.push(" where ")
        .placeholder(number)
        .push("::bigint is not null) ")
        .push(&object);
    sql.finish()
}

impl Sql {
    fn page_info(
        &mut self,
        id: &str,
        infos: &[(&str, PageInfoField<'_>)],
        rows: &Rows,
        size: Option<i64>,
    ) -> &mut Self {
        let keys: Vec<&str> = infos.iter().map(|(key, _)| *key).collect();
        let object = self.alias();
        let (first, last) = if rows.last.is_some() {
            ("desc", "asc")
        } else {
            ("asc", "desc")
        };
        self.push("(select ")
            .object_of(&keys, &object)
            .push(" from (select ");
        for (i, (key, info)) in infos.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            match info {
                PageInfoField::Typename(name) => self.typename(name),
                PageInfoField::HasNextPage => self.has_more(rows.first),
                PageInfoField::HasPreviousPage => self.has_more(rows.last),
                PageInfoField::StartCursor => self.edge_cursor(id, size, first),
                PageInfoField::EndCursor => self.edge_cursor(id, size, last),
            };
            self.key(&keys, i, key);
        }
        self.push(") ").push(&object).push(")")
    }

    fn has_more(&mut self, limit: Option<i64>) -> &mut Self {
        match limit {
            Some(n) => self
                .push("(select count(*) > ")
                .page_size(n)
                .push(" from page)"),
            None => self.push("false"),
        }
    }

    fn edge_cursor(&mut self, id: &str, size: Option<i64>, direction: &str) -> &mut Self {
        self.push("(select page.").push(id).push("::text from page");
        self.within(size)
            .push(" order by page.\"~i\" ")
            .push(direction)
            .push(" limit 1)")
    }

    /// Leaves out the row that was fetched only to see whether there are more.
    fn within(&mut self, size: Option<i64>) -> &mut Self {
        match size {
            Some(n) => self.push(" where page.\"~i\" <= ").page_size(n),
            None => self,
        }
    }

    fn edges(
        &mut self,
        physical: &Physical,
        model: ModelId,
        edges: &[(&str, EdgeField<'_>)],
        size: Option<i64>,
        backwards: bool,
        cap: Option<i64>,
    ) -> &mut Self {
        let keys: Vec<&str> = edges.iter().map(|(key, _)| *key).collect();
        let object = self.alias();
        let cap = cap.filter(|_| size.is_none());
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
            .object_of(&keys, &object)
            .push(")");
        self.filter_edges(&keys, &object).push(", '[]'::json)");
        if cap.is_some() {
            self.push(" end");
        }
        self.push(" from (select ");
        for (i, (key, edge)) in edges.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            match edge {
                EdgeField::Typename(name) => self.typename(name),
                EdgeField::Cursor => self.push("page.").push(physical.id(model)).push("::text"),
                EdgeField::Node(shape) => {
                    let node = self.alias();
                    self.push("(select ")
                        .object(physical, shape, &node)
                        .push(" from (select ");
                    self.entries(physical, "page", shape)
                        .push(") ")
                        .push(&node)
                        .push(")")
                }
            };
            self.key(&keys, i, key);
        }
        self.lists -= 1;
        self.push(" from page")
            .within(size)
            .push(" order by page.\"~i\"");
        self.push(if backwards { " desc) " } else { ") " })
            .push(&object)
            .push(")")
    }

    /// Counts the page, or the set where there is no page of it.
    fn aggregate(
        &mut self,
        fields: &[(&str, AggregateField<'_>)],
        size: Option<i64>,
        set: Option<(&Physical, ModelId, &Rows)>,
    ) -> &mut Self {
        let keys: Vec<&str> = fields.iter().map(|(key, _)| *key).collect();
        let object = self.alias();
        self.push("(select ")
            .object_of(&keys, &object)
            .push(" from (select ");
        for (i, (key, field)) in fields.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            match field {
                AggregateField::Typename(name) => self.typename(name),
                AggregateField::Count => match set {
                    Some((physical, model, rows)) => self.count_of_set(physical, model, rows),
                    None => self
                        .push("(select count(*) from page")
                        .within(size)
                        .push(")"),
                },
            };
            self.key(&keys, i, key);
        }
        self.push(") ").push(&object).push(")")
    }

    fn count_of_set(&mut self, physical: &Physical, model: ModelId, rows: &Rows) -> &mut Self {
        let row = self.alias();
        let skip = rows.skip.filter(|skip| *skip > 0);
        self.push(if skip.is_some() {
            "(select greatest(count(*) - "
        } else {
            "(select count(*)"
        });
        if let Some(skip) = skip {
            self.bind(skip.to_string()).push("::bigint, 0)");
        }
        self.push(" from ")
            .unordered(physical, model, rows, &row, None)
            .push(")")
    }
}
