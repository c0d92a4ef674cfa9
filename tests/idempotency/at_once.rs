//! The same request twice at once, on one server and on two.

use gom_test_support::app::TestApp;
use gom_test_support::eventually;
use serde_json::json;
use tokio_postgres::Client;

use crate::{Reply, count, keyed, tables};

const QUERY: &str = "mutation { updateUser(where: { extUid: \"u\" }, data: { customers: { create: [{ name1: \"c\" }] } }) { customers { uid } } }";

/// The user whose row is locked by another transaction, so that a mutation waits for it.
async fn lock(app: &TestApp) -> Client {
    app.data(
        "mutation { createUser(data: { extUid: \"u\", business: \"b\" }) { uid } }",
        json!({}),
    )
    .await;
    let other = tables(app).await;
    other
        .batch_execute("begin; select from \"User\" where \"extUid\" = 'u' for update")
        .await
        .unwrap();
    other
}

/// Another server on the same database, when it answers.
async fn beside(app: &TestApp, settings: &[(&'static str, &str)]) -> TestApp {
    let node = TestApp::on(&app.database().url(), None, settings).await;
    eventually("the other server answers", async || {
        node.ask("{ users { uid } }")
            .await
            .body
            .get("errors")
            .is_none()
    })
    .await;
    node
}

async fn waits(client: &Client, how_many: i64) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually("a mutation waits for a lock", async || {
        count(client, sql).await == how_many
    })
    .await;
}

async fn customers(client: &Client) -> i64 {
    count(client, "select count(*) from \"Bp\"").await
}

/// `waiting`: how many of both wait inside PostgreSQL.
async fn both(one: &TestApp, two: &TestApp, waiting: i64) -> (Reply, Reply, i64) {
    let other = lock(one).await;
    let tables = tables(one).await;
    let (first, second, ()) = futures::join!(
        keyed(one, "k", QUERY),
        async {
            waits(&tables, 1).await;
            keyed(two, "k", QUERY).await
        },
        async {
            waits(&tables, 1).await;
            has_come(two).await;
            waits(&tables, waiting).await;
            other.batch_execute("commit").await.unwrap();
        }
    );
    (first, second, customers(&tables).await)
}

/// What was sent before has come by now, for all that anybody can tell.
async fn has_come(app: &TestApp) {
    for _ in 0..10 {
        app.ask("{ users { uid } }").await;
    }
}

/// Longer than anything takes on a busy machine.
const PATIENT: [(&str, &str); 2] = [
    ("limits.service.deadline", "120000"),
    ("database.statement_timeout", "120000"),
];

#[actix_web::test]
async fn the_second_of_two_at_once_waits_and_gets_the_answer_of_the_first() {
    let app = TestApp::start_with(&PATIENT).await;
    let (first, second, written) = both(&app, &app, 1).await;
    first.assert_done();
    assert_eq!((second, written), (first, 1));
}

#[actix_web::test]
async fn the_second_of_two_at_once_on_two_servers_does_so_as_well() {
    let app = TestApp::start_with(&PATIENT).await;
    let node = beside(&app, &PATIENT).await;
    let (first, second, written) = both(&app, &node, 2).await;
    first.assert_done();
    assert_eq!((second, written), (first, 1));
}

#[actix_web::test]
async fn one_that_waits_for_too_long_is_answered_that_it_may_be_repeated() {
    let app = TestApp::start_with(&PATIENT).await;
    let hasty = beside(&app, &[("limits.service.deadline", "1000")]).await;
    let other = lock(&app).await;
    let tables = tables(&app).await;
    let (first, second) = futures::join!(keyed(&app, "k", QUERY), async {
        waits(&tables, 1).await;
        let second = keyed(&hasty, "k", QUERY).await;
        other.batch_execute("commit").await.unwrap();
        second
    });
    for part in [
        "Repeat the request with the same idempotency key",
        "an earlier one with the same idempotency key, if it is still in flight, may still be carried out",
    ] {
        second.assert_refused(503, "DEADLINE_EXCEEDED", part);
    }
    assert!(!second.message().contains("; nothing was written"));
    first.assert_done();
    // As soon as the machine has the time for it.
    eventually("the repetition is answered", async || {
        keyed(&hasty, "k", QUERY).await == first
    })
    .await;
    assert_eq!(customers(&tables).await, 1);
}

#[actix_web::test]
async fn the_second_is_carried_out_if_the_first_fails() {
    let app = TestApp::start_with(&PATIENT).await;
    let other = lock(&app).await;
    let tables = tables(&app).await;
    let (first, second, ()) = futures::join!(
        keyed(&app, "k", QUERY),
        async {
            waits(&tables, 1).await;
            keyed(&app, "k", QUERY).await
        },
        async {
            waits(&tables, 1).await;
            has_come(&app).await;
            other
                .batch_execute("delete from \"User\" where \"extUid\" = 'u'; commit")
                .await
                .unwrap();
        }
    );
    for reply in [first, second] {
        assert_eq!(reply.body()["errors"][0]["code"], 3039, "{}", reply.text);
    }
    assert_eq!(crate::keys(&tables).await, 0);
}

#[actix_web::test]
async fn the_second_is_carried_out_on_another_server_if_the_first_fails() {
    let app = TestApp::start_with(&PATIENT).await;
    let node = beside(&app, &PATIENT).await;
    let other = lock(&app).await;
    let tables = tables(&app).await;
    let (first, second, ()) = futures::join!(
        keyed(&app, "k", QUERY),
        async {
            waits(&tables, 1).await;
            keyed(&node, "k", QUERY).await
        },
        async {
            waits(&tables, 2).await;
            other
                .batch_execute("delete from \"User\" where \"extUid\" = 'u'; commit")
                .await
                .unwrap();
        }
    );
    for reply in [first, second] {
        assert_eq!(reply.body()["errors"][0]["code"], 3039, "{}", reply.text);
    }
    assert_eq!(crate::keys(&tables).await, 0);
}

#[actix_web::test]
async fn a_repetition_does_not_wait_for_the_locks_of_the_writes_that_it_repeats() {
    let app = TestApp::start_with(&PATIENT).await;
    app.data(
        "mutation { createUser(data: { extUid: \"u\", business: \"b\" }) { uid } }",
        json!({}),
    )
    .await;
    let first = keyed(&app, "k", QUERY).await;
    first.assert_done();
    let tables = tables(&app).await;
    tables
        .batch_execute("begin; select from \"User\" where \"extUid\" = 'u' for update")
        .await
        .unwrap();
    let repeated = tokio::time::timeout(PATIENCE, keyed(&app, "k", QUERY)).await;
    assert_eq!(repeated.expect("it waits for nobody"), first);
    tables.batch_execute("commit").await.unwrap();
    assert_eq!(customers(&tables).await, 1);
}

/// Longer than anything takes that does not wait for a lock, and less than the deadline.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

#[actix_web::test]
async fn those_that_wait_for_a_key_leave_the_connections_to_others() {
    let app =
        TestApp::start_with(&[PATIENT[0], PATIENT[1], ("database.write_connections", "2")]).await;
    let other = lock(&app).await;
    let tables = tables(&app).await;
    let first = async || keyed(&app, "k", QUERY).await;
    let later = async || {
        waits(&tables, 1).await;
        keyed(&app, "k", QUERY).await
    };
    let of_others = async || {
        waits(&tables, 1).await;
        has_come(&app).await;
        let others = async {
            for key in ["another", "and-another"] {
                keyed(&app, key, &crate::create(key)).await.assert_done();
            }
        };
        let done = tokio::time::timeout(PATIENCE, others).await;
        waits(&tables, 1).await;
        other.batch_execute("commit").await.unwrap();
        done.expect("there is a connection left");
    };
    let (first, one, two, three, ()) =
        futures::join!(first(), later(), later(), later(), of_others());
    first.assert_done();
    for repeated in [one, two, three] {
        assert_eq!(repeated, first);
    }
    assert_eq!(customers(&tables).await, 1);
}
