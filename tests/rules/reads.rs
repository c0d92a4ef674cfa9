//! What a viewer sees.

use gom_server::identity::Viewer;
use serde_json::{Value, json};

use gom_test_support::demo_shop::{PALETAS, Shop, TACOS, customer, customer_of, holder, seller};

/// The customer of both sellers.
const SHARED: &str = "cdemobp000000000000000002";
/// Customers of one seller each.
const OF_PALETAS: &str = "cdemobp000000000000000001";
const OF_TACOS: &str = "cdemobp000000000000000006";

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|row| row[key].as_str().unwrap().to_owned())
        .collect()
}

#[actix::test]
async fn a_seller_sees_only_its_own_shop() {
    let shop = Shop::open().await;
    let paletas = seller(PALETAS);
    let data = shop
        .read(
            &paletas,
            "{ bps { extUid orders { uid assignedTo { extUid } } customerOf { extUid } }
               orders { uid items { uid order { uid } } }
               ordersConnection { aggregate { count } edges { node { uid } } }
               promotions { uid publications { uid } } publications { uid promotion { assignedTo { extUid } } } }",
        )
        .await;
    assert_eq!(
        names(&data["bps"], "extUid"),
        [
            "DemoCode01",
            "DemoCode02",
            "DemoCode03",
            "DemoCode04",
            "DemoCode05"
        ]
    );
    assert_eq!(data["orders"].as_array().unwrap().len(), 6);
    assert_eq!(data["ordersConnection"]["aggregate"]["count"], 6);
    let text = data.to_string();
    assert!(
        !text.contains("demo-tacos"),
        "the customer of both shows one seller only: {text}"
    );
    let all = shop
        .read(&Viewer::Service, "{ orders { uid } bps { uid } }")
        .await;
    assert_eq!(
        (
            all["orders"].as_array().unwrap().len(),
            all["bps"].as_array().unwrap().len()
        ),
        (11, 9)
    );
}

#[actix::test]
async fn f02_nested_selections_do_not_cross_shops() {
    let shop = Shop::open().await;
    // The way that the original left open: from an order to its seller to all customers, here through the shared one.
    let text = "{ bp(where: { extUid: \"DemoCode02\" }) {
                    customerOf { extUid customers { extUid phone } orders { uid } }
                    orders { uid assignedTo { extUid orders { uid } } } } }";
    let data = shop.read(&seller(PALETAS), text).await;
    assert_eq!(names(&data["bp"]["customerOf"], "extUid"), [PALETAS]);
    assert_eq!(
        names(&data["bp"]["orders"], "uid"),
        ["cdemoorder000000000000002"]
    );
    assert!(!data.to_string().contains("DemoCode06"));

    // Without permission metadata the original let everyone in; here an operation that is not listed is refused.
    for text in [
        "{ users { extUid } }",
        "{ items { uid } }",
        "{ pricesConnection { edges { node { uid } } } }",
    ] {
        assert_eq!(
            shop.ask(&seller(PALETAS), text, json!({})).await.code(),
            "FORBIDDEN",
            "{text}"
        );
    }
    let nobody = holder(PALETAS, vec!["role:seller".into()]);
    assert_eq!(
        shop.ask(&nobody, "{ orders { uid } }", json!({}))
            .await
            .code(),
        "FORBIDDEN"
    );
    let without_role = holder(PALETAS, vec!["read:orders".into()]);
    assert_eq!(
        shop.ask(&without_role, "{ orders { uid } }", json!({}))
            .await
            .code(),
        "FORBIDDEN"
    );
}

#[actix::test]
async fn foreign_and_missing_rows_read_as_null_alike() {
    let shop = Shop::open().await;
    let text = "query($order: OrderWhereUniqueInput!, $bp: BpWhereUniqueInput!) {
                    order(where: $order) { uid } bp(where: $bp) { uid } }";
    for (order, bp) in [
        ("cdemoorder000000000000007", OF_TACOS),
        ("nothing", "nothing"),
    ] {
        let response = shop
            .ask(
                &seller(PALETAS),
                text,
                json!({ "order": { "uid": order }, "bp": { "uid": bp } }),
            )
            .await;
        assert!(response.errors.is_empty(), "{response:?}");
        assert_eq!(response.data, json!({ "order": null, "bp": null }));
    }
}

#[actix::test]
async fn a_filter_reveals_nothing_about_hidden_rows() {
    let shop = Shop::open().await;
    let asked = async |filter: &str| {
        let text = format!("{{ bps(where: {filter}) {{ extUid }} }}");
        names(&shop.read(&seller(PALETAS), &text).await["bps"], "extUid")
    };
    let everyone = [
        "DemoCode01",
        "DemoCode02",
        "DemoCode03",
        "DemoCode04",
        "DemoCode05",
    ];
    let none: [&str; 0] = [];
    // The shared customer has an order elsewhere, called "Cena del viernes".
    assert_eq!(
        asked("{ orders_some: { name_starts_with: \"Cena\" } }").await,
        none
    );
    assert_eq!(
        asked("{ orders_none: { name_starts_with: \"Cena\" } }").await,
        everyone
    );
    assert_eq!(
        asked("{ orders_every: { name_not_starts_with: \"Cena\" } }").await,
        everyone
    );
    assert_eq!(
        asked("{ customerOf_some: { extUid: \"auth0|demo-tacos\" } }").await,
        none
    );
    assert_eq!(
        asked("{ customerOf_every: { extUid: \"auth0|demo-paletas\" } }").await,
        everyone
    );
    assert_eq!(
        asked("{ NOT: [{ customerOf_some: { extUid: \"auth0|demo-tacos\" } }] }").await,
        everyone
    );
    assert_eq!(asked("{ extUid: \"DemoCode06\" }").await, none);

    // A cursor of a foreign row is no cursor at all.
    let text = "{ bps(after: \"cdemobp000000000000000006\", orderBy: name1_ASC) { uid }
                  bpsConnection(before: \"cdemobp000000000000000009\") { edges { node { uid } } } }";
    let data = shop.read(&seller(PALETAS), text).await;
    assert_eq!(data, json!({ "bps": [], "bpsConnection": { "edges": [] } }));
}

#[actix::test]
async fn a_customer_sees_its_own_orders_and_little_of_the_sellers() {
    let shop = Shop::open().await;
    let shared = customer_of(TACOS, SHARED);
    let data = shop
        .read(&shared, "{ orders(first: 20) { uid items(first: 5) { pricing { amount } } assignedTo { uid extUid business } issuedTo { uid name1 } } }")
        .await;
    // Not those at the other shop.
    assert_eq!(names(&data["orders"], "uid"), ["cdemoorder000000000000011"]);
    assert_eq!(data["orders"][0]["assignedTo"]["extUid"], TACOS);

    for text in [
        "{ orders { assignedTo { role } } }",
        "{ orders { assignedTo { customers { uid } } } }",
        "{ orders(where: { assignedTo: { role: \"seller\" } }) { uid } }",
        "{ orders(where: { assignedTo: { customers_some: { phone: \"5534567806\" } } }) { uid } }",
        "{ bps { uid } }",
        "{ promotions { uid } }",
    ] {
        assert_eq!(
            shop.ask(&shared, text, json!({})).await.code(),
            "FORBIDDEN",
            "{text}"
        );
    }
    // Nothing of promotions, on any way.
    let data = shop
        .read(&shared, "{ orders { promotions { uid } } }")
        .await;
    assert!(
        data["orders"]
            .as_array()
            .unwrap()
            .iter()
            .all(|order| order["promotions"] == json!([]))
    );
    let data = shop.read(&customer(OF_PALETAS), "{ orders { uid } }").await;
    assert_eq!(names(&data["orders"], "uid"), ["cdemoorder000000000000001"]);
}

#[actix::test]
async fn a_required_link_to_a_hidden_row_is_an_error_at_its_path() {
    let shop = Shop::open().await;
    // An order of this seller that was given to a customer of the other, and the customer then left.
    let update = "update \"Order\" set \"assignedTo\" = 'cdemouser0000000000000002' where uid = 'cdemoorder000000000000001'";
    shop.tables.batch_execute(update).await.unwrap();
    // The seller sees whom an own order was issued to, though no customer.
    let response = shop
        .ask(
            &seller(TACOS),
            "{ order(where: { uid: \"cdemoorder000000000000001\" }) { uid issuedTo { uid } } }",
            json!({}),
        )
        .await;
    assert_eq!(
        response.data["order"]["issuedTo"]["uid"], OF_PALETAS,
        "{response:?}"
    );
    // The customer buys there without being a customer: the seller is not seen.
    let response = shop
        .ask(
            &customer_of(TACOS, OF_PALETAS),
            "{ orders { uid assignedTo { uid } } }",
            json!({}),
        )
        .await;
    assert_eq!(response.code(), "FORBIDDEN");
    assert_eq!(response.data, json!({ "orders": [null] }));
    assert_eq!(response.errors[0].path.len(), 3, "{response:?}");
}
