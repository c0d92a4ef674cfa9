//! Insertions wait for each other: those that follow one another become one statement, for each
//! statement costs PostgreSQL more than most rows do.

use super::Writer;
use crate::error::ApiError;
use crate::plan::filter::Unique;
use crate::plan::program::{ANSWER, Expect};
use crate::sql::insert::{self, Insert};
use crate::sql::write::Returning;
use crate::sql::{self, Param, Register, Shape};

/// Rows of one insertion. Each number of rows has a statement text of its own.
const MAX_ROWS_PER_STATEMENT: usize = 16;

/// What is expected of an insertion's links, by their position: a partner, or the error.
pub(super) type Partners = Vec<(usize, ApiError)>;

/// An insertion that has not become a statement yet.
pub(super) struct PendingInsert<'a> {
    row: Insert<'a>,
    partners: Partners,
}

impl<'a> Writer<'a> {
    /// Inserts a row whose id is in the program already, together with other rows where possible.
    pub(super) fn insert(&mut self, row: Insert<'a>, partners: Partners) {
        if self.pending.len() == MAX_ROWS_PER_STATEMENT {
            self.flush();
        }
        self.pending.push(PendingInsert { row, partners });
    }

    /// Inserts a row whose id the database makes.
    pub(super) fn insert_into(&mut self, row: &Insert<'_>, id: Register, partners: Partners) {
        let statement = insert::insert(self.planner.physical(), row, Returning::Id);
        self.run_into(statement, vec![id], after_first_column(partners));
    }

    /// Inserts a row and answers with it.
    pub(super) fn insert_and_answer(
        &mut self,
        row: &Insert<'_>,
        partners: Partners,
        shape: &Shape<'_>,
    ) {
        let physical = self.planner.physical();
        let columns: Vec<&str> = row.links.iter().map(|(column, ..)| *column).collect();
        let written = insert::insert(physical, row, Returning::Row);
        let statement = sql::read_written(physical, written, shape, &columns);
        self.run_into(statement, vec![ANSWER], after_first_column(partners));
    }

    /// A statement does not read what it inserts: a reference to a row by its unique value needs a
    /// later statement.
    pub(super) fn flush_before(&mut self, unique: &Unique) {
        let value = Param::Text(unique.text.clone());
        let makes = |row: &Insert<'_>| {
            row.model == unique.model
                && row
                    .values
                    .iter()
                    .any(|(f, v)| *f == unique.field && *v == value)
        };
        if self.pending.iter().any(|pending| makes(&pending.row)) {
            self.flush();
        }
    }

    /// Makes statements of what waits; before anything else may run.
    pub(super) fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let physical = self.planner.physical();
        let (statement, expect) = match pending.as_slice() {
            [] => return,
            [only] => {
                let statement = insert::insert(physical, &only.row, Returning::Id);
                (statement, after_first_column(only.partners.clone()))
            }
            _ => {
                let (mut rows, mut links, mut errors) = (Vec::new(), Vec::new(), Vec::new());
                for (i, PendingInsert { row, partners }) in pending.into_iter().enumerate() {
                    for (link, error) in partners {
                        errors.push((links.len(), error));
                        links.push((i, row.links[link].0));
                    }
                    rows.push(row);
                }
                (insert::insert_all(physical, &rows, &links), filled(errors))
            }
        };
        self.push_run(statement, Vec::new(), expect);
    }
}

/// The first column is the id or the answer; the links follow.
fn after_first_column(partners: Partners) -> Expect {
    filled(
        partners
            .into_iter()
            .map(|(link, error)| (link + 1, error))
            .collect(),
    )
}

fn filled(columns: Partners) -> Expect {
    if columns.is_empty() {
        Expect::Anything
    } else {
        Expect::Filled(columns)
    }
}
