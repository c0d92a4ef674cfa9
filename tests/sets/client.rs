//! A client that keeps a map of rows: how it fills it, and what it makes of what it receives.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use gom_test_support::browser::Browser;
use gom_test_support::dice::Dice;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::patch::patched;

/// Where the servers are at the moment.
pub struct Nodes(Vec<AtomicU16>);

impl Nodes {
    pub fn new(ports: impl Iterator<Item = u16>) -> Nodes {
        Nodes(ports.map(AtomicU16::new).collect())
    }

    pub fn lead(&self, node: usize, port: u16) {
        self.0[node].store(port, Ordering::Relaxed);
    }

    fn any(&self, dice: &mut Dice) -> String {
        let port = self.0[dice.below(self.0.len())].load(Ordering::Relaxed);
        format!("http://127.0.0.1:{port}/graphql")
    }
}

/// A seller who has logged in.
#[derive(Clone)]
pub struct Viewer {
    /// What the names of orders begin with that were written in the seller's shop.
    pub mark: &'static str,
    cookies: String,
    csrf: String,
}

impl Viewer {
    pub fn new(mark: &'static str, browser: &Browser) -> Viewer {
        let cookies = browser
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        Viewer {
            mark,
            cookies: cookies.collect::<Vec<_>>().join("; "),
            csrf: browser.jar["csrf-token"].clone(),
        }
    }

    fn request(&self, url: String, body: &Value) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .post(url)
            .header("cookie", &self.cookies)
            .header("x-csrf-token", &self.csrf)
            .header("content-type", "application/json")
            .body(body.to_string())
    }
}

/// How a client keeps its map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All orders of the seller: a query with its cursor, then events and leaves.
    All,
    /// The same of the orders in one stage.
    Open,
    /// A live query of the orders in one stage.
    Live,
    /// A live query of all orders of the seller, whose answers come as patches.
    Patched,
}

impl Shape {
    pub const ALL: [Shape; 4] = [Shape::All, Shape::Open, Shape::Live, Shape::Patched];

    fn filter(self) -> &'static str {
        match self {
            Shape::All | Shape::Patched => "{}",
            Shape::Open | Shape::Live => "{ stage: OPEN }",
        }
    }

    fn query(self) -> String {
        format!(
            "{{ orders(where: {}, orderBy: updatedAt_DESC) {ORDER} }}",
            self.filter()
        )
    }

    fn is_live(self) -> bool {
        matches!(self, Shape::Live | Shape::Patched)
    }

    /// What of an order is compared. The code of an item is no event of its order.
    fn row(self, order: &Value) -> (String, Value) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let items = order["items"].as_array().unwrap().iter();
        let mut items: Vec<String> = items
            .map(|item| match self.is_live() {
                true => item.to_string(),
                false => text(&item["uid"]),
            })
            .collect();
        items.sort();
        let row = json!([order["name"], order["stage"], items]);
        (text(&order["uid"]), row)
    }

    fn rows(self, data: &Value) -> Option<Rows> {
        let orders = data["orders"].as_array()?;
        Some(orders.iter().map(|order| self.row(order)).collect())
    }
}

const ORDER: &str = "{ uid name stage items { uid code } }";

/// Uid to the rest of the row.
pub type Rows = BTreeMap<String, Value>;

#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    pub events: usize,
    pub leaves: usize,
    pub patches: usize,
    pub resyncs: usize,
}

#[derive(Default)]
struct Shown {
    rows: Rows,
    counted: Counted,
}

pub struct Client {
    viewer: Viewer,
    shape: Shape,
    shown: Arc<Mutex<Shown>>,
    task: actix_web::rt::task::JoinHandle<()>,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a client of seller {} of shape {:?}",
            self.viewer.mark, self.shape
        )
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    pub fn start(viewer: Viewer, shape: Shape, seed: u64, nodes: &Arc<Nodes>) -> Client {
        let shown = Arc::new(Mutex::new(Shown::default()));
        let mut following = Following {
            viewer: viewer.clone(),
            shape,
            shown: Arc::clone(&shown),
            cursor: None,
            document: None,
        };
        let nodes = Arc::clone(nodes);
        let task = actix_web::rt::spawn(async move {
            let mut dice = Dice::new(seed);
            loop {
                let url = nodes.any(&mut dice);
                let leaves_by_itself = Duration::from_millis(500 + dice.below(8_000) as u64);
                let _ = timeout(leaves_by_itself, following.follow(url)).await;
                tokio::time::sleep(Duration::from_millis(20 + dice.below(200) as u64)).await;
            }
        });
        Client {
            viewer,
            shape,
            shown,
            task,
        }
    }

    pub fn shown(&self) -> Rows {
        assert!(!self.task.is_finished(), "{self} has failed: see its panic");
        self.shown.lock().unwrap().rows.clone()
    }

    pub fn counted(&self) -> Counted {
        self.shown.lock().unwrap().counted
    }

    /// What it must show.
    pub async fn query(&self, nodes: &Nodes) -> Rows {
        let body = json!({ "query": self.shape.query() });
        let answer = self.viewer.request(nodes.any(&mut Dice::new(1)), &body);
        let answer: Value =
            serde_json::from_str(&answer.send().await.unwrap().text().await.unwrap()).unwrap();
        let rows = self.shape.rows(&answer["data"]);
        rows.unwrap_or_else(|| panic!("{answer}"))
    }
}

struct Following {
    viewer: Viewer,
    shape: Shape,
    shown: Arc<Mutex<Shown>>,
    cursor: Option<String>,
    /// What patches apply to, and its revision.
    document: Option<(Value, u64)>,
}

impl Following {
    /// From where it was, until the connection ends.
    async fn follow(&mut self, url: String) -> Option<()> {
        self.document = None;
        let body = if self.shape.is_live() {
            let mut body = json!({ "query": format!("query @live {}", self.shape.query()) });
            if self.shape == Shape::Patched {
                body["extensions"] = json!({ "patch": "json-patch" });
            }
            body
        } else {
            if self.cursor.is_none() {
                self.read(&url).await?;
            }
            let filter = self.shape.filter();
            let document = format!(
                "subscription {{ order(where: {{ node: {filter} }}) {{ mutation node {ORDER} previousValues {{ uid }} }} }}"
            );
            json!({ "query": document, "extensions": { "leaves": true, "cursor": self.cursor } })
        };
        let request = self
            .viewer
            .request(url, &body)
            .header("accept", "text/event-stream");
        let answer = request
            .send()
            .await
            .ok()
            .filter(|answer| answer.status().is_success())?;
        let mut chunks = answer.bytes_stream();
        let mut text = String::new();
        while let Some(Ok(chunk)) = chunks.next().await {
            text.push_str(std::str::from_utf8(&chunk).expect("whole characters"));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let event = event.to_owned();
                text = rest.to_owned();
                self.receive(&event)?;
            }
        }
        None
    }

    /// The snapshot, and the cursor from which events go on.
    async fn read(&mut self, url: &str) -> Option<()> {
        let body = json!({ "query": self.shape.query(), "extensions": { "cursor": true } });
        let request = self.viewer.request(url.to_owned(), &body);
        let answer: Value =
            serde_json::from_str(&request.send().await.ok()?.text().await.ok()?).ok()?;
        self.check_codes(answer["data"]["orders"].as_array()?);
        let rows = self.shape.rows(&answer["data"])?;
        self.cursor = Some(answer["extensions"]["cursor"].as_str().unwrap().to_owned());
        self.show(|shown| *shown = rows);
        Some(())
    }

    /// Nothing: another connection is needed.
    fn receive(&mut self, event: &str) -> Option<()> {
        let field = |name: &str| {
            let mut values = event
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.next().map(str::trim)
        };
        if let (Some("next"), Some(data)) = (field("event"), field("data")) {
            let answer: Value = serde_json::from_str(data).unwrap();
            if let Some(errors) = answer.get("errors") {
                let code = errors[0]["extensions"]["code"].as_str().unwrap_or_default();
                if code == "RESYNC_REQUIRED" {
                    self.cursor = None;
                    self.shown.lock().unwrap().counted.resyncs += 1;
                } else {
                    let passing = [
                        "SERVICE_UNAVAILABLE",
                        "DEADLINE_EXCEEDED",
                        "TOO_MANY_REQUESTS",
                    ];
                    assert!(passing.contains(&code), "{errors}");
                }
                return None;
            }
            if self.shape == Shape::Patched {
                self.patch(answer);
            } else {
                self.take(&answer);
            }
        }
        if let Some(id) = field("id").filter(|_| !self.shape.is_live()) {
            self.cursor = Some(id.to_owned());
        }
        Some(())
    }

    fn patch(&mut self, mut answer: Value) {
        let revision = answer["revision"].as_u64().unwrap();
        let document = match answer.get_mut("patch") {
            None => {
                assert_eq!(revision, 1, "{answer}");
                answer["data"].take()
            }
            Some(patch) => {
                let (document, last) = self.document.take().expect("a whole answer comes first");
                assert_eq!(revision, last + 1, "a revision is missing");
                self.shown.lock().unwrap().counted.patches += 1;
                patched(document, patch.as_array().unwrap())
            }
        };
        self.take(&json!({ "data": document }));
        self.document = Some((document, revision));
    }

    fn take(&mut self, answer: &Value) {
        if let Some(rows) = self.shape.rows(&answer["data"]) {
            self.check_codes(answer["data"]["orders"].as_array().unwrap());
            return self.show(|shown| *shown = rows);
        }
        let left = answer["extensions"]["left"].as_array();
        let left = left.unwrap_or_else(|| panic!("{answer}"));
        self.shown.lock().unwrap().counted.leaves += left.len();
        for one in left {
            assert_eq!(one["type"], "Order", "{answer}");
            self.show(|shown| drop(shown.remove(one["id"].as_str().unwrap())));
        }
        if answer["data"]["order"].is_null() {
            assert!(!left.is_empty(), "{answer}");
            return;
        }
        let event = &answer["data"]["order"];
        self.shown.lock().unwrap().counted.events += 1;
        if event["mutation"] == "DELETED" {
            let uid = event["previousValues"]["uid"].as_str().unwrap().to_owned();
            return self.show(|shown| drop(shown.remove(&uid)));
        }
        self.check_codes(std::slice::from_ref(&event["node"]));
        let (uid, rest) = self.shape.row(&event["node"]);
        self.show(|shown| drop(shown.insert(uid, rest)));
    }

    /// The items of an order change their code with its owner: those of another's are never seen.
    fn check_codes(&self, orders: &[Value]) {
        let items = orders
            .iter()
            .flat_map(|order| order["items"].as_array().unwrap());
        let mark = format!("{}:", self.viewer.mark);
        for item in items {
            let is_own = item["code"].as_str().unwrap().starts_with(&mark);
            assert!(is_own, "seller {} sees {item}", self.viewer.mark);
        }
    }

    fn show(&self, change: impl FnOnce(&mut Rows)) {
        let rows = &mut self.shown.lock().unwrap().rows;
        change(rows);
        // A shop's name is written with every change of the owner: another's is never seen.
        let mark = format!("{}:", self.viewer.mark);
        let foreign = rows
            .values()
            .find(|row| !row[0].as_str().unwrap().starts_with(&mark));
        assert_eq!(foreign, None, "seller {} sees another's", self.viewer.mark);
    }
}
