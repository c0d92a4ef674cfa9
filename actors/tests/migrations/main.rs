//! Migrations on real PostgreSQL: every datamodel's tables can be made, changed and recognised again.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod chance;
mod changes;
mod ends;
mod epochs;
mod foreign;
mod losses;
mod misfits;
mod models;

use gom_actors::migrations::{
    Deployment, DeploymentPlan, MigrateError, apply, introspect, migrate_system, plan, status,
    verify,
};
use gom_engine::datamodel::{DataModel, parse};
use gom_engine::migrate::{MigrationStep, Rename, links_with_required_id, sql_text};
use gom_test_support::TestDatabase;
use tokio_postgres::Client;

const SCHEMA: &str = "default$default";
const SHOP: &str = include_str!("../../../config/datamodel.prisma");
const PRISMA1: &str = include_str!("../../../tests/fixtures/prisma1.sql");

fn model(text: &str) -> DataModel {
    parse("datamodel.prisma", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Applies a datamodel, which causes no event.
async fn attempt(
    client: &mut Client,
    text: &str,
    renames: &[&str],
    allow_data_loss: bool,
) -> Result<Vec<MigrationStep>, MigrateError> {
    let model = model(text);
    let renames: Vec<Rename> = renames.iter().map(|r| r.parse().unwrap()).collect();
    let deployment = Deployment {
        renames: &renames,
        allow_data_loss,
        ..Deployment::new(&model, text, SCHEMA)
    };
    let planned = plan(client, &deployment).await?;
    let before = logged(client).await;
    let done = apply(client, &deployment, &|_| ()).await;
    assert_eq!(
        logged(client).await,
        before,
        "a deployment is no event and notifies nobody"
    );
    let done = done?;
    assert_eq!(
        planned.steps, done.steps,
        "what was planned is what is done"
    );
    assert!(!planned.is_refused(), "what would be refused is not done");
    Ok(done.steps)
}

/// Applies a datamodel and proves that nothing is left to do; rows of Prisma's without a partner stay as they are.
async fn deploy(
    client: &mut Client,
    text: &str,
    renames: &[&str],
    allow_data_loss: bool,
) -> Result<Vec<MigrationStep>, MigrateError> {
    let steps = attempt(client, text, renames, allow_data_loss).await?;
    let mut left = verify(client, &model(text), SCHEMA).await?;
    left.retain(|difference| !difference.contains("nodes without a partner"));
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(
        attempt(client, text, &[], false).await?,
        [],
        "a second time there is nothing to do"
    );
    Ok(steps)
}

/// What `gom migrate plan` reports.
async fn planned(client: &Client, text: &str) -> DeploymentPlan {
    let model = model(text);
    let deployment = Deployment::new(&model, text, SCHEMA);
    plan(client, &deployment).await.unwrap()
}

/// In the schema of the model's tables.
async fn fill(client: &Client, sql: &str) {
    run(
        client,
        &format!("SET search_path TO \"{SCHEMA}\"; {sql}; RESET search_path"),
    )
    .await;
}

async fn run(client: &Client, sql: &str) {
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn text(client: &Client, query: &str) -> Option<String> {
    client
        .query_one(query, &[])
        .await
        .unwrap_or_else(|error| panic!("{query}: {error:?}"))
        .get(0)
}

/// How much the database holds that somebody would be notified of; nothing of it before the first deployment.
async fn logged(client: &Client) -> String {
    let tables = "SELECT (to_regclass('gom.change') IS NOT NULL AND to_regclass('gom.job') IS NOT NULL)::text";
    if text(client, tables).await.as_deref() != Some("true") {
        return "0 changes, 0 jobs".to_owned();
    }
    text(client, "SELECT (SELECT count(*) FROM gom.change) || ' changes, ' || (SELECT count(*) FROM gom.job) || ' jobs'")
        .await
        .unwrap()
}

/// Every row of the model's tables, as text.
async fn rows(client: &Client) -> Vec<String> {
    let mut rows = Vec::new();
    for table in introspect(client, SCHEMA).await.unwrap().tables {
        let name = table.name.replace('"', "\"\"");
        let query = format!("SELECT t::text FROM \"{SCHEMA}\".\"{name}\" t ORDER BY 1");
        for row in client.query(&query, &[]).await.unwrap() {
            rows.push(format!("{}: {}", table.name, row.get::<_, String>(0)));
        }
    }
    rows
}

#[tokio::test]
async fn a_migration_of_goms_tables_gives_up_an_unavailable_lock_and_blocks_nobody() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    migrate_system(&mut client).await.unwrap();
    // As a server of the version before, in the middle of an expansion.
    run(
        &client,
        "DELETE FROM gom.system_migration WHERE version >= 12",
    )
    .await;
    let before = database.connect().await;
    run(&before, "BEGIN; LOCK TABLE gom.job IN ROW EXCLUSIVE MODE").await;
    let migration = tokio::spawn(async move {
        let result = migrate_system(&mut client).await;
        (client, result)
    });
    let waits =
        "SELECT count(*)::text FROM pg_locks WHERE relation = 'gom.job'::regclass AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while text(&before, waits).await.as_deref() != Some("1") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    run(
        &before,
        "LOCK TABLE gom.notification IN ROW EXCLUSIVE MODE NOWAIT",
    )
    .await;
    let (client, result) = migration.await.unwrap();
    let error = result.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert!(
        error.to_string().contains("a lock for longer than 10s"),
        "{error}"
    );
    assert_eq!(
        text(&client, "SHOW lock_timeout").await.as_deref(),
        Some("0")
    );
}

const BLOG: &str = "type Post { id: ID! @id title: String words: Int stars: Int }";

#[tokio::test]
async fn other_schemas_are_never_touched() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    run(
        &client,
        "CREATE SCHEMA other; CREATE TABLE other.\"A\" (x int)",
    )
    .await;
    let steps = deploy(&mut client, "type A { id: ID! @id }", &[], false)
        .await
        .unwrap();
    assert!(steps.iter().all(|s| s.sql.contains(SCHEMA)), "{steps:#?}");
    let model = model("type A { id: ID! @id }");
    for schema in ["gom", "pg_catalog", ""] {
        let error = verify(&client, &model, schema).await.unwrap_err();
        assert!(matches!(error, MigrateError::ReservedSchema(_)), "{error}");
    }
}

#[tokio::test]
async fn ten_servers_may_start_at_once() {
    let database = TestDatabase::create().await;
    let model = model(SHOP);
    let deployment = Deployment::new(&model, SHOP, SCHEMA);
    let starts = (0..10).map(async |_| {
        let mut client = database.connect().await;
        apply(&mut client, &deployment, &|_| ())
            .await
            .unwrap()
            .steps
            .len()
    });
    let done = futures::future::join_all(starts).await;
    assert_eq!(
        done.iter().filter(|steps| **steps > 0).count(),
        1,
        "{done:?}"
    );
    let client = database.connect().await;
    let status = status(&client, &model, SCHEMA).await.unwrap();
    assert_eq!(status.system_version, Some(status.known_system_version));
    assert_eq!(status.last.unwrap().datamodel, SHOP);
    assert!(status.differences.is_empty());
}

#[tokio::test]
async fn verify_lists_every_difference_and_changes_nothing() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    run(
        &client,
        &format!(
            "CREATE SCHEMA \"{SCHEMA}\"; SET search_path TO \"{SCHEMA}\";
             CREATE TABLE \"A\" (id varchar(25) PRIMARY KEY, n text NOT NULL, extra int);
             CREATE TABLE lost (x int)"
        ),
    )
    .await;
    let model =
        model("type A { id: ID! @id n: Int s: String! @unique b: B } type B { id: ID! @id }");
    let found = verify(&client, &model, SCHEMA).await.unwrap();
    assert_eq!(
        found,
        [
            "the column `A.n` is of type text, it should be integer",
            "the column `A.n` forbids null, it should allow it",
            "the column `A.s` is missing",
            "the column `A.b` is missing",
            "the foreign key `A` (b) to `B` (id) on delete SET NULL is missing",
            "the unique index on `A` (s) is missing",
            "the index on `A` (b) is missing",
            "the table `B` is missing",
            "still to do: log the changes of `A`",
            "still to do: log the changes of `B`",
        ]
    );
    assert!(
        client
            .query_opt("SELECT 1 FROM pg_namespace WHERE nspname = 'gom'", &[])
            .await
            .unwrap()
            .is_none()
    );
}
