//! The server is taken away under a load of reads and writes. Whatever happens: no answer after the deadline,
//! no wrong answer, no committed write called failed, and service again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use gom_actors::database::{LocalDatabase, RunError};
use gom_engine::plan::{ANSWER, Expect, Program};
use gom_test_support::{TestCluster, eventually};
use tokio::time::Instant;

use crate::{no, program, run, served, statement, value};

const DEADLINE: Duration = Duration::from_millis(1000);
/// What a loaded test machine may add.
const GRACE: Duration = Duration::from_secs(3);
const RECOVERY: Duration = Duration::from_secs(10);

/// What the load has seen.
#[derive(Default)]
struct Seen {
    next: Cell<u32>,
    written: RefCell<BTreeSet<u32>>,
    failed: RefCell<BTreeSet<u32>>,
    unknown: RefCell<BTreeSet<u32>>,
    reads: Cell<u32>,
    writes: Cell<u32>,
    refused: Cell<u32>,
    last_read: Cell<Option<Instant>>,
    last_write: Cell<Option<Instant>>,
    stopped: Cell<bool>,
}

struct Load {
    seen: Rc<Seen>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Four writers and four readers, each sending again as soon as it is answered.
    fn start(database: &LocalDatabase) -> Load {
        let seen = Rc::new(Seen::default());
        let mut tasks = Vec::new();
        for _ in 0..4 {
            tasks.push(actix::spawn(write_on(database.clone(), Rc::clone(&seen))));
            tasks.push(actix::spawn(read_on(database.clone(), Rc::clone(&seen))));
        }
        Load { seen, tasks }
    }

    /// Waits until reads and writes have succeeded again after this moment.
    async fn serves_again(&self) {
        let returned = Instant::now();
        let after = |last: &Cell<Option<Instant>>| last.get().is_some_and(|last| last > returned);
        while !(after(&self.seen.last_read) && after(&self.seen.last_write)) {
            assert!(
                returned.elapsed() < RECOVERY,
                "no service {RECOVERY:?} after the return"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn goes_wrong(&self) {
        let before = self.seen.refused.get();
        eventually("calls are refused", async || {
            self.seen.refused.get() >= before + 8
        })
        .await;
    }

    /// Ends the load and compares the reported outcomes with the rows in the database.
    async fn compare(self, cluster: &TestCluster) -> Rc<Seen> {
        self.seen.stopped.set(true);
        for task in self.tasks {
            task.await.expect("no answer was wrong or late");
        }
        let client = cluster.connect().await;
        let count = async |table: &str| -> BTreeSet<u32> {
            let rows = client
                .query(&format!("select id from {table}"), &[])
                .await
                .unwrap();
            rows.iter()
                .map(|row| u32::try_from(row.get::<_, i32>(0)).unwrap())
                .collect()
        };
        let (there, pairs) = (count("t").await, count("pairs").await);
        let (written, failed) = (self.seen.written.borrow(), self.seen.failed.borrow());
        assert_eq!(
            written.difference(&there).count(),
            0,
            "reported as written and not there"
        );
        assert_eq!(
            failed.intersection(&there).count(),
            0,
            "reported as failed and there"
        );
        let odd: BTreeSet<u32> = there.iter().filter(|id| *id % 2 == 1).copied().collect();
        assert_eq!(pairs, odd, "transactions are whole");
        let unknown = self.seen.unknown.borrow().len();
        println!(
            "{} reads, {} writes, {} refused, {unknown} of unknown outcome",
            self.seen.reads.get(),
            written.len(),
            self.seen.refused.get()
        );
        Rc::clone(&self.seen)
    }
}

/// Even ids: one statement by itself. Odd ids: a transaction over two tables.
fn writing(id: u32) -> Program {
    let expect = || Expect::Some(no("not inserted"));
    let insert = |table: &str, expect| {
        let sql = format!("insert into {table} values ($1::int) returning id::text");
        run(&sql, vec![value(&id.to_string())], &[ANSWER.0], expect)
    };
    match id % 2 {
        0 => program(1, vec![insert("t", Expect::Anything)]),
        _ => program(1, vec![insert("t", expect()), insert("pairs", expect())]),
    }
}

async fn write_on(database: LocalDatabase, seen: Rc<Seen>) {
    while !seen.stopped.get() {
        let own = seen.next.get();
        seen.next.set(own + 1);
        let started = Instant::now();
        let answer = database.transact(writing(own), started + DEADLINE).await;
        assert!(
            started.elapsed() < DEADLINE + GRACE,
            "an answer after {:?}",
            started.elapsed()
        );
        match answer {
            Ok(answer) => {
                assert_eq!(answer.unwrap().as_str(), own.to_string());
                seen.written.borrow_mut().insert(own);
                seen.writes.set(seen.writes.get() + 1);
                seen.last_write.set(Some(started));
            }
            Err(RunError::OutcomeUnknown) => {
                seen.unknown.borrow_mut().insert(own);
                refused(&seen).await;
            }
            Err(error) => {
                assert_is_absence(&error);
                seen.failed.borrow_mut().insert(own);
                refused(&seen).await;
            }
        }
    }
}

async fn read_on(database: LocalDatabase, seen: Rc<Seen>) {
    let mut number = 0u32;
    while !seen.stopped.get() {
        number += 1;
        let started = Instant::now();
        let sql = statement("select $1 || '!'", &[&number.to_string()]);
        let answer = if number.is_multiple_of(4) {
            database.read_long(sql, started + DEADLINE).await
        } else {
            database.read(sql, started + DEADLINE).await
        };
        assert!(
            started.elapsed() < DEADLINE + GRACE,
            "an answer after {:?}",
            started.elapsed()
        );
        match answer {
            Ok(answer) => {
                assert_eq!(answer.unwrap().as_str(), format!("{number}!"));
                seen.reads.set(seen.reads.get() + 1);
                seen.last_read.set(Some(started));
            }
            Err(error) => {
                assert_is_absence(&error);
                refused(&seen).await;
            }
        }
    }
}

fn assert_is_absence(error: &RunError) {
    let absence = matches!(
        error,
        RunError::Unavailable { .. } | RunError::Deadline | RunError::Overloaded { .. }
    );
    assert!(absence, "{error:?}");
}

async fn refused(seen: &Seen) {
    seen.refused.set(seen.refused.get() + 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
}

async fn under_load() -> (TestCluster, Load) {
    let cluster = TestCluster::own().await;
    let tables = "create table t(id int primary key); create table pairs(id int primary key)";
    cluster.connect().await.batch_execute(tables).await.unwrap();
    let database = served(cluster.config(), |_| {}).await;
    let load = Load::start(&database);
    load.serves_again().await;
    (cluster, load)
}

#[actix::test]
async fn stopped_and_started_again() {
    let (mut cluster, load) = under_load().await;
    cluster.stop().await;
    load.goes_wrong().await;
    cluster.start().await;
    load.serves_again().await;
    let seen = load.compare(&cluster).await;
    assert!(seen.refused.get() > 0);
}

#[actix::test]
async fn killed_and_recovered() {
    let (cluster, load) = under_load().await;
    for _ in 0..2 {
        let killed = cluster.kill();
        load.goes_wrong().await;
        cluster.recovered(killed).await;
        load.serves_again().await;
    }
    load.compare(&cluster).await;
}

#[actix::test]
async fn frozen_and_thawed() {
    let (cluster, load) = under_load().await;
    cluster.freeze();
    // Long enough for the supervisor to see it, and for requests to run into their deadlines.
    load.goes_wrong().await;
    tokio::time::sleep(3 * DEADLINE).await;
    cluster.thaw();
    load.serves_again().await;
    load.compare(&cluster).await;
}

#[actix::test]
async fn its_connections_terminated_again_and_again() {
    let (cluster, load) = under_load().await;
    let client = cluster.connect().await;
    for _ in 0..20 {
        let terminate = "select pg_terminate_backend(pid) from pg_stat_activity \
                         where application_name = 'gom' and pid <> pg_backend_pid()";
        client.batch_execute(terminate).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.serves_again().await;
    let seen = load.compare(&cluster).await;
    assert!(seen.writes.get() > 0);
}
