//! The tests' own databases: fresh, shared where they may be, and gone afterwards.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use gom_test_support::{TestCluster, TestDatabase};
use tokio_postgres::{Client, NoTls};

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn databases_are_empty_separate_and_dropped() {
    let (one, two) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    assert_ne!(one.name(), two.name());
    let client = one.connect().await;
    client
        .batch_execute("CREATE TABLE things (id bigint)")
        .await
        .unwrap();
    assert!(
        two.connect()
            .await
            .query("SELECT * FROM things", &[])
            .await
            .is_err()
    );
    let config: tokio_postgres::Config = one.url().parse().unwrap();
    assert_eq!(config.get_dbname(), Some(one.name()));
    assert_eq!(
        number(
            &client,
            "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper"
        )
        .await,
        0
    );

    let name = one.name().to_owned();
    drop(one);
    let (admin, connection) = two.admin_config().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let left = admin
        .query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .await
        .unwrap();
    assert!(left.is_empty(), "dropped, in spite of the open connection");
}

#[tokio::test]
async fn a_template_is_filled_once_and_copied() {
    let key = format!("things_{}", std::process::id());
    let fill = async |config: tokio_postgres::Config| {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client
            .batch_execute("CREATE TABLE things (id bigint); INSERT INTO things VALUES (7)")
            .await
            .unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    };
    let (one, two) = tokio::join!(
        TestDatabase::create_from(&key, fill),
        TestDatabase::create_from(&key, fill)
    );
    one.connect()
        .await
        .batch_execute("UPDATE things SET id = 8")
        .await
        .unwrap();
    assert_eq!(
        number(&one.connect().await, "SELECT id FROM things").await,
        8
    );
    assert_eq!(
        number(&two.connect().await, "SELECT id FROM things").await,
        7
    );
}

#[tokio::test]
async fn a_cluster_of_ones_own_can_be_stopped_killed_and_frozen() {
    let mut cluster = TestCluster::own().await;
    let client = cluster.connect().await;
    client
        .batch_execute("CREATE TABLE things (id bigint); INSERT INTO things VALUES (7)")
        .await
        .unwrap();

    cluster.stop().await;
    assert_eq!(cluster.pid(), None);
    assert!(cluster.config().connect(NoTls).await.is_err());
    cluster.start().await;
    assert_eq!(
        number(&cluster.connect().await, "SELECT id FROM things").await,
        7
    );

    let killed = cluster.kill();
    cluster.recovered(killed).await;
    let client = cluster.connect().await;
    assert_eq!(number(&client, "SELECT id FROM things").await, 7);

    cluster.freeze();
    let query = client.query_one("SELECT id FROM things", &[]);
    tokio::pin!(query);
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), &mut query).await;
    assert!(early.is_err(), "a frozen server gives no answer");
    cluster.thaw();
    assert_eq!(query.await.unwrap().get::<_, i64>(0), 7);
    cluster.freeze();
    // Dropped as it is: a failing test leaves nothing frozen behind.
}
