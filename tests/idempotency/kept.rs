//! How long keys are kept, and what of them is.

use gom_test_support::app::TestApp;
use gom_test_support::eventually;
use serde_json::{Value, json};

use crate::{create, keyed, keys, post, tables, users};

#[actix_web::test]
async fn keys_are_removed_after_their_time() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    keyed(&app, "old", &create("b")).await.assert_done();
    let young = keyed(&app, "young", &create("b")).await;
    tables
        .batch_execute("update gom.idempotency_key set created_at = now() - interval '25 hours' where key = 'old'")
        .await
        .unwrap();
    eventually("the old key is removed", async || keys(&tables).await == 1).await;
    assert_eq!(keyed(&app, "young", &create("b")).await, young);
    // It is as good as new.
    keyed(&app, "old", &create("other")).await.assert_done();
}

#[actix_web::test]
async fn where_keys_are_off_they_are_refused_and_all_else_is_done() {
    let app = TestApp::start_with(&[("idempotency.keep_for", "0")]).await;
    let tables = tables(&app).await;
    let refused = keyed(&app, "k", &create("off")).await;
    refused.assert_refused(200, "BAD_USER_INPUT", "off here (idempotency.keep_for)");
    let extension = json!({ "query": create("off"), "extensions": { "idempotencyKey": "k" } });
    let refused = post(&app, None, extension).await;
    refused.assert_refused(200, "BAD_USER_INPUT", "off here (idempotency.keep_for)");
    assert_eq!(users(&tables, "off").await, 0);
    keyed(&app, "k", "{ users { uid } }").await.assert_done();
    post(&app, None, json!({ "query": create("off") }))
        .await
        .assert_done();
}

#[actix_web::test]
async fn an_answer_that_is_too_large_is_given_once_and_written_once() {
    let app = TestApp::start_with(&[("idempotency.answer_bytes", "1024")]).await;
    let tables = tables(&app).await;
    let long = "x".repeat(1_500);
    let first = keyed(&app, "k", &create(&long)).await;
    first.assert_done();
    let repeated = keyed(&app, "k", &create(&long)).await;
    repeated.assert_refused(
        200,
        "LIMIT_EXCEEDED",
        "the limit is 1024 bytes (idempotency.answer_bytes)",
    );
    assert!(
        repeated.message().contains("It was written, once"),
        "{}",
        repeated.text
    );
    assert_eq!(repeated.body()["data"], Value::Null);
    keyed(&app, "k", &create("other"))
        .await
        .assert_refused(422, "IDEMPOTENCY_KEY_REUSED", "");
    assert_eq!(
        (users(&tables, &long).await, users(&tables, "other").await),
        (1, 0)
    );
    // The bound is on all answers of a key together.
    let half = "y".repeat(600);
    let field = |alias: &str| {
        format!("{alias}: createUser(data: {{ business: \"{half}\" }}) {{ business }}")
    };
    let query = format!("mutation {{ {} {} }}", field("a"), field("b"));
    keyed(&app, "two", &query).await.assert_done();
    let repeated = keyed(&app, "two", &query).await;
    assert_eq!(repeated.code(), "LIMIT_EXCEEDED");
    assert_eq!(users(&tables, &half).await, 2);
    let stored =
        "select max(octet_length(array_to_string(answers, '')))::bigint from gom.idempotency_key";
    assert!(crate::count(&tables, stored).await <= 1_024);
}

#[actix_web::test]
async fn without_the_table_of_keys_only_they_are_refused() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    tables
        .batch_execute("drop table gom.idempotency_key")
        .await
        .unwrap();
    let refused = keyed(&app, "k", &create("b")).await;
    refused.assert_refused(503, "SERVICE_UNAVAILABLE", "gom migrate apply");
    post(&app, None, json!({ "query": create("b") }))
        .await
        .assert_done();
    assert_eq!(users(&tables, "b").await, 1);
}

#[actix_web::test]
async fn fields_after_one_whose_answer_is_too_large_are_carried_out() {
    let app = TestApp::start_with(&[("idempotency.answer_bytes", "1024")]).await;
    let tables = tables(&app).await;
    let long = "x".repeat(1_500);
    let query = format!(
        "mutation {{ a: createUser(data: {{ business: \"{long}\" }}) {{ business }} \
         b: updateUser(where: {{ extUid: \"late\" }}, data: {{ business: \"done\" }}) {{ uid }} \
         c: createUser(data: {{ business: \"c\" }}) {{ uid }} }}"
    );
    let first = keyed(&app, "k", &query).await;
    assert_eq!(first.body()["errors"][0]["path"], json!(["b"]));
    app.ask("mutation { createUser(data: { business: \"b\", extUid: \"late\" }) { uid } }")
        .await;
    for _ in 0..2 {
        let repeated = keyed(&app, "k", &query).await;
        repeated.assert_refused(200, "LIMIT_EXCEEDED", "It was written, once");
        let body = repeated.body();
        assert_eq!(body["errors"].as_array().unwrap().len(), 1, "{body}");
        assert_eq!(body["data"], Value::Null, "a user is never null");
    }
    for business in [long.as_str(), "done", "c"] {
        assert_eq!(users(&tables, business).await, 1, "{business}");
    }
}

#[actix_web::test]
async fn fields_after_one_whose_answer_is_hidden_by_an_error_are_carried_out() {
    let app = TestApp::start_with(&[("limits.service.answer_bytes", "2000")]).await;
    let tables = tables(&app).await;
    let long = "x".repeat(1_500);
    let one = |alias: &str| {
        format!("{alias}: createUser(data: {{ business: \"{long}\" }}) {{ business }}")
    };
    let query = format!(
        "mutation {{ {} {} c: createUser(data: {{ business: \"c\" }}) {{ uid }} }}",
        one("a"),
        one("b")
    );
    let first = keyed(&app, "k", &query).await;
    first.assert_refused(200, "LIMIT_EXCEEDED", "It was written.");
    let repeated = keyed(&app, "k", &query).await;
    assert_eq!(repeated.without_ids(), first.without_ids());
    assert_eq!(
        (users(&tables, &long).await, users(&tables, "c").await),
        (2, 1)
    );
}
