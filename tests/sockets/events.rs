//! Server-sent events: one operation for each connection.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::transport_ws::{BEGINNING, NEW_USERS, create_user};
use crate::wire::{cookies, token};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{CODE, OTHER_SELLER, SELLER, seller, shops};

async fn ask(app: &TestApp, query: &str, last: Option<&str>) -> Response {
    let request = Client::new()
        .post(format!("{}/graphql", app.address))
        .header("accept", "text/event-stream");
    let request = match last {
        Some(last) => request.header("last-event-id", last),
        None => request,
    };
    let body = json!({ "query": query }).to_string();
    let request = request
        .header("content-type", "application/json")
        .body(body);
    request
        .bearer_auth(token(app, Duration::from_secs(3_600)))
        .send()
        .await
        .unwrap()
}

/// Reads until a text is there.
async fn until(
    text: &str,
    response: &mut (impl futures::Stream<Item = reqwest::Result<impl AsRef<[u8]>>> + Unpin),
) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let part = timeout(Duration::from_secs(10), response.next())
            .await
            .unwrap_or_else(|_| panic!("{read}"));
        let Some(Ok(part)) = part else {
            panic!("it ended: {read}")
        };
        read.push_str(std::str::from_utf8(part.as_ref()).unwrap());
    }
    read
}

fn last_id(text: &str) -> &str {
    text.lines()
        .rev()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
}

#[actix_web::test]
async fn queries_complete_and_subscriptions_resume() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[("sockets.heartbeat", "500")]).await;
    let response = ask(&app, "{ __typename }", None).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let whole = response.text().await.unwrap();
    assert!(
        whole.contains("event: next\ndata: {\"data\":{\"__typename\":\"Query\"}}\n\n"),
        "{whole}"
    );
    assert!(whole.ends_with("event: complete\ndata:\n\n"), "{whole}");
    assert!(!whole.contains("retry"), "nobody comes back: {whole}");
    let refused = ask(&app, "{ nothing }", None).await.text().await.unwrap();
    assert!(
        refused.contains("\"errors\"") && refused.ends_with("event: complete\ndata:\n\n"),
        "{refused}"
    );
    let refused = ask(&app, NEW_USERS, Some("malformed"))
        .await
        .text()
        .await
        .unwrap();
    assert!(refused.contains("BAD_USER_INPUT"), "{refused}");

    let mut events = Box::pin(ask(&app, NEW_USERS, None).await.bytes_stream());
    let head = until("\n\n", &mut events).await;
    let retry = head
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("retry: "));
    let retry: u64 = retry.expect("a delay comes first").parse().unwrap();
    assert!((500..=2_500).contains(&retry), "{head}");
    create_user(&app, "one").await;
    let first = until("one", &mut events).await;
    until("\n:\n\n", &mut events).await;
    drop(events);
    create_user(&app, "two").await;
    for (cursor, expected) in [
        (last_id(&first), &["two"][..]),
        (last_id(&head), &["one", "two"]),
    ] {
        let mut events = Box::pin(ask(&app, NEW_USERS, Some(cursor)).await.bytes_stream());
        let read = until("two", &mut events).await;
        let seen = read.lines().filter_map(|line| line.strip_prefix("data: "));
        let seen: Vec<Value> = seen
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        let uids: Vec<_> = seen
            .iter()
            .map(|data| data["data"]["user"]["node"]["extUid"].as_str().unwrap())
            .collect();
        assert_eq!(uids, expected);
    }
}

#[actix_web::test]
async fn a_logout_ends_event_streams() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    let request = Client::new()
        .post(format!("{}/graphql", app.address))
        .header("accept", "text/event-stream")
        .header("content-type", "application/json")
        .header("cookie", cookies(&browser))
        .body(json!({ "query": "subscription { order { mutation } }" }).to_string());
    let bare = request.try_clone().unwrap().send().await.unwrap();
    assert_eq!(
        bare.status(),
        StatusCode::FORBIDDEN,
        "as for any POST, a page has to know its token"
    );
    let response = request
        .header("x-csrf-token", &browser.jar["csrf-token"])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let events = response.text();
    assert_eq!(browser.log_out().await.status, StatusCode::NO_CONTENT);
    timeout(Duration::from_secs(10), events)
        .await
        .expect("it ends")
        .unwrap();
}

#[actix_web::test]
async fn other_sites_pages_get_no_stream_and_get_asks_no_mutation() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let browser = seller(&app).await;
    let get = |query: &str| {
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let request = Client::new().get(format!("{}/graphql?query={query}", app.address));
        request
            .header("accept", "text/event-stream")
            .header("cookie", cookies(&browser))
    };
    let mutation = r#"mutation { createBp(data: { name1: "Luz" }) { uid } }"#;
    let foreign = get("{ orders { uid } }")
        .header("origin", "https://evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let refused = get(mutation).send().await.unwrap().text().await.unwrap();
    assert!(
        refused.contains("BAD_USER_INPUT") && refused.contains("POST"),
        "{refused}"
    );
    let asked = get("{ orders { uid } }")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(asked.contains(r#"{"data":{"orders":[]}}"#), "{asked}");
}

#[actix_web::test]
async fn an_order_that_comes_from_another_shop_shows_nothing_of_its_time_there() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let browser = seller(&app).await;
    let create = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }";
    let to = |code: &str| json!({ "connect": { "extUid": code } });
    let data = json!({ "name": "before", "assignedTo": to(OTHER_SELLER), "issuedTo": to(CODE) });
    let created = app.data(create, json!({ "data": data })).await;
    let uid = created["createOrder"]["uid"].as_str().unwrap();
    let query = "subscription { order { mutation previousValues { name } node { name } } }";
    let request = Client::new()
        .post(format!("{}/graphql", app.address))
        .header("cookie", cookies(&browser));
    let request = request
        .header("accept", "text/event-stream")
        .header("content-type", "application/json");
    let request = request.header("x-csrf-token", &browser.jar["csrf-token"]);
    let response = request
        .body(json!({ "query": query }).to_string())
        .send()
        .await
        .unwrap();
    let mut events = Box::pin(response.bytes_stream());
    until("\n\n", &mut events).await;
    tokio::time::sleep(BEGINNING).await;
    let update = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }";
    for data in [
        json!({ "name": "hidden" }),
        json!({ "name": "here", "assignedTo": to(SELLER) }),
        json!({ "name": "later" }),
    ] {
        app.data(update, json!({ "uid": uid, "data": data })).await;
    }
    let received = until("\"previousValues\":{", &mut events).await;
    let received: Vec<Value> = received
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap()["data"]["order"].take())
        .collect();
    // Earlier changes may be delivered, because they were read when the order already belonged to this shop; their previous
    // values are not.
    let (last, earlier) = received.split_last().unwrap();
    assert_eq!(last["previousValues"]["name"], "here", "{received:?}");
    assert!(
        !earlier.is_empty()
            && earlier
                .iter()
                .all(|event| event["previousValues"].is_null()),
        "{received:?}"
    );
}
