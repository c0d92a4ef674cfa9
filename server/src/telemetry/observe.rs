//! How the engine's words are called in metrics.

use std::time::Duration;

use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::request::{OperationKind, PreparedOperation};
use gom_telemetry::metrics::{OPERATION_DURATION, OPERATIONS, Operation, Outcome};

/// Characters of an operation's name that are logged.
const NAME: usize = 64;

/// Counts an operation by its kind and outcome, and observes how long it took.
pub fn observe_operation(kind: Operation, errors: &[ApiError], took: Duration) {
    OPERATIONS.inc((kind, outcome_of(errors)));
    OPERATION_DURATION.observe(kind, took);
}

/// What metrics call the operation; a query with `@live` has a kind of its own.
pub fn kind_of(prepared: &PreparedOperation) -> Operation {
    match prepared.operation.kind {
        OperationKind::Query if prepared.live => Operation::Live,
        OperationKind::Query => Operation::Query,
        OperationKind::Mutation => Operation::Mutation,
        OperationKind::Subscription => Operation::Subscription,
    }
}

/// The outcome of an answer with these errors.
pub fn outcome_of(errors: &[ApiError]) -> Outcome {
    let Some(error) = errors.first() else {
        return Outcome::Ok;
    };
    match error.kind {
        ErrorKind::ParseFailed => Outcome::ParseFailed,
        ErrorKind::ValidationFailed => Outcome::ValidationFailed,
        ErrorKind::BadUserInput => Outcome::BadUserInput,
        ErrorKind::Execution => Outcome::Execution,
        ErrorKind::Forbidden => Outcome::Forbidden,
        ErrorKind::Unauthenticated => Outcome::Unauthenticated,
        ErrorKind::Unavailable => Outcome::Unavailable,
        ErrorKind::LimitExceeded => Outcome::LimitExceeded,
        ErrorKind::TooManyRequests => Outcome::TooManyRequests,
        ErrorKind::OutcomeUnknown => Outcome::OutcomeUnknown,
        ErrorKind::IdempotencyKeyReused => Outcome::IdempotencyKeyReused,
        ErrorKind::DeadlineExceeded => Outcome::DeadlineExceeded,
        ErrorKind::ResyncRequired => Outcome::ResyncRequired,
        ErrorKind::RaiseException => Outcome::RaiseException,
        ErrorKind::CheckViolation => Outcome::CheckViolation,
        ErrorKind::Internal => Outcome::Internal,
        ErrorKind::Application(_) => Outcome::Application,
    }
}

/// A name as GraphQL has it, not too long: anything else is a stranger's text, which is not repeated.
pub fn plain_name(name: &str) -> Option<&str> {
    let letter = |byte: u8| byte == b'_' || byte.is_ascii_alphabetic();
    let begins = name.bytes().next().is_some_and(letter);
    let good = name.len() <= NAME
        && name
            .bytes()
            .all(|byte| letter(byte) || byte.is_ascii_digit());
    (begins && good).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_logged() {
        assert_eq!(plain_name("CreateOrder_2"), Some("CreateOrder_2"));
        for text in ["5512345678 María", "5512345678", "", "María"] {
            assert_eq!(plain_name(text), None, "{text}");
        }
        assert_eq!(plain_name(&"a".repeat(65)), None);
    }

    #[test]
    fn outcomes_are_called_by_the_codes_of_their_errors() {
        for kind in ErrorKind::ALL {
            assert_eq!(outcome_of(&[ApiError::new(kind, "")]).as_str(), kind.code());
        }
        assert_eq!(outcome_of(&[]), Outcome::Ok);
    }
}
