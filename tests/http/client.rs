//! A day of the client: every kind of operation that its pages send, with variables of the same shapes.

use serde_json::{Value, json};

use gom_test_support::app::TestApp;

const SELLER: &str = "auth0|seller";

/// Sends a document with variables; no errors are allowed.
async fn send(app: &TestApp, query: &str, variables: Value) -> Value {
    let mut answer = app
        .post(json!({ "query": query, "variables": variables }).to_string())
        .await
        .body;
    assert_eq!(answer.get("errors"), None, "{query}\n{variables}\n{answer}");
    answer["data"].take()
}

fn uid(node: &Value) -> String {
    node["uid"].as_str().expect("a node has a uid").to_owned()
}

/// A shop with one customer; gives the customer's uid.
async fn shop(app: &TestApp) -> String {
    let create = "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }";
    send(
        app,
        create,
        json!({ "data": { "extUid": SELLER, "business": "Paletas" } }),
    )
    .await;
    let data = json!({
        "name1": "Luz", "lastName1": "Vega", "phone": "5533333333", "customerOf": { "connect": { "extUid": SELLER } }
    });
    let create = "mutation Customer($data: BpCreateInput!) {
        createBp(data: $data) { uid name1 lastName1 email phone __typename }
    }";
    let made = send(app, create, json!({ "data": data })).await;
    assert_eq!(made["createBp"]["email"], Value::Null);
    assert_eq!(made["createBp"]["__typename"], "Bp");
    uid(&made["createBp"])
}

const ORDER: &str = "mutation NewOrder($data: OrderCreateInput!) {
    createOrder(data: $data) {
        uid name stage createdAt
        issuedTo { uid name1 lastName1 __typename } assignedTo { extUid __typename } __typename
    }
}";

const DETAILS: &str = "query Details($where: OrderWhereUniqueInput!) {
    order(where: $where) {
        uid name stage createdAt updatedAt
        items { uid code quantity description provider pricing { uid amount currency type __typename } __typename }
        issuedTo { uid name1 lastName1 __typename } __typename
    }
}";

const CHANGE: &str = "mutation Change($data: OrderUpdateInput!, $where: OrderWhereUniqueInput!) {
    updateOrder(data: $data, where: $where) {
        uid name updatedAt
        items { uid quantity code updatedAt pricing { uid amount currency updatedAt type __typename } __typename }
        issuedTo { uid __typename } assignedTo { extUid __typename } __typename
    }
}";

const PAGE: &str =
    "query Page($where: OrderWhereInput, $orderBy: OrderOrderByInput, $first: Int, $skip: Int) {
    ordersConnection(where: $where, orderBy: $orderBy, first: $first, skip: $skip) {
        pageInfo { hasNextPage startCursor endCursor __typename }
        edges { node { uid name issuedTo { name1 __typename } __typename } __typename }
        __typename
    }
}";

async fn new_order(app: &TestApp, customer: &str, name: &str) -> String {
    let data = json!({
        "name": name,
        "assignedTo": { "connect": { "extUid": SELLER } },
        "issuedTo": { "connect": { "uid": customer } },
        "items": { "create": [{ "quantity": 1, "description": "Flan", "pricing": { "create": { "amount": 15, "currency": "MXN" } } }] },
    });
    let made = send(app, ORDER, json!({ "data": data })).await;
    assert_eq!(made["createOrder"]["stage"], "OPEN");
    assert_eq!(
        made["createOrder"]["assignedTo"],
        json!({ "extUid": SELLER, "__typename": "User" })
    );
    uid(&made["createOrder"])
}

#[actix_web::test]
async fn orders_are_listed_in_pages_newest_first() {
    let app = TestApp::start().await;
    let customer = shop(&app).await;
    for number in 0..5 {
        new_order(&app, &customer, &format!("Pedido {number}")).await;
    }
    let names = |page: &Value| {
        let edges = page["ordersConnection"]["edges"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        edges
            .iter()
            .map(|e| e["node"]["name"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let mine = json!({ "assignedTo": { "extUid": SELLER } });
    let first = json!({ "where": mine, "first": 3, "skip": 0, "orderBy": "createdAt_DESC" });
    let page = send(&app, PAGE, first).await;
    assert_eq!(names(&page), ["Pedido 4", "Pedido 3", "Pedido 2"]);
    assert_eq!(page["ordersConnection"]["pageInfo"]["hasNextPage"], true);
    let rest = json!({ "where": { "issuedTo": { "uid": customer } }, "first": 3, "skip": 3, "orderBy": "createdAt_DESC" });
    let page = send(&app, PAGE, rest).await;
    assert_eq!(names(&page), ["Pedido 1", "Pedido 0"]);
    assert_eq!(page["ordersConnection"]["pageInfo"]["hasNextPage"], false);
    let foreign = json!({ "where": { "assignedTo": { "extUid": "auth0|other" } }, "first": 3 });
    assert_eq!(names(&send(&app, PAGE, foreign).await), [""; 0]);
}

#[actix_web::test]
async fn an_order_lives_through_its_pages() {
    let app = TestApp::start().await;
    let customer = shop(&app).await;
    let order = new_order(&app, &customer, "Nuevo").await;
    let place = json!({ "uid": order });

    let renamed = send(
        &app,
        CHANGE,
        json!({ "where": place, "data": { "name": "Renombrado" } }),
    )
    .await;
    assert_eq!(renamed["updateOrder"]["name"], "Renombrado");

    // `code` and `provider` are simply not given; one `create` is not a list.
    let item = json!({ "quantity": 3, "description": "Gelatina", "pricing": { "create": { "amount": 10.5, "currency": "MXN" } } });
    let added = send(
        &app,
        CHANGE,
        json!({ "where": place, "data": { "items": { "create": item } } }),
    )
    .await;
    let items = added["updateOrder"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[1]["pricing"][0]["amount"], 10.5);
    assert_eq!(items[1]["pricing"][0]["type"], "GENERAL");
    assert_eq!(
        added["updateOrder"]["updatedAt"], renamed["updateOrder"]["updatedAt"],
        "only its items changed"
    );

    let change = json!({ "update": {
        "where": { "uid": uid(&items[1]) },
        "data": { "quantity": 5, "pricing": { "update": {
            "where": { "uid": uid(&items[1]["pricing"][0]) }, "data": { "amount": 20, "currency": "MXN" }
        } } },
    } });
    let changed = send(
        &app,
        CHANGE,
        json!({ "where": place, "data": { "items": change } }),
    )
    .await;
    assert_eq!(changed["updateOrder"]["items"][1]["quantity"], 5);
    assert_eq!(
        changed["updateOrder"]["items"][1]["pricing"][0]["amount"],
        20
    );

    let removal = json!({ "items": { "delete": { "uid": uid(&items[0]) } } });
    send(&app, CHANGE, json!({ "where": place, "data": removal })).await;
    let read = send(&app, DETAILS, json!({ "where": place })).await;
    assert_eq!(read["order"]["items"].as_array().unwrap().len(), 1);
    assert_eq!(read["order"]["issuedTo"]["lastName1"], "Vega");

    let gone = send(&app, DETAILS, json!({ "where": { "uid": "nowhere" } })).await;
    assert_eq!(gone, json!({ "order": null }));
}

#[actix_web::test]
async fn customers_are_listed_read_changed_and_removed_with_their_orders() {
    let app = TestApp::start().await;
    let customer = shop(&app).await;
    new_order(&app, &customer, "Pedido").await;
    let list =
        "query Customers($where: BpWhereInput, $orderBy: BpOrderByInput, $first: Int, $skip: Int) {
        bpsConnection(where: $where, orderBy: $orderBy, first: $first, skip: $skip) {
            pageInfo { hasNextPage startCursor endCursor __typename }
            edges { node { uid name1 lastName1 email phone __typename } __typename } __typename
        }
    }";
    let mine = json!({ "where": { "customerOf_some": { "extUid": SELLER } }, "first": 30, "skip": 0, "orderBy": "createdAt_DESC" });
    let page = send(&app, list, mine).await;
    assert_eq!(
        page["bpsConnection"]["edges"][0]["node"]["uid"],
        customer.as_str()
    );

    let place = json!({ "uid": customer });
    let change = "mutation Change($data: BpUpdateInput!, $where: BpWhereUniqueInput!) {
        updateBp(data: $data, where: $where) { uid extUid name1 lastName1 email phone __typename }
    }";
    send(
        &app,
        change,
        json!({ "where": place, "data": { "email": "luz@example.com" } }),
    )
    .await;
    let read = "query Read($where: BpWhereUniqueInput!) {
        bp(where: $where) { uid extUid name1 lastName1 phone email __typename }
    }";
    let found = send(&app, read, json!({ "where": place })).await;
    assert_eq!(found["bp"]["email"], "luz@example.com");

    let remove = "mutation Remove($where: BpWhereUniqueInput!) { deleteBp(where: $where) { uid __typename } }";
    assert_eq!(
        uid(&send(&app, remove, json!({ "where": place })).await["deleteBp"]),
        customer
    );
    let left = send(
        &app,
        "{ bps { uid } orders { uid } items { uid } prices { uid } }",
        json!({}),
    )
    .await;
    assert_eq!(
        left,
        json!({ "bps": [], "orders": [], "items": [], "prices": [] }),
        "its orders went along"
    );
}

#[actix_web::test]
async fn promotions_run_and_are_published() {
    let app = TestApp::start().await;
    shop(&app).await;
    let create = "mutation New($data: PromotionCreateInput!) {
        createPromotion(data: $data) { uid code name start end category content createdAt assignedTo { extUid __typename } __typename }
    }";
    let promotion = |name: &str, end: &str| {
        json!({ "data": {
        "code": "NEW1", "name": name, "start": "2026-02-10T06:00:00.000Z", "end": end, "category": "indigo",
        "content": "Descuento ñandú", "assignedTo": { "connect": { "extUid": SELLER } },
    } })
    };
    let active = send(&app, create, promotion("Otoño", "2027-02-12T06:00:00.000Z")).await;
    assert_eq!(active["createPromotion"]["end"], "2027-02-12T06:00:00.000Z");
    send(
        &app,
        create,
        promotion("Verano", "2026-03-01T06:00:00.000Z"),
    )
    .await;
    let lists = "query Lists($active: PromotionWhereInput, $idle: PromotionWhereInput, $orderBy: PromotionOrderByInput, $first: Int) {
        active: promotionsConnection(where: $active, orderBy: $orderBy) { edges { node { uid name end } } }
        idle: promotionsConnection(where: $idle, orderBy: $orderBy, first: $first) { pageInfo { hasNextPage } edges { node { name } } }
    }";
    let now = "2026-11-22T13:00:00.000Z";
    let of = |key: &str| json!({ "assignedTo": { "extUid": SELLER }, key: now });
    let variables = json!({ "active": of("end_gte"), "idle": of("end_lt"), "orderBy": "end_DESC", "first": 15 });
    let both = send(&app, lists, variables).await;
    assert_eq!(both["active"]["edges"][0]["node"]["name"], "Otoño");
    assert_eq!(
        both["idle"]["edges"],
        json!([{ "node": { "name": "Verano" } }])
    );

    let place = json!({ "uid": uid(&active["createPromotion"]) });
    let change =
        "mutation Change($data: PromotionUpdateInput!, $where: PromotionWhereUniqueInput!) {
        updatePromotion(data: $data, where: $where) { uid name updatedAt __typename }
    }";
    send(
        &app,
        change,
        json!({ "where": place, "data": { "name": "Otoño 2" } }),
    )
    .await;
    let read = "query Read($where: PromotionWhereUniqueInput!) { promotion(where: $where) { name content __typename } }";
    assert_eq!(
        send(&app, read, json!({ "where": place })).await["promotion"]["name"],
        "Otoño 2"
    );

    let publish = "mutation Publish($data: PublicationCreateInput!) {
        createPublication(data: $data) { uid status delay createdAt updatedAt __typename }
    }";
    let data = json!({ "type": "NOTIFICATION", "status": "WAITING", "delay": 3_600_000, "promotion": { "connect": place } });
    assert_eq!(
        send(&app, publish, json!({ "data": data })).await["createPublication"]["delay"],
        3_600_000
    );
    let list = "query List($where: PublicationWhereInput, $orderBy: PublicationOrderByInput, $first: Int) {
        publicationsConnection(where: $where, orderBy: $orderBy, first: $first) {
            edges { node { status delay createdAt updatedAt __typename } __typename } __typename
        }
    }";
    let of_promotion =
        json!({ "where": { "promotion": place }, "orderBy": "updatedAt_DESC", "first": 20 });
    let page = send(&app, list, of_promotion).await;
    assert_eq!(
        page["publicationsConnection"]["edges"][0]["node"]["status"],
        "WAITING"
    );
}
