//! The one place where SQL text and its parameters grow together.

use super::answer_size::AnswerLimit;
use super::history::{History, Snapshot};
use super::{Param, Statement};

/// Stands in the answer where a required link leads nowhere. PostgreSQL's text cannot hold U+0000,
/// so no value of a row is ever written like this, except inside a stored `Json`: a match only
/// means that the answer must be parsed.
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
    /// Whether the condition is evaluated for a few rows only.
    pub(super) few: bool,
    /// How large the answer that is made may be.
    pub(super) answer: Option<AnswerLimit>,
    /// How many lists are nested at this point of the text.
    pub(super) lists: usize,
    /// The moment as of which tables are read; `None`: now.
    pub(super) snapshot: Option<Snapshot>,
    /// What the statement needs of the change log.
    pub(super) history: History,
}

impl Sql {
    /// An empty statement.
    pub fn new() -> Self {
        Sql {
            text: String::with_capacity(1024),
            params: Vec::with_capacity(8),
            ..Sql::default()
        }
    }

    /// Goes on after a statement's text, its parameters kept.
    pub fn around(before: &str, statement: Statement) -> Self {
        let text = format!("{before}{}", statement.sql);
        Sql {
            text,
            params: statement.params,
            ..Sql::new()
        }
    }

    /// Appends text as it is. No value may be in it.
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

    /// Writes the number itself. For page sizes and the limits of lists and answers only: as
    /// parameters they would keep PostgreSQL from a plan that serves all values, for the cost of an
    /// unknown limit cannot be estimated, and so PostgreSQL would plan every execution.
    pub fn page_size(&mut self, rows: i64) -> &mut Self {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{rows}");
        self
    }

    /// Writes a name of the datamodel or the policy as a text. Values are bound.
    pub(super) fn literal(&mut self, name: &str) -> &mut Self {
        let escaped = name.contains('\\');
        self.push(if escaped { " E'" } else { "'" });
        let name = name.replace('\'', "''");
        self.push(&if escaped {
            name.replace('\\', "\\\\")
        } else {
            name
        })
        .push("'")
    }

    /// Takes what has been written; the parameters stay.
    pub(super) fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
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

    /// Writes a row as one value. PostgreSQL takes a bare `alias` for a column of that name, here
    /// or in any query around, before it takes it for the row; and a client's key, or a datamodel's
    /// column, may be called like an alias.
    pub(super) fn whole(&mut self, alias: &str) -> &mut Self {
        self.push(alias).push(".*")
    }

    /// A table alias not used before in this statement. Rows are written by `Sql::whole`, columns
    /// by [`Sql::column`], so that an alias is never looked up among columns.
    pub fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// The finished statement.
    pub fn finish(self) -> Statement {
        Statement {
            sql: self.text,
            params: self.params,
        }
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
pub(super) fn like_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
