//! A client's whole session, for a seller and for a customer: in, around, out. On every store, with every
//! provider.

use std::time::Duration;

use gom_shop::customer_subject;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::oauth::OAuth;
use gom_test_support::app::TestApp;
use gom_test_support::browser::Browser;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{
    BUSINESS, CODE, OTHER_CODE, OTHER_SELLER, PASSWORD, PHONE, SELLER, USERNAME, assert_in,
    assert_out, shops,
};

const PAGE: &str = "query Page($where: OrderWhereInput, $first: Int, $skip: Int) {
    ordersConnection(where: $where, orderBy: createdAt_DESC, first: $first, skip: $skip) {
        pageInfo { hasNextPage __typename }
        edges { node { uid name stage issuedTo { uid name1 __typename } assignedTo { extUid } } }
    }
}";

const DETAILS: &str = "query Details($where: OrderWhereUniqueInput!) {
    order(where: $where) {
        uid name createdBy updatedBy
        items { uid quantity description createdBy pricing { uid amount currency createdBy } }
        issuedTo { uid name1 phone } assignedTo { extUid business }
    }
}";

const NEW_ORDER: &str = "mutation NewOrder($data: OrderCreateInput!) {
    createOrder(data: $data) { uid stage issuedTo { uid } assignedTo { extUid } }
}";

const CHANGE_ORDER: &str = "mutation ChangeOrder($data: OrderUpdateInput!, $where: OrderWhereUniqueInput!) {
    updateOrder(data: $data, where: $where) { uid name stage items { uid quantity pricing { amount } } }
}";

fn order(name: &str, seller: &str, customer: &str) -> Value {
    json!({ "data": {
        "name": name,
        "assignedTo": { "connect": { "extUid": seller } },
        "issuedTo": { "connect": { "uid": customer } },
        "items": { "create": [{
            "quantity": 2.5, "description": "Paleta de limón",
            "pricing": { "create": [{ "amount": 18.5, "currency": "MXN" }] },
        }] },
    } })
}

fn uid(node: &Value) -> String {
    node["uid"]
        .as_str()
        .unwrap_or_else(|| panic!("no uid in {node}"))
        .to_owned()
}

/// The uid of the customer with a code.
async fn customer_uid(app: &TestApp, code: &str) -> String {
    let found = app.data(
        "query($code: ID!) { bp(where: { extUid: $code }) { uid } }",
        json!({ "code": code }),
    );
    uid(&found.await["bp"])
}

async fn forbidden(browser: &mut Browser, query: &str, variables: Value) {
    let reply = browser.graphql(query, variables).await;
    assert_eq!(reply.code(), (200, "FORBIDDEN"), "{query} {}", reply.body);
}

/// From the login page, through every page, to the login page.
async fn seller_session(app: &TestApp, username: &str, password: &str, subject: &str) {
    let mut browser = app.browser();
    assert_out(&mut browser).await;
    assert_eq!(
        browser
            .by_password(username, "wrong password")
            .await
            .refusal(),
        (403, "invalid_grant")
    );
    let reply = browser.by_password(username, password).await;
    assert_eq!(
        (reply.status, &reply.body["sub"]),
        (StatusCode::OK, &json!(subject)),
        "{}",
        reply.body
    );
    for key in ["nickname", "name", "picture", "email", "sub"] {
        assert!(
            reply.body.get(key).is_some(),
            "{key} is missing in {}",
            reply.body
        );
    }
    let payload = browser.payload();
    assert_eq!(payload["sub"], subject);
    let permissions = payload["permissions"].as_array().unwrap();
    assert!(
        permissions.contains(&json!("role:seller")) && permissions.contains(&json!("read:orders"))
    );

    seller_customers(&mut browser, subject).await;
    seller_orders(app, &mut browser, subject).await;
    seller_promotions(&mut browser, subject).await;

    let left = browser.clone();
    assert_eq!(browser.log_out().await.status, StatusCode::NO_CONTENT);
    assert!(browser.cookies_of_sessions().is_empty());
    assert_out(&mut left.clone()).await;
}

async fn seller_customers(browser: &mut Browser, seller: &str) {
    let list = "query List($where: BpWhereInput) {
        bpsConnection(where: $where, orderBy: createdAt_DESC, first: 30, skip: 0) {
            edges { node { uid name1 phone } }
        }
    }";
    let mine = json!({ "where": { "customerOf_some": { "extUid": seller } } });
    let before = browser.data(list, mine.clone()).await["bpsConnection"]["edges"]
        .as_array()
        .unwrap()
        .len();
    let unasked = browser.data(list, json!({})).await["bpsConnection"]["edges"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(unasked, before, "only the own ones, asked for or not");

    let create =
        "mutation New($data: BpCreateInput!) { createBp(data: $data) { uid extUid createdBy } }";
    let data = json!({ "name1": "Íñigo", "phone": "5523456795", "customerOf": { "connect": { "extUid": seller } } });
    let made = browser.data(create, json!({ "data": data })).await["createBp"].take();
    assert_eq!(made["extUid"].as_str().unwrap().len(), 10);
    assert_eq!(made["createdBy"], seller);
    let place = json!({ "where": { "uid": made["uid"] } });
    let change = "mutation Change($where: BpWhereUniqueInput!, $data: BpUpdateInput!) {
        updateBp(where: $where, data: $data) { uid name1 email }
    }";
    let data = json!({ "email": "inigo@example.com" });
    let changed = browser
        .data(change, json!({ "where": place["where"], "data": data }))
        .await;
    assert_eq!(changed["updateBp"]["email"], "inigo@example.com");
    let read = "query Read($where: BpWhereUniqueInput!) { bp(where: $where) { uid name1 email } }";
    assert_eq!(
        browser.data(read, place.clone()).await["bp"]["name1"],
        "Íñigo"
    );
    let foreign = json!({ "where": { "extUid": OTHER_CODE } });
    if seller != OTHER_SELLER {
        assert_eq!(
            browser.data(read, foreign.clone()).await,
            json!({ "bp": null })
        );
    }
    let remove = "mutation Remove($where: BpWhereUniqueInput!) { deleteBp(where: $where) { uid } }";
    browser.data(remove, place.clone()).await;
    assert_eq!(browser.data(read, place).await, json!({ "bp": null }));
}

async fn seller_orders(app: &TestApp, browser: &mut Browser, seller: &str) {
    let found = browser
        .data("{ bps(first: 1, orderBy: uid_ASC) { uid } }", json!({}))
        .await;
    let customer = uid(&found["bps"][0]);
    let name = "Pedido \"uno\" ñ 🌮";
    let made = browser
        .data(NEW_ORDER, order(name, seller, &customer))
        .await["createOrder"]
        .take();
    assert_eq!(
        (&made["stage"], &made["assignedTo"]["extUid"]),
        (&json!("OPEN"), &json!(seller))
    );
    let place = json!({ "where": { "uid": made["uid"] } });
    let mine = json!({ "where": { "assignedTo": { "extUid": seller } }, "first": 15, "skip": 0 });
    let page = browser.data(PAGE, mine).await;
    assert_eq!(page["ordersConnection"]["edges"][0]["node"]["name"], name);
    let read = browser.data(DETAILS, place.clone()).await;
    assert_eq!(read["order"]["items"][0]["pricing"][0]["amount"], 18.5);
    for row in [
        &read["order"],
        &read["order"]["items"][0],
        &read["order"]["items"][0]["pricing"][0],
    ] {
        assert_eq!(row["createdBy"], seller, "{row}");
    }
    let item = uid(&read["order"]["items"][0]);
    let data = json!({ "stage": "IN_PROCESS", "items": { "update": [{ "where": { "uid": item }, "data": { "quantity": 3 } }] } });
    let changed = browser
        .data(
            CHANGE_ORDER,
            json!({ "where": place["where"], "data": data }),
        )
        .await;
    assert_eq!(changed["updateOrder"]["items"][0]["quantity"], 3);
    assert_eq!(changed["updateOrder"]["stage"], "IN_PROCESS");

    let remove = "mutation($where: BpWhereUniqueInput!) { deleteBp(where: $where) { uid } }";
    let reply = browser
        .graphql(remove, json!({ "where": { "uid": customer } }))
        .await;
    assert_eq!(
        reply.code(),
        (200, "BP_WITH_ACTIVE_ORDERS"),
        "{}",
        reply.body
    );
    // Another shop's customer and orders are not there, and cannot be written.
    if seller == SELLER {
        let other = customer_uid(app, OTHER_CODE).await;
        let theirs = app
            .data(NEW_ORDER, order("Ajeno", OTHER_SELLER, &other))
            .await;
        let place = json!({ "where": { "uid": theirs["createOrder"]["uid"] } });
        assert_eq!(
            browser.data(DETAILS, place.clone()).await,
            json!({ "order": null })
        );
        let change = json!({ "where": place["where"], "data": { "name": "Mío" } });
        forbidden(browser, CHANGE_ORDER, change).await;
        forbidden(browser, NEW_ORDER, order("Ajeno", OTHER_SELLER, &customer)).await;
    }
    let done = json!({ "where": place["where"], "data": { "stage": "CLOSED", "items": { "delete": [{ "uid": item }] } } });
    assert_eq!(
        browser.data(CHANGE_ORDER, done).await["updateOrder"]["items"],
        json!([])
    );
}

async fn seller_promotions(browser: &mut Browser, seller: &str) {
    let create = "mutation New($data: PromotionCreateInput!) { createPromotion(data: $data) { uid name end } }";
    let data = json!({
        "code": "OTOÑO", "name": "Otoño", "start": "2026-02-10T06:00:00.000Z", "end": "2099-02-12T06:00:00.000Z",
        "category": "indigo", "content": "<p>Descuento</p>", "assignedTo": { "connect": { "extUid": seller } },
    });
    let made = browser.data(create, json!({ "data": data })).await["createPromotion"].take();
    let place = json!({ "uid": made["uid"] });
    let list = "query List($where: PromotionWhereInput) {
        promotionsConnection(where: $where, orderBy: end_DESC) { edges { node { uid name } } }
    }";
    let active = json!({ "where": { "assignedTo": { "extUid": seller }, "end_gte": "2026-11-22T13:00:00.000Z" } });
    let page = browser.data(list, active).await;
    assert_eq!(
        page["promotionsConnection"]["edges"][0]["node"]["uid"],
        made["uid"]
    );
    let publish = "mutation Publish($data: PublicationCreateInput!) { createPublication(data: $data) { uid status } }";
    let data = json!({ "data": { "type": "NOTIFICATION", "status": "WAITING", "delay": 0, "promotion": { "connect": place } } });
    assert_eq!(
        browser.data(publish, data.clone()).await["createPublication"]["status"],
        "WAITING"
    );
    assert_eq!(
        browser.graphql(publish, data).await.code(),
        (200, "TOO_MANY_PUBLICATIONS")
    );
}

/// As a customer who came by a shared link.
async fn customer_session(app: &TestApp, code: &str, phone: &str, seller: &str, business: &str) {
    let mut browser = app.browser();
    let shown = browser.bp(code).await;
    assert_eq!(
        shown.body,
        json!({ "phoneLast": &phone[7..], "customerOf": business })
    );
    let reply = browser.by_phone(code, phone).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let customer = customer_uid(app, code).await;
    assert_eq!(
        (&reply.body["sub"], &reply.body["seller"]),
        (&json!(customer), &json!(seller))
    );
    assert_eq!(reply.body["business"], business);
    assert!(reply.body["nickname"].is_string() && reply.body["name"].is_string());
    let payload = browser.payload();
    for (claim, value) in [
        ("sub", customer.as_str()),
        ("eid", code),
        ("gty", "phone"),
        ("seller", seller),
        ("business", business),
    ] {
        assert_eq!(payload[claim], value, "{claim}");
    }
    assert!(
        payload["permissions"]
            .as_array()
            .unwrap()
            .contains(&json!("role:customer"))
    );

    let made = browser
        .data(NEW_ORDER, order("Mi pedido", seller, &customer))
        .await["createOrder"]
        .take();
    let place = json!({ "where": { "uid": made["uid"] } });
    let mine = json!({ "where": { "issuedTo": { "uid": customer } }, "first": 15, "skip": 0 });
    let page = browser.data(PAGE, mine).await;
    assert_eq!(
        page["ordersConnection"]["edges"][0]["node"]["name"],
        "Mi pedido"
    );
    let read = browser.data(DETAILS, place.clone()).await;
    assert_eq!(
        (
            &read["order"]["createdBy"],
            &read["order"]["assignedTo"]["business"]
        ),
        (
            &json!(customer_subject(&customer, seller)),
            &json!(business)
        )
    );
    let change = json!({ "where": place["where"], "data": { "name": "Mi pedido, otra vez" } });
    assert_eq!(
        browser.data(CHANGE_ORDER, change).await["updateOrder"]["name"],
        "Mi pedido, otra vez"
    );
    forbidden(&mut browser, "{ bps { uid } }", json!({})).await;
    forbidden(&mut browser, "{ promotions { uid } }", json!({})).await;
    assert_eq!(
        browser
            .send(Method::POST, "/auth/logout", None)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    assert_out(&mut browser).await;
}

#[actix_web::test]
async fn with_local_accounts_on_redis_and_on_postgresql() {
    for stores in [Stores::Redis, Stores::Postgres] {
        let place = Place::new(stores).await;
        let app = shops(&place, &[]).await;
        seller_session(&app, USERNAME, PASSWORD, SELLER).await;
        customer_session(&app, CODE, PHONE, SELLER, BUSINESS).await;
    }
}

#[actix_web::test]
async fn with_a_token_endpoint_on_redis_and_on_postgresql() {
    for stores in [Stores::Redis, Stores::Postgres] {
        let oauth = OAuth::start().await;
        let permissions = gom_permissions("seller");
        oauth.add(
            USERNAME,
            PASSWORD,
            json!({ "sub": SELLER, "permissions": permissions }),
        );
        let place = Place::new(stores).await;
        let settings = oauth.settings();
        let settings: Vec<_> = settings
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let app = shops(&place, &settings).await;
        seller_session(&app, USERNAME, PASSWORD, SELLER).await;
        customer_session(&app, CODE, PHONE, SELLER, BUSINESS).await;
    }
}

#[actix_web::test]
async fn with_the_embedded_database() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    gom_test_support::place_cluster(&data.join("cluster")).await;
    let app = TestApp::with(&[("embedded.data_dir", data.to_str().unwrap())]).await;
    seller_session(
        &app,
        "paletas@demo.gom",
        gom_shop::seed::DEMO_PASSWORD,
        "auth0|demo-paletas",
    )
    .await;
    customer_session(
        &app,
        "DemoCode01",
        "5512345684",
        "auth0|demo-paletas",
        "Paletas Marías",
    )
    .await;
}

#[actix_web::test]
async fn a_token_that_ends_is_renewed_for_sellers_and_not_for_customers() {
    for stores in [Stores::Redis, Stores::Postgres] {
        let place = Place::new(stores).await;
        let settings = [
            ("auth.accounts.expiration", "2"),
            ("auth.local.expiration", "2"),
        ];
        let app = shops(&place, &settings).await;
        let mut ana = gom_test_support::two_shops::seller(&app).await;
        let mut luz = gom_test_support::two_shops::customer(&app).await;
        let (first, id) = (
            ana.jar["session-token"].clone(),
            ana.jar["session-id"].clone(),
        );
        assert_in(&mut luz).await;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(2_100)).await;
            assert_in(&mut ana).await;
            assert_ne!(ana.jar["session-token"], first);
            assert_eq!(ana.payload()["sub"], SELLER);
            assert_eq!(ana.jar["session-id"], id, "the session is the same");
        }
        let reply = gom_test_support::two_shops::knock(&mut luz).await;
        assert_eq!(reply.refusal(), (403, "jwt_error"));
        assert_eq!(reply.body["message"], "jwt expired");
        assert_eq!(luz.log_out().await.status, StatusCode::NO_CONTENT);
        assert_eq!(luz.by_phone(CODE, PHONE).await.status, StatusCode::OK);
        assert_in(&mut luz).await;
    }
}

/// What the built-in policy gives to a role.
fn gom_permissions(role: &str) -> Value {
    let policy: toml::Value = toml::from_str(include_str!("../../config/policy.toml")).unwrap();
    serde_json::to_value(&policy["roles"][role]["permissions"]).unwrap()
}
