//! Subscriptions and live queries over HTTP, on a running server with a real PostgreSQL.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod events;
mod nodes;
mod positions;
mod queries;
mod resume;
mod stream;

use gom_test_support::TestDatabase;
use gom_test_support::app::TestApp;
use serde_json::{Value, json};

/// A server with a seller and a customer, and a client past it.
pub async fn shop() -> (TestApp, tokio_postgres::Client) {
    let database = TestDatabase::create().await;
    let url = database.url();
    let tables = database.connect().await;
    let app = TestApp::on(&url, Some(database), &[("live.poll_interval", "20")]).await;
    tables
        .batch_execute("set search_path = \"default$default\"")
        .await
        .unwrap();
    people(&app).await;
    (app, tables)
}

/// Two sellers with a customer each.
pub async fn people(app: &TestApp) {
    for (seller, customer) in [("one", "c1"), ("two", "c2")] {
        let customer = json!({ "extUid": customer, "name1": "Luz" });
        let data =
            json!({ "extUid": seller, "business": "Tacos", "customers": { "create": [customer] } });
        ask(
            app,
            "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }",
            json!({ "data": data }),
        )
        .await;
    }
}

pub async fn ask(app: &TestApp, query: &str, variables: Value) -> Value {
    let answer = app
        .post(json!({ "query": query, "variables": variables }).to_string())
        .await;
    assert!(
        answer.body.get("errors").is_none(),
        "{query}: {}",
        answer.body
    );
    answer.body["data"].clone()
}

/// A new order of the seller; its uid.
pub async fn order(app: &TestApp, seller: &str, name: &str) -> String {
    let item =
        json!({ "quantity": 1, "pricing": { "create": [{ "amount": 2.5, "currency": "MXN" }] } });
    let customer = if seller == "one" { "c1" } else { "c2" };
    let data = json!({
        "name": name, "assignedTo": { "connect": { "extUid": seller } }, "issuedTo": { "connect": { "extUid": customer } },
        "items": { "create": [item] },
    });
    let create = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }";
    let created = ask(app, create, json!({ "data": data })).await;
    created["createOrder"]["uid"].as_str().unwrap().to_owned()
}
