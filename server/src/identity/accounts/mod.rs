//! The provider `accounts`: passwords in our own table, checked here.

mod disabled;
mod hasher;
mod refresh_token;
mod table;

use std::time::{Duration, SystemTime};

use gom_actors::database::Database;
use gom_actors::secret::SecretText;
use gom_actors::sessions::{RefreshFailure, Renewed};
use serde_json::{Map, Value};

pub use hasher::{Hasher, MAX_PASSWORD_CHARACTERS, PasswordError};
pub use table::{AccountError, AccountTable, ListedAccount, MAX_NAME_CHARACTERS, NewAccount};

use self::disabled::DisabledSubjects;
use self::refresh_token::RefreshToken;
use self::table::{KeptClient, Stored, fold_username};
use super::app_keys::{AppKeys, KeyUse};
use super::login::{Login, LoginError};
use super::token::{AccessToken, TokenTooLarge, with_times};
use super::{ACCOUNTS, Roles};
use crate::settings::{Local, Settings};

const RETRY: Duration = Duration::from_secs(2);

/// The accounts of our own table, and what is needed to let them in.
pub(super) struct Accounts {
    table: KeptClient,
    hasher: Hasher,
    keys: AppKeys,
    roles: Roles,
    local: Local,
    /// Of an access token.
    expiration: Duration,
    /// Of a refresh token, from the login on.
    longest_session: Duration,
    disabled: DisabledSubjects,
}

impl Accounts {
    pub fn new(settings: &Settings, keys: AppKeys, roles: Roles, database: &Database) -> Self {
        Accounts {
            table: KeptClient::new(database.clone(), settings.database.statement_timeout),
            hasher: Hasher::new(&settings.auth.accounts),
            keys,
            roles,
            local: settings.auth.local.clone(),
            expiration: settings.auth.accounts.expiration,
            longest_session: settings.sessions.max_lifetime,
            disabled: DisabledSubjects::new(),
        }
    }

    /// Whether a subject has accounts, all of which are disabled: then nobody acts for it, with a token of another issuer neither.
    pub async fn are_disabled(&self, subject: &str) -> Result<bool, AccountError> {
        let look_up = async {
            match self.table.are_disabled(subject).await {
                Err(AccountError::NoTable) => Ok(false),
                found => found,
            }
        };
        self.disabled.get(subject, look_up).await
    }

    /// Takes the same steps whether there is such an account or not, and whatever is wrong with it.
    pub async fn password(
        &self,
        username: &str,
        password: &SecretText,
    ) -> Result<Login, LoginError> {
        let username = fold_username(username);
        let found = self.table.find(&username).await.map_err(not_now)?;
        let hash = found.as_ref().map(|account| account.password_hash.clone());
        let right = self.hasher.verify(hash, password).await.map_err(|busy| {
            tracing::warn!("{busy}");
            LoginError::Unavailable { retry: RETRY }
        })?;
        let account = found
            .filter(|account| right && !account.disabled)
            .ok_or(LoginError::Wrong)?;
        if self.hasher.is_outdated(&account.password_hash) {
            self.rehash(&account, password).await;
        }
        let now = SystemTime::now();
        let token = self
            .token(&account, now)
            .map_err(LoginError::Misconfigured)?;
        let until = now.checked_add(self.longest_session).unwrap_or(now);
        let refresh_token =
            RefreshToken::of(&account.username, account.version, until).sign(&self.keys);
        Ok(Login {
            provider: ACCOUNTS,
            token,
            refresh_token: Some(refresh_token),
            profile: profile(&account),
            subject: account.subject,
        })
    }

    /// Refused if the account was disabled, or its password changed, since the login.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Renewed, RefreshFailure> {
        let now = SystemTime::now();
        let given =
            RefreshToken::read(refresh_token, &self.keys, now).ok_or(RefreshFailure::Rejected)?;
        let found = self.table.find(&given.username).await.map_err(|error| {
            tracing::warn!(%error, "an account's token cannot be refreshed now");
            RefreshFailure::Unavailable
        })?;
        let account = found
            .filter(|account| !account.disabled && account.version == given.version)
            .ok_or(RefreshFailure::Rejected)?;
        let token = self.token(&account, now).map_err(|cause| {
            tracing::error!(cause, "an account's token cannot be refreshed");
            RefreshFailure::Unavailable
        })?;
        Ok(Renewed {
            head: token.head,
            signature: token.signature,
            // Signed again, for the key may have been changed since; it ends when the first one did.
            refresh_token: Some(given.sign(&self.keys)),
        })
    }

    /// # Errors
    /// In words, for the operator.
    fn token(&self, account: &Stored, now: SystemTime) -> Result<AccessToken, String> {
        let Some(permissions) = self.roles.get(&account.role) else {
            return Err(format!(
                "the account of the subject {:?} has the role {:?}, which the policy does not have; `gom account add \
                 --role` takes the roles of the policy",
                account.subject, account.role
            ));
        };
        let mut claims = Map::new();
        claims.insert("sub".into(), account.subject.clone().into());
        claims.insert("gty".into(), "password".into());
        claims.insert("permissions".into(), permissions.clone().into());
        let local = (self.local.issuer.as_str(), self.local.audience.as_str());
        let claims = with_times(claims, local, now, self.expiration);
        AccessToken::sign(claims, |message| {
            self.keys.sign(KeyUse::AccountToken, message)
        })
        .map_err(|error: TokenTooLarge| error.to_string())
    }

    /// With the settings of today. That it may fail is no reason to refuse a right password.
    async fn rehash(&self, account: &Stored, password: &SecretText) {
        let Ok(hash) = self.hasher.hash(password).await else {
            return;
        };
        if let Err(error) = self.table.replace_hash(account, &hash).await {
            tracing::warn!(%error, "a password's hash cannot be renewed; the next login tries again");
        }
    }
}

fn not_now(error: AccountError) -> LoginError {
    match error {
        AccountError::NoTable => LoginError::Misconfigured(error.to_string()),
        _ => {
            tracing::warn!(%error, "accounts cannot be looked up");
            LoginError::Unavailable { retry: RETRY }
        }
    }
}

/// What the account's profile does not say is null, except that a name is better than none.
fn profile(account: &Stored) -> Map<String, Value> {
    let given = |name: &str| {
        account
            .profile
            .get(name)
            .filter(|value| value.is_string())
            .cloned()
    };
    let username = account.username.as_str();
    let nickname = username.split('@').next().unwrap_or(username);
    let email = if username.contains('@') {
        username.into()
    } else {
        Value::Null
    };
    let mut profile = Map::new();
    profile.insert(
        "nickname".into(),
        given("nickname").unwrap_or_else(|| nickname.into()),
    );
    profile.insert(
        "name".into(),
        given("name").unwrap_or_else(|| username.into()),
    );
    profile.insert("picture".into(), given("picture").unwrap_or(Value::Null));
    profile.insert("email".into(), given("email").unwrap_or(email));
    profile.insert("sub".into(), account.subject.clone().into());
    profile
}
