//! Stampers that meet each other, trimmers, readers and slow writers. Each on a cluster of its own: a transaction anywhere in a
//! cluster keeps gaps from being let go, and would hide what is looked for.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use gom_test_support::{TestCluster, eventually};
use tokio_postgres::Client;

use super::{SCHEMA, UNSTAMPED, count, deploy, stamp};

async fn connect(cluster: &TestCluster) -> Client {
    let client = cluster.connect().await;
    client
        .batch_execute(&format!("set search_path = \"{SCHEMA}\""))
        .await
        .unwrap();
    client
}

async fn own() -> TestCluster {
    let cluster = TestCluster::own().await;
    deploy(&mut cluster.connect().await).await;
    cluster
}

/// `gom.stamp_changes` as V4 made it, without a lock before the row's.
fn stamping_of_v4() -> String {
    let migration = include_str!("../../../migrations/V4__change_log.sql");
    let from = migration
        .find("CREATE FUNCTION gom.stamp_changes()")
        .unwrap();
    let length = migration[from..].find("$$;").unwrap() + "$$;".len();
    migration[from..from + length].replacen("CREATE", "CREATE OR REPLACE", 1)
}

/// Three stampers queue behind somebody who has updated the feed's row. One of them is given its transaction number before the
/// look of the one in front of it, and a writer draws a sequence in between and stays open until both have looked.
async fn stampers_queue(cluster: &TestCluster) {
    let (first, second, third) = (
        connect(cluster).await,
        connect(cluster).await,
        connect(cluster).await,
    );
    let (slow, quick, watching) = (
        connect(cluster).await,
        connect(cluster).await,
        connect(cluster).await,
    );
    let pid = async |client: &Client| -> i32 {
        client
            .query_one("select pg_backend_pid()", &[])
            .await
            .unwrap()
            .get(0)
    };
    let is = async |pid: i32, what: &str| -> bool {
        let query = format!("select exists (select 1 from pg_locks where pid = $1 and ({what}))");
        watching.query_one(&query, &[&pid]).await.unwrap().get(0)
    };
    let (second_pid, third_pid) = (pid(&second).await, pid(&third).await);

    quick
        .batch_execute(r#"insert into "Fan" values ('nobody returns early')"#)
        .await
        .unwrap();
    first
        .batch_execute("begin; update gom.feed set position = position")
        .await
        .unwrap();
    // The first half of a stamp.
    second
        .batch_execute("begin; select gom.lock_stamping()")
        .await
        .unwrap();
    let second = tokio::spawn(async move {
        second
            .batch_execute("select 1 from gom.feed for update")
            .await
            .unwrap();
        second
    });
    eventually("the second one waits", async || {
        is(second_pid, "not granted").await
    })
    .await;
    let third = tokio::spawn(async move { stamp(&third).await });
    eventually("the third one waits", async || {
        is(third_pid, "not granted").await
    })
    .await;
    first.batch_execute("commit").await.unwrap();
    let second = second.await.unwrap();
    let queued = "locktype = 'transactionid' and mode = 'ExclusiveLock' and granted \
                  or locktype = 'advisory' and not granted";
    eventually("the third one is next", async || {
        is(third_pid, queued).await
    })
    .await;
    slow.batch_execute(r#"begin; insert into "Fan" values ('slow')"#)
        .await
        .unwrap();
    quick
        .batch_execute(r#"insert into "Fan" values ('quick')"#)
        .await
        .unwrap();
    second
        .batch_execute("select gom.stamp_changes(); commit")
        .await
        .unwrap();
    third.await.unwrap();
    slow.batch_execute("commit").await.unwrap();
    stamp(&quick).await;
}

#[tokio::test]
async fn a_change_is_stamped_although_three_stampers_queue() {
    let cluster = own().await;
    stampers_queue(&cluster).await;
    assert_eq!(count(&connect(&cluster).await, UNSTAMPED).await, 0);
}

#[tokio::test]
async fn changes_skipped_by_a_previous_version_are_found_and_stamped_late() {
    let cluster = own().await;
    let client = connect(&cluster).await;
    let look =
        async |exact: bool| count(&client, &format!("select gom.stamp_left_behind({exact})")).await;
    assert_eq!((look(false).await, look(true).await), (0, 0));
    client.batch_execute(&stamping_of_v4()).await.unwrap();
    stampers_queue(&cluster).await;
    assert_eq!(
        count(&client, UNSTAMPED).await,
        1,
        "the sequence of steps is the one that loses a change"
    );
    let before = stamp(&client).await;

    // What waits for its turn is not taken for lost, whether it is in a gap or new.
    let open = connect(&cluster).await;
    open.batch_execute(r#"begin; insert into "Fan" values ('open')"#)
        .await
        .unwrap();
    client
        .batch_execute(r#"insert into "Fan" values ('stamped')"#)
        .await
        .unwrap();
    assert_eq!(stamp(&client).await, before + 1);
    open.batch_execute("commit").await.unwrap();
    client
        .batch_execute(r#"insert into "Fan" values ('new')"#)
        .await
        .unwrap();
    assert_eq!(look(false).await, 1);
    let late = "select c.node from gom.stamp s join gom.change c on c.transaction = s.transaction
        and c.sequence between s.first_sequence and s.last_sequence where s.position = $1";
    let row = client.query_one(late, &[&(before + 2)]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "slow", "behind the last position");
    assert_eq!(
        stamp(&client).await,
        before + 4,
        "the other two get theirs as usual"
    );
    assert_eq!(count(&client, UNSTAMPED).await, 0);
    assert_eq!((look(false).await, look(true).await), (0, 0));
    let same = "select (select count(*) from gom.change) - (select total from gom.stamp order by position desc limit 1)";
    assert_eq!(count(&client, same).await, 0);
}

#[tokio::test]
async fn a_partly_skipped_transaction_is_delivered_once() {
    let cluster = own().await;
    let client = connect(&cluster).await;
    client
        .batch_execute(r#"insert into "Fan" select i::text from generate_series(1, 5) i"#)
        .await
        .unwrap();
    stamp(&client).await;
    // Only the one in the middle has a position.
    client
        .batch_execute(
            "update gom.stamp s set first_sequence = first_sequence + 2, last_sequence = last_sequence - 2, changes = 1, total = 1",
        )
        .await
        .unwrap();
    assert_eq!(
        count(&client, "select gom.stamp_left_behind(false)").await,
        4
    );
    let read = "select c.node from gom.stamp s join gom.change c on c.transaction = s.transaction
        and c.sequence between s.first_sequence and s.last_sequence order by s.position, c.sequence";
    let read: Vec<String> = client
        .query(read, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(read, ["3", "1", "2", "4", "5"]);
}

/// Reads the log as the hub does: every change once, or a resync.
struct Reader {
    client: Client,
    place: i64,
    found: HashSet<String>,
    twice: usize,
    resyncs: usize,
}

impl Reader {
    async fn read(&mut self) {
        let query = "select f.position, f.oldest, c.node from gom.feed f left join (gom.stamp s join gom.change c
            on c.transaction = s.transaction and c.sequence between s.first_sequence and s.last_sequence) on s.position > $1";
        let rows = self.client.query(query, &[&self.place]).await.unwrap();
        let (position, oldest): (i64, i64) = (rows[0].get(0), rows[0].get(1));
        if oldest > self.place {
            self.resyncs += 1;
        } else {
            for node in rows
                .iter()
                .filter_map(|row| row.get::<_, Option<String>>(2))
            {
                self.twice += usize::from(!self.found.insert(node));
            }
        }
        self.place = position;
    }
}

/// A number below the bound.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |bound| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % bound
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stampers_trimmers_readers_and_slow_writers_leave_no_change_behind() {
    const ROUNDS: u64 = 10;
    let seed = std::env::var("STAMPING_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos()
    };
    let seed = seed.unwrap_or_else(|| now() as u64);
    println!("STAMPING_SEED={seed}");
    let cluster = own().await;
    let client = connect(&cluster).await;
    let committed = Arc::new(AtomicI64::new(0));
    let mut resyncs = 0;
    for round in 0..ROUNDS {
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        let mut readers = Vec::new();
        for _ in 0..2 {
            let place = stamp(&client).await;
            let mut reader = Reader {
                client: connect(&cluster).await,
                place,
                found: HashSet::new(),
                twice: 0,
                resyncs: 0,
            };
            let over = Arc::clone(&over);
            readers.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    reader.read().await;
                }
                reader
            }));
        }
        for writer in 0..8 {
            let (client, over, committed) = (
                connect(&cluster).await,
                Arc::clone(&over),
                Arc::clone(&committed),
            );
            tasks.push(tokio::spawn(async move {
                let mut below = dice(seed ^ (round << 8 | writer));
                for i in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let end = if below(6) == 0 { "rollback" } else { "commit" };
                    let pause = below(6) as f64 / 1_000.0;
                    let sql = format!(
                        "begin; insert into \"Fan\" values ('{round}-{writer}-{i}'); select pg_sleep({pause}); {end}"
                    );
                    client.batch_execute(&sql).await.unwrap();
                    committed.fetch_add(i64::from(end == "commit"), Ordering::Relaxed);
                }
            }));
        }
        for _ in 0..4 {
            let (client, over) = (connect(&cluster).await, Arc::clone(&over));
            tasks.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    stamp(&client).await;
                }
            }));
        }
        // They hold the feed's row while they delete.
        for _ in 0..2 {
            let (client, over) = (connect(&cluster).await, Arc::clone(&over));
            tasks.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    client
                        .execute("select gom.trim_changes('1 hour', 40, 50)", &[])
                        .await
                        .unwrap();
                }
            }));
        }
        let open = connect(&cluster).await;
        if round % 2 == 0 {
            open.batch_execute("begin; insert into \"Shop\" values ('open'); ")
                .await
                .unwrap();
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        if round % 2 == 0 {
            open.batch_execute("rollback").await.unwrap();
        }
        let position = stamp(&client).await;
        assert_eq!(count(&client, UNSTAMPED).await, 0, "round {round}");
        assert_eq!(
            position,
            committed.load(Ordering::Relaxed),
            "round {round}: one position for each transaction"
        );
        assert_eq!(
            count(&client, "select gom.stamp_left_behind(true)").await,
            0,
            "round {round}"
        );
        let fans = format!("select count(*) from \"Fan\" where id like '{round}-%'");
        let written = count(&client, &fans).await;
        for reader in readers {
            let mut reader = reader.await.unwrap();
            reader.read().await;
            assert_eq!(reader.twice, 0, "round {round}");
            let found = i64::try_from(reader.found.len()).unwrap();
            assert!(
                found == written || reader.resyncs > 0 && found < written,
                "round {round}: {found} of {written}"
            );
            resyncs += reader.resyncs;
        }
    }
    let written = committed.load(Ordering::Relaxed);
    println!("{written} transactions, {resyncs} resyncs");
    assert!(written > 100, "{written} transactions");
    eventually(
        "gaps of rolled back transactions are given up",
        async || {
            stamp(&client).await;
            count(
                &client,
                "select cardinality(gap_from)::bigint from gom.feed",
            )
            .await
                == 0
        },
    )
    .await;
}
