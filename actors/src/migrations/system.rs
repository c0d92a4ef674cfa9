//! Gom's own tables: numbered SQL files, embedded in the program, in the schema `gom`.

use std::collections::HashSet;

use refinery::Runner;
use tokio_postgres::{Client, GenericClient};

use super::LOCK_TIMEOUT;
use super::error::MigrateError;

/// The schema of Gom's own tables.
pub const SYSTEM_SCHEMA: &str = "gom";

const HISTORY_TABLE: &str = "gom.system_migration";

mod embedded {
    refinery::embed_migrations!("../migrations");
}

fn runner() -> Runner {
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY_TABLE);
    runner
}

/// Runs the migrations that are missing; the caller holds the lock.
pub(super) async fn run(client: &mut Client) -> Result<(), MigrateError> {
    if let Some((found, known)) = newer(client).await? {
        return Err(MigrateError::NewerVersion { found, known });
    }
    // Not before: an ordinary user may not be allowed to create schemas, and need not be.
    if client.query_opt(SCHEMA_EXISTS, &[]).await?.is_none() {
        client.batch_execute("CREATE SCHEMA gom").await?;
    }
    // Of the session: each migration is a transaction of its own, which is not ours to begin.
    client
        .batch_execute(&format!("SET lock_timeout = '{LOCK_TIMEOUT}'"))
        .await?;
    let result = runner().run_async(client).await;
    let reset = client.batch_execute("RESET lock_timeout").await;
    result?;
    Ok(reset?)
}

const SCHEMA_EXISTS: &str = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'gom'";

/// The version of the database's tables and the one of this program, if the former is the newer.
pub(super) async fn newer<C: GenericClient>(
    client: &C,
) -> Result<Option<(i32, i32)>, MigrateError> {
    let known = known_version();
    Ok(applied_version(client)
        .await?
        .filter(|found| *found > known)
        .map(|found| (found, known)))
}

/// The last migration that this program brings.
pub(super) fn known_version() -> i32 {
    runner()
        .get_migrations()
        .iter()
        .map(|m| m.version())
        .max()
        .unwrap_or_default()
}

/// The last migration that the database has had; `None` before the first.
pub(super) async fn applied_version<C: GenericClient>(
    client: &C,
) -> Result<Option<i32>, MigrateError> {
    if !has_table(client, HISTORY_TABLE).await? {
        return Ok(None);
    }
    let row = client
        .query_one(
            &format!("SELECT max(version)::int FROM {HISTORY_TABLE}"),
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// The names of the tables in the schema `gom`.
pub(super) async fn tables<C: GenericClient>(client: &C) -> Result<HashSet<String>, MigrateError> {
    let names = "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = 'gom'";
    let rows = client.query(names, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether there is such a table, `schema.table`.
pub(super) async fn has_table<C: GenericClient>(
    client: &C,
    name: &str,
) -> Result<bool, MigrateError> {
    Ok(client
        .query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&name])
        .await?
        .get(0))
}
