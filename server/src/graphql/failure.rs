//! What became of a statement or a program, in the API's words.

use gom_actors::database::RunError;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{Planner, Rejection};

use super::Api;

/// Why nothing is carried out yet, while the database has not been brought to the datamodel.
pub(super) fn not_deployed(api: &Api) -> Option<ApiError> {
    if api.deployed.is_done() {
        return None;
    }
    // Nobody should look for a migration where there is no database.
    let reached = api.database.database().is_up();
    Some(ApiError::new(
        ErrorKind::Unavailable,
        if reached {
            BEING_DEPLOYED
        } else {
            NOT_AVAILABLE
        },
    ))
}

const NOT_AVAILABLE: &str =
    "The database is not available at the moment; nothing was written. Try again.";
const BEING_DEPLOYED: &str =
    "The database is being brought to the datamodel; nothing was written. Try again.";
const OVERLOADED: &str = "Too many requests are waiting already; nothing was written. Try again.";

/// The same, of a mutation that came with an idempotency key: how to go on.
pub(super) fn may_be_repeated_with_key(mut error: ApiError) -> ApiError {
    match error.kind {
        ErrorKind::OutcomeUnknown => error.message = UNKNOWN_WITH_KEY.to_owned(),
        ErrorKind::DeadlineExceeded => error.message = LATE_WITH_KEY.to_owned(),
        _ => {
            error.message = error
                .message
                .replace("nothing was written. Try again.", NOTHING_WITH_KEY);
        }
    }
    error
}

/// What was written with the key before is not known.
const NOTHING_WITH_KEY: &str = "this request has written nothing. An earlier one with the same idempotency key may have been carried out, or may still be. Repeat the request with the same idempotency key.";

/// It may have waited for another one with the same key.
pub(super) const LATE_WITH_KEY: &str = "There was no answer before the deadline (limits.deadline). This request has written nothing; an earlier one with the same idempotency key, if it is still in flight, may still be carried out. Repeat the request with the same idempotency key.";
const UNKNOWN_WITH_KEY: &str = "The write may have been carried out or not: the connection to the database was lost, or the deadline passed, during the commit. Repeat the request with the same idempotency key, which is safe: what was written is not written again.";

/// The error that a client receives for a failure of the database. Without values of rows; a cause that only the operator can
/// mend is logged here.
pub fn api_error(planner: &Planner, error: RunError) -> ApiError {
    match error {
        RunError::Rejected(report) => planner.rejected(Rejection {
            sqlstate: &report.sqlstate,
            message: &report.message,
            detail: report.detail.as_deref(),
            table: report.table.as_deref(),
            column: report.column.as_deref(),
            constraint: report.constraint.as_deref(),
        }),
        RunError::Unmet(error) => *error,
        RunError::Unavailable { reason, .. } => {
            // Why is the operator's business; the caller learns what it means.
            tracing::warn!(reason, "the database is not available");
            ApiError::new(ErrorKind::Unavailable, NOT_AVAILABLE)
        }
        RunError::Overloaded { .. } => ApiError::new(ErrorKind::Unavailable, OVERLOADED),
        RunError::Deadline => ApiError::new(
            ErrorKind::DeadlineExceeded,
            "There was no answer before the deadline (limits.deadline); nothing was written.",
        ),
        RunError::OutcomeUnknown => ApiError::new(
            ErrorKind::OutcomeUnknown,
            "The write may have been carried out or not: the connection to the database was lost, or the deadline passed, during the commit. Read before you try again.",
        ),
        RunError::Fault(cause) => ApiError::new(ErrorKind::Internal, cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutation_with_a_key_is_repeated_where_others_read_first() {
        let with_key = |kind| may_be_repeated_with_key(ApiError::new(kind, "As it was.")).message;
        let unknown = with_key(ErrorKind::OutcomeUnknown);
        assert!(
            unknown.contains("Repeat the request with the same idempotency key"),
            "{unknown}"
        );
        assert!(!unknown.contains("Read before"), "{unknown}");
        let late = with_key(ErrorKind::DeadlineExceeded);
        assert!(
            late.contains("an earlier one") && late.contains("may still be carried out"),
            "{late}"
        );
        assert!(
            late.ends_with("Repeat the request with the same idempotency key."),
            "{late}"
        );
        assert_eq!(with_key(ErrorKind::Execution), "As it was.");
        for text in [NOT_AVAILABLE, BEING_DEPLOYED, OVERLOADED] {
            let error = ApiError::new(ErrorKind::Unavailable, text);
            let message = may_be_repeated_with_key(error).message;
            assert!(!message.contains("nothing was written"), "{message}");
            assert!(message.ends_with(NOTHING_WITH_KEY), "{message}");
        }
    }
}
