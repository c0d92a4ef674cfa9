//! A database made by Prisma 1, served as it stands: its rows, its unindexed links, its old relation tables.

use gom_test_support::TestDatabase;
use reqwest::Method;
use serde_json::json;

use gom_test_support::app::TestApp;

#[actix_web::test]
async fn links_are_written_into_relation_tables_that_want_an_id() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    client
        .batch_execute(include_str!("../fixtures/prisma1.sql"))
        .await
        .unwrap();
    let url = database.url();
    let app = TestApp::on(&url, Some(database), &[("database.deploy", "false")]).await;
    let users = app.ask("{ users(first: 1) { uid } }").await;
    let user = users.body["data"]["users"][0]["uid"]
        .as_str()
        .expect("the fixture has a seller")
        .to_owned();

    let mutation = "mutation Create($user: ID!) {
        createBp(data: { name1: \"Luz\", customerOf: { connect: { uid: $user } } }) { uid customerOf { uid } }
    }";
    let answer = app
        .post(json!({ "query": mutation, "variables": { "user": user } }).to_string())
        .await;
    assert_eq!(
        answer.body["data"]["createBp"]["customerOf"],
        json!([{ "uid": user }]),
        "{}",
        answer.body
    );

    let bp = answer.body["data"]["createBp"]["uid"].as_str().unwrap();
    let unlink = "mutation Unlink($bp: ID!, $user: ID!) {
        updateBp(where: { uid: $bp }, data: { customerOf: { disconnect: { uid: $user } } }) { customerOf { uid } }
    }";
    let answer = app
        .post(json!({ "query": unlink, "variables": { "bp": bp, "user": user } }).to_string())
        .await;
    assert_eq!(
        answer.body,
        json!({ "data": { "updateBp": { "customerOf": [] } } })
    );

    // Nothing logs its changes before it is brought to the datamodel.
    let subscribe = json!({ "query": "subscription { bp { mutation } }" }).to_string();
    let request = app
        .authorized(Method::POST, "/graphql")
        .header("content-type", "application/json");
    let events = request
        .header("accept", "text/event-stream")
        .body(subscribe)
        .send()
        .await
        .unwrap();
    let events = events.text().await.unwrap();
    assert!(
        events.contains("gom migrate apply") && events.contains("GRAPHQL_EXECUTION_ERROR"),
        "{events}"
    );
}
