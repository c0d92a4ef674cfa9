//! A browser's cookies, for a page that stays open over a change of servers.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use reqwest::{Client, Method};
use serde_json::{Value, json};

#[derive(Debug, Default)]
pub struct Visitor {
    client: Client,
    /// As they came, still encoded.
    pub jar: BTreeMap<String, String>,
}

impl Visitor {
    pub fn with<'a>(cookies: impl IntoIterator<Item = (&'a str, &'a str)>) -> Visitor {
        let jar = cookies
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Visitor {
            jar,
            client: Client::new(),
        }
    }

    /// Status and body; the CSRF token is repeated in its header.
    pub async fn send(&mut self, method: Method, url: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, url);
        if !self.jar.is_empty() {
            let cookies: Vec<_> = self
                .jar
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header(COOKIE, cookies.join("; "));
        }
        if let Some(token) = self.jar.get("csrf-token") {
            request = request.header("x-csrf-token", token);
        }
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        for line in answer.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default(),
        )
    }

    pub async fn ask(&mut self, address: &str, query: &str) -> (u16, Value) {
        self.send(
            Method::POST,
            &format!("{address}/graphql"),
            Some(json!({ "query": query })),
        )
        .await
    }

    /// As the login page does: it throws the CSRF token away when it opens, and gets one before it submits.
    pub async fn log_in(&mut self, address: &str, code: &str, phone: &str) -> (u16, Value) {
        self.jar.remove("csrf-token");
        self.send(Method::GET, &format!("{address}/auth/ping"), None)
            .await;
        let body = json!({ "grantType": "phone", "username": code, "phone": phone });
        self.send(Method::POST, &format!("{address}/auth/login"), Some(body))
            .await
    }
}
