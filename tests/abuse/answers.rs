//! Large answers: the same texts many times over, and clients that never read.

use std::time::Duration;

use gom_test_support::eventually;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::attack::{Attack, Ends, SECONDS, assert_withstood, graphql};
use crate::events::{connect, order_of, send};
use crate::measure::{assert_bounded, assert_served, memory, victim};
use crate::shop::{Shop, ask};
use gom_test_support::browser::Browser;

const UPDATE: &str = "mutation($order: OrderWhereUniqueInput!, $name: String) { updateOrder(where: $order, data: {name: $name}) { uid } }";
/// Twenty fields at the root, each with all of the texts.
const ALIASES: &str = "{ a: orders { name } b: orders { name } c: orders { name } d: orders { name } e: orders { name } \
                       f: orders { name } g: orders { name } h: orders { name } i: orders { name } j: orders { name } \
                       k: orders { name } l: orders { name } m: orders { name } n: orders { name } o: orders { name } \
                       p: orders { name } q: orders { name } r: orders { name } s: orders { name } t: orders { name } }";

/// Between two steps of a client that never reads: its memory is measured here, not how busy it keeps the server.
const PACE: Duration = Duration::from_millis(50);

/// The attacker, whose fifty orders have names of 60 KB.
async fn with_long_names(shop: &Shop) -> Browser {
    let mut hostile = shop.seller("attacker").await;
    let name = "x".repeat(60_000);
    let orders = hostile.data("{ orders { uid } }", json!({})).await;
    for order in orders["orders"].as_array().unwrap() {
        hostile
            .data(UPDATE, json!({ "order": order, "name": name }))
            .await;
    }
    hostile
}

#[actix_web::test]
async fn large_answers_neither_delay_others_nor_take_memory() {
    let shop = Shop::open(&[]).await;
    let hostile = with_long_names(&shop).await;
    let attack = |name: &'static str, query: &'static str, ends: Ends| {
        let request = graphql(query, |_| json!({}));
        Attack {
            name,
            request,
            at_once: 12,
            ends,
        }
    };
    // On texts of 1 MB, the first once took 2.3 GB in PostgreSQL.
    let attacks = [
        attack("60 MB in an answer", ALIASES, Ends::BeyondALimit),
        attack("3 MB in an answer", "{ orders { name } }", Ends::Answered),
    ];
    assert_withstood(&shop, &hostile, attacks).await;
}

/// 6 MB, more than sockets hold.
const LARGE: &str = "{ a: orders { name } b: orders { name } }";

/// Asks, and reads none of the answer.
async fn never_reads(browser: &Browser, accept: &str, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(browser.url("").trim_start_matches("http://"))
        .await
        .unwrap();
    let cookies: Vec<String> = browser
        .jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let body: Value = json!({ "query": query });
    let (body, cookies) = (body.to_string(), cookies.join("; "));
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: {accept}\r\nCookie: {cookies}\r\n\
         X-CSRF-Token: {}\r\nContent-Length: {}\r\n\r\n",
        browser.jar["csrf-token"],
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

/// Twelve of them once held 887 MB.
#[actix_web::test]
async fn clients_that_never_read_occupy_no_more_than_one_users_share() {
    const NAME: &str = "clients that never read";
    let shop = Shop::open(&[]).await;
    let hostile = with_long_names(&shop).await;
    let well_behaved = shop.seller("victim").await;
    victim(&well_behaved, 1).await;
    let alone = victim(&well_behaved, SECONDS).await;
    let before = memory(shop.server.pid(), &shop.database).await;
    let attacking = async {
        let mut streams = Vec::new();
        for _ in 0..100 {
            streams.push(never_reads(&hostile, "application/json", LARGE).await);
            sleep(Duration::from_millis(20)).await;
        }
        streams
    };
    let (attacked, streams) = futures::join!(victim(&well_behaved, SECONDS), attacking);
    let after = memory(shop.server.pid(), &shop.database).await;
    // What they were answered is as much as may wait for one user.
    eventually("no more is made for them", async || {
        hostile
            .clone()
            .graphql("{ __typename }", json!({}))
            .await
            .status
            == 429
    })
    .await;
    assert_served(NAME, &alone, &attacked);
    // `limits.waiting_bytes` is 32 MiB; 600 MB were requested.
    assert_bounded(NAME, before, after, 150, 100);
    drop(streams);
}

/// As many websockets and event streams as one user may have, a half with large answers, a half with large events. Only the
/// bound of each connection once held them.
#[actix_web::test]
async fn sockets_and_streams_that_never_read_occupy_no_more_than_one_users_share() {
    const NAME: &str = "sockets and streams that never read";
    // What one connection may keep is no bound here, so that the user's share is.
    let shop = Shop::open(&[("GOM__SOCKETS__QUEUE_BYTES", "33554432")]).await;
    let hostile = with_long_names(&shop).await;
    let well_behaved = shop.seller("victim").await;
    victim(&well_behaved, 1).await;
    let alone = victim(&well_behaved, SECONDS).await;
    let before = memory(shop.server.pid(), &shop.database).await;
    let order = order_of(&hostile).await;
    // An answer of 3 MB, and events of 1.2 MB.
    let large = "{ orders { name } }";
    let names: String = (0..20).map(|n| format!("n{n}: name ")).collect();
    let subscription = format!(
        "subscription {{ order(where: {{ mutation_in: [UPDATED] }}) {{ node {{ {names} }} }} }}"
    );
    let attacking = async {
        let (mut sockets, mut streams) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            for (protocol, start) in [
                ("graphql-transport-ws", "subscribe"),
                ("graphql-ws", "start"),
            ] {
                let mut wire = connect(&hostile, protocol).await;
                let payload = json!({ "query": subscription });
                send(
                    &mut wire,
                    json!({ "id": "events", "type": start, "payload": payload }),
                )
                .await;
                let payload = json!({ "query": large });
                send(
                    &mut wire,
                    json!({ "id": "answer", "type": start, "payload": payload }),
                )
                .await;
                sockets.push(wire);
                sleep(PACE).await;
            }
            for query in [large, &subscription] {
                streams.push(never_reads(&hostile, "text/event-stream", query).await);
                sleep(PACE).await;
            }
        }
        for n in 0..40 {
            let name = format!("{n}{}", "y".repeat(60_000));
            ask(
                &shop.server,
                UPDATE,
                json!({ "order": { "uid": order }, "name": name }),
            )
            .await;
            sleep(PACE).await;
        }
        (sockets, streams)
    };
    let (attacked, unread) = futures::join!(victim(&well_behaved, SECONDS), attacking);
    let after = memory(shop.server.pid(), &shop.database).await;
    eventually("no more is made for them", async || {
        hostile
            .clone()
            .graphql("{ __typename }", json!({}))
            .await
            .status
            == 429
    })
    .await;
    // `limits.waiting_bytes` is 32 MiB; the events alone have 700 MB.
    assert_bounded(NAME, before, after, 200, 100);
    assert_served(NAME, &alone, &attacked);
    drop(unread);
}
