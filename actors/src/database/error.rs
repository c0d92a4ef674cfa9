//! What can become of a statement or a program, seen from the server. Knows no GraphQL: the engine's side
//! turns a rejected statement into the API's words.

use std::error::Error as _;
use std::time::Duration;

use gom_engine::error::ApiError;
use tokio_postgres::error::{DbError, Severity, SqlState};

use gom_telemetry::causes::with_causes;

/// What a refusal suggests waiting before the next try: the database is looked for at least this often.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// PostgreSQL's own report of an error, as far as the API needs it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLSTATE {sqlstate})")]
pub struct DatabaseError {
    /// Five characters; see PostgreSQL's appendix "Error Codes".
    pub sqlstate: String,
    /// What went wrong, in PostgreSQL's words.
    pub message: String,
    /// What PostgreSQL adds to the message. It may contain values of rows.
    pub detail: Option<String>,
    /// The schema of the table, if the error is about one.
    pub schema: Option<String>,
    /// The table that the error is about.
    pub table: Option<String>,
    /// The column that the error is about.
    pub column: Option<String>,
    /// The constraint that was violated.
    pub constraint: Option<String>,
}

impl DatabaseError {
    /// What its code says.
    pub fn kind(&self) -> SqlErrorKind {
        SqlErrorKind::of_state(&SqlState::from_code(&self.sqlstate))
    }
}

impl From<&DbError> for DatabaseError {
    fn from(error: &DbError) -> Self {
        DatabaseError {
            sqlstate: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            schema: error.schema().map(str::to_owned),
            table: error.table().map(str::to_owned),
            column: error.column().map(str::to_owned),
            constraint: error.constraint().map(str::to_owned),
        }
    }
}

/// Why a read or a program has no answer. Unless it is [`RunError::OutcomeUnknown`], nothing was written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RunError {
    /// PostgreSQL refused a statement: a constraint, a value, or (after the last retry) a conflict.
    #[error("the database refused a statement: {0}")]
    Rejected(Box<DatabaseError>),
    /// An expectation of the program did not hold.
    #[error("{0}")]
    Unmet(Box<ApiError>),
    /// There is no database to ask, or it takes no writes.
    #[error("the database is not available: {reason}")]
    Unavailable {
        /// What is known of the cause, for operators.
        reason: String,
        /// When the next attempt may succeed.
        retry_after: Duration,
    },
    /// Too much is waiting already.
    #[error("too many requests are waiting for the database")]
    Overloaded {
        /// When the next attempt may succeed.
        retry_after: Duration,
    },
    /// The deadline passed before there was an answer.
    #[error("the database did not answer before the deadline")]
    Deadline,
    /// The commit was sent, and whether it took effect was not heard.
    #[error(
        "the connection was lost or the deadline passed during the commit: it may have been written or not"
    )]
    OutcomeUnknown,
    /// The statement does not fit what the server expects, or the answer is not text: a bug, not a state.
    #[error("a statement could not be carried out: {0}")]
    Fault(String),
}

impl RunError {
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        RunError::Unavailable {
            reason: reason.into(),
            retry_after: RETRY_AFTER,
        }
    }

    pub(super) fn overloaded() -> Self {
        RunError::Overloaded {
            retry_after: RETRY_AFTER,
        }
    }
}

/// What PostgreSQL's error code (SQLSTATE) says. Only this enum reads codes: others match its variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlErrorKind {
    /// A deadlock or a serialization failure: the same transaction may succeed when it is repeated.
    Conflict,
    /// The transaction was rolled back for another reason.
    RolledBack,
    /// A prepared statement no longer fits the tables: "cached plan must not change result type" is the only use of 0A000
    /// that a second attempt can mend, but repeating what is not supported does no harm.
    StalePlan,
    /// The table does not exist.
    UndefinedTable,
    /// The schema does not exist.
    UndefinedSchema,
    /// The function does not exist, or not with these parameters.
    UndefinedFunction,
    /// The role may not use what the statement names.
    NotPermitted,
    /// The statement is not well formed. One that was prepared before a column changed its type fails like this too.
    Malformed,
    /// A value does not fit. The message contains it.
    BadValue,
    /// The server takes no writes.
    ReadOnly,
    /// A lock was not obtained in time.
    LockTimeout,
    /// `statement_timeout`, or a cancel request.
    Cancelled,
    /// All connections that the server permits are in use.
    NoRoom,
    /// The server is starting or stopping.
    Restarting,
    /// The connection failed.
    Disconnected,
    /// The server lacks a resource, or an operator has intervened.
    Exhausted,
    /// A constraint, a permission, an error that a function raised.
    Other,
}

impl SqlErrorKind {
    /// Of an error that PostgreSQL has reported; nothing of others.
    pub fn of(error: &tokio_postgres::Error) -> Option<Self> {
        error.code().map(SqlErrorKind::of_state)
    }

    fn of_state(state: &SqlState) -> Self {
        match *state {
            SqlState::T_R_DEADLOCK_DETECTED | SqlState::T_R_SERIALIZATION_FAILURE => {
                SqlErrorKind::Conflict
            }
            SqlState::FEATURE_NOT_SUPPORTED | SqlState::INVALID_SQL_STATEMENT_NAME => {
                SqlErrorKind::StalePlan
            }
            SqlState::UNDEFINED_TABLE => SqlErrorKind::UndefinedTable,
            SqlState::INVALID_SCHEMA_NAME => SqlErrorKind::UndefinedSchema,
            SqlState::UNDEFINED_FUNCTION => SqlErrorKind::UndefinedFunction,
            SqlState::INSUFFICIENT_PRIVILEGE => SqlErrorKind::NotPermitted,
            SqlState::READ_ONLY_SQL_TRANSACTION => SqlErrorKind::ReadOnly,
            SqlState::LOCK_NOT_AVAILABLE => SqlErrorKind::LockTimeout,
            SqlState::QUERY_CANCELED => SqlErrorKind::Cancelled,
            SqlState::TOO_MANY_CONNECTIONS => SqlErrorKind::NoRoom,
            _ => SqlErrorKind::of_class(state.code()),
        }
    }

    fn of_class(code: &str) -> Self {
        match code.get(..2) {
            Some("08") => SqlErrorKind::Disconnected,
            Some("22") => SqlErrorKind::BadValue,
            Some("40") => SqlErrorKind::RolledBack,
            Some("42") => SqlErrorKind::Malformed,
            Some("57") if code.starts_with("57P0") => SqlErrorKind::Restarting,
            Some("53" | "57") => SqlErrorKind::Exhausted,
            _ => SqlErrorKind::Other,
        }
    }

    /// Whether what the statement names does not exist, or not for this role: a database of an earlier version.
    pub(super) fn is_missing(self) -> bool {
        matches!(
            self,
            SqlErrorKind::UndefinedTable
                | SqlErrorKind::UndefinedSchema
                | SqlErrorKind::UndefinedFunction
                | SqlErrorKind::NotPermitted
        )
    }
}

/// Whether the report is the last thing that the connection says.
pub(crate) fn ends_connection(report: &DbError) -> bool {
    matches!(
        report.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    )
}

/// What an error says about the connection and about trying again.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// A deadlock or a serialization failure: the same again may well succeed.
    Conflict(Box<DatabaseError>),
    /// The prepared statement no longer fits the tables: prepare it again.
    Stale(Box<DatabaseError>),
    /// The server takes no writes.
    ReadOnly,
    /// The connection is gone; what was not committed is rolled back.
    Lost(String),
    /// Refused for the server's own reasons, such as a full disk; the connection lives.
    Unready(String),
    /// `statement_timeout`, or our own cancel request.
    Cancelled,
    /// Any other refusal.
    Rejected(Box<DatabaseError>),
    Fault(String),
}

impl Failure {
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(error) => Failure::of_report(error),
            None if error.is_closed() || is_io(error) => Failure::Lost(with_causes(error)),
            None => Failure::Fault(with_causes(error)),
        }
    }

    fn of_report(error: &DbError) -> Self {
        let report = Box::new(DatabaseError::from(error));
        match SqlErrorKind::of_state(error.code()) {
            SqlErrorKind::Conflict => Failure::Conflict(report),
            SqlErrorKind::StalePlan => Failure::Stale(report),
            SqlErrorKind::ReadOnly => Failure::ReadOnly,
            SqlErrorKind::Cancelled => Failure::Cancelled,
            _ if ends_connection(error) => Failure::Lost(report.to_string()),
            SqlErrorKind::NoRoom
            | SqlErrorKind::Restarting
            | SqlErrorKind::Disconnected
            | SqlErrorKind::Exhausted => Failure::Unready(report.to_string()),
            SqlErrorKind::Malformed
            | SqlErrorKind::UndefinedTable
            | SqlErrorKind::UndefinedFunction
            | SqlErrorKind::NotPermitted => Failure::Stale(report),
            SqlErrorKind::RolledBack
            | SqlErrorKind::UndefinedSchema
            | SqlErrorKind::BadValue
            | SqlErrorKind::LockTimeout
            | SqlErrorKind::Other => Failure::Rejected(report),
        }
    }

    /// A program found what another transaction committed after it had begun.
    pub(super) fn overtaken() -> Self {
        Failure::Conflict(Box::new(DatabaseError {
            sqlstate: SqlState::T_R_SERIALIZATION_FAILURE.code().to_owned(),
            message: "another transaction has changed what the program decided on".to_owned(),
            detail: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
        }))
    }

    /// A function of the database has planned for types that its table's columns no longer have. Its connection's plans are
    /// no statement's: they have to be discarded.
    pub(super) fn is_of_a_function(&self) -> bool {
        matches!(self, Failure::Stale(report) if report.sqlstate == SqlState::DATATYPE_MISMATCH.code())
    }

    /// For a statement that was prepared just now: preparing it again would change nothing.
    pub(super) fn not_retryable(self) -> Self {
        match self {
            Failure::Stale(report) => Failure::Rejected(report),
            other => other,
        }
    }

    /// The error for somebody whose statement failed, when nothing was committed and nothing is retried.
    pub(super) fn into_run_error(self) -> RunError {
        match self {
            Failure::Conflict(report) | Failure::Stale(report) | Failure::Rejected(report) => {
                RunError::Rejected(report)
            }
            Failure::ReadOnly => RunError::unavailable("it takes no writes at the moment"),
            Failure::Lost(reason) | Failure::Unready(reason) => RunError::unavailable(reason),
            Failure::Cancelled => RunError::Deadline,
            Failure::Fault(message) => RunError::Fault(message),
        }
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    error
        .source()
        .is_some_and(|source| source.is::<std::io::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_kind_that_decides_what_follows() {
        for (code, kind) in [
            ("40001", SqlErrorKind::Conflict),
            ("40P01", SqlErrorKind::Conflict),
            ("40002", SqlErrorKind::RolledBack),
            ("0A000", SqlErrorKind::StalePlan),
            ("26000", SqlErrorKind::StalePlan),
            ("42P01", SqlErrorKind::UndefinedTable),
            ("3F000", SqlErrorKind::UndefinedSchema),
            ("42883", SqlErrorKind::UndefinedFunction),
            ("42501", SqlErrorKind::NotPermitted),
            ("42804", SqlErrorKind::Malformed),
            ("22P02", SqlErrorKind::BadValue),
            ("25006", SqlErrorKind::ReadOnly),
            ("55P03", SqlErrorKind::LockTimeout),
            ("57014", SqlErrorKind::Cancelled),
            ("53300", SqlErrorKind::NoRoom),
            ("53100", SqlErrorKind::Exhausted),
            ("57P01", SqlErrorKind::Restarting),
            ("57P03", SqlErrorKind::Restarting),
            ("57000", SqlErrorKind::Exhausted),
            ("08006", SqlErrorKind::Disconnected),
            ("23505", SqlErrorKind::Other),
            ("P0001", SqlErrorKind::Other),
        ] {
            assert_eq!(
                SqlErrorKind::of_state(&SqlState::from_code(code)),
                kind,
                "{code}"
            );
        }
    }
}
