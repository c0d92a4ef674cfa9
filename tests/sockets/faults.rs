//! F6: sockets of other sites' pages, and sockets that outlive the login.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use crate::transport_ws::NEW_USERS;
use crate::wire::{LEGACY, TRANSPORT_WS, Wire, cookies};
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{seller, shops};

#[actix_web::test]
async fn f06_pages_of_other_sites_get_no_socket_of_a_user() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("server.origins", "https://shop.example")]).await;
    let jar = cookies(&seller(&app).await);
    for protocol in [TRANSPORT_WS, LEGACY] {
        for (origin, good) in [
            (Some("https://evil.example"), false),
            (Some("null"), false),
            (Some("https://shop.example.evil.example"), false),
            (Some("https://shop.example"), true),
            (Some(app.address.as_str()), true),
            (None, true),
        ] {
            let mut headers = vec![("cookie", jar.as_str())];
            headers.extend(origin.map(|origin| ("origin", origin)));
            match Wire::open(&app, protocol, &headers).await {
                Ok(mut wire) => {
                    assert!(good, "{origin:?}");
                    wire.send(json!({ "type": "connection_init", "payload": {} }))
                        .await;
                    assert_eq!(wire.text().await["type"], "connection_ack", "{origin:?}");
                }
                Err(status) => assert_eq!((good, status), (false, 403), "{origin:?}"),
            }
        }
    }
}

#[actix_web::test]
async fn f06_a_logout_ends_sockets_on_every_node_within_a_second() {
    for stores in [Stores::Redis, Stores::Postgres] {
        let place = Place::new(stores).await;
        let app = shops(&place, &[]).await;
        let second = place.serve(&[]).await;
        // One of several times: a busy machine may stand still for as long.
        let mut took = Vec::new();
        while took.len() < 3 && took.iter().all(|took| *took >= Duration::from_secs(1)) {
            let mut browser = seller(&app).await;
            let jar = cookies(&browser);
            let mut wires = Vec::new();
            for (at, protocol) in [
                (&app, TRANSPORT_WS),
                (&second, TRANSPORT_WS),
                (&second, LEGACY),
            ] {
                let mut wire = Wire::open(at, protocol, &[("cookie", &jar)]).await.unwrap();
                wire.send(json!({ "type": "connection_init", "payload": {} }))
                    .await;
                assert_eq!(wire.text().await["type"], "connection_ack");
                let kind = if protocol == LEGACY {
                    "start"
                } else {
                    "subscribe"
                };
                wire.send(json!({ "id": "1", "type": kind, "payload": { "query": NEW_USERS } }))
                    .await;
                wires.push(wire);
            }
            let mut other = Wire::service(&second, TRANSPORT_WS).await;
            assert_eq!(browser.log_out().await.status, StatusCode::NO_CONTENT);
            let left = Instant::now();
            for wire in &mut wires {
                assert_eq!(wire.end().await, 4403, "{stores:?}");
            }
            took.push(left.elapsed());
            assert!(other.is_quiet().await, "others stay");
        }
        assert!(
            took.iter().any(|took| *took < Duration::from_secs(1)),
            "{stores:?}: {took:?}"
        );
    }
}

#[actix_web::test]
async fn a_store_that_does_not_answer_ends_no_socket() {
    let place = Place::new(Stores::Redis).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&seller(&app).await);
    let mut wire = Wire::open(&app, TRANSPORT_WS, &[("cookie", &jar)])
        .await
        .unwrap();
    wire.send(json!({ "type": "connection_init" })).await;
    assert_eq!(wire.text().await["type"], "connection_ack");
    place.redis.as_ref().unwrap().freeze();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(wire.is_quiet().await);
    wire.send(json!({ "type": "ping" })).await;
    assert_eq!(wire.text().await["type"], "pong");
    place.redis.as_ref().unwrap().thaw();
}
