//! Who asks: keys, tokens, and those who check passwords. Knows no HTTP server.

mod app_keys;
mod kept_secret;
mod login;
mod service_secret;
mod service_token;
mod token;
mod viewer;

use std::collections::HashMap;
use std::sync::Arc;

use gom_actors::database::Database;
use gom_actors::secret::SecretText;
use gom_actors::sessions::Refresher;

pub use app_keys::{AppKeys, KeyUse};
pub use kept_secret::SecretError;
pub use login::{Login, LoginError};
pub use service_secret::obtain_service_secret;
pub use service_token::{InvalidToken, ServiceTokens};
pub use token::{AccessToken, CustomerClaims, TokenError, TokenTooLarge};
pub use viewer::{User, Viewer};

use crate::settings::Settings;

/// `provider` of a session that a customer opened by telephone number.
pub const PHONE: &str = "phone";
/// `provider` of a session of an account in our own table.
pub const ACCOUNTS: &str = "accounts";
/// `provider` of a session that the OAuth 2 token endpoint opened.
pub const AUTH0: &str = "auth0";

/// The permissions of each role, as the policy has them.
pub type Roles = HashMap<String, Vec<String>>;

/// Identity cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the client for auth.auth0 cannot be set up: {0}")]
    Client(String),
}

/// Checks passwords, and issues and verifies access tokens. One of the process; cloning is cheap.
#[derive(Clone)]
pub struct Identity {
    _inner: Arc<()>,
}

impl Identity {
    /// `roles`: the permissions of each role that an account may have.
    ///
    /// # Errors
    /// If the client of the token endpoint cannot be set up.
    pub fn new(
        settings: &Settings,
        keys: &AppKeys,
        roles: Roles,
        database: &Database,
    ) -> Result<Self, IdentityError> {
        let _ = (settings, keys, roles, database);
        Ok(Identity { _inner: Arc::default() })
    }

    /// Whose token this is: its `header.payload` from the cookie, its signature and provider from the session.
    /// A token that was verified is remembered until it expires.
    ///
    /// # Errors
    /// If it is not valid, or the issuer's keys are not to be had.
    pub async fn verify(&self, provider: &str, head: &str, signature: &str) -> Result<Arc<User>, TokenError> {
        let _ = (provider, head, signature);
        Err(TokenError::Unavailable)
    }

    /// Checks a password, by the configured provider.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn password(&self, username: &str, password: &SecretText) -> Result<Login, LoginError> {
        let _ = (username, password);
        Err(LoginError::Misconfigured("not built yet".into()))
    }

    /// A token for a customer whose telephone number was right; its provider is [`PHONE`]. There is nothing to
    /// refresh it with.
    ///
    /// # Errors
    /// If it does not fit into a cookie.
    pub fn customer_token(&self, claims: CustomerClaims) -> Result<AccessToken, TokenTooLarge> {
        let _ = claims;
        Err(TokenTooLarge { bytes: 0 })
    }

    /// How tokens of a provider are renewed; nothing if they are not.
    pub fn refresher(&self, provider: &str) -> Option<Box<dyn Refresher>> {
        let _ = provider;
        None
    }
}
