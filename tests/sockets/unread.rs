//! What waits for clients that do not read, over each protocol: it counts for its user, who is refused beyond a bound, and
//! where too much waits in all, the connection that holds most is ended.

use std::time::Duration;

use gom_test_support::eventually;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::transport_ws::BEGINNING;
use crate::wire::{LEGACY, TRANSPORT_WS, Wire, cookies, init, token};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{SELLER, seller, shops};

/// An answer or an event is this text under so many names: more than the system's buffers hold.
const TEXT: usize = 42_000;
const ALIASES: usize = 50;
const BOUND: &str = "3000000";
const REFUSED: &str = "Earlier answers and events wait to be read; the limit is 3000000 bytes (limits.service.waiting_bytes). \
                       Nothing was done. Read them, and try again.";

fn names() -> String {
    (0..ALIASES).map(|n| format!("a{n}: business ")).collect()
}

fn query() -> String {
    format!(
        "{{ user(where: {{ extUid: \"{SELLER}\" }}) {{ {} }} }}",
        names()
    )
}

fn subscription() -> String {
    format!(
        "subscription {{ user(where: {{ mutation_in: [UPDATED] }}) {{ node {{ {} }} }} }}",
        names()
    )
}

async fn fill(app: &TestApp, with: &str) {
    let update = "mutation($where: UserWhereUniqueInput!, $data: UserUpdateInput!) { updateUser(where: $where, data: $data) { uid } }";
    let variables =
        json!({ "where": { "extUid": SELLER }, "data": { "business": with.repeat(TEXT) } });
    let request = Client::new().post(format!("{}/graphql", app.address));
    let body = json!({ "query": update, "variables": variables }).to_string();
    let request = request
        .header("content-type", "application/json")
        .body(body);
    let answer = request
        .bearer_auth(token(app, Duration::from_secs(3_600)))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

/// A client that sends requests and does not read.
async fn over_socket(app: &TestApp, protocol: &str, query: &str) -> Wire {
    let start = if protocol == LEGACY {
        "start"
    } else {
        "subscribe"
    };
    let mut wire = Wire::service(app, protocol).await;
    wire.send(json!({ "id": "1", "type": start, "payload": { "query": query } }))
        .await;
    wire
}

async fn over_stream(app: &TestApp, query: &str) -> Response {
    let request = Client::new()
        .post(format!("{}/graphql", app.address))
        .header("accept", "text/event-stream");
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

/// Status, and the first error's message.
async fn knock(app: &TestApp) -> (StatusCode, Value) {
    let request = Client::new().post(format!("{}/graphql", app.address));
    let request = request
        .header("content-type", "application/json")
        .body(r#"{"query":"{ __typename }"}"#);
    let answer = request
        .bearer_auth(token(app, Duration::from_secs(3_600)))
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    (status, body["errors"][0]["message"].clone())
}

#[actix_web::test]
async fn what_waits_to_be_read_counts_for_its_user_over_every_protocol() {
    let place = Place::new(Stores::Postgres).await;
    let settings = [
        ("limits.service.waiting_bytes", BOUND),
        ("sockets.stall_timeout", "600000"),
        ("sockets.heartbeat", "600000"),
    ];
    let app = shops(&place, &settings).await;
    fill(&app, "x").await;
    let refused = async || knock(&app).await.0 == StatusCode::TOO_MANY_REQUESTS;
    for (asked, is_live) in [(query(), false), (subscription(), true)] {
        for protocol in [TRANSPORT_WS, LEGACY, "events"] {
            let case = format!("{protocol}, {is_live}");
            let (mut sockets, mut streams) = (Vec::new(), Vec::new());
            for _ in 0..3 {
                match protocol {
                    "events" => streams.push(over_stream(&app, &asked).await),
                    protocol => sockets.push(over_socket(&app, protocol, &asked).await),
                }
            }
            if is_live {
                sleep(BEGINNING).await;
                fill(&app, protocol.get(..1).unwrap()).await;
            }
            eventually(
                &format!("{case}: so much waits that nothing is added"),
                refused,
            )
            .await;
            assert_eq!(
                knock(&app).await,
                (StatusCode::TOO_MANY_REQUESTS, REFUSED.into()),
                "{case}"
            );
            let stream = over_stream(&app, "{ __typename }").await;
            assert_eq!(
                stream.status(),
                StatusCode::TOO_MANY_REQUESTS,
                "{case}: event streams as well"
            );
            drop((sockets, streams));
            eventually(&format!("{case}: with its client it is gone"), async || {
                !refused().await
            })
            .await;
        }
    }
}

#[actix_web::test]
async fn where_too_much_waits_in_all_only_the_connection_that_holds_most_is_ended() {
    let place = Place::new(Stores::Postgres).await;
    let settings = [
        ("server.waiting_bytes", BOUND),
        ("sockets.per_user", "2"),
        ("sockets.stall_timeout", "600000"),
        ("sockets.heartbeat", "600000"),
    ];
    let app = shops(&place, &settings).await;
    fill(&app, "x").await;
    let mut other = Wire::service(&app, TRANSPORT_WS).await;
    other.send(json!({ "id": "s", "type": "subscribe", "payload": { "query": "subscription { order { mutation } }" } })).await;
    let jar = cookies(&seller(&app).await);
    let headers = [("cookie", jar.as_str())];
    let mut hostile = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::open(&app, TRANSPORT_WS, &headers).await.unwrap();
        wire.send(json!({ "type": "connection_init" })).await;
        assert_eq!(wire.text().await["type"], "connection_ack");
        wire.send(json!({ "id": "1", "type": "subscribe", "payload": { "query": query() } }))
            .await;
        hostile.push(wire);
    }
    let mut third = None;
    eventually("a place of the two is free", async || {
        // Users with few unread bytes are answered throughout.
        assert_eq!(knock(&app).await.0, StatusCode::OK);
        third = Wire::open(&app, TRANSPORT_WS, &headers).await.ok();
        third.is_some()
    })
    .await;
    assert_eq!(
        Wire::open(&app, TRANSPORT_WS, &headers).await.err(),
        Some(429),
        "no more than makes room"
    );
    other.send(json!({ "type": "ping" })).await;
    assert_eq!(other.text().await["type"], "pong", "nobody else is ended");
}

#[actix_web::test]
async fn a_client_that_does_not_read_is_ended_with_its_token_over_every_protocol() {
    let place = Place::new(Stores::Postgres).await;
    let settings = [
        ("limits.service.waiting_bytes", BOUND),
        ("sockets.stall_timeout", "600000"),
        ("sockets.heartbeat", "600000"),
    ];
    let app = shops(&place, &settings).await;
    fill(&app, "x").await;
    let refused = async || knock(&app).await.0 == StatusCode::TOO_MANY_REQUESTS;
    for protocol in [TRANSPORT_WS, LEGACY, "events"] {
        let short = token(&app, Duration::from_secs(10));
        let (mut sockets, mut streams) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            if protocol == "events" {
                let request = Client::new().post(format!("{}/graphql", app.address));
                let request = request
                    .header("accept", "text/event-stream")
                    .bearer_auth(&short);
                let request = request.header("content-type", "application/json");
                streams.push(
                    request
                        .body(json!({ "query": query() }).to_string())
                        .send()
                        .await
                        .unwrap(),
                );
                continue;
            }
            let mut wire = Wire::open(&app, protocol, &[]).await.unwrap();
            wire.send(init(&short)).await;
            assert_eq!(wire.text().await["type"], "connection_ack");
            let start = if protocol == LEGACY {
                "start"
            } else {
                "subscribe"
            };
            wire.send(json!({ "id": "1", "type": start, "payload": { "query": query() } }))
                .await;
            sockets.push(wire);
        }
        eventually(&format!("{protocol}: much waits"), refused).await;
        eventually(
            &format!("{protocol}: the token ends, and with it what waits"),
            async || !refused().await,
        )
        .await;
        drop((sockets, streams));
    }
}

#[actix_web::test]
async fn an_operation_of_a_client_that_does_not_read_delays_no_other() {
    let place = Place::new(Stores::Postgres).await;
    let settings = [
        ("limits.in_flight_per_user", "1"),
        ("limits.busy_in_flight_per_user", "1"),
        ("limits.aliases", "500"),
        ("sockets.stall_timeout", "600000"),
        ("sockets.heartbeat", "600000"),
    ];
    let app = shops(&place, &settings).await;
    fill(&app, "x").await;
    let mut browser = seller(&app).await;
    let jar = cookies(&browser);
    let mut wire = Wire::open(&app, TRANSPORT_WS, &[("cookie", jar.as_str())])
        .await
        .unwrap();
    wire.send(json!({ "type": "connection_init" })).await;
    assert_eq!(wire.text().await["type"], "connection_ack");
    // The connection is stuck in the first answer when the second operation has the user's only turn.
    let one = |n: usize| {
        format!(
            "u{n}: user(where: {{ extUid: \"{SELLER}\" }}) {{ {} }} ",
            names()
        )
    };
    let longer: String = (0..3).map(one).collect();
    for (id, query) in [
        ("1", query()),
        ("2", format!("{{ {longer} }}")),
        ("3", format!("{{ {longer} }}")),
    ] {
        wire.send(json!({ "id": id, "type": "subscribe", "payload": { "query": query } }))
            .await;
    }
    sleep(BEGINNING).await;
    let reply = browser.graphql("{ orders { uid } }", json!({})).await;
    assert_eq!(reply.code(), (200, ""), "{}", reply.body);
    drop(wire);
}

#[actix_web::test]
async fn an_operation_that_waits_for_room_is_not_begun_once_its_connection_is_cut_off() {
    let place = Place::new(Stores::Postgres).await;
    let settings = [
        ("sockets.per_user", "1"),
        ("sockets.stall_timeout", "2500"),
        ("sockets.heartbeat", "600000"),
    ];
    let app = shops(&place, &settings).await;
    fill(&app, "x").await;
    let mut browser = seller(&app).await;
    let jar = cookies(&browser);
    let headers = [("cookie", jar.as_str())];
    for protocol in [TRANSPORT_WS, LEGACY] {
        let start = if protocol == LEGACY {
            "start"
        } else {
            "subscribe"
        };
        let mut wire = None;
        eventually("the user's place is free", async || {
            wire = Wire::open(&app, protocol, &headers).await.ok();
            wire.is_some()
        })
        .await;
        let mut wire = wire.unwrap();
        wire.send(json!({ "type": "connection_init" })).await;
        assert_eq!(wire.text().await["type"], "connection_ack");
        wire.send(json!({ "id": "1", "type": start, "payload": { "query": query() } }))
            .await;
        // The connection is stuck in the answer when the mutation comes.
        sleep(BEGINNING).await;
        let mutation = "mutation { createBp(data: { name1: \"Luz\" }) { uid } }";
        wire.send(json!({ "id": "2", "type": start, "payload": { "query": mutation } }))
            .await;
        eventually("it is cut off", async || {
            Wire::open(&app, protocol, &headers).await.is_ok()
        })
        .await;
        let reply = browser
            .graphql("{ bps(where: { name1: \"Luz\" }) { uid } }", json!({}))
            .await;
        assert_eq!(
            reply.body["data"]["bps"],
            json!([]),
            "{protocol}: {}",
            reply.body
        );
        drop(wire);
    }
}
