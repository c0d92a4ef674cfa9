//! The load: readers that verify the rows they read, writers that record the reported outcomes, and a probe of the server's
//! readiness.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use gom_test_support::TestCluster;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_postgres::NoTls;

use crate::client::{Client, Problem, Reply};
use crate::ledger::{Ledger, Reported};
use crate::{GRACE, RECOVERY};
use gom_test_support::app::TestApp;

const WRITERS: usize = 4;
const READERS: usize = 4;
/// Rows that stay as they are, each with its own content: an answer that belongs to somebody else shows.
const CUSTOMERS: u32 = 24;
/// How long nothing may be refused before service counts as resumed.
const CALM: Duration = Duration::from_millis(300);

pub struct Load {
    pub ledger: Rc<Ledger>,
    stopped: Rc<Cell<bool>>,
    ready: Rc<Cell<bool>>,
    tasks: Vec<JoinHandle<()>>,
}

/// A server on a PostgreSQL of its own, under load.
pub struct UnderLoad {
    pub cluster: TestCluster,
    pub load: Load,
}

impl UnderLoad {
    pub async fn start() -> UnderLoad {
        let cluster = TestCluster::own().await;
        let app = serve(&cluster).await;
        let load = Load::start(&app).await;
        load.serves_again("the start", Instant::now()).await;
        UnderLoad { cluster, load }
    }

    /// Ends the load and compares the reported outcomes with the rows in the database.
    pub async fn compare(self) -> Rc<Ledger> {
        let ledger = self.load.end().await;
        ledger.compare(&self.cluster.connect().await).await;
        ledger
    }
}

pub async fn serve(cluster: &TestCluster) -> TestApp {
    let deadline = crate::DEADLINE.as_millis().to_string();
    TestApp::on(
        cluster.url(),
        None,
        &[("limits.service.deadline", &deadline)],
    )
    .await
}

/// The moment from which PostgreSQL takes connections and answers on them.
pub async fn accepts_connections(config: tokio_postgres::Config) -> Instant {
    loop {
        let connecting = tokio::time::timeout(Duration::from_millis(200), config.connect(NoTls));
        if let Ok(Ok((client, io))) = connecting.await {
            let io = tokio::spawn(io);
            let answered = client.simple_query("select 1").await.is_ok();
            io.abort();
            if answered {
                return Instant::now();
            }
        }
        sleep(Duration::from_millis(3)).await;
    }
}

impl Load {
    /// Starts it on an empty database.
    pub async fn start(app: &TestApp) -> Load {
        let ledger = Rc::new(Ledger::default());
        fill(app, &ledger).await;
        let (stopped, ready) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let mut tasks = Vec::new();
        for number in 0..WRITERS {
            let (client, ledger, stopped) =
                (Client::of(app), Rc::clone(&ledger), Rc::clone(&stopped));
            tasks.push(actix_web::rt::spawn(async move {
                let writer = Writer {
                    client,
                    ledger,
                    row: row_of(number),
                };
                while !stopped.get() {
                    writer.write().await;
                }
            }));
        }
        for number in 0..READERS {
            let (client, ledger, stopped) =
                (Client::of(app), Rc::clone(&ledger), Rc::clone(&stopped));
            tasks.push(actix_web::rt::spawn(async move {
                let mut turn = number as u32;
                while !stopped.get() {
                    read(&client, &ledger, turn).await;
                    turn += 1;
                }
            }));
        }
        let (client, ended, seen) = (Client::of(app), Rc::clone(&stopped), Rc::clone(&ready));
        tasks.push(actix_web::rt::spawn(async move {
            while !ended.get() {
                seen.set(client.is_ready().await);
                sleep(Duration::from_millis(20)).await;
            }
        }));
        Load {
            ledger,
            stopped,
            ready,
            tasks,
        }
    }

    /// Whether the last request to `/readyz` succeeded.
    pub fn is_ready(&self) -> bool {
        self.ready.get()
    }

    /// Waits until something is refused.
    pub async fn goes_wrong(&self) {
        let before = self.ledger.refused();
        self.comes("refusals", async || self.ledger.refused() >= before + 8)
            .await;
    }

    /// Waits for something that comes about without us.
    pub async fn comes(&self, what: &str, mut come: impl AsyncFnMut() -> bool) {
        let asked = Instant::now();
        while !come().await {
            assert!(
                asked.elapsed() < Duration::from_secs(30),
                "never came: {what}"
            );
            self.check();
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until everything is answered again, and holds that to the promise.
    pub async fn serves_again(&self, after: &str, returned: Instant) {
        self.ledger.mark(returned);
        let resumed = loop {
            self.check();
            match self.ledger.serves_since() {
                Some(since) if since.elapsed() >= CALM => break since - returned,
                _ => assert!(
                    returned.elapsed() < RECOVERY + GRACE + CALM,
                    "no service after {after}"
                ),
            }
            sleep(Duration::from_millis(5)).await;
        };
        println!(
            "  all is answered again {} ms after {after}",
            resumed.as_millis()
        );
        assert!(
            resumed < RECOVERY + GRACE,
            "service only {resumed:?} after {after}"
        );
        self.comes("/readyz says so", async || self.is_ready())
            .await;
    }

    /// A client that found a wrong answer has ended: then so does the test, at once.
    fn check(&self) {
        assert!(
            !self.tasks.iter().any(JoinHandle::is_finished),
            "a client found something wrong"
        );
    }

    pub async fn end(self) -> Rc<Ledger> {
        self.stopped.set(true);
        for task in self.tasks {
            task.await.expect("no answer was wrong or late");
        }
        self.ledger
    }
}

fn row_of(writer: usize) -> String {
    format!("writer{writer}")
}

/// The rows that are read and changed.
async fn fill(app: &TestApp, ledger: &Ledger) {
    let done = async |document: String| {
        let answer = app.ask(&document).await;
        assert!(answer.body.get("errors").is_none(), "{}", answer.body);
    };
    done(r#"mutation { createUser(data: { uid: "seller", business: "Paletas" }) { uid } }"#.into())
        .await;
    for writer in 0..WRITERS {
        let row = row_of(writer);
        done(format!(
            r#"mutation {{ createUser(data: {{ uid: "{row}", business: "new" }}) {{ uid }} }}"#
        ))
        .await;
        ledger
            .changes
            .borrow_mut()
            .entry(row)
            .or_default()
            .confirmed = "new".into();
    }
    for number in 0..CUSTOMERS {
        done(format!(
            r#"mutation {{ createBp(data: {{ uid: "c{number}", name1: "Customer {number}", orders: {{ create: [{{
                name: "Order {number}", assignedTo: {{ connect: {{ uid: "seller" }} }},
                items: {{ create: [{{ quantity: {number}, pricing: {{ create: [{{ amount: 0.5, currency: MXN }}] }} }}] }}
            }}] }} }}) {{ uid }} }}"#
        ))
        .await;
    }
}

/// One read, whose answer is known.
async fn read(client: &Client, ledger: &Ledger, turn: u32) {
    let number = turn * 7 % CUSTOMERS;
    let customer = json!({
        "name1": format!("Customer {number}"),
        "orders": [{
            "name": format!("Order {number}"), "assignedTo": { "business": "Paletas" },
            "items": [{ "quantity": number, "pricing": [{ "amount": 0.5 }] }],
        }],
    });
    let (query, expected) = match turn % 3 {
        0 => (
            "query($uid: ID!) { bp(where: { uid: $uid }) {
                name1 orders { name assignedTo { business } items { quantity pricing { amount } } }
            } }",
            json!({ "bp": customer }),
        ),
        1 => (
            "query($uid: ID!) { bpsConnection(where: { uid: $uid }) { edges { node {
                name1 orders { name assignedTo { business } items { quantity pricing { amount } } }
            } } aggregate { count } } }",
            json!({ "bpsConnection": { "edges": [{ "node": customer }], "aggregate": { "count": 1 } } }),
        ),
        // Two statements side by side.
        _ => (
            "query($uid: ID!) {
                bps(where: { uid: $uid }) { name1 } nobody: bp(where: { uid: \"nobody\" }) { uid } __typename
            }",
            json!({ "bps": [{ "name1": customer["name1"] }], "nobody": null, "__typename": "Query" }),
        ),
    };
    let reply = client
        .ask(query, json!({ "uid": format!("c{number}") }))
        .await;
    ledger.read(&reply);
    if reply.problems.is_empty() {
        assert_eq!(reply.data, expected);
    } else {
        assert!(
            !reply.problems.iter().any(Problem::leaves_unknown),
            "a read changes nothing"
        );
        let unavailable = reply.status == StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(unavailable, reply.is_without_data(), "{}", reply.data);
    }
    pause(&reply).await;
}

/// So that the machine is not measured.
async fn pause(reply: &Reply) {
    sleep(Duration::from_millis(if reply.problems.is_empty() {
        4
    } else {
        15
    }))
    .await;
}

struct Writer {
    client: Client,
    ledger: Rc<Ledger>,
    /// The row that nobody else changes.
    row: String,
}

impl Writer {
    async fn write(&self) {
        let number = self.ledger.next();
        let reply = match number % 4 {
            0 => self.one_statement(number).await,
            1 => self.transaction(number).await,
            2 => self.two_fields(number).await,
            _ => self.change(number).await,
        };
        self.ledger.wrote(&reply);
        pause(&reply).await;
    }

    /// The outcome that the answer to a write of one field reports, and the field's value.
    fn reported(&self, reply: &Reply, field: &str) -> (Reported, Value) {
        let reported = match reply.problems.as_slice() {
            [] => return (Reported::Written, reply.data[field].clone()),
            [problem] if problem.leaves_unknown() => Reported::Unknown,
            [_] => Reported::Nothing,
            several => panic!("{several:?}"),
        };
        let unavailable = reply.status == StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(
            unavailable,
            reported == Reported::Nothing,
            "{:?}",
            reply.problems
        );
        (reported, Value::Null)
    }

    /// A row whose id the server generates: a repeated write would create a second row.
    async fn one_statement(&self, number: u32) -> Reply {
        let name = format!("customer {number}");
        let create = "mutation($name: String!) { createBp(data: { name1: $name }) { uid name1 } }";
        let reply = self.client.ask(create, json!({ "name": name })).await;
        let (reported, created) = self.reported(&reply, "createBp");
        if reported == Reported::Written {
            assert_eq!(created["name1"], name);
            let read = "query($uid: ID!) { bp(where: { uid: $uid }) { name1 } }";
            let again = self
                .client
                .ask(read, json!({ "uid": created["uid"] }))
                .await;
            self.ledger.read(&again);
            assert!(
                !again.problems.is_empty() || again.data["bp"]["name1"] == name,
                "{name} is not there"
            );
        }
        self.ledger.record(&name, reported);
        reply
    }

    async fn transaction(&self, number: u32) -> Reply {
        let name = format!("order {number}");
        let create = r#"mutation($name: String!) { createOrder(data: {
            name: $name, assignedTo: { connect: { uid: "seller" } }, issuedTo: { create: { name1: $name } },
            items: { create: [
                { quantity: 1, pricing: { create: [{ amount: 10, currency: MXN }] } },
                { quantity: 2, pricing: { create: [{ amount: 20, currency: MXN }] } }
            ] }
        }) { name issuedTo { name1 } items { quantity pricing { amount } } } }"#;
        let reply = self.client.ask(create, json!({ "name": name })).await;
        let (reported, created) = self.reported(&reply, "createOrder");
        if reported == Reported::Written {
            let item = |quantity, amount| json!({ "quantity": quantity, "pricing": [{ "amount": amount }] });
            let items = json!([item(1, 10), item(2, 20)]);
            assert_eq!(
                created,
                json!({ "name": name, "issuedTo": { "name1": name }, "items": items })
            );
        }
        self.ledger.record(&name, reported);
        reply
    }

    /// Two fields, each its own transaction: the second may fail when the first is done, which the answer must not hide.
    async fn two_fields(&self, number: u32) -> Reply {
        let names = ["first", "second"].map(|field| format!("{field} {number}"));
        let create = "mutation($first: String!, $second: String!) {
            first: createBp(data: { name1: $first }) { name1 } second: createBp(data: { name1: $second }) { name1 }
        }";
        let reply = self
            .client
            .ask(create, json!({ "first": names[0], "second": names[1] }))
            .await;
        let unavailable = reply.status == StatusCode::SERVICE_UNAVAILABLE;
        let reported = match reply.problems.as_slice() {
            [] => {
                let expected =
                    json!({ "first": { "name1": names[0] }, "second": { "name1": names[1] } });
                assert_eq!(reply.data, expected);
                [Reported::Written; 2]
            }
            [problem] => {
                let failed = if problem.leaves_unknown() {
                    Reported::Unknown
                } else {
                    Reported::Nothing
                };
                match problem.field.as_str() {
                    "first" => {
                        assert_eq!(unavailable, failed == Reported::Nothing, "{problem:?}");
                        [failed, Reported::Nothing]
                    }
                    "second" => {
                        assert!(
                            !unavailable,
                            "the first was written: asked again, it would be written twice"
                        );
                        [Reported::Written, failed]
                    }
                    other => panic!("{other}: {problem:?}"),
                }
            }
            several => panic!("{several:?}"),
        };
        names
            .iter()
            .zip(reported)
            .for_each(|(name, reported)| self.ledger.record(name, reported));
        reply
    }

    async fn change(&self, number: u32) -> Reply {
        let to = format!("value {number}");
        let change = "mutation($row: ID!, $to: String!) {
            updateUser(where: { uid: $row }, data: { business: $to }) { business }
        }";
        let reply = self
            .client
            .ask(change, json!({ "row": self.row, "to": to }))
            .await;
        let (reported, changed) = self.reported(&reply, "updateUser");
        let mut changes = self.ledger.changes.borrow_mut();
        let own = changes.entry(self.row.clone()).or_default();
        match reported {
            Reported::Written => {
                assert_eq!(changed, json!({ "business": to }));
                own.confirmed = to;
            }
            Reported::Unknown => {
                own.possible.insert(to);
            }
            Reported::Nothing => {}
        }
        drop(changes);
        reply
    }
}
