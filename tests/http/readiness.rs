//! Health, and a database that is not there.

use reqwest::{Method, StatusCode};
use serde_json::json;

use gom_test_support::app::{TestApp, read};

#[actix_web::test]
async fn a_server_with_its_database_is_ready() {
    let app = TestApp::start().await;
    let answer = read(app.request(Method::GET, "/readyz").send().await.unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["database"]["state"], "ready");
    assert_eq!(answer.body["datamodel"]["state"], "ready");
    let answer = read(app.request(Method::GET, "/healthz/").send().await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.body),
        (StatusCode::OK, json!({ "status": "ok" }))
    );
}

#[actix_web::test]
async fn without_a_database_the_server_is_alive_and_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("host={} user=gom dbname=gom", folder.path().display());
    let app = TestApp::on(&url, None, &[]).await;
    assert_eq!(app.get("/healthz").await.status, StatusCode::OK);
    let answer = app.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "1")
    );
    assert_eq!(answer.body["datamodel"]["state"], "starting");

    for query in [
        "{ users { uid } }",
        r#"mutation { createUser(data: { business: "x" }) { uid } }"#,
    ] {
        let answer = app.ask(query).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (StatusCode::SERVICE_UNAVAILABLE, "1")
        );
        assert_eq!(answer.code(), "SERVICE_UNAVAILABLE");
    }
    let answer = app.ask("{ __typename }").await;
    assert_eq!(
        answer.body,
        json!({ "data": { "__typename": "Query" } }),
        "needs no database"
    );
}
