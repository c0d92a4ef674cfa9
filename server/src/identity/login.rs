//! What becomes of an attempt to log in.

use std::time::Duration;

use gom_actors::secret::SecretText;
use serde_json::{Map, Value};

use super::AccessToken;

/// A password was right.
#[derive(Debug)]
pub struct Login {
    /// Who checked it: `auth0` or `accounts`. [`super::Identity::verify`] and [`super::Identity::refresher`]
    /// want to be notified.
    pub provider: &'static str,
    /// The first access token of the session.
    pub token: AccessToken,
    /// What the provider renews the token for; none if it issues none.
    pub refresh_token: Option<SecretText>,
    /// The token's `sub`.
    pub subject: String,
    /// What the client may show of its user: `nickname`, `name`, `picture`, `email`, `sub`.
    pub profile: Map<String, Value>,
}

/// There is no login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Unknown user, wrong password or disabled account: which of them is not revealed.
    #[error("wrong user or password")]
    Wrong,
    /// The authenticator is unavailable or too busy.
    #[error("logins are not available; try again in {} s", retry.as_secs())]
    Unavailable {
        /// When to try again, in whole seconds.
        retry: Duration,
    },
    /// What only the operator can put right; the text is for the log and not for clients.
    #[error("{0}")]
    Misconfigured(String),
}
