//! Rows that a transaction took away, for those who look at a deleted node as it was.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sql::array_literal;

/// By table, the rows as they were before the transaction: of nodes that were deleted or whose links in their own
/// columns changed, and of links in tables of their own that were cut. Cheap to copy.
#[derive(Debug, Clone, Default)]
pub struct Ghosts(Arc<HashMap<String, Table>>);

#[derive(Debug, Default)]
struct Table {
    /// A JSON array.
    rows: String,
    /// The ids of those nodes that are still there, and otherwise: an array in PostgreSQL's text.
    replaced: Option<String>,
}

impl Ghosts {
    /// From each qualified table and its rows' JSON objects by column; with the id of a node that is still there.
    pub(super) fn of<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str, Option<&'a str>)>) -> Self {
        let mut tables: HashMap<&str, (String, Vec<&str>)> = HashMap::new();
        for (table, row, replaced) in rows {
            let (array, ids) = tables.entry(table).or_default();
            array.push(if array.is_empty() { '[' } else { ',' });
            array.push_str(row);
            ids.extend(replaced);
        }
        let closed = tables.into_iter().map(|(table, (rows, ids))| {
            let replaced = (!ids.is_empty()).then(|| array_literal(ids));
            (table.to_owned(), Table { rows: rows + "]", replaced })
        });
        Ghosts(Arc::new(closed.collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A table's rows as a JSON array.
    pub fn rows(&self, table: &str) -> &str {
        self.0.get(table).map_or("[]", |table| &table.rows)
    }

    /// The ids of those among a table's rows that are still there, and otherwise, as an array in PostgreSQL's text.
    pub fn replaced(&self, table: &str) -> Option<&str> {
        self.0.get(table)?.replaced.as_deref()
    }
}
