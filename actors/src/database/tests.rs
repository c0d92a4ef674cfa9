//! The two actors die and are rebuilt. Here because only here they can be made to panic.

use actix::{Handler, Message};
use gom_engine::plan::{Expect, Step};
use gom_test_support::TestDatabase;

use super::*;
use gom_runtime::supervision::Context;

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

impl Handler<Panic> for Connection {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("on purpose");
    }
}

impl Handler<Panic> for DatabaseSupervisor {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("on purpose");
    }
}

fn statement(sql: &str) -> Statement {
    Statement {
        sql: sql.to_owned(),
        params: Vec::new(),
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn served(test: &TestDatabase) -> LocalDatabase {
    let mut options = DatabaseOptions::new(test.config());
    options.workers = 1;
    let database = Database::start(options).unwrap();
    database.ready(later()).await.unwrap();
    database.local()
}

#[actix::test]
async fn a_connection_that_panics_is_restarted_and_what_it_had_in_flight_ends_well() {
    let test = TestDatabase::create().await;
    let client = test.connect().await;
    client
        .batch_execute("create table t(id int)")
        .await
        .unwrap();
    client.batch_execute("begin; lock table t").await.unwrap();
    let database = served(&test).await;
    let steps = ["insert into t values (1)", "insert into t values (2)"].map(|sql| Step::Run {
        statement: statement(sql),
        fills: Vec::new(),
        expect: Expect::Anything,
    });
    let program = Program {
        steps: steps.into(),
        registers: 1,
    };
    let write = {
        let database = database.clone();
        actix::spawn(async move { database.transact(program, later()).await })
    };
    let waits = "select count(*)::text from pg_stat_activity \
                 where datname = current_database() and wait_event_type = 'Lock'";
    let patience = later();
    while database
        .read(statement(waits), later())
        .await
        .unwrap()
        .unwrap()
        .as_str()
        != "1"
    {
        assert!(
            Instant::now() < patience,
            "the write never waits for the lock"
        );
    }

    let old = database.connection.get().unwrap();
    old.send(Panic).await.unwrap_err();
    client.batch_execute("commit").await.unwrap();
    // Each request is a task of its own, so this one did not die with the actor.
    write.await.unwrap().unwrap();
    while !database.connection.wait().await.unwrap().connected() {
        tokio::task::yield_now().await;
    }
    let count = database
        .read(statement("select count(*)::text from t"), later())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(count.as_str(), "2");
    assert_eq!(
        database.restarts(),
        Restarts {
            panicked: 1,
            stopped: 0
        }
    );
    assert!(!old.connected());
}

#[actix::test]
async fn a_supervisor_that_panics_is_rebuilt_and_nobody_else_notices() {
    let test = TestDatabase::create().await;
    let database = served(&test).await;
    let process = database.database().clone();
    let before = process.health().await;
    process
        .supervisor
        .get()
        .unwrap()
        .send(Panic)
        .await
        .unwrap_err();
    let read = async || {
        database
            .read(statement("select 'x'"), later())
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(read().await.as_str(), "x");
    process.supervisor.wait().await.unwrap();
    let patience = later();
    while process.health().await.last_success == before.last_success {
        assert!(Instant::now() < patience, "it never looks again");
        assert_eq!(read().await.as_str(), "x");
    }
    let after = process.health().await;
    assert_eq!(
        (after.state, after.generation),
        (DatabaseState::Ready, before.generation)
    );
    assert_eq!(
        process.supervisor_restarts(),
        Restarts {
            panicked: 1,
            stopped: 0
        }
    );
}

#[actix::test]
async fn a_statement_whose_tables_or_functions_are_missing_is_reported_apart_from_other_refusals() {
    let test = TestDatabase::create().await;
    let database = Database::start(DatabaseOptions::new(test.config())).unwrap();
    let connection = DedicatedConnection::new(&database, None);
    for missing in ["select no_function()", "select from no_table"] {
        let found = connection.rows_unless_missing(&statement(missing)).await;
        assert!(matches!(found, Ok(Err(_))), "{missing}: {found:?}");
    }
    let refused = connection
        .rows_unless_missing(&statement("select 1 / 0"))
        .await;
    assert!(
        matches!(refused, Err(StatementError::Rejected(_))),
        "{refused:?}"
    );
    let found = connection.rows_unless_missing(&statement("select 1")).await;
    assert_eq!(found.unwrap().unwrap().len(), 1);
}
