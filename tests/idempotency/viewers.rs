//! Whose keys they are.

use reqwest::Method;
use serde_json::{Value, json};

use gom_test_support::app::TestApp;
use gom_test_support::browser::{Browser, Reply};
use gom_test_support::eventually;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{OTHER_SELLER, OTHER_USERNAME, PASSWORD, SELLER, seller, shops};
use tokio_postgres::Client;

use crate::{keys, post};

const CREATE: &str = "mutation { createBp(data: { name1: \"new\", customerOf: { connect: { extUid: \"auth0|seller\" } } }) \
                      { uid name1 createdAt } }";

/// The same of the other shop.
fn of_other_shop() -> String {
    CREATE.replace(SELLER, OTHER_SELLER)
}

async fn send(browser: &mut Browser, key: &str, query: &str) -> Reply {
    let body = json!({ "query": query });
    let headers = [("idempotency-key", key)];
    browser
        .send_with(Method::POST, "/graphql", Some(body), &headers)
        .await
}

async fn other_seller(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    let reply = browser.by_password(OTHER_USERNAME, PASSWORD).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    browser
}

async fn created(client: &Client) -> i64 {
    let sql = "select count(*) from \"default$default\".\"Bp\" where name1 = 'new'";
    crate::count(client, sql).await
}

fn done(reply: &Reply) -> Value {
    assert_eq!(
        (reply.status.as_u16(), reply.body.get("errors")),
        (200, None),
        "{}",
        reply.body
    );
    reply.body.clone()
}

#[actix_web::test]
async fn a_key_belongs_to_its_viewer_and_shows_nobody_elses_answers() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let tables = place.database.connect().await;
    let (mut one, mut other) = (seller(&app).await, other_seller(&app).await);
    let of_one = done(&send(&mut one, "k", CREATE).await);
    let of_other = done(&send(&mut other, "k", &of_other_shop()).await);
    assert_ne!(of_one, of_other);
    let of_ones_text = send(&mut other, "k", CREATE).await;
    assert_eq!(of_ones_text.code(), (422, "IDEMPOTENCY_KEY_REUSED"));
    // The same text of other viewers, and another text of the service's.
    let of_service = post(
        &app,
        Some("k"),
        json!({ "query": "mutation { deleteManyItems { count } }" }),
    )
    .await;
    of_service.assert_done();
    assert_eq!(done(&send(&mut one, "k", CREATE).await), of_one);
    assert_eq!(
        done(&send(&mut other, "k", &of_other_shop()).await),
        of_other
    );
    assert_eq!((created(&tables).await, keys(&tables).await), (2, 3));

    // In another session, the user is the same.
    let mut again = seller(&app).await;
    assert_eq!(done(&send(&mut again, "k", CREATE).await), of_one);
    assert_eq!(created(&tables).await, 2);
}

#[actix_web::test]
async fn a_viewer_that_may_not_do_it_any_more_gets_no_stored_answer() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    let first = done(&send(&mut browser, "k", CREATE).await);

    let policy = std::fs::read_to_string("config/policy.toml").unwrap();
    let stricter = policy.replace("createBp = \"create:bp\"\n", "");
    assert_ne!(policy, stricter);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, stricter).unwrap();
    let strict = place
        .serve(&[("policy.file", file.to_str().unwrap())])
        .await;
    let reply = send(&mut browser.at(&strict), "k", CREATE).await;
    assert_eq!(reply.code(), (200, "FORBIDDEN"), "{}", reply.body);
    assert_eq!(done(&send(&mut browser, "k", CREATE).await), first);
}

#[actix_web::test]
async fn a_log_out_removes_the_keys_of_its_session_and_no_others() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let tables = place.database.connect().await;
    let (mut one, mut two) = (seller(&app).await, seller(&app).await);
    let first = done(&send(&mut one, "one", CREATE).await);
    let second = done(&send(&mut two, "two", CREATE).await);
    post(
        &app,
        Some("k"),
        json!({ "query": "mutation { deleteManyItems { count } }" }),
    )
    .await
    .assert_done();
    assert_eq!(keys(&tables).await, 3);
    assert_eq!(one.log_out().await.status, 204);
    assert_eq!(keys(&tables).await, 2);

    let mut again = seller(&app).await;
    assert_ne!(
        done(&send(&mut again, "one", CREATE).await),
        first,
        "written again"
    );
    assert_eq!(done(&send(&mut again, "two", CREATE).await), second);
    assert_eq!(created(&tables).await, 3);
}

#[actix_web::test]
async fn a_user_has_so_many_keys_and_no_more() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("idempotency.keys_per_user", "2")]).await;
    let tables = place.database.connect().await;
    let mut browser = seller(&app).await;
    let first = done(&send(&mut browser, "1", CREATE).await);
    let one = |alias: &str| CREATE.replace("mutation { createBp", &format!("{alias}: createBp"));
    let field = |alias: &str| one(alias).trim_end_matches(" }").to_owned() + " }";
    let several = format!("mutation {{ {} {} }}", field("a"), field("b"));
    let second = done(&send(&mut browser, "2", &several).await);
    let refused = send(&mut browser, "3", CREATE).await;
    assert_eq!(refused.code(), (200, "LIMIT_EXCEEDED"));
    let message = refused.body["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("the limit is 2 (idempotency.keys_per_user). Nothing was written"),
        "{message}"
    );
    assert_eq!(done(&send(&mut browser, "1", CREATE).await), first);
    assert_eq!(done(&send(&mut browser, "2", &several).await), second);
    assert_eq!(created(&tables).await, 3);
    // Others, and requests without a key, are not concerned.
    done(&send(&mut other_seller(&app).await, "3", &of_other_shop()).await);
    browser.data(CREATE, json!({})).await;
    for key in ["1", "2", "3"] {
        let query = json!({ "query": "mutation { deleteManyItems { count } }" });
        post(&app, Some(key), query).await.assert_done();
    }

    tables
        .batch_execute("update gom.idempotency_key set created_at = now() - interval '2 days' where answers[2] is null")
        .await
        .unwrap();
    eventually("the old keys are removed", async || {
        keys(&tables).await == 1
    })
    .await;
    done(&send(&mut browser, "3", CREATE).await);
}
