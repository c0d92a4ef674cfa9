//! The settings of logins, sessions and cookies.

use std::time::Duration;

use serde::Deserialize;

use super::{Secret, milliseconds, seconds};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Unset: PostgreSQL keeps what Redis would.
    pub host: Option<String>,
    pub port: u16,
    pub password: Option<Secret>,
    #[serde(deserialize_with = "milliseconds")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    provider: Option<Provider>,
    pub auth0: Auth0,
    pub local: Local,
    pub accounts: Accounts,
}

impl Auth {
    /// Who checks passwords.
    pub fn provider(&self) -> Provider {
        let unsaid = if self.auth0.client_id.is_some() {
            Provider::Auth0
        } else {
            Provider::Accounts
        };
        self.provider.unwrap_or(unsaid)
    }
}

/// Who checks passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Our own table.
    Accounts,
    /// An OAuth 2 token endpoint.
    Auth0,
}

/// The OAuth 2 token endpoint; with this provider, all but the secret are set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth0 {
    pub token_url: Option<String>,
    pub issuer: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
    pub audience: Option<String>,
    pub scope: String,
    pub jwks_endpoint: Option<String>,
    /// For one answer.
    #[serde(deserialize_with = "milliseconds")]
    pub timeout: Duration,
}

/// Tokens that the server itself issues.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    pub issuer: String,
    pub audience: String,
    /// Of tokens of a kind that the application issues.
    #[serde(deserialize_with = "seconds")]
    pub expiration: Duration,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    #[serde(deserialize_with = "seconds")]
    pub expiration: Duration,
    /// KiB.
    pub hash_memory: u32,
    pub hash_passes: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub options: SessionCookie,
    #[serde(deserialize_with = "milliseconds")]
    pub max_lifetime: Duration,
    /// Sessions that one user may have.
    pub per_user: usize,
}

/// The cookie `session-id`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionCookie {
    /// Of the cookie, and of a session that is not used.
    #[serde(deserialize_with = "milliseconds")]
    pub max_age: Duration,
    pub http_only: bool,
    pub same_site: SameSite,
    pub secure: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessToken {
    pub options: AccessTokenCookie,
}

/// The cookie `session-token`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessTokenCookie {
    #[serde(deserialize_with = "milliseconds")]
    pub max_age: Duration,
    pub same_site: SameSite,
    pub secure: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Csrf {
    pub options: CsrfCookie,
}

/// The cookie `csrf-token`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsrfCookie {
    /// Milliseconds; `None`: until the browser is closed.
    max_age: Option<u64>,
    pub same_site: SameSite,
    pub secure: bool,
}

impl CsrfCookie {
    /// `None`: until the browser is closed.
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age.map(Duration::from_millis)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginLimiter {
    /// Per user and address.
    pub consecutive_fails: LoginLimit,
    /// Per address.
    pub slow_brute: LoginLimit,
    /// Per account, wherever the attempts come from.
    pub account: LoginLimit,
    /// Per account: logins that were right.
    pub right_logins: LoginLimit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginLimit {
    pub points: u32,
    #[serde(deserialize_with = "seconds")]
    pub duration: Duration,
    #[serde(deserialize_with = "seconds")]
    pub block_duration: Duration,
}
