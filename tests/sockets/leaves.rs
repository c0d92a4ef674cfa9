//! Orders that leave a seller's sight are reported to a subscriber that asks for it, over every transport, and to nobody else.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cursorless::known;
use crate::wire::{LEGACY, TRANSPORT_WS, Wire, cookies};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{CODE, OTHER_SELLER, SELLER, customer, seller, shops};

const OPEN: &str =
    "subscription { it: order(where: { node: { stage: OPEN } }) { mutation node { uid } } }";
const PATIENCE: Duration = Duration::from_secs(60);

async fn order(app: &TestApp) -> String {
    let to = |uid: &str| json!({ "connect": { "extUid": uid } });
    let data =
        json!({ "name": "taco", "stage": "OPEN", "assignedTo": to(SELLER), "issuedTo": to(CODE) });
    let create = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }";
    let created = app.data(create, json!({ "data": data })).await;
    created["createOrder"]["uid"].as_str().unwrap().to_owned()
}

async fn update(app: &TestApp, uid: &str, data: Value) {
    let update = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }";
    app.data(update, json!({ "uid": uid, "data": data })).await;
}

async fn to_other_seller(app: &TestApp, uid: &str) {
    let data = json!({ "assignedTo": { "connect": { "extUid": OTHER_SELLER } } });
    update(app, uid, data).await;
}

fn left(message: &Value, uid: &str) -> bool {
    let extensions = message["extensions"].as_object().unwrap();
    message["data"] == json!({ "it": null })
        && extensions["left"] == json!([{ "type": "Order", "id": uid }])
        && extensions["cursor"].is_string()
        && extensions.len() == 2
}

/// Places orders until the subscription has one: from then on it misses nothing.
async fn begin(app: &TestApp, next: &mut impl AsyncFnMut() -> Value) -> String {
    for _ in 0..200 {
        let uid = order(app).await;
        if let Ok(first) = timeout(Duration::from_millis(300), next()).await {
            let mut event = first;
            while event["data"]["it"]["node"]["uid"] != uid.as_str() {
                event = timeout(PATIENCE, next()).await.unwrap();
            }
            return uid;
        }
    }
    panic!("the subscription begins");
}

async fn socket(app: &TestApp, protocol: &str, jar: &str, leaves: bool) -> Wire {
    let mut wire = Wire::open(app, protocol, &[("cookie", jar)]).await.unwrap();
    wire.send(json!({ "type": "connection_init", "payload": {} }))
        .await;
    assert_eq!(wire.text().await["type"], "connection_ack");
    let kind = if protocol == LEGACY {
        "start"
    } else {
        "subscribe"
    };
    let mut payload = json!({ "query": OPEN });
    if leaves {
        payload["extensions"] = json!({ "leaves": true });
    }
    wire.send(json!({ "id": "1", "type": kind, "payload": payload }))
        .await;
    wire
}

#[actix_web::test]
async fn sockets_that_ask_for_leaves_get_them_and_no_others() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&seller(&app).await);
    for protocol in [TRANSPORT_WS, LEGACY] {
        let mut plain = socket(&app, protocol, &jar, false).await;
        let mut of_plain = async || plain.text().await["payload"].take();
        begin(&app, &mut of_plain).await;
        let mut wire = socket(&app, protocol, &jar, true).await;
        let mut next = async || wire.text().await["payload"].take();
        let first = begin(&app, &mut next).await;
        let second = order(&app).await;
        let created = next().await;
        assert_eq!(created["data"]["it"]["mutation"], "CREATED");
        assert_eq!(
            created["extensions"]["left"],
            json!([]),
            "it reports leaves"
        );
        update(&app, &first, json!({ "stage": "WON" })).await;
        let message = next().await;
        assert!(left(&message, &first), "{message}");
        to_other_seller(&app, &second).await;
        let message = next().await;
        assert!(left(&message, &second), "{message}");
        // What is out already does not leave again.
        to_other_seller(&app, &first).await;
        let last = order(&app).await;
        assert_eq!(next().await["data"]["it"]["node"]["uid"], last.as_str());
        // A subscriber that has not asked gets events of orders that are there, and nothing else.
        loop {
            let event = of_plain().await;
            assert!(event["extensions"].get("left").is_none(), "{event}");
            let uid = event["data"]["it"]["node"]["uid"].as_str().unwrap();
            if uid == last {
                break;
            }
        }
    }
}

async fn stream(app: &TestApp, jar: &str, last: Option<&str>, extensions: &str) -> Response {
    let encoded =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let address = format!(
        "{}/graphql?query={}&extensions={}",
        app.address,
        encoded(OPEN),
        encoded(extensions)
    );
    let request = Client::new()
        .get(address)
        .header("accept", "text/event-stream")
        .header("cookie", jar);
    let request = match last {
        Some(last) => request.header("last-event-id", last),
        None => request,
    };
    request.send().await.unwrap()
}

async fn until(text: &str, response: &mut Response, read: &mut String) {
    while !read.contains(text) {
        let part = timeout(PATIENCE, response.chunk()).await;
        let part = part.unwrap_or_else(|_| panic!("{text}: {read}")).unwrap();
        let part = part.unwrap_or_else(|| panic!("it ended: {read}"));
        read.push_str(std::str::from_utf8(&part).unwrap());
    }
}

#[actix_web::test]
async fn a_stream_that_resumes_gets_what_left_meanwhile() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&seller(&app).await);
    let leaves = r#"{"leaves":true}"#;
    let mut read = String::new();
    let mut events = stream(&app, &jar, None, leaves).await;
    until("id: ", &mut events, &mut read).await;
    let beginning = read.lines().find_map(|line| line.strip_prefix("id: "));
    let beginning = beginning.unwrap().to_owned();
    let uid = order(&app).await;
    until(&uid, &mut events, &mut read).await;
    to_other_seller(&app, &uid).await;
    until("\"left\":[{", &mut events, &mut read).await;
    drop(events);
    let mut again = String::new();
    let mut events = stream(&app, &jar, Some(&beginning), leaves).await;
    until("\"left\":[{", &mut events, &mut again).await;
    let left_line = |read: &str| -> Option<String> {
        let mut lines = read.lines().filter(|line| line.contains("\"left\":[{"));
        lines.next().map(str::to_owned)
    };
    assert_eq!(left_line(&again), left_line(&read), "the same text");
    assert!(
        !again.contains("CREATED"),
        "it is not theirs any more: {again}"
    );
}

#[actix_web::test]
async fn leaves_are_refused_where_they_would_not_be_reported() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&seller(&app).await);
    let mut wire = socket(&app, TRANSPORT_WS, &jar, false).await;
    let own_phone =
        "subscription { order(where: { node: { issuedTo: { phone: \"55\" } } }) { mutation } }";
    for (query, leaves, says) in [
        ("{ orders { uid } }", json!(true), "only subscriptions"),
        (
            "query @live { orders { uid } }",
            json!(true),
            "only subscriptions",
        ),
        (OPEN, json!("yes"), "true or false"),
        (own_phone, json!(true), "'phone' of 'Bp'"),
    ] {
        let payload = json!({ "query": query, "extensions": { "leaves": leaves } });
        wire.send(json!({ "id": "r", "type": "subscribe", "payload": payload }))
            .await;
        let answer = wire.text().await.to_string();
        assert!(answer.contains("BAD_USER_INPUT"), "{query}: {answer}");
        assert!(
            answer.contains("extensions.leaves") && answer.contains(says),
            "{answer}"
        );
    }
    // Without a transport that could carry them, too.
    let uid = order(&app).await;
    for query in [
        "{ orders { uid } }",
        "query @live { orders { uid } }",
        "mutation { deleteManyOrders { count } }",
    ] {
        let body = json!({ "query": query, "extensions": { "leaves": true } });
        let answer = app.post(body.to_string()).await;
        assert_eq!(answer.code(), "BAD_USER_INPUT", "{query}");
        assert!(
            answer.message().contains("only subscriptions"),
            "{query}: {}",
            answer.message()
        );
    }
    let orders = app.data("{ orders { uid } }", json!({})).await;
    assert_eq!(
        orders["orders"],
        json!([{ "uid": uid }]),
        "nothing was done"
    );
}

#[actix_web::test]
async fn a_customer_gets_leaves_of_orders_that_go_to_another_shop() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&customer(&app).await);
    let mut wire = socket(&app, TRANSPORT_WS, &jar, true).await;
    let mut next = async || wire.text().await["payload"].take();
    let uid = begin(&app, &mut next).await;
    to_other_seller(&app, &uid).await;
    let message = next().await;
    assert!(left(&message, &uid), "{message}");
}

/// Another subscription would begin from now, and the set would lack what came in between.
#[actix_web::test]
async fn a_set_of_a_client_without_cursors_whose_position_is_trimmed_is_to_be_read_again() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&seller(&app).await);
    let mut wire = socket(&app, LEGACY, &jar, true).await;
    let mut next = async || wire.text().await["payload"].take();
    begin(&app, &mut next).await;
    drop(wire);
    known(&place, "left_at IS NOT NULL AND claimed_at IS NULL", 1).await;
    order(&app).await;
    let database = place.database.connect().await;
    for trim in [
        "SELECT gom.stamp_changes()",
        "UPDATE gom.feed SET oldest = position",
    ] {
        database.execute(trim, &[]).await.unwrap();
    }
    let mut wire = socket(&app, LEGACY, &jar, true).await;
    let ended = wire.text().await;
    let code = &ended["payload"]["errors"][0]["extensions"]["code"];
    assert_eq!(code, "RESYNC_REQUIRED", "{ended}");
}
