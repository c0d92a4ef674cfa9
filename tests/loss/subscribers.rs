//! A subscriber over SSE that is cut off now and then, comes back with its last cursor, and writes down what it gets.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use gom_engine::events::Cursor;
use gom_server::identity::{AppKeys, Cursors};
use gom_server::settings::Secret;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::nodes::{NODES, Nodes, SECRET};
use crate::writers::END;
use gom_test_support::dice::Dice;

/// One event as it was received.
#[derive(Debug, Clone)]
pub struct Event {
    pub cursor: Cursor,
    /// When it came.
    pub received: SystemTime,
    pub mutation: String,
    /// From the node, or from the previous values if there is none.
    pub uid: String,
    /// Before and after.
    pub names: (Option<String>, Option<String>),
    pub updated: Vec<String>,
}

/// A gap that required a subscriber to read again: no event reports what happened between these two cursors.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    pub after: Cursor,
    /// Nothing: it has not begun again.
    pub upto: Option<Cursor>,
}

/// What a subscriber has received.
pub struct Received {
    pub seller: &'static str,
    pub events: Vec<Event>,
    pub gaps: Vec<Gap>,
    /// It never left by itself.
    pub stays: bool,
}

pub struct Subscriber {
    begun: watch::Receiver<bool>,
    task: JoinHandle<Received>,
}

const DOCUMENT: &str = "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) {
    mutation updatedFields node { uid name } previousValues { uid name } } }";
/// How long a subscriber waits for the last event.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Subscriber {
    /// `stays`: it never leaves by itself. `may_resync`: the server may require it to read again.
    pub fn start(
        seller: &'static str,
        seed: u64,
        nodes: &Arc<Nodes>,
        stays: bool,
        may_resync: bool,
    ) -> Subscriber {
        let (begin, begun) = watch::channel(false);
        let nodes = Arc::clone(nodes);
        let task = tokio::spawn(async move {
            let mut dice = Dice::new(seed);
            let received = Received {
                seller,
                events: Vec::new(),
                gaps: Vec::new(),
                stays,
            };
            let mut listening = Listening {
                received,
                cursor: None,
                may_resync,
                begin,
            };
            while !listening.is_over() {
                let node = dice.below(NODES);
                let while_ = Duration::from_millis(300 + dice.below(3_000) as u64);
                if stays {
                    listening.listen(&nodes, node).await;
                } else {
                    // Dropped in the middle of whatever it is doing.
                    let _ = timeout(while_, listening.listen(&nodes, node)).await;
                }
                tokio::time::sleep(Duration::from_millis(dice.below(200) as u64)).await;
            }
            listening.received
        });
        Subscriber { begun, task }
    }

    pub async fn has_begun(&self) {
        let mut begun = self.begun.clone();
        timeout(PATIENCE, begun.wait_for(|begun| *begun))
            .await
            .expect("a cursor at the start")
            .unwrap();
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    pub async fn finish(self) -> Received {
        let began = Instant::now();
        let received = timeout(PATIENCE, self.task).await;
        received
            .unwrap_or_else(|_| panic!("no last event within {:?}", began.elapsed()))
            .unwrap()
    }
}

struct Listening {
    received: Received,
    cursor: Option<String>,
    may_resync: bool,
    begin: watch::Sender<bool>,
}

impl Listening {
    fn is_over(&self) -> bool {
        self.received
            .events
            .last()
            .is_some_and(|event| event.names.1.as_deref() == Some(END))
    }

    async fn listen(&mut self, nodes: &Nodes, node: usize) {
        let variables =
            json!({ "where": { "node": { "assignedTo": { "extUid": self.received.seller } } } });
        let body = json!({ "query": DOCUMENT, "variables": variables }).to_string();
        let mut request = reqwest::Client::new()
            .post(nodes.url(node))
            .bearer_auth(&nodes.token);
        request = request
            .header("content-type", "application/json")
            .header("accept", "text/event-stream");
        if let Some(cursor) = &self.cursor {
            request = request.header("last-event-id", cursor);
        }
        let Ok(answer) = request.body(body).send().await else {
            return;
        };
        if !answer.status().is_success() {
            return;
        }
        let mut chunks = answer.bytes_stream();
        let mut text = String::new();
        while let Some(Ok(chunk)) = chunks.next().await {
            text.push_str(
                std::str::from_utf8(&chunk).expect("events are UTF-8 and not cut in a character"),
            );
            while let Some((event, rest)) = text.split_once("\n\n") {
                self.note(event);
                text = rest.to_owned();
            }
            if self.is_over() {
                return;
            }
        }
    }

    fn note(&mut self, event: &str) {
        let field = |name: &str| {
            event.lines().find_map(|line| {
                Some(
                    line.strip_prefix(name)?
                        .strip_prefix(':')?
                        .trim()
                        .to_owned(),
                )
            })
        };
        let kind = field("event");
        let data = field("data").filter(|data| !data.is_empty());
        if let (Some("next"), Some(data)) = (kind.as_deref(), data) {
            let answer: Value = serde_json::from_str(&data).unwrap();
            if let Some(errors) = answer.get("errors") {
                // The server is going, or the database is not there: the next connection goes on.
                let code = errors[0]["extensions"]["code"].as_str().unwrap_or_default();
                if code == "RESYNC_REQUIRED" && self.may_resync {
                    let cursor = self
                        .cursor
                        .take()
                        .expect("without a cursor nothing can be missed");
                    self.received.gaps.push(Gap {
                        after: cursors().open(&cursor).unwrap(),
                        upto: None,
                    });
                    return;
                }
                assert!(
                    ["SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&code),
                    "{errors}"
                );
                return;
            }
            let id = field("id").expect("each event has a cursor");
            assert_eq!(answer["extensions"]["cursor"], id.as_str());
            let cursor = cursors().open(&id).unwrap();
            self.received
                .events
                .push(read(&answer["data"]["order"], cursor));
        }
        if let Some(id) = field("id") {
            if let Some(gap) = self.received.gaps.last_mut() {
                gap.upto.get_or_insert(cursors().open(&id).unwrap());
            }
            self.cursor = Some(id);
            self.begin.send_replace(true);
        }
    }
}

/// As all nodes have them.
fn cursors() -> Cursors {
    Cursors::new(AppKeys::new(&Secret::new(SECRET), None))
}

fn read(event: &Value, cursor: Cursor) -> Event {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (node, before) = (&event["node"], &event["previousValues"]);
    let updated = event["updatedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    Event {
        cursor,
        received: SystemTime::now(),
        mutation: text(&event["mutation"]).unwrap(),
        uid: text(&node["uid"]).or_else(|| text(&before["uid"])).unwrap(),
        names: (text(&before["name"]), text(&node["name"])),
        updated: updated.iter().filter_map(text).collect(),
    }
}
