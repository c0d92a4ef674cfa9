//! Who writes: orders come, go, change their owner, stage and name, by mutations and by SQL past the servers. The name of an order
//! begins with its owner's mark, and both change in one transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gom_test_support::app::TestApp;
use gom_test_support::dice::Dice;
use gom_test_support::two_shops::{CODE, OTHER_CODE, OTHER_SELLER, SELLER};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client;

/// Mark, seller and customer.
const SHOPS: [(&str, &str, &str); 2] = [("one", SELLER, CODE), ("two", OTHER_SELLER, OTHER_CODE)];
const STAGES: [&str; 2] = ["OPEN", "CLOSED"];

pub struct Mover {
    requests: Box<dyn Fn(Value) -> reqwest::RequestBuilder>,
    tables: Client,
    dice: Dice,
    number: u64,
    written: usize,
}

impl Mover {
    pub fn new(app: &TestApp, tables: Client, seed: u64, number: u64) -> Mover {
        let (address, token) = (app.address.clone(), app.token.clone());
        let requests = move |body: Value| {
            reqwest::Client::new()
                .request(Method::POST, format!("{address}/graphql"))
                .bearer_auth(&token)
                .header("content-type", "application/json")
                .body(body.to_string())
        };
        Mover {
            requests: Box::new(requests),
            tables,
            dice: Dice::new(seed),
            number,
            written: 0,
        }
    }

    /// Writes until it is over; how often.
    pub async fn run(mut self, over: Arc<AtomicBool>) -> usize {
        while !over.load(Ordering::Relaxed) {
            self.write().await;
            self.written += 1;
            tokio::time::sleep(Duration::from_millis(10 + self.dice.below(60) as u64)).await;
        }
        self.written
    }

    fn name(&mut self, mark: &str) -> String {
        format!("{mark}:{}-{}", self.number, self.written)
    }

    async fn write(&mut self) {
        let (mark, seller, customer) = *self.dice.pick(&SHOPS);
        let name = self.name(mark);
        let stage = *self.dice.pick(&STAGES);
        let owner = json!({ "connect": { "extUid": seller } });
        match self.dice.below(9) {
            0 | 1 => {
                let data = json!({ "name": name, "stage": stage, "assignedTo": owner,
                    "issuedTo": { "connect": { "extUid": customer } }, "items": { "create": [{ "quantity": 1 }] } });
                self.mutate(
                    "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }",
                    json!({ "data": data }),
                )
                .await;
            }
            2 | 3 => {
                let data = json!({ "name": name, "assignedTo": owner });
                self.update(data).await;
            }
            4 | 5 => self.update(json!({ "stage": stage })).await,
            6 => {
                let query = "mutation($where: OrderWhereInput, $data: OrderUpdateManyMutationInput!) { updateManyOrders(where: $where, data: $data) { count } }";
                let filter = json!({ "name_ends_with": self.dice.below(10).to_string() });
                self.mutate(
                    query,
                    json!({ "where": filter, "data": { "stage": stage } }),
                )
                .await;
            }
            7 => {
                let sql = "update \"default$default\".\"Order\" o set name = $1, stage = $2, \"assignedTo\" = u.uid \
                           from \"default$default\".\"User\" u where u.\"extUid\" = $3 and o.uid in \
                           (select uid from \"default$default\".\"Order\" order by random() limit 3)";
                let written = self.tables.execute(sql, &[&name, &stage, &seller]).await;
                if let Err(error) = written {
                    let code = error.code().map(|code| code.code().to_owned());
                    assert_eq!(code.as_deref(), Some("40P01"), "{error:?}");
                }
            }
            _ => {
                if let Some(uid) = self.some().await {
                    self.mutate(
                        "mutation($uid: ID!) { deleteOrder(where: { uid: $uid }) { uid } }",
                        json!({ "uid": uid }),
                    )
                    .await;
                }
            }
        }
    }

    async fn update(&mut self, data: Value) {
        if let Some(uid) = self.some().await {
            let query = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }";
            self.mutate(query, json!({ "uid": uid, "data": data }))
                .await;
        }
    }

    async fn some(&self) -> Option<String> {
        let sql = "select uid from \"default$default\".\"Order\" order by random() limit 1";
        self.tables
            .query_opt(sql, &[])
            .await
            .unwrap()
            .map(|row| row.get(0))
    }

    /// The row may be gone; and all connections of all servers may just have been cut.
    async fn mutate(&self, query: &str, variables: Value) {
        let request = (self.requests)(json!({ "query": query, "variables": variables }));
        let answer = request.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        if let Some(errors) = answer.get("errors") {
            let code = errors[0]["extensions"]["code"].as_str().unwrap_or_default();
            let expected = [
                "GRAPHQL_EXECUTION_ERROR",
                "SERVICE_UNAVAILABLE",
                "OUTCOME_UNKNOWN",
                "DEADLINE_EXCEEDED",
            ];
            assert!(expected.contains(&code), "{errors}");
        }
    }
}
