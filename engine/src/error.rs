//! The engine's one error type: what the API answers. Each kind has its stable code in one place.

/// An error of the GraphQL API.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Prisma's numeric code, where it had one.
    pub code: Option<u16>,
    pub kind: ErrorKind,
    pub message: String,
    pub path: Vec<PathSegment>,
    pub locations: Vec<Position>,
}

/// A place in a GraphQL document: line and column in characters, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathSegment {
    Key(String),
    Index(usize),
}

/// The stable string in `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    ParseFailed,
    ValidationFailed,
    BadUserInput,
    Execution,
    Forbidden,
    Unauthenticated,
    Unavailable,
    /// The request was refused by a limit; the message says which and its value.
    LimitExceeded,
    /// The caller has too much in flight already; nothing was done.
    TooManyRequests,
    /// A write may or may not have been committed.
    OutcomeUnknown,
    /// The deadline passed before there was an answer; nothing was written.
    DeadlineExceeded,
    /// What came after a subscriber's cursor is not kept any more: read anew, subscribe without a cursor.
    ResyncRequired,
    /// A trigger or function of the database's owner raised this message (SQLSTATE `P0001`).
    RaiseException,
    /// A `CHECK` of the database's owner does not hold (SQLSTATE `23514`).
    CheckViolation,
    /// A rule of the application, by its own code.
    Application(&'static str),
    Internal,
}

impl ErrorKind {
    /// Every kind but the application's, for tables and the test that keeps them complete.
    pub const ALL: [ErrorKind; 15] = [
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
        ErrorKind::DeadlineExceeded,
        ErrorKind::ResyncRequired,
        ErrorKind::RaiseException,
        ErrorKind::CheckViolation,
        ErrorKind::Internal,
    ];

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

    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.locations.push(position);
        self
    }

    #[must_use]
    pub fn with_path(mut self, path: Vec<PathSegment>) -> Self {
        self.path = path;
        self
    }
}
