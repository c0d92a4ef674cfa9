//! The one place where SQL text and its parameters grow together.

use crate::events::Ghosts;
use crate::plan::{Param, Statement};

/// Stands in the answer where a required link leads nowhere. PostgreSQL's text cannot hold U+0000, so no
/// value of a row is ever written like this, except inside a stored `Json`: finding it means only that the
/// answer has to be looked at.
pub const MISSING_LINK: &str = "\"\\u0000missing\"";

/// Stands in the answer, in the same way, for a list that has more rows than a list may have.
pub const TOO_MANY: &str = "\"\\u0000too many\"";

/// SQL under construction.
#[derive(Debug, Default)]
pub struct Sql {
    text: String,
    params: Vec<Param>,
    aliases: usize,
    /// The alias and the parameter of a row that is read from its JSON, not from its table.
    pub(super) record: Option<(String, usize)>,
    /// The alias of a row as it was before a change, and the JSON object of its lists that changed.
    pub(super) before: Option<(String, String)>,
    /// Whether the condition that is written is asked of a few rows that are at hand.
    pub(super) few: bool,
    /// Set where tables are read as they were before a transaction.
    past: Option<Past>,
}

/// Which rows count as still there, and the parameters in which those of each table are.
#[derive(Debug)]
struct Past {
    ghosts: Ghosts,
    params: Vec<(String, usize)>,
}

impl Sql {
    pub fn new() -> Self {
        Sql { text: String::with_capacity(1024), params: Vec::with_capacity(8), ..Sql::default() }
    }

    /// Goes on after a statement's text, its parameters kept.
    pub fn around(before: &str, statement: Statement) -> Self {
        let text = format!("{before}{}", statement.sql);
        Sql { text, params: statement.params, ..Sql::new() }
    }

    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter and writes its placeholder.
    pub fn bind(&mut self, param: impl Into<Param>) -> &mut Self {
        self.params.push(param.into());
        self.placeholder(self.params.len())
    }

    /// Adds a parameter without writing it; the number is for [`Sql::placeholder`].
    pub fn add_param(&mut self, param: impl Into<Param>) -> usize {
        self.params.push(param.into());
        self.params.len()
    }

    /// Writes the placeholder of a parameter that was added before.
    pub fn placeholder(&mut self, number: usize) -> &mut Self {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "${number}");
        self
    }

    /// Writes the number itself. For page sizes and the limits of lists only: as parameters they would keep
    /// PostgreSQL from a plan that serves all values, for it cannot tell what a limit that it does not know
    /// will cost, and so it would plan every read anew.
    pub fn page_size(&mut self, rows: i64) -> &mut Self {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{rows}");
        self
    }

    /// From here on, tables are read with the rows of a transaction that are gone.
    pub(super) fn enter_past(&mut self, ghosts: &Ghosts) {
        self.past = Some(Past { ghosts: ghosts.clone(), params: Vec::new() });
    }

    pub(super) fn leave_past(&mut self) {
        self.past = None;
    }

    pub(super) fn is_past(&self) -> bool {
        self.past.is_some()
    }

    /// Writes a table, or in the past what counts as its rows. `union all` of plain scans and no more than that:
    /// so PostgreSQL walks the table's indexes through it.
    pub(super) fn source(&mut self, table: &str) -> &mut Self {
        let Some(past) = &mut self.past else { return self.push(table) };
        let number = match past.params.iter().find(|(of, _)| of == table) {
            Some((_, number)) => *number,
            None => {
                self.params.push(Param::Text(past.ghosts.rows(table).to_owned()));
                past.params.push((table.to_owned(), self.params.len()));
                self.params.len()
            }
        };
        let marked = past.ghosts.replaced(table).is_some();
        let [now, then] = if marked { [", false as \"~gone\"", ", true"] } else { [""; 2] };
        self.push("(select *").push(now).push(" from ").push(table).push(" union all select *").push(then);
        self.push(" from json_populate_recordset(null::").push(table).push(", ");
        self.placeholder(number).push("::json))")
    }

    /// In the past: `… and ` against those rows of a [`Sql::source`] that are there as they were, too.
    pub(super) fn unless_replaced(&mut self, table: &str, alias: &str, id: &str) -> &mut Self {
        let replaced = self.past.as_ref().and_then(|past| past.ghosts.replaced(table)).map(str::to_owned);
        let Some(replaced) = replaced else { return self };
        self.push("(").column(alias, "\"~gone\"").push(" or ").column(alias, id).push(" <> all(");
        self.bind(replaced).push(")) and ")
    }

    /// Writes `"name"`, quotes doubled.
    pub fn name(&mut self, name: &str) -> &mut Self {
        push_quoted(&mut self.text, name);
        self
    }

    /// Writes `alias."column"`; the column is quoted already.
    pub fn column(&mut self, alias: &str, quoted_column: &str) -> &mut Self {
        self.text.push_str(alias);
        self.text.push('.');
        self.text.push_str(quoted_column);
        self
    }

    /// Writes a row as one value. PostgreSQL takes a bare `alias` for a column of that name, here or in any query
    /// around, before it takes it for the row; and a client's key, or a datamodel's column, may be called like an alias.
    pub(super) fn whole(&mut self, alias: &str) -> &mut Self {
        self.push(alias).push(".*")
    }

    /// A table alias not used before in this statement. Rows are written by [`Sql::whole`], columns by
    /// [`Sql::column`], so that an alias is never looked up among columns.
    pub fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    pub fn finish(self) -> Statement {
        Statement { sql: self.text, params: self.params }
    }
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Param::Text(text.to_owned())
    }
}

impl From<String> for Param {
    fn from(text: String) -> Self {
        Param::Text(text)
    }
}

/// An SQL identifier in quotes.
pub fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    push_quoted(&mut out, name);
    out
}

fn push_quoted(out: &mut String, name: &str) {
    out.push('"');
    for c in name.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
}

/// PostgreSQL's text form of a one-dimensional array, for parameters of `any($n)`.
pub fn array_literal<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::from("{");
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push('"');
        for c in item.chars() {
            if c == '"' || c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
    out
}

/// A `like` pattern that matches the text itself: `%`, `_` and `\` lose their meaning.
pub fn like_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
