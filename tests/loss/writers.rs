//! Everything that writes: mutations of every kind through both servers, plain SQL past them, transactions that stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gom_test_support::TestCluster;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::SELLERS;
use crate::nodes::{NODES, Nodes};
use gom_test_support::dice::Dice;

/// The name of each seller's last order.
pub const END: &str = "the end";
const CREATE: &str = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }";
const UPDATE: &str = "mutation($where: OrderWhereUniqueInput!, $data: OrderUpdateInput!) { updateOrder(where: $where, data: $data) { uid } }";
const DELETE: &str =
    "mutation($where: OrderWhereUniqueInput!) { deleteOrder(where: $where) { uid } }";
const UPDATE_MANY: &str =
    "mutation($where: OrderWhereInput, $data: OrderUpdateManyMutationInput!) {
    updateManyOrders(where: $where, data: $data) { count } }";
const DELETE_MANY: &str =
    "mutation($where: OrderWhereInput) { deleteManyOrders(where: $where) { count } }";

/// The most rows of a large transaction.
const LARGEST: usize = 20_000;

pub struct Writers {
    nodes: Arc<Nodes>,
    seed: u64,
    clients: Vec<Client>,
}

impl Writers {
    /// The sellers and a customer of each.
    pub async fn open(cluster: &TestCluster, nodes: &Arc<Nodes>, seed: u64) -> Writers {
        let create = "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }";
        for seller in SELLERS {
            let customer = json!({ "extUid": customer(seller), "name1": "Luz" });
            let data = json!({ "extUid": seller, "business": "Tacos", "customers": { "create": [customer] } });
            ask(nodes, 0, create, json!({ "data": data }))
                .await
                .expect("both servers are there");
        }
        let mut clients = Vec::new();
        for _ in 0..4 {
            let client = cluster.connect().await;
            let settings =
                "set search_path = \"default$default\"; set application_name = 'past the servers'";
            client.batch_execute(settings).await.unwrap();
            clients.push(client);
        }
        Writers {
            nodes: Arc::clone(nodes),
            seed,
            clients,
        }
    }

    /// Writes until it is over; how many writes succeeded. `trims`: the log is kept as short as it may be, and some
    /// transactions are longer than it.
    pub fn start(mut self, over: &Arc<AtomicBool>, trims: bool) -> tokio::task::JoinHandle<usize> {
        let over = Arc::clone(over);
        let seed = self.seed;
        let done = Arc::new(AtomicUsize::new(0));
        let mut writing = Vec::new();
        for number in 0..3 {
            let (nodes, over, done) = (
                Arc::clone(&self.nodes),
                Arc::clone(&over),
                Arc::clone(&done),
            );
            writing.push(tokio::spawn(async move {
                let mut dice = Dice::new(seed ^ (1_000 + number));
                while !over.load(Ordering::Relaxed) {
                    if mutate(&nodes, &mut dice, number).await.is_some() {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(dice.below(40) as u64)).await;
                }
            }));
        }
        let (trimming, large) = (self.clients.pop().unwrap(), self.clients.pop().unwrap());
        if trims {
            let of_trimming = Arc::clone(&over);
            writing.push(tokio::spawn(async move {
                while !of_trimming.load(Ordering::Relaxed) {
                    let trim = "select gom.trim_changes('1 hour', 1000, 5000)";
                    trimming.batch_execute(trim).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }));
            let of_large = Arc::clone(&over);
            writing.push(tokio::spawn(async move {
                let mut dice = Dice::new(seed ^ 4_000);
                while !of_large.load(Ordering::Relaxed) {
                    many_rows(&large, &mut dice).await;
                    tokio::time::sleep(Duration::from_millis(dice.below(1_000) as u64)).await;
                }
            }));
        }
        let (plain, slow) = (self.clients.pop().unwrap(), self.clients.pop().unwrap());
        let (of_plain, of_done) = (Arc::clone(&over), Arc::clone(&done));
        writing.push(tokio::spawn(async move {
            let mut dice = Dice::new(seed ^ 2_000);
            while !of_plain.load(Ordering::Relaxed) {
                plain_sql(&plain, &mut dice).await;
                of_done.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(dice.below(60) as u64)).await;
            }
        }));
        writing.push(tokio::spawn(async move {
            let mut dice = Dice::new(seed ^ 3_000);
            while !over.load(Ordering::Relaxed) {
                stay_open(&slow, &mut dice).await;
            }
        }));
        tokio::spawn(async move {
            for writer in writing {
                writer.await.unwrap();
            }
            done.load(Ordering::Relaxed)
        })
    }
}

fn customer(seller: &str) -> String {
    format!("C{}", seller.replace('|', ""))
}

fn order(seller: &str, name: &str, items: usize) -> Value {
    let item =
        json!({ "quantity": 1, "pricing": { "create": [{ "amount": 2.5, "currency": "MXN" }] } });
    json!({
        "name": name,
        "assignedTo": { "connect": { "extUid": seller } },
        "issuedTo": { "connect": { "extUid": customer(seller) } },
        "items": { "create": vec![item; items] },
    })
}

/// One mutation through one of the servers, which may be away.
async fn mutate(nodes: &Nodes, dice: &mut Dice, writer: u64) -> Option<()> {
    let seller = *dice.pick(&SELLERS);
    let node = dice.below(NODES);
    let name = format!("w{writer}-{}", dice.below(1_000_000));
    let mine = json!({ "assignedTo": { "extUid": seller } });
    let some = async || {
        let query = "query($where: OrderWhereInput) { orders(where: $where, first: 40) { uid items { uid } } }";
        let found = ask(nodes, node, query, json!({ "where": mine })).await?;
        found["orders"].as_array().cloned()
    };
    match dice.below(10) {
        0..=3 => {
            let data = order(seller, &name, dice.below(3));
            ask(nodes, node, CREATE, json!({ "data": data })).await?;
        }
        chosen @ 4..=7 => {
            let orders = some().await?;
            if orders.is_empty() {
                return None;
            }
            let order = dice.pick(&orders);
            let target = json!({ "uid": order["uid"] });
            let data = match chosen {
                4 => json!({ "name": name }),
                // Only of its parts.
                5 => match order["items"].as_array().unwrap().first() {
                    Some(item) => {
                        json!({ "items": { "update": [{ "where": item, "data": { "quantity": 7 } }] } })
                    }
                    None => json!({ "items": { "create": [{ "quantity": 1 }] } }),
                },
                6 => json!({ "name": name, "items": { "create": [{ "quantity": 3 }] } }),
                _ => {
                    ask(nodes, node, DELETE, json!({ "where": target })).await?;
                    return Some(());
                }
            };
            ask(
                nodes,
                node,
                UPDATE,
                json!({ "where": target, "data": data }),
            )
            .await?;
        }
        8 => {
            let filter = json!({ "assignedTo": { "extUid": seller }, "name_contains": dice.below(10).to_string() });
            ask(
                nodes,
                node,
                UPDATE_MANY,
                json!({ "where": filter, "data": { "name": name } }),
            )
            .await?;
        }
        _ => {
            let filter = json!({ "assignedTo": { "extUid": seller }, "name_ends_with": dice.below(100).to_string() });
            ask(nodes, node, DELETE_MANY, json!({ "where": filter })).await?;
        }
    }
    Some(())
}

async fn plain_sql(client: &Client, dice: &mut Dice) {
    let name = format!("sql-{}", dice.below(1_000_000));
    let some = "select uid from \"Order\" order by random() limit 1";
    let result = match dice.below(3) {
        0 => {
            let insert = "insert into \"Order\" (uid, name, stage, \"assignedTo\", \"issuedTo\", \"createdAt\", \"updatedAt\")
                select left(md5(random()::text), 25), $1, 'OPEN', u.uid, b.uid, now(), now() from \"User\" u, \"Bp\" b
                where u.\"extUid\" = $2 and b.\"extUid\" = $3";
            let seller = *dice.pick(&SELLERS);
            client
                .execute(insert, &[&name, &seller, &customer(seller)])
                .await
        }
        1 => {
            client
                .execute(
                    &format!("update \"Order\" set name = $1 where uid = ({some})"),
                    &[&name],
                )
                .await
        }
        _ => {
            client
                .execute(
                    &format!("delete from \"Item\" where \"order\" = ({some})"),
                    &[],
                )
                .await
        }
    };
    if let Err(error) = result {
        // Deadlocks with the servers' own transactions, rows that went meanwhile.
        let code = error.code().map(|code| code.code().to_owned());
        assert!(
            matches!(code.as_deref(), Some("40P01" | "40001" | "23503" | "23001")),
            "{error:?}"
        );
    }
}

/// A transaction of one to very many rows, of which only one is an order's.
async fn many_rows(client: &Client, dice: &mut Dice) {
    // As often tens as thousands.
    let below = [10, 100, 1_000, LARGEST][dice.below(4)];
    let (first, second) = (1 + dice.below(below), dice.below(below / 4 + 1));
    let name = format!("large-{}", dice.below(1_000_000));
    let insert = |rows: usize| {
        format!(
            "insert into \"Item\" (uid, \"createdAt\", \"updatedAt\")
             select left(md5(random()::text), 25), now(), now() from generate_series(1, {rows});"
        )
    };
    let sql = format!(
        "begin; {} update \"Order\" set name = '{name}' where uid = (select uid from \"Order\" order by random() limit 1);
         {} delete from \"Item\" where \"order\" is null and uid like 'a%'; commit",
        insert(first),
        insert(second),
    );
    if let Err(error) = client.batch_execute(&sql).await {
        let code = error.code().map(|code| code.code().to_owned());
        assert!(
            matches!(code.as_deref(), Some("40P01" | "40001" | "23503" | "23001")),
            "{error:?}"
        );
        client.batch_execute("rollback").await.unwrap();
    }
}

/// A transaction that takes its time: nobody waits for it.
async fn stay_open(client: &Client, dice: &mut Dice) {
    let name = format!("open-{}", dice.below(1_000_000));
    client.batch_execute("begin").await.unwrap();
    let first = "update \"Order\" set name = $1 where uid = (select uid from \"Order\" order by random() limit 1)";
    let written = client.execute(first, &[&name]).await;
    tokio::time::sleep(Duration::from_millis(200 + dice.below(1_500) as u64)).await;
    let end = if written.is_ok() && dice.chance(70) {
        "commit"
    } else {
        "rollback"
    };
    client.batch_execute(end).await.unwrap();
}

/// Each seller's last order, once everything else has been written.
pub async fn end(nodes: &Nodes) {
    for seller in SELLERS {
        ask(nodes, 0, CREATE, json!({ "data": order(seller, END, 0) }))
            .await
            .expect("the servers are back");
    }
}

/// The data, or nothing if the server is unavailable or refuses: then nothing or everything was written.
pub async fn ask(nodes: &Nodes, node: usize, query: &str, variables: Value) -> Option<Value> {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let request = reqwest::Client::new()
        .post(nodes.url(node))
        .bearer_auth(&nodes.token);
    let request = request
        .header("content-type", "application/json")
        .timeout(Duration::from_secs(8));
    let answer = request.body(body).send().await.ok()?.text().await.ok()?;
    let answer: Value = serde_json::from_str(&answer).ok()?;
    if let Some(errors) = answer.get("errors") {
        let code = errors[0]["extensions"]["code"].as_str().unwrap_or_default();
        // A row that went meanwhile, a server without its database.
        let expected = [
            "GRAPHQL_EXECUTION_ERROR",
            "SERVICE_UNAVAILABLE",
            "OUTCOME_UNKNOWN",
            "DEADLINE_EXCEEDED",
        ];
        assert!(expected.contains(&code), "{errors}");
        return None;
    }
    answer.get("data").filter(|data| !data.is_null()).cloned()
}
