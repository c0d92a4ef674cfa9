//! What can become of a request for a session.

use std::time::Duration;

/// What a refusal suggests waiting before the next try.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why there is no answer about a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// There is no such session, or its token cannot be renewed: its owner has to log in again.
    #[error("there is no such session any more")]
    Gone,
    /// The store (or, in a refresh, the issuer) gave no answer. Nobody is logged out by it.
    #[error("sessions are not available: {reason}")]
    Unavailable {
        /// What the store or the issuer has answered, for operators.
        reason: String,
    },
    /// Too much is waiting already.
    #[error("too many requests are waiting for the session store")]
    Overloaded,
}
