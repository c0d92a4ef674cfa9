//! Queries that count rows before a migration, under the names that tables and columns have until
//! then. Knows nothing of the reasons to count them.

use std::collections::HashMap;

use super::layout::{DatabaseLayout, Table};
use super::names::quote_identifier;

/// Rows are counted up to here: more are only reported as more.
pub const MAX_ROWS: i64 = 1000;
/// Characters of a value that a report shows.
const MAX_SHOWN_CHARS: usize = 60;

/// A query that returns one row: how many rows there are, at most [`MAX_ROWS`] + 1, the key of one
/// of them, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowQuery {
    /// The text of the query.
    pub sql: String,
    /// The only parameter, where there is one: an array of texts.
    pub allowed: Option<Vec<String>>,
}

/// What a [`RowQuery`] returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundRows {
    /// How many rows there are, at most [`MAX_ROWS`] + 1.
    pub count: i64,
    /// The key of one of them.
    pub example: Option<String>,
    /// The value of that row, where the query is about one.
    pub value: Option<String>,
}

impl FoundRows {
    /// `3 rows, e.g. ‹value› in ‹key›`, in one line: what is in a row ends no comment and commands
    /// no terminal.
    pub(super) fn describe(&self, one: &str, many: &str, with_value: bool) -> String {
        let mut text = match self.count {
            1 => format!("1 {one}"),
            count if count > MAX_ROWS => format!("more than {MAX_ROWS} {many}"),
            count => format!("{count} {many}"),
        };
        let value = self
            .value
            .as_deref()
            .filter(|_| with_value)
            .map(without_controls);
        match (self.example.as_deref().map(without_controls), value) {
            (Some(key), Some(value)) => text.push_str(&format!(", e.g. `{value}` in `{key}`")),
            (Some(key), None) => text.push_str(&format!(", e.g. `{key}`")),
            (None, _) => {}
        }
        text
    }
}

/// The text with a mark for each control character.
fn without_controls(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// What renamed tables and columns are called until the migration, by their new names.
#[derive(Debug, Clone, Default)]
pub(super) struct OriginalNames {
    tables: HashMap<String, String>,
    columns: HashMap<(String, String), String>,
}

impl OriginalNames {
    /// What the table is called until the migration.
    pub(super) fn table<'a>(&'a self, table: &'a str) -> &'a str {
        self.tables.get(table).map_or(table, String::as_str)
    }

    /// What the column is called until the migration.
    pub(super) fn column<'a>(&'a self, table: &str, column: &'a str) -> &'a str {
        self.columns
            .get(&(table.to_owned(), column.to_owned()))
            .map_or(column, String::as_str)
    }

    pub(super) fn rename_table(&mut self, old: &str, new: &str) {
        let origin = self.tables.remove(old).unwrap_or_else(|| old.to_owned());
        self.tables.insert(new.to_owned(), origin);
    }

    /// `table` by its new name.
    pub(super) fn rename_column(&mut self, table: &str, old: &str, new: &str) {
        let origin = self.columns.remove(&(table.to_owned(), old.to_owned()));
        self.columns.insert(
            (table.to_owned(), new.to_owned()),
            origin.unwrap_or_else(|| old.to_owned()),
        );
    }
}

/// Writes the queries for one schema.
pub(super) struct RowQueries<'a> {
    pub found: &'a DatabaseLayout,
    pub origins: &'a OriginalNames,
}

impl RowQueries<'_> {
    /// The table as it is called now, with its schema.
    pub(super) fn table(&self, table: &str) -> String {
        format!(
            "{}.{}",
            quote_identifier(&self.found.schema),
            quote_identifier(self.origins.table(table))
        )
    }

    /// The column as it is called now.
    pub(super) fn column(&self, table: &str, column: &str) -> String {
        quote_identifier(self.origins.column(table, column))
    }

    /// The same, of the row `t`.
    pub(super) fn of_row(&self, table: &str, column: &str) -> String {
        format!("t.{}", self.column(table, column))
    }

    /// Rows of a found table, called `t` in the condition; `value` is a column.
    pub(super) fn rows(&self, table: &Table, condition: &str, value: Option<&str>) -> RowQuery {
        let key = table
            .primary_key
            .first()
            .map(|key| self.of_row(&table.name, key));
        let value = value.map(|value| self.of_row(&table.name, value));
        let from = format!("FROM {} t WHERE {condition}", self.table(&table.name));
        counted(key.as_deref(), value.as_deref(), &from)
    }

    /// Combinations of these expressions over the row `t` that more than one row has.
    pub(super) fn duplicates(&self, table: &Table, expressions: &[String]) -> RowQuery {
        let filled: Vec<String> = expressions
            .iter()
            .map(|one| format!("{one} IS NOT NULL"))
            .collect();
        let from = format!(
            "FROM {} t WHERE {} GROUP BY {} HAVING count(*) > 1",
            self.table(&table.name),
            filled.join(" AND "),
            expressions.join(", ")
        );
        let texts: Vec<String> = expressions
            .iter()
            .map(|one| format!("({one})::text"))
            .collect();
        counted(
            Some(&format!("concat_ws(', ', {})", texts.join(", "))),
            None,
            &from,
        )
    }
}

fn counted(key: Option<&str>, value: Option<&str>, from: &str) -> RowQuery {
    let text = |expression: Option<&str>| match expression {
        Some(expression) => format!("left(({expression})::text, {MAX_SHOWN_CHARS})"),
        None => "NULL::text".to_owned(),
    };
    let sql = format!(
        "SELECT count(*), (array_agg(key))[1], (array_agg(value))[1] \
         FROM (SELECT {} AS key, {} AS value {from} LIMIT {}) AS counted",
        text(key),
        text(value),
        MAX_ROWS + 1
    );
    RowQuery { sql, allowed: None }
}
