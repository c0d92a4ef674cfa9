//! Idempotency keys over websockets: in the extensions of the operation, with every subprotocol, and beside HTTP.

use serde_json::{Value, json};

use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{seller, shops};

use crate::wire::{LEGACY, TRANSPORT_WS, Wire, cookies};

const CREATE: &str = "mutation { createUser(data: { business: \"once\" }) { uid createdAt } }";

/// The payload of an operation's answer, and what kind of message brings it.
async fn send(wire: &mut Wire, protocol: &str, id: &str, payload: Value) -> (String, Value) {
    let kind = if protocol == TRANSPORT_WS {
        "subscribe"
    } else {
        "start"
    };
    wire.send(json!({ "type": kind, "id": id, "payload": payload }))
        .await;
    let mut answer = wire.text().await;
    while answer["type"] == "ka" {
        answer = wire.text().await;
    }
    assert_eq!(answer["id"], id, "{answer}");
    let kind = answer["type"].as_str().unwrap().to_owned();
    if kind == "next" || kind == "data" {
        assert_eq!(wire.text().await["type"], "complete");
    }
    (kind, answer["payload"].take())
}

fn keyed(query: &str, key: &str) -> Value {
    json!({ "query": query, "extensions": { "idempotencyKey": key } })
}

#[actix_web::test]
async fn a_mutation_is_carried_out_once_over_whichever_connection_it_comes() {
    let app = TestApp::start().await;
    let by_http = app.post(keyed(CREATE, "k").to_string()).await;
    let mut wires = Vec::new();
    for protocol in [TRANSPORT_WS, LEGACY] {
        let mut wire = Wire::service(&app, protocol).await;
        for id in ["1", "2"] {
            let (_, payload) = send(&mut wire, protocol, id, keyed(CREATE, "k")).await;
            assert_eq!(payload, by_http.body, "{protocol}");
        }
        wires.push(wire);
    }
    let users = app
        .data("{ usersConnection { aggregate { count } } }", json!({}))
        .await;
    assert_eq!(users["usersConnection"]["aggregate"]["count"], 1);
}

#[actix_web::test]
async fn a_key_of_another_request_or_of_a_subscription_is_refused() {
    let app = TestApp::start().await;
    let mut wire = Wire::service(&app, TRANSPORT_WS).await;
    send(&mut wire, TRANSPORT_WS, "1", keyed(CREATE, "k")).await;
    for (id, query, code) in [
        (
            "2",
            "mutation { deleteManyUsers { count } }",
            "IDEMPOTENCY_KEY_REUSED",
        ),
        (
            "3",
            "subscription { user { node { uid } } }",
            "BAD_USER_INPUT",
        ),
        ("4", "{ users { uid } }", "BAD_USER_INPUT"),
    ] {
        let (kind, payload) = send(&mut wire, TRANSPORT_WS, id, keyed(query, "k")).await;
        assert_eq!(
            (kind.as_str(), &payload[0]["extensions"]["code"]),
            ("error", &json!(code)),
            "{payload}"
        );
    }
    let users = app
        .data("{ usersConnection { aggregate { count } } }", json!({}))
        .await;
    assert_eq!(users["usersConnection"]["aggregate"]["count"], 1);
}

#[actix_web::test]
async fn a_log_out_removes_the_keys_that_came_over_a_websocket() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let tables = place.database.connect().await;
    let create = "mutation { createBp(data: { name1: \"new\", customerOf: { connect: { extUid: \"auth0|seller\" } } }) { uid } }";
    let mut browser = seller(&app).await;
    for protocol in [TRANSPORT_WS, LEGACY] {
        let jar = cookies(&browser);
        let mut wire = Wire::open(&app, protocol, &[("cookie", jar.as_str())])
            .await
            .unwrap();
        wire.send(json!({ "type": "connection_init" })).await;
        assert_eq!(wire.text().await["type"], "connection_ack");
        let (_, payload) = send(&mut wire, protocol, "1", keyed(create, protocol)).await;
        assert_eq!(payload.get("errors"), None, "{payload}");
    }
    let keys = async || {
        let sql = "select count(*) from gom.idempotency_key where session is not null";
        tables.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!(keys().await, 2);
    assert_eq!(browser.log_out().await.status, 204);
    assert_eq!(keys().await, 0);
}
