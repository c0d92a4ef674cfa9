//! The steps of a migration, as values. Knows neither layouts nor SQL.

use std::fmt;

use super::rows::{FoundRows, RowQuery};

/// One step of a migration; steps are run in order, all in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStep {
    /// What it does, for people.
    pub description: String,
    /// One or more statements, separated by semicolons, without parameters.
    pub sql: String,
    /// What running it destroys; such a step needs permission.
    pub data_loss: Option<Loss>,
}

/// Data that a step destroys, if there is any: an empty column loses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What is lost, as a clause.
    pub reason: &'static str,
    /// The rows that lose something.
    pub query: RowQuery,
    /// The table of these rows as it is called before the migration, for SQL.
    pub table: String,
    /// What the query has returned.
    pub rows: FoundRows,
    /// The step serves only these rows, and is left out if there are none.
    pub only_for_rows: bool,
    /// The step drops the table or column, which another version of the datamodel may still need
    /// although it is empty, or moves it where that version would not find it.
    pub drops: bool,
    /// The step needs permission also where there are no such rows.
    pub always: bool,
}

impl MigrationStep {
    pub(super) fn harmless(description: String, sql: String) -> Self {
        MigrationStep {
            description,
            sql,
            data_loss: None,
        }
    }

    /// Whether running it destroys anything.
    pub fn loses_data(&self) -> bool {
        self.data_loss.is_some()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)?;
        match self.rows.count {
            0 => Ok(()),
            _ => write!(f, ": {}", self.rows.describe("row", "rows", false)),
        }
    }
}
