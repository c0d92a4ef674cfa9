//! Small requests whose filters are large: relations within relations, and many of them.

use serde_json::{Value, json};

use crate::attack::{Attack, Ends, assert_withstood, graphql};
use crate::shop::Shop;

/// `0.9 KB` of this, four at a time, once took another user's p99 from 73 ms to 6.4 s.
fn nested(_: usize) -> Value {
    let mut filter = json!({ "name_not": "x" });
    for _ in 0..10 {
        filter = json!({ "items_every": { "order": { "items_none": { "order": filter } } } });
    }
    filter
}

/// 18 KB of this once took 728 MB in one process of PostgreSQL.
fn tree(_: usize) -> Value {
    fn items(depth: usize) -> Value {
        let branch = |n: usize| match depth {
            0 => json!({ "code": n.to_string() }),
            _ => json!({ "order": { "items_some": items(depth - 1) } }),
        };
        json!({ "OR": (0..4).map(branch).collect::<Vec<_>>() })
    }
    json!({ "items_some": items(3) })
}

/// About the costliest query that a seller may send, each time another statement, so that nothing about it is cached.
pub fn costly(n: usize) -> Value {
    const ENDS: [&str; 8] = [
        "",
        "_not",
        "_contains",
        "_not_contains",
        "_gt",
        "_lt",
        "_starts_with",
        "_ends_with",
    ];
    let leaf = |place: usize| {
        let end = ENDS[(n >> (3 * (place % 5))) % 8];
        json!({ "order": { format!("name{end}"): format!("x{place}") } })
    };
    let leaves: Vec<Value> = (0..11).map(leaf).collect();
    json!({ "items_every": { "order": { "items_none": { "OR": leaves } } } })
}

const QUERY: &str = "query($where: OrderWhereInput) { orders(where: $where) { uid } }";

fn attack(name: &'static str, filter: fn(usize) -> Value, at_once: usize, ends: Ends) -> Attack {
    Attack {
        name,
        request: graphql(QUERY, move |n| json!({ "where": filter(n) })),
        at_once,
        ends,
    }
}

/// As many conditions as are allowed, each time another statement: sixty of these with four hundred once left 600 MB in
/// PostgreSQL's processes for good.
fn long(n: usize) -> Value {
    let condition = |place: usize| {
        let end = ["_not", "_not_contains"][(n >> (place % 16)) & 1];
        json!({ format!("name{end}"): format!("x{place}") })
    };
    json!({ "AND": (0..180).map(condition).collect::<Vec<_>>() })
}

#[actix_web::test]
async fn distinct_statements_do_not_accumulate_memory() {
    let shop = Shop::open(&[]).await;
    let hostile = shop.seller("attacker").await;
    assert_withstood(
        &shop,
        &hostile,
        [attack(
            "long statements, each another",
            long,
            8,
            Ends::Answered,
        )],
    )
    .await;
}

#[actix_web::test]
async fn large_filters_neither_delay_others_nor_take_memory() {
    let shop = Shop::open(&[]).await;
    let hostile = shop.seller("attacker").await;
    let attacks = [
        attack("relations within relations", nested, 4, Ends::BeyondALimit),
        attack("a tree of relations", tree, 4, Ends::BeyondALimit),
        // Many more than get a turn.
        attack(
            "the costliest that may be asked",
            costly,
            50,
            Ends::Answered,
        ),
    ];
    assert_withstood(&shop, &hostile, attacks).await;
}
