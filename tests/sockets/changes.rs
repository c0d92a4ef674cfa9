//! What a session's next token changes for a connection that goes on, and what its end leaves to be answered.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::json;
use tokio::time::timeout;

use crate::renewal::{NEW_ORDERS, name, order, subscribe};
use crate::wire::{LEGACY, TRANSPORT_WS, Wire, cookies};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{
    CODE, OTHER_CODE, OTHER_SELLER, OTHER_USERNAME, SELLER, USERNAME, customer, seller, shops,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn streaming(app: &TestApp, jar: &str) -> RequestBuilder {
    let encoded: String = NEW_ORDERS
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    reqwest::Client::new()
        .get(format!("{}/graphql?query={encoded}", app.address))
        .header("accept", "text/event-stream")
        .header("cookie", jar)
}

async fn stream(request: RequestBuilder) -> Response {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

/// What comes until some text has come, or the end.
async fn read_until(text: Option<&str>, response: &mut Response) -> String {
    let mut read = String::new();
    while text.is_none_or(|text| !read.contains(text)) {
        let part = timeout(PATIENCE, response.chunk())
            .await
            .unwrap_or_else(|_| panic!("{read}"))
            .unwrap();
        let Some(part) = part else { return read };
        read.push_str(std::str::from_utf8(&part).unwrap());
    }
    read
}

fn last_id(read: &str) -> &str {
    read.lines()
        .rev()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
}

/// Places orders until the socket has the event of the last one, after those of all that it was served before; the last one's
/// name. All begin with `prefix`, and none's name begins another's.
async fn order_until_heard(wire: &mut Wire, prefix: &str, order: impl AsyncFn(&str)) -> String {
    let mut last = String::new();
    for number in 1.. {
        last = format!("{prefix} {number}.");
        order(&last).await;
        if let Ok(event) = timeout(Duration::from_millis(300), wire.text()).await {
            let mut heard = name(&event["payload"]);
            while heard != last {
                assert!(heard.starts_with(prefix), "{heard}");
                heard = name(&wire.text().await["payload"]);
            }
            break;
        }
    }
    last
}

#[actix_web::test]
async fn a_quiet_subscription_resumes_with_changed_permissions_after_a_trim() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(
        &place,
        &[("auth.accounts.expiration", "4"), ("sockets.per_user", "2")],
    )
    .await;
    let jar = cookies(&seller(&app).await);
    let mut wire = subscribe(&app, TRANSPORT_WS, &jar).await;
    let mut quiet = stream(streaming(&app, &jar)).await;
    let mut read = read_until(Some("id: "), &mut quiet).await;
    // Both are known to the hub when they have an event of the same order.
    let last = order_until_heard(&mut wire, "first", async |name| {
        order(&app, SELLER, CODE, name).await
    })
    .await;
    read.push_str(&read_until(Some(&last), &mut quiet).await);
    let had = last_id(&read).to_owned();

    let mut service = Wire::service(&app, TRANSPORT_WS).await;
    let payload = json!({ "query": NEW_ORDERS });
    service
        .send(json!({ "id": "1", "type": "subscribe", "payload": payload }))
        .await;
    let mut heard = HashSet::new();
    while heard.len() < 4 {
        order(
            &app,
            OTHER_SELLER,
            OTHER_CODE,
            &format!("unseen {}", heard.len()),
        )
        .await;
        if let Ok(event) = timeout(Duration::from_millis(300), service.text()).await {
            heard.insert(name(&event["payload"]));
        }
    }
    let client = place.database.connect().await;
    client
        .execute("UPDATE gom.feed SET oldest = position - 1", &[])
        .await
        .unwrap();
    client
        .execute(
            "DELETE FROM gom.account WHERE username = $1",
            &[&OTHER_USERNAME],
        )
        .await
        .unwrap();
    let change = "UPDATE gom.account SET subject = $2 WHERE username = $1";
    assert_eq!(
        client
            .execute(change, &[&USERNAME, &OTHER_SELLER])
            .await
            .unwrap(),
        1
    );

    // The stream ends after its last event id was sent; the socket goes on without a reconnect.
    read.push_str(&read_until(None, &mut quiet).await);
    assert_ne!(last_id(&read), had, "{read}");
    let back = streaming(&app, &jar).header("last-event-id", last_id(&read));
    let mut back = stream(back).await;
    order_until_heard(&mut wire, "other", async |name| {
        order(&app, OTHER_SELLER, OTHER_CODE, name).await
    })
    .await;
    let events = read_until(Some("other 1."), &mut back).await;
    assert!(!events.contains("RESYNC_REQUIRED"), "{events}");
    // Both are the other's from now on.
    assert_eq!(
        Wire::open(&app, TRANSPORT_WS, &[("cookie", &jar)])
            .await
            .err(),
        Some(429)
    );
}

#[actix_web::test]
async fn a_mutation_that_commits_while_the_token_ends_is_answered_on_a_legacy_socket() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(
        &place,
        &[("auth.local.expiration", "8"), ("limits.deadline", "60000")],
    )
    .await;
    let luz = customer(&app).await;
    let uid = luz.payload()["sub"].as_str().unwrap().to_owned();
    let client = place.database.connect().await;
    let slow_commit = "
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON \"default$default\".\"Order\"
          DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
        SELECT pg_advisory_lock(7)";
    client.batch_execute(slow_commit).await.unwrap();
    let mut wire = subscribe(&app, LEGACY, &cookies(&luz)).await;
    let create = "mutation($data: OrderCreateInput!) { createOrder(data: $data) { name } }";
    let data = json!({
        "name": "late",
        "assignedTo": { "connect": { "extUid": SELLER } },
        "issuedTo": { "connect": { "uid": uid } },
    });
    let payload = json!({ "query": create, "variables": { "data": data } });
    wire.send(json!({ "id": "m", "type": "start", "payload": payload }))
        .await;
    let ended = wire.text().await;
    assert_eq!(ended["type"], "connection_error", "{ended}");
    let ended = wire.text().await;
    assert_eq!(
        (&ended["id"], &ended["payload"]["message"]),
        (&json!("1"), &json!("jwt expired")),
        "{ended}"
    );
    client
        .execute("SELECT pg_advisory_unlock(7)", &[])
        .await
        .unwrap();
    let answer = wire.text().await;
    let expected = json!({ "type": "data", "id": "m", "payload": { "data": { "createOrder": { "name": "late" } } } });
    assert_eq!(answer, expected);
    assert_eq!(wire.text().await["type"], "complete");
}
