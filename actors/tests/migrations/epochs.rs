//! When cursors from before a migration are refused: where something may have been missed, and nowhere else.

use gom_test_support::TestDatabase;
use tokio_postgres::Client;

use super::{PRISMA1, SCHEMA, SHOP, deploy, run};

const FANS: &str = "type Fan { id: ID! @id name: String words: [String!]! of: [Shop!]! } type Shop { id: ID! @id fans: [Fan!]! }";

/// The log's epoch, and whether everything up to now is forgotten in it.
async fn epoch(client: &Client) -> (i64, bool) {
    run(client, "SELECT gom.stamp_changes()").await;
    let row = client
        .query_one("SELECT epoch, oldest = position FROM gom.feed", &[])
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

/// A Fan, so that a position is given.
async fn fan(client: &Client, id: &str) {
    run(
        client,
        &format!("INSERT INTO \"{SCHEMA}\".\"Fan\" (id) VALUES ('{id}')"),
    )
    .await;
}

#[tokio::test]
async fn a_table_that_had_lost_its_trigger_begins_a_new_epoch_when_it_has_one_again() {
    let losses = [
        "DROP TRIGGER gom_change ON \"{S}\".\"Fan\"",
        "ALTER TABLE \"{S}\".\"Fan\" DISABLE TRIGGER gom_change",
        "DROP FUNCTION gom.\"log {S}.Fan\"() CASCADE",
        "DROP TRIGGER gom_change ON \"{S}\".\"Fan_words\"",
        "DROP TRIGGER gom_change ON \"{S}\".\"_FanToShop\"",
        "DROP TABLE \"{S}\".\"Fan_words\"",
    ];
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(&mut client, FANS, &[], false).await.unwrap();
    for (number, loss) in losses.iter().enumerate() {
        fan(&client, &format!("seen {number}")).await;
        let (before, _) = epoch(&client).await;
        run(&client, &loss.replace("{S}", SCHEMA)).await;
        fan(&client, &format!("perhaps unseen {number}")).await;
        run(&client, "SELECT gom.stamp_changes()").await;
        let steps = deploy(&mut client, FANS, &[], false).await.unwrap();
        assert!(
            steps.last().unwrap().description.contains("new epoch"),
            "{loss}: {steps:#?}"
        );
        let (after, all_forgotten) = epoch(&client).await;
        assert_ne!(before, after, "{loss}");
        assert!(all_forgotten, "{loss}");
    }
}

#[tokio::test]
async fn renamed_tables_begin_a_new_epoch_because_the_log_has_their_changes_under_the_old_name() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(&mut client, "type Fan { id: ID! @id }", &[], false)
        .await
        .unwrap();
    let (before, _) = epoch(&client).await;
    deploy(
        &mut client,
        "type Fan @db(name: \"fans\") { id: ID! @id }",
        &["Fan=fans"],
        false,
    )
    .await
    .unwrap();
    assert_ne!(epoch(&client).await.0, before);
}

#[tokio::test]
async fn changes_that_no_cursor_can_miss_begin_no_epoch() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    // A table that Gom does not serve yet.
    run(
        &client,
        &format!(
            "CREATE SCHEMA \"{SCHEMA}\"; CREATE TABLE \"{SCHEMA}\".\"Old\" (id varchar(36) PRIMARY KEY)"
        ),
    )
    .await;
    let steps = deploy(&mut client, "type Fan { id: ID! @id }", &[], false)
        .await
        .unwrap();
    assert!(
        !steps.iter().any(|step| step.description.contains("epoch")),
        "the first deployment: {steps:#?}"
    );
    let (before, _) = epoch(&client).await;
    let models = [
        FANS,
        "type Fan { id: ID! @id name: Int words: [Int!]! of: [Shop!]! } type Shop { id: ID! @id fans: [Fan!]! }",
        "type Fan { id: ID! @id name: Int } type Old { id: ID! @id }",
    ];
    for (number, text) in models.into_iter().enumerate() {
        fan(&client, &format!("fan {number}")).await;
        deploy(&mut client, text, &[], true).await.unwrap();
        let (after, all_forgotten) = epoch(&client).await;
        assert_eq!(after, before, "{text}");
        assert!(!all_forgotten, "{text}");
    }
}

#[tokio::test]
async fn a_table_that_was_dropped_and_is_served_again_begins_a_new_epoch() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    deploy(&mut client, FANS, &[], false).await.unwrap();
    fan(&client, "a").await;
    let (before, _) = epoch(&client).await;
    deploy(&mut client, "type Shop { id: ID! @id }", &[], true)
        .await
        .unwrap();
    assert_eq!(
        epoch(&client).await.0,
        before,
        "nobody is served its changes"
    );
    deploy(&mut client, FANS, &[], false).await.unwrap();
    let (after, all_forgotten) = epoch(&client).await;
    assert_ne!(
        after, before,
        "a cursor of then would miss that its rows are gone"
    );
    assert!(all_forgotten);
}

#[tokio::test]
async fn a_prisma_database_is_adopted_without_an_epoch_step() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    run(&client, PRISMA1).await;
    let steps = deploy(&mut client, SHOP, &[], false).await.unwrap();
    assert!(
        steps
            .iter()
            .any(|step| step.description.starts_with("log the changes of"))
    );
    assert!(
        !steps.iter().any(|step| step.description.contains("epoch")),
        "{steps:#?}"
    );
}
