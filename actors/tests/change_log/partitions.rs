//! The log in partitions: they come and go under writers, and no change goes with them that is not forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use gom_test_support::TestCluster;
use tokio_postgres::{Client, NoTls};

use super::{UNSTAMPED, connect, count, deployed, stamp};

/// The system tables up to a version, as its program has left them.
async fn tables_up_to(client: &Client, version: u32) {
    client.batch_execute("create schema gom").await.unwrap();
    for one in 1..=version {
        client.batch_execute(&migration(one)).await.unwrap();
    }
}

fn migration(version: u32) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let begins = format!("V{version}__");
    let file = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(&begins)
        });
    std::fs::read_to_string(file.unwrap()).unwrap()
}

/// A partition begins with whatever the log has; the last step that was taken.
async fn step(client: &Client) -> Option<String> {
    let rotate = "select gom.rotate_log(0, '1 hour', 0)";
    client.query_one(rotate, &[]).await.unwrap().get(0)
}

async fn rotate(client: &Client) {
    for expected in ["closing", "checked", "rotated"] {
        assert_eq!(step(client).await.as_deref(), Some(expected));
    }
}

async fn insert(client: &Client, name: &str) {
    let insert = format!(r#"insert into "Fan" values ('{name}')"#);
    client.batch_execute(&insert).await.unwrap();
}

/// Forgets the partitions that the newest `kept` changes do not need.
async fn forget(client: &Client, kept: i64) -> i64 {
    let forget = "select gom.forget_partitions('1 hour', $1, 0)";
    client.query_one(forget, &[&kept]).await.unwrap().get(0)
}

async fn empty(client: &Client) -> bool {
    let empty = "select gom.empty_partition()";
    client.query_one(empty, &[]).await.unwrap().get(0)
}

const PARTITIONS: &str = "select count(*) from gom.log_partitions()";
const CHANGES: &str = "select count(*) from gom.change";

#[tokio::test]
async fn a_log_of_the_previous_version_goes_on_as_the_first_partition() {
    let cluster = TestCluster::own().await;
    let client = cluster.connect().await;
    let (owner, mut admin) = (cluster.config(), cluster.admin_config());
    admin.dbname(owner.get_dbname().unwrap());
    let (importer, connection) = admin.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    tables_up_to(&client, 16).await;
    importer
        .batch_execute("create role importer")
        .await
        .unwrap();
    let before = "
        grant usage on schema gom to importer; grant insert on gom.change to importer;
        create trigger \"watch order s.Order\" after insert on gom.change for each row
          when (new.table_name = 'Order') execute function gom.queue_job('order', 'each');
        comment on trigger \"watch order s.Order\" on gom.change is 'as it was made';
        insert into gom.change (schema_name, table_name, kind, node)
          select 's', 'Fan', 'C', i::text from generate_series(1, 50) i";
    client.batch_execute(before).await.unwrap();
    // Prepared before, and run again after: as a server's or a writer's connection has it.
    let write = "insert into gom.change (schema_name, table_name, kind, node) values ('s', 'Order', 'C', $1)";
    let write = client.prepare(write).await.unwrap();
    client.execute(&write, &[&"before"]).await.unwrap();
    let read = client.prepare(CHANGES).await.unwrap();
    client.query_one(&read, &[]).await.unwrap();
    let position = stamp(&client).await;
    let nonce = "select gom.nonce_of(gom.feed.position) from gom.feed";
    let nonce_before = count(&client, nonce).await;

    let migrate = format!("begin; {}; commit", migration(17));
    client.batch_execute(&migrate).await.unwrap();

    assert_eq!(count(&client, nonce).await, nonce_before);
    assert_eq!(count(&client, UNSTAMPED).await, 0);
    client.execute(&write, &[&"after"]).await.unwrap();
    let changes: i64 = client.query_one(&read, &[]).await.unwrap().get(0);
    assert_eq!(changes, 52);
    assert_eq!(stamp(&client).await, position + 1);
    assert_eq!(
        count(&client, "select max(sequence) from gom.change").await,
        52,
        "sequences go on"
    );
    rotate(&client).await;
    let import = "set role importer; insert into gom.change (schema_name, table_name, kind, node)
        values ('s', 'Order', 'C', 'import')";
    importer.batch_execute(import).await.unwrap();
    assert_eq!(count(&client, "select count(*) from gom.job").await, 3);
    let note = "select obj_description(oid, 'pg_trigger') from pg_trigger where tgrelid = 'gom.change'::regclass
        and not tgisinternal";
    let note: String = client.query_one(note, &[]).await.unwrap().get(0);
    assert_eq!(note, "as it was made");
    // As the previous version trims.
    let trim = "select gom.trim_changes('1 hour', 1, 1000)::bigint";
    assert_eq!(count(&client, trim).await, 51);
    assert_eq!(stamp(&client).await, position + 2);
    assert_eq!(
        count(&client, "select gom.stamp_left_behind(true)").await,
        0
    );
}

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
    let rotation = "select gom.rotate_log(0, '1 hour', 0)";
    let refused = client.query_one(rotation, &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "55P03", "{refused:?}");
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
                match client.query_one(what, &[]).await {
                    Ok(_) => {}
                    // Gives up rather than have writers wait.
                    Err(error) => assert_eq!(error.code().unwrap().code(), "55P03", "{error:?}"),
                }
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
