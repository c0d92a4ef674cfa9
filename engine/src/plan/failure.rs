//! Errors of PostgreSQL become errors of the API.

use super::context::{PageLimits, Planner};
use crate::error::{ApiError, ErrorKind};
use crate::sql::ANSWER_TOO_LARGE;

/// What is passed on of a message that the database's owner wrote.
const MAX_MESSAGE_BYTES: usize = 1_024;

/// The parts of PostgreSQL's error report that decide the answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rejection<'a> {
    /// Five characters, such as `23505`.
    pub sqlstate: &'a str,
    /// The primary message.
    pub message: &'a str,
    /// The detail, if there is one.
    pub detail: Option<&'a str>,
    /// The table that the error is about.
    pub table: Option<&'a str>,
    /// The column that the error is about.
    pub column: Option<&'a str>,
    /// The constraint that is violated.
    pub constraint: Option<&'a str>,
}

impl Planner {
    /// The error for a statement that PostgreSQL rejected. What the client did not cause is
    /// [`ErrorKind::Internal`], with the database's words for the log.
    pub fn rejected(&self, rejection: Rejection<'_>) -> ApiError {
        match rejection.sqlstate {
            "23505" => self.unique_violation(rejection),
            "23503" => ApiError::numbered(
                3011,
                "You are referencing a node that does not exist. Please check your mutation to make sure you are only creating edges between existing nodes.",
            ),
            "23502" => ApiError::numbered(
                3020,
                format!(
                    "You are trying to set a required field to null. If you are using GraphQL arguments, make sure that you specify a value for all arguments. Fieldname if known: {}",
                    rejection.column.unwrap_or_default()
                ),
            ),
            // The owner of the database speaks to the client by these two.
            "P0001" => ApiError::new(ErrorKind::RaiseException, bounded(rejection.message)),
            "23514" => ApiError::new(ErrorKind::CheckViolation, bounded(rejection.message)),
            "22P02" | "22007" | "22008" | "22003" | "22001" | "22021" => ApiError::new(
                ErrorKind::BadUserInput,
                format!(
                    "A value is not valid for the type of its field: {}",
                    bounded(rejection.message)
                ),
            ),
            // The caller adds the limit's value.
            ANSWER_TOO_LARGE => PageLimits::default().answer_too_large(),
            // What a unique index takes ends at about 2,700 bytes, however long a column may be.
            "54000" => ApiError::new(
                ErrorKind::BadUserInput,
                "A value is too long for the index of its unique field.",
            ),
            "57014" => ApiError::new(
                ErrorKind::DeadlineExceeded,
                "The database did not finish in time (database.statement_timeout); nothing was written.",
            ),
            "40001" | "40P01" | "55P03" => ApiError::new(
                ErrorKind::Execution,
                "The write conflicted with others again and again and was given up; nothing was written. Try again.",
            ),
            "25006" | "57P01" | "57P02" | "57P03" | "53300" => ApiError::new(
                ErrorKind::Unavailable,
                "The database does not take this request at present. Try again.",
            ),
            _ => ApiError::new(
                ErrorKind::Internal,
                format!(
                    "the database rejected a statement: {} ({})",
                    rejection.message, rejection.sqlstate
                ),
            ),
        }
    }

    fn unique_violation(&self, rejection: Rejection<'_>) -> ApiError {
        let models = &self.model().models;
        let model = models
            .iter()
            .find(|m| Some(m.table.as_str()) == rejection.table);
        let column = rejection.detail.and_then(key_column);
        let field = model.and_then(|m| {
            m.fields.iter().find(|f| {
                f.is_column() && column.is_some_and(|c| c == f.column || c == quoted_if(&f.column))
            })
        });
        let model = model.map_or(rejection.table.unwrap_or("unknown"), |m| &m.name);
        let field = field.map_or(column.unwrap_or("unknown"), |f| &f.name);
        ApiError::numbered(
            3010,
            format!(
                "A unique constraint would be violated on {model}. Details: Field name = {field}"
            ),
        )
    }
}

/// Cuts a text of the database's owner, which may contain a row's values.
fn bounded(message: &str) -> &str {
    let end = (0..=MAX_MESSAGE_BYTES.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end));
    &message[..end.unwrap_or_default()]
}

/// The column of `Key (column)=(value) already exists.`
fn key_column(detail: &str) -> Option<&str> {
    let rest = detail.split_once('(')?.1;
    rest.split_once(")=").map(|(column, _)| column)
}

fn quoted_if(column: &str) -> String {
    crate::sql::quoted(column)
}
