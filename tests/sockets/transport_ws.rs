//! `graphql-transport-ws`: what it answers, and each of its close codes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

use crate::wire::{Got, TRANSPORT_WS, Wire, init, token};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};

pub const NEW_USERS: &str =
    "subscription { user(where: { mutation_in: [CREATED] }) { mutation node { extUid } } }";

/// Neither protocol acknowledges a subscription; until it has begun, writes cause no events for it.
pub const BEGINNING: Duration = Duration::from_secs(1);

pub async fn create_user(app: &TestApp, uid: &str) {
    tokio::time::sleep(BEGINNING).await;
    create_user_now(app, uid).await;
}

pub async fn create_user_now(app: &TestApp, uid: &str) {
    let data = json!({ "extUid": uid, "business": "Tacos" });
    app.data(
        "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }",
        json!({ "data": data }),
    )
    .await;
}

fn subscribe(id: &str, query: &str) -> Value {
    json!({ "id": id, "type": "subscribe", "payload": { "query": query } })
}

/// A client may list protocols in one line or in several (RFC 6455, 11.3.4).
#[actix_web::test]
async fn the_negotiated_protocol_is_the_announced_one() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    for (lines, announced) in [
        (&["graphql-transport-ws"][..], Some("graphql-transport-ws")),
        (
            &["chat", "graphql-transport-ws"],
            Some("graphql-transport-ws"),
        ),
        (
            &[
                "chat, superchat",
                "soap, graphql-ws",
                "graphql-transport-ws",
            ],
            Some("graphql-ws"),
        ),
        (&["graphql-subscriptions"], Some("graphql-subscriptions")),
        (&["chat"], None),
        (&[], None),
    ] {
        let mut request = reqwest::Client::new()
            .get(format!("{}/graphql", app.address))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for line in lines {
            request = request.header("sec-websocket-protocol", *line);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 101, "{lines:?}");
        let found = response
            .headers()
            .get("sec-websocket-protocol")
            .map(|value| value.to_str().unwrap());
        assert_eq!(found, announced, "{lines:?}");
    }
}

#[actix_web::test]
async fn each_fault_has_its_close_code() {
    let place = Place::new(Stores::Postgres).await;
    // A fault is found long before the time for the init message is over, however slow the machine; only those without one
    // meet a server that does not wait.
    let app = place.serve(&[("sockets.init_timeout", "60000")]).await;
    let hasty = place.serve(&[("sockets.init_timeout", "500")]).await;
    let good = init(&token(&app, Duration::from_secs(3_600))).to_string();
    let bad = init("malformed").to_string();
    let twice = subscribe("1", NEW_USERS).to_string();
    let cases: &[(&[&str], u16)] = &[
        (&["no json"], 4400),
        (&["[]"], 4400),
        (&["null"], 4400),
        (&["{}"], 4400),
        (&[r#"{"type":1}"#], 4400),
        (&[r#"{"type":"start"}"#], 4400),
        (&[r#"{"type":"connection_init","payload":"text"}"#], 4400),
        (&[r#"{"type":"complete"}"#], 4400),
        (
            &[
                &good,
                r#"{"type":"subscribe","payload":{"query":"{ __typename }"}}"#,
            ],
            4400,
        ),
        (
            &[
                &good,
                r#"{"id":"","type":"subscribe","payload":{"query":"{ __typename }"}}"#,
            ],
            4400,
        ),
        (
            &[
                &good,
                r#"{"id":1,"type":"subscribe","payload":{"query":"{ __typename }"}}"#,
            ],
            4400,
        ),
        (&[&good, r#"{"id":"1","type":"subscribe"}"#], 4400),
        (
            &[&good, r#"{"id":"1","type":"subscribe","payload":{}}"#],
            4400,
        ),
        (
            &[
                &good,
                r#"{"id":"1","type":"subscribe","payload":{"query":1}}"#,
            ],
            4400,
        ),
        (
            &[
                &good,
                r#"{"id":"1","type":"subscribe","payload":{"query":"","variables":[]}}"#,
            ],
            4400,
        ),
        (
            &[r#"{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}"#],
            4401,
        ),
        (&[&bad], 4403),
        (&[r#"{"type":"connection_init"}"#], 4403),
        (&[], 4408),
        (&[r#"{"type":"ping"}"#], 4408),
        (&[&good, &twice, &twice], 4409),
        (&[&good, &good], 4429),
    ];
    for (messages, code) in cases {
        let app = if *code == 4408 { &hasty } else { &app };
        let mut wire = Wire::open(app, TRANSPORT_WS, &[]).await.unwrap();
        for message in *messages {
            wire.say(message).await;
        }
        assert_eq!(wire.end().await, *code, "{messages:?}");
    }
    assert_eq!(Wire::open(&app, "", &[]).await.unwrap().end().await, 4406);
}

#[actix_web::test]
async fn queries_are_answered_and_subscriptions_last() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    let mut wire = Wire::service(&app, TRANSPORT_WS).await;
    wire.send(json!({ "type": "ping" })).await;
    assert_eq!(wire.text().await, json!({ "type": "pong" }));
    wire.send(subscribe("q", "{ users { extUid } }")).await;
    let next = json!({ "id": "q", "type": "next", "payload": { "data": { "users": [] } } });
    assert_eq!(wire.text().await, next);
    assert_eq!(wire.text().await, json!({ "id": "q", "type": "complete" }));

    wire.send(subscribe("q", "{ users {")).await;
    let refused = wire.text().await;
    assert_eq!(
        (&refused["type"], &refused["id"]),
        (&json!("error"), &json!("q")),
        "the id is free again"
    );
    assert!(refused["payload"][0]["message"].is_string(), "{refused}");

    wire.send(subscribe("s", NEW_USERS)).await;
    wire.send(subscribe("after", "{ __typename }")).await;
    assert_eq!(wire.text().await["type"], "next");
    assert_eq!(wire.text().await["type"], "complete");
    create_user(&app, "one").await;
    let event = wire.text().await;
    let user = json!({ "user": { "mutation": "CREATED", "node": { "extUid": "one" } } });
    assert_eq!(
        (&event["id"], &event["type"], &event["payload"]["data"]),
        (&json!("s"), &json!("next"), &user)
    );
    let cursor = event["payload"]["extensions"]["cursor"]
        .as_str()
        .unwrap()
        .to_owned();

    wire.send(json!({ "id": "s", "type": "complete" })).await;
    create_user(&app, "two").await;
    assert!(wire.is_quiet().await, "nothing follows");

    // What was missed comes after.
    let mut again = subscribe("s", NEW_USERS);
    again["payload"]["extensions"] = json!({ "cursor": cursor });
    let mut other = Wire::service(&app, TRANSPORT_WS).await;
    other.send(again.clone()).await;
    assert_eq!(
        other.text().await["payload"]["data"]["user"]["node"]["extUid"],
        "two"
    );
    for malformed in [json!("malformed"), json!(7)] {
        again["id"] = json!("bad");
        again["payload"]["extensions"]["cursor"] = malformed;
        other.send(again.clone()).await;
        let refused = other.text().await;
        assert_eq!(refused["type"], "error");
        assert_eq!(
            refused["payload"][0]["extensions"]["code"], "BAD_USER_INPUT",
            "{refused}"
        );
    }
}

#[actix_web::test]
async fn a_socket_closes_with_its_token_unless_the_token_is_renewed() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    // Clocks may differ by ten seconds; that is added to every token.
    let short = || token(&app, Duration::ZERO);
    let leeway = Duration::from_secs(10);
    let mut ending = Wire::open(&app, TRANSPORT_WS, &[]).await.unwrap();
    let mut renewed = Wire::open(&app, TRANSPORT_WS, &[]).await.unwrap();
    for wire in [&mut ending, &mut renewed] {
        wire.send(init(&short())).await;
        assert_eq!(wire.text().await["type"], "connection_ack");
    }
    let bearer = format!("Bearer {}", token(&app, Duration::from_secs(60)));
    renewed
        .send(json!({ "type": "ping", "payload": { "authorization": bearer } }))
        .await;
    assert_eq!(renewed.text().await["type"], "pong");
    tokio::time::sleep(leeway).await;
    assert!(matches!(ending.got().await, Got::Closed(4403, reason) if reason.contains("expired")));
    assert!(renewed.is_quiet().await);
    renewed.send(subscribe("q", "{ __typename }")).await;
    assert_eq!(renewed.text().await["type"], "next");
    renewed
        .send(json!({ "type": "ping", "payload": { "authorization": "Bearer malformed" } }))
        .await;
    assert_eq!(renewed.end().await, 4403, "a wrong token is not overlooked");
}

#[actix_web::test]
async fn a_large_message_is_read_in_its_order() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    // By now the server has assigned the cursor of an acknowledgement.
    Wire::service(&app, TRANSPORT_WS).await;
    for parts in [1, 3] {
        let mut wire = Wire::open(&app, TRANSPORT_WS, &[]).await.unwrap();
        let mut first = init(&token(&app, Duration::from_secs(3_600)));
        first["payload"]["padding"] = json!("x".repeat(100_000));
        let first = first.to_string();
        for (n, part) in first
            .as_bytes()
            .chunks(first.len().div_ceil(parts))
            .enumerate()
        {
            let data = if n == 0 { Data::Text } else { Data::Continue };
            wire.frame(data, part.to_vec(), n + 1 == parts).await;
        }
        // A client that has not authenticated yet is closed with 4401.
        let mut second = subscribe(
            "1",
            "query($x: String) { users(where: { extUid: $x }) { uid } }",
        );
        second["payload"]["variables"] = json!({ "x": "x".repeat(50_000) });
        wire.send(second).await;
        wire.send(json!({ "type": "ping" })).await;
        let mut types = Vec::new();
        while !types.contains(&json!("complete")) || !types.contains(&json!("pong")) {
            types.push(wire.text().await["type"].clone());
        }
        assert_eq!(types.first(), Some(&json!("connection_ack")), "{types:?}");
        assert!(types.contains(&json!("next")), "{types:?}");
    }
}
