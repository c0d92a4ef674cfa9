//! More events at once than may wait in a connection, for clients that read.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::transport_ws::BEGINNING;
use crate::wire::{LEGACY, TRANSPORT_WS, Wire, token};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};

const EVENTS: usize = 3_000;
const UPDATES: &str =
    "subscription { user(where: { mutation_in: [UPDATED] }) { node { extUid business } } }";

/// One transaction that changes all users, by plain SQL.
async fn change_all(place: &Place, to: &str) {
    let client = place.database.connect().await;
    client
        .execute(
            "update \"default$default\".\"User\" set business = $1",
            &[&to],
        )
        .await
        .unwrap();
}

async fn with_users(place: &Place, app: &TestApp) {
    let one = |n: usize| {
        format!("u{n}: createUser(data: {{ extUid: \"u{n}\", business: \"Tacos\" }}) {{ uid }} ")
    };
    for first in (0..EVENTS).step_by(500) {
        let mutations: String = (first..first + 500).map(one).collect();
        app.data(&format!("mutation {{ {mutations} }}"), json!({}))
            .await;
    }
    let _ = place;
}

async fn events(wire: &mut Wire, kind: &str, business: &str) -> Value {
    let mut last = Value::Null;
    for n in 0..EVENTS {
        let message = wire.text().await;
        assert_eq!(message["type"], kind, "event {n}: {message}");
        assert_eq!(
            message["payload"]["data"]["user"]["node"]["business"], business,
            "event {n}"
        );
        last = message["payload"]["extensions"]["cursor"].clone();
    }
    last
}

#[actix_web::test]
async fn a_client_that_reads_gets_every_event_of_a_burst_and_of_a_catch_up_over_one_connection() {
    let place = Place::new(Stores::Postgres).await;
    // Thirty times as many as may wait.
    let app = place
        .serve(&[
            ("sockets.queue_messages", "100"),
            ("limits.service.deadline", "60000"),
        ])
        .await;
    with_users(&place, &app).await;
    let mut current = Wire::service(&app, TRANSPORT_WS).await;
    current
        .send(json!({ "id": "s", "type": "subscribe", "payload": { "query": UPDATES } }))
        .await;
    let mut legacy = Wire::service(&app, LEGACY).await;
    legacy
        .send(json!({ "id": "s", "type": "start", "payload": { "query": UPDATES } }))
        .await;
    let request = Client::new()
        .post(format!("{}/graphql", app.address))
        .header("accept", "text/event-stream");
    let request = request
        .header("content-type", "application/json")
        .body(json!({ "query": UPDATES }).to_string());
    let response = request
        .bearer_auth(token(&app, Duration::from_secs(3_600)))
        .send()
        .await
        .unwrap();
    let mut stream = response.bytes_stream();
    sleep(BEGINNING).await;

    change_all(&place, "first").await;
    let cursor = events(&mut current, "next", "first").await;
    events(&mut legacy, "data", "first").await;
    let mut read = String::new();
    while read.matches("event: next").count() < EVENTS {
        let part = timeout(Duration::from_secs(60), stream.next())
            .await
            .expect("something comes");
        read.push_str(std::str::from_utf8(&part.expect("the stream goes on").unwrap()).unwrap());
    }
    current.send(json!({ "type": "ping" })).await;
    assert_eq!(
        current.text().await["type"],
        "pong",
        "the socket stays open"
    );

    // Back after all of a second transaction.
    drop(current);
    change_all(&place, "second").await;
    let mut back = Wire::service(&app, TRANSPORT_WS).await;
    let payload = json!({ "query": UPDATES, "extensions": { "cursor": cursor } });
    back.send(json!({ "id": "s", "type": "subscribe", "payload": payload }))
        .await;
    events(&mut back, "next", "second").await;
    back.send(json!({ "type": "ping" })).await;
    assert_eq!(back.text().await["type"], "pong", "the socket stays open");
}
