//! The form of payloads.

use gom_engine::events::NodeChange;
use gom_test_support::TestDatabase;
use serde_json::{Value, json};

use crate::session::Session;
use crate::world::{SCHEMA, World};

const TEXT: &str = "subscription($where: ThingSubscriptionWhereInput) { it: thing(where: $where) {
  __typename kind: mutation updatedFields
  node { id name amount time json tags times crate { note } }
  previousValues { id name amount time json tags times __typename }
} }";

/// The messages of what a transaction does, in order.
async fn messages(world: &World, client: &Session, sql: &str) -> Vec<Value> {
    let sql =
        format!("set search_path = \"{SCHEMA}\"; begin; {sql}; commit; set search_path to default");
    let changes = crate::log::run(client, world, &sql).await;
    let subscription = world.compile(TEXT, &json!({}), None);
    let things: Vec<&NodeChange> = changes
        .iter()
        .filter(|c| c.model == subscription.model())
        .collect();
    let delivered = crate::delivered(client, world, &subscription, &things).await;
    let message = |payload: &String| {
        let completed = world.planner.message(&subscription, payload);
        assert!(completed.errors.is_empty());
        serde_json::from_str(&completed.answer.unwrap()).unwrap()
    };
    delivered.values().map(message).collect()
}

#[tokio::test]
async fn payloads_have_the_documented_form() {
    let test = TestDatabase::create().await;
    let mut client = Session::open(&test).await;
    let world = World::create(&mut client).await;
    let created = messages(
        &world,
        &client,
        r#"insert into "Crate" (id, note) values ('00000000-0000-4000-8000-000000000001', 'here');
           insert into "Thing" (id, name, amount, time, json, "crate") values
             ('n1', 'a', 1.50, '2020-01-01 00:00:00.5', '{"b": 1, "a": [1,2]}', '00000000-0000-4000-8000-000000000001');
           insert into "Thing_times" values ('n1', 1000, '2020-01-01 00:00:01')"#,
    )
    .await;
    let row = json!({
        "id": "n1", "name": "a", "amount": 1.5, "time": "2020-01-01T00:00:00.500Z", "json": {"b": 1, "a": [1, 2]},
        "tags": [], "times": ["2020-01-01T00:00:01.000Z"],
    });
    let with = |row: &Value, more: Value| {
        let mut row = row.clone();
        row.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        row
    };
    let node = with(&row, json!({"crate": {"note": "here"}}));
    assert_eq!(
        created,
        [json!({"it": {
            "__typename": "ThingSubscriptionPayload", "kind": "CREATED", "updatedFields": null,
            "node": node, "previousValues": null,
        }})]
    );
    let previous = |row: &Value| with(row, json!({"__typename": "ThingPreviousValues"}));
    let updated = messages(
        &world,
        &client,
        r#"update "Thing" set name = 'b', amount = 2 where id = 'n1';
           delete from "Thing_times"; insert into "Thing_tags" values ('n1', 1000, 'x')"#,
    )
    .await;
    let changed = with(
        &row,
        json!({"name": "b", "amount": 2, "times": [], "tags": ["x"]}),
    );
    let mut shown = updated[0]["it"].clone();
    assert_eq!(
        shown["node"].as_object_mut().unwrap().remove("crate"),
        Some(json!({"note": "here"}))
    );
    assert_eq!(
        [
            &shown["node"],
            &shown["previousValues"],
            &shown["updatedFields"]
        ],
        [
            &changed,
            &previous(&row),
            &json!(["name", "amount", "tags", "times"])
        ]
    );
    // Nothing of its own changed, so its values before are those that it has.
    let linked = messages(
        &world,
        &client,
        r#"insert into "Thing" (id, name, parent) values ('n2', 'c', 'n1')"#,
    )
    .await;
    let parent = linked
        .iter()
        .find(|message| message["it"]["kind"] == "UPDATED")
        .unwrap();
    assert_eq!(parent["it"]["updatedFields"], json!(["children"]));
    assert_eq!(parent["it"]["previousValues"], previous(&changed));
    let deleted = messages(&world, &client, r#"delete from "Thing" where id = 'n1'"#).await;
    let gone = deleted
        .iter()
        .find(|message| message["it"]["kind"] == "DELETED")
        .unwrap();
    assert_eq!(
        gone["it"],
        json!({
            "__typename": "ThingSubscriptionPayload", "kind": "DELETED", "updatedFields": null, "node": null,
            "previousValues": previous(&changed),
        })
    );
}
