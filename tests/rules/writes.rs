//! What a viewer may write: own rows only, before and after, however the write is nested.

use gom_server::identity::Viewer;
use serde_json::{Value, json};

use gom_test_support::demo_shop::{PALETAS, Shop, TACOS, customer, seller};

const OWN_ORDER: &str = "cdemoorder000000000000001";
const FOREIGN_ORDER: &str = "cdemoorder000000000000007";

/// All rows of all tables but those of the seller's own shop.
async fn rest(shop: &Shop, viewer: &Viewer) -> String {
    let all = shop
        .read(
            &Viewer::Service,
            "{ users { uid extUid customers { uid } } bps { uid name1 updatedAt customerOf { uid } orders { uid } }
               orders { uid name stage updatedAt assignedTo { uid } issuedTo { uid } items { uid } }
               items { uid quantity order { uid } } promotions { uid name orders { uid } } }",
        )
        .await;
    let own = shop
        .read(
            viewer,
            "{ user(where: { extUid: \"auth0|demo-paletas\" }) { uid } orders { uid } bps { uid } }",
        )
        .await;
    let own = own.to_string();
    let foreign = |row: &&Value| !own.contains(row["uid"].as_str().unwrap());
    ["users", "bps", "orders"]
        .iter()
        .flat_map(|list| {
            all[*list]
                .as_array()
                .unwrap()
                .iter()
                .filter(foreign)
                .map(Value::to_string)
        })
        .collect()
}

/// The write is refused as not the viewer's, and nothing has changed at all.
async fn refused(shop: &Shop, viewer: &Viewer, text: &str, variables: Value) {
    let dump = "{ users { extUid business customers { uid } } bps { uid name1 updatedAt customerOf { uid } }
                  orders { uid name stage updatedAt assignedTo { uid } issuedTo { uid } promotions { uid } }
                  items { uid quantity order { uid } pricing { uid amount } } promotions { uid name } }";
    let before = shop.read(&Viewer::Service, dump).await;
    let response = shop.ask(viewer, text, variables).await;
    assert_eq!(response.code(), "FORBIDDEN", "{text}");
    assert_eq!(shop.read(&Viewer::Service, dump).await, before, "{text}");
}

#[actix::test]
async fn a_seller_writes_its_own_shop() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let others = rest(&shop, &paletas).await;
    let create = "mutation($data: OrderCreateInput!) { createOrder(data: $data) {
                      uid name stage issuedTo { uid } assignedTo { extUid } items { quantity pricing { amount } } } }";
    let response = shop
        .ask(
            &paletas,
            create,
            json!({ "data": { "name": "New", "assignedTo": { "connect": { "extUid": PALETAS } },
                "issuedTo": { "connect": { "uid": "cdemobp000000000000000001" } },
                "items": { "create": [{ "quantity": 2, "pricing": { "create": { "amount": 3.5, "currency": "MXN" } } }] } } }),
        )
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
    let uid = response.data["createOrder"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        response.data["createOrder"]["items"],
        json!([{ "quantity": 2, "pricing": [{ "amount": 3.5 }] }])
    );

    let update = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { stage items { uid quantity } } }";
    let response = shop
        .ask(
            &paletas,
            update,
            json!({ "uid": uid, "data": { "stage": "WON" } }),
        )
        .await;
    assert_eq!(response.data["updateOrder"]["stage"], "WON", "{response:?}");
    let item = response.data["updateOrder"]["items"][0]["uid"].clone();
    let data =
        json!({ "items": { "update": { "where": { "uid": item }, "data": { "quantity": 9 } } } });
    let response = shop
        .ask(&paletas, update, json!({ "uid": uid, "data": data }))
        .await;
    assert_eq!(
        response.data["updateOrder"]["items"][0]["quantity"], 9,
        "{response:?}"
    );
    let data = json!({ "items": { "delete": { "uid": item } } });
    let response = shop
        .ask(&paletas, update, json!({ "uid": uid, "data": data }))
        .await;
    assert_eq!(
        response.data["updateOrder"]["items"],
        json!([]),
        "{response:?}"
    );

    let create = "mutation($data: BpCreateInput!) { createBp(data: $data) { uid extUid } }";
    let data = json!({ "name1": "Luz", "extUid": "mine", "customerOf": { "connect": { "extUid": PALETAS } } });
    let response = shop.ask(&paletas, create, json!({ "data": data })).await;
    let code = response.data["createBp"]["extUid"].as_str().unwrap();
    assert!(
        code.len() == 10 && code.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{response:?}"
    );
    assert_eq!(
        rest(&shop, &paletas).await,
        others,
        "nobody else's rows have changed"
    );
}

#[actix::test]
async fn nobody_writes_into_the_shop_of_another() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let update = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }";
    let of = |uid: &str, data: Value| json!({ "uid": uid, "data": data });
    // Foreign and missing rows are refused alike.
    for uid in [FOREIGN_ORDER, "nothing"] {
        refused(
            &shop,
            &paletas,
            update,
            of(uid, json!({ "name": "mine now" })),
        )
        .await;
        refused(
            &shop,
            &paletas,
            update,
            of(uid, json!({ "items": { "deleteMany": {} } })),
        )
        .await;
    }
    for data in [
        json!({ "assignedTo": { "connect": { "extUid": TACOS } } }),
        json!({ "issuedTo": { "connect": { "extUid": "DemoCode06" } } }),
        json!({ "issuedTo": { "connect": { "extUid": "nothing000" } } }),
        json!({ "assignedTo": { "update": { "business": "x" } } }),
        json!({ "issuedTo": { "update": { "name1": "x" } } }),
        json!({ "issuedTo": { "create": { "name1": "x" } } }),
        json!({ "items": { "connect": { "uid": "cdemoitem0000000000000071" } } }),
        json!({ "items": { "update": { "where": { "uid": "cdemoitem0000000000000071" }, "data": { "quantity": 0 } } } }),
        json!({ "items": { "delete": { "uid": "cdemoitem0000000000000071" } } }),
        json!({ "promotions": { "create": { "code": "x", "name": "x", "assignedTo": { "connect": { "extUid": PALETAS } } } } }),
    ] {
        refused(&shop, &paletas, update, of(OWN_ORDER, data)).await;
    }
    let create = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }";
    let order = |seller: &str, customer: &str| {
        json!({ "data": { "name": "x", "assignedTo": { "connect": { "extUid": seller } },
                          "issuedTo": { "connect": { "extUid": customer } } } })
    };
    refused(&shop, &paletas, create, order(TACOS, "DemoCode02")).await;
    refused(&shop, &paletas, create, order(PALETAS, "DemoCode06")).await;
    let shared = customer("cdemobp000000000000000002");
    refused(&shop, &shared, create, order(PALETAS, "DemoCode01")).await;
    // A customer orders from the shop that the login was for.
    refused(&shop, &shared, create, order(TACOS, "DemoCode02")).await;
    let response = shop
        .ask(&shared, create, order(PALETAS, "DemoCode02"))
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
    let lonely = customer("cdemobp000000000000000001");
    refused(&shop, &lonely, create, order(TACOS, "DemoCode01")).await;

    let create = "mutation($data: BpCreateInput!) { createBp(data: $data) { uid } }";
    // A customer that would be nobody's, hence not seen again.
    refused(&shop, &paletas, create, json!({ "data": { "name1": "x" } })).await;
    refused(
        &shop,
        &paletas,
        create,
        json!({ "data": { "name1": "x", "customerOf": { "connect": { "extUid": TACOS } } } }),
    )
    .await;
    for text in [
        "mutation { createItem(data: { order: { connect: { uid: \"cdemoorder000000000000001\" } } }) { uid } }",
        "mutation { updateManyOrders(data: { name: \"x\" }) { count } }",
        "mutation { deleteManyBps { count } }",
        "mutation { upsertBp(where: { uid: \"x\" }, create: { name1: \"x\" }, update: {}) { uid } }",
    ] {
        refused(&shop, &paletas, text, json!({})).await;
    }
}

#[actix::test]
async fn neither_seller_of_a_shared_customer_deletes_or_disconnects_it() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    shop.tables
        .batch_execute("update \"Order\" set stage = 'CLOSED'")
        .await
        .unwrap();
    refused(
        &shop,
        &paletas,
        "mutation { deleteBp(where: { uid: \"cdemobp000000000000000002\" }) { uid } }",
        json!({}),
    )
    .await;
    // `set` replaces what the seller sees: the other's link stays.
    let text = "mutation($data: BpUpdateInput!) { updateBp(where: { uid: \"cdemobp000000000000000002\" }, data: $data) { customerOf { extUid } } }";
    let response = shop
        .ask(
            &paletas,
            text,
            json!({ "data": { "customerOf": { "set": [{ "extUid": PALETAS }] } } }),
        )
        .await;
    assert_eq!(
        response.data["updateBp"]["customerOf"],
        json!([{ "extUid": PALETAS }]),
        "{response:?}"
    );
    assert_eq!(
        shop.count(
            "select count(*) from \"_CustomerOf\" where \"A\" = 'cdemobp000000000000000002'"
        )
        .await,
        2
    );
    // A seller cannot give up a customer: the row would no longer be the seller's.
    refused(
        &shop,
        &paletas,
        text,
        json!({ "data": { "customerOf": { "set": [] } } }),
    )
    .await;
    refused(
        &shop,
        &paletas,
        text,
        json!({ "data": { "customerOf": { "disconnect": { "extUid": PALETAS } } } }),
    )
    .await;
    refused(
        &shop,
        &paletas,
        text,
        json!({ "data": { "customerOf": { "disconnect": { "extUid": TACOS } } } }),
    )
    .await;
}

#[actix::test]
async fn a_seller_sees_but_does_not_change_customers_who_only_ordered() {
    let shop = Shop::open().await;
    shop.tables
        .batch_execute("delete from \"_CustomerOf\" where \"A\" = 'cdemobp000000000000000001'")
        .await
        .unwrap();
    let paletas = seller(PALETAS);
    let data = shop
        .read(
            &paletas,
            "{ bp(where: { uid: \"cdemobp000000000000000001\" }) { name1 } }",
        )
        .await;
    assert_eq!(data["bp"]["name1"], "María");
    let text = "mutation { updateBp(where: { uid: \"cdemobp000000000000000001\" }, data: { name1: \"x\" }) { uid } }";
    refused(&shop, &paletas, text, json!({})).await;
}

#[actix::test]
async fn only_the_server_stamps_the_writer_of_a_row() {
    let shop = Shop::open().await;
    let text = "mutation($data: OrderUpdateInput!) { updateOrder(where: { uid: \"cdemoorder000000000000001\" }, data: $data) {
                    createdBy updatedBy items { createdBy updatedBy quantity pricing { createdBy updatedBy } } } }";
    shop.tables
        .batch_execute("update \"Order\" set \"createdBy\" = 'x', \"updatedBy\" = 'x'; update \"Item\" set \"createdBy\" = 'x', \"updatedBy\" = 'x'")
        .await
        .unwrap();
    let data = json!({ "name": "n", "createdBy": "me", "updatedBy": "me", "items": {
        "update": { "where": { "uid": "cdemoitem0000000000000011" }, "data": { "quantity": 5, "updatedBy": "me" } },
        "create": { "quantity": 77, "createdBy": "me", "pricing": { "create": { "amount": 1, "currency": "MXN", "updatedBy": "me" } } } } });
    let response = shop
        .ask(&seller(PALETAS), text, json!({ "data": data }))
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
    let order = &response.data["updateOrder"];
    assert_eq!(
        (&order["createdBy"], &order["updatedBy"]),
        (&json!("x"), &json!(PALETAS))
    );
    for item in order["items"].as_array().unwrap() {
        let (created, updated) = match item["quantity"].as_f64().unwrap() {
            5.0 => ("x", PALETAS),
            77.0 => (PALETAS, PALETAS),
            _ => ("x", "x"),
        };
        assert_eq!(
            (item["createdBy"].as_str(), item["updatedBy"].as_str()),
            (Some(created), Some(updated))
        );
        if created == PALETAS {
            assert_eq!(
                item["pricing"],
                json!([{ "createdBy": PALETAS, "updatedBy": PALETAS }])
            );
        }
    }
}
