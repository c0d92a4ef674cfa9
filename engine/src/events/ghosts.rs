//! Rows that a transaction took away, for those who look at a deleted node as it was.

use std::collections::HashMap;
use std::sync::Arc;

/// By table, the rows as they were before the transaction: of nodes that were deleted or whose links in their own
/// columns changed, and of links in tables of their own that were cut. Cheap to copy.
#[derive(Debug, Clone, Default)]
pub struct Ghosts(Arc<HashMap<String, String>>);

impl Ghosts {
    /// From each qualified table and its rows' JSON objects by column.
    pub(super) fn of<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut tables: HashMap<String, String> = HashMap::new();
        for (table, row) in rows {
            let array = tables.entry(table.to_owned()).or_default();
            array.push(if array.is_empty() { '[' } else { ',' });
            array.push_str(row);
        }
        tables.values_mut().for_each(|array| array.push(']'));
        Ghosts(Arc::new(tables))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A table's rows as a JSON array.
    pub fn rows(&self, table: &str) -> &str {
        self.0.get(table).map_or("[]", String::as_str)
    }
}
