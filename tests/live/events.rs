//! Which writes cause events, and what the events contain.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stream::Stream;
use crate::{ask, order, shop};

const ORDERS: &str = "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) {
    mutation updatedFields node { name items { quantity pricing { amount } } } previousValues { name stage } } }";

fn of(seller: &str) -> Value {
    json!({ "where": { "node": { "assignedTo": { "extUid": seller } } } })
}

#[actix_web::test]
async fn every_kind_of_write_causes_one_event_for_its_subscribers() {
    let (app, tables) = shop().await;
    let mut one = Stream::open(&app, ORDERS, of("one"), None).await;
    let mut two = Stream::open(&app, ORDERS, of("two"), None).await;
    one.beginning().await;
    two.beginning().await;

    let uid = order(&app, "one", "first").await;
    let created = one.data().await;
    assert_eq!(
        created,
        json!({ "order": {
            "mutation": "CREATED", "updatedFields": null, "previousValues": null,
            "node": { "name": "first", "items": [{ "quantity": 1, "pricing": [{ "amount": 2.5 }] }] },
        } })
    );

    // Only what is below it: the order page of the client lives on this event.
    let update = "mutation($where: OrderWhereUniqueInput!, $data: OrderUpdateInput!) { updateOrder(where: $where, data: $data) { uid } }";
    let item = ask(&app, "{ items { uid } }", json!({})).await["items"][0]["uid"].clone();
    let nested =
        json!({ "items": { "update": [{ "where": { "uid": item }, "data": { "quantity": 7 } }] } });
    ask(
        &app,
        update,
        json!({ "where": { "uid": uid }, "data": nested }),
    )
    .await;
    let nested = one.data().await["order"].clone();
    assert_eq!(
        (&nested["mutation"], &nested["node"]["items"][0]["quantity"]),
        (&json!("UPDATED"), &json!(7))
    );
    assert_eq!(nested["previousValues"]["name"], "first");

    ask(
        &app,
        update,
        json!({ "where": { "uid": uid }, "data": { "name": "second", "stage": "WON" } }),
    )
    .await;
    let updated = one.data().await["order"].clone();
    assert_eq!(
        updated["updatedFields"],
        json!(["name", "stage", "updatedAt"])
    );
    assert_eq!(
        updated["previousValues"],
        json!({ "name": "first", "stage": "OPEN" })
    );
    assert_eq!(updated["node"]["name"], "second");

    let many = "mutation { updateManyOrders(where: { name: \"second\" }, data: { name: \"third\" }) { count } }";
    ask(&app, many, json!({})).await;
    assert_eq!(one.data().await["order"]["node"]["name"], "third");

    // Past the server.
    tables
        .execute(
            "update \"Order\" set name = 'by hand' where uid = $1",
            &[&uid],
        )
        .await
        .unwrap();
    let by_hand = one.data().await["order"].clone();
    assert_eq!(
        (&by_hand["updatedFields"], &by_hand["node"]["name"]),
        (&json!(["name"]), &json!("by hand"))
    );

    let seller = ask(
        &app,
        "mutation { deleteUser(where: { extUid: \"one\" }) { uid } }",
        json!({}),
    )
    .await;
    assert!(seller["deleteUser"]["uid"].is_string());
    let deleted = one.data().await["order"].clone();
    assert_eq!(
        deleted["mutation"], "DELETED",
        "by the cascade, and by its values before"
    );
    assert_eq!(
        (&deleted["node"], &deleted["previousValues"]["name"]),
        (&Value::Null, &json!("by hand"))
    );

    order(&app, "two", "theirs").await;
    assert_eq!(
        two.data().await["order"]["node"]["name"],
        "theirs",
        "the first that concerns them"
    );
    assert_eq!(one.within(Duration::from_millis(200)).await, None);
}

#[actix_web::test]
async fn keys_that_are_called_like_rows_of_our_statements_are_keys() {
    let (app, _) = shop().await;
    let text = "subscription { t1: order { t3: mutation t2: node { t4: name t1: items { t2: quantity } } t5: previousValues { t2: name } } }";
    let mut stream = Stream::open(&app, text, json!({}), None).await;
    stream.beginning().await;
    order(&app, "one", "first").await;
    let node = json!({ "t4": "first", "t1": [{ "t2": 1 }] });
    assert_eq!(
        stream.data().await,
        json!({ "t1": { "t3": "CREATED", "t2": node, "t5": null } })
    );
    ask(
        &app,
        "mutation { updateManyOrders(data: { name: \"second\" }) { t1: count } }",
        json!({}),
    )
    .await;
    let event = stream.data().await["t1"].clone();
    assert_eq!(
        (&event["t2"]["t4"], &event["t5"]),
        (&json!("second"), &json!({ "t2": "first" }))
    );
    ask(
        &app,
        "mutation { deleteManyOrders { t1: count } }",
        json!({}),
    )
    .await;
    assert_eq!(
        stream.data().await["t1"],
        json!({ "t3": "DELETED", "t2": null, "t5": { "t2": "second" } })
    );
}

#[actix_web::test]
async fn an_order_that_changes_its_seller_is_created_for_the_new_one() {
    let (app, _) = shop().await;
    let uid = order(&app, "one", "moving").await;
    let mut one = Stream::open(&app, ORDERS, of("one"), None).await;
    let mut two = Stream::open(&app, ORDERS, of("two"), None).await;
    one.beginning().await;
    two.beginning().await;
    let users = "subscription { user { mutation updatedFields node { extUid } } }";
    let mut users = Stream::open(&app, users, json!({}), None).await;
    users.beginning().await;
    let update = "mutation($uid: ID!) { updateOrder(where: { uid: $uid }, data: { assignedTo: { connect: { extUid: \"two\" } } }) { uid } }";
    ask(&app, update, json!({ "uid": uid })).await;
    let moved = two.data().await["order"].clone();
    assert_eq!(moved["mutation"], "UPDATED");
    assert!(
        moved["updatedFields"]
            .as_array()
            .unwrap()
            .contains(&json!("assignedTo")),
        "{moved}"
    );
    assert_eq!(one.within(Duration::from_millis(200)).await, None);
    // A link has two ends.
    let mut received = vec![
        users.data().await["user"].clone(),
        users.data().await["user"].clone(),
    ];
    received.sort_by_key(|event| event["node"]["extUid"].as_str().unwrap().to_owned());
    let both = ["one", "two"].map(
        |seller| json!({ "mutation": "UPDATED", "updatedFields": ["orders"], "node": { "extUid": seller } }),
    );
    assert_eq!(received, both);
}

#[actix_web::test]
async fn conditions_are_combined_as_they_are_written() {
    let (app, _) = shop().await;
    let where_ = json!({ "where": { "OR": [
        { "mutation_in": ["CREATED"] },
        { "AND": [{ "updatedFields_contains_some": ["stage"] }, { "NOT": [{ "node": { "name": "quiet" } }] }] },
    ] } });
    let mut orders = Stream::open(&app, ORDERS, where_, None).await;
    orders.beginning().await;
    let mut uids = Vec::new();
    for name in ["quiet", "loud"] {
        uids.push(order(&app, "one", name).await);
        assert_eq!(orders.data().await["order"]["mutation"], "CREATED");
    }
    let update = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }";
    for (place, data) in [
        (0, json!({ "stage": "WON" })),
        (1, json!({ "name": "louder" })),
        (1, json!({ "stage": "WON" })),
    ] {
        ask(&app, update, json!({ "uid": uids[place], "data": data })).await;
    }
    let event = orders.data().await["order"].clone();
    assert_eq!(
        (&event["mutation"], &event["node"]["name"]),
        (&json!("UPDATED"), &json!("louder"))
    );
    assert_eq!(event["updatedFields"], json!(["stage", "updatedAt"]));
}

#[actix_web::test]
async fn events_of_nested_creates_come_in_the_order_of_writing() {
    let (app, _) = shop().await;
    let mut items = Stream::open(
        &app,
        "subscription { item { node { quantity } } }",
        json!({}),
        None,
    )
    .await;
    let mut orders = Stream::open(
        &app,
        "subscription { order { node { name } } }",
        json!({}),
        None,
    )
    .await;
    items.beginning().await;
    orders.beginning().await;
    let quantities = [1, 2, 3, 4, 5, 6];
    let new: Vec<Value> = quantities
        .iter()
        .map(|n| json!({ "quantity": n }))
        .collect();
    let names = ["a", "b", "c", "d", "e", "f"];
    // Partners are looked up while a row is inserted, and where there is none that is found afterwards: of some of these.
    let nested: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let customer = match n % 3 {
                0 => json!({ "create": { "name1": name } }),
                _ => json!({ "connect": { "extUid": "c1" } }),
            };
            let items = if n == 2 {
                json!({ "create": new })
            } else {
                json!({})
            };
            json!({ "name": name, "issuedTo": customer, "items": items })
        })
        .collect();
    let data = json!({ "extUid": "three", "business": "Flan", "orders": { "create": nested } });
    let create = "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }";
    ask(&app, create, json!({ "data": data })).await;
    for name in names {
        assert_eq!(orders.data().await["order"]["node"]["name"], name);
    }
    for quantity in quantities {
        assert_eq!(items.data().await["item"]["node"]["quantity"], quantity);
    }
}
