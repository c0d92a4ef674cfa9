use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// RFC 6902, as far as it is used: applied to the text of a document.
fn applied(document: &str, patch: &str) -> Value {
    let mut document: Value = serde_json::from_str(document).unwrap();
    let operations: Vec<Value> = serde_json::from_str(patch).unwrap();
    for operation in operations {
        let path = operation["path"].as_str().unwrap();
        let (parent, key) = path.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        let value = operation.get("value").cloned();
        match document.pointer_mut(parent).unwrap() {
            Value::Object(members) => match operation["op"].as_str().unwrap() {
                "add" => assert!(members.insert(key, value.unwrap()).is_none()),
                "replace" => *members.get_mut(&key).unwrap() = value.unwrap(),
                "remove" => drop(members.remove(&key).unwrap()),
                other => panic!("{other}"),
            },
            Value::Array(elements) => {
                let at: usize = key.parse().unwrap();
                match operation["op"].as_str().unwrap() {
                    "add" => elements.insert(at, value.unwrap()),
                    "replace" => elements[at] = value.unwrap(),
                    "remove" => drop(elements.remove(at)),
                    other => panic!("{other}"),
                }
            }
            other => panic!("{other} has no members"),
        }
    }
    document
}

fn operations(before: &Value, after: &Value) -> Vec<Value> {
    let patch = difference(&before.to_string(), &after.to_string()).unwrap();
    assert_eq!(applied(&before.to_string(), &patch), *after);
    serde_json::from_str(&patch).unwrap()
}

fn rows(range: std::ops::Range<usize>) -> Vec<Value> {
    let row = |at| json!({ "stage": "OPEN", "uid": at, "name": format!("row {at}"), "items": [{ "code": "a" }, { "code": "b" }] });
    range.map(row).collect()
}

#[test]
fn a_row_that_comes_first_is_one_operation_and_so_is_one_that_goes() {
    let (fewer, more) = (
        json!({ "orders": rows(1..100) }),
        json!({ "orders": rows(0..100) }),
    );
    assert_eq!(
        operations(&fewer, &more),
        [json!({ "op": "add", "path": "/orders/0", "value": rows(0..1)[0] })]
    );
    assert_eq!(
        operations(&more, &fewer),
        [json!({ "op": "remove", "path": "/orders/0" })]
    );
}

#[test]
fn a_page_that_shifts_and_a_row_that_changes_are_three_operations() {
    let before = json!({ "orders": rows(1..16) });
    let mut shifted = rows(0..15);
    shifted[7]["items"][1]["code"] = json!("c");
    assert_eq!(
        operations(&before, &json!({ "orders": shifted })),
        [
            json!({ "op": "remove", "path": "/orders/14" }),
            json!({ "op": "add", "path": "/orders/0", "value": rows(0..1)[0] }),
            json!({ "op": "replace", "path": "/orders/7/items/1/code", "value": "c" }),
        ]
    );
}

#[test]
fn a_row_that_moves_is_taken_out_and_put_in_changed() {
    let before = json!({ "orders": rows(0..50) });
    let mut moved = rows(0..50);
    let mut row = moved.remove(40);
    row["stage"] = json!("WON");
    moved.insert(0, row.clone());
    assert_eq!(
        operations(&before, &json!({ "orders": moved })),
        [
            json!({ "op": "remove", "path": "/orders/40" }),
            json!({ "op": "add", "path": "/orders/0", "value": row }),
        ]
    );
}

#[test]
fn a_renamed_row_is_found_by_what_the_others_have_in_common() {
    let named = |names: [&str; 3]| -> Value {
        let rows: Vec<Value> = names.iter().enumerate().map(|(at, name)| {
            json!({ "name": name, "uid": format!("u{at}"), "note": "the rest of the row stays as it is" })
        }).collect();
        json!({ "orders": rows })
    };
    assert_eq!(
        operations(&named(["a", "b", "c"]), &named(["b", "a", "c"])),
        [
            json!({ "op": "replace", "path": "/orders/0/name", "value": "b" }),
            json!({ "op": "replace", "path": "/orders/1/name", "value": "a" }),
        ]
    );
}

#[test]
fn numbers_keep_their_digits() {
    let filler = "x".repeat(100);
    let before = format!("{{\"a\":1.50,\"b\":\"{filler}\"}}");
    let after = format!("{{\"a\":12345678901234567890.123456789,\"b\":\"{filler}\"}}");
    assert_eq!(
        difference(&before, &after).unwrap(),
        "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":12345678901234567890.123456789}]"
    );
}

#[test]
fn names_of_json_fields_are_escaped_and_those_that_clients_refuse_are_in_no_path() {
    let filler = "x".repeat(100);
    let with = |name: &str, value: u8| json!({ "it": { "f": { name: value }, "g": filler } });
    let path = |name: &str| operations(&with(name, 1), &with(name, 2))[0]["path"].clone();
    assert_eq!(path("a/b~\"\\"), "/it/f/a~1b~0\"\\");
    assert_eq!(path(""), "/it/f/");
    for name in ["__proto__", "prototype"] {
        assert_eq!(path(name), "/it/f");
    }
}

#[test]
fn an_object_that_has_a_name_twice_is_replaced() {
    let filler = "x".repeat(100);
    let text = |b: u8| format!("{{\"f\":{{\"a\":1,\"a\":{b}}},\"g\":\"{filler}\"}}");
    assert_eq!(
        difference(&text(1), &text(2)).unwrap(),
        "[{\"op\":\"replace\",\"path\":\"/f\",\"value\":{\"a\":1,\"a\":2}}]"
    );
}

#[test]
fn no_patch_is_longer_than_the_answer_however_long_its_paths() {
    let name = "n".repeat(50_000);
    let of = |value: u8| {
        let members: serde_json::Map<String, Value> = (0..20_000)
            .map(|at| (at.to_string(), json!([value])))
            .collect();
        json!({ "f": { name.clone(): members } }).to_string()
    };
    assert_eq!(difference(&of(1), &of(2)), None);
    let deep = |value: u8| format!("{}{value}{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    let patch = difference(&deep(1), &deep(2)).unwrap();
    let path = "/a".repeat(MAX_DEPTH);
    assert!(patch.contains(&format!("\"path\":\"{path}\"")));
}

#[test]
fn a_list_of_too_many_that_differ_is_replaced_and_one_with_few_is_not() {
    let filler = "x".repeat(200_000);
    let list = |from: usize| -> Value {
        let numbers: Vec<usize> = (from..from + MAX_ALIGNED + 2).collect();
        json!({ "f": numbers, "g": filler })
    };
    let replaced = operations(&list(0), &list(1));
    assert_eq!(
        (&replaced[0]["op"], &replaced[0]["path"]),
        (&json!("replace"), &json!("/f"))
    );
    let mut one = list(0);
    one["f"][3] = json!(0);
    assert_eq!(operations(&list(0), &one).len(), 2);
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..4_i32).prop_map(Value::from),
        "[ab~/\"]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let row = (0..5_u8, inner.clone())
            .prop_map(|(id, rest)| json!({ "id": id, "rest": rest, "note": "as long as a row" }));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(row, 0..6).prop_map(Value::from),
            prop::collection::hash_map("[ab~/]{0,2}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_patch_makes_the_next_answer_of_the_last_one(
        before in document(), after in document(), filler in prop_oneof![Just(0_usize), Just(2_000)]
    ) {
        let answer = |value: &Value| json!({ "a": value, "b": "x".repeat(filler) });
        let (before, after) = (answer(&before), answer(&after));
        match difference(&before.to_string(), &after.to_string()) {
            Some(patch) => prop_assert_eq!(applied(&before.to_string(), &patch), after),
            None => prop_assert_eq!(filler, 0, "a patch would be shorter"),
        }
    }
}
