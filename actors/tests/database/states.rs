use std::time::Duration;

use gom_actors::database::{DatabaseState, LocalDatabase, RunError};
use gom_engine::plan::{Expect, Program};
use gom_test_support::{TestCluster, eventually};
use tokio_postgres::Client;

use crate::{ask, later, program, run, served, started, statement, within};

async fn state(database: &LocalDatabase) -> DatabaseState {
    database.database().health().await.state
}

async fn becomes(database: &LocalDatabase, name: &str) {
    eventually(name, async || state(database).await.name() == name).await;
}

fn write() -> Program {
    program(
        1,
        vec![run(
            "insert into t values (1)",
            vec![],
            &[],
            Expect::Anything,
        )],
    )
}

async fn admin(cluster: &TestCluster) -> Client {
    let (client, io) = cluster
        .admin_config()
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(io);
    client
}

fn is_unavailable<T>(answer: &Result<T, RunError>) -> bool {
    matches!(answer, Err(RunError::Unavailable { retry_after, .. }) if retry_after.as_secs() >= 1)
}

#[actix::test]
async fn an_absent_database_is_awaited_at_the_start() {
    let mut cluster = TestCluster::own().await;
    cluster.stop().await;
    let database = started(cluster.config(), |_| {});
    assert!(is_unavailable(
        &database.database().ready(within(200)).await
    ));
    assert_eq!(state(&database).await.name(), "connecting");
    assert!(is_unavailable(
        &database.read(statement("select 'x'", &[]), later()).await
    ));
    assert!(is_unavailable(&database.transact(write(), later()).await));

    cluster.start().await;
    database
        .database()
        .ready(within(10_000))
        .await
        .expect("it is found");
    assert_eq!(ask(&database, "select 'x'").await, "x");
    let health = database.database().health().await;
    assert_eq!(health.state, DatabaseState::Ready);
    assert!(health.server_version.is_some() && health.last_success.is_some());
}

#[actix::test]
async fn a_read_only_server_answers_reads_and_refuses_writes() {
    let cluster = TestCluster::own().await;
    let admin = admin(&cluster).await;
    cluster
        .connect()
        .await
        .batch_execute("create table t(id int)")
        .await
        .unwrap();
    let database = served(cluster.config(), |_| {}).await;
    database.transact(write(), later()).await.unwrap();

    admin
        .batch_execute("alter system set default_transaction_read_only = on")
        .await
        .unwrap();
    admin
        .batch_execute("select pg_reload_conf()")
        .await
        .unwrap();
    // Whether the supervisor or the write itself is first to see it.
    eventually("writes are refused", async || {
        is_unavailable(&database.transact(write(), later()).await)
    })
    .await;
    becomes(&database, "read_only").await;
    assert!(is_unavailable(&database.transact(write(), later()).await));
    assert_eq!(ask(&database, "select 'x'").await, "x");

    admin
        .batch_execute("set default_transaction_read_only = off")
        .await
        .unwrap();
    admin
        .batch_execute("alter system reset default_transaction_read_only")
        .await
        .unwrap();
    admin
        .batch_execute("select pg_reload_conf()")
        .await
        .unwrap();
    becomes(&database, "ready").await;
    database.transact(write(), later()).await.unwrap();
}

#[actix::test]
async fn without_further_connections_reads_continue_and_free_connections_are_used() {
    let cluster = TestCluster::own().await;
    let admin = admin(&cluster).await;
    cluster
        .connect()
        .await
        .batch_execute("create table t(id int)")
        .await
        .unwrap();
    // However slow a read, it needs no client of its own.
    let database = served(cluster.config(), |options| {
        options.slow_read = Duration::from_secs(10)
    })
    .await;
    assert_eq!(ask(&database, "select 'x'").await, "x");
    let shared = "select count(*) >= 3 from pg_stat_activity where usename = 'gom'";
    let there = async || admin.query_one(shared, &[]).await.unwrap().get(0);
    eventually("its clients are there", there).await;

    admin
        .batch_execute("alter role gom connection limit 0")
        .await
        .unwrap();
    let refused = database.transact(write(), later()).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    becomes(&database, "out_of_connections").await;
    assert_eq!(ask(&database, "select 'x'").await, "x");

    admin
        .batch_execute("alter role gom connection limit -1")
        .await
        .unwrap();
    becomes(&database, "ready").await;
    database.transact(write(), later()).await.unwrap();
}

#[actix::test]
async fn a_lost_server_is_reported_at_once_and_reconnected() {
    let cluster = TestCluster::own().await;
    let database = served(cluster.config(), |_| {}).await;
    assert_eq!(ask(&database, "select 'x'").await, "x");
    let generation = database.database().health().await.generation;
    let killed = cluster.kill();
    becomes(&database, "down").await;
    assert!(is_unavailable(
        &database.read(statement("select 'x'", &[]), later()).await
    ));
    cluster.recovered(killed).await;
    becomes(&database, "ready").await;
    assert_eq!(ask(&database, "select 'x'").await, "x");
    assert!(database.database().health().await.generation > generation);
}
