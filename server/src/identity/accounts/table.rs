//! The table `gom.account`: looked up at each login, changed by `gom account`.

use std::sync::Arc;
use std::time::Duration;

use gom_actors::database::{Database, Lent, SqlErrorKind};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio_postgres::{Client, Row};

/// Characters of a name, as many as a login takes; longer ones are nobody's.
pub const MAX_NAME_CHARACTERS: usize = 256;

/// The table cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Gom's own tables have not been made, or are of an earlier version.
    #[error(
        "the table gom.account is not there: run `gom migrate apply`, or start the server with --deploy"
    )]
    NoTable,
    /// The name is taken.
    #[error("there is an account {0:?} already; `gom account passwd` changes its password")]
    Exists(String),
    /// No account has the name.
    #[error("there is no account {0:?}; `gom account list` shows all")]
    Missing(String),
    /// The text is no user name.
    #[error(
        "{0:?} is no user name: give 1 to {MAX_NAME_CHARACTERS} characters, none of them a control character"
    )]
    Name(String),
    /// No connection was available, for this reason.
    #[error("the database gives no answer: {0}")]
    Unavailable(String),
    /// A statement failed.
    #[error("the database refused: {0}")]
    Database(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for AccountError {
    fn from(error: tokio_postgres::Error) -> Self {
        match SqlErrorKind::of(&error) {
            Some(SqlErrorKind::UndefinedTable | SqlErrorKind::UndefinedSchema) => {
                AccountError::NoTable
            }
            _ => AccountError::Database(error),
        }
    }
}

/// The name under which an account is kept: what was typed, without space around it and in lower case.
pub fn fold_username(typed: &str) -> String {
    typed.trim().to_lowercase()
}

/// An account as a login needs it.
#[derive(Clone)]
pub(super) struct Stored {
    pub username: String,
    pub subject: String,
    pub role: String,
    pub password_hash: String,
    pub disabled: bool,
    pub version: i64,
    pub profile: Map<String, Value>,
}

/// A connection for logins: opened when it is first needed, and again when it was lost.
pub(super) struct KeptClient {
    database: Database,
    patience: Duration,
    client: Mutex<Option<Arc<Lent>>>,
}

impl KeptClient {
    pub fn new(database: Database, patience: Duration) -> Self {
        KeptClient {
            database,
            patience,
            client: Mutex::default(),
        }
    }

    /// The account of a folded name.
    pub async fn find(&self, username: &str) -> Result<Option<Stored>, AccountError> {
        // Looked up all the same, so that it takes as long: the empty name is nobody's.
        let username = if is_name(username) { username } else { "" };
        let rows = self.run(FIND, &[&username]).await?;
        Ok(rows.first().map(stored))
    }

    /// Whether the subject has accounts, and all of them are disabled.
    pub async fn are_disabled(&self, subject: &str) -> Result<bool, AccountError> {
        let rows = self.run(ARE_DISABLED, &[&subject]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Unless the hash was replaced meanwhile.
    pub async fn replace_hash(&self, account: &Stored, hash: &str) -> Result<(), AccountError> {
        self.run(
            REPLACE_HASH,
            &[&account.username, &account.password_hash, &hash],
        )
        .await
        .map(|_| ())
    }

    async fn run(
        &self,
        sql: &str,
        parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<Row>, AccountError> {
        let mut used = None;
        let running = async {
            let (client, kept) = self.client().await?;
            used = Some(Arc::clone(&client));
            match client.query(sql, parameters).await {
                // Lost while nobody used it: both statements may be repeated.
                Err(error) if kept && (error.is_closed() || client.is_closed()) => {
                    self.forget(&client).await;
                    let (client, _) = self.client().await?;
                    used = Some(Arc::clone(&client));
                    Ok(client.query(sql, parameters).await?)
                }
                result => Ok(result?),
            }
        };
        let late =
            || AccountError::Unavailable(format!("none within {} ms", self.patience.as_millis()));
        match tokio::time::timeout(self.patience, running).await {
            Ok(result) => result,
            Err(_) => {
                // It may be dead without knowing. If it is only slow, others finish with it.
                if let Some(client) = used {
                    self.forget(&client).await;
                }
                Err(late())
            }
        }
    }

    /// The client, and whether it was there before.
    async fn client(&self) -> Result<(Arc<Lent>, bool), AccountError> {
        let mut client = self.client.lock().await;
        if let Some(kept) = client.as_ref().filter(|kept| !kept.is_closed()) {
            return Ok((Arc::clone(kept), true));
        }
        let lent = self
            .database
            .lend()
            .await
            .map_err(|error| AccountError::Unavailable(error.to_string()))?;
        let lent = Arc::new(lent);
        *client = Some(Arc::clone(&lent));
        Ok((lent, false))
    }

    async fn forget(&self, lost: &Arc<Lent>) {
        let mut client = self.client.lock().await;
        if client.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, lost)) {
            *client = None;
        }
    }
}

fn is_name(username: &str) -> bool {
    !username.is_empty()
        && username.chars().count() <= MAX_NAME_CHARACTERS
        && !username.chars().any(char::is_control)
}

fn stored(row: &Row) -> Stored {
    let profile: Value = row.get("profile");
    Stored {
        username: row.get("username"),
        subject: row.get("subject"),
        role: row.get("role"),
        password_hash: row.get("password_hash"),
        disabled: row.get("disabled"),
        version: row.get("version"),
        profile: if let Value::Object(profile) = profile {
            profile
        } else {
            Map::new()
        },
    }
}

const FIND: &str = "SELECT username, subject, role, password_hash, disabled, version, profile
                    FROM gom.account WHERE username = $1";
const ARE_DISABLED: &str =
    "SELECT coalesce(bool_and(disabled), false) FROM gom.account WHERE subject = $1";
const REPLACE_HASH: &str =
    "UPDATE gom.account SET password_hash = $3 WHERE username = $1 AND password_hash = $2";

/// An account to be.
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    /// Folded when it is written.
    pub username: String,
    /// `sub` of its tokens.
    pub subject: String,
    /// The role of the policy whose permissions its tokens get.
    pub role: String,
    /// From [`super::Hasher::hash`].
    pub password_hash: String,
    /// `nickname`, `name`, `picture`, `email`.
    pub profile: Map<String, Value>,
}

/// An account as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Folded, as it is stored.
    pub username: String,
    /// `sub` of its tokens.
    pub subject: String,
    /// The role of the policy whose permissions its tokens get.
    pub role: String,
    /// Whether logins and refreshes are refused.
    pub disabled: bool,
    /// UTC, to a second.
    pub created_at: String,
}

/// The table as an administrator uses it.
pub struct AccountTable<'a> {
    client: &'a Client,
}

impl<'a> AccountTable<'a> {
    /// Over a connection to the served database.
    pub fn new(client: &'a Client) -> Self {
        AccountTable { client }
    }

    /// Adds an account, which can log in at once.
    ///
    /// # Errors
    /// If the name is none, there is an account of this name, or the table cannot be changed.
    pub async fn add(&self, account: &NewAccount) -> Result<(), AccountError> {
        let username = fold_username(&account.username);
        if !is_name(&username) {
            return Err(AccountError::Name(account.username.clone()));
        }
        let profile = Value::Object(account.profile.clone());
        let sql = "INSERT INTO gom.account (username, subject, role, password_hash, profile)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [
            &username,
            &account.subject,
            &account.role,
            &account.password_hash,
            &profile,
        ];
        match self.client.execute(sql, &parameters).await? {
            0 => Err(AccountError::Exists(username)),
            _ => Ok(()),
        }
    }

    /// Gives the account another password; its sessions cannot be refreshed any more. Its subject.
    ///
    /// # Errors
    /// If there is no such account, or the table cannot be changed.
    pub async fn set_password_hash(
        &self,
        username: &str,
        hash: &str,
    ) -> Result<String, AccountError> {
        let sql =
            "UPDATE gom.account SET password_hash = $2, version = version + 1, updated_at = now()
                   WHERE username = $1 RETURNING subject";
        self.change(username, sql, &hash).await
    }

    /// Shuts an account out, or lets it in again. Sessions from before cannot be refreshed in either case. Its
    /// subject.
    ///
    /// # Errors
    /// If there is no such account, or the table cannot be changed.
    pub async fn set_disabled(
        &self,
        username: &str,
        disabled: bool,
    ) -> Result<String, AccountError> {
        let sql =
            "UPDATE gom.account SET version = version + (disabled IS DISTINCT FROM $2)::int, disabled = $2,
                   updated_at = now() WHERE username = $1 RETURNING subject";
        self.change(username, sql, &disabled).await
    }

    async fn change(
        &self,
        username: &str,
        sql: &str,
        value: &(dyn tokio_postgres::types::ToSql + Sync),
    ) -> Result<String, AccountError> {
        let username = fold_username(username);
        let row = self.client.query_opt(sql, &[&username, value]).await?;
        row.map(|row| row.get(0))
            .ok_or(AccountError::Missing(username))
    }

    /// All accounts by name.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn list(&self) -> Result<Vec<ListedAccount>, AccountError> {
        let sql = "SELECT username, subject, role, disabled,
                          to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS created_at
                   FROM gom.account ORDER BY username";
        let account = |row: &Row| ListedAccount {
            username: row.get("username"),
            subject: row.get("subject"),
            role: row.get("role"),
            disabled: row.get("disabled"),
            created_at: row.get("created_at"),
        };
        Ok(self
            .client
            .query(sql, &[])
            .await?
            .iter()
            .map(account)
            .collect())
    }
}
