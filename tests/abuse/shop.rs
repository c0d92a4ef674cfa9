//! The server as a process, so that its memory is measured apart from the test's, with two shops of fifty orders each.

use std::io::Write as _;
use std::process::Stdio;

use gom_test_support::TestDatabase;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use gom_test_support::browser::Browser;
use gom_test_support::process::{Environment, Server, command, environment, migrate};

pub const PASSWORD: &str = "correct horse";
const ORDERS: usize = 50;

pub struct Shop {
    pub server: Server,
    pub database: TestDatabase,
    /// Attacks are measured: side by side they would measure each other.
    _turn: MutexGuard<'static, ()>,
}

impl Shop {
    /// `settings`: variables beyond those of [`environment`].
    pub async fn open(settings: &[(&'static str, &str)]) -> Shop {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let database = TestDatabase::create().await;
        let mut variables: Environment = environment(&database.url());
        // As many as there are cores, as in production.
        variables.retain(|(name, _)| *name != "GOM__SERVER__WORKERS");
        variables.extend(
            settings
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        migrate(&variables);
        for name in ["victim", "attacker"] {
            let mut adding = command(
                &variables,
                &[
                    "account",
                    "add",
                    name,
                    "--role",
                    "seller",
                    "--subject",
                    name,
                ],
            );
            let mut adding = adding
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            adding
                .stdin
                .take()
                .unwrap()
                .write_all(format!("{PASSWORD}\n").as_bytes())
                .unwrap();
            assert!(adding.wait().unwrap().success());
        }
        let server = Server::ready(&variables, &[]).await;
        for name in ["victim", "attacker"] {
            fill(&server, name).await;
        }
        Shop {
            server,
            database,
            _turn: turn,
        }
    }

    /// A seller, logged in: `victim` or `attacker`.
    pub async fn seller(&self, name: &str) -> Browser {
        let mut browser = Browser::new(&format!("http://127.0.0.1:{}", self.server.port));
        let reply = browser.by_password(name, PASSWORD).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        browser
    }
}

async fn fill(server: &Server, seller: &str) {
    let item = |n: usize| json!({ "code": format!("c{n}"), "pricing": { "create": [{ "amount": 1.5, "currency": "MXN" }] } });
    let order = |n: usize| {
        json!({
            "name": format!("order {n}"),
            "issuedTo": { "connect": { "uid": format!("bp-{seller}") } },
            "items": { "create": (0..4).map(item).collect::<Vec<Value>>() },
        })
    };
    let customer = json!({ "uid": format!("bp-{seller}"), "extUid": seller, "name1": "Luz" });
    let data =
        json!({ "extUid": seller, "business": "Flan", "customers": { "create": [customer] } });
    let create = "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }";
    ask(server, create, json!({ "data": data })).await;
    let update = "mutation($where: UserWhereUniqueInput!, $data: UserUpdateInput!) { updateUser(where: $where, data: $data) { uid } }";
    let orders: Vec<Value> = (0..ORDERS).map(order).collect();
    let variables =
        json!({ "where": { "extUid": seller }, "data": { "orders": { "create": orders } } });
    ask(server, update, variables).await;
}

/// What the service is answered; no errors are allowed.
pub async fn ask(server: &Server, query: &str, variables: Value) {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let request = reqwest::Client::new()
        .post(server.url("/graphql"))
        .bearer_auth(server.token());
    let answer = request
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer.get("errors"), None, "{query}: {answer}");
}
