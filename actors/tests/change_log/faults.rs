//! The change log when things go wrong around it: PostgreSQL is killed, backups are restored, writers hold what they drew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use gom_test_support::TestCluster;

use super::{SCHEMA, connect, deploy, deployed, stamp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_is_killed_loses_no_position_and_gives_none_twice() {
    let cluster = TestCluster::own().await;
    let mut client = cluster.connect().await;
    deploy(&mut client).await;
    let epoch = "select epoch from gom.open_feed()";
    let before: i64 = client.query_one(epoch, &[]).await.unwrap().get(0);

    let committed = Arc::new(AtomicI64::new(0));
    let stamped = Arc::new(AtomicI64::new(0));
    for round in 0..3 {
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for writer in 0..4 {
            let (client, over, committed) = (
                cluster.connect().await,
                Arc::clone(&over),
                Arc::clone(&committed),
            );
            tasks.push(tokio::spawn(async move {
                for i in 0.. {
                    let end = if i % 5 == 0 { "rollback" } else { "commit" };
                    let sql = format!(
                        "begin; insert into \"{SCHEMA}\".\"Fan\" values ('{round}-{writer}-{i}'); {end}"
                    );
                    if over.load(Ordering::Relaxed) || client.batch_execute(&sql).await.is_err() {
                        return;
                    }
                    committed.fetch_add(i64::from(i % 5 != 0), Ordering::Relaxed);
                }
            }));
        }
        for _ in 0..2 {
            let (client, over, stamped) = (
                cluster.connect().await,
                Arc::clone(&over),
                Arc::clone(&stamped),
            );
            tasks.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let Ok(row) = client.query_one("select gom.stamp_changes()", &[]).await else {
                        return;
                    };
                    stamped.fetch_max(row.get(0), Ordering::Relaxed);
                }
            }));
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        let killed = cluster.kill();
        over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        cluster.recovered(killed).await;
    }

    let client = cluster.connect().await;
    let position = stamp(&client).await;
    let number = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    assert!(
        position >= stamped.load(Ordering::Relaxed),
        "a position that was delivered is not assigned again"
    );
    assert!(
        position >= committed.load(Ordering::Relaxed),
        "everything that was committed has one"
    );
    let fans = format!("select count(*) from \"{SCHEMA}\".\"Fan\"");
    assert_eq!(number(&fans).await, position);
    assert_eq!(number("select count(*) from gom.stamp").await, position);
    assert_eq!(
        number("select count(distinct transaction) from gom.stamp").await,
        position
    );
    assert_eq!(number(epoch).await, before, "a crash is no restored backup");
    for _ in 0..3 {
        stamp(&client).await;
    }
    assert_eq!(
        number("select cardinality(gap_from)::bigint from gom.feed").await,
        0
    );
}

#[tokio::test]
async fn an_open_transaction_is_awaited_until_it_ends() {
    let (database, client) = deployed().await;
    let (early, late) = (connect(&database).await, connect(&database).await);
    early
        .batch_execute(r#"begin; insert into "Fan" values ('early')"#)
        .await
        .unwrap();
    late.batch_execute(r#"begin; savepoint s; insert into "Fan" values ('late')"#)
        .await
        .unwrap();
    for i in 1..=20 {
        client
            .batch_execute(&format!(r#"insert into "Fan" values ('{i}')"#))
            .await
            .unwrap();
        assert_eq!(stamp(&client).await, i, "nobody waits");
        assert_eq!(stamp(&client).await, i, "nothing is new");
    }
    // A caller that has written already must not mistake its old number for a new one.
    early
        .batch_execute("select gom.stamp_changes(); select gom.stamp_changes()")
        .await
        .unwrap();
    early.batch_execute("commit").await.unwrap();
    assert_eq!(stamp(&client).await, 21);
    late.batch_execute("release s; commit").await.unwrap();
    assert_eq!(stamp(&client).await, 22);
}

#[tokio::test]
async fn unstamped_changes_of_a_backup_are_stamped_after_its_restore() {
    let (_database, client) = deployed().await;
    client
        .batch_execute(r#"insert into "Fan" values ('a')"#)
        .await
        .unwrap();
    stamp(&client).await;
    // What a dump holds: a change without a position, gaps, and numbers of another cluster.
    client
        .batch_execute(
            r#"insert into "Fan" values ('b');
               update gom.feed set identity = 'elsewhere', gap_from = '{1}', gap_to = '{1}', gap_until = '{1}'"#,
        )
        .await
        .unwrap();
    let opened = client
        .query_one("select position, oldest from gom.open_feed()", &[])
        .await
        .unwrap();
    assert_eq!((opened.get::<_, i64>(0), opened.get::<_, i64>(1)), (1, 1));
    client
        .batch_execute("update gom.feed set gap_from = '{}', gap_to = '{}', gap_until = '{}'")
        .await
        .unwrap();
    assert_eq!(stamp(&client).await, 2);
    let trim = "select gom.trim_changes('1 hour', 1, 10)";
    assert_eq!(
        client.query_one(trim, &[]).await.unwrap().get::<_, i32>(0),
        1
    );
    let left = "select count(*) from gom.change c join gom.stamp s on s.last_sequence = c.sequence";
    assert_eq!(
        client.query_one(left, &[]).await.unwrap().get::<_, i64>(0),
        1
    );
}

#[tokio::test]
async fn nodes_that_open_a_restored_database_at_once_agree_on_its_epoch() {
    let (database, client) = deployed().await;
    client
        .batch_execute("update gom.feed set identity = 'elsewhere'")
        .await
        .unwrap();
    let opened = (0..8).map(async |_| {
        let client = database.connect().await;
        client
            .query_one("select epoch from gom.open_feed()", &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    });
    let mut epochs = futures::future::join_all(opened).await;
    epochs.dedup();
    assert_eq!(epochs.len(), 1);
}
