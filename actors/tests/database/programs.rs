use gom_actors::database::{LocalDatabase, RunError};
use gom_engine::plan::{ANSWER, Expect, Param, Register, Step, register_mark};
use gom_test_support::{TestDatabase, eventually};
use tokio_postgres::Client;

use crate::proxy::holding_back;
use crate::{ask, later, no, program, run, served, text, value, within};

const INSERT: &str = "insert into notes(id, body) values ($1::int, $2) returning id::text, body";
const ALL: &str = "select string_agg(id || body, ' ' order by seq) from notes";
const NOTES: &str = "create table notes(seq serial, id int constraint notes_id unique, body text)";

async fn notes() -> (TestDatabase, Client, LocalDatabase) {
    let test = TestDatabase::create().await;
    let client = test.connect().await;
    client.batch_execute(NOTES).await.unwrap();
    let database = served(test.config(), |_| {}).await;
    (test, client, database)
}

fn insert(id: &str, body: &str, expect: Expect) -> Step {
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
async fn a_deadlock_is_resolved_by_repeating_one_of_the_two() {
    let (_test, client, database) = notes().await;
    client
        .batch_execute("insert into notes(id, body) values (1, ''), (2, ''), (3, '')")
        .await
        .unwrap();
    let touch = |id: &str, by: &str| {
        run(
            "update notes set body = body || $2 where id = $1::int",
            vec![value(id), value(by)],
            &[],
            Expect::Some(no("gone")),
        )
    };
    // Both stop at row 3; the one that locks it waits for the other's row, and the other for row 3.
    client
        .batch_execute("begin; select from notes where id = 3 for update")
        .await
        .unwrap();
    let (mine, yours) = (database.clone(), database.clone());
    let (a, b) = (
        program(1, vec![touch("1", "a"), touch("3", "a"), touch("2", "a")]),
        program(1, vec![touch("2", "b"), touch("3", "b"), touch("1", "b")]),
    );
    let a = actix::spawn(async move { mine.transact(a, later()).await });
    let b = actix::spawn(async move { yours.transact(b, later()).await });
    let waiting = "select (count(*) = 2)::text from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock'";
    eventually("both wait", async || {
        ask(&database, waiting).await == "true"
    })
    .await;
    client.batch_execute("commit").await.unwrap();
    a.await.unwrap().expect("done");
    b.await.unwrap().expect("done");
    let all = ask(
        &database,
        "select string_agg(length(body)::text, ' ') from notes",
    )
    .await;
    assert_eq!(all, "2 2 2", "each did all its work, once");
}

#[actix::test]
async fn a_conflict_is_repeated_a_bounded_number_of_times() {
    let (_test, client, database) = notes().await;
    // A sequence is not rolled back, so it counts the attempts.
    client
        .batch_execute(
            "create sequence attempts;
             create function conflict(until_attempt int) returns text language plpgsql as $$
             begin
                 if nextval('attempts') < until_attempt then raise sqlstate '40001'; end if;
                 return currval('attempts')::text;
             end $$",
        )
        .await
        .unwrap();
    let conflict = |until: &str| {
        run(
            "select conflict($1::int)",
            vec![value(until)],
            &[ANSWER.0],
            Expect::Anything,
        )
    };
    let steps = vec![insert("1", "a", Expect::Anything), conflict("4")];
    assert_eq!(
        text(database.transact(program(1, steps), later()).await).unwrap(),
        "4"
    );
    assert_eq!(
        ask(&database, ALL).await,
        "1a",
        "what was repeated was rolled back"
    );

    client
        .batch_execute("alter sequence attempts restart")
        .await
        .unwrap();
    let error = database
        .transact(program(1, vec![conflict("1000")]), later())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Rejected(report) if report.sqlstate == "40001"));
    assert_eq!(
        ask(&database, "select last_value::text from attempts").await,
        "6",
        "one and five repetitions"
    );
}

#[actix::test]
async fn a_program_that_another_transaction_has_overtaken_is_repeated() {
    let (_test, client, database) = notes().await;
    client
        .batch_execute("create sequence attempts")
        .await
        .unwrap();
    let overtaken = |id, until| {
        let late = format!("select 1 where nextval('attempts') < {until}");
        vec![
            insert(id, "a", Expect::Anything),
            run(&late, vec![], &[], Expect::NoConflict),
        ]
    };
    database
        .transact(program(1, overtaken("1", 3)), later())
        .await
        .unwrap();
    assert_eq!(ask(&database, ALL).await, "1a");
    assert_eq!(
        ask(&database, "select last_value::text from attempts").await,
        "3"
    );
    let error = database
        .transact(program(1, overtaken("2", 1000)), later())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Rejected(report) if report.sqlstate == "40001"));
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
async fn a_write_goes_on_when_a_column_that_its_tables_trigger_reads_has_changed_its_type() {
    let (_test, client, database) = notes().await;
    let trigger = "create table log(id text, body text);
        create function log() returns trigger language plpgsql as $$
          begin insert into log values (new.id::text, new.body); return null; end $$;
        create trigger log after insert on notes for each row execute function log()";
    client.batch_execute(trigger).await.unwrap();
    let write = async |id: &str| {
        // Of one statement, and of several in a transaction.
        let alone = program(1, vec![insert(id, "a", Expect::Anything)]);
        let two = vec![
            insert(&format!("1{id}"), "b", Expect::Anything),
            insert(&format!("2{id}"), "c", Expect::Anything),
        ];
        for program in [alone, program(1, two)] {
            database.transact(program, later()).await.unwrap();
        }
    };
    write("1").await;
    client
        .batch_execute("alter table notes alter id type bigint")
        .await
        .unwrap();
    write("2").await;
    client
        .batch_execute("alter table notes alter body type varchar(80)")
        .await
        .unwrap();
    write("3").await;
    let logged = client
        .query_one("select count(*) from log", &[])
        .await
        .unwrap();
    assert_eq!(logged.get::<_, i64>(0), 9, "each once");
}

#[actix::test]
async fn a_program_goes_on_when_none_of_its_statements_fits_its_table_any_more() {
    let (_test, client, database) = notes().await;
    client
        .batch_execute("insert into notes(id, body) values (1, 'a')")
        .await
        .unwrap();
    let read = |id: &str| {
        let sql = format!("select body from notes where id = {id}");
        run(&sql, vec![], &[], Expect::Anything)
    };
    let last = run(
        "select body::text from notes",
        vec![],
        &[ANSWER.0],
        Expect::Anything,
    );
    let steps = vec![read("1"), read("2"), read("3"), last];
    for kind in ["text", "varchar(80)"] {
        client
            .batch_execute(&format!("alter table notes alter body type {kind}"))
            .await
            .unwrap();
        let answer = database.transact(program(1, steps.clone()), later()).await;
        assert_eq!(answer.unwrap().unwrap().as_str(), "a", "{kind}");
    }
}
