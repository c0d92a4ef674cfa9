//! A subscriber that keeps a set of rows: it is cut off like the others, reports of leaves included, and ends with what its query
//! finds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use gom_test_support::TestCluster;
use gom_test_support::dice::Dice;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::nodes::{NODES, Nodes};
use crate::subscribers::PATIENCE;
use crate::writers::{END, ask};

const DOCUMENT: &str = "subscription($where: OrderWhereInput!) { order(where: { node: $where }) {
    mutation node { uid name } previousValues { uid } } }";
const QUERY: &str = "query($where: OrderWhereInput!) { orders(where: $where) { uid name } }";

pub struct Keeper {
    task: JoinHandle<Kept>,
}

/// What a subscriber has kept.
pub struct Kept {
    seller: &'static str,
    uids: BTreeSet<String>,
    pub leaves: usize,
    pub gaps: usize,
}

impl Keeper {
    pub fn start(seller: &'static str, seed: u64, nodes: &Arc<Nodes>, may_resync: bool) -> Keeper {
        let nodes = Arc::clone(nodes);
        let task = tokio::spawn(async move {
            let mut dice = Dice::new(seed);
            let mut keeping = Keeping {
                kept: Kept {
                    seller,
                    uids: BTreeSet::new(),
                    leaves: 0,
                    gaps: 0,
                },
                cursor: None,
                ends: BTreeSet::new(),
                may_resync,
            };
            while keeping.ends.is_empty() {
                let node = dice.below(NODES);
                let while_ = Duration::from_millis(300 + dice.below(3_000) as u64);
                // Dropped at any point of what it does.
                let _ = timeout(while_, keeping.listen(&nodes, node)).await;
            }
            let Keeping { mut kept, ends, .. } = keeping;
            kept.uids.retain(|uid| !ends.contains(uid));
            kept
        });
        Keeper { task }
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    pub async fn finish(self) -> Kept {
        let kept = timeout(PATIENCE, self.task).await;
        kept.expect("the last event comes").unwrap()
    }
}

impl Kept {
    /// Compares the set with the table.
    pub async fn check(&self, cluster: &TestCluster) {
        let client = cluster.connect().await;
        let query = "select o.uid from \"default$default\".\"Order\" o
            join \"default$default\".\"User\" u on u.uid = o.\"assignedTo\"
            where u.\"extUid\" = $1 and o.name <> $2 and (o.name like '%3%' or exists
              (select from \"default$default\".\"Item\" i where i.\"order\" = o.uid and i.quantity = 7))";
        let rows = client.query(query, &[&self.seller, &END]).await.unwrap();
        let found: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(
            self.uids, found,
            "{} leaves, {} gaps",
            self.leaves, self.gaps
        );
    }
}

struct Keeping {
    kept: Kept,
    cursor: Option<String>,
    /// The last orders.
    ends: BTreeSet<String>,
    may_resync: bool,
}

impl Keeping {
    fn filter(&self) -> Value {
        json!({
            "assignedTo": { "extUid": self.kept.seller },
            "OR": [{ "name": END }, { "name_contains": "3" }, { "items_some": { "quantity": 7 } }],
        })
    }

    async fn listen(&mut self, nodes: &Nodes, node: usize) {
        let body = json!({
            "query": DOCUMENT,
            "variables": { "where": self.filter() },
            "extensions": { "leaves": true },
        });
        let request = reqwest::Client::new()
            .post(nodes.url(node))
            .bearer_auth(&nodes.token)
            .header("content-type", "application/json")
            .header("accept", "text/event-stream");
        let request = match &self.cursor {
            Some(cursor) => request.header("last-event-id", cursor),
            None => request,
        };
        let Ok(answer) = request.body(body.to_string()).send().await else {
            return;
        };
        if !answer.status().is_success() {
            return;
        }
        let mut chunks = answer.bytes_stream();
        let mut text = String::new();
        while let Some(Ok(chunk)) = chunks.next().await {
            text.push_str(std::str::from_utf8(&chunk).expect("not cut in a character"));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let event = event.to_owned();
                text = rest.to_owned();
                if !self.note(&event, nodes, node).await {
                    return;
                }
            }
            if !self.ends.is_empty() {
                return;
            }
        }
    }

    /// Whether the stream goes on.
    async fn note(&mut self, event: &str, nodes: &Nodes, node: usize) -> bool {
        let field = |name: &str| {
            let mut lines = event.lines();
            lines.find_map(|line| {
                let value = line.strip_prefix(name)?.strip_prefix(':')?;
                Some(value.trim().to_owned())
            })
        };
        let data = field("data").filter(|data| !data.is_empty());
        if let (Some("next"), Some(data)) = (field("event").as_deref(), data) {
            let answer: Value = serde_json::from_str(&data).unwrap();
            if let Some(errors) = answer.get("errors") {
                if errors[0]["extensions"]["code"] == "RESYNC_REQUIRED" {
                    assert!(self.may_resync, "{errors}");
                    self.kept.gaps += 1;
                    self.cursor = None;
                }
                return false;
            }
            self.apply(&answer);
        }
        if let Some(id) = field("id") {
            // The set is read when the subscription has begun.
            if self.cursor.is_none() {
                let found = ask(nodes, node, QUERY, json!({ "where": self.filter() })).await;
                let Some(found) = found else { return false };
                let orders = found["orders"].as_array().unwrap().iter();
                // It waits for one that comes from now on.
                let orders = orders.filter(|order| order["name"] != END);
                let uid = |order: &Value| order["uid"].as_str().unwrap().to_owned();
                self.kept.uids = orders.map(uid).collect();
            }
            self.cursor = Some(id);
        }
        true
    }

    fn apply(&mut self, answer: &Value) {
        let event = &answer["data"]["order"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Some(uid) = text(&event["node"]["uid"]) {
            if event["node"]["name"] == END {
                self.ends.insert(uid.clone());
            }
            self.kept.uids.insert(uid);
        }
        if event["mutation"] == "DELETED" {
            let uid = text(&event["previousValues"]["uid"]).unwrap();
            self.kept.uids.remove(&uid);
        }
        let left = answer["extensions"]["left"].as_array();
        for row in left.into_iter().flatten() {
            assert_eq!(row["type"], "Order");
            self.kept.uids.remove(row["id"].as_str().unwrap());
            self.kept.leaves += 1;
        }
    }
}
