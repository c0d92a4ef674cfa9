//! A fresh database for one test.

use std::ops::AsyncFnOnce;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gom_embedded_postgres::{ADMIN, USER, socket_url};
use tokio_postgres::{Client, Config, NoTls};

use crate::keeper::shared;

/// A database that nobody else uses, owned by a user who is no superuser. Dropping the value terminates its connections and
/// drops the database.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    sockets: &'static Path,
}

impl TestDatabase {
    /// An empty database.
    pub async fn create() -> TestDatabase {
        Self::copy_of("template1").await
    }

    /// A copy of a database that `fill` makes once for each run of the tests, whichever process comes first. `key` names it: the
    /// same key must mean the same content (put a hash of what it is made from into it if that can change while the tests
    /// run). `fill` connects as the database's owner, and closes its connections.
    pub async fn create_from(key: &str, fill: impl AsyncFnOnce(Config)) -> TestDatabase {
        let sockets = &shared().await.sockets;
        let template = format!("template_{key}");
        let client = connect(&config(sockets, ADMIN, "postgres")).await;
        let exists = async || {
            let query = "SELECT 1 FROM pg_database WHERE datname = $1";
            client
                .query_opt(query, &[&template])
                .await
                .expect("databases can be listed")
                .is_some()
        };
        if !exists().await {
            let lock = "SELECT pg_advisory_lock(hashtextextended($1, 0))";
            client
                .execute(lock, &[&template])
                .await
                .expect("others make it or let us make it");
            // The lock ends with the connection: whether we get through or not.
            if !exists().await {
                let unfinished = format!("unfinished_{key}");
                execute(
                    &client,
                    &format!(
                        "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                        quoted(&unfinished)
                    ),
                )
                .await;
                execute(
                    &client,
                    &format!("CREATE DATABASE {} OWNER {USER}", quoted(&unfinished)),
                )
                .await;
                fill(config(sockets, USER, &unfinished)).await;
                execute(
                    &client,
                    &format!(
                        "ALTER DATABASE {} ALLOW_CONNECTIONS false",
                        quoted(&unfinished)
                    ),
                )
                .await;
                // A session ends a little after its client.
                let sessions =
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
                while !client
                    .query(sessions, &[&unfinished])
                    .await
                    .expect("sessions can be ended")
                    .is_empty()
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let renaming = format!(
                    "ALTER DATABASE {} RENAME TO {}",
                    quoted(&unfinished),
                    quoted(&template)
                );
                execute(&client, &renaming).await;
            }
        }
        Self::copy_of(&template).await
    }

    async fn copy_of(template: &str) -> TestDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let sockets = &shared().await.sockets;
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let client = connect(&config(sockets, ADMIN, "postgres")).await;
        // A killed test with our process id may have left one behind.
        execute(
            &client,
            &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        )
        .await;
        execute(
            &client,
            &format!(
                "CREATE DATABASE {name} OWNER {USER} TEMPLATE {}",
                quoted(template)
            ),
        )
        .await;
        TestDatabase { name, sockets }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to connect as the database's owner.
    pub fn config(&self) -> Config {
        config(self.sockets, USER, &self.name)
    }

    /// How to connect to the database as a superuser.
    pub fn admin_config(&self) -> Config {
        config(self.sockets, ADMIN, &self.name)
    }

    /// The same as `config`, for settings and for `psql`.
    pub fn url(&self) -> String {
        socket_url(self.sockets, USER, &self.name)
    }

    /// A connection as the database's owner, driven in the background of the current runtime.
    pub async fn connect(&self) -> Client {
        connect(&self.config()).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, config) = (self.name.clone(), config(self.sockets, ADMIN, "postgres"));
        // The test's runtime may be on its way out, or be busy with us.
        let remove = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let (client, connection) = config.connect(NoTls).await.ok()?;
                tokio::spawn(connection);
                client
                    .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                    .await
                    .ok()
            })
        };
        // What cannot be dropped goes with the cluster.
        let _ = std::thread::spawn(remove).join();
    }
}

pub(crate) async fn connect(config: &Config) -> Client {
    let (client, connection) = config
        .connect(NoTls)
        .await
        .expect("the tests' PostgreSQL answers");
    tokio::spawn(connection);
    client
}

async fn execute(client: &Client, statement: &str) {
    client
        .batch_execute(statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}

fn config(sockets: &Path, user: &str, database: &str) -> Config {
    let mut config = Config::new();
    config.host_path(sockets).user(user).dbname(database);
    config
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
