//! Who asks: keys, tokens, and those who check passwords. Knows no HTTP server.

mod accounts;
mod app_keys;
mod claims;
mod cursors;
mod discovery;
mod issuer_keys;
mod issuers;
mod kept_secret;
mod login;
mod service_secret;
mod service_token;
mod signature;
mod token;
mod token_endpoint;
mod token_kind;
mod upstream_client;
mod vapid_keys;
mod verifier;
mod viewer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use futures::future::BoxFuture;
use gom_actors::database::Database;
use gom_actors::secret::SecretText;
use gom_actors::sessions::{RefreshFailure, Refresher, Renewed};
use gom_runtime::clock::Clock;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use accounts::Accounts;
pub use accounts::{AccountError, AccountTable, Hasher, ListedAccount, NewAccount, PasswordError};
pub(crate) use accounts::{MAX_NAME_CHARACTERS, MAX_PASSWORD_CHARACTERS};
pub use app_keys::AppKeys;
pub(crate) use app_keys::KeyUse;
pub use cursors::Cursors;
pub use discovery::KeySource;
use issuer_keys::IssuerKeys;
pub use issuer_keys::KeyPace;
pub use issuer_keys::usable_keys;
use issuers::Issuers;
pub use kept_secret::SecretError;
pub use login::{Login, LoginError};
pub use service_secret::obtain_service_secret;
pub use service_token::ServiceTokens;
pub(crate) use token::ACCOUNT_CLAIMS;
use token::with_times;
pub use token::{AccessToken, TokenError, TokenTooLarge};
use token_endpoint::TokenEndpoint;
use token_kind::ISSUER_SUBJECTS;
pub(crate) use token_kind::check_kinds;
pub use token_kind::{TokenKind, TokenKindError, owner};
pub use upstream_client::{UpstreamAnswer, UpstreamClient};
pub use vapid_keys::{obtain_vapid_keys, sender_options};
use verifier::{Foreign, Verifier};
pub use viewer::{User, Viewer};

use crate::settings::{Local, Provider, Settings};

/// Bytes of an issuer's key set, at most.
pub const MAX_KEY_SET_BYTES: usize = issuer_keys::MAX_ANSWER_BYTES;
/// `provider` of a session of an account in our own table.
pub const ACCOUNTS: &str = "accounts";
/// `provider` of a session that the OAuth 2 token endpoint opened.
pub const AUTH0: &str = "auth0";

/// The algorithms of the issuer of `auth.oauth2`.
pub const LOGIN_ALGORITHMS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES256];

/// The permissions of each role, as the policy has them.
pub type Roles = HashMap<String, Vec<String>>;

/// Whether a role's own name is among its permissions: else a token with them does not have the role.
pub(crate) fn names_itself(role: &str, permissions: &[String]) -> bool {
    permissions
        .iter()
        .any(|permission| permission.strip_prefix("role:") == Some(role))
}

/// Identity cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// An address of the issuer is no URL, or the system's certificates cannot be read.
    #[error("the client for {key} cannot be set up: {cause}")]
    Client {
        /// The setting that names the address.
        key: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// An issuer's tokens may have a role that the policy lacks.
    #[error(
        "auth.issuers: tokens of {issuer} may have the role {role:?}, which the policy does not have; correct `roles` or \
         `default_role`, or add the role to the policy"
    )]
    Role {
        /// The issuer.
        issuer: String,
        /// The role, as `roles` or `default_role` has it.
        role: String,
    },
    /// A role that an issuer's tokens may have is not named by its own permissions.
    #[error(
        "auth.issuers: tokens of {issuer} may have the role {role:?}, whose permissions do not name it, so that the policy \
         would not know it: add \"role:{role}\" to roles.{role}.permissions of the policy"
    )]
    Unnamed {
        /// The issuer.
        issuer: String,
        /// The role, as `roles` or `default_role` has it.
        role: String,
    },
}

/// Checks passwords, and issues and verifies access tokens. One of the process; cloning is cheap.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    provider: Provider,
    local: Local,
    keys: AppKeys,
    verifier: Arc<Verifier>,
    issuers: Issuers,
    accounts: Accounts,
    token_endpoint: Option<TokenEndpoint>,
}

impl Identity {
    /// `roles`: the permissions of each role that an account may have. `kinds`: the tokens that an application issues.
    ///
    /// # Errors
    /// If a client of the issuer elsewhere cannot be set up.
    pub fn new(
        settings: &Settings,
        keys: &AppKeys,
        roles: Roles,
        kinds: &[TokenKind],
        database: &Database,
    ) -> Result<Self, IdentityError> {
        let pace = KeyPace::default();
        Self::with_key_pace(settings, keys, roles, kinds, database, pace)
    }

    /// As [`Identity::new`], with another pace of fetching the keys of the issuer elsewhere.
    ///
    /// # Errors
    /// As [`Identity::new`].
    pub fn with_key_pace(
        settings: &Settings,
        keys: &AppKeys,
        roles: Roles,
        kinds: &[TokenKind],
        database: &Database,
        pace: KeyPace,
    ) -> Result<Self, IdentityError> {
        let oauth2 = &settings.auth.oauth2;
        let outside = |key, url: Option<&String>, max_bytes| {
            let client = url
                .map(|url| UpstreamClient::new(url, oauth2.timeout, max_bytes))
                .transpose();
            client.map_err(|cause| IdentityError::Client { key, cause })
        };
        let jwks = outside(
            "auth.oauth2.jwks_endpoint",
            oauth2.jwks_endpoint.as_ref(),
            MAX_KEY_SET_BYTES,
        )?;
        let tokens = outside(
            "auth.oauth2.token_url",
            oauth2.token_url.as_ref(),
            token_endpoint::MAX_ANSWER_BYTES,
        )?;
        let foreign = match (jwks, &oauth2.issuer, &oauth2.audience) {
            (Some(jwks), Some(issuer), Some(audience)) => {
                let (name, source) = (issuer.clone(), KeySource::At(jwks));
                let keys = IssuerKeys::new(name, source, LOGIN_ALGORITHMS.to_vec(), pace);
                Some(Foreign::new(Arc::new(keys), issuer, audience))
            }
            _ => None,
        };
        let local = &settings.auth.local;
        let verifier = Arc::new(Verifier::new(keys.clone(), local, kinds, foreign));
        let issuers = Issuers::new(&settings.auth, &roles, kinds, pace, Clock::system())?;
        Ok(Identity(Arc::new(Inner {
            provider: settings.auth.provider(),
            local: local.clone(),
            keys: keys.clone(),
            accounts: Accounts::new(settings, keys.clone(), roles, database),
            token_endpoint: tokens
                .and_then(|outside| TokenEndpoint::new(oauth2, outside, Arc::clone(&verifier))),
            verifier,
            issuers,
        })))
    }

    /// Whose bearer token this is: a user's of one of `auth.issuers`. A token that was verified is remembered until it
    /// expires; whether its user's accounts are disabled, for ten seconds.
    ///
    /// # Errors
    /// If it is not valid, or the issuer's keys or the accounts are unavailable.
    pub async fn bearer(&self, token: &str) -> Result<Arc<User>, TokenError> {
        let user = self.0.issuers.verify(token).await?;
        // No account has such a subject.
        if user.subject.starts_with(ISSUER_SUBJECTS) {
            return Ok(user);
        }
        match self.0.accounts.are_disabled(&user.subject).await {
            Ok(false) => Ok(user),
            Ok(true) => Err(TokenError::Invalid("account disabled".into())),
            Err(error) => {
                tracing::warn!(%error, "a bearer token cannot be verified: accounts cannot be looked up");
                Err(TokenError::Unavailable)
            }
        }
    }

    /// Whose token this is: its `header.payload` from the cookie, its signature and provider from the session.
    /// A token that was verified is remembered until it expires.
    ///
    /// # Errors
    /// If it is not valid, or the issuer's keys are unavailable.
    pub async fn verify(
        &self,
        provider: &str,
        head: &str,
        signature: &str,
    ) -> Result<Arc<User>, TokenError> {
        self.0.verifier.verify(provider, head, signature).await
    }

    /// Checks a password, by the configured provider.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn password(
        &self,
        username: &str,
        password: &SecretText,
    ) -> Result<Login, LoginError> {
        match (self.0.provider, &self.0.token_endpoint) {
            (Provider::Accounts, _) => self.0.accounts.password(username, password).await,
            (Provider::OAuth2, Some(endpoint)) => endpoint.password(username, password).await,
            // The settings are checked before a server starts.
            (Provider::OAuth2, None) => Err(LoginError::Misconfigured(
                "auth.oauth2 is not complete".into(),
            )),
        }
    }

    /// A token of a kind that an application issues, with these claims and the server's own. There is nothing to refresh it
    /// with.
    ///
    /// # Errors
    /// If it does not fit into a cookie.
    pub fn issue(
        &self,
        kind: &TokenKind,
        claims: Map<String, Value>,
    ) -> Result<AccessToken, TokenTooLarge> {
        let Inner { local, keys, .. } = self.0.as_ref();
        let of_whom = (local.issuer.as_str(), local.audience.as_str());
        let claims = with_times(claims, of_whom, SystemTime::now(), local.expiration);
        let key = keys.labelled(kind.key_label);
        AccessToken::sign(claims, |message| key.sign(message))
    }

    /// How tokens of a provider are renewed; nothing if they are not.
    pub fn refresher(&self, provider: &str) -> Option<Box<dyn Refresher>> {
        let known = provider == ACCOUNTS || (provider == AUTH0 && self.0.token_endpoint.is_some());
        known.then(|| {
            Box::new(ByProvider {
                identity: self.clone(),
                accounts: provider == ACCOUNTS,
            }) as Box<dyn Refresher>
        })
    }
}

/// Asks the provider that issued the token.
struct ByProvider {
    identity: Identity,
    accounts: bool,
}

impl Refresher for ByProvider {
    fn refresh(
        self: Box<Self>,
        refresh_token: String,
    ) -> BoxFuture<'static, Result<Renewed, RefreshFailure>> {
        Box::pin(async move {
            let inner = self.identity.0;
            match &inner.token_endpoint {
                _ if self.accounts => inner.accounts.refresh(&refresh_token).await,
                Some(endpoint) => endpoint.refresh(&refresh_token).await,
                None => Err(RefreshFailure::Unavailable),
            }
        })
    }
}
