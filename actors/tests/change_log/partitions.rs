//! The log in partitions: they come and go under writers, and no change goes with them that is not forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio_postgres::Client;

use super::{UNSTAMPED, connect, count, deployed, stamp};

/// A partition begins with whatever the log has; the step that was taken.
pub async fn step(client: &Client) -> Option<String> {
    let rotate = "select gom.rotate_log(0, '1 hour', 0)";
    client.query_one(rotate, &[]).await.unwrap().get(0)
}

pub async fn rotate(client: &Client) {
    for expected in ["closing", "checked", "rotated"] {
        assert_eq!(step(client).await.as_deref(), Some(expected));
    }
}

pub async fn insert(client: &Client, name: &str) {
    let insert = format!(r#"insert into "Fan" values ('{name}')"#);
    client.batch_execute(&insert).await.unwrap();
}

/// Forgets the partitions that the newest `kept` changes do not need.
pub async fn forget(client: &Client, kept: i64) -> i64 {
    let forget = "select gom.forget_partitions('1 hour', $1, 0)";
    client.query_one(forget, &[&kept]).await.unwrap().get(0)
}

async fn empty(client: &Client) -> bool {
    let emptied = try_empty(client).await;
    emptied.expect("nobody reads it")
}

/// Nothing, if it has to wait.
async fn try_empty(client: &Client) -> Option<bool> {
    let empty = "select gom.empty_partition()";
    client.query_one(empty, &[]).await.unwrap().get(0)
}

pub const PARTITIONS: &str = "select count(*) from gom.log_partitions()";
pub const CHANGES: &str = "select count(*) from gom.change";

#[tokio::test]
async fn a_partition_goes_when_all_its_changes_are_stamped_and_forgotten() {
    let (database, client) = deployed().await;
    insert(&client, "a").await;
    insert(&client, "b").await;
    rotate(&client).await;
    insert(&client, "c").await;
    assert_eq!(forget(&client, 0).await, 0, "nothing has a position");
    assert!(!empty(&client).await);
    assert_eq!(stamp(&client).await, 3);
    assert_eq!(forget(&client, 2).await, 0, "one of two is kept");
    assert!(!empty(&client).await);
    assert_eq!(count(&client, CHANGES).await, 3);

    assert_eq!(forget(&client, 1).await, 2);
    assert_eq!(count(&client, "select oldest from gom.feed").await, 2);
    assert_eq!(count(&client, CHANGES).await, 3, "who reads may go on");
    assert!(empty(&client).await);
    assert!(!empty(&client).await);
    assert_eq!(count(&client, CHANGES).await, 1);
    assert_eq!(
        count(&client, "select gom.trim_stamps(1)::bigint").await,
        1,
        "in steps"
    );
    assert_eq!(count(&client, "select gom.trim_stamps(9)::bigint").await, 1);
    assert_eq!(count(&client, "select gom.trim_stamps(9)::bigint").await, 0);
    assert_eq!(count(&client, "select count(*) from gom.stamp").await, 1);
    assert_eq!(count(&client, UNSTAMPED).await, 0);

    // The open one is not forgotten, and the empty one is dropped with the next rotation.
    assert_eq!(forget(&client, 0).await, 0);
    assert_eq!(count(&client, PARTITIONS).await, 2);
    rotate(&client).await;
    assert_eq!(count(&client, PARTITIONS).await, 2);
    assert_eq!(step(&client).await, None, "there is no change in it");
    let other = connect(&database).await;
    insert(&other, "d").await;
    assert_eq!(stamp(&client).await, 4);
    assert_eq!(count(&client, "select max(total) from gom.stamp").await, 4);
}

#[tokio::test]
async fn changes_of_a_transaction_that_ended_late_hold_their_partition() {
    let (database, client) = deployed().await;
    let late = connect(&database).await;
    insert(&client, "a").await;
    late.batch_execute(r#"begin; insert into "Fan" values ('late')"#)
        .await
        .unwrap();
    insert(&client, "b").await;
    assert_eq!(stamp(&client).await, 2);
    // Its lock holds the rotation, which gives up at once.
    assert_eq!(step(&client).await.as_deref(), Some("busy"));
    late.batch_execute("commit").await.unwrap();
    rotate(&client).await;
    assert_eq!(
        forget(&client, 0).await,
        0,
        "one of its changes has no position"
    );
    assert!(!empty(&client).await);
    insert(&client, "c").await;
    insert(&client, "d").await;
    assert_eq!(stamp(&client).await, 5);
    let position = "select position from gom.stamp s join gom.change c using (transaction) where c.node = 'late'";
    let position = count(&client, position).await;
    assert!(position > 2);
    assert_eq!(forget(&client, 6 - position).await, 0, "it is kept");
    assert_eq!(forget(&client, 5 - position).await, position);
    assert!(empty(&client).await);
    assert_eq!(
        count(&client, "select gom.stamp_left_behind(true)").await,
        0
    );
}

#[tokio::test]
async fn each_step_to_a_new_partition_may_be_the_last_for_a_while() {
    let (_database, client) = deployed().await;
    for i in 0..3 {
        insert(&client, &format!("before {i}")).await;
        assert_eq!(step(&client).await.as_deref(), Some("closing"));
        insert(&client, &format!("closing {i}")).await;
        assert_eq!(step(&client).await.as_deref(), Some("checked"));
        insert(&client, &format!("checked {i}")).await;
        // The node ends in the midst of it.
        client.batch_execute("begin").await.unwrap();
        assert_eq!(step(&client).await.as_deref(), Some("rotated"));
        client.batch_execute("rollback").await.unwrap();
        insert(&client, &format!("undone {i}")).await;
        assert_eq!(step(&client).await.as_deref(), Some("rotated"));
    }
    assert_eq!(count(&client, PARTITIONS).await, 4);
    stamp(&client).await;
    assert_eq!(count(&client, CHANGES).await, 12);
    assert_eq!(count(&client, UNSTAMPED).await, 0);
}

#[tokio::test]
async fn the_oldest_partitions_make_room_for_a_log_of_so_many_bytes() {
    let (_database, client) = deployed().await;
    for i in 0..3 {
        let many =
            format!(r#"insert into "Fan" select '{i} ' || n from generate_series(1, 2000) n"#);
        client.batch_execute(&many).await.unwrap();
        rotate(&client).await;
    }
    stamp(&client).await;
    let bytes = count(&client, "select bytes from gom.log_size()").await;
    let forget = async |bytes: i64| {
        let forget = "select gom.forget_partitions('1 hour', 1000000, $1)";
        let row = client.query_one(forget, &[&bytes]).await.unwrap();
        row.get::<_, i64>(0)
    };
    assert_eq!(forget(0).await, 0, "no bound");
    assert_eq!(forget(bytes).await, 0);
    assert_eq!(forget(bytes - 1).await, 2_000);
    assert!(empty(&client).await && !empty(&client).await);
    assert_eq!(forget(1).await, 4_000, "all but the open one");
    // A partition that takes an eighth of the room is full.
    insert(&client, "last").await;
    let rotation = "select gom.rotate_log(1000000, '1 hour', $1)";
    for (bytes, expected) in [(1_i64 << 40, None), (1 << 10, Some("closing"))] {
        let row = client.query_one(rotation, &[&bytes]).await.unwrap();
        assert_eq!(row.get::<_, Option<&str>>(0), expected);
    }
}

/// As a dump reads each table, and holds it to its end.
#[tokio::test]
async fn a_partition_that_somebody_reads_is_emptied_and_dropped_later() {
    let (database, client) = deployed().await;
    for i in 0..3 {
        insert(&client, &format!("{i}")).await;
        rotate(&client).await;
    }
    stamp(&client).await;
    let readers = [connect(&database).await, connect(&database).await];
    let parts = "select part::text from gom.log_partitions() where not is_open order by low";
    let parts = client.query(parts, &[]).await.unwrap();
    let read = async |reader: &Client, part: usize| {
        let part: &str = parts[part].get(0);
        let read = format!("begin; select from {part}");
        reader.batch_execute(&read).await.unwrap();
    };
    read(&readers[0], 0).await;
    assert_eq!(forget(&client, 0).await, 3);
    assert_eq!(try_empty(&client).await, None, "it waits for the reader");
    assert_eq!(count(&client, CHANGES).await, 3);
    readers[0].batch_execute("commit").await.unwrap();
    for _ in 0..3 {
        assert!(empty(&client).await);
    }
    assert!(!empty(&client).await);

    // Two of three are read: the rotation drops the one before them.
    read(&readers[0], 1).await;
    read(&readers[1], 2).await;
    insert(&client, "last").await;
    rotate(&client).await;
    assert_eq!(count(&client, PARTITIONS).await, 4);
    for reader in &readers {
        reader.batch_execute("commit").await.unwrap();
    }
    insert(&client, "very last").await;
    rotate(&client).await;
    assert_eq!(count(&client, PARTITIONS).await, 3);
    assert_eq!(count(&client, CHANGES).await, 2);
}

/// What is kept is not read at each look for what is not.
#[tokio::test]
async fn stamps_that_are_kept_are_not_searched_for_partitions_to_forget() {
    let (_database, client) = deployed().await;
    insert(&client, "a").await;
    rotate(&client).await;
    // In place of as many transactions.
    let many = "insert into gom.stamp (position, transaction, first_sequence, last_sequence, changes, total)
        select 1, c.transaction, c.sequence, c.sequence, 1, 1 from gom.change c union all
        select 1 + i, -i, 0, 0, 1, 1 + i from generate_series(1, 20000) i;
        update gom.feed set position = 20001, seen = (select max(sequence) from gom.change);
        analyze gom.stamp";
    client.batch_execute(many).await.unwrap();
    let read = async || {
        let read = "select pg_stat_get_xact_tuples_fetched('gom.stamp_first_sequence'::regclass)
            + pg_stat_get_xact_tuples_returned('gom.stamp_first_sequence'::regclass)";
        count(&client, read).await
    };
    client.batch_execute("begin").await.unwrap();
    assert_eq!(forget(&client, 1_000_000).await, 0);
    assert!(read().await < 10, "kept stamps are read");
    assert_eq!(forget(&client, 0).await, 20_001);
    client.batch_execute("commit").await.unwrap();
}

/// Writers commit and roll back, stampers stamp, partitions come and go as fast as they can, and a reader finds in each
/// snapshot all changes of each transaction that is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_lost_and_no_writer_fails_while_partitions_come_and_go() {
    let (database, client) = deployed().await;
    let over = Arc::new(AtomicBool::new(false));
    let committed = Arc::new(AtomicI64::new(0));
    let mut tasks = Vec::new();
    for writer in 0..3 {
        let client = connect(&database).await;
        let (over, committed) = (Arc::clone(&over), Arc::clone(&committed));
        tasks.push(tokio::spawn(async move {
            for i in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let end = if i % 5 == 0 { "rollback" } else { "commit" };
                let sql = format!(
                    r#"begin; insert into "Fan" values ('{writer} {i}'), ('{writer} {i} too'); {end}"#
                );
                client.batch_execute(&sql).await.unwrap();
                committed.fetch_add(2 * i64::from(i % 5 != 0), Ordering::Relaxed);
            }
        }));
    }
    for what in [
        "select gom.stamp_changes()::text",
        "select gom.stamp_changes()::text",
        "select gom.rotate_log(50, '1 hour', 0)",
        "select gom.rotate_log(50, '1 hour', 0)",
        "select gom.forget_partitions('1 hour', 100, 0)::text",
        "select gom.empty_partition()::text",
        "select gom.trim_stamps(40)::text",
        "select gom.trim_changes('1 hour', 300, 20)::text",
    ] {
        let (client, over) = (connect(&database).await, Arc::clone(&over));
        tasks.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                client.query_one(what, &[]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }));
    }
    let reader = connect(&database).await;
    let torn = "select count(*) from gom.feed f, gom.stamp s cross join lateral (
        select count(*) as found from gom.change c where c.sequence between s.first_sequence and s.last_sequence
        and c.transaction = s.transaction offset 0) c where s.position > f.oldest and c.found <> s.changes";
    let torn = reader.prepare(torn).await.unwrap();
    for _ in 0..60 {
        let found: i64 = reader.query_one(&torn, &[]).await.unwrap().get(0);
        assert_eq!(found, 0, "a transaction that is kept lacks changes");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    stamp(&client).await;
    stamp(&client).await;
    assert_eq!(count(&client, UNSTAMPED).await, 0);
    assert_eq!(
        count(&client, "select max(total) from gom.stamp").await,
        committed.load(Ordering::Relaxed)
    );
    let rotations = "select low >> 36 from gom.log_partitions() where is_open";
    assert!(count(&client, rotations).await > 3, "partitions came");
    assert!(count(&client, PARTITIONS).await < 20, "and went");
}
