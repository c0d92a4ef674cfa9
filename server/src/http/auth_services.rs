//! What HTTP uses beside the API: sessions, limits, identity, and how browsers are dealt with. One for the
//! process.

use std::sync::Arc;

use gom_actors::database::Database;
use gom_actors::limiter::LoginLimiter;
use gom_actors::redis::RedisOptionsError;
use gom_actors::sessions::Sessions;
use gom_engine::policy::{Policy, Role};

use super::client_address::TrustedProxies;
use super::cookies::Attributes;
use super::origin::Origins;
use super::site_cookies::{CookieNames, SiteCookies};
use crate::graphql::Engine;
use crate::identity::{AppKeys, Identity, IdentityError, Roles, SecretError, TokenKind};
use crate::settings::Settings;

/// The services that logins use, shared by all workers. Cloning is cheap.
#[derive(Clone)]
pub struct AuthServices {
    pub(crate) sessions: Sessions,
    /// Counts attempts to log in.
    pub limiter: LoginLimiter,
    /// Verifies access tokens, and issues those of the application's own logins.
    pub identity: Identity,
    pub(crate) cookies: SiteCookies,
    /// Finds the address that a request is counted against.
    pub proxies: TrustedProxies,
    pub(crate) origins: Arc<Origins>,
}

/// The services of logins cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum AuthServicesError {
    /// The secret from which keys are derived is missing, or the file that holds it cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The settings of Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisOptionsError),
    /// The client for the issuer of tokens cannot be set up.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl AuthServices {
    /// The same for one worker, whose sessions come over a connection of its own.
    #[must_use]
    pub(crate) fn local(&self) -> Self {
        AuthServices {
            sessions: self.sessions.local(),
            ..self.clone()
        }
    }

    /// Starts the actors of sessions and limits on this thread, which needs an actix system. Waits for no
    /// store. The engine's policy says what a role's tokens allow; `kinds` are the tokens that the application issues.
    ///
    /// # Errors
    /// What only the operator can put right.
    pub(crate) fn start(
        settings: &Settings,
        database: &Database,
        engine: &Engine,
        kinds: &[TokenKind],
    ) -> Result<Self, AuthServicesError> {
        let keys = AppKeys::obtain(settings)?;
        let roles: Roles = engine
            .policy()
            .map(Policy::roles)
            .unwrap_or_default()
            .iter()
            .map(permissions)
            .collect();
        Ok(AuthServices {
            sessions: Sessions::start(settings.session_options(), database)?,
            limiter: LoginLimiter::start(settings.limiter_options(), database)?,
            proxies: TrustedProxies::new(settings.server.trusted_proxies.clone()),
            origins: Arc::new(Origins::new(
                settings.server.origins.iter().cloned(),
                settings.session.options.secure,
            )),
            identity: Identity::new(settings, &keys, roles, kinds, database)?,
            cookies: site_cookies(settings, keys),
        })
    }
}

fn permissions(role: &Role) -> (String, Vec<String>) {
    (role.name.clone(), role.permissions.clone())
}

fn site_cookies(settings: &Settings, keys: AppKeys) -> SiteCookies {
    let (id, token, csrf) = (
        &settings.session.options,
        &settings.access_token.options,
        &settings.csrf.options,
    );
    SiteCookies {
        keys,
        names: CookieNames::new(settings.server.cookie_prefix.as_deref().unwrap_or_default()),
        session_id: Attributes {
            max_age: Some(id.max_age),
            http_only: id.http_only,
            secure: id.secure,
            same_site: id.same_site,
        },
        session_token: Attributes {
            max_age: Some(token.max_age),
            http_only: false,
            secure: token.secure,
            same_site: token.same_site,
        },
        csrf_token: Attributes {
            max_age: csrf.max_age(),
            http_only: false,
            secure: csrf.secure,
            same_site: csrf.same_site,
        },
    }
}
