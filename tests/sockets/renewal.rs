//! Connections that last and came with a session: they outlive its tokens, and end with it.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use gom_test_support::eventually;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::wire::{Got, LEGACY, TRANSPORT_WS, Wire, cookies};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{
    CODE, OTHER_CODE, OTHER_SELLER, OTHER_USERNAME, SELLER, USERNAME, assert_in, customer, seller,
    shops,
};

const PATIENCE: Duration = Duration::from_secs(60);
pub const NEW_ORDERS: &str =
    "subscription { order(where: { mutation_in: [CREATED] }) { node { name } } }";
/// In seconds. Each token is renewed a fifth to two fifths of that before.
const LIFETIME: &str = "2";

/// `subscriptions-transport-ws` 0.9 with a browser's cookies.
pub struct Npm {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Npm {
    /// The client's program, which has loaded its packages: under load this takes seconds.
    pub async fn load() -> Npm {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sockets/npm/legacy.js");
        let mut command = Command::new("node");
        command
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut npm = Npm { process, lines };
        assert_eq!(npm.next().await, json!({ "loaded": true }));
        npm
    }

    /// Subscribes at a server.
    pub async fn subscribe(&mut self, app: &TestApp, jar: &str, query: &str) {
        let input = json!({ "address": app.address, "cookies": jar, "query": query });
        let stdin = self.process.stdin.as_mut().unwrap();
        stdin
            .write_all(format!("{input}\n").as_bytes())
            .await
            .unwrap();
    }

    pub async fn start(app: &TestApp, jar: &str, query: &str) -> Npm {
        let mut npm = Npm::load().await;
        npm.subscribe(app, jar, query).await;
        npm
    }

    pub async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the client tells something")
            .unwrap();
        serde_json::from_str(&line.expect("the client goes on")).unwrap()
    }

    pub async fn connected(&mut self) {
        assert_eq!(self.next().await, json!({ "attempt": true }));
        assert_eq!(self.next().await, json!({ "connected": true }));
    }

    /// The order of the next event; nothing else has happened before.
    /// Written by the service.
    pub async fn order(&mut self) -> String {
        let said = self.next().await;
        name(&said["event"])
    }
}

pub fn name(event: &Value) -> String {
    event["data"]["order"]["node"]["name"]
        .as_str()
        .unwrap_or_else(|| panic!("{event}"))
        .to_owned()
}

pub async fn order(app: &TestApp, seller: &str, code: &str, name: &str) {
    let to = |uid: &str| json!({ "connect": { "extUid": uid } });
    let data = json!({ "name": name, "assignedTo": to(seller), "issuedTo": to(code) });
    app.data(
        "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }",
        json!({ "data": data }),
    )
    .await;
}

pub async fn subscribe(app: &TestApp, protocol: &str, jar: &str) -> Wire {
    let mut wire = Wire::open(app, protocol, &[("cookie", jar)]).await.unwrap();
    wire.send(json!({ "type": "connection_init", "payload": {} }))
        .await;
    assert_eq!(wire.text().await["type"], "connection_ack");
    let kind = if protocol == LEGACY {
        "start"
    } else {
        "subscribe"
    };
    wire.send(json!({ "id": "1", "type": kind, "payload": { "query": NEW_ORDERS } }))
        .await;
    // Operations are started in their order: once this is answered, the first one has begun, or is about to.
    wire.send(json!({ "id": "q", "type": kind, "payload": { "query": "{ __typename }" } }))
        .await;
    while wire.text().await["type"] != "complete" {}
    wire
}

/// Writes an order at a time until it arrives: from then on the subscription misses nothing.
macro_rules! begin {
    ($app:expr, $next:expr) => {{
        let mut tries = 0;
        loop {
            tries += 1;
            assert!(tries < 200, "the subscription begins");
            order($app, SELLER, CODE, "first").await;
            if let Ok(first) = timeout(Duration::from_millis(300), $next).await {
                assert_eq!(first, "first");
                break tries;
            }
        }
    }};
}

#[actix_web::test]
async fn connections_of_a_session_outlive_ten_tokens_and_lose_nothing() {
    for stores in [Stores::Redis, Stores::Postgres] {
        let place = Place::new(stores).await;
        let app = shops(&place, &[("auth.accounts.expiration", LIFETIME)]).await;
        let second = place.serve(&[("auth.accounts.expiration", LIFETIME)]).await;
        let mut browser = seller(&app).await;
        let (jar, first) = (cookies(&browser), browser.jar["session-token"].clone());
        let mut npm = Npm::start(&app, &jar, NEW_ORDERS).await;
        npm.connected().await;
        let mut wire = subscribe(&second, TRANSPORT_WS, &jar).await;
        let encoded: String = NEW_ORDERS
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        let request = reqwest::Client::new()
            .get(format!("{}/graphql?query={encoded}", app.address))
            .header("accept", "text/event-stream")
            .header("cookie", &jar);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut stream = response.bytes_stream();
        let mut streamed = String::new();
        while !streamed.contains("id: ") {
            streamed.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
        }
        // The last of them to begin.
        begin!(&app, async {
            let event = wire.text().await;
            name(&event["payload"])
        });
        begin!(&app, npm.order());

        let mut expected = Vec::new();
        let (ended, mut number) = (tokio::time::Instant::now() + Duration::from_secs(21), 0);
        while tokio::time::Instant::now() < ended {
            number += 1;
            expected.push(format!("order {number}"));
            order(&app, SELLER, CODE, &format!("order {number}")).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (mut of_npm, mut of_wire) = (Vec::new(), Vec::new());
        while of_npm.last() != expected.last() {
            of_npm.push(npm.order().await);
        }
        while of_wire.last() != expected.last() {
            of_wire.push(name(&wire.text().await["payload"]));
        }
        of_npm.retain(|name| name != "first");
        of_wire.retain(|name| name != "first");
        assert_eq!(of_npm, expected, "{stores:?}");
        assert_eq!(of_wire, expected, "{stores:?}");
        let last = format!("\"{}\"", expected.last().unwrap());
        while !streamed.contains(&last) {
            let part = timeout(PATIENCE, stream.next())
                .await
                .expect("the stream goes on");
            streamed.push_str(std::str::from_utf8(&part.expect("no end").unwrap()).unwrap());
        }
        let of_stream: BTreeSet<&str> = streamed
            .split('"')
            .filter(|part| part.starts_with("order "))
            .collect();
        assert_eq!(
            of_stream,
            expected.iter().map(String::as_str).collect(),
            "{stores:?}"
        );

        // The browser has received none of ten renewed cookies.
        assert_in(&mut browser).await;
        assert_ne!(browser.jar["session-token"], first, "it has now");
        assert_in(&mut browser).await;
    }
}

#[actix_web::test]
async fn a_token_half_that_cannot_be_stored_is_not_sent() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("auth.accounts.expiration", LIFETIME)]).await;
    let mut browser = seller(&app).await;
    let jar = browser.jar["session-token"].clone();
    let _wire = subscribe(&app, TRANSPORT_WS, &cookies(&browser)).await;
    let reading = place.database.connect().await;
    let signature = async || -> Option<String> {
        let renewed = "SELECT signature FROM gom.session WHERE previous_until IS NOT NULL";
        reading
            .query_opt(renewed, &[])
            .await
            .unwrap()
            .map(|row| row.get(0))
    };
    eventually("a renewal", async || signature().await.is_some()).await;
    let mut writing = place.database.connect().await;
    let transaction = writing.transaction().await.unwrap();
    transaction
        .execute("SELECT FROM gom.session FOR UPDATE", &[])
        .await
        .unwrap();
    assert_in(&mut browser).await;
    assert_eq!(browser.jar["session-token"], jar, "it keeps its own");
    transaction.rollback().await.unwrap();
    let before = signature().await;
    eventually("another renewal", async || signature().await != before).await;
    assert_in(&mut browser).await;
    assert_ne!(browser.jar["session-token"], jar);
}

#[actix_web::test]
async fn a_renewed_token_with_changed_permissions_resumes_without_a_gap() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("auth.accounts.expiration", LIFETIME)]).await;
    let jar = cookies(&seller(&app).await);
    let mut npm = Npm::start(&app, &jar, NEW_ORDERS).await;
    npm.connected().await;
    begin!(&app, npm.order());
    let client = place.database.connect().await;
    client
        .execute(
            "DELETE FROM gom.account WHERE username = $1",
            &[&OTHER_USERNAME],
        )
        .await
        .unwrap();
    let change = "UPDATE gom.account SET subject = $2 WHERE username = $1";
    assert_eq!(
        client
            .execute(change, &[&USERNAME, &OTHER_SELLER])
            .await
            .unwrap(),
        1
    );
    let (mut number, mut seen) = (0, Vec::new());
    while !seen.iter().any(|name: &String| name.starts_with("other")) {
        number += 1;
        order(&app, OTHER_SELLER, OTHER_CODE, &format!("other {number}")).await;
        order(&app, SELLER, CODE, &format!("own {number}")).await;
        seen.push(npm.order().await);
        seen.retain(|name| name != "first");
    }
    let last = seen.last().unwrap().rsplit(' ').next().unwrap();
    let numbers: Vec<&str> = seen
        .iter()
        .map(|name| name.split(' ').nth(1).unwrap())
        .collect();
    let all: Vec<String> = (1..=last.parse::<u32>().unwrap())
        .map(|number| number.to_string())
        .collect();
    assert_eq!(numbers, all, "{seen:?}");
}

#[actix_web::test]
async fn without_a_renewed_token_operations_end_and_the_legacy_client_does_not_reconnect() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(
        &place,
        &[
            // Long enough for both to subscribe; nothing renews it.
            ("auth.local.expiration", "8"),
            ("sockets.init_timeout", "2500"),
        ],
    )
    .await;
    let mut npm = Npm::load().await;
    let mut luz = customer(&app).await;
    let jar = cookies(&luz);
    npm.subscribe(&app, &jar, NEW_ORDERS).await;
    npm.connected().await;
    let mut modern = subscribe(&app, TRANSPORT_WS, &jar).await;
    let error = npm.next().await;
    let refused = json!({ "message": "jwt expired", "error": "jwt_error", "extensions": { "code": "UNAUTHENTICATED" } });
    assert_eq!(error["error"], refused, "as over HTTP");
    assert!(matches!(modern.got().await, Got::Closed(4403, reason) if reason.contains("expired")));

    // One that comes now is refused in the same words, and stays; its operations are not started.
    let mut late = Wire::open(&app, LEGACY, &[("cookie", &jar)]).await.unwrap();
    late.send(json!({ "type": "connection_init", "payload": {} }))
        .await;
    late.send(json!({ "id": "1", "type": "start", "payload": { "query": NEW_ORDERS } }))
        .await;
    assert_eq!(late.text().await["type"], "connection_error");
    assert_eq!(
        late.text().await,
        json!({ "type": "error", "id": "1", "payload": refused })
    );
    order(&app, SELLER, CODE, "unseen").await;
    assert!(
        timeout(Duration::from_secs(3), npm.next()).await.is_err(),
        "it makes no attempt"
    );
    assert!(late.is_quiet().await, "the socket stays");
    // It ends with its session.
    luz.log_out().await;
    assert_eq!(late.end().await, 4403);
}
