//! From request to answer: what the parts of an operation become.

use reqwest::StatusCode;
use serde_json::json;

use gom_test_support::app::TestApp;

#[actix_web::test]
async fn an_order_with_items_is_created_and_read_back() {
    let app = TestApp::start().await;
    let mutation = r#"mutation Create($data: OrderCreateInput!) {
        createOrder(data: $data) { __typename name stage items { quantity pricing { amount currency } } issuedTo { name1 } }
    }"#;
    let item = |quantity: f64, amount: f64| json!({ "quantity": quantity, "pricing": { "create": [{ "amount": amount, "currency": "MXN" }] } });
    let variables = json!({ "data": {
        "name": "Pedido \"uno\" ñ 🌮",
        "assignedTo": { "create": { "business": "Tacos" } },
        "issuedTo": { "create": { "name1": "María" } },
        "items": { "create": [item(2.5, 10.0), item(1.0, 99.5)] },
    } });
    let answer = app
        .post(json!({ "query": mutation, "variables": variables }).to_string())
        .await;
    let expected = json!({
        "__typename": "Order", "name": "Pedido \"uno\" ñ 🌮", "stage": "OPEN",
        "items": [
            { "quantity": 2.5, "pricing": [{ "amount": 10, "currency": "MXN" }] },
            { "quantity": 1, "pricing": [{ "amount": 99.5, "currency": "MXN" }] },
        ],
        "issuedTo": { "name1": "María" },
    });
    assert_eq!(answer.body, json!({ "data": { "createOrder": expected } }));
    let read = app
        .ask("{ first: orders { name } again: ordersConnection { aggregate { count } } }")
        .await;
    let expected = json!({ "first": [{ "name": "Pedido \"uno\" ñ 🌮" }], "again": { "aggregate": { "count": 1 } } });
    assert_eq!(read.body, json!({ "data": expected }));
}

#[actix_web::test]
async fn a_failed_field_is_null_and_earlier_fields_stay_committed() {
    let app = TestApp::start().await;
    let answer = app
        .ask(
            r#"mutation {
            createUser(data: { business: "x", extUid: "u" }) { extUid }
            missing: updateUser(where: { uid: "nobody" }, data: { business: "y" }) { uid }
            again: deleteManyBps { count }
        }"#,
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let expected =
        json!({ "createUser": { "extUid": "u" }, "missing": null, "again": { "count": 0 } });
    assert_eq!(answer.body["data"], expected);
    let error = &answer.body["errors"][0];
    assert_eq!(error["code"], 3039);
    assert_eq!(error["path"], json!(["missing"]));
    assert_eq!(error["locations"], json!([{ "line": 3, "column": 13 }]));
    assert_eq!(error["extensions"]["code"], "GRAPHQL_EXECUTION_ERROR");
    assert_eq!(error["requestId"], answer.header("request-id"));
}

#[actix_web::test]
async fn a_failed_field_that_cannot_be_null_makes_the_whole_null() {
    let app = TestApp::start().await;
    let create = r#"mutation { createUser(data: { business: "x", extUid: "u" }) { extUid } }"#;
    assert_eq!(
        app.ask(create).await.body["data"],
        json!({ "createUser": { "extUid": "u" } })
    );
    let answer = app.ask(create).await;
    assert_eq!(answer.body["data"], json!(null));
    assert_eq!(answer.body["errors"][0]["code"], 3010);
    let answer = app.ask("{ users(first: -1) { uid } ok: __typename }").await;
    assert_eq!(
        (&answer.body["data"], &answer.body["errors"][0]["code"]),
        (&json!(null), &json!(3026))
    );
}

#[actix_web::test]
async fn variables_are_checked_before_anything_runs() {
    let app = TestApp::start().await;
    for variables in [json!({}), json!({ "uid": null }), json!({ "uid": [1] })] {
        let query = "mutation M($uid: ID!) { deleteManyUsers { count } deleteUser(where: { uid: $uid }) { uid } }";
        let answer = app
            .post(json!({ "query": query, "variables": variables }).to_string())
            .await;
        assert_eq!(answer.code(), "BAD_USER_INPUT", "{variables}");
        assert_eq!(answer.body["data"], json!(null));
    }
}

#[actix_web::test]
async fn introspection_stands_beside_data() {
    let app = TestApp::start().await;
    let query = r#"query Q($deep: Boolean = true) {
        users { uid } t: __type(name: "User") { kind fields @include(if: $deep) { name } } __typename
    }"#;
    for _ in 0..2 {
        let answer = app.ask(query).await;
        assert_eq!(answer.body["data"]["users"], json!([]), "{}", answer.body);
        assert_eq!(answer.body["data"]["t"]["kind"], "OBJECT");
        assert_eq!(
            answer.body["data"]["t"]["fields"][0]["name"], "uid",
            "{}",
            answer.body
        );
        assert_eq!(answer.body["data"]["__typename"], "Query");
        let keys: Vec<&String> = answer.body["data"].as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["users", "t", "__typename"],
            "in the order of the selection"
        );
    }
    let query = json!({ "query": query, "variables": { "deep": false } }).to_string();
    assert_eq!(
        app.post(query).await.body["data"]["t"],
        json!({ "kind": "OBJECT" })
    );
}

#[actix_web::test]
async fn a_subscription_is_refused_with_a_reason() {
    let app = TestApp::start().await;
    let answer = app.ask("subscription { order { mutation } }").await;
    assert_eq!(answer.code(), "BAD_USER_INPUT");
}

#[actix_web::test]
async fn keys_that_are_called_like_rows_of_our_statements_are_keys() {
    let app = TestApp::start().await;
    let written = app
        .ask(
            r#"mutation {
            t1: createUser(data: { uid: "u", business: "x" }) { t1: uid t2: business }
            t2: upsertUser(where: { uid: "u" }, create: { business: "y" }, update: { business: "z" }) { t2: business written: uid }
            t3: updateManyUsers(data: { role: "r" }) { t1: count t2: count }
            t4: deleteUser(where: { uid: "u" }) { t2: business t1: orders { t2: uid } row: role }
        }"#,
        )
        .await;
    let expected = json!({
        "t1": { "t1": "u", "t2": "x" },
        "t2": { "t2": "z", "written": "u" },
        "t3": { "t1": 1, "t2": 1 },
        "t4": { "t2": "z", "t1": [], "row": "r" },
    });
    assert_eq!(written.body, json!({ "data": expected }));
}

#[actix_web::test]
async fn a_count_is_of_the_whole_set_however_large_a_page_may_be() {
    let app = TestApp::start_with(&[("limits.service.page_size", "3")]).await;
    let many = "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }";
    for number in 0..5 {
        let variables = json!({ "data": { "uid": format!("u{number}"), "business": "x" } });
        app.post(json!({ "query": many, "variables": variables }).to_string())
            .await;
    }
    let read = app
        .ask("{ usersConnection { aggregate { count } pageInfo { startCursor endCursor hasNextPage } } some: usersConnection(first: 2) { aggregate { count } } rest: usersConnection(skip: 3) { aggregate { count } } }")
        .await;
    let expected = json!({
        "usersConnection": {
            "aggregate": { "count": 5 },
            "pageInfo": { "startCursor": "u0", "endCursor": "u4", "hasNextPage": false },
        },
        "some": { "aggregate": { "count": 2 } },
        "rest": { "aggregate": { "count": 2 } },
    });
    assert_eq!(read.body, json!({ "data": expected }));
}

#[actix_web::test]
async fn introspection_declares_live_to_tools() {
    let app = TestApp::start().await;
    let query = r#"
        query I { __schema { ...D a: directives { n: name isRepeatable @include(if: false) } } other: __schema { queryType { name } } }
        fragment D on __Schema { directives { __typename name locations } directives { description args { name } } }
    "#;
    let answer = app.post(json!({ "query": query }).to_string()).await;
    assert_eq!(answer.body.get("errors"), None, "{}", answer.body);
    let schema = &answer.body["data"]["__schema"];
    let found = |list: &serde_json::Value, key: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .find(|one| one[key] == "live")
            .cloned()
            .unwrap()
    };
    let live = found(&schema["directives"], "name");
    assert_eq!(live["locations"], json!(["QUERY"]));
    assert_eq!(
        (&live["__typename"], &live["args"]),
        (&json!("__Directive"), &json!([]))
    );
    assert!(live["description"].is_string());
    assert_eq!(found(&schema["a"], "n"), json!({ "n": "live" }));
}
