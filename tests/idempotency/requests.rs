//! What is repeated, and what a key may come with.

use reqwest::Method;
use serde_json::{Value, json};

use gom_test_support::app::{TestApp, read};

use crate::{create, keyed, keys, post, tables, users};

#[actix_web::test]
async fn a_repetition_writes_once_and_is_answered_with_the_same_bytes() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    let first = keyed(&app, "8e03978e-40d5", &create("once")).await;
    first.assert_done();
    assert_eq!(keyed(&app, "8e03978e-40d5", &create("once")).await, first);
    let quoted = keyed(&app, "\"8e03978e-40d5\"", &create("once")).await;
    assert_eq!(
        quoted, first,
        "the same key as a string of structured fields"
    );
    let body =
        json!({ "query": create("once"), "extensions": { "idempotencyKey": "8e03978e-40d5" } });
    assert_eq!(post(&app, None, body.clone()).await, first);
    assert_eq!(post(&app, Some("8e03978e-40d5"), body).await, first);
    assert_eq!((users(&tables, "once").await, keys(&tables).await), (1, 1));

    let other = keyed(&app, "another", &create("once")).await;
    other.assert_done();
    assert_ne!(other, first);
    assert_eq!(users(&tables, "once").await, 2);
}

#[actix_web::test]
async fn every_kind_of_mutation_is_carried_out_once() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    let add = "customers: { create: [{ name1: \"c\" }] }";
    for (number, field) in [
        format!("createUser(data: {{ extUid: \"u\", business: \"b\", {add} }}) {{ uid customers {{ uid }} }}"),
        format!("updateUser(where: {{ extUid: \"u\" }}, data: {{ {add} }}) {{ customers {{ uid }} }}"),
        "updateUser(where: { extUid: \"u\" }, data: { business: \"c\" }) { business updatedAt }".to_owned(),
        format!("upsertUser(where: {{ extUid: \"u\" }}, create: {{ business: \"x\" }}, update: {{ {add} }}) {{ customers {{ uid }} }}"),
        "upsertUser(where: { extUid: \"v\" }, create: { extUid: \"v\", business: \"x\" }, update: { business: \"y\" }) { uid business }".to_owned(),
        "updateManyUsers(where: { extUid: \"v\" }, data: { business: \"z\" }) { count }".to_owned(),
        "deleteUser(where: { extUid: \"v\" }) { uid business updatedAt }".to_owned(),
        "deleteManyUsers(where: { extUid: \"u\" }) { count }".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let (key, query) = (format!("key-{number}"), format!("mutation {{ {field} }}"));
        let first = keyed(&app, &key, &query).await;
        first.assert_done();
        if number == 3 {
            let sql = "select count(*) from \"Bp\"";
            assert_eq!(crate::count(&tables, sql).await, 3);
        }
        assert_eq!(keyed(&app, &key, &query).await, first, "{query}");
    }
}

#[actix_web::test]
async fn another_request_with_the_key_is_422_and_writes_nothing() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    let document = "mutation A($b: String!, $c: String) { createUser(data: { business: $b, role: $c }) { uid } } \
                    mutation B($b: String!) { createUser(data: { business: $b }) { uid } }";
    let body = |name: &str, variables: Value| json!({ "query": document, "operationName": name, "variables": variables });
    let first = post(&app, Some("k"), body("A", json!({ "b": "one", "c": "r" }))).await;
    first.assert_done();
    let same = body("A", json!({ "c": "r", "b": "one" }));
    assert_eq!(post(&app, Some("k"), same).await, first, "in another order");
    for other in [
        body("A", json!({ "b": "two", "c": "r" })),
        body("B", json!({ "b": "one" })),
        json!({ "query": create("two") }),
        json!({ "query": format!("mutation {{ deleteManyUsers {{ count }} }} #{document}") }),
    ] {
        let refused = post(&app, Some("k"), other.clone()).await;
        refused.assert_refused(422, "IDEMPOTENCY_KEY_REUSED", "another request");
        assert_eq!(refused.body()["data"], Value::Null);
        assert_eq!(refused.body()["errors"][0].get("path"), None);
        let request = app
            .authorized(Method::POST, "/graphql")
            .header("Content-Type", "application/json")
            .header("Accept", "application/graphql-response+json")
            .header("Idempotency-Key", "k");
        let answer = read(request.body(other.to_string()).send().await.unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (422, "IDEMPOTENCY_KEY_REUSED")
        );
        assert_eq!(answer.body.get("data"), None, "a refusal has none");
    }
    assert_eq!(
        (users(&tables, "one").await, users(&tables, "two").await),
        (1, 0)
    );
}

#[actix_web::test]
async fn a_failed_mutation_stores_nothing_and_its_repetition_is_carried_out() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    app.ask("mutation { createUser(data: { business: \"b\", extUid: \"u\" }) { uid } }")
        .await;
    let query = "mutation { createUser(data: { business: \"later\", extUid: \"u\" }) { uid } }";
    for _ in 0..2 {
        let failed = keyed(&app, "k", query).await;
        assert_eq!(failed.body()["errors"][0]["code"], 3010, "{}", failed.text);
    }
    assert_eq!(keys(&tables).await, 0);
    app.ask("mutation { deleteUser(where: { extUid: \"u\" }) { uid } }")
        .await;
    let done = keyed(&app, "k", query).await;
    done.assert_done();
    assert_eq!(keyed(&app, "k", query).await, done);
    assert_eq!(users(&tables, "later").await, 1);
}

#[actix_web::test]
async fn of_several_fields_those_are_carried_out_that_were_not_yet() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    let query = "mutation {
        a: createUser(data: { business: \"a\" }) { uid }
        b: updateUser(where: { extUid: \"late\" }, data: { customers: { create: [{ name1: \"c\" }] } }) { business customers { uid } }
        c: createUser(data: { business: \"c\" }) { uid }
        __typename
    }";
    let first = keyed(&app, "k", query).await;
    assert_eq!(
        first.body()["errors"][0]["path"],
        json!(["b"]),
        "{}",
        first.text
    );
    let second = keyed(&app, "k", query).await;
    assert_eq!(second.without_ids(), first.without_ids());
    assert_eq!(
        (users(&tables, "a").await, users(&tables, "c").await),
        (1, 1)
    );

    // Still the other request's, though one of its fields is not carried out.
    keyed(&app, "k", &create("other"))
        .await
        .assert_refused(422, "IDEMPOTENCY_KEY_REUSED", "");
    assert_eq!(users(&tables, "other").await, 0);

    app.ask("mutation { createUser(data: { business: \"b\", extUid: \"late\" }) { uid } }")
        .await;
    let whole = keyed(&app, "k", query).await;
    whole.assert_done();
    for field in ["a", "c"] {
        assert_eq!(whole.body()["data"][field], first.body()["data"][field]);
    }
    assert_eq!(
        whole.body()["data"]["b"]["customers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(keyed(&app, "k", query).await, whole);
    assert_eq!(keys(&tables).await, 1);
}

#[actix_web::test]
async fn errors_within_an_answer_are_repeated_with_it() {
    // A list that is longer than it may be is an error at its place.
    let app = TestApp::start_with(&[("limits.service.page_size", "2")]).await;
    let tables = tables(&app).await;
    let query = "mutation { createUser(data: { business: \"long\", customers: { create: [
        { name1: \"a\" }, { name1: \"b\" }, { name1: \"c\" }
    ] } }) { uid customers { uid } } }";
    let first = keyed(&app, "k", query).await;
    let repeated = keyed(&app, "k", query).await;
    assert!(!first.code().is_empty(), "{}", first.text);
    assert_eq!(repeated.without_ids(), first.without_ids());
    assert_eq!(users(&tables, "long").await, 1);
}

#[actix_web::test]
async fn a_query_ignores_the_header_and_refuses_the_extension() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    for header in ["k", "no key at all", "\"unfinished"] {
        keyed(&app, header, "{ users { uid } }").await.assert_done();
    }
    let extension =
        |query: &str| json!({ "query": query, "extensions": { "idempotencyKey": "k" } });
    for query in ["{ users { uid } }", "query @live { users { uid } }"] {
        let refused = post(&app, None, extension(query)).await;
        refused.assert_refused(200, "BAD_USER_INPUT", "only mutations take one");
    }
    // Over an event stream, as the only one that has subscriptions here.
    let stream = app
        .authorized(Method::POST, "/graphql")
        .header("Content-Type", "application/json")
        .header("Accept", "text/event-stream")
        .body(extension("subscription { user { node { uid } } }").to_string());
    let text = stream.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("only mutations take one"), "{text}");
    assert_eq!(keys(&tables).await, 0);
}

#[actix_web::test]
async fn a_mutation_over_an_event_stream_is_carried_out_once() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    let send = async || {
        let stream = app
            .authorized(Method::POST, "/graphql")
            .header("Content-Type", "application/json")
            .header("Accept", "text/event-stream")
            .header("Idempotency-Key", "k")
            .body(json!({ "query": create("streamed") }).to_string());
        stream.send().await.unwrap().text().await.unwrap()
    };
    let first = send().await;
    assert!(first.contains("streamed"), "{first}");
    assert_eq!(send().await, first);
    assert_eq!(users(&tables, "streamed").await, 1);
}

#[actix_web::test]
async fn a_key_that_cannot_be_used_is_refused_and_nothing_is_written() {
    let app = TestApp::start_with(&[("graphql.execute_raw", "true")]).await;
    let tables = tables(&app).await;
    let long = "x".repeat(129);
    for header in ["", "a b", "\"unfinished", &long] {
        let refused = keyed(&app, header, &create("none")).await;
        refused.assert_refused(200, "BAD_USER_INPUT", "1 to 128 visible characters");
    }
    let with =
        |key: Value| json!({ "query": create("none"), "extensions": { "idempotencyKey": key } });
    let refused = post(&app, Some("a"), with(json!("b"))).await;
    refused.assert_refused(200, "BAD_USER_INPUT", "differ");
    for key in [json!(3), json!(""), json!("ñ"), json!(long)] {
        let refused = post(&app, None, with(key)).await;
        refused.assert_refused(200, "BAD_USER_INPUT", "extensions.idempotencyKey: it must");
    }
    let raw = "mutation { executeRaw(query: \"select 1\") }";
    keyed(&app, "k", raw)
        .await
        .assert_refused(200, "BAD_USER_INPUT", "executeRaw");
    assert_eq!((users(&tables, "none").await, keys(&tables).await), (0, 0));
}

#[actix_web::test]
async fn each_mutation_of_a_batch_has_a_key_of_its_own() {
    let app = TestApp::start().await;
    let tables = tables(&app).await;
    let one = |key: &str, business: &str| json!({ "query": create(business), "extensions": { "idempotencyKey": key } });
    let batch = json!([one("a", "a"), { "query": "{ __typename }" }, one("b", "b")]);
    let first = post(&app, None, batch.clone()).await;
    assert_eq!(first.status, 200);
    assert_eq!(post(&app, None, batch).await, first);
    let (a, b) = (users(&tables, "a").await, users(&tables, "b").await);
    assert_eq!((a, b, keys(&tables).await), (1, 1, 2));

    // One of a header would be the key of both.
    let both = json!([{ "query": create("c") }, { "query": "{ __typename }" }]);
    let refused = post(&app, Some("k"), both).await;
    let body = refused.body();
    assert_eq!(
        body[0]["errors"][0]["extensions"]["code"], "BAD_USER_INPUT",
        "{body}"
    );
    assert_eq!(body[1]["data"]["__typename"], "Query", "{body}");
    let alone = post(&app, Some("k"), json!([{ "query": create("c") }])).await;
    assert_eq!(
        post(&app, Some("k"), json!([{ "query": create("c") }])).await,
        alone
    );
    assert_eq!(users(&tables, "c").await, 1);
}
