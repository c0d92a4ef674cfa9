use gom_actors::database::{LocalDatabase, RunError};
use gom_engine::plan::{ANSWER, Expect, Param, Register, Step, register_mark};
use gom_test_support::{TestDatabase, eventually};
use tokio_postgres::Client;

use crate::proxy::holding_back;
use crate::{ask, later, no, program, run, served, text, value, within};

pub const INSERT: &str =
    "insert into notes(id, body) values ($1::int, $2) returning id::text, body";
pub const ALL: &str = "select string_agg(id || body, ' ' order by seq) from notes";
const NOTES: &str = "create table notes(seq serial, id int constraint notes_id unique, body text)";

pub async fn notes() -> (TestDatabase, Client, LocalDatabase) {
    let test = TestDatabase::create().await;
    let client = test.connect().await;
    client.batch_execute(NOTES).await.unwrap();
    let database = served(test.config(), |_| {}).await;
    (test, client, database)
}

pub fn insert(id: &str, body: &str, expect: Expect) -> Step {
    run(INSERT, vec![value(id), value(body)], &[], expect)
}

#[actix::test]
async fn registers_pass_values_and_choose_branches() {
    let (_test, _client, database) = notes().await;
    let update = "update notes set body = $1 where id = $2::int";
    let handed_on = vec![Param::Register(Register(2)), Param::Register(Register(3))];
    let answer = database
        .transact(
            program(
                5,
                vec![
                    run(
                        INSERT,
                        vec![value("1"), value("one")],
                        &[1, 2],
                        Expect::Anything,
                    ),
                    run(
                        INSERT,
                        vec![value("2"), Param::Null],
                        &[3, 4],
                        Expect::Some(no("not inserted")),
                    ),
                    Step::Choose {
                        register: Register(3),
                        then: vec![run(update, handed_on, &[], Expect::Some(no("gone")))],
                        otherwise: vec![run("select 1/0", vec![], &[], Expect::Anything)],
                    },
                    Step::Choose {
                        register: Register(4),
                        then: vec![run("select 1/0", vec![], &[], Expect::Anything)],
                        otherwise: vec![insert("3", "three", Expect::Anything)],
                    },
                    run(ALL, vec![], &[ANSWER.0], Expect::Anything),
                ],
            ),
            later(),
        )
        .await;
    assert_eq!(text(answer).unwrap(), "1one 2one 3three");
}

#[actix::test]
async fn an_unmet_expectation_rolls_everything_back() {
    let (_test, _client, database) = notes().await;
    let none = |expect| run("select null::text where false", vec![], &[], expect);
    let one = |expect| run("select 'x', null::text", vec![], &[], expect);
    for step in [
        none(Expect::Some(no("wanted"))),
        none(Expect::Found(no("wanted"))),
        none(Expect::Awaited(no("wanted"))),
        one(Expect::None(no("wanted"))),
        one(Expect::Filled(vec![
            (0, *no("not this")),
            (1, *no("wanted")),
        ])),
        none(Expect::Filled(vec![(0, *no("wanted"))])),
    ] {
        let steps = vec![
            insert("1", "a", Expect::Anything),
            step,
            insert("2", "b", Expect::Anything),
        ];
        let error = database
            .transact(program(1, steps), later())
            .await
            .unwrap_err();
        assert_eq!(error, RunError::Unmet(no("wanted")));
        assert_eq!(
            ask(&database, "select count(*)::text from notes").await,
            "0"
        );
    }
}

#[actix::test]
async fn the_first_failure_decides_and_the_client_is_usable_afterwards() {
    let (_test, _client, database) = notes().await;
    let twice = vec![
        insert("1", "a", Expect::Anything),
        insert("1", "b", Expect::Anything),
        run("select 1/0", vec![], &[], Expect::Some(no("later"))),
    ];
    for _ in 0..3 {
        let error = database
            .transact(program(1, twice.clone()), later())
            .await
            .unwrap_err();
        let RunError::Rejected(report) = error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (report.sqlstate.as_str(), report.constraint.as_deref()),
            ("23505", Some("notes_id"))
        );
        assert_eq!(report.table.as_deref(), Some("notes"));
    }
    assert_eq!(
        ask(&database, "select count(*)::text from notes").await,
        "0"
    );
    let steps = vec![
        insert("1", "a", Expect::Anything),
        insert("2", "b", Expect::Anything),
    ];
    assert_eq!(
        text(database.transact(program(1, steps), later()).await),
        None
    );
    assert_eq!(ask(&database, ALL).await, "1a 2b");
}

#[actix::test]
async fn a_failure_that_only_the_commit_finds_is_a_refusal() {
    let (_test, client, database) = notes().await;
    client
        .batch_execute(
            "create table deferred(id int constraint twice unique deferrable initially deferred)",
        )
        .await
        .unwrap();
    let insert = || {
        run(
            "insert into deferred values (1)",
            vec![],
            &[],
            Expect::Anything,
        )
    };
    for steps in [
        vec![insert(), insert()],
        vec![run(
            "insert into deferred values (1), (1)",
            vec![],
            &[],
            Expect::Anything,
        )],
    ] {
        let error = database
            .transact(program(1, steps), later())
            .await
            .unwrap_err();
        let RunError::Rejected(report) = error else {
            panic!("{error:?}")
        };
        assert_eq!(report.constraint.as_deref(), Some("twice"));
    }
    assert_eq!(
        ask(&database, "select count(*)::text from deferred").await,
        "0"
    );
}

#[actix::test]
async fn a_message_names_what_a_register_holds() {
    let (_test, _client, database) = notes().await;
    let error = no(&format!("no note after {}", register_mark(Register(1))));
    let steps = vec![
        run(INSERT, vec![value("7"), value("a")], &[1], Expect::Anything),
        run("select 1 where false", vec![], &[], Expect::Some(error)),
    ];
    let error = database
        .transact(program(2, steps), later())
        .await
        .unwrap_err();
    assert_eq!(error, RunError::Unmet(no("no note after 7")));
}

#[actix::test]
async fn a_statement_alone_answers_and_is_checked_too() {
    let (_test, _client, database) = notes().await;
    let put = run(
        INSERT,
        vec![value("1"), value("a")],
        &[1, ANSWER.0],
        Expect::Anything,
    );
    assert_eq!(
        text(database.transact(program(2, vec![put]), later()).await).unwrap(),
        "a"
    );
    let update = "update notes set body = $1 where id = $2::int returning body";
    let found = |id| {
        run(
            update,
            vec![value("z"), value(id)],
            &[ANSWER.0],
            Expect::Found(no("none")),
        )
    };
    assert_eq!(
        text(
            database
                .transact(program(1, vec![found("1")]), later())
                .await
        )
        .unwrap(),
        "z"
    );
    let error = database
        .transact(program(1, vec![found("2")]), later())
        .await
        .unwrap_err();
    assert_eq!(error, RunError::Unmet(no("none")));
    let error = database
        .transact(program(1, vec![found("x")]), later())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Rejected(report) if report.sqlstate == "22P02"));
}

#[actix::test]
async fn statements_are_sent_in_order_without_waiting_for_answers() {
    let (test, _client, database) = notes().await;
    // Prepares on the way what the next program uses.
    let through = holding_back(&test.config(), "begin-here", "end-here").await;
    let slowed = served(through, |options| options.leased_per_worker = 1).await;
    slowed
        .transact(
            program(
                1,
                vec![
                    insert("1", "a", Expect::Anything),
                    insert("2", "b", Expect::Anything),
                ],
            ),
            later(),
        )
        .await
        .unwrap();

    let expect = || Expect::Some(no("not inserted"));
    let mut steps = vec![insert("3", "begin-here", expect())];
    steps.extend((4..20).map(|id| insert(&id.to_string(), "c", expect())));
    steps.push(insert("20", "end-here", expect()));
    slowed
        .transact(program(1, steps), within(10_000))
        .await
        .expect("sent without waiting");
    let order = ask(
        &database,
        "select string_agg(id::text, ' ' order by seq) from notes",
    )
    .await;
    let expected: Vec<String> = (1..=20).map(|id| id.to_string()).collect();
    assert_eq!(order, expected.join(" "));
}

#[actix::test]
async fn a_program_goes_on_when_its_requester_goes_away() {
    let (_test, client, database) = notes().await;
    client
        .batch_execute("begin; lock table notes")
        .await
        .unwrap();
    let steps = vec![
        insert("1", "a", Expect::Anything),
        insert("2", "b", Expect::Anything),
    ];
    let given_up = {
        let database = database.clone();
        actix::spawn(async move { database.transact(program(1, steps), later()).await })
    };
    let waiting = "select (count(*) > 0)::text from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock'";
    eventually("it waits", async || ask(&database, waiting).await == "true").await;
    given_up.abort();
    client.batch_execute("commit").await.unwrap();
    eventually("it is written", async || {
        ask(&database, "select count(*)::text from notes").await == "2"
    })
    .await;
}

#[actix::test]
async fn the_deadline_ends_a_program_before_its_commit() {
    let (_test, client, database) = notes().await;
    client
        .batch_execute("insert into notes(id, body) values (1, 'a')")
        .await
        .unwrap();
    client
        .batch_execute("begin; update notes set body = 'held'")
        .await
        .unwrap();
    let update = || {
        run(
            "update notes set body = 'late'",
            vec![],
            &[],
            Expect::Anything,
        )
    };
    for steps in [vec![update()], vec![update(), update()]] {
        // The answer to the cancelled statement may come too late on a busy machine; then the outcome is unknown.
        let mut error = RunError::OutcomeUnknown;
        for _ in 0..5 {
            if error == RunError::OutcomeUnknown {
                error = database
                    .transact(program(1, steps.clone()), within(1000))
                    .await
                    .unwrap_err();
            }
        }
        assert_eq!(error, RunError::Deadline);
    }
    client.batch_execute("commit").await.unwrap();
    let steps = vec![insert("2", "b", Expect::Anything)];
    database.transact(program(1, steps), later()).await.unwrap();
    assert_eq!(ask(&database, ALL).await, "1held 2b");
}

#[actix::test]
async fn nothing_is_sent_behind_a_statement_that_is_awaited_and_does_not_hold() {
    let test = TestDatabase::create().await;
    let other = test.connect().await;
    other
        .batch_execute("create table t(id int); insert into t values (1)")
        .await
        .unwrap();
    other
        .batch_execute("begin; select from t for update")
        .await
        .unwrap();
    let database = served(test.config(), |_| {}).await;
    let waits = run("update t set id = 2", vec![], &[], Expect::Anything);
    let first = run(
        "select 1 where false",
        vec![],
        &[],
        Expect::Awaited(no("it is not so")),
    );
    let error = database
        .transact(program(1, vec![first, waits]), later())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, RunError::Unmet(error) if error.message == "it is not so"),
        "{error:?}"
    );
}
