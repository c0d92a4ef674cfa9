//! How much one user may have in flight.

use std::time::Duration;

use gom_test_support::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::Shop;
use gom_test_support::browser::{Browser, Reply};

const ORDERS: &str = "{ orders { uid } }";
const WAITING: &str = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

async fn ask(browser: &Browser, query: &str) -> Reply {
    browser.clone().graphql(query, json!({})).await
}

/// Started, and not awaited.
fn started(browser: &Browser, query: &'static str) -> actix_web::rt::task::JoinHandle<Reply> {
    let browser = browser.clone();
    actix_web::rt::spawn(async move { ask(&browser, query).await })
}

#[actix_web::test]
async fn a_user_at_the_in_flight_limit_is_refused_and_others_are_served() {
    // What is held stays in flight however long the rest takes on a busy machine.
    let shop = Shop::open(&[
        ("GOM__LIMITS__IN_FLIGHT_PER_USER", "2"),
        ("GOM__LIMITS__WAITING_PER_USER", "1"),
        ("GOM__LIMITS__DEADLINE", "120000"),
        ("GOM__DATABASE__STATEMENT_TIMEOUT", "120000"),
    ])
    .await;
    let (hostile, other) = (shop.seller("attacker").await, shop.seller("victim").await);
    let client = shop.database.connect().await;
    client
        .batch_execute(r#"begin; lock table "default$default"."Order""#)
        .await
        .unwrap();
    let watcher = shop.database.connect().await;
    let waiting = async || {
        watcher
            .query_one(WAITING, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };

    // Two are carried out, of which one or both wait for the lock, and one waits for its turn.
    let mut held = vec![
        started(&hostile, ORDERS),
        started(
            &hostile,
            "mutation { updateOrder(where: {uid: \"x\"}, data: {}) { uid } }",
        ),
    ];
    eventually("both wait for the lock", async || waiting().await == 2).await;
    // Of two more, the one that comes first waits, and the other is refused at once.
    let more = [started(&hostile, ORDERS), started(&hostile, ORDERS)];
    let (refused, _, waiting_for_turn) = futures::future::select_all(more).await;
    assert_eq!(refused.unwrap().status, 429);
    held.extend(waiting_for_turn);

    let reply = ask(&hostile, ORDERS).await;
    assert_eq!(reply.code(), (429, "TOO_MANY_REQUESTS"), "{}", reply.body);
    assert_eq!(reply.header("retry-after"), "1");
    let message = reply.body["errors"][0]["message"].as_str().unwrap();
    let expected = "A user may have 2 operations in flight (limits.in_flight_per_user) and 1 waiting \
                    (limits.waiting_per_user), 3 together; nothing was done. Try again.";
    assert_eq!(message, expected);
    for query in [
        "subscription { order { mutation } }",
        "query @live { user(where: {extUid: \"attacker\"}) { uid } }",
    ] {
        assert!(
            events(&hostile, query).await.contains("TOO_MANY_REQUESTS"),
            "{query}"
        );
    }
    // What does not get to a turn is answered at once, and others have turns of their own.
    assert_eq!(
        ask(&hostile, "{ nothing }").await.code().1,
        "GRAPHQL_VALIDATION_FAILED"
    );
    let query =
        "subscription ($where: OrderSubscriptionWhereInput) { order(where: $where) { mutation } }";
    let body = json!({ "query": query, "variables": { "where": 1 } });
    let answer = raw(&hostile, &body, &[("accept", "text/event-stream")]).await;
    assert!(answer.contains("BAD_USER_INPUT"), "{answer}");
    let reply = ask(&other, "{ user(where: {extUid: \"victim\"}) { business } }").await;
    assert_eq!(
        reply.body["data"]["user"],
        json!({ "business": "Flan" }),
        "{}",
        reply.body
    );

    client.batch_execute("rollback").await.unwrap();
    for reply in futures::future::join_all(held).await {
        assert_ne!(reply.unwrap().status, 429);
    }
    let reply = ask(&hostile, ORDERS).await;
    assert_eq!(
        reply.body["data"]["orders"].as_array().map(Vec::len),
        Some(50),
        "{}",
        reply.body
    );
}

#[actix_web::test]
async fn disconnecting_and_reconnecting_does_not_raise_the_in_flight_limit() {
    let shop = Shop::open(&[
        ("GOM__LIMITS__IN_FLIGHT_PER_USER", "2"),
        ("GOM__LIMITS__WAITING_PER_USER", "0"),
        ("GOM__LIMITS__DEADLINE", "120000"),
        ("GOM__DATABASE__STATEMENT_TIMEOUT", "120000"),
    ])
    .await;
    let hostile = shop.seller("attacker").await;
    let client = shop.database.connect().await;
    client
        .batch_execute(r#"begin; lock table "default$default"."Order""#)
        .await
        .unwrap();
    let watcher = shop.database.connect().await;
    let waiting = async || {
        watcher
            .query_one(WAITING, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    let update = "mutation { updateOrder(where: {uid: \"x\"}, data: {}) { uid } }";
    let held = [started(&hostile, update), started(&hostile, update)];
    eventually("both wait for the lock", async || waiting().await == 2).await;
    held.iter().for_each(|request| request.abort());
    // Their transactions go on to their ends.
    for _ in 0..5 {
        // One that gets a turn waits for the lock as well.
        let refused = tokio::time::timeout(Duration::from_secs(30), ask(&hostile, update)).await;
        let reply = refused.expect("the two have kept their turns");
        assert_eq!(reply.status, 429, "{}", reply.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.batch_execute("rollback").await.unwrap();
    eventually("they have ended", async || {
        ask(&hostile, ORDERS).await.status == 200
    })
    .await;
}

#[actix_web::test]
async fn an_operation_is_judged_by_what_waits_to_be_read_when_its_turn_has_come() {
    let shop = Shop::open(&[("GOM__LIMITS__WAITING_BYTES", "1024")]).await;
    let hostile = shop.seller("attacker").await;
    // Both are admitted with their batch, when nothing waits; the first answer has more than 1 KB and waits for the second.
    let batch = json!([{ "query": ORDERS }, { "query": "{ orders(first: 1) { uid } }" }]);
    let answers: Value = serde_json::from_str(&raw(&hostile, &batch, &[]).await).unwrap();
    assert_eq!(
        answers[0]["data"]["orders"].as_array().map(Vec::len),
        Some(50),
        "{answers}"
    );
    assert_eq!(
        answers[1]["errors"][0]["extensions"]["code"], "TOO_MANY_REQUESTS",
        "{answers}"
    );
    let expected = "Earlier answers and events wait to be read; the limit is 1024 bytes (limits.waiting_bytes). Nothing was \
                    done. Read them, and try again.";
    assert_eq!(answers[1]["errors"][0]["message"], expected);
    // What was read does not wait any more.
    let reply = ask(&hostile, ORDERS).await;
    assert_eq!(
        reply.body["data"]["orders"].as_array().map(Vec::len),
        Some(50),
        "{}",
        reply.body
    );
}

/// What is answered as events, to its end.
async fn events(browser: &Browser, query: &str) -> String {
    let body = json!({ "query": query });
    let headers = [("accept", "text/event-stream")];
    raw(browser, &body, &headers).await
}

async fn raw(browser: &Browser, body: &Value, headers: &[(&str, &str)]) -> String {
    let cookies: Vec<_> = browser
        .jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut request = reqwest::Client::new()
        .request(Method::POST, browser.url("/graphql"))
        .header("cookie", cookies.join("; "))
        .header("x-csrf-token", browser.jar["csrf-token"].as_str())
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
        .body(body.to_string())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}
