//! The clients that people use, from npm: `graphql-ws`, `subscriptions-transport-ws`, `graphql-sse`, urql and Apollo.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::wire::{cookies, token};
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{CODE, OTHER_CODE, seller, shops};

#[actix_web::test]
async fn the_clients_of_npm_query_and_subscribe_for_both_roles() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sockets/npm");
    assert!(
        folder.join("node_modules").exists(),
        "the clients are missing: run `npm ci --prefix tests/sockets/npm --ignore-scripts`"
    );
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let browser = seller(&app).await;
    let input = json!({
        "address": app.address,
        "token": token(&app, Duration::from_secs(3_600)),
        "cookies": cookies(&browser),
        "csrf": browser.jar["csrf-token"],
        "customers": [CODE, OTHER_CODE],
    });
    let mut command = Command::new("node");
    command
        .arg(folder.join("clients.js"))
        .arg(input.to_string())
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(60), command.output())
        .await
        .expect("it ends")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for client in ["graphql-ws", "subscriptions-transport-ws", "graphql-sse"] {
        for role in ["service", "seller"] {
            assert!(
                said.contains(&format!("{client} as {role}: good\n")),
                "{said}"
            );
        }
    }
    for (client, accepts) in [
        (
            "urql, which accepts",
            "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
        ),
        (
            "apollo, which accepts",
            "application/graphql-response+json,application/json;q=0.9",
        ),
        (
            "urql's subscriptions, which accept",
            "text/event-stream, multipart/mixed",
        ),
    ] {
        assert!(
            said.contains(&format!("{client} {accepts}: good\n")),
            "{said}"
        );
    }
}

#[actix_web::test]
async fn the_audit_of_graphql_over_http_finds_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sockets/npm");
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    let input = json!({ "address": app.address, "token": token(&app, Duration::from_secs(3_600)) });
    let mut command = Command::new("node");
    command
        .arg(folder.join("audit.js"))
        .arg(input.to_string())
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(60), command.output())
        .await
        .expect("it ends")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(said, "61 of 61 are ok\n");
}
