//! Idempotency keys over HTTP: a mutation that is repeated is carried out once and answered alike, on whichever server, and
//! however often connections are cut and servers are killed.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod at_once;
mod kept;
mod kills;
mod requests;
mod unknown;
mod viewers;

use gom_test_support::app::TestApp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client;

/// What came back, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub text: String,
}

impl Reply {
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// `extensions.code` of the first error.
    pub fn code(&self) -> String {
        let code = &self.body()["errors"][0]["extensions"]["code"];
        code.as_str().unwrap_or_default().to_owned()
    }

    pub fn message(&self) -> String {
        let message = &self.body()["errors"][0]["message"];
        message.as_str().unwrap_or_default().to_owned()
    }

    /// Without what names the request in errors.
    pub fn without_ids(&self) -> Value {
        let mut body = self.body();
        if let Some(errors) = body.get_mut("errors").and_then(Value::as_array_mut) {
            for error in errors {
                error["requestId"] = Value::Null;
            }
        }
        body
    }

    pub fn assert_done(&self) {
        assert_eq!(
            (self.status, self.body().get("errors")),
            (200, None),
            "{}",
            self.text
        );
    }

    pub fn assert_refused(&self, status: u16, code: &str, message: &str) {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{}",
            self.text
        );
        assert!(self.message().contains(message), "{}", self.text);
    }
}

/// A body of the service's, with a header.
pub async fn post(app: &TestApp, header: Option<&str>, body: Value) -> Reply {
    let mut request = app
        .authorized(Method::POST, "/graphql")
        .header("Content-Type", "application/json");
    if let Some(header) = header {
        request = request.header("Idempotency-Key", header);
    }
    let response = request.body(body.to_string()).send().await.unwrap();
    Reply {
        status: response.status().as_u16(),
        text: response.text().await.unwrap(),
    }
}

/// A document of the service's, with the key as a header.
pub async fn keyed(app: &TestApp, key: &str, query: &str) -> Reply {
    post(app, Some(key), json!({ "query": query })).await
}

/// A mutation that would be carried out as often as it is sent; what it answers is different each time.
pub fn create(business: &str) -> String {
    format!(
        "mutation {{ createUser(data: {{ business: \"{business}\" }}) {{ uid business createdAt }} }}"
    )
}

/// The connection of a server's database, past the server.
pub async fn tables(app: &TestApp) -> Client {
    let client = app.database().connect().await;
    client
        .batch_execute("set search_path = \"default$default\"")
        .await
        .unwrap();
    client
}

pub async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Users with this name.
pub async fn users(client: &Client, business: &str) -> i64 {
    let sql = "select count(*) from \"User\" where business = $1";
    client.query_one(sql, &[&business]).await.unwrap().get(0)
}

/// Keys that are stored.
pub async fn keys(client: &Client) -> i64 {
    count(client, "select count(*) from gom.idempotency_key").await
}
