//! What a seller's write claims: rows that change hands meanwhile, and partners that may only be seen.

use gom_server::identity::Viewer;
use serde_json::{Value, json};

use gom_test_support::demo_shop::{PALETAS, Shop, TACOS, seller};

/// Of both sellers.
const SHARED: &str = "cdemobp000000000000000002";
const OWN: &str = "cdemobp000000000000000001";
const ORDER: &str = "cdemoorder000000000000001";
const OTHERS_ORDER: &str = "cdemoorder000000000000007";

async fn done(shop: &Shop, viewer: &Viewer, text: &str) -> Value {
    shop.read(viewer, &format!("mutation {{ {text} }}")).await
}

async fn uid_of(shop: &Shop, subject: &str) -> String {
    shop.text(&format!(
        "select \"uid\" from \"User\" where \"extUid\" = '{subject}'"
    ))
    .await
    .unwrap()
}

/// R3b
#[actix::test]
async fn a_customer_who_is_given_to_another_seller_meanwhile_is_not_changed() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let tacos = uid_of(&shop, TACOS).await;
    let give = format!(
        "delete from \"_CustomerOf\" where \"A\" = '{OWN}'; insert into \"_CustomerOf\" (\"A\", \"B\") values ('{OWN}', '{tacos}');
         update \"Order\" set \"assignedTo\" = '{tacos}' where \"issuedTo\" = '{OWN}';
         update \"Bp\" set \"name1\" = 'given away', \"updatedBy\" = 'it' where \"uid\" = '{OWN}'"
    );
    let text = format!(
        "mutation {{ updateBp(where: {{uid: \"{OWN}\"}}, data: {{name1: \"mine\"}}) {{ uid name1 }} }}"
    );
    let response = shop.ask_beside(&give, &paletas, &text, json!({})).await;
    assert_eq!(response.code(), "FORBIDDEN", "{response:?}");
    let row = format!(
        "select concat_ws(' ', \"name1\", \"updatedBy\") from \"Bp\" where \"uid\" = '{OWN}'"
    );
    assert_eq!(shop.text(&row).await.as_deref(), Some("given away it"));
}

/// A promotion is not tied to an order that moves to another shop at that moment.
#[actix::test]
async fn a_row_that_is_given_away_meanwhile_is_not_linked() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let (tacos, customer) = (uid_of(&shop, TACOS).await, SHARED);
    let text = format!(
        "createPromotion(data: {{code: \"N\", name: \"N\", assignedTo: {{connect: {{extUid: \"{PALETAS}\"}}}}}}) {{ uid }}"
    );
    let promotion = done(&shop, &paletas, &text).await["createPromotion"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let give = format!(
        "update \"Order\" set \"assignedTo\" = '{tacos}', \"issuedTo\" = '{customer}' where \"uid\" = '{ORDER}'"
    );
    let text = format!(
        "mutation {{ updatePromotion(where: {{uid: \"{promotion}\"}}, data: {{orders: {{connect: [{{uid: \"{ORDER}\"}}]}}}}) {{ uid }} }}"
    );
    let response = shop.ask_beside(&give, &paletas, &text, json!({})).await;
    assert_eq!(response.code(), "FORBIDDEN", "{response:?}");
    assert_eq!(
        shop.count(&format!(
            "select count(*) from \"_OrderPromo\" where \"A\" = '{promotion}' or \"B\" = '{promotion}'"
        ))
        .await,
        0
    );
}

/// 3 of the engine
#[actix::test]
async fn a_seller_sets_the_items_that_an_order_has_already() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let items = format!(
        "select string_agg(\"uid\", ' ' order by \"uid\") from \"Item\" where \"order\" = '{ORDER}'"
    );
    let before = shop.text(&items).await.unwrap();
    let all: Vec<Value> = before.split(' ').map(|uid| json!({ "uid": uid })).collect();
    let text = "mutation($data: OrderUpdateInput!) { updateOrder(where: {uid: \"cdemoorder000000000000001\"}, data: $data) { items { uid } } }";
    let response = shop
        .ask(
            &paletas,
            text,
            json!({ "data": { "items": { "set": all } } }),
        )
        .await;
    assert_eq!(
        response.data["updateOrder"]["items"],
        json!(all),
        "{response:?}"
    );
    let response = shop
        .ask(
            &paletas,
            text,
            json!({ "data": { "items": { "connect": all[..1] } } }),
        )
        .await;
    assert!(response.errors.is_empty(), "{response:?}");
    assert_eq!(shop.text(&items).await.unwrap(), before);
}

/// R6
#[actix::test]
async fn a_row_whose_link_is_written_says_who_wrote_it() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let written = format!(
        "select concat_ws(' ', \"issuedTo\", \"updatedBy\") from \"Order\" where \"uid\" = '{ORDER}'"
    );
    shop.tables
        .batch_execute("update \"Order\" set \"updatedBy\" = null")
        .await
        .unwrap();
    done(&shop, &paletas, &format!("updateBp(where: {{uid: \"{SHARED}\"}}, data: {{orders: {{connect: [{{uid: \"{ORDER}\"}}]}}}}) {{ uid }}")).await;
    assert_eq!(
        shop.text(&written).await,
        Some(format!("{SHARED} {PALETAS}")),
        "from the customer's side"
    );
    shop.tables
        .batch_execute("update \"Order\" set \"updatedBy\" = null")
        .await
        .unwrap();
    done(&shop, &paletas, &format!("updateOrder(where: {{uid: \"{ORDER}\"}}, data: {{issuedTo: {{connect: {{uid: \"{OWN}\"}}}}}}) {{ uid }}")).await;
    assert_eq!(
        shop.text(&written).await,
        Some(format!("{OWN} {PALETAS}")),
        "from its own"
    );
    // Not by the service.
    shop.tables
        .batch_execute("update \"Order\" set \"updatedBy\" = 'x'")
        .await
        .unwrap();
    done(&shop, &Viewer::Service, &format!("updateOrder(where: {{uid: \"{ORDER}\"}}, data: {{issuedTo: {{connect: {{uid: \"{SHARED}\"}}}}}}) {{ uid }}")).await;
    assert_eq!(shop.text(&written).await, Some(format!("{SHARED} x")));
}

/// R8
#[actix::test]
async fn a_read_only_customer_is_linked_and_unlinked_from_both_sides() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    // The other seller's customer has ordered here once.
    let seen = "cdemobp000000000000000006";
    shop.tables
        .batch_execute(&format!(
            "update \"Order\" set \"issuedTo\" = '{seen}' where \"uid\" = '{ORDER}'"
        ))
        .await
        .unwrap();
    assert_eq!(
        shop.count(&format!(
            "select count(*) from \"Order\" where \"uid\" = '{OTHERS_ORDER}'"
        ))
        .await,
        1
    );
    let create = format!(
        "createOrder(data: {{name: \"again\", issuedTo: {{connect: {{uid: \"{seen}\"}}}}, assignedTo: {{connect: {{extUid: \"{PALETAS}\"}}}}}}) {{ issuedTo {{ uid }} }}"
    );
    assert_eq!(
        done(&shop, &paletas, &create).await["createOrder"]["issuedTo"]["uid"],
        seen
    );
    let connect = |uid: &str| {
        format!(
            "updateOrder(where: {{uid: \"{ORDER}\"}}, data: {{issuedTo: {{connect: {{uid: \"{uid}\"}}}}}}) {{ issuedTo {{ uid }} }}"
        )
    };
    for uid in [seen, OWN, seen] {
        assert_eq!(
            done(&shop, &paletas, &connect(uid)).await["updateOrder"]["issuedTo"]["uid"],
            uid
        );
    }
    let from_the_other_end = format!(
        "updateBp(where: {{uid: \"{OWN}\"}}, data: {{orders: {{connect: [{{uid: \"{ORDER}\"}}]}}}}) {{ uid }}"
    );
    done(&shop, &paletas, &from_the_other_end).await;
    // Nobody else's row is written by it.
    let response = shop
        .ask(
            &paletas,
            &format!("mutation {{ updateBp(where: {{uid: \"{seen}\"}}, data: {{name1: \"x\"}}) {{ uid }} }}"),
            json!({}),
        )
        .await;
    assert_eq!(response.code(), "FORBIDDEN");
}

/// Generated fields are the service's on update as well.
#[actix::test]
async fn a_login_code_is_not_chosen_by_an_update_either() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let update = format!(
        "updateBp(where: {{uid: \"{OWN}\"}}, data: {{extUid: \"DemoCode06\", name2: \"n\"}}) {{ extUid name2 }}"
    );
    let row = done(&shop, &paletas, &update).await;
    assert_eq!(
        row["updateBp"],
        json!({ "extUid": "DemoCode01", "name2": "n" })
    );
    let row = done(
        &shop,
        &Viewer::Service,
        &update.replace("DemoCode06", "chosen"),
    )
    .await;
    assert_eq!(row["updateBp"]["extUid"], "chosen");
}
