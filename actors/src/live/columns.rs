//! What statements of groups answer, column by column.

use tokio_postgres::Row;

use crate::database::StatementError;

/// Which of the changes that a statement asks for a row is about.
pub(super) fn ordinal(row: &Row, column: usize) -> Result<usize, StatementError> {
    let number: i32 = row
        .try_get(column)
        .map_err(|error| unexpected(&error.to_string()))?;
    usize::try_from(number).map_err(|_| unexpected("a negative ordinal"))
}

pub(super) fn text(row: &Row, column: usize) -> Result<String, StatementError> {
    row.try_get(column)
        .map_err(|error| unexpected(&error.to_string()))
}

pub(super) fn unasked() -> StatementError {
    unexpected("an ordinal that was not asked for")
}

pub(super) fn unexpected(what: &str) -> StatementError {
    StatementError::Rejected(format!("an answer of the database holds {what}"))
}
