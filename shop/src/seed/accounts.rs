//! The demo shop of the private database: its rows, and accounts with which its sellers log in.

use gom_actors::secret::SecretText;
use tokio_postgres::Client;

use super::{DEMO, IS_EMPTY, ShopSeedError, USE_SCHEMA, check, search_path};
use gom_server::identity::{AccountTable, Hasher, NewAccount};
use gom_server::settings::Settings;

/// The password of both demo sellers. Everybody knows it: it opens the private database's demo shop only, and
/// the environments that others can reach have none.
pub const DEMO_PASSWORD: &str = "paletas-y-tacos";

/// User name, subject, and the name that the client may show.
const SELLERS: [(&str, &str, &str); 2] = [
    ("paletas@demo.gom", "auth0|demo-paletas", "Paletas Marías"),
    ("tacos@demo.gom", "auth0|demo-tacos", "Tacos El Güero"),
];

/// Opens the demo shop.
#[derive(Clone)]
pub struct DemoShop {
    hasher: Hasher,
}

impl DemoShop {
    /// Accounts get their password's hash with the settings' cost.
    pub fn new(settings: &Settings) -> Self {
        DemoShop {
            hasher: Hasher::new(&settings.auth.accounts),
        }
    }

    /// Writes the demo shop into tables without any row, and accounts for its sellers where nobody has one.
    ///
    /// # Errors
    /// If the tables are missing, or the database fails.
    pub async fn open(&self, client: &mut Client, schema: &str) -> Result<(), ShopSeedError> {
        check(client, schema).await?;
        let transaction = client.transaction().await?;
        transaction
            .execute(USE_SCHEMA, &[&search_path(schema), &true])
            .await?;
        let empty: bool = transaction.query_one(IS_EMPTY, &[]).await?.get(0);
        if empty {
            transaction.batch_execute(DEMO).await?;
            tracing::info!("the demo shop is open");
        }
        transaction.commit().await?;
        self.add_accounts(client, schema).await?;
        Ok(())
    }

    /// Writes accounts for the demo shop's sellers, all of them, where nobody has one; whether it did.
    ///
    /// # Errors
    /// If the tables are missing, or the database fails.
    pub async fn add_accounts(
        &self,
        client: &mut Client,
        schema: &str,
    ) -> Result<bool, ShopSeedError> {
        let transaction = client.transaction().await?;
        transaction
            .execute(USE_SCHEMA, &[&search_path(schema), &true])
            .await?;
        let without_accounts: bool = transaction.query_one(LACKS_ACCOUNTS, &[]).await?.get(0);
        if !without_accounts {
            return Ok(false);
        }
        let accounts = AccountTable::new(transaction.client());
        for (username, subject, name) in SELLERS {
            let password_hash = self.hasher.hash(&SecretText::new(DEMO_PASSWORD)).await?;
            let profile = [("name".to_owned(), name.into())].into_iter().collect();
            let (username, subject, role) = (username.into(), subject.into(), "seller".into());
            accounts
                .add(&NewAccount {
                    username,
                    subject,
                    role,
                    password_hash,
                    profile,
                })
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

/// The demo sellers who can still log in with [`DEMO_PASSWORD`].
///
/// # Errors
/// If the database fails.
pub async fn demo_logins(client: &Client) -> Result<Vec<String>, ShopSeedError> {
    let names = SELLERS.map(|(username, _, _)| username);
    let sql = "SELECT username FROM gom.account
               WHERE username = ANY($1) AND version = 1 AND NOT disabled ORDER BY username";
    Ok(client
        .query(sql, &[&names.as_slice()])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect())
}

const LACKS_ACCOUNTS: &str = r#"SELECT NOT EXISTS (SELECT FROM gom.account)
    AND EXISTS (SELECT FROM "User" WHERE "extUid" = 'auth0|demo-paletas')"#;
