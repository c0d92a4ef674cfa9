//! The engine's one error type: an error in the API's answer. Each kind has its stable code in one
//! place.

/// An error of the GraphQL API.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Prisma's numeric code, where it had one.
    pub code: Option<u16>,
    /// What kind of error it is; decides `extensions.code`.
    pub kind: ErrorKind,
    /// The sentence that the client receives.
    pub message: String,
    /// Where in the answer the error belongs; empty for the whole request.
    pub path: Vec<PathSegment>,
    /// Where in the document the cause is; empty if no single place is at fault.
    pub locations: Vec<Position>,
}

/// A place in a GraphQL document: line and column in characters, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

/// One step from the answer's root towards an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathSegment {
    /// The key of an object: the alias, or the field's name.
    Key(String),
    /// The position in a list, from 0.
    Index(usize),
}

/// The stable string in `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The text is no GraphQL document.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// A variable's value, or another part of the request, has the wrong type.
    BadUserInput,
    /// The operation cannot be executed as requested; [`ApiError::code`] has Prisma's number.
    Execution,
    /// The policy does not permit it.
    Forbidden,
    /// The request names no viewer, or one whose token is not valid.
    Unauthenticated,
    /// A dependency is unavailable or overloaded; nothing was done, and a retry is safe.
    Unavailable,
    /// The request exceeds a limit; the message names the limit and its value.
    LimitExceeded,
    /// The caller has too much in flight already; nothing was done.
    TooManyRequests,
    /// A write may or may not have been committed.
    OutcomeUnknown,
    /// An idempotency key came with another request before; nothing was written.
    IdempotencyKeyReused,
    /// The deadline passed before there was an answer; nothing was written.
    DeadlineExceeded,
    /// The changes after a subscriber's cursor are no longer retained: read the data again, and
    /// subscribe without a cursor.
    ResyncRequired,
    /// A trigger or function of the database's owner raised this message (SQLSTATE `P0001`).
    RaiseException,
    /// A `CHECK` of the database's owner does not hold (SQLSTATE `23514`).
    CheckViolation,
    /// A rule of the application, by its own code.
    Application(&'static str),
    /// A fault of the server; the log has the details.
    Internal,
}

impl ErrorKind {
    /// Every kind but the application's, for tables and the test that keeps them complete.
    pub const ALL: [ErrorKind; 16] = [
        ErrorKind::ParseFailed,
        ErrorKind::ValidationFailed,
        ErrorKind::BadUserInput,
        ErrorKind::Execution,
        ErrorKind::Forbidden,
        ErrorKind::Unauthenticated,
        ErrorKind::Unavailable,
        ErrorKind::LimitExceeded,
        ErrorKind::TooManyRequests,
        ErrorKind::OutcomeUnknown,
        ErrorKind::IdempotencyKeyReused,
        ErrorKind::DeadlineExceeded,
        ErrorKind::ResyncRequired,
        ErrorKind::RaiseException,
        ErrorKind::CheckViolation,
        ErrorKind::Internal,
    ];

    /// The string in `extensions.code`; stable between versions.
    pub fn code(self) -> &'static str {
        match self {
            ErrorKind::ParseFailed => "GRAPHQL_PARSE_FAILED",
            ErrorKind::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            ErrorKind::BadUserInput => "BAD_USER_INPUT",
            ErrorKind::Execution => "GRAPHQL_EXECUTION_ERROR",
            ErrorKind::Forbidden => "FORBIDDEN",
            ErrorKind::Unauthenticated => "UNAUTHENTICATED",
            ErrorKind::Unavailable => "SERVICE_UNAVAILABLE",
            ErrorKind::LimitExceeded => "LIMIT_EXCEEDED",
            ErrorKind::TooManyRequests => "TOO_MANY_REQUESTS",
            ErrorKind::OutcomeUnknown => "OUTCOME_UNKNOWN",
            ErrorKind::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            ErrorKind::DeadlineExceeded => "DEADLINE_EXCEEDED",
            ErrorKind::ResyncRequired => "RESYNC_REQUIRED",
            ErrorKind::RaiseException => "RAISE_EXCEPTION",
            ErrorKind::CheckViolation => "CHECK_VIOLATION",
            ErrorKind::Application(code) => code,
            ErrorKind::Internal => "INTERNAL_SERVER_ERROR",
        }
    }
}

impl ApiError {
    /// An error without number, path or location.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ApiError {
            code: None,
            kind,
            message: message.into(),
            path: Vec::new(),
            locations: Vec::new(),
        }
    }

    /// One of Prisma's numbered errors.
    pub fn numbered(code: u16, message: impl Into<String>) -> Self {
        ApiError {
            code: Some(code),
            ..Self::new(ErrorKind::Execution, message)
        }
    }

    /// Adds a place in the document.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.locations.push(position);
        self
    }

    /// Sets the path in the answer.
    #[must_use]
    pub fn with_path(mut self, path: Vec<PathSegment>) -> Self {
        self.path = path;
        self
    }
}
