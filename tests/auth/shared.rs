//! A customer whom two shops share: each shop's code and number open that shop, and no other.

use reqwest::StatusCode;
use serde_json::{Value, json};

use gom_test_support::app::TestApp;
use gom_test_support::browser::Browser;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{
    BUSINESS, CODE, OTHER_CODE, OTHER_SELLER, OTHER_USERNAME, PASSWORD, PHONE, SELLER, USERNAME,
    shops,
};

const BPS: &str = "{ bps { uid extUid phone } }";
const ORDERS: &str = "{ orders { uid name assignedTo { extUid } } }";
const CREATE: &str = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }";
const RENAME: &str =
    "mutation($uid: ID!) { updateOrder(where: { uid: $uid }, data: { name: \"taken\" }) { uid } }";
const SET_PHONE: &str = "mutation($uid: ID!, $phone: String) { updateBp(where: { uid: $uid }, data: { phone: $phone }) { phone } }";

async fn by_password(app: &TestApp, username: &str) -> Browser {
    let mut browser = app.browser();
    assert_eq!(
        browser.by_password(username, PASSWORD).await.status,
        StatusCode::OK
    );
    browser
}

async fn by_phone(app: &TestApp, code: &str, phone: &str) -> Browser {
    let mut browser = app.browser();
    let reply = browser.by_phone(code, phone).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    browser
}

/// What a seller reads of a customer.
async fn seen(browser: &mut Browser, uid: &str) -> (Option<String>, Option<String>) {
    let found = browser.data(BPS, json!({})).await;
    let bp = found["bps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|bp| bp["uid"] == uid)
        .cloned()
        .unwrap();
    let text = |key: &str| bp[key].as_str().map(str::to_owned);
    (text("extUid"), text("phone"))
}

/// The customer of the first shop, who becomes one of the other as well, with an order at each; and the orders.
async fn share(app: &TestApp) -> (String, [String; 2]) {
    let link = "mutation($code: ID!, $seller: String) {
        updateBp(where: { extUid: $code }, data: { customerOf: { connect: [{ extUid: $seller }] } }) { uid } }";
    let linked = app
        .data(link, json!({ "code": CODE, "seller": OTHER_SELLER }))
        .await;
    let uid = linked["updateBp"]["uid"].as_str().unwrap().to_owned();
    let mut orders = Vec::new();
    for seller in [SELLER, OTHER_SELLER] {
        let made = app.data(CREATE, order(seller, &uid)).await;
        orders.push(made["createOrder"]["uid"].as_str().unwrap().to_owned());
    }
    (uid, orders.try_into().unwrap())
}

fn order(seller: &str, customer: &str) -> Value {
    json!({ "data": {
        "name": format!("at {seller}"), "assignedTo": { "connect": { "extUid": seller } },
        "issuedTo": { "connect": { "uid": customer } },
    } })
}

fn names(data: &Value) -> Vec<&str> {
    data["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["name"].as_str().unwrap())
        .collect()
}

#[actix_web::test]
async fn a_customer_of_two_shops_logs_in_to_each_with_that_shops_code() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let (uid, _) = share(&app).await;
    let (here, _) = seen(&mut by_password(&app, USERNAME).await, &uid).await;
    let (there, _) = seen(&mut by_password(&app, OTHER_USERNAME).await, &uid).await;
    assert_eq!(
        here.as_deref(),
        Some(CODE),
        "the code that there was opens the shop that it opened"
    );
    let there = there.unwrap();
    for (code, seller, business) in [(CODE, SELLER, BUSINESS), (&there, OTHER_SELLER, "Tacos")] {
        let shown = app.browser().bp(code).await;
        assert_eq!(
            shown.body,
            json!({ "phoneLast": "684", "customerOf": business })
        );
        let mut customer = by_phone(&app, code, PHONE).await;
        let token = customer.payload();
        assert_eq!(
            (
                &token["sub"],
                &token["seller"],
                &token["eid"],
                &token["business"]
            ),
            (&json!(uid), &json!(seller), &json!(code), &json!(business))
        );
        let orders = customer.data(ORDERS, json!({})).await;
        assert_eq!(names(&orders), [format!("at {seller}")]);
        customer.data(CREATE, order(seller, &uid)).await;
    }
    // Anyone who is no customer any more does not log in to that shop.
    let cut = "mutation($uid: ID!, $seller: String) {
        updateBp(where: { uid: $uid }, data: { customerOf: { disconnect: [{ extUid: $seller }] } }) { uid } }";
    app.data(cut, json!({ "uid": uid, "seller": OTHER_SELLER }))
        .await;
    assert_eq!(
        app.browser().by_phone(&there, PHONE).await.refusal(),
        (403, "invalid_grant")
    );
    assert_eq!(
        app.browser().bp(&there).await.refusal(),
        (400, "Bad Request")
    );
    by_phone(&app, CODE, PHONE).await;
}

#[actix_web::test]
async fn what_a_seller_reads_sets_or_guesses_of_a_shared_customer_opens_the_own_shop_only() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("login_limiter.slow_brute.points", "50")]).await;
    let (uid, [_, foreign]) = share(&app).await;
    let (mut attacker, mut other) = (
        by_password(&app, USERNAME).await,
        by_password(&app, OTHER_USERNAME).await,
    );
    // 1 to 3: what the seller reads is a way into the own shop, where there is nothing new to see or do.
    let (code, phone) = seen(&mut attacker, &uid).await;
    let mut as_customer = by_phone(
        &app,
        &code.unwrap(),
        &phone.unwrap().replace(['-', ' '], ""),
    )
    .await;
    assert_eq!(as_customer.payload()["seller"], SELLER);
    assert_eq!(
        names(&as_customer.data(ORDERS, json!({})).await),
        [format!("at {SELLER}")]
    );
    for (text, variables) in [
        (RENAME, json!({ "uid": foreign })),
        (CREATE, order(OTHER_SELLER, &uid)),
    ] {
        let reply = as_customer.graphql(text, variables).await;
        assert_eq!(reply.code(), (200, "FORBIDDEN"), "{}", reply.body);
    }
    let own = "{ orders { issuedTo { extUid phone } } }";
    let shown = as_customer.data(own, json!({})).await;
    assert_eq!(
        shown["orders"][0]["issuedTo"],
        json!({ "extUid": CODE, "phone": "55 1234-5684" })
    );
    // 4: an order taken once shows neither of a customer of the other shop's.
    let found = app
        .data(
            "query($code: ID!) { bp(where: { extUid: $code }) { uid } }",
            json!({ "code": OTHER_CODE }),
        )
        .await;
    let theirs = found["bp"]["uid"].as_str().unwrap();
    app.data(CREATE, order(SELLER, theirs)).await;
    assert_eq!(seen(&mut attacker, theirs).await, (None, None));
    let reply = attacker
        .graphql(SET_PHONE, json!({ "uid": theirs, "phone": "5511112222" }))
        .await;
    assert_eq!(reply.code(), (200, "FORBIDDEN"));
    // 5: a number that the seller sets is no way in elsewhere, and locks nobody out.
    let (theirs, number) = seen(&mut other, &uid).await;
    attacker
        .data(SET_PHONE, json!({ "uid": uid, "phone": "5511112222" }))
        .await;
    let there = theirs.unwrap();
    assert_eq!(
        app.browser().by_phone(&there, "5511112222").await.refusal(),
        (403, "invalid_grant")
    );
    by_phone(&app, &there, PHONE).await;
    assert_eq!(seen(&mut other, &uid).await, (Some(there), number));
    assert_eq!(
        app.browser().by_phone(CODE, PHONE).await.refusal(),
        (403, "invalid_grant")
    );
    by_phone(&app, CODE, "5511112222").await;
}
