//! The README's five minutes, as they stand there: each request is sent, and answered as shown.

use std::collections::BTreeMap;

use gom_server::settings::{self, Inputs, Purpose};
use gom_shop::seed::DemoShop;
use gom_test_support::TestDatabase;
use reqwest::header::SET_COOKIE;
use reqwest::{Method, Response};
use serde_json::Value;

use gom_test_support::app::{TestApp, read};

const README: &str = include_str!("../../README.md");

/// Requests to the API and the answers shown for them.
fn exchanges() -> Vec<(String, Value)> {
    let blocks = README
        .split("```console\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next());
    blocks
        .filter_map(|block| {
            let (request, shown) = if let Some(rest) = block.strip_prefix("$ ask <<'X'\n") {
                rest.split_once("\nX\n")?
            } else {
                block.strip_prefix("$ echo '")?.split_once("' | ask\n")?
            };
            Some((
                request.to_owned(),
                serde_json::from_str(shown).expect("what is shown is JSON"),
            ))
        })
        .collect()
}

/// Leaves out what differs from run to run.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| key != "createdAt" && key != "requestId");
            fields.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

#[actix_web::test]
async fn the_first_five_minutes_are_as_shown() {
    let database = TestDatabase::create().await;
    let mut client = database.connect().await;
    let url = database.url();
    let app = TestApp::on(&url, Some(database), &[]).await;
    let inputs = Inputs {
        keys: gom_shop::KEYS,
        purpose: Purpose::Tool,
        variables: BTreeMap::new(),
        directory: None,
        arguments: vec![("database.url", "the test", url.clone())],
    };
    let settings = settings::load(&inputs)
        .unwrap_or_else(|error| panic!("{error}"))
        .settings;
    DemoShop::new(&settings)
        .open(&mut client, "default$default")
        .await
        .unwrap();
    let exchanges = exchanges();
    assert_eq!(
        exchanges.len(),
        4,
        "the README's exchanges are written in another way"
    );
    for (request, mut shown) in exchanges {
        let mut answer = app.post(request).await.body;
        timeless(&mut answer);
        timeless(&mut shown);
        assert_eq!(answer, shown);
    }
    let (login, query, shown) = as_a_seller();
    let mut browser = Browser::default();
    browser.send(&app, Method::GET, "/auth/ping", None).await;
    browser
        .send(&app, Method::POST, "/auth/login", Some(login))
        .await;
    let answer = read(
        browser
            .send(&app, Method::POST, "/graphql", Some(query))
            .await,
    )
    .await;
    assert_eq!(answer.body, shown);
}

/// What is sent by `browse`: the login, and the query with its answer.
fn as_a_seller() -> (String, String, Value) {
    let given = |text: &str| {
        text.split_once("-d '")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map(|(d, _)| d.to_owned())
    };
    let (_, rest) = README
        .split_once("browse localhost:3000/auth/login")
        .expect("the login is shown");
    let (_, query) = rest
        .split_once("$ browse localhost:3000/graphql")
        .expect("a query is shown");
    let answer = query
        .split_once("}'\n")
        .and_then(|(_, rest)| rest.lines().next())
        .expect("with its answer");
    let answer = serde_json::from_str(answer).expect("what is shown is JSON");
    (
        given(rest).expect("with its body"),
        given(query).expect("with its body"),
        answer,
    )
}

/// Keeps cookies, as `curl` does with a jar.
#[derive(Default)]
struct Browser(BTreeMap<String, String>);

impl Browser {
    async fn send(
        &mut self,
        app: &TestApp,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Response {
        let cookies: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = app
            .request(method, path)
            .header("Cookie", cookies.join("; "));
        if let Some(body) = body {
            let token = self.0.get("csrf-token").cloned().unwrap_or_default();
            request = request
                .header("X-Csrf-Token", token)
                .header("Content-Type", "application/json")
                .body(body);
        }
        let response = request.send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        for line in response.headers().get_all(SET_COOKIE) {
            let (name, value) = line
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .split_once('=')
                .unwrap();
            self.0.insert(name.to_owned(), value.to_owned());
        }
        response
    }
}
