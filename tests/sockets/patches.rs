//! Live queries whose answers come as JSON Patch: npm's package applies them, and they are refused where there are none.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::wire::{LEGACY, TRANSPORT_WS, Wire, token};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{CODE, SELLER, shops};

const LIVE: &str = "query @live { orders(orderBy: name_ASC) { uid name stage } }";

async fn order(app: &TestApp, name: &str) -> String {
    let to = |uid: &str| json!({ "connect": { "extUid": uid } });
    let data = json!({ "name": name, "assignedTo": to(SELLER), "issuedTo": to(CODE) });
    let create = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }";
    let created = app.data(create, json!({ "data": data })).await;
    created["createOrder"]["uid"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn npms_client_shows_what_the_query_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sockets/npm");
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let token = token(&app, Duration::from_secs(3_600));
    let input = json!({ "address": app.address, "token": token, "customer": CODE });
    let mut command = Command::new("node");
    command
        .arg(folder.join("patches.js"))
        .arg(input.to_string())
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(90), command.output())
        .await
        .expect("it ends")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{failed}");
    println!("{said}");
    for client in ["graphql-ws: ", "graphql-sse: "] {
        assert!(said.contains(client), "{said}");
    }
}

#[actix_web::test]
async fn each_message_has_its_cursor_and_its_revision_over_both_protocols() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let uid = order(&app, &"x".repeat(300)).await;
    for (protocol, kind, stage) in [
        (TRANSPORT_WS, "subscribe", "WON"),
        (LEGACY, "start", "CLOSED"),
    ] {
        let mut wire = Wire::service(&app, protocol).await;
        let extensions = json!({ "patch": "json-patch", "cursor": true });
        let payload = json!({ "query": LIVE, "extensions": extensions });
        wire.send(json!({ "id": "1", "type": kind, "payload": payload }))
            .await;
        let first = wire.text().await["payload"].take();
        assert_eq!(first["revision"], 1, "{first}");
        assert_eq!(first["data"]["orders"][0]["uid"], uid.as_str());
        assert!(first["extensions"]["cursor"].is_string(), "{first}");
        let update = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }";
        app.data(update, json!({ "uid": uid, "data": { "stage": stage } }))
            .await;
        let next = wire.text().await["payload"].take();
        let operation = json!({ "op": "replace", "path": "/orders/0/stage", "value": stage });
        let cursor = &next["extensions"]["cursor"];
        assert!(cursor.is_string() && *cursor != first["extensions"]["cursor"]);
        assert_eq!(
            next,
            json!({ "patch": [operation], "extensions": { "cursor": cursor }, "revision": 2 })
        );
    }
}

#[actix_web::test]
async fn patches_are_refused_where_there_are_none() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let mut wire = Wire::service(&app, TRANSPORT_WS).await;
    let create = format!(
        "mutation {{ createOrder(data: {{ name: \"never\", assignedTo: {{ connect: {{ extUid: \"{SELLER}\" }} }}, \
         issuedTo: {{ connect: {{ extUid: \"{CODE}\" }} }} }}) {{ uid }} }}"
    );
    let patch = json!("json-patch");
    for (query, patch, says) in [
        ("{ orders { uid } }", &patch, "only live queries"),
        (&create, &patch, "only live queries"),
        (
            "subscription { order { mutation } }",
            &patch,
            "only live queries",
        ),
        (LIVE, &json!(true), "there is no other"),
        (LIVE, &json!("merge-patch"), "there is no other"),
    ] {
        let payload = json!({ "query": query, "extensions": { "patch": patch } });
        wire.send(json!({ "id": "r", "type": "subscribe", "payload": payload }))
            .await;
        let answer = wire.text().await.to_string();
        assert!(answer.contains("BAD_USER_INPUT"), "{query}: {answer}");
        assert!(
            answer.contains("extensions.patch") && answer.contains(says),
            "{answer}"
        );
    }
    // Over plain HTTP, every operation has one answer.
    for query in [LIVE, &create] {
        let answer = reqwest::Client::new()
            .post(format!("{}/graphql", app.address))
            .bearer_auth(&app.token)
            .header("content-type", "application/json")
            .body(json!({ "query": query, "extensions": { "patch": patch } }).to_string());
        let answer = answer.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    }
    let orders = app.data("{ orders { name } }", json!({})).await;
    assert_eq!(orders["orders"], json!([]), "nothing was written");
}
