//! What filters, rules of fields and pages add to a request's complexity.

use gom_engine::plan::Access;
use gom_engine::request::RequestLimits;
use serde_json::{Value, json};

use super::world::{World, rules_of_fields};

#[test]
fn a_filter_counts_for_every_row_of_its_list_in_the_complexity() {
    let world = World::new();
    let complexity = |document: &str| world.measure(document, &json!({}), Access::Full).complexity;
    assert_eq!(
        complexity("{ orders(where: {name: \"x\"}, first: 7) { id } }"),
        7
    );
    assert_eq!(
        complexity(
            "{ ordersConnection(where: {name: \"x\"}, first: 7) { edges { node { id } } } }"
        ),
        7
    );
    assert_eq!(
        complexity(
            "{ orders(first: 7) { items(where: {order: {name: \"x\"}}, first: 3) { id } } }"
        ),
        7 * 3 * 2
    );
    assert_eq!(
        complexity("{ orders(where: {}) { items(where: {}) { id } } }"),
        0
    );
}

#[test]
fn a_list_counts_as_long_as_its_variable_says() {
    let world = World::new();
    const PAGES: &str = "query ($n: Int, $m: Int, $s: Boolean = false) { \
        orders(first: $n) { id items(last: $m) @skip(if: $s) { id code } } }";
    let prepared = world.prepare(PAGES);
    assert_eq!(
        prepared.measures.complexity, None,
        "not known before the variables"
    );
    let selection = |variables| world.measure(PAGES, &variables, Access::Full).selection;
    assert_eq!(
        selection(json!({ "n": 1000, "m": 200 })),
        Some(1 + 1000 * (1 + 1 + 200 * 2))
    );
    assert_eq!(
        selection(json!({ "n": 7, "m": null })),
        Some(1 + 7 * (1 + 1 + 100 * 2))
    );
    assert_eq!(selection(json!({ "n": 7, "s": true })), Some(1 + 7));
    // Filters count for as many rows.
    let filtered = "query ($n: Int) { orders(first: $n, where: {name: \"x\"}) { id } }";
    assert_eq!(
        world
            .measure(filtered, &json!({ "n": 1000 }), Access::Full)
            .complexity,
        1000
    );
    // The document alone says it otherwise.
    let constant = "query ($name: String) { orders(first: 3, where: {name: $name}) { id } }";
    assert_eq!(
        world.measure(constant, &json!({}), Access::Full).selection,
        None
    );
    let refused = |variables| {
        let limits = RequestLimits {
            complexity: Some(30_000),
            ..RequestLimits::UNLIMITED
        };
        limits
            .check_input(
                &world.measure(PAGES, &variables, Access::Full),
                &prepared.measures,
            )
            .is_err()
    };
    assert!(refused(json!({ "n": 1000 })) && !refused(json!({ "n": 100 })) && !refused(json!({})));
}

#[test]
fn a_small_page_by_a_variable_is_judged_by_its_value_and_not_as_a_hundred_rows() {
    let world = World::new();
    let limits = RequestLimits {
        complexity: Some(100),
        ..RequestLimits::UNLIMITED
    };
    let pages = "query ($n: Int) { orders(first: $n) { items(first: 3) { id code } } }";
    let check = |variables: &Value| {
        let prepared = world
            .requests
            .prepare(pages, None, &limits)
            .expect("nothing is known of its size yet");
        limits.check_input(
            &world.measure(pages, variables, Access::Full),
            &prepared.measures,
        )
    };
    // Prepared, and then kept.
    for _ in 0..2 {
        assert_eq!(check(&json!({ "n": 14 })), Ok(()));
    }
    for variables in [json!({ "n": 15 }), json!({ "n": null }), json!({})] {
        let message = check(&variables).expect_err("too much").message;
        assert!(
            message.ends_with("the limit is 100 (limits.complexity)"),
            "{message}"
        );
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
    assert_eq!(
        complexity("{ ordersConnection(first: 7) { edges { node { name } } } }"),
        7 * 4
    );
    // Beside a filter by the field; the filters' own limits are about filters only.
    assert_eq!(
        complexity("{ orders(where: {name: \"x\"}, first: 7) { name } }"),
        7 * 5 + 7 * 4
    );
    let selected = measured("{ orders(first: 7) { name } }");
    assert_eq!(
        (selected.conditions, selected.relations, selected.depth),
        (0, 0, 0)
    );
    // A viewer who reads columns pays for columns only.
    assert_eq!(world.measure(twice, &json!({}), Access::Full).complexity, 0);
    let message = RequestLimits {
        complexity: Some(40),
        ..RequestLimits::UNLIMITED
    }
    .check_input(
        &selected,
        &world.prepare("{ orders(first: 20) { name } }").measures,
    )
    .expect_err("too much")
    .message;
    assert_eq!(
        message,
        "The query has a complexity of 49 with its filters and the rules of its fields; the limit is 40 (limits.complexity)"
    );
}
