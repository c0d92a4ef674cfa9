//! The JSON object of a row: its keys, as columns of a sub-select, and how they become an object.

use super::physical::Physical;
use super::read::Shape;
use super::text::{Sql, quoted};
use crate::datamodel::OWN_COLUMN;

/// PostgreSQL cuts longer names.
const MAX_NAME_BYTES: usize = 63;

impl Sql {
    /// A type's name: from the schema, never from a request.
    pub(super) fn typename(&mut self, name: &str) -> &mut Self {
        self.push("'")
            .push(&name.replace('\'', "''"))
            .push("'::text")
    }

    /// ` as "key"`; where a key is too long for a column's name, all keys are written by
    /// `object_of`.
    pub(super) fn key(&mut self, keys: &[&str], position: usize, key: &str) -> &mut Self {
        self.push(" as ");
        if has_long_key(keys) {
            self.name(&format!("{OWN_COLUMN}{position}"))
        } else {
            self.name(key)
        }
    }

    /// The JSON object of a sub-select's only row.
    pub(super) fn object(
        &mut self,
        physical: &Physical,
        shape: &Shape<'_>,
        alias: &str,
    ) -> &mut Self {
        let begun = self.begin_row(physical, shape, alias);
        self.object_of(&shape.keys(), alias).end_row(begun)
    }

    pub(super) fn object_in_aggregate(&mut self, shape: &Shape<'_>, alias: &str) -> &mut Self {
        let keys = shape.keys();
        if has_long_key(&keys) {
            self.object_of(&keys, alias)
        } else {
            self.whole(alias)
        }
    }

    /// The JSON object of a sub-select's row.
    pub(super) fn object_of(&mut self, keys: &[&str], alias: &str) -> &mut Self {
        if !has_long_key(keys) {
            return self.push("row_to_json(").whole(alias).push(")");
        }
        self.push("('{");
        for (i, key) in keys.iter().enumerate() {
            // A key is a GraphQL name: letters, digits and `_` only.
            self.push(if i > 0 { " || '," } else { "" })
                .push("\"")
                .push(key)
                .push("\":'");
            self.push(" || coalesce(to_json(")
                .column(alias, &format!("\"{OWN_COLUMN}{i}\""));
            self.push(")::text, 'null')");
        }
        self.push(" || '}')::json")
    }
}

/// The column that [`Sql::key`] has named, quoted.
pub(super) fn key_column(keys: &[&str], position: usize) -> String {
    match keys.get(position) {
        Some(key) if !has_long_key(keys) => quoted(key),
        _ => quoted(&format!("{OWN_COLUMN}{position}")),
    }
}

fn has_long_key(keys: &[&str]) -> bool {
    keys.iter().any(|key| key.len() > MAX_NAME_BYTES)
}
