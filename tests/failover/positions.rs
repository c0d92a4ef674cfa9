//! Reads after positions, and a live query whose answers come as patches, through a failover that has lost writes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use gom_test_support::eventually;
use gom_test_support::process::Server;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::patch::patched;
use crate::{World, names};

fn request(server: &Server, body: &Value) -> reqwest::RequestBuilder {
    reqwest::Client::new()
        .post(server.url("/graphql"))
        .bearer_auth(server.token())
        .header("content-type", "application/json")
        .body(body.to_string())
}

async fn answer(server: &Server, body: Value) -> Value {
    let answer = request(server, &body).send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// After a write of this name.
async fn position_of(server: &Server, name: &str) -> String {
    let mutation =
        format!(r#"mutation {{ createUser(data: {{ business: "{name}" }}) {{ uid }} }}"#);
    let body = json!({ "query": mutation, "extensions": { "cursor": true } });
    let answer = answer(server, body).await;
    answer["extensions"]["cursor"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

async fn read_after(server: &Server, position: &str) -> Value {
    let query = "{ users { business } }";
    answer(
        server,
        json!({ "query": query, "extensions": { "after": position } }),
    )
    .await
}

/// What a live query shows.
struct Screen {
    shown: Arc<Mutex<BTreeSet<String>>>,
    reading: JoinHandle<()>,
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Screen {
    async fn begin(server: &Server) -> Screen {
        let live = json!({ "query": "query @live { users(orderBy: createdAt_DESC) { uid business } }",
            "extensions": { "patch": "json-patch" } });
        let request = request(server, &live).header("accept", "text/event-stream");
        let mut chunks = request.send().await.unwrap().bytes_stream();
        let shown: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let screen = Arc::clone(&shown);
        let reading = tokio::spawn(async move {
            let (mut text, mut document) = (String::new(), Value::Null);
            while let Some(Ok(chunk)) = chunks.next().await {
                text.push_str(std::str::from_utf8(&chunk).unwrap());
                while let Some((event, rest)) = text.split_once("\n\n") {
                    let mut data = event.lines().filter_map(|line| line.strip_prefix("data:"));
                    if let Some(data) = data.next().filter(|data| !data.trim().is_empty()) {
                        let message: Value = serde_json::from_str(data).unwrap();
                        document = match message.get("patch") {
                            Some(patch) => patched(document, patch.as_array().unwrap()),
                            None => message["data"].clone(),
                        };
                        *screen.lock().unwrap() = businesses(&document);
                    }
                    text = rest.to_owned();
                }
            }
        });
        Screen { shown, reading }
    }

    async fn shows(&self, expected: &BTreeSet<String>) {
        eventually("the live query to show it", async || {
            assert!(!self.reading.is_finished(), "it was never disconnected");
            *self.shown.lock().unwrap() == *expected
        })
        .await;
    }
}

fn businesses(data: &Value) -> BTreeSet<String> {
    let users = data["users"].as_array().into_iter().flatten();
    users
        .map(|user| user["business"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_lossy_failover_reads_and_live_queries_show_what_is_left_or_refuse() {
    let mut world = World::new().await;
    let screen = Screen::begin(&world.server).await;
    let standby = world.standby("next").await;
    world.write(&names("kept", 10)).await;
    let kept = position_of(&world.server, "kept-last").await;
    screen.shows(&world.names("").await).await;
    world.is_copied_to(&standby).await;
    world.postgres().cut_off_standby();
    world.write(&names("lost", 3)).await;
    let lost = position_of(&world.server, "lost-last").await;
    screen.shows(&world.names("").await).await;
    world.fail_over(standby).await;
    assert_eq!(world.names("lost").await, BTreeSet::new(), "they are lost");

    // The positions of what was lost are given again, and more.
    world.write(&names("new", 8)).await;
    let new = position_of(&world.server, "new-last").await;
    let left = world.names("").await;
    screen.shows(&left).await;
    for position in [&kept, &new] {
        let answer = read_after(&world.server, position).await;
        assert_eq!(businesses(&answer["data"]), left, "{answer}");
    }
    let refused = read_after(&world.server, &lost).await;
    let code = &refused["errors"][0]["extensions"]["code"];
    assert_eq!(code, "RESYNC_REQUIRED", "{refused}");
}
