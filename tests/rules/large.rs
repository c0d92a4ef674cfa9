//! Large requests are read and planned on threads of their own: the worker serves others meanwhile.

use std::cell::Cell;

use serde_json::{Value, json};
use tokio::task::yield_now;

use crate::shop::{PALETAS, Shop, Told, seller};

const CONNECT: &str = "mutation($list: [OrderWhereUniqueInput!]) { \
                       updateBp(where: {extUid: \"DemoCode01\"}, data: {orders: {connect: $list}}) { uid } }";

/// The answer, and how often somebody else had the thread until it came.
async fn beside_others(shop: &Shop, text: &str, variables: Value) -> (Told, usize) {
    let turns = Cell::new(0);
    let others = async {
        loop {
            turns.set(turns.get() + 1);
            yield_now().await;
        }
    };
    let viewer = seller(PALETAS);
    tokio::select! {
        // The others first: what needs no more than one move would count none.
        biased;
        () = others => unreachable!(),
        told = shop.ask(&viewer, text, variables) => (told, turns.get()),
    }
}

#[actix_web::test]
async fn a_large_request_does_not_keep_its_worker_from_others() {
    let shop = Shop::open().await;
    let selectors = |count: usize, last: Value| {
        let one = json!({ "uid": "cdemoorder00000000000001" });
        json!({ "list": vec![one; count].into_iter().chain([last]).collect::<Vec<Value>>() })
    };
    let aliases: String = (0..2_000).map(|n| format!("a{n}: orders {{ uid }} ")).collect();
    let beyond = selectors(18_000, json!({ "uid": "x" }));
    let no_selector = selectors(900, json!({}));
    for (what, text, variables, expected) in [
        ("a long document", format!("{{ {aliases} }}"), json!({}), "limits."),
        ("many values", CONNECT.to_owned(), beyond, "limits.nested_writes"),
        ("a large plan", CONNECT.to_owned(), no_selector, "OrderWhereUniqueInput"),
    ] {
        let (told, turns) = beside_others(&shop, &text, variables).await;
        assert!(told.errors[0].message.contains(expected), "{what}: {told:?}");
        assert!(turns > 50, "{what}: others have had the thread {turns} times");
    }
    let (told, turns) = beside_others(&shop, "{ orders(first: 0) { uid, uid: name } }", json!({})).await;
    assert!(!told.errors.is_empty() && turns < 50, "small ones need no other thread: {turns}, {told:?}");
}
