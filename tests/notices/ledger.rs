//! The ledger over GraphQL: users read their own deliveries, the service role reads all of them, and endpoints are never shown.

use std::sync::Arc;
use std::time::Duration;

use gom_server::graphql::{self, Answer, Api, Data, Request};
use gom_server::identity::Viewer;
use gom_server::ledger;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use gom_test_support::demo_shop::{PALETAS, Shop, TACOS, customer, customer_of, seller};

async fn ask(shop: &Shop, viewer: &Viewer, text: &str) -> (Value, Vec<&'static str>) {
    let engine = Arc::new(
        ledger::engine(&gom_test_support::demo_shop::settings(
            "postgres://unused@localhost/unused",
        ))
        .unwrap(),
    );
    let api = Api {
        engine,
        ..shop.api.clone()
    };
    let request = Request {
        text: text.to_owned(),
        ..Request::default()
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    let answer = graphql::execute(&api, request, ledger::reader(viewer), true, deadline).await;
    let Some(Answer { data, errors, .. }) = answer else {
        return (Value::Null, vec!["no query"]);
    };
    let data = match data {
        Data::Fields(fields) => fields
            .iter()
            .map(|(key, fragment)| {
                (
                    key.clone(),
                    serde_json::from_slice(fragment.as_bytes()).unwrap(),
                )
            })
            .collect::<Map<_, _>>()
            .into(),
        _ => Value::Null,
    };
    (data, errors.iter().map(|error| error.kind.code()).collect())
}

async fn with_rows() -> Shop {
    let shop = Shop::open().await;
    let rows = "
        insert into gom.notification (id, subject, source, kind, node, operation, title, body, ttl_ms, urgency, created_at, expires_at)
        select n, 'order', 'o1', 'order', 'o1', 'create', 'Pedido nuevo', n, 1000, 'high', '2026-11-25 01:02:03.456789Z', '2026-11-26 01:02:03Z'
        from unnest(array['n1', 'n2']) n;
        insert into gom.delivery (id, notification, recipient, endpoint, origin, device, state, attempts, status, reason)
        values ('d1', 'n1', 'auth0|demo-paletas', 'https://push.example/secret1', 'https://push.example', 'AAAA', 'DELIVERED', 1, 201, null),
               ('d2', 'n1', 'customer:c1:auth0|demo-paletas', 'https://push.example/secret2', 'https://push.example', 'BBBB', 'FAILED', 3, 400, 'no'),
               ('d3', 'n2', 'auth0|demo-tacos', 'https://push.example/secret3', 'https://push.example', 'CCCC', 'WAITING', 0, null, null);";
    shop.tables.batch_execute(rows).await.unwrap();
    shop
}

const ALL: &str = "{ deliveries(orderBy: id_ASC) { id recipient state attempts status reason origin device notification { id title } }
    notifications(orderBy: id_ASC) { id createdAt settledAt deliveries { id } } }";

#[actix::test]
async fn users_see_their_own_deliveries_and_the_service_role_all() {
    let shop = with_rows().await;
    let (data, errors) = ask(&shop, &seller(PALETAS), ALL).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(
        data["deliveries"],
        json!([{
            "id": "d1", "recipient": PALETAS, "state": "DELIVERED", "attempts": 1, "status": 201, "reason": null,
            "origin": "https://push.example", "device": "AAAA", "notification": { "id": "n1", "title": "Pedido nuevo" },
        }])
    );
    // Of the recipients of one notification a user sees only itself.
    assert_eq!(
        data["notifications"],
        json!([
            { "id": "n1", "createdAt": "2026-11-25T01:02:03.457Z", "settledAt": null, "deliveries": [{ "id": "d1" }] },
        ])
    );
    let (data, _) = ask(&shop, &customer("c1"), "{ deliveries { id reason } }").await;
    assert_eq!(data["deliveries"], json!([{ "id": "d2", "reason": "no" }]));
    // The same customer at another shop is another user.
    let (data, _) = ask(&shop, &customer_of(TACOS, "c1"), ALL).await;
    assert_eq!(data, json!({ "deliveries": [], "notifications": [] }));
    let (data, _) = ask(&shop, &customer("c2"), ALL).await;
    assert_eq!(data, json!({ "deliveries": [], "notifications": [] }));
    let (data, _) = ask(
        &shop,
        &seller(TACOS),
        "{ delivery(where: { id: \"d1\" }) { id } }",
    )
    .await;
    assert_eq!(data, json!({ "delivery": null }));
    let (data, errors) = ask(&shop, &Viewer::Service, "{ deliveriesConnection(where: { state_in: [WAITING, SENDING] }) { aggregate { count } } deliveries(where: { notification: { node: \"o1\" }, createdAt_gt: \"2020-01-01\" }) { id } }").await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(data["deliveries"].as_array().unwrap().len(), 3);
    assert_eq!(data["deliveriesConnection"]["aggregate"]["count"], 1);
}

#[actix::test]
async fn nobody_writes_the_ledger_or_reads_an_endpoint() {
    let shop = with_rows().await;
    for viewer in [&seller(PALETAS), &Viewer::Service] {
        let delete = "mutation { deleteManyDeliveries { count } }";
        assert_eq!(ask(&shop, viewer, delete).await.1, ["no query"]);
        let (_, errors) = ask(&shop, viewer, "{ deliveries { endpoint } }").await;
        assert_eq!(errors, ["GRAPHQL_VALIDATION_FAILED"]);
    }
    assert_eq!(shop.count("select count(*) from gom.delivery").await, 3);
}
