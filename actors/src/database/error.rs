//! What can become of a statement or a program, seen from the server. Knows no GraphQL: the engine's side
//! turns a rejected statement into the API's words.

use std::error::Error as _;
use std::time::Duration;

use gom_engine::error::ApiError;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// What a refusal suggests waiting before the next try: the database is looked for at least this often.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// PostgreSQL's own report of an error, as far as the API needs it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLSTATE {sqlstate})")]
pub struct DatabaseError {
    /// Five characters; see PostgreSQL's appendix "Error Codes".
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
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
        reason: String,
        retry_after: Duration,
    },
    /// Too much is waiting already.
    #[error("too many requests are waiting for the database")]
    Overloaded { retry_after: Duration },
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
            None if error.is_closed() || is_io(error) => Failure::Lost(describe(error)),
            None => Failure::Fault(describe(error)),
        }
    }

    fn of_report(error: &DbError) -> Self {
        let report = Box::new(DatabaseError::from(error));
        let code = error.code();
        if *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE
        {
            return Failure::Conflict(report);
        }
        // "cached plan must not change result type" is the only use of 0A000 that a second try can mend, but
        // trying twice what is not supported does no harm.
        if *code == SqlState::FEATURE_NOT_SUPPORTED || *code == SqlState::INVALID_SQL_STATEMENT_NAME
        {
            return Failure::Stale(report);
        }
        if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
            return Failure::ReadOnly;
        }
        if *code == SqlState::QUERY_CANCELED {
            return Failure::Cancelled;
        }
        if matches!(
            error.parsed_severity(),
            Some(Severity::Fatal | Severity::Panic)
        ) {
            return Failure::Lost(report.to_string());
        }
        match report.sqlstate.get(..2) {
            // Connection, resources, operator's intervention.
            Some("08" | "53" | "57") => Failure::Unready(report.to_string()),
            // A statement that was prepared before a column changed its type fails as not well formed.
            Some("42") => Failure::Stale(report),
            _ => Failure::Rejected(report),
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

/// The error with its causes, which `Display` of the crate leaves out.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
