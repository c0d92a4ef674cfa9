//! Programs that are attempted again: after a deadlock or a conflict, and when a table has changed beneath a prepared statement.

use gom_actors::database::RunError;
use gom_engine::plan::{ANSWER, Expect};
use gom_test_support::eventually;

use crate::programs::{ALL, insert, notes};
use crate::{ask, later, no, program, run, text, value};

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
