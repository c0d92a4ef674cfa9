//! The answer to one operation, as the parts that the transport writes out.

use std::sync::Arc;

use gom_actors::database::JsonText;
use gom_engine::error::{ApiError, ErrorKind};

/// What became of an operation.
#[derive(Debug)]
pub struct Answer {
    /// What was executed.
    pub data: Data,
    /// In the order in which they were found; none if all went well.
    pub errors: Vec<ApiError>,
    /// The position of what was read or written, where the request asked for it.
    pub cursor: AnswerCursor,
}

/// What an answer says of its position.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum AnswerCursor {
    /// Nobody has asked.
    #[default]
    None,
    /// A write is done, or may still be, and its position could not be found out in time.
    Unknown,
    /// Sealed. Of a read: no later than the state that was read. Of a write: its changes are no later than this.
    At(String),
}

/// The `data` of an execution result.
#[derive(Debug)]
pub enum Data {
    /// Nothing was executed; the errors say why.
    Refused,
    /// It was executed, and the error of a field that cannot be null has spread to the whole.
    Null,
    /// The same, and a write before that field is done, which null hides: asked again, it would be done twice.
    NullAfterWrite,
    /// For each top-level key of the answer, in order.
    Fields(Vec<(String, Fragment)>),
}

/// JSON text, ready to be copied into the answer.
#[derive(Debug)]
pub enum Fragment {
    /// The field is null.
    Null,
    /// Made by the server itself.
    Text(String),
    /// Kept for others who ask the same.
    Shared(Arc<str>),
    /// As it came from PostgreSQL.
    Database(JsonText),
}

impl Fragment {
    /// The JSON text, in UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Fragment::Null => b"null",
            Fragment::Text(text) => text.as_bytes(),
            Fragment::Shared(text) => text.as_bytes(),
            Fragment::Database(text) => text.as_bytes(),
        }
    }
}

impl Answer {
    /// The operation was not executed.
    pub(crate) fn refused(errors: Vec<ApiError>) -> Self {
        Answer {
            data: Data::Refused,
            errors,
            cursor: AnswerCursor::None,
        }
    }

    /// The operation panicked. The panic's own message has been logged where it happened.
    pub(crate) fn panicked() -> Self {
        Answer::refused(vec![ApiError::new(ErrorKind::Internal, "a panic")])
    }

    /// Bytes of its data.
    pub(crate) fn bytes(&self) -> usize {
        match &self.data {
            Data::Refused | Data::Null | Data::NullAfterWrite => 0,
            Data::Fields(fields) => fields
                .iter()
                .map(|(_, fragment)| fragment.as_bytes().len())
                .sum(),
        }
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.data, Data::Refused)
    }

    /// Nothing was done, because the database was unavailable, the deadline passed or no turn came: the request may be retried.
    pub(crate) fn may_be_repeated(&self) -> bool {
        let nothing = match &self.data {
            Data::Refused | Data::Null => true,
            Data::NullAfterWrite => false,
            Data::Fields(fields) => fields
                .iter()
                .all(|(_, fragment)| matches!(fragment, Fragment::Null)),
        };
        let passing = |error: &ApiError| {
            matches!(
                error.kind,
                ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::TooManyRequests
            )
        };
        nothing && !self.errors.is_empty() && self.errors.iter().all(passing)
    }

    /// Nothing was done, because the idempotency key is another request's.
    pub(crate) fn reuses_key(&self) -> bool {
        self.is_refused()
            && self
                .errors
                .iter()
                .any(|error| error.kind == ErrorKind::IdempotencyKeyReused)
    }

    /// Nothing was done because of all else that the caller has in flight.
    pub(crate) fn has_to_wait(&self) -> bool {
        self.errors
            .iter()
            .any(|error| error.kind == ErrorKind::TooManyRequests)
    }
}
