//! Mutations with many nested writes, each of which is some statements of its own.

use serde_json::{Value, json};

use crate::attack::{Attack, Ends, assert_withstood, graphql};
use crate::shop::Shop;

const CONNECT: &str = "mutation($list: [OrderWhereUniqueInput!]) { \
                       updateBp(where: {uid: \"bp-attacker\"}, data: {orders: {connect: $list}}) { uid } }";

#[actix_web::test]
async fn many_nested_writes_neither_delay_others_nor_take_memory() {
    let shop = Shop::open(&[]).await;
    let mut hostile = shop.seller("attacker").await;
    let reply = hostile.graphql("{ orders { uid } }", json!({})).await;
    let orders: Vec<Value> = reply.body["data"]["orders"].as_array().unwrap().clone();
    assert_eq!(orders.len(), 50);
    let connect = |name: &'static str, items: usize, at_once: usize, ends: Ends| {
        let list: Vec<Value> = orders.iter().cycle().take(items).cloned().collect();
        Attack {
            name,
            request: graphql(CONNECT, move |_| json!({ "list": list })),
            at_once,
            ends,
        }
    };
    let attacks = [
        // As many as a body holds: once 200 MB of statements.
        connect(
            "connecting all that a body holds",
            18_000,
            2,
            Ends::BeyondALimit,
        ),
        connect(
            "connecting as many as are allowed",
            1_000,
            50,
            Ends::Answered,
        ),
    ];
    assert_withstood(&shop, &hostile, attacks).await;
}
