//! What the filters and nested writes of a request are counted as: beside a naive count of the same
//! JSON, and beside what the planner makes of them.

mod complexity;
mod naive;
mod world;

use gom_engine::error::ErrorKind;
use gom_engine::plan::{Access, RuleCost};
use gom_engine::request::{InputMeasures, RequestLimits};
use serde_json::{Value, json};

use world::{ORDERS, World, rules_of_fields};

#[test]
fn filters_count_wherever_they_stand_and_however_they_are_given() {
    let world = World::new();
    let count = |document: &str, variables: Value| {
        let InputMeasures {
            conditions,
            depth,
            relations,
            ..
        } = world.measure(document, &variables, Access::Full);
        (conditions, depth, relations)
    };
    let none = json!({});
    // Literals, variables, and variables within literals.
    assert_eq!(
        count(
            "{ orders(where: {name: \"x\", items_some: {code: \"y\"}}) { id } }",
            none.clone()
        ),
        (2, 1, 1)
    );
    let within = "query ($n: String, $i: ItemWhereInput) { orders(where: {name: $n, items_some: $i}) { id } }";
    assert_eq!(
        count(
            within,
            json!({ "n": "x", "i": { "order": { "name": "y" } } })
        ),
        (2, 2, 2)
    );
    assert_eq!(
        count(within, none.clone()),
        (0, 0, 0),
        "what is absent is left out"
    );
    // Every level of the selection, connections, and several fields.
    let nested = "{ orders { items(where: {code: \"x\"}) { id } } ordersConnection(where: {name: \"x\"}) { edges { node { \
                  items(where: {order: {name: \"x\"}}) { id } } } } }";
    assert_eq!(count(nested, none.clone()), (3, 1, 1));
    // What is not selected costs nothing.
    let skipped = "query ($s: Boolean!) { orders(where: {name: \"x\"}) @skip(if: $s) { id } }";
    assert_eq!(count(skipped, json!({ "s": true })), (0, 0, 0));
    assert_eq!(count(skipped, json!({ "s": false })), (1, 0, 0));
    // Mutations of many rows, nested ones, and what they answer. One row by its unique value is no
    // filter.
    let many = "mutation { deleteManyOrders(where: {items_none: {code: \"x\"}}) { count } }";
    assert_eq!(count(many, none.clone()), (1, 1, 1));
    let data = "mutation ($data: OrderUpdateInput!) { updateOrder(where: {id: \"o\"}, data: $data) { \
                items(where: {code: \"x\"}) { id } } }";
    let items = json!({
        "deleteMany": [{ "code": "a" }, { "OR": [{ "code": "b" }, { "code_not": "c" }] }],
        "updateMany": [{ "where": { "code": "d" }, "data": { "code": "e" } }],
        "connect": [{ "id": "f" }],
        "update": [{ "where": { "id": "g" }, "data": { "code": "h" } }],
    });
    assert_eq!(
        count(data, json!({ "data": { "items": items } })),
        (5, 0, 0)
    );
    // Subscriptions.
    let events = "subscription ($where: OrderSubscriptionWhereInput) { order(where: $where) { node { id } } }";
    let node = json!({ "node": { "items_some": { "code": "x" } }, "mutation_in": ["CREATED"] });
    assert_eq!(
        count(
            events,
            json!({ "where": { "OR": [node, { "updatedFields_contains": "name" }] } })
        ),
        (3, 1, 1)
    );
}

#[test]
fn nested_writes_count_in_every_mutation_and_however_they_are_given() {
    let world = World::new();
    let count = |document: &str, variables: Value| {
        world
            .measure(document, &variables, Access::Full)
            .nested_writes
    };
    assert_eq!(
        count(
            "mutation { createOrder(data: {name: \"x\"}) { id } }",
            json!({})
        ),
        0
    );
    let list = "mutation ($list: [OrderWhereUniqueInput!]) { updateSeller(where: {id: \"s\"}, data: {orders: {connect: $list}}) { id } }";
    let orders: Vec<Value> = (0..75_000)
        .map(|n| json!({ "id": n.to_string() }))
        .collect();
    assert_eq!(count(list, json!({ "list": orders })), 75_000);
    let two = "mutation { a: createSeller(data: {orders: {create: [{name: \"x\", items: {create: {code: \"y\"}}}]}}) { id } \
               b: upsertSeller(where: {id: \"s\"}, create: {orders: {create: {}}}, update: {orders: {delete: {id: \"o\"}}}) { id } }";
    assert_eq!(count(two, json!({})), 2 + 2);
}

#[test]
fn values_are_bounded_by_their_bytes_as_often_as_they_are_used() {
    let world = World::new();
    let document = "query ($ids: [ID!]) { a: orders(where: {id_in: $ids}) { id } b: orders(where: {id_not_in: $ids}) { id } }";
    let given = json!({ "ids": vec!["x".repeat(25); 1_000] });
    let measured = world.measure(document, &given, Access::Full);
    assert_eq!((measured.bytes, measured.conditions), (2 * 25_000, 2 * 11));
}

#[test]
fn a_row_found_by_a_value_that_a_rule_decides_counts_like_a_filter_by_it() {
    let world = World::with(&rules_of_fields());
    let rights = world.rights("buyer");
    let count = |document: &str| {
        let measured = world.measure(document, &json!({}), Access::Limited(&rights));
        (measured.conditions, measured.relations, measured.depth)
    };
    // As in a filter, but for the comparison itself.
    assert_eq!(
        count("{ orders(where: {serial: \"x\"}) { id } }"),
        (3, 2, 1)
    );
    assert_eq!(count("{ order(where: {serial: \"x\"}) { id } }"), (2, 2, 1));
    assert_eq!(count("{ order(where: {id: \"x\"}) { id } }"), (0, 0, 0));
    let write = |orders: &str| {
        count(&format!(
            "mutation {{ updateSeller(where: {{id: \"s\"}}, data: {{orders: {orders}}}) {{ id }} }}"
        ))
    };
    for verb in ["connect", "set", "delete", "disconnect"] {
        assert_eq!(
            write(&format!(
                "{{{verb}: [{{serial: \"x\"}}, {{serial: \"y\"}}]}}"
            )),
            (4, 4, 1),
            "{verb}"
        );
        assert_eq!(
            write(&format!("{{{verb}: [{{id: \"x\"}}]}}")),
            (0, 0, 0),
            "{verb}"
        );
    }
    assert_eq!(
        write("{update: [{where: {serial: \"x\"}, data: {serial: \"y\"}}]}"),
        (2, 2, 1)
    );
    assert_eq!(
        write(
            "{upsert: [{where: {serial: \"x\"}, create: {serial: \"y\"}, update: {serial: \"z\"}}]}"
        ),
        (2, 2, 1)
    );
    assert_eq!(write("{create: [{serial: \"x\"}]}"), (0, 0, 0));
}

#[test]
fn a_refusal_names_unique_selectors_where_they_count() {
    let world = World::with(&rules_of_fields());
    let rights = world.rights("buyer");
    let refusal = |document: &str, limits: RequestLimits| {
        let measured = world.measure(document, &json!({}), Access::Limited(&rights));
        limits
            .check_input(&measured, &world.prepare(document).measures)
            .expect_err(document)
            .message
    };
    let relations = || RequestLimits {
        filter_relations: Some(1),
        ..RequestLimits::UNLIMITED
    };
    assert_eq!(
        refusal("{ order(where: {serial: \"x\"}) { id } }", relations()),
        "The filters and unique selectors cross 2 relations in all (the rules of their fields and of the tables that they \
         lead to included); the limit is 1 (limits.filter_relations)"
    );
    assert_eq!(
        refusal(
            "{ order(where: {serial: \"x\"}) { id } }",
            RequestLimits {
                filter_conditions: Some(1),
                ..relations()
            }
        ),
        "The filters and unique selectors have 2 conditions (the rules of their fields and of the tables that they lead to \
         included); the limit is 1 (limits.filter_conditions)"
    );
    assert_eq!(
        refusal(
            "{ orders(where: {items_some: {order: {}}}) { id } }",
            relations()
        ),
        "The filters cross 2 relations in all (the rules of the tables that they lead to included); the limit is 1 \
         (limits.filter_relations)"
    );
    // By an id, nothing counts but the filter.
    let by_id = "{ order(where: {id: \"x\"}) { items(where: {order: {items_some: {}}}) { id } } }";
    assert!(refusal(by_id, relations()).starts_with("The filters cross 2 relations"));
}

#[test]
fn the_attack_of_twenty_relations_one_within_the_other_is_refused_by_the_defaults() {
    let world = World::new();
    let mut filter = json!({ "name": "x" });
    for _ in 0..10 {
        filter = json!({ "items_every": { "order": filter } });
    }
    let measured = world.of_orders(&filter, Access::Full);
    let refused = |measured: &InputMeasures| {
        let error = RequestLimits::default()
            .check_input(measured, &world.prepare(ORDERS).measures)
            .expect_err("too deep");
        assert_eq!(error.kind, ErrorKind::LimitExceeded);
        error.message
    };
    let expected = "The filters cross 20 relations one within the other (the rules of the tables that they lead to \
                    included); the limit is 6 (limits.filter_depth)";
    assert_eq!(refused(&measured), expected);
    let many = json!({ "OR": vec![json!({ "items_some": { "code": "x" } }); 50] });
    let message = refused(&world.of_orders(&many, Access::Full));
    assert!(
        message.contains("cross 50 relations in all") && message.contains("the limit is 30"),
        "{message}"
    );
    let many = json!({ "name": "x", "OR": vec![json!({ "name": "x" }); 200] });
    let message = refused(&world.of_orders(&many, Access::Full));
    assert!(
        message.starts_with("The filters have 201 conditions"),
        "{message}"
    );
}

#[test]
fn a_rule_costs_the_same_before_and_after_its_claims_are_bound() {
    let world = World::new();
    let role = world
        .policy
        .role("seller")
        .expect("the policy has the role");
    let item = world
        .planner
        .physical()
        .model
        .model_named("Item")
        .expect("a model");
    let cost = world
        .planner
        .rule_cost(role.row_rule(item).expect("a rule"));
    assert_eq!(
        cost,
        RuleCost {
            conditions: 2,
            depth: 2,
            relations: 2
        }
    );
}
