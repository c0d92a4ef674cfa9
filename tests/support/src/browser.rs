//! A client that deals with cookies as a browser and the real client's scripts do.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, HeaderMap, SET_COOKIE};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::app::TestApp;

/// Keeps cookies, and repeats the CSRF token in its header.
#[derive(Debug, Clone)]
pub struct Browser {
    address: String,
    client: Client,
    /// As they came, still encoded.
    pub jar: BTreeMap<String, String>,
    /// Sent with every request.
    pub headers: Vec<(&'static str, String)>,
}

/// An answer, read.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Null if there is none.
    pub body: Value,
}

impl Browser {
    pub fn new(address: &str) -> Self {
        Browser {
            address: address.to_owned(),
            client: Client::new(),
            jar: BTreeMap::new(),
            headers: Vec::new(),
        }
    }

    /// The same browser with the same cookies, in front of another server.
    pub fn at(&self, app: &TestApp) -> Self {
        Browser {
            address: app.address.clone(),
            ..self.clone()
        }
    }

    /// The cookies that it has of sessions; that of the device stays, and opens nothing.
    pub fn cookies_of_sessions(&self) -> Vec<&str> {
        self.jar
            .keys()
            .map(String::as_str)
            .filter(|name| *name != "device")
            .collect()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub async fn send(&mut self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.send_with(method, path, body, &[]).await
    }

    /// `headers`: beyond those that the client sends; they replace them.
    pub async fn send_with(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut own = HeaderMap::new();
        let mut add = |name: &str, value: &str| {
            let name: reqwest::header::HeaderName = name.parse().unwrap();
            // Browsers send what lies beyond ASCII as it is.
            own.insert(
                name,
                reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        };
        if !self.jar.is_empty() {
            let cookies: Vec<_> = self
                .jar
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            add(COOKIE.as_str(), &cookies.join("; "));
        }
        if method != Method::GET
            && let Some(token) = self.jar.get("csrf-token")
        {
            add("x-csrf-token", token);
        }
        self.headers
            .iter()
            .for_each(|(name, value)| add(name, value));
        headers.iter().for_each(|(name, value)| add(name, value));
        let mut request = self.client.request(method, self.url(path)).headers(own);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        self.keep(&headers);
        let text = response.text().await.unwrap();
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
        };
        Reply {
            status,
            headers,
            body,
        }
    }

    fn keep(&mut self, headers: &HeaderMap) {
        for line in headers
            .get_all(SET_COOKIE)
            .iter()
            .map(|line| line.to_str().unwrap())
        {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub async fn ping(&mut self) -> Reply {
        self.send(Method::GET, "/auth/ping", None).await
    }

    /// As the login page does: it throws the CSRF token away when it opens, and gets one before it submits.
    pub async fn log_in(&mut self, body: Value) -> Reply {
        self.jar.remove("csrf-token");
        self.ping().await;
        self.send(Method::POST, "/auth/login", Some(body)).await
    }

    pub async fn by_password(&mut self, username: &str, password: &str) -> Reply {
        self.log_in(json!({ "grantType": "password", "username": username, "password": password }))
            .await
    }

    pub async fn by_phone(&mut self, code: &str, phone: &str) -> Reply {
        self.log_in(json!({ "grantType": "phone", "username": code, "phone": phone }))
            .await
    }

    pub async fn bp(&mut self, code: &str) -> Reply {
        self.send(Method::GET, &format!("/auth/bp?code={code}"), None)
            .await
    }

    /// As the menu does.
    pub async fn log_out(&mut self) -> Reply {
        self.send(Method::GET, "/auth/logout", None).await
    }

    pub async fn graphql(&mut self, query: &str, variables: Value) -> Reply {
        self.send(
            Method::POST,
            "/graphql",
            Some(json!({ "variables": variables, "query": query })),
        )
        .await
    }

    /// The data of an answer without errors.
    pub async fn data(&mut self, query: &str, variables: Value) -> Value {
        let mut reply = self.graphql(query, variables.clone()).await;
        assert_eq!(
            (reply.status, reply.body.get("errors")),
            (StatusCode::OK, None),
            "{query}\n{variables}\n{}",
            reply.body
        );
        reply.body["data"].take()
    }

    /// A cookie as the client's library reads it: `+` is a space, escapes are decoded, and what is JSON
    /// becomes what it says.
    pub fn script_reads(&self, name: &str) -> Option<Value> {
        let text = self.jar.get(name)?.replace('+', " ");
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            if *first == b'%' {
                let digits = std::str::from_utf8(&tail[..2]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &tail[2..];
            } else {
                bytes.push(*first);
                rest = tail;
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The token's payload as the client's scripts read it.
    pub fn payload(&self) -> Value {
        let token = self
            .script_reads("session-token")
            .expect("there is a session-token");
        let token = token.as_str().expect("it is read as a text").to_owned();
        assert_eq!(token.matches('.').count(), 1, "it has two parts: {token}");
        let payload = token.split_once('.').unwrap().1;
        serde_json::from_str(&atob(payload)).unwrap_or_else(|error| panic!("{error}: {token}"))
    }
}

/// As browsers do: the alphabet with `+` and `/`, padding or not; each byte becomes the character with its
/// number.
fn atob(text: &str) -> String {
    use base64::Engine as _;
    let config = base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    let bytes = engine
        .decode(text)
        .unwrap_or_else(|error| panic!("atob would throw: {error} in {text}"));
    bytes.into_iter().map(char::from).collect()
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// The whole line that sets a cookie.
    pub fn set_cookie(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .headers
            .get_all(SET_COOKIE)
            .iter()
            .map(|line| line.to_str().unwrap());
        lines.rfind(|line| line.split('=').next() == Some(name))
    }

    /// Status and `error` of the REST side's answers.
    pub fn refusal(&self) -> (u16, &str) {
        let status = self.status.as_u16();
        if let Some(said) = self.body.get("statusCode") {
            assert_eq!(*said, json!(status), "{}", self.body);
        }
        (status, self.body["error"].as_str().unwrap_or_default())
    }

    /// Status, and `extensions.code` of the first GraphQL error.
    pub fn code(&self) -> (u16, &str) {
        let code = self.body["errors"][0]["extensions"]["code"].as_str();
        (self.status.as_u16(), code.unwrap_or_default())
    }
}
