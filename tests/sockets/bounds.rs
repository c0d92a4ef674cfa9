//! What a client that behaves badly may take, and that others do not notice.

use std::time::{Duration, Instant};

use futures::future::join_all;
use gom_test_support::eventually;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

use crate::transport_ws::{NEW_USERS, create_user, create_user_now};
use crate::wire::{LEGACY, TRANSPORT_WS, Wire, cookies};
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{seller, shops};

#[actix_web::test]
async fn frames_and_messages_have_a_size_and_are_utf_8() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[("sockets.message_bytes", "2000")]).await;
    for protocol in [TRANSPORT_WS, LEGACY] {
        let mut giant = Wire::service(&app, protocol).await;
        giant.say(&"x".repeat(100_000)).await;
        assert!(
            matches!(giant.end().await, 1009 | 0),
            "its rest may come after the end"
        );

        let mut pieces = Wire::service(&app, protocol).await;
        pieces.frame(Data::Text, vec![b'x'; 900], false).await;
        pieces.frame(Data::Continue, vec![b'x'; 900], false).await;
        pieces.frame(Data::Continue, vec![b'x'; 900], false).await;
        assert_eq!(pieces.end().await, 1009);

        let mut garbled = Wire::service(&app, protocol).await;
        garbled.frame(Data::Text, vec![0xff, 0xfe], true).await;
        assert_eq!(garbled.end().await, 1007);
        let mut garbled = Wire::service(&app, protocol).await;
        garbled.frame(Data::Text, vec![b'"', 0xc3], false).await;
        garbled.frame(Data::Continue, vec![b'"'], true).await;
        assert_eq!(garbled.end().await, 1007);

        let mut binary = Wire::service(&app, protocol).await;
        binary.frame(Data::Binary, b"{}".to_vec(), true).await;
        assert_eq!(binary.end().await, 1003);
    }
    // A character may be cut in two by frames.
    let mut cut = Wire::service(&app, TRANSPORT_WS).await;
    let text = json!({ "type": "ping", "payload": { "é": 1 } })
        .to_string()
        .into_bytes();
    let middle = text.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
    cut.frame(Data::Text, text[..middle].to_vec(), false).await;
    cut.frame(Data::Continue, text[middle..].to_vec(), true)
        .await;
    assert_eq!(cut.text().await["type"], "pong");
}

#[actix_web::test]
async fn operations_and_connections_are_limited() {
    let place = Place::new(Stores::Postgres).await;
    let settings = [
        ("sockets.operations", "3"),
        ("sockets.per_user", "2"),
        ("sockets.per_address", "5"),
    ];
    let app = shops(&place, &settings).await;
    let mut wire = Wire::service(&app, TRANSPORT_WS).await;
    for id in 0..1_000 {
        let payload = json!({ "query": NEW_USERS });
        wire.send(json!({ "id": id.to_string(), "type": "subscribe", "payload": payload }))
            .await;
    }
    for id in 3..1_000 {
        let refused = wire.text().await;
        assert_eq!(
            refused["payload"][0]["extensions"]["code"], "LIMIT_EXCEEDED",
            "{refused}"
        );
        assert_eq!(refused["id"], id.to_string());
    }
    // A place that was given up is free.
    wire.send(json!({ "id": "0", "type": "complete" })).await;
    wire.send(
        json!({ "id": "new", "type": "subscribe", "payload": { "query": "{ __typename }" } }),
    )
    .await;
    assert_eq!(wire.text().await["type"], "next");

    let jar = cookies(&seller(&app).await);
    let headers = [("cookie", jar.as_str())];
    let first = Wire::open(&app, TRANSPORT_WS, &headers).await.unwrap();
    let _second = Wire::open(&app, LEGACY, &headers).await.unwrap();
    assert_eq!(
        Wire::open(&app, TRANSPORT_WS, &headers).await.err(),
        Some(429),
        "of one user"
    );
    let _more = [
        Wire::service(&app, LEGACY).await,
        Wire::service(&app, LEGACY).await,
    ];
    assert_eq!(
        Wire::open(&app, LEGACY, &[]).await.err(),
        Some(429),
        "of one address"
    );
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(20);
    while Wire::open(&app, TRANSPORT_WS, &headers).await.is_err() {
        assert!(Instant::now() < deadline, "a place comes back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[actix_web::test]
async fn a_slow_reader_is_closed_and_others_receive_every_event() {
    let place = Place::new(Stores::Postgres).await;
    let settings = [
        ("sockets.queue_messages", "50"),
        ("sockets.queue_bytes", "100000"),
        ("sockets.stall_timeout", "3000"),
    ];
    let app = place.serve(&settings).await;
    let mut slow = Wire::service(&app, TRANSPORT_WS).await;
    let mut quick = Wire::service(&app, TRANSPORT_WS).await;
    // An answer of a size that no buffer of the system holds for long: the name comes a thousand times.
    let names: String = (0..1_000).map(|n| format!("a{n}: business ")).collect();
    let fat = format!("subscription {{ user {{ node {{ extUid {names} }} }} }}");
    slow.send(json!({ "id": "s", "type": "subscribe", "payload": { "query": fat } }))
        .await;
    quick
        .send(json!({ "id": "s", "type": "subscribe", "payload": { "query": NEW_USERS } }))
        .await;
    for wire in [&mut slow, &mut quick] {
        wire.send(json!({ "type": "ping" })).await;
        assert_eq!(wire.text().await["type"], "pong");
    }
    create_user(&app, "first").await;
    assert_eq!(
        quick.text().await["payload"]["data"]["user"]["node"]["extUid"],
        "first"
    );
    for n in 0..600 {
        create_user_now(&app, &n.to_string()).await;
        assert_eq!(
            quick.text().await["payload"]["data"]["user"]["node"]["extUid"],
            n.to_string()
        );
    }
    // It is cut off once it has read nothing for so long. What the system holds of what it was sent comes before.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(slow.end().await, 0);
}

#[actix_web::test]
async fn two_thousand_silent_sockets_are_closed_and_delay_no_request() {
    let place = Place::new(Stores::Postgres).await;
    let settings = [
        ("sockets.init_timeout", "10000"),
        ("sockets.per_address", "5000"),
    ];
    let app = place.serve(&settings).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let opened = join_all((0..100).map(|_| Wire::open(&app, TRANSPORT_WS, &[]))).await;
        silent.extend(opened.into_iter().map(Result::unwrap));
    }
    let mut wire = Wire::service(&app, TRANSPORT_WS).await;
    wire.send(
        json!({ "id": "q", "type": "subscribe", "payload": { "query": "{ users { uid } }" } }),
    )
    .await;
    let asked = Instant::now();
    assert_eq!(wire.text().await["type"], "next");
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    for wire in &mut silent {
        assert_eq!(wire.end().await, 4408);
    }
}

#[actix_web::test]
async fn the_documents_of_subscriptions_are_no_more_than_one_user_may_have() {
    let place = Place::new(Stores::Postgres).await;
    let bounds = [
        ("limits.service.request_bytes", "50000"),
        ("limits.service.body_bytes", "50000"),
    ];
    let app = place.serve(&bounds).await;
    let long = format!("{NEW_USERS} # {}", "x".repeat(30_000));
    for (protocol, start, stop) in [
        (TRANSPORT_WS, "subscribe", "complete"),
        (LEGACY, "start", "stop"),
    ] {
        let mut wire = Wire::service(&app, protocol).await;
        for id in ["1", "2", "3"] {
            wire.send(json!({ "id": id, "type": start, "payload": { "query": long } }))
                .await;
        }
        let refused = wire.text().await;
        assert_eq!(refused["id"], "3", "{refused}");
        let text = refused.to_string();
        assert!(text.contains("TOO_MANY_REQUESTS"), "{text}");
        assert!(
            text.contains("the limit is 50000 bytes (limits.service.request_bytes)"),
            "{text}"
        );
        if protocol == LEGACY {
            assert_eq!(wire.text().await["type"], "complete");
        }
        // One less, and there is room.
        wire.send(json!({ "id": "1", "type": stop })).await;
        wire.send(json!({ "id": "4", "type": start, "payload": { "query": "{ __typename }" } }))
            .await;
        assert!(
            wire.text()
                .await
                .to_string()
                .contains("\"__typename\":\"Query\""),
            "{protocol}"
        );
        drop(wire);
        let mut again = Wire::service(&app, protocol).await;
        eventually("what a client had is gone with it", async || {
            again
                .send(json!({ "id": "q", "type": start, "payload": { "query": "{ __typename }" } }))
                .await;
            let text = again.text().await.to_string();
            if protocol == LEGACY || text.contains("\"__typename\"") {
                assert_eq!(again.text().await["type"], "complete");
            }
            text.contains("\"__typename\"")
        })
        .await;
    }
}

#[actix_web::test]
async fn ids_of_operations_have_a_maximum_length() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    let asking = |id: usize, start: &str| json!({ "id": "i".repeat(id), "type": start, "payload": { "query": "{ __typename }" } });
    let mut wire = Wire::service(&app, TRANSPORT_WS).await;
    wire.send(asking(256, "subscribe")).await;
    assert_eq!(wire.text().await["type"], "next");
    wire.send(asking(257, "subscribe")).await;
    assert_eq!(wire.end().await, 4400);
    let mut wire = Wire::service(&app, LEGACY).await;
    wire.send(asking(257, "start")).await;
    let refused = wire.text().await;
    assert_eq!(
        (&refused["type"], &refused["id"]),
        (&json!("error"), &json!(null)),
        "a long id is not sent back"
    );
}
