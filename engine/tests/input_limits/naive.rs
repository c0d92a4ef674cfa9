//! Random filters and nested writes, beside a naive count of the same JSON.

use gom_engine::plan::Access;
use gom_engine::request::InputMeasures;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::world::World;

/// Where a key of a filter leads, and what the rule there costs: conditions, depth, relations.
fn rule_behind(key: &str) -> Option<[u64; 3]> {
    Some(match key.split('_').next()? {
        "seller" => [1, 0, 0],
        "orders" | "order" => [1, 1, 1],
        "items" => [2, 2, 2],
        _ => return None,
    })
}

/// Counts by the names of the keys alone.
fn naive(filter: &Value, depth: u64, rules: bool, sum: &mut InputMeasures) {
    for (key, value) in filter.as_object().into_iter().flatten() {
        let items = match value {
            Value::Array(items) => items.clone(),
            one => vec![one.clone()],
        };
        if matches!(key.as_str(), "AND" | "OR" | "NOT") {
            let empty = items.iter().filter(|item| **item == json!({})).count();
            sum.conditions += if items.is_empty() { 1 } else { empty as u64 };
            items.iter().for_each(|item| naive(item, depth, rules, sum));
        } else if let Some(rule) = rule_behind(key) {
            let [conditions, within, relations] = if rules { rule } else { [0, 0, 0] };
            sum.conditions += conditions;
            sum.relations += 1 + relations;
            sum.depth = sum.depth.max(depth + 1 + within);
            naive(value, depth + 1, rules, sum);
        } else {
            sum.conditions += 1 + items.len() as u64 / 100;
            sum.bytes += items
                .iter()
                .filter_map(Value::as_str)
                .map(|text| text.len() as u64)
                .sum::<u64>();
        }
    }
    sum.complexity = 10 * (sum.conditions + sum.relations);
}

/// Filters on the model of that name.
fn filters(model: &'static str, depth: u32) -> BoxedStrategy<Value> {
    let text = if model == "Item" {
        "code"
    } else if model == "Order" {
        "name"
    } else {
        "ext"
    };
    let keys: Vec<String> = ["", "_not", "_contains", "_gt"]
        .iter()
        .map(|end| format!("{text}{end}"))
        .collect();
    let leaf = prop_oneof![
        (select(keys), "[a-zñ]{0,5}").prop_map(|(key, value)| json!({ key: value })),
        (Just(format!("{text}_in")), 0..250_usize)
            .prop_map(|(key, n)| json!({ key: vec!["ab"; n] })),
        Just(json!({})),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let paths: &[(&str, &str)] = match model {
        "Seller" => &[
            ("orders_some", "Order"),
            ("orders_every", "Order"),
            ("orders_none", "Order"),
        ],
        "Order" => &[
            ("seller", "Seller"),
            ("items_some", "Item"),
            ("items_every", "Item"),
        ],
        _ => &[("order", "Order")],
    };
    let step = select(paths.to_vec()).prop_flat_map(move |(key, to)| {
        filters(to, depth - 1).prop_map(move |part| json!({ key: part }))
    });
    let joined = (
        select(vec!["AND", "OR", "NOT"]),
        prop::collection::vec(filters(model, depth - 1), 0..4),
    )
        .prop_map(|(key, parts)| json!({ key: parts }));
    prop_oneof![leaf, step, joined].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_count_is_the_naive_one_for_any_filter(filter in filters("Order", 5)) {
        let world = World::new();
        let rights = world.seller();
        for (access, rules) in [(Access::Full, false), (Access::Limited(&rights), true)] {
            let mut expected = InputMeasures::default();
            naive(&filter, 0, rules, &mut expected);
            prop_assert_eq!(world.of_orders(&filter, access), expected, "{}", filter);
        }
    }
}

/// Writes of a relation to many: to new rows, and to those that are there.
fn writes(create: BoxedStrategy<Value>, data: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let by_id = || "[a-z]{1,5}".prop_map(|id| json!({ "id": id }));
    let many =
        |items: BoxedStrategy<Value>| prop::collection::vec(items, 0..4).prop_map(Value::from);
    let update =
        (by_id(), data.clone()).prop_map(|(id, data)| json!({ "where": id, "data": data }));
    let upsert = (by_id(), data, create.clone()).prop_map(
        |(id, update, create)| json!({ "where": id, "update": update, "create": create }),
    );
    let write = prop_oneof![
        (
            select(vec!["connect", "set", "delete", "disconnect"]),
            many(by_id().boxed())
        ),
        (Just("create"), many(create)),
        (Just("update"), many(update.boxed())),
        (Just("upsert"), many(upsert.boxed())),
        (Just("deleteMany"), many(by_id().boxed())),
        // A single one stands for a list.
        (Just("connect"), by_id().boxed()),
    ];
    prop::collection::vec(write, 0..4)
        .prop_map(|writes| {
            writes
                .into_iter()
                .map(|(key, items)| (key.to_owned(), items))
                .collect::<Map<_, _>>()
        })
        .prop_map(Value::from)
        .boxed()
}

/// Data of a seller, with orders, with items.
fn sellers() -> impl Strategy<Value = Value> {
    let item = "[a-z]{1,5}"
        .prop_map(|code| json!({ "code": code }))
        .boxed();
    let new = prop::collection::vec(item.clone(), 0..4)
        .prop_map(|new| json!({ "items": { "create": new } }));
    let new = prop_oneof![Just(json!({ "name": "x" })), new].boxed();
    let order = writes(item.clone(), item)
        .prop_map(|items| json!({ "items": items }))
        .boxed();
    writes(new, order).prop_map(|orders| json!({ "orders": orders }))
}

/// Counts what stands below `orders` and `items`.
fn naive_writes(data: &Value) -> u64 {
    let relations = ["orders", "items"]
        .into_iter()
        .filter_map(|relation| data[relation].as_object());
    let items = relations
        .flat_map(Map::values)
        .flat_map(|items| match items {
            Value::Array(items) => items.clone(),
            one => vec![one.clone()],
        });
    items
        .map(|item| {
            1 + naive_writes(&item)
                + ["data", "update", "create"]
                    .map(|key| naive_writes(&item[key]))
                    .iter()
                    .sum::<u64>()
        })
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_count_of_nested_writes_is_the_naive_one_for_any_data(data in sellers()) {
        const UPDATE: &str =
            "mutation ($data: SellerUpdateInput!) { updateSeller(where: {id: \"s\"}, data: $data) { id } }";
        let measured = World::new().measure(UPDATE, &json!({ "data": data }), Access::Full);
        prop_assert_eq!(measured.nested_writes, naive_writes(&data), "{}", data);
    }
}
