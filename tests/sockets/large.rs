//! Answers larger than `sockets.queue_bytes`, and clients that read slowly.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::join;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;

use crate::transport_ws::{BEGINNING, NEW_USERS, create_user_now};
use crate::wire::{LEGACY, TRANSPORT_WS, Wire, token};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};

/// Characters of the answer: twice the bound.
const SIZE: usize = 2 * 1024 * 1024;
const ALIASES: usize = 64;
/// A megabit a second, in parts of a tenth of it.
const PART: usize = 125_000 / 10;
const PAUSE: Duration = Duration::from_millis(100);

/// The same server behind a line of one megabit a second. What waits in the system's buffers is little.
async fn slow_line(app: &TestApp) -> String {
    let server: SocketAddr = app.address.trim_start_matches("http://").parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    actix_web::rt::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            actix_web::rt::spawn(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket.set_recv_buffer_size(16 * 1024).unwrap();
                let (mut from_server, mut to_server) =
                    socket.connect(server).await.unwrap().into_split();
                let (mut from_client, mut to_client) = client.into_split();
                let up = tokio::io::copy(&mut from_client, &mut to_server);
                let down = async {
                    let mut part = vec![0; PART];
                    while let Ok(read @ 1..) = from_server.read(&mut part).await {
                        if to_client.write_all(&part[..read]).await.is_err() {
                            break;
                        }
                        sleep(PAUSE.mul_f64(read as f64 / PART as f64)).await;
                    }
                    let _ = to_client.shutdown().await;
                };
                let _ = join(up, down).await;
            });
        }
    });
    address
}

fn query() -> String {
    let names: String = (0..ALIASES).map(|n| format!("a{n}: business ")).collect();
    format!("{{ users(where: {{ extUid: \"large\" }}) {{ {names} }} }}")
}

fn is_whole(answer: &Value) -> bool {
    let row = &answer["data"]["users"][0];
    (0..ALIASES).all(|n| {
        row[format!("a{n}")]
            .as_str()
            .is_some_and(|text| text.len() == SIZE / ALIASES)
    })
}

async fn over_websocket(app: &TestApp, slow: &TestApp, protocol: &str) {
    let legacy = protocol == LEGACY;
    let (start, answer) = if legacy {
        ("start", "data")
    } else {
        ("subscribe", "next")
    };
    let mut wire = Wire::service(slow, protocol).await;
    wire.send(json!({ "id": "s", "type": start, "payload": { "query": NEW_USERS } }))
        .await;
    sleep(BEGINNING).await;
    let began = Instant::now();
    wire.send(json!({ "id": "q", "type": start, "payload": { "query": query() } }))
        .await;
    // While it is on its way.
    create_user_now(app, &format!("during {protocol}")).await;
    let (mut answered, mut events) = (false, Vec::new());
    let mut completed = false;
    while !completed || events.is_empty() {
        let message = wire.text().await;
        match (
            message["id"].as_str().unwrap(),
            message["type"].as_str().unwrap(),
        ) {
            ("q", kind) if kind == answer => answered = is_whole(&message["payload"]),
            ("q", "complete") => completed = true,
            ("s", kind) if kind == answer => {
                events.push(
                    message["payload"]["data"]["user"]["node"]["extUid"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                );
            }
            _ => panic!("{protocol}: {message}"),
        }
    }
    assert!(answered, "{protocol}: the whole answer came before its end");
    assert!(
        events.iter().any(|event| event.starts_with("during")),
        "{events:?}"
    );
    println!("{protocol}: {SIZE} bytes in {:?}", began.elapsed());
    // The subscription goes on.
    let after = format!("after {protocol}");
    create_user_now(app, &after).await;
    loop {
        let message = wire.text().await;
        if message["payload"]["data"]["user"]["node"]["extUid"] == after.as_str() {
            break;
        }
    }
}

async fn over_events(app: &TestApp, slow: &TestApp) {
    let request = Client::new()
        .post(format!("{}/graphql", slow.address))
        .header("accept", "text/event-stream");
    let request = request
        .header("content-type", "application/json")
        .body(json!({ "query": query() }).to_string());
    let text = request
        .bearer_auth(token(app, Duration::from_secs(3_600)))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let data: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(data.len(), 1);
    assert!(is_whole(&serde_json::from_str(data[0]).unwrap()));
    assert!(text.ends_with("event: complete\ndata:\n\n"));
}

#[actix_web::test]
async fn an_answer_of_two_megabytes_is_completed_over_a_slow_line_beside_a_subscription() {
    let place = Place::new(Stores::Postgres).await;
    // The answer takes longer than a client may read nothing, and longer than the sign of life may be missing.
    let app = place
        .serve(&[
            ("sockets.stall_timeout", "10000"),
            ("sockets.heartbeat", "5000"),
        ])
        .await;
    let data = json!({ "extUid": "large", "business": "x".repeat(SIZE / ALIASES) });
    app.data(
        "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }",
        json!({ "data": data }),
    )
    .await;
    let slow = app.at(slow_line(&app).await);
    let sockets = join(
        over_websocket(&app, &slow, TRANSPORT_WS),
        over_websocket(&app, &slow, LEGACY),
    );
    join(sockets, over_events(&app, &slow)).await;
}
