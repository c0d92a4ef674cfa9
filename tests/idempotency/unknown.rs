//! Commits of which the server does not know what became of them.

use gom_test_support::app::TestApp;
use serde_json::json;

use crate::{create, keyed, keys, post, tables, users};

#[actix_web::test]
async fn a_commit_of_unknown_outcome_is_repeated_with_the_key_and_not_without() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    // The connection is lost during the commit, which is rolled back.
    tables
        .batch_execute(
            "create function cut() returns trigger language plpgsql as \
             $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$; \
             create constraint trigger cut after insert on \"User\" deferrable initially deferred \
             for each row execute function cut()",
        )
        .await
        .unwrap();
    let unknown = keyed(&app, "k", &create("b")).await;
    unknown.assert_refused(
        200,
        "OUTCOME_UNKNOWN",
        "Repeat the request with the same idempotency key, which is safe",
    );
    let unknown = post(&app, None, json!({ "query": create("b") })).await;
    unknown.assert_refused(200, "OUTCOME_UNKNOWN", "Read before you try again");
    assert_eq!((users(&tables, "b").await, keys(&tables).await), (0, 0));

    tables
        .batch_execute("drop trigger cut on \"User\"")
        .await
        .unwrap();
    let done = keyed(&app, "k", &create("b")).await;
    done.assert_done();
    assert_eq!(keyed(&app, "k", &create("b")).await, done);
    assert_eq!((users(&tables, "b").await, keys(&tables).await), (1, 1));
}
