//! Who writes: orders come, go, change their owner, stage and name, and items come, go and change their order, by mutations and by SQL
//! past the servers. The name of an order and the codes of its items begin with its owner's mark, and all change in one transaction.

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
        match self.dice.below(14) {
            0 | 1 => {
                let data = json!({ "name": name, "stage": stage, "assignedTo": owner,
                    "issuedTo": { "connect": { "extUid": customer } }, "items": { "create": [{ "code": name, "quantity": 1 }] } });
                self.mutate(
                    "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }",
                    json!({ "data": data }),
                )
                .await;
            }
            2 | 3 => {
                let items = json!({ "updateMany": all_codes(&name) });
                let data = json!({ "name": name, "assignedTo": owner, "items": items });
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
                let moved = self.owners_by_sql(&name, stage, seller).await;
                may_fail(moved);
            }
            8 => {
                let moved = self.items_by_sql().await;
                may_fail(moved);
            }
            // Another order's item comes to this one, with a new one, and its owner decides all codes.
            9 => {
                if let Some(item) = self.some("Item").await {
                    let items = json!({ "create": [{ "code": name }], "connect": [{ "uid": item }], "updateMany": all_codes(&name) });
                    self.update(json!({ "name": name, "assignedTo": owner, "items": items }))
                        .await;
                }
            }
            10 => {
                let last = self.dice.below(10).to_string();
                let items = json!({ "deleteMany": [{ "code_ends_with": last }] });
                self.update(json!({ "stage": stage, "items": items })).await;
            }
            11 => {
                let filter = json!({ "code_ends_with": format!("{}7", self.dice.below(10)) });
                let query =
                    "mutation($where: ItemWhereInput) { deleteManyItems(where: $where) { count } }";
                self.mutate(query, json!({ "where": filter })).await;
            }
            12 => {
                let filter = json!({ "name_ends_with": format!("{}3", self.dice.below(10)) });
                let query = "mutation($where: OrderWhereInput) { deleteManyOrders(where: $where) { count } }";
                self.mutate(query, json!({ "where": filter })).await;
            }
            _ => {
                if let Some(uid) = self.some("Order").await {
                    self.mutate(
                        "mutation($uid: ID!) { deleteOrder(where: { uid: $uid }) { uid } }",
                        json!({ "uid": uid }),
                    )
                    .await;
                }
            }
        }
    }

    /// Some orders go to a seller, with their items.
    async fn owners_by_sql(
        &mut self,
        name: &str,
        stage: &str,
        seller: &str,
    ) -> Result<(), tokio_postgres::Error> {
        let transaction = self.tables.transaction().await?;
        let orders = "select uid from \"default$default\".\"Order\" order by random() limit 3";
        let uids = uids(transaction.query(orders, &[]).await?);
        let lock = "select 1 from \"default$default\".\"Order\" where uid = any($1) order by uid for update";
        transaction.execute(lock, &[&uids]).await?;
        let owner = "update \"default$default\".\"Order\" o set name = $1, stage = $2, \"assignedTo\" = u.uid \
                     from \"default$default\".\"User\" u where u.\"extUid\" = $3 and o.uid = any($4)";
        transaction
            .execute(owner, &[&name, &stage, &seller, &uids])
            .await?;
        let codes = "update \"default$default\".\"Item\" set code = $1 where \"order\" = any($2)";
        transaction.execute(codes, &[&name, &uids]).await?;
        transaction.commit().await
    }

    /// Some items go to another order.
    async fn items_by_sql(&mut self) -> Result<(), tokio_postgres::Error> {
        let transaction = self.tables.transaction().await?;
        let order = "select uid, name from \"default$default\".\"Order\" where uid = \
                     (select uid from \"default$default\".\"Order\" order by random() limit 1) for update";
        let Some(order) = transaction.query_opt(order, &[]).await? else {
            return Ok(());
        };
        let (uid, name): (String, String) = (order.get(0), order.get(1));
        let items = "update \"default$default\".\"Item\" set \"order\" = $1, code = $2 where uid in \
                     (select uid from \"default$default\".\"Item\" order by random() limit 3)";
        transaction.execute(items, &[&uid, &name]).await?;
        transaction.commit().await
    }

    async fn update(&mut self, data: Value) {
        if let Some(uid) = self.some("Order").await {
            let query = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }";
            self.mutate(query, json!({ "uid": uid, "data": data }))
                .await;
        }
    }

    async fn some(&self, table: &str) -> Option<String> {
        let sql =
            format!("select uid from \"default$default\".\"{table}\" order by random() limit 1");
        self.tables
            .query_opt(&sql, &[])
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

/// Every item of an order gets the same code.
fn all_codes(code: &str) -> Value {
    json!([{ "where": {}, "data": { "code": code } }])
}

fn uids(rows: Vec<tokio_postgres::Row>) -> Vec<String> {
    rows.iter().map(|row| row.get(0)).collect()
}

/// Of several writers, one may be in the way of another, or delete what it refers to.
fn may_fail(written: Result<(), tokio_postgres::Error>) {
    if let Err(error) = written {
        let code = error.code().map(|code| code.code().to_owned());
        assert!(
            matches!(code.as_deref(), Some("40P01" | "23503")),
            "{error:?}"
        );
    }
}
