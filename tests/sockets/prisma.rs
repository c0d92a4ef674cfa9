//! Prisma 1's own client libraries, from npm, at each address that they may be given; and the socket protocol that its older
//! clients speak.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::transport_ws::{NEW_USERS, create_user};
use crate::wire::{Got, Wire, token};
use gom_test_support::place::{Place, Stores};

const OLDEST: &str = "graphql-subscriptions";

fn start(id: impl Into<Value>, query: &str) -> Value {
    json!({ "id": id.into(), "type": "subscription_start", "query": query, "variables": null })
}

fn init(token: &str) -> Value {
    json!({ "type": "init", "payload": { "Authorization": format!("Bearer {token}") } })
}

#[actix_web::test]
async fn prismas_own_clients_write_read_and_subscribe_as_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sockets/prisma");
    assert!(
        folder.join("node_modules").exists(),
        "the clients are missing: run `npm ci --prefix tests/sockets/prisma --ignore-scripts`"
    );
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    let input = json!({
        "address": app.address,
        "secret": app.settings.service.secret.as_ref().unwrap().expose(),
        "gom": env!("CARGO_BIN_EXE_gom"),
    });
    let mut command = Command::new("node");
    command
        .arg(folder.join("clients.js"))
        .arg(input.to_string())
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(120), command.output())
        .await
        .expect("it ends")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for client in [
        "prisma-binding",
        "prisma-client-lib",
        "graphql-subscriptions",
    ] {
        for path in ["", "/", "/default/default", "/my-shop/dev", "/graphql"] {
            assert!(
                said.contains(&format!("{client} at \"{path}\": good\n")),
                "{client} {path}: {said}"
            );
        }
    }
    assert!(said.contains("strangers: refused\n"), "{said}");
}

#[actix_web::test]
async fn the_oldest_protocol_answers_each_start_and_sends_no_end() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    let mut wire = Wire::open(&app, OLDEST, &[]).await.unwrap();
    wire.send(init(&token(&app, Duration::from_secs(3_600))))
        .await;
    wire.send(start("1", NEW_USERS)).await;
    assert_eq!(wire.text().await, json!({ "type": "init_success" }));
    assert_eq!(
        wire.text().await,
        json!({ "type": "subscription_success", "id": "1" })
    );
    create_user(&app, "one").await;
    let event = wire.text().await;
    assert_eq!(
        (&event["type"], &event["id"]),
        (&json!("subscription_data"), &json!("1"))
    );
    assert_eq!(event["payload"]["data"]["user"]["node"]["extUid"], "one");

    wire.send(start(7, "{ __typename }")).await;
    assert_eq!(
        wire.text().await,
        json!({ "type": "subscription_success", "id": 7 })
    );
    let data = json!({ "data": { "__typename": "Query" } });
    assert_eq!(
        wire.text().await,
        json!({ "type": "subscription_data", "id": 7, "payload": data })
    );
    wire.send(json!({ "id": "1", "type": "subscription_end" }))
        .await;
    create_user(&app, "two").await;
    assert!(wire.is_quiet().await, "ended, and nothing tells of it");
}

#[actix_web::test]
async fn the_oldest_protocol_reports_refusals_in_its_own_format() {
    let place = Place::new(Stores::Postgres).await;
    let app = place
        .serve(&[
            ("sockets.operations", "1"),
            ("sockets.init_timeout", "2000"),
        ])
        .await;
    let mut wire = Wire::open(&app, OLDEST, &[]).await.unwrap();
    wire.send(init(&token(&app, Duration::from_secs(3_600))))
        .await;
    assert_eq!(wire.text().await["type"], "init_success");
    for (said, id) in [
        ("no json", json!(null)),
        ("[]", json!(null)),
        (r#"{"id":"9","type":"start","payload":{}}"#, json!("9")),
        (r#"{"id":"9"}"#, json!("9")),
        (r#"{"id":"9","type":"subscription_start"}"#, json!("9")),
        (
            r#"{"id":{},"type":"subscription_start","query":"{ __typename }"}"#,
            json!(null),
        ),
        (
            r#"{"id":"9","type":"subscription_start","query":"{ users {"}"#,
            json!("9"),
        ),
        (
            r#"{"id":"9","type":"subscription_start","query":"{ nothing }"}"#,
            json!("9"),
        ),
    ] {
        wire.say(said).await;
        let answer = wire.text().await;
        assert_eq!(
            (&answer["type"], &answer["id"]),
            (&json!("subscription_fail"), &id),
            "{said}: {answer}"
        );
        assert!(
            answer["payload"]["errors"][0]["message"].is_string(),
            "{said}: {answer}"
        );
    }
    wire.send(start("1", NEW_USERS)).await;
    assert_eq!(wire.text().await["type"], "subscription_success");
    wire.send(start("2", NEW_USERS)).await;
    assert_eq!(
        wire.text().await["payload"]["errors"][0]["extensions"]["code"],
        "LIMIT_EXCEEDED"
    );

    let mut early = Wire::open(&app, OLDEST, &[]).await.unwrap();
    early.send(start("1", NEW_USERS)).await;
    assert_eq!(early.text().await["type"], "subscription_fail");
    let mut nobody = Wire::open(&app, OLDEST, &[]).await.unwrap();
    nobody.send(json!({ "type": "init" })).await;
    let refused =
        json!({ "type": "init_fail", "payload": { "error": "Authentication token is invalid." } });
    assert_eq!(nobody.text().await, refused);
    assert!(matches!(nobody.got().await, Got::Closed(1011, _)));
    let mut silent = Wire::open(&app, OLDEST, &[]).await.unwrap();
    assert_eq!(silent.text().await["type"], "init_fail");
    assert_eq!(silent.end().await, 1011);
}
