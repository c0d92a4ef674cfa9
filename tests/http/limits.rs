//! What is refused for its size, with the limit and its value.

use gom_test_support::eventually;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use gom_test_support::app::{TestApp, read};

#[actix_web::test]
async fn a_body_beyond_the_limit_is_413_announced_or_not() {
    let app = TestApp::start_with(&[("limits.service.body_bytes", "2000")]).await;
    let fits =
        json!({ "query": "{ __typename }", "variables": { "x": "x".repeat(1_900) } }).to_string();
    assert_eq!(app.post(fits).await.status, StatusCode::OK);

    let body =
        json!({ "query": "{ __typename }", "variables": { "x": "x".repeat(3_000) } }).to_string();
    let announced = app.post(body.clone()).await;
    // In pieces, without Content-Length.
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = body
        .as_bytes()
        .chunks(100)
        .map(|piece| Ok(piece.to_vec()))
        .collect();
    let chunked = app
        .post(reqwest::Body::wrap_stream(futures::stream::iter(pieces)))
        .await;
    for answer in [announced, chunked] {
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(answer.code(), "LIMIT_EXCEEDED");
        let expected =
            "The request's body is too large; the limit is 2000 bytes (limits.service.body_bytes)";
        assert_eq!(answer.message(), expected);
    }
}

#[actix_web::test]
async fn a_batch_beyond_the_limit_is_refused_as_a_whole() {
    let app = TestApp::start_with(&[("limits.service.batch", "2")]).await;
    let one = r#"{"query":"{ __typename }"}"#;
    assert_eq!(
        app.post(format!("[{one},{one}]")).await.status,
        StatusCode::OK
    );
    let answer = app.post(format!("[{one},{one},{one}]")).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::BAD_REQUEST, "LIMIT_EXCEEDED")
    );
    assert_eq!(
        answer.message(),
        "The batch has 3 operations; the limit is 2 (limits.service.batch)"
    );
}

#[actix_web::test]
async fn a_documents_limits_are_the_settings() {
    let app = TestApp::start_with(&[
        ("limits.service.depth", "3"),
        ("limits.service.aliases", "2"),
        ("limits.service.root_fields", "3"),
        ("limits.service.page_size", "5"),
        ("limits.service.tokens", "100"),
    ])
    .await;
    for (query, limit) in [
        (
            "{ orders { items { pricing { amount } } } }".to_owned(),
            "the limit is 3 (limits.service.depth)",
        ),
        (
            "{ a: __typename b: __typename c: __typename }".to_owned(),
            "the limit is 2 (limits.service.aliases)",
        ),
        (
            "{ orders { uid } items { uid } prices { uid } users { uid } }".to_owned(),
            "the limit is 3 (limits.service.root_fields)",
        ),
        (
            format!("{{ {} }}", "__typename ".repeat(101)),
            "the limit is 100 (limits.service.tokens)",
        ),
    ] {
        let answer = app.ask(&query).await;
        assert_eq!(answer.code(), "LIMIT_EXCEEDED", "{query}");
        assert!(answer.message().contains(limit), "{}", answer.message());
    }
    for (size, allowed) in [(5, true), (6, false)] {
        let answer = app
            .ask(&format!("{{ orders(first: {size}) {{ uid }} }}"))
            .await;
        assert_eq!(answer.body["errors"].is_null(), allowed, "{}", answer.body);
        if !allowed {
            assert_eq!(answer.code(), "LIMIT_EXCEEDED");
            assert!(
                answer
                    .message()
                    .contains("the limit is 5 (limits.service.page_size)"),
                "{}",
                answer.message()
            );
        }
    }
}

#[actix_web::test]
async fn a_requests_filters_and_nested_writes_are_bounded_together_and_nothing_of_a_refused_request_is_done()
 {
    let app = TestApp::start_with(&[
        ("limits.service.filter_conditions", "3"),
        ("limits.service.filter_depth", "2"),
        ("limits.service.filter_relations", "3"),
        ("limits.service.filter_bytes", "1024"),
        ("limits.service.nested_writes", "2"),
    ])
    .await;
    let deep = "items_some: {pricing_some: {item: {code: \"x\"}}}";
    let long = "x".repeat(1_025);
    for (query, expected) in [
        (
            "{ orders(where: {name: \"x\", stage_in: [OPEN]}) { items(where: {code: \"x\"}) { uid } } \
             items(where: {code: \"x\"}) { uid } }"
                .to_owned(),
            "The filters have 4 conditions (the rules of the tables that they lead to included); the limit is 3 \
             (limits.service.filter_conditions)",
        ),
        (
            format!("{{ orders(where: {{{deep}}}) {{ uid }} }}"),
            "The filters cross 3 relations one within the other (the rules of the tables that they lead to included); \
             the limit is 2 (limits.service.filter_depth)",
        ),
        (
            "{ a: orders(where: {items_some: {order: {}}}) { uid } b: orders(where: {items_some: {order: {}}}) { uid } }"
                .to_owned(),
            "The filters cross 4 relations in all (the rules of the tables that they lead to included); the limit is 3 \
             (limits.service.filter_relations)",
        ),
        (
            format!("{{ orders(where: {{name: \"{long}\"}}) {{ uid }} }}"),
            "The values in the filters have 1025 bytes; the limit is 1024 (limits.service.filter_bytes)",
        ),
        (
            "mutation { createUser(data: {uid: \"u\", business: \"b\"}) { uid } \
             updateUser(where: {uid: \"u\"}, data: {orders: {create: {name: \"x\", issuedTo: {connect: {uid: \"b\"}}, \
             items: {create: {code: \"x\"}}}}}) { uid } }"
                .to_owned(),
            "The data has 3 nested writes; the limit is 2 (limits.service.nested_writes)",
        ),
        (
            format!(
                "mutation {{ createUser(data: {{uid: \"u\", business: \"b\"}}) {{ uid }} \
                 deleteManyOrders(where: {{{deep}}}) {{ count }} }}"
            ),
            "The filters cross 3 relations one within the other (the rules of the tables that they lead to included); \
             the limit is 2 (limits.service.filter_depth)",
        ),
    ] {
        let answer = app.ask(&query).await;
        assert_eq!((answer.code(), answer.message()), ("LIMIT_EXCEEDED", expected), "{query}");
    }
    assert_eq!(
        app.ask("{ users { uid } }").await.body["data"]["users"],
        json!([]),
        "the first field did nothing"
    );

    // Variables, and operations that have more than one answer.
    let filter = json!({ "items_some": { "pricing_some": { "item": { "code": "x" } } } });
    for (query, filter) in [
        (
            "query ($w: OrderWhereInput) @live { orders(where: $w) { uid } }",
            filter.clone(),
        ),
        (
            "subscription ($w: OrderSubscriptionWhereInput) { order(where: $w) { mutation } }",
            json!({ "node": filter }),
        ),
    ] {
        let body = json!({ "query": query, "variables": { "w": filter } }).to_string();
        let request = app
            .authorized(Method::POST, "/graphql")
            .header("Content-Type", "application/json");
        let answer = request
            .header("Accept", "text/event-stream")
            .body(body)
            .send()
            .await
            .unwrap();
        let text = answer.text().await.unwrap();
        assert!(
            text.contains("LIMIT_EXCEEDED") && text.contains("(limits.service.filter_depth)"),
            "{text}"
        );
    }
}

#[actix_web::test]
async fn a_missing_body_is_abandoned_at_the_deadline() {
    let app = TestApp::start_with(&[("limits.service.deadline", "300")]).await;
    let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = app
        .authorized(Method::POST, "/graphql")
        .header("Content-Type", "application/json")
        .body(reqwest::Body::wrap_stream(never));
    let answer = read(request.send().await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::REQUEST_TIMEOUT, "DEADLINE_EXCEEDED")
    );
}

/// A client that announces a body, and sends a part of it.
async fn sends_a_part(app: &TestApp, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(app.address.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n",
        app.token,
        bytes + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; bytes]).await.unwrap();
    stream
}

#[actix_web::test]
async fn unfinished_bodies_occupy_no_more_than_one_users_share() {
    let app = TestApp::start_with(&[
        ("limits.service.request_bytes", "100000"),
        ("limits.service.body_bytes", "100000"),
        ("limits.service.deadline", "600000"),
    ])
    .await;
    let body = || json!({ "query": "{ __typename }" }).to_string();
    assert_eq!(app.post(body()).await.status, StatusCode::OK);
    // In whatever pieces they arrive, beside whatever else: before the last one there is room.
    let arriving = [
        sends_a_part(&app, 99_000).await,
        sends_a_part(&app, 1_100).await,
    ];
    eventually("as much arrives as may", async || {
        app.post(body()).await.status == StatusCode::TOO_MANY_REQUESTS
    })
    .await;
    let refused = app.post(body()).await;
    assert_eq!(
        (refused.code(), refused.header("Retry-After")),
        ("TOO_MANY_REQUESTS", "1")
    );
    let expected = "Requests of yours arrive, wait, are carried out, or go on as subscriptions; the limit is 100000 bytes \
                    (limits.service.request_bytes). Nothing was done. Try again when some have ended.";
    assert_eq!(refused.message(), expected);
    drop(arriving);
    eventually("they are gone with their clients", async || {
        app.post(body()).await.status == StatusCode::OK
    })
    .await;
}
