use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gom_actors::database::{Asker, Behalf, RunError};
use gom_engine::plan::{ANSWER, Expect};
use gom_test_support::{TestDatabase, eventually};

use crate::{ask, later, program, run, served, statement, text, within};

/// What others of this database are doing.
const ACTIVE: &str = "select count(*)::text from pg_stat_activity where datname = current_database() \
                      and state = 'active' and query like '%pg_sleep%' and pid <> pg_backend_pid()";

#[actix::test]
async fn parameters_are_text_of_whatever_type_the_statement_says() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |_| {}).await;
    let sql =
        "select json_build_array($1::int, $2::timestamp, $3::text, $4::int[], $5::json)::text";
    let params = ["7", "2020-02-03 04:05:06", "it's", "{1,2}", "{\"a\":1}"];
    let answer = database.read(statement(sql, &params), later()).await;
    assert_eq!(
        text(answer).unwrap(),
        r#"[7, "2020-02-03T04:05:06", "it's", [1,2], {"a":1}]"#
    );
    assert_eq!(
        text(
            database
                .read(statement("select null::text", &[]), later())
                .await
        ),
        None
    );
    assert_eq!(
        text(
            database
                .read(statement("select 'x' where false", &[]), later())
                .await
        ),
        None
    );

    let error = database
        .read(statement("select $1::int::text", &["x"]), later())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Rejected(report) if report.sqlstate == "22P02"));
    let error = database
        .read(statement("select $1::int::text", &["1", "2"]), later())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Fault(_)), "{error:?}");
    let error = database
        .read(statement("select 1", &[]), later())
        .await
        .unwrap_err();
    assert!(
        matches!(error, RunError::Fault(_)),
        "a column that is not text: {error:?}"
    );
}

#[actix::test]
async fn the_session_is_as_the_statements_need_it_and_shared_clients_write_nothing() {
    let test = TestDatabase::create().await;
    let client = test.connect().await;
    client
        .batch_execute("create table t(a text)")
        .await
        .unwrap();
    let database = served(test.config(), |_| {}).await;
    let settings = "select concat_ws(' ', current_setting('statement_timeout'), current_setting('jit'), \
                    current_setting('TimeZone'), current_setting('application_name'), \
                    current_setting('default_transaction_isolation'))";
    assert_eq!(
        ask(&database, settings).await,
        "5s off UTC gom read committed"
    );
    let error = database
        .read(
            statement("insert into t values ('x') returning a", &[]),
            later(),
        )
        .await;
    assert!(
        matches!(error, Err(RunError::Unavailable { .. })),
        "{error:?}"
    );
}

#[actix::test]
async fn many_reads_share_a_client_and_prepare_once() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |options| options.shared_per_worker = 1).await;
    let read = |number: usize| {
        database.read(
            statement("select $1 || '!'", &[&number.to_string()]),
            later(),
        )
    };
    let answers = join_all((0..500).map(read)).await;
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(text(answer).unwrap(), format!("{number}!"));
    }
    let prepared =
        "select count(*)::text from pg_prepared_statements where statement like 'select $1%'";
    assert_eq!(ask(&database, prepared).await, "1");
}

#[actix::test]
async fn the_statement_cache_is_bounded_on_both_sides() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |options| {
        (options.shared_per_worker, options.statement_cache) = (1, 16);
    })
    .await;
    for number in 0..100 {
        assert_eq!(
            ask(&database, &format!("select '{number}'")).await,
            number.to_string()
        );
    }
    let kept: usize = ask(
        &database,
        "select count(*)::text from pg_prepared_statements",
    )
    .await
    .parse()
    .unwrap();
    assert!(kept <= 17, "{kept} statements are prepared");
}

#[actix::test]
async fn statements_survive_changes_of_the_tables() {
    let test = TestDatabase::create().await;
    let client = test.connect().await;
    client
        .batch_execute("create table t(id int, body text); insert into t values (1, 'a')")
        .await
        .unwrap();
    let database = served(test.config(), |options| options.leased_per_worker = 1).await;
    let by_id = || statement("select body from t where id = $1", &["1"]);
    let touch = "update t set body = body where id = $1 returning body";
    let touch = || {
        program(
            1,
            vec![
                run(
                    touch,
                    vec![crate::value("1")],
                    &[ANSWER.0],
                    Expect::Anything,
                ),
                run("select 1", vec![], &[], Expect::Anything),
            ],
        )
    };
    for change in [
        "select 1",
        // "cached plan must not change result type"
        "alter table t alter body type varchar(20)",
        // "operator does not exist: text = integer"
        "alter table t alter id type text",
        "alter table t add column more int",
        "drop table t; create table t(id bigint, body text); insert into t values (1, 'a')",
    ] {
        client.batch_execute(change).await.unwrap();
        for _ in 0..3 {
            assert_eq!(
                text(database.read(by_id(), later()).await).unwrap(),
                "a",
                "after {change}"
            );
            assert_eq!(
                text(database.read_long(by_id(), later()).await).unwrap(),
                "a",
                "after {change}"
            );
            assert_eq!(
                text(database.transact(touch(), later()).await).unwrap(),
                "a",
                "after {change}"
            );
        }
    }
}

#[actix::test]
async fn a_long_read_whose_requester_goes_away_is_cancelled_and_its_neighbours_are_not() {
    let test = TestDatabase::create().await;
    let client = test.connect().await;
    client
        .batch_execute("select pg_advisory_lock(1)")
        .await
        .unwrap();
    let database = served(test.config(), |_| {}).await;
    let neighbour = {
        let database = database.clone();
        let sql = "select 'unharmed' from pg_advisory_lock(1)";
        actix::spawn(async move { database.read_long(statement(sql, &[]), later()).await })
    };
    let gone = {
        let database = database.clone();
        actix::spawn(async move {
            database
                .read_long(statement("select 'x' from pg_sleep(60)", &[]), later())
                .await
        })
    };
    eventually("it runs", async || ask(&database, ACTIVE).await == "1").await;
    gone.abort();
    eventually("it is cancelled", async || {
        ask(&database, ACTIVE).await == "0"
    })
    .await;
    client
        .batch_execute("select pg_advisory_unlock(1)")
        .await
        .unwrap();
    assert_eq!(text(neighbour.await.unwrap()).unwrap(), "unharmed");
}

#[actix::test]
async fn the_deadline_cancels_a_long_read_and_leaves_a_shared_one() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |options| options.shared_per_worker = 1).await;
    let sleep = |seconds: &str| statement("select 'x' from pg_sleep($1::float)", &[seconds]);
    assert_eq!(
        database
            .read_long(sleep("60"), within(100))
            .await
            .unwrap_err(),
        RunError::Deadline
    );
    eventually("it is cancelled", async || {
        ask(&database, ACTIVE).await == "0"
    })
    .await;

    let short = database.read(
        statement("select 'y' from pg_sleep(0.3::float)", &[]),
        within(50),
    );
    assert_eq!(short.await.unwrap_err(), RunError::Deadline);
    assert_eq!(
        ask(&database, "select 'next'").await,
        "next",
        "the shared client was replaced"
    );
}

#[actix::test]
async fn a_slow_statement_gets_a_leased_client() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |options| {
        options.slow_read = Duration::from_millis(500)
    })
    .await;
    // Only the shared clients are read-only.
    let sql = "select current_setting('default_transaction_read_only') from pg_sleep($1::float)";
    let run = async |seconds: &str| {
        text(database.read(statement(sql, &[seconds]), later()).await).unwrap()
    };
    assert_eq!(run("0").await, "on");
    assert_eq!(run("0.6").await, "on");
    assert_eq!(run("0.6").await, "on", "once may have been the machine");
    assert_eq!(run("0").await, "off");
    assert_eq!(
        run("0").await,
        "on",
        "and has shown that it has become fast"
    );
}

#[actix::test]
async fn waiting_for_a_leased_client_is_bounded() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |options| {
        (options.leased_per_worker, options.max_waiting) = (1, 1);
    })
    .await;
    let sleep = || {
        let database = database.clone();
        actix::spawn(async move {
            database
                .read_long(statement("select 'x' from pg_sleep(60)", &[]), later())
                .await
        })
    };
    let first = sleep();
    eventually("it runs", async || ask(&database, ACTIVE).await == "1").await;
    let second = sleep();
    tokio::task::yield_now().await;
    let third = database
        .read_long(statement("select 'x'", &[]), later())
        .await
        .unwrap_err();
    assert!(
        matches!(third, RunError::Overloaded { retry_after } if retry_after >= Duration::from_secs(1))
    );
    second.abort();
    first.abort();
    assert_eq!(
        text(
            database
                .read_long(statement("select 'x'", &[]), later())
                .await
        )
        .unwrap(),
        "x"
    );
}

/// Somebody who holds nothing else.
fn named(name: &str) -> Option<Behalf> {
    Some(Behalf::of(Asker::named(name), Arc::new(())))
}

#[actix::test]
async fn what_a_read_reserves_is_held_until_the_read_ends() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |options| {
        options.slow_read = Duration::from_secs(30)
    })
    .await;
    let kept = Arc::new(());
    let mine = database.on_behalf_of(Some(Behalf::of(Asker::named("ana"), kept.clone())));
    // It runs until this test lets it go on.
    let holder = test.connect().await;
    holder
        .execute("select pg_advisory_lock(7)", &[])
        .await
        .unwrap();
    let reading = actix::spawn(async move {
        let held = "select 'x' from pg_sleep(0), pg_advisory_xact_lock(7)";
        mine.read(statement(held, &[]), later()).await
    });
    eventually("it runs", async || ask(&database, ACTIVE).await == "1").await;
    reading.abort();
    // It cannot be cancelled, for others may be behind it.
    assert!(Arc::strong_count(&kept) > 1);
    holder
        .execute("select pg_advisory_unlock(7)", &[])
        .await
        .unwrap();
    eventually("it has ended", async || Arc::strong_count(&kept) == 1).await;
    assert_eq!(ask(&database, ACTIVE).await, "0");
}

#[actix::test]
async fn one_users_slow_reads_leave_a_shared_client_to_others() {
    let test = TestDatabase::create().await;
    // However slow a read, it needs no client of its own.
    let database = served(test.config(), |options| {
        options.slow_read = Duration::from_secs(30)
    })
    .await;
    let slow = database.on_behalf_of(named("ana"));
    let attack = actix::spawn(async move {
        // Each is new, so that nothing is known of it.
        let texts: Vec<String> = (0..10)
            .map(|n| format!("select '{n}' from pg_sleep(4)"))
            .collect();
        join_all(
            texts
                .iter()
                .map(|sql| slow.read(statement(sql, &[]), later())),
        )
        .await
    });
    eventually("they run", async || ask(&database, ACTIVE).await == "1").await;
    for _ in 0..20 {
        let other = database.on_behalf_of(named("eva"));
        assert_eq!(ask(&other, "select 'x'").await, "x");
    }
    assert_eq!(
        ask(&database, ACTIVE).await,
        "1",
        "nobody has waited for the end of the first"
    );
    attack.abort();
}

#[actix::test]
async fn one_users_long_reads_and_writes_leave_half_of_the_leased_clients_to_others() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |_| {}).await;
    let slow = database.on_behalf_of(named("ana"));
    let attack = actix::spawn(async move {
        let read = || slow.read_long(statement("select 'x' from pg_sleep(4)", &[]), later());
        let sleep = || run("select 1 from pg_sleep(4)", vec![], &[], Expect::Anything);
        let write = || slow.transact(program(1, vec![sleep(), sleep()]), later());
        tokio::join!(
            join_all((0..10).map(|_| read())),
            join_all((0..10).map(|_| write()))
        )
    });
    eventually("they run", async || ask(&database, ACTIVE).await == "4").await;
    let other = database.on_behalf_of(named("eva"));
    let long = || other.read_long(statement("select 'x'", &[]), later());
    for answer in join_all((0..20).map(|_| long())).await {
        assert_eq!(text(answer).unwrap(), "x");
    }
    assert_eq!(
        ask(&database, ACTIVE).await,
        "4",
        "four of eight, and nobody has waited for their end"
    );
    attack.abort();
}

#[actix::test]
async fn too_many_requests_in_flight_are_refused() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |options| options.max_in_flight = 10).await;
    let sleep = |_| database.read(statement("select 'x' from pg_sleep(0.02)", &[]), later());
    let answers = join_all((0..100).map(sleep)).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!done.is_empty() && !refused.is_empty());
    assert!(
        refused
            .iter()
            .all(|answer| matches!(answer, Err(RunError::Overloaded { .. }))),
        "{refused:?}"
    );
}

#[actix::test]
async fn a_read_whose_deadline_has_passed_is_not_sent() {
    let test = TestDatabase::create().await;
    let database = served(test.config(), |options| options.shared_per_worker = 1).await;
    let process = "select pg_backend_pid()::text";
    let before = ask(&database, process).await;
    let late = database.read(statement(process, &[]), within(0)).await;
    assert!(matches!(late, Err(RunError::Deadline)), "{late:?}");
    assert_eq!(
        ask(&database, process).await,
        before,
        "the client was not given up"
    );
}
