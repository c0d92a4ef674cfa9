//! What the filters and nested writes of a request are counted as: beside a naive count of the same JSON, and beside what
//! the planner makes of them.

use std::sync::Arc;

use gom_engine::datamodel;
use gom_engine::error::ErrorKind;
use gom_engine::plan::{Access, Planner, Rights, RuleCost};
use gom_engine::policy::{Permissions, Policy, PolicySource};
use gom_engine::request::{InputMeasures, Limits, Prepared, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

const DATAMODEL: &str = r#"
    type Seller { id: ID! @id ext: String @unique orders: [Order] @relation(name: "SellerOrder") }
    type Order {
      id: ID! @id
      name: String
      serial: String @unique
      seller: Seller @relation(name: "SellerOrder", link: INLINE)
      items: [Item] @relation(name: "OrderItem")
    }
    type Item { id: ID! @id code: String order: Order @relation(name: "OrderItem", link: INLINE) }
"#;

struct World {
    requests: Requests,
    planner: Planner,
    policy: Arc<Policy>,
}

impl World {
    fn new() -> Self {
        let source = serde_json::from_value(json!({
            "roles": { "seller": { "permissions": [], "rows": {
                "Seller": "{ ext: $sub }",
                "Order": "{ seller: { ext: $sub } }",
                "Item": "{ OR: [{ order: { seller: { ext: $sub } } }, { code: \"free\" }] }",
            } } }
        }));
        World::with(&source.expect("a policy's form"))
    }

    fn with(source: &PolicySource) -> Self {
        let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a sound datamodel");
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let policy = Policy::new(source, &model, &schema).expect("a sound policy");
        let served = Served::new(&schema).expect("it can be served");
        let physical = Physical::new(model, &PhysicalOptions::in_schema("shop"));
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        World { requests, planner, policy: Arc::new(policy) }
    }

    fn seller(&self) -> Rights {
        self.rights("seller")
    }

    fn rights(&self, role: &str) -> Rights {
        let Value::Object(claims) = json!({ "sub": "s" }) else { unreachable!() };
        let rights =
            self.planner.rights(&self.policy, Permissions::of([format!("role:{role}").as_str()]), &claims);
        rights.expect("the policy has the role")
    }

    fn prepare(&self, document: &str) -> Arc<Prepared> {
        self.requests.prepare(document, None, &Limits::UNLIMITED).expect("a sound document")
    }

    fn measure(&self, document: &str, variables: &Value, access: Access<'_>) -> InputMeasures {
        let prepared = self.prepare(document);
        let Value::Object(given) = variables else { panic!("no object: {variables}") };
        let variables = self.requests.coerce(&prepared.operation, given).expect("sound values");
        self.planner.measure_input(&prepared, &variables, access)
    }

    /// Of one filter on orders, given by a variable.
    fn of_orders(&self, filter: &Value, access: Access<'_>) -> InputMeasures {
        self.measure(ORDERS, &json!({ "where": filter }), access)
    }
}

/// A policy whose role `buyer` reads two fields of sellers by rules.
fn rules_of_fields() -> PolicySource {
    let own = json!({ "table": "code", "value": "code", "node": "order", "owner": "seller", "of": "Seller", "is": "{ ext: $sub }" });
    serde_json::from_value(json!({
        "generated": { "Order.serial": 10 },
        "roles": { "buyer": {
            "permissions": [],
            "rows": { "Seller": "{}", "Order": "{}", "Item": "{}" },
            "shown": { "Order.name": "{ seller: { ext: $sub } }", "Order.serial": "{ seller: { ext: $sub } }", "Item.code": "{ code_not: \"x\" }" },
            "own_values": { "Order.name": own.clone(), "Order.serial": own },
        } }
    }))
    .expect("a policy's form")
}

const ORDERS: &str = "query ($where: OrderWhereInput) { orders(where: $where, first: 10) { id } }";

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
            sum.bytes += items.iter().filter_map(Value::as_str).map(|text| text.len() as u64).sum::<u64>();
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
    let keys: Vec<String> =
        ["", "_not", "_contains", "_gt"].iter().map(|end| format!("{text}{end}")).collect();
    let leaf = prop_oneof![
        (select(keys), "[a-zñ]{0,5}").prop_map(|(key, value)| json!({ key: value })),
        (Just(format!("{text}_in")), 0..250_usize).prop_map(|(key, n)| json!({ key: vec!["ab"; n] })),
        Just(json!({})),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let paths: &[(&str, &str)] = match model {
        "Seller" => &[("orders_some", "Order"), ("orders_every", "Order"), ("orders_none", "Order")],
        "Order" => &[("seller", "Seller"), ("items_some", "Item"), ("items_every", "Item")],
        _ => &[("order", "Order")],
    };
    let step = select(paths.to_vec())
        .prop_flat_map(move |(key, to)| filters(to, depth - 1).prop_map(move |part| json!({ key: part })));
    let joined = (select(vec!["AND", "OR", "NOT"]), prop::collection::vec(filters(model, depth - 1), 0..4))
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

#[test]
fn filters_count_wherever_they_stand_and_however_they_are_given() {
    let world = World::new();
    let count = |document: &str, variables: Value| {
        let InputMeasures { conditions, depth, relations, .. } =
            world.measure(document, &variables, Access::Full);
        (conditions, depth, relations)
    };
    let none = json!({});
    // Literals, variables, and variables within literals.
    assert_eq!(
        count("{ orders(where: {name: \"x\", items_some: {code: \"y\"}}) { id } }", none.clone()),
        (2, 1, 1)
    );
    let within =
        "query ($n: String, $i: ItemWhereInput) { orders(where: {name: $n, items_some: $i}) { id } }";
    assert_eq!(count(within, json!({ "n": "x", "i": { "order": { "name": "y" } } })), (2, 2, 2));
    assert_eq!(count(within, none.clone()), (0, 0, 0), "what is absent is left out");
    // Every level of the selection, connections, and several fields.
    let nested = "{ orders { items(where: {code: \"x\"}) { id } } ordersConnection(where: {name: \"x\"}) { edges { node { \
                  items(where: {order: {name: \"x\"}}) { id } } } } }";
    assert_eq!(count(nested, none.clone()), (3, 1, 1));
    // What is not selected costs nothing.
    let skipped = "query ($s: Boolean!) { orders(where: {name: \"x\"}) @skip(if: $s) { id } }";
    assert_eq!(count(skipped, json!({ "s": true })), (0, 0, 0));
    assert_eq!(count(skipped, json!({ "s": false })), (1, 0, 0));
    // Mutations of many rows, nested ones, and what they answer. One row by its unique value is no filter.
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
    assert_eq!(count(data, json!({ "data": { "items": items } })), (5, 0, 0));
    // Subscriptions.
    let events =
        "subscription ($where: OrderSubscriptionWhereInput) { order(where: $where) { node { id } } }";
    let node = json!({ "node": { "items_some": { "code": "x" } }, "mutation_in": ["CREATED"] });
    assert_eq!(
        count(events, json!({ "where": { "OR": [node, { "updatedFields_contains": "name" }] } })),
        (3, 1, 1)
    );
}

/// Writes of a relation to many: to new rows, and to those that are there.
fn writes(create: BoxedStrategy<Value>, data: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let by_id = || "[a-z]{1,5}".prop_map(|id| json!({ "id": id }));
    let many = |items: BoxedStrategy<Value>| prop::collection::vec(items, 0..4).prop_map(Value::from);
    let update = (by_id(), data.clone()).prop_map(|(id, data)| json!({ "where": id, "data": data }));
    let upsert = (by_id(), data, create.clone())
        .prop_map(|(id, update, create)| json!({ "where": id, "update": update, "create": create }));
    let write = prop_oneof![
        (select(vec!["connect", "set", "delete", "disconnect"]), many(by_id().boxed())),
        (Just("create"), many(create)),
        (Just("update"), many(update.boxed())),
        (Just("upsert"), many(upsert.boxed())),
        (Just("deleteMany"), many(by_id().boxed())),
        // A single one stands for a list.
        (Just("connect"), by_id().boxed()),
    ];
    prop::collection::vec(write, 0..4)
        .prop_map(|writes| {
            writes.into_iter().map(|(key, items)| (key.to_owned(), items)).collect::<Map<_, _>>()
        })
        .prop_map(Value::from)
        .boxed()
}

/// Data of a seller, with orders, with items.
fn sellers() -> impl Strategy<Value = Value> {
    let item = "[a-z]{1,5}".prop_map(|code| json!({ "code": code })).boxed();
    let new = prop::collection::vec(item.clone(), 0..4).prop_map(|new| json!({ "items": { "create": new } }));
    let new = prop_oneof![Just(json!({ "name": "x" })), new].boxed();
    let order = writes(item.clone(), item).prop_map(|items| json!({ "items": items })).boxed();
    writes(new, order).prop_map(|orders| json!({ "orders": orders }))
}

/// Counts what stands below `orders` and `items`.
fn naive_writes(data: &Value) -> u64 {
    let relations = ["orders", "items"].into_iter().filter_map(|relation| data[relation].as_object());
    let items = relations.flat_map(Map::values).flat_map(|items| match items {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    });
    items
        .map(|item| {
            1 + naive_writes(&item)
                + ["data", "update", "create"].map(|key| naive_writes(&item[key])).iter().sum::<u64>()
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

#[test]
fn nested_writes_count_in_every_mutation_and_however_they_are_given() {
    let world = World::new();
    let count =
        |document: &str, variables: Value| world.measure(document, &variables, Access::Full).nested_writes;
    assert_eq!(count("mutation { createOrder(data: {name: \"x\"}) { id } }", json!({})), 0);
    let list = "mutation ($list: [OrderWhereUniqueInput!]) { updateSeller(where: {id: \"s\"}, data: {orders: {connect: $list}}) { id } }";
    let orders: Vec<Value> = (0..75_000).map(|n| json!({ "id": n.to_string() })).collect();
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
fn a_filter_counts_for_every_row_of_its_list_in_the_complexity() {
    let world = World::new();
    let complexity = |document: &str| world.measure(document, &json!({}), Access::Full).complexity;
    assert_eq!(complexity("{ orders(where: {name: \"x\"}, first: 7) { id } }"), 7);
    assert_eq!(
        complexity("{ ordersConnection(where: {name: \"x\"}, first: 7) { edges { node { id } } } }"),
        7
    );
    assert_eq!(
        complexity("{ orders(first: 7) { items(where: {order: {name: \"x\"}}, first: 3) { id } } }"),
        7 * 3 * 2
    );
    assert_eq!(complexity("{ orders(where: {}) { items(where: {}) { id } } }"), 0);
}

#[test]
fn a_list_counts_as_long_as_its_variable_says() {
    let world = World::new();
    const PAGES: &str = "query ($n: Int, $m: Int, $s: Boolean = false) { \
        orders(first: $n) { id items(last: $m) @skip(if: $s) { id code } } }";
    let prepared = world.prepare(PAGES);
    assert_eq!(prepared.measures.complexity, None, "not known before the variables");
    let selection = |variables| world.measure(PAGES, &variables, Access::Full).selection;
    assert_eq!(selection(json!({ "n": 1000, "m": 200 })), Some(1 + 1000 * (1 + 1 + 200 * 2)));
    assert_eq!(selection(json!({ "n": 7, "m": null })), Some(1 + 7 * (1 + 1 + 100 * 2)));
    assert_eq!(selection(json!({ "n": 7, "s": true })), Some(1 + 7));
    // Filters count for as many rows.
    let filtered = "query ($n: Int) { orders(first: $n, where: {name: \"x\"}) { id } }";
    assert_eq!(world.measure(filtered, &json!({ "n": 1000 }), Access::Full).complexity, 1000);
    // The document alone says it otherwise.
    let constant = "query ($name: String) { orders(first: 3, where: {name: $name}) { id } }";
    assert_eq!(world.measure(constant, &json!({}), Access::Full).selection, None);
    let refused = |variables| {
        let limits = Limits { complexity: Some(30_000), ..Limits::UNLIMITED };
        limits.check_input(&world.measure(PAGES, &variables, Access::Full), &prepared.measures).is_err()
    };
    assert!(refused(json!({ "n": 1000 })) && !refused(json!({ "n": 100 })) && !refused(json!({})));
}

#[test]
fn a_small_page_by_a_variable_is_judged_by_its_value_and_not_as_a_hundred_rows() {
    let world = World::new();
    let limits = Limits { complexity: Some(100), ..Limits::UNLIMITED };
    let pages = "query ($n: Int) { orders(first: $n) { items(first: 3) { id code } } }";
    let check = |variables: &Value| {
        let prepared =
            world.requests.prepare(pages, None, &limits).expect("nothing is known of its size yet");
        limits.check_input(&world.measure(pages, variables, Access::Full), &prepared.measures)
    };
    // Prepared, and then kept.
    for _ in 0..2 {
        assert_eq!(check(&json!({ "n": 14 })), Ok(()));
    }
    for variables in [json!({ "n": 15 }), json!({ "n": null }), json!({})] {
        let message = check(&variables).expect_err("too much").message;
        assert!(message.ends_with("the limit is 100 (limits.complexity)"), "{message}");
    }
}

#[test]
fn a_selected_field_that_a_rule_decides_counts_for_every_row_in_the_complexity() {
    let world = World::with(&rules_of_fields());
    let rights = world.rights("buyer");
    let measured = |document: &str| world.measure(document, &json!({}), Access::Limited(&rights));
    let complexity = |document: &str| measured(document).complexity;
    // A relation and a condition show it, and the same lead to the viewer's own value.
    assert_eq!(complexity("{ orders(first: 7) { id name } }"), 7 * 4);
    assert_eq!(complexity("{ orders(first: 7) { id } }"), 0);
    let twice = "{ a: orders(first: 7) { name other: name items(first: 3) { code } } }";
    assert_eq!(complexity(twice), 7 * (4 + 4 + 3));
    assert_eq!(complexity("{ ordersConnection(first: 7) { edges { node { name } } } }"), 7 * 4);
    // Beside a filter by the field; the filters' own limits are about filters only.
    assert_eq!(complexity("{ orders(where: {name: \"x\"}, first: 7) { name } }"), 7 * 5 + 7 * 4);
    let selected = measured("{ orders(first: 7) { name } }");
    assert_eq!((selected.conditions, selected.relations, selected.depth), (0, 0, 0));
    // Whoever reads columns pays for columns.
    assert_eq!(world.measure(twice, &json!({}), Access::Full).complexity, 0);
    let message = Limits { complexity: Some(40), ..Limits::UNLIMITED }
        .check_input(&selected, &world.prepare("{ orders(first: 20) { name } }").measures)
        .expect_err("too much")
        .message;
    assert_eq!(
        message,
        "The query has a complexity of 49 with its filters and the rules of its fields; the limit is 40 (limits.complexity)"
    );
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
    assert_eq!(count("{ orders(where: {serial: \"x\"}) { id } }"), (3, 2, 1));
    assert_eq!(count("{ order(where: {serial: \"x\"}) { id } }"), (2, 2, 1));
    assert_eq!(count("{ order(where: {id: \"x\"}) { id } }"), (0, 0, 0));
    let write = |orders: &str| {
        count(&format!(
            "mutation {{ updateSeller(where: {{id: \"s\"}}, data: {{orders: {orders}}}) {{ id }} }}"
        ))
    };
    for verb in ["connect", "set", "delete", "disconnect"] {
        assert_eq!(
            write(&format!("{{{verb}: [{{serial: \"x\"}}, {{serial: \"y\"}}]}}")),
            (4, 4, 1),
            "{verb}"
        );
        assert_eq!(write(&format!("{{{verb}: [{{id: \"x\"}}]}}")), (0, 0, 0), "{verb}");
    }
    assert_eq!(write("{update: [{where: {serial: \"x\"}, data: {serial: \"y\"}}]}"), (2, 2, 1));
    assert_eq!(
        write("{upsert: [{where: {serial: \"x\"}, create: {serial: \"y\"}, update: {serial: \"z\"}}]}"),
        (2, 2, 1)
    );
    assert_eq!(write("{create: [{serial: \"x\"}]}"), (0, 0, 0));
}

#[test]
fn a_refusal_names_unique_selectors_where_they_count() {
    let world = World::with(&rules_of_fields());
    let rights = world.rights("buyer");
    let refusal = |document: &str, limits: Limits| {
        let measured = world.measure(document, &json!({}), Access::Limited(&rights));
        limits.check_input(&measured, &world.prepare(document).measures).expect_err(document).message
    };
    let relations = || Limits { filter_relations: Some(1), ..Limits::UNLIMITED };
    assert_eq!(
        refusal("{ order(where: {serial: \"x\"}) { id } }", relations()),
        "The filters and unique selectors cross 2 relations in all (the rules of their fields and of the tables that they \
         lead to included); the limit is 1 (limits.filter_relations)"
    );
    assert_eq!(
        refusal(
            "{ order(where: {serial: \"x\"}) { id } }",
            Limits { filter_conditions: Some(1), ..relations() }
        ),
        "The filters and unique selectors have 2 conditions (the rules of their fields and of the tables that they lead to \
         included); the limit is 1 (limits.filter_conditions)"
    );
    assert_eq!(
        refusal("{ orders(where: {items_some: {order: {}}}) { id } }", relations()),
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
        let error =
            Limits::default().check_input(measured, &world.prepare(ORDERS).measures).expect_err("too deep");
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
    assert!(message.starts_with("The filters have 201 conditions"), "{message}");
}

#[test]
fn a_rule_costs_the_same_before_and_after_its_claims_are_bound() {
    let world = World::new();
    let role = world.policy.role("seller").expect("the policy has the role");
    let item = world.planner.physical().model.model_named("Item").expect("a model");
    let cost = world.planner.rule_cost(role.row_rule(item).expect("a rule"));
    assert_eq!(cost, RuleCost { conditions: 2, depth: 2, relations: 2 });
}
