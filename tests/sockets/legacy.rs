//! `graphql-ws`, as subscriptions-transport-ws 0.9 speaks it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::transport_ws::{NEW_USERS, create_user};
use crate::wire::{Got, LEGACY, Wire, init, token};
use gom_test_support::place::{Place, Stores};

fn start(id: impl Into<Value>, query: &str) -> Value {
    let payload =
        json!({ "query": query, "variables": {}, "extensions": {}, "operationName": null });
    json!({ "id": id.into(), "type": "start", "payload": payload })
}

#[actix_web::test]
async fn a_start_does_not_wait_for_the_ack() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    let mut wire = Wire::open(&app, LEGACY, &[]).await.unwrap();
    wire.send(init(&token(&app, Duration::from_secs(3_600))))
        .await;
    wire.send(start("1", NEW_USERS)).await;
    wire.send(start(7, "{ __typename }")).await;
    assert_eq!(
        wire.text().await,
        json!({ "type": "connection_ack" }),
        "without a payload, and no ka"
    );
    let data = json!({ "type": "data", "id": 7, "payload": { "data": { "__typename": "Query" } } });
    assert_eq!(wire.text().await, data);
    assert_eq!(
        wire.text().await,
        json!({ "type": "complete", "id": 7, "payload": null })
    );
    create_user(&app, "one").await;
    let event = wire.text().await;
    assert_eq!(
        (&event["type"], &event["id"]),
        (&json!("data"), &json!("1"))
    );
    assert_eq!(event["payload"]["data"]["user"]["node"]["extUid"], "one");

    // The same id again replaces it.
    wire.send(start("1", NEW_USERS)).await;
    wire.send(start("q", "{ __typename }")).await;
    assert_eq!(
        (
            wire.text().await["id"].take(),
            wire.text().await["id"].take()
        ),
        (json!("q"), json!("q"))
    );
    create_user(&app, "two").await;
    assert_eq!(
        wire.text().await["payload"]["data"]["user"]["node"]["extUid"],
        "two"
    );
    assert!(wire.is_quiet().await, "once");
    wire.send(json!({ "id": "1", "type": "stop" })).await;
    create_user(&app, "three").await;
    assert!(wire.is_quiet().await, "stopped");
    wire.send(json!({ "type": "connection_terminate", "payload": null }))
        .await;
    assert_eq!(wire.end().await, 1000);
}

#[actix_web::test]
async fn faults_are_answered_with_messages_of_the_legacy_protocol() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[("sockets.init_timeout", "2000")]).await;
    let mut wire = Wire::service(&app, LEGACY).await;
    for (said, kind) in [
        ("no json", "connection_error"),
        ("[]", "connection_error"),
        (r#"{"id":"9","type":"subscribe"}"#, "error"),
        (r#"{"id":"9"}"#, "error"),
        (r#"{"id":"9","type":"start"}"#, "error"),
        (
            r#"{"id":"9","type":"start","payload":{"query":"{ users {"}}"#,
            "error",
        ),
    ] {
        wire.say(said).await;
        let answer = wire.text().await;
        assert_eq!(answer["type"], kind, "{said}: {answer}");
        assert!(answer["payload"]["message"].is_string(), "{said}: {answer}");
        if kind == "error" {
            assert_eq!(answer["id"], "9");
        }
    }
    for query in ["{ nothing }", "subscription { nothing { node { uid } } }"] {
        wire.send(start("v", query)).await;
        let data = wire.text().await;
        assert_eq!(data["type"], "data", "{data}");
        assert!(
            data["payload"]["errors"][0]["message"].is_string(),
            "{data}"
        );
        assert_eq!(wire.text().await["type"], "complete");
    }
    let mut bad_cursor = start("c", NEW_USERS);
    bad_cursor["payload"]["extensions"]["cursor"] = json!("malformed");
    wire.send(bad_cursor).await;
    assert_eq!(
        wire.text().await["payload"]["errors"][0]["extensions"]["code"],
        "BAD_USER_INPUT"
    );
    assert_eq!(wire.text().await["type"], "complete");

    let mut nobody = Wire::open(&app, LEGACY, &[]).await.unwrap();
    nobody
        .send(json!({ "type": "connection_init", "payload": {} }))
        .await;
    nobody.send(start("1", NEW_USERS)).await;
    let refused = json!({ "type": "connection_error", "payload": { "message": "No authorization to connect" } });
    assert_eq!(nobody.text().await, refused);
    assert!(matches!(nobody.got().await, Got::Closed(1011, _)));

    let mut silent = Wire::open(&app, LEGACY, &[]).await.unwrap();
    assert_eq!(silent.text().await["type"], "connection_error");
    assert_eq!(silent.end().await, 1011);
}
