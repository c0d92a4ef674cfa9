use gom_actors::live::Owner;
use gom_runtime::waiting::Reader;
use serde_json::{Value, json};

use super::*;
use crate::graphql::Fragment;

fn patches() -> Patches {
    Patches::new(kept_answers().account(&Reader::from(&Owner::User("a".into()))))
}

fn answer(orders: &str) -> Answer {
    Answer {
        data: Data::Fields(vec![("orders".into(), Fragment::Text(orders.into()))]),
        errors: vec![],
        cursor: AnswerCursor::None,
    }
}

fn sent(patches: &mut Patches, answer: &Answer) -> Value {
    let comparable = Comparable::of(&answer.data);
    let message = patches.message(answer, &comparable, &answer.cursor, "r-1");
    serde_json::from_slice(&message).unwrap()
}

const LONG: &str =
    "a name that is longer than an operation of a patch, and its path, and its value together";

fn orders(stages: &[&str]) -> String {
    let rows: Vec<Value> = (0..stages.len())
        .map(|at| json!({ "uid": at, "name": LONG, "stage": stages[at] }))
        .collect();
    Value::from(rows).to_string()
}

#[test]
fn the_first_answer_is_whole_and_the_next_ones_are_patches() {
    let mut patches = patches();
    let first = sent(&mut patches, &answer(&orders(&["OPEN", "OPEN"])));
    assert_eq!(first["revision"], 1);
    assert_eq!(first["data"]["orders"][1]["stage"], "OPEN");
    for (revision, stage) in [(2, "WON"), (3, "LOST")] {
        let mut next = answer(&orders(&["OPEN", stage]));
        next.cursor = AnswerCursor::At("ab".into());
        let operation = json!({ "op": "replace", "path": "/orders/1/stage", "value": stage });
        assert_eq!(
            sent(&mut patches, &next),
            json!({ "patch": [operation], "extensions": { "cursor": "ab" }, "revision": revision })
        );
    }
}

#[test]
fn errors_travel_beside_the_patch() {
    let mut patches = patches();
    sent(&mut patches, &answer(&orders(&["OPEN"])));
    let mut next = answer(&orders(&["WON"]));
    next.errors = vec![ApiError::new(
        gom_engine::error::ErrorKind::Execution,
        "hidden",
    )];
    let with_errors = sent(&mut patches, &next);
    assert_eq!(with_errors["revision"], 2);
    assert_eq!(with_errors["patch"].as_array().unwrap().len(), 1);
    assert_eq!(with_errors["errors"][0]["message"], "hidden");
    // The errors are gone, and the data is the same.
    assert_eq!(
        sent(&mut patches, &answer(&orders(&["WON"]))),
        json!({ "patch": [], "revision": 3 })
    );
}

#[test]
fn an_answer_without_data_has_no_revision_and_the_next_one_is_whole() {
    let mut patches = patches();
    sent(&mut patches, &answer(&orders(&["OPEN"])));
    let null = Answer {
        data: Data::Null,
        errors: vec![ApiError::new(
            gom_engine::error::ErrorKind::Execution,
            "hidden",
        )],
        cursor: AnswerCursor::None,
    };
    let without = sent(&mut patches, &null);
    assert_eq!(without["data"], Value::Null);
    assert!(without.get("revision").is_none(), "{without}");
    let next = sent(&mut patches, &answer(&orders(&["OPEN"])));
    assert_eq!(
        (&next["revision"], next["data"].is_object()),
        (&json!(1), true)
    );
}

#[test]
fn what_is_shorter_as_a_whole_starts_over() {
    let mut patches = patches();
    sent(&mut patches, &answer("[1]"));
    assert_eq!(
        sent(&mut patches, &answer("[2]")),
        json!({ "data": { "orders": [2] }, "revision": 1 })
    );
}

#[test]
fn large_answers_are_not_kept_and_neither_is_more_than_a_user_may() {
    let kept = kept_answers();
    let account = kept.account(&Reader::from(&Owner::User("a".into())));
    let large = |fill: usize| {
        let filled = "x".repeat(fill);
        answer(&json!([{ "uid": 1, "name": filled, "stage": "OPEN" }]).to_string())
    };
    let mut too_large = Patches::new(Arc::clone(&account));
    for _ in 0..2 {
        assert_eq!(sent(&mut too_large, &large(MAX_COMPARED))["revision"], 1);
        assert_eq!(account.bytes(), 0);
    }
    let mut all: Vec<Patches> = (0..20)
        .map(|_| Patches::new(Arc::clone(&account)))
        .collect();
    for one in &mut all {
        sent(one, &large(MAX_COMPARED - 100));
        assert!(account.bytes() < KEPT.user + MAX_COMPARED);
    }
    let next = answer(
        &json!([{ "uid": 1, "name": "x".repeat(MAX_COMPARED - 100), "stage": "WON" }]).to_string(),
    );
    assert_eq!(sent(&mut all[0], &next)["revision"], 2);
    assert_eq!(
        sent(&mut all[19], &next)["revision"],
        1,
        "there is no room for it"
    );
    drop(all);
    assert_eq!(account.bytes(), 0);
}

#[test]
fn only_the_format_that_there_is_can_be_asked_for() {
    let request = |patch: Value| Request {
        extensions: crate::graphql::Extensions::new([(PATCH.to_owned(), patch)]),
        ..Request::default()
    };
    assert_eq!(wants_patches(&Request::default()), Ok(false));
    assert_eq!(wants_patches(&request(Value::Null)), Ok(false));
    assert_eq!(wants_patches(&request(json!("json-patch"))), Ok(true));
    for other in [json!(true), json!("merge-patch"), json!({})] {
        let refused = wants_patches(&request(other)).unwrap_err();
        assert_eq!(
            refused.message,
            "extensions.patch: the format of patches is \"json-patch\", and there is no other"
        );
        assert!(without_patches(&request(json!(1))).is_err());
    }
}

#[test]
fn subscribers_that_show_the_same_share_one_difference() {
    let (mut one, mut other) = (patches(), patches());
    let (first, next) = (answer(&orders(&["OPEN"])), answer(&orders(&["WON"])));
    // They have joined one after the other, and the data was the same.
    let joined = [&mut one, &mut other].map(|subscriber| {
        let comparable = Comparable::of(&first.data);
        subscriber.message(&first, &comparable, &first.cursor, "r-1");
        comparable
    });
    let comparable = Comparable::of(&next.data);
    let messages = [&mut one, &mut other]
        .map(|subscriber| subscriber.message(&next, &comparable, &next.cursor, "r-1"));
    assert_eq!(messages[0], messages[1]);
    // Made once, from what the first of them was sent.
    let made = comparable.made.lock().unwrap().clone().unwrap();
    assert!(Arc::ptr_eq(&made.from, joined[0].data.as_ref().unwrap()));
}
