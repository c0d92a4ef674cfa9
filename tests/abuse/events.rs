//! Subscriptions whose filters are as costly as they may be: another seller's events do not wait for them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use gom_test_support::eventually;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::measure::SLACK;
use crate::shop::Shop;
use gom_test_support::browser::Browser;

const SOCKETS: usize = 4;
/// As many as a socket may have.
const OF_SOCKET: usize = 50;
/// Writes of the victim that are measured, and between two of them.
const WRITES: usize = 60;
const PACE: Duration = Duration::from_millis(100);

const METRICS_TOKEN: &str = "measured by the test that has started it";

const SUBSCRIBE: &str = "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) { node { uid name } } }";
const UPDATE: &str = "mutation($where: OrderWhereUniqueInput!, $data: OrderUpdateInput!) { updateOrder(where: $where, data: $data) { uid } }";

pub type Wire = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// About the costliest filter that a seller may apply to one order, each time another: for every order of its seller, all orders of that
/// seller are scanned, six times, by twenty-five conditions that hold for none.
fn costly(n: usize) -> Value {
    let branch = |branch: usize| {
        let leaves: Vec<Value> = (0..25)
            .map(|leaf| json!({ "name_contains": format!("x{n}-{branch}-{leaf}") }))
            .collect();
        json!({ "assignedTo": { "orders_none": { "OR": leaves } } })
    };
    json!({ "assignedTo": { "orders_every": { "AND": (0..6).map(branch).collect::<Vec<_>>() } } })
}

/// A websocket of the seller's that was acknowledged.
pub async fn connect(browser: &Browser, protocol: &'static str) -> Wire {
    let mut request = browser
        .url("/graphql")
        .replace("http://", "ws://")
        .into_client_request()
        .unwrap();
    let cookies: Vec<_> = browser
        .jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
    headers.insert("cookie", cookies.join("; ").parse().unwrap());
    let (mut wire, _) = connect_async(request).await.unwrap();
    send(&mut wire, json!({ "type": "connection_init" })).await;
    assert_eq!(next(&mut wire).await["type"], "connection_ack");
    wire
}

pub async fn send(wire: &mut Wire, message: Value) {
    wire.send(Message::text(message.to_string())).await.unwrap();
}

async fn next(wire: &mut Wire) -> Value {
    loop {
        if let Message::Text(text) = wire.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

fn subscribe(id: usize, filter: Value) -> Value {
    let variables = json!({ "where": filter });
    json!({ "id": id.to_string(), "type": "subscribe", "payload": { "query": SUBSCRIBE, "variables": variables } })
}

/// An order of the seller's.
pub async fn order_of(browser: &Browser) -> String {
    let reply = browser
        .clone()
        .graphql("{ orders(first: 1) { uid } }", json!({}))
        .await;
    reply.body["data"]["orders"][0]["uid"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn rename(browser: &Browser, order: &str, name: &str) {
    let variables = json!({ "where": { "uid": order }, "data": { "name": name } });
    let reply = browser.clone().graphql(UPDATE, variables).await;
    assert_eq!(reply.code(), (200, ""), "{}", reply.body);
}

/// Groups that are served apart, for they take more than they may.
async fn slow_groups(shop: &Shop) -> u64 {
    let asked = reqwest::Client::new()
        .get(shop.server.url("/metrics"))
        .bearer_auth(METRICS_TOKEN);
    let text = asked.send().await.unwrap().text().await.unwrap();
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix("gom_subscription_slow_groups "));
    found.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// The seller's events: the name that the order had, and when it came.
fn listen(mut wire: Wire) -> Rc<RefCell<Vec<(String, Instant)>>> {
    let events = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&events);
    actix_web::rt::spawn(async move {
        loop {
            let message = next(&mut wire).await;
            let name = message["payload"]["data"]["order"]["node"]["name"].as_str();
            into.borrow_mut().push((
                name.unwrap_or_else(|| panic!("{message}")).to_owned(),
                Instant::now(),
            ));
        }
    });
    events
}

/// Writes, and how long each event took: the middle, the 99th of a hundred, the worst.
async fn measured(
    when: &str,
    victim: &Browser,
    order: &str,
    events: &RefCell<Vec<(String, Instant)>>,
) -> [Duration; 3] {
    let before = events.borrow().len();
    let mut written = Vec::new();
    for n in 0..WRITES {
        rename(victim, order, &format!("{when} {n}")).await;
        written.push(Instant::now());
        sleep(PACE).await;
    }
    eventually("every event of the victim's", async || {
        events.borrow().len() >= before + WRITES
    })
    .await;
    let events = &events.borrow()[before..];
    // An event that comes late shows the order as it is by then, and never as it was before the write.
    let number =
        |(name, _): &(String, Instant)| name.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    let shown: Vec<usize> = events.iter().map(number).collect();
    let in_order = shown.is_sorted() && shown.iter().enumerate().all(|(n, shown)| *shown >= n);
    assert!(
        in_order && shown.len() == WRITES,
        "each once, in order: {shown:?}"
    );
    // An event may be there before the answer to its write.
    let mut times: Vec<Duration> = events
        .iter()
        .zip(&written)
        .map(|(event, write)| event.1.saturating_duration_since(*write))
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let found = [at(50), at(99), times[times.len() - 1]];
    println!(
        "the victim's events {when}: p50 {:.1?}, p99 {:.1?}, worst {:.1?}",
        found[0], found[1], found[2]
    );
    found
}

#[actix_web::test]
async fn two_hundred_costly_subscriptions_do_not_delay_another_sellers_events() {
    let shop = Shop::open(&[("GOM__METRICS__TOKEN", METRICS_TOKEN)]).await;
    let (well_behaved, hostile) = (shop.seller("victim").await, shop.seller("attacker").await);
    let (order, hostile_order) = (order_of(&well_behaved).await, order_of(&hostile).await);
    let mut wire = connect(&well_behaved, "graphql-transport-ws").await;
    send(&mut wire, subscribe(0, json!({}))).await;
    let events = listen(wire);
    // Subscribed once the first event has come.
    eventually("the victim's first event", async || {
        rename(&well_behaved, &order, "warm").await;
        !events.borrow().is_empty()
    })
    .await;
    sleep(Duration::from_millis(500)).await;
    let alone = measured("alone", &well_behaved, &order, &events).await;

    let (mut attackers, refused) = (Vec::new(), Rc::new(Cell::new(0)));
    let got = Rc::new(Cell::new(0));
    for socket in 0..SOCKETS {
        let mut wire = connect(&hostile, "graphql-transport-ws").await;
        for n in 0..OF_SOCKET {
            let filter =
                json!({ "mutation_in": ["UPDATED"], "node": costly(socket * OF_SOCKET + n) });
            send(&mut wire, subscribe(n, filter)).await;
        }
        let (refused, got) = (Rc::clone(&refused), Rc::clone(&got));
        attackers.push(actix_web::rt::spawn(async move {
            while let Some(Ok(message)) = wire.next().await {
                let text = message.into_text().unwrap_or_default();
                if text.contains("\"error\"") {
                    println!("the attacker is refused: {text}");
                    refused.set(refused.get() + 1);
                } else if text.contains("\"next\"") {
                    got.set(got.get() + 1);
                }
            }
        }));
    }
    sleep(Duration::from_secs(2)).await;
    // Repeatedly, so that groups that are already served apart are evaluated again as well.
    let writing = {
        let (hostile, hostile_order) = (hostile.clone(), hostile_order.clone());
        actix_web::rt::spawn(async move {
            for n in 0.. {
                rename(&hostile, &hostile_order, &format!("attack {n}")).await;
                sleep(Duration::from_millis(500)).await;
            }
        })
    };
    eventually("the attacker's groups are served apart", async || {
        slow_groups(&shop).await > 0
    })
    .await;
    let attacked = measured("under attack", &well_behaved, &order, &events).await;
    println!(
        "the attacker got {} events; {} subscriptions were refused",
        got.get(),
        refused.get()
    );
    assert!(slow_groups(&shop).await > 0, "they are still served apart");
    assert!(
        !writing.is_finished() && attackers.iter().all(|one| !one.is_finished()),
        "the attack went on to the end"
    );
    writing.abort();
    attackers.iter().for_each(|attacker| attacker.abort());
    assert_eq!(refused.get(), 0, "the filter is allowed");
    // 100 ms is promised on a machine that does nothing else.
    assert!(
        attacked[1] <= alone[1] * 3 + SLACK,
        "the victim's events wait: {attacked:?}, alone {alone:?}"
    );
}
