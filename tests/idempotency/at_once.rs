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
async fn beside(app: &TestApp, setting: (&'static str, &str)) -> TestApp {
    let node = TestApp::on(&app.database().url(), None, &[setting]).await;
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

async fn both(one: &TestApp, two: &TestApp) -> (Reply, Reply, i64) {
    let other = lock(one).await;
    let tables = tables(one).await;
    let (first, second, ()) = futures::join!(
        keyed(one, "k", QUERY),
        async {
            waits(&tables, 1).await;
            keyed(two, "k", QUERY).await
        },
        async {
            waits(&tables, 2).await;
            other.batch_execute("commit").await.unwrap();
        }
    );
    (first, second, customers(&tables).await)
}

/// Longer than anything takes on a busy machine.
const PATIENT: (&str, &str) = ("limits.service.deadline", "120000");

#[actix_web::test]
async fn the_second_of_two_at_once_waits_and_gets_the_answer_of_the_first() {
    let app = TestApp::start_with(&[PATIENT]).await;
    let (first, second, written) = both(&app, &app).await;
    first.assert_done();
    assert_eq!((second, written), (first, 1));
}

#[actix_web::test]
async fn the_second_of_two_at_once_on_two_servers_does_so_as_well() {
    let app = TestApp::start_with(&[PATIENT]).await;
    let node = beside(&app, PATIENT).await;
    let (first, second, written) = both(&app, &node).await;
    first.assert_done();
    assert_eq!((second, written), (first, 1));
}

#[actix_web::test]
async fn one_that_waits_for_too_long_is_answered_that_it_may_be_repeated() {
    let app = TestApp::start_with(&[PATIENT]).await;
    let hasty = beside(&app, ("limits.service.deadline", "1000")).await;
    let other = lock(&app).await;
    let tables = tables(&app).await;
    let (first, second) = futures::join!(keyed(&app, "k", QUERY), async {
        waits(&tables, 1).await;
        let second = keyed(&hasty, "k", QUERY).await;
        other.batch_execute("commit").await.unwrap();
        second
    });
    second.assert_refused(
        503,
        "DEADLINE_EXCEEDED",
        "Repeat the request with the same idempotency key",
    );
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
    let app = TestApp::start_with(&[PATIENT]).await;
    let other = lock(&app).await;
    let tables = tables(&app).await;
    let (first, second, ()) = futures::join!(
        keyed(&app, "k", QUERY),
        async {
            waits(&tables, 1).await;
            keyed(&app, "k", QUERY).await
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
