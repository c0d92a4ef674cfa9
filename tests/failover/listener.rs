//! A subscriber over SSE that comes back with its last cursor whenever its stream ends, and writes down what it receives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use gom_test_support::eventually;
use gom_test_support::process::Server;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What it has received.
#[derive(Debug, Clone, Default)]
pub struct Received {
    pub cursor: Option<String>,
    pub names: Vec<String>,
    /// It was required to read again, and has stopped.
    pub resyncs: usize,
    /// How often it has connected.
    pub streams: usize,
}

pub struct Listener {
    address: String,
    token: String,
    received: Arc<Mutex<Received>>,
    task: Option<JoinHandle<()>>,
}

impl Listener {
    /// It is subscribed when this returns.
    pub async fn begin(server: &Server) -> Listener {
        let mut listener = Listener {
            address: server.url("/graphql"),
            token: server.token().to_owned(),
            received: Arc::default(),
            task: None,
        };
        listener.come_back();
        eventually("a cursor at the start", async || {
            listener.received().cursor.is_some()
        })
        .await;
        listener
    }

    pub fn received(&self) -> Received {
        self.received.lock().unwrap().clone()
    }

    /// Cut off at any point of what it does.
    pub async fn leave(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    pub fn come_back(&mut self) {
        let (address, token) = (self.address.clone(), self.token.clone());
        let received = Arc::clone(&self.received);
        self.task = Some(tokio::spawn(async move {
            while received.lock().unwrap().resyncs == 0 {
                listen(&address, &token, &received).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
    }

    /// The same at another server's address.
    pub fn move_to(&mut self, server: &Server) {
        self.address = server.url("/graphql");
    }

    pub async fn has(&self, name: &str) {
        let what = format!("the event of {name}");
        let it = name.to_owned();
        eventually(&what, async || {
            let received = self.received();
            assert_eq!(received.resyncs, 0, "before {it}");
            received.names.contains(&it)
        })
        .await;
    }

    pub async fn is_required_to_resync(&self) {
        eventually("RESYNC_REQUIRED", async || self.received().resyncs > 0).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn listen(address: &str, token: &str, received: &Mutex<Received>) {
    let body = json!({ "query": "subscription { user { mutation node { business } } }" });
    let mut request = reqwest::Client::new()
        .post(address)
        .bearer_auth(token)
        .header("content-type", "application/json")
        .header("accept", "text/event-stream");
    if let Some(cursor) = &received.lock().unwrap().cursor {
        request = request.header("last-event-id", cursor);
    }
    let Ok(answer) = request.body(body.to_string()).send().await else {
        return;
    };
    if !answer.status().is_success() {
        return;
    }
    received.lock().unwrap().streams += 1;
    let mut chunks = answer.bytes_stream();
    let mut text = String::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            if !note(event, &mut received.lock().unwrap()) {
                return;
            }
            text = rest.to_owned();
        }
    }
}

/// False: the stream has ended with an error.
fn note(event: &str, received: &mut Received) -> bool {
    let field = |name: &str| {
        let mut values = event.lines().filter_map(|line| line.strip_prefix(name));
        values.next().map(|value| value.trim().to_owned())
    };
    let data = field("data:").filter(|data| !data.is_empty());
    if let (Some("next"), Some(data)) = (field("event:").as_deref(), data) {
        let answer: Value = serde_json::from_str(&data).unwrap();
        if let Some(errors) = answer.get("errors") {
            let code = errors[0]["extensions"]["code"].as_str().unwrap_or_default();
            match code {
                "RESYNC_REQUIRED" => received.resyncs += 1,
                "SERVICE_UNAVAILABLE" | "DEADLINE_EXCEEDED" => {}
                _ => panic!("{errors}"),
            }
            return false;
        }
        let name = answer["data"]["user"]["node"]["business"].as_str();
        received.names.push(name.unwrap().to_owned());
    }
    if let Some(id) = field("id:") {
        received.cursor = Some(id);
    }
    true
}
