//! What statements leave behind on a connection, here and in PostgreSQL.

use gom_actors::database::{LocalDatabase, RunError};
use gom_engine::plan::{ANSWER, Expect, Param, Register};
use gom_test_support::TestDatabase;
use tokio_postgres::Config;

use crate::{ask, later, program, run, served, statement, text, value};

const TABLES: &str = "create table t(id text primary key, a text, b int);
                      create table u(id text primary key, t text references t, a text, b int);
                      insert into t values ('x', 'y', 1)";
/// Of the process behind the connection, all that it remembers.
const MEMORY: &str = "select sum(total_bytes)::text from pg_backend_memory_contexts";
/// But this query's own.
const PREPARED: &str = "select count(*)::text || ' ' || coalesce(sum(length(statement)), 0) \
                        from pg_prepared_statements where statement not like '%pg_%'";

/// One connection for reads, which reports on itself: a superuser's may read its memory contexts.
async fn one_client(config: Config) -> LocalDatabase {
    served(config, |options| {
        (options.shared_per_worker, options.leased_per_worker) = (1, 1)
    })
    .await
}

/// As filters through relations are written; no two numbers make the same text.
fn conditions(number: usize, count: usize) -> String {
    let condition = |i: usize| {
        format!(
            "exists (select 1 from u t{i} where t{i}.t = t0.id and t{i}.a = 'n{number}' \
             and exists (select 1 from t s{i} where s{i}.id = t{i}.t and s{i}.b > {i}))"
        )
    };
    let conditions: Vec<String> = (1..=count).map(condition).collect();
    format!(
        "select count(*)::text from t t0 where t0.id <> $1 and ({})",
        conditions.join(" or ")
    )
}

async fn memory(database: &LocalDatabase) -> usize {
    ask(database, MEMORY).await.parse().unwrap()
}

async fn prepared(database: &LocalDatabase) -> (usize, usize) {
    let answer = ask(database, PREPARED).await;
    let (count, bytes) = answer.split_once(' ').unwrap();
    (count.parse().unwrap(), bytes.parse().unwrap())
}

#[actix::test]
async fn sixty_requests_of_four_hundred_conditions_leave_nothing_behind_in_postgresql() {
    let test = TestDatabase::create().await;
    test.connect().await.batch_execute(TABLES).await.unwrap();
    let database = one_client(test.admin_config()).await;
    memory(&database).await;
    let before = memory(&database).await;
    for number in 0..60 {
        let answer = database
            .read(statement(&conditions(number, 400), &["z"]), later())
            .await;
        assert_eq!(text(answer).unwrap(), "0");
    }
    let after = memory(&database).await;
    println!(
        "{before} bytes before, {after} after; one text has {} bytes",
        conditions(0, 400).len()
    );
    // What is learned of the tables stays.
    assert!(
        after < before + 4 * 1024 * 1024,
        "{before} bytes before, {after} after"
    );
    assert_eq!(prepared(&database).await, (0, 0));
}

#[actix::test]
async fn evicted_statements_are_closed_on_the_server_and_the_bytes_of_kept_ones_are_bounded() {
    let test = TestDatabase::create().await;
    test.connect().await.batch_execute(TABLES).await.unwrap();
    let database = one_client(test.admin_config()).await;
    let before = memory(&database).await;
    let mut most = 0;
    for number in 0..150 {
        let sql = conditions(number, 50);
        assert!((6_000..8_192).contains(&sql.len()), "{}", sql.len());
        assert_eq!(
            text(database.read(statement(&sql, &["z"]), later()).await).unwrap(),
            "0"
        );
        most = most.max(memory(&database).await);
        let (count, bytes) = prepared(&database).await;
        assert!(
            bytes <= 256 * 1024,
            "{count} statements of {bytes} bytes are prepared"
        );
    }
    let (count, bytes) = prepared(&database).await;
    println!(
        "{count} statements of {bytes} bytes are prepared; {before} bytes of memory before, at most {most}"
    );
    assert!(
        count > 20,
        "{count} statements are prepared: those that fit stay"
    );
    assert!(
        most < before + 64 * 1024 * 1024,
        "{before} bytes before, at most {most}"
    );
}

#[actix::test]
async fn a_statement_too_long_to_be_kept_reads_writes_and_fails_like_any_other() {
    let test = TestDatabase::create().await;
    test.connect().await.batch_execute(TABLES).await.unwrap();
    let database = one_client(test.config()).await;
    let long = |sql: &str| format!("{sql} /* {} */", "x".repeat(10_000));

    let all = long("select json_build_array($1::int, $2::text, $3::int[])::text");
    let answer = database
        .read(statement(&all, &["7", "it's", "{1,2}"]), later())
        .await;
    assert_eq!(text(answer).unwrap(), r#"[7, "it's", [1,2]]"#);
    assert_eq!(
        text(
            database
                .read(statement(&long("select null::text"), &[]), later())
                .await
        ),
        None
    );
    let wrong = database
        .read(statement(&long("select $1::int::text"), &["x"]), later())
        .await;
    assert!(matches!(wrong, Err(RunError::Rejected(report)) if report.sqlstate == "22P02"));
    let unknown = database
        .read(
            statement(&long("select nothing from nowhere"), &[]),
            later(),
        )
        .await;
    assert!(matches!(unknown, Err(RunError::Rejected(report)) if report.sqlstate == "42P01"));

    // In a program, between short ones, with registers; and alone, without a transaction.
    let insert = long("insert into t values ($1, $2, $3::int) returning id, a");
    let steps = vec![
        run("select $1::text", vec![value("b")], &[1], Expect::Anything),
        run(
            &insert,
            vec![Param::Register(Register(1)), Param::Null, value("5")],
            &[2, 3],
            Expect::Anything,
        ),
        run(
            "select $1::text || coalesce($2::text, '-')",
            vec![Param::Register(Register(2)), Param::Register(Register(3))],
            &[ANSWER.0],
            Expect::Anything,
        ),
    ];
    assert_eq!(
        text(database.transact(program(4, steps), later()).await).unwrap(),
        "b-"
    );
    let alone = vec![run(
        &insert,
        vec![value("c"), value("d"), value("6")],
        &[ANSWER.0],
        Expect::Anything,
    )];
    assert_eq!(
        text(database.transact(program(1, alone), later()).await).unwrap(),
        "c"
    );
    let twice = vec![
        run(
            &long("delete from t where id = $1"),
            vec![value("b")],
            &[],
            Expect::Anything,
        ),
        run(
            &insert,
            vec![value("c"), value("d"), value("6")],
            &[ANSWER.0],
            Expect::Anything,
        ),
    ];
    let error = database
        .transact(program(1, twice), later())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Rejected(report) if report.sqlstate == "23505"));
    assert_eq!(
        ask(&database, "select string_agg(id, '' order by id) from t").await,
        "bcx",
        "rolled back"
    );
}
