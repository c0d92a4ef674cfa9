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
async fn a_log_out_removes_the_answers_of_its_session_and_no_others() {
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
    assert_ne!(first, second);
    assert_eq!(one.log_out().await.status, 204);
    assert_eq!((keys(&tables).await, readable(&tables).await), (3, 2));

    let mut again = seller(&app).await;
    let repeated = send(&mut again, "one", CREATE).await;
    assert_eq!(
        repeated.code(),
        (200, "LIMIT_EXCEEDED"),
        "{}",
        repeated.body
    );
    let message = repeated.body["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("It was written, once") && message.contains("the session logged out"),
        "{message}"
    );
    assert_eq!(done(&send(&mut again, "two", CREATE).await), second);
    assert_eq!(created(&tables).await, 2, "nothing is written twice");
    let other = CREATE.replace("new", "other");
    let reused = send(&mut again, "one", &other).await;
    assert_eq!(reused.code(), (422, "IDEMPOTENCY_KEY_REUSED"));
}

/// Keys with an answer that somebody may still get.
async fn readable(client: &Client) -> i64 {
    let sql = "select count(*) from gom.idempotency_key k where exists (select from unnest(k.answers) a where a like '{%')";
    crate::count(client, sql).await
}

const TWO_FIELDS: &str = "mutation { \
     a: updateBp(where: { uid: \"late\" }, data: { name2: \"late\" }) { uid } \
     b: createBp(data: { name1: \"new\", customerOf: { connect: { extUid: \"auth0|seller\" } } }) { uid name1 } }";

#[actix_web::test]
async fn after_a_log_out_fields_that_were_not_carried_out_are_and_no_others() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let tables = place.database.connect().await;
    let mut browser = seller(&app).await;
    let first = send(&mut browser, "k", TWO_FIELDS).await;
    assert_eq!(
        first.body["errors"][0]["path"],
        json!(["a"]),
        "{}",
        first.body
    );
    assert_eq!((created(&tables).await, readable(&tables).await), (1, 1));
    assert_eq!(browser.log_out().await.status, 204);
    assert_eq!((keys(&tables).await, readable(&tables).await), (1, 0));
    let made = "select answers[1] is null and answers[2] = '~' and session is null from gom.idempotency_key";
    assert!(tables.query_one(made, &[]).await.unwrap().get::<_, bool>(0));

    let mut again = seller(&app).await;
    let repeated = send(&mut again, "k", TWO_FIELDS).await;
    let errors = &repeated.body["errors"];
    assert_eq!(errors[0]["path"], json!(["a"]), "carried out now: {errors}");
    assert_eq!(errors[1]["path"], json!(["b"]), "{errors}");
    assert_eq!(errors[1]["extensions"]["code"], "LIMIT_EXCEEDED");
    assert_eq!(created(&tables).await, 1);
}

#[actix_web::test]
async fn answers_that_are_locked_during_a_log_out_are_removed_afterwards() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("limits.deadline", "3000")]).await;
    let (tables, other) = (
        place.database.connect().await,
        place.database.connect().await,
    );
    let mut browser = seller(&app).await;
    done(&send(&mut browser, "k", CREATE).await);
    other
        .batch_execute("begin; select from gom.idempotency_key for update")
        .await
        .unwrap();
    assert_eq!(browser.log_out().await.status, 204, "it waits for nobody");
    assert_eq!(readable(&tables).await, 1);
    other.batch_execute("commit").await.unwrap();
    eventually("the answer is removed", async || {
        readable(&tables).await == 0
    })
    .await;
    assert_eq!(keys(&tables).await, 1);
}

#[actix_web::test]
async fn the_session_that_used_a_key_last_takes_its_answers_along() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let tables = place.database.connect().await;
    let (mut one, mut two) = (seller(&app).await, seller(&app).await);
    let first = send(&mut one, "k", TWO_FIELDS).await;
    assert_eq!(
        first.body["errors"][0]["path"],
        json!(["a"]),
        "{}",
        first.body
    );
    tables
        .batch_execute(
            "set search_path = \"default$default\"; insert into \"Bp\" (uid, name1) values ('late', 'late'); \
             insert into \"_CustomerOf\" (\"A\", \"B\") select 'late', uid from \"User\" where \"extUid\" = 'auth0|seller'",
        )
        .await
        .unwrap();
    done(&send(&mut two, "k", TWO_FIELDS).await);
    assert_eq!(two.log_out().await.status, 204);
    assert_eq!((keys(&tables).await, readable(&tables).await), (1, 0));
}

#[actix_web::test]
async fn another_role_gets_no_stored_answer_and_writes_nothing() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let tables = place.database.connect().await;
    let policy = std::fs::read_to_string("config/policy.toml").unwrap();
    let of_sellers = policy.split_once("[roles.seller]").unwrap().1;
    let of_sellers = of_sellers.split_once("[roles.customer]").unwrap().0;
    let of_managers = format!("[roles.seller]{of_sellers}")
        .replace("[roles.seller", "[roles.manager")
        .replace("role:seller", "role:manager");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, format!("{policy}\n{of_managers}")).unwrap();
    let app_of_both = place
        .serve(&[("policy.file", file.to_str().unwrap())])
        .await;
    let mut as_seller = seller(&app_of_both).await;
    let first = done(&send(&mut as_seller, "k", CREATE).await);

    tables
        .batch_execute("update gom.account set role = 'manager' where subject = 'auth0|seller'")
        .await
        .unwrap();
    let mut as_manager = seller(&app_of_both).await;
    let reply = send(&mut as_manager, "k", CREATE).await;
    assert_eq!(
        reply.code(),
        (422, "IDEMPOTENCY_KEY_REUSED"),
        "{}",
        reply.body
    );
    assert_eq!(created(&tables).await, 1);
    done(&send(&mut as_manager, "another", CREATE).await);
    // On a server that knows nothing of managers, as before.
    assert_eq!(
        done(&send(&mut as_seller.at(&app), "k", CREATE).await),
        first
    );
}

#[actix_web::test]
async fn servers_of_two_schemas_in_one_database_share_no_keys() {
    let app = TestApp::start().await;
    let url = app.database().url();
    let other = TestApp::on(&url, None, &[("database.schema", "other")]).await;
    eventually("the other server answers", async || {
        let answer = other.ask("{ users { uid } }").await;
        answer.body.get("errors").is_none()
    })
    .await;
    let tables = crate::tables(&app).await;
    let query = crate::create("here");
    let here = crate::keyed(&app, "k", &query).await;
    here.assert_done();
    let there = crate::keyed(&other, "k", &query).await;
    there.assert_done();
    assert_ne!(there, here);
    crate::keyed(&other, "l", &crate::create("there"))
        .await
        .assert_done();
    assert_eq!(crate::keyed(&app, "k", &query).await, here);
    assert_eq!(crate::keyed(&other, "k", &query).await, there);
    let rows = "select (select count(*) from \"User\") + (select count(*) from other.\"User\")";
    assert_eq!(
        (crate::count(&tables, rows).await, keys(&tables).await),
        (3, 3)
    );
}

#[actix_web::test]
async fn a_user_with_too_many_keys_learns_that_an_earlier_request_may_be_in_flight() {
    let place = Place::new(Stores::Postgres).await;
    let settings = [
        ("idempotency.keys_per_user", "2"),
        ("limits.deadline", "120000"),
    ];
    let app = shops(&place, &settings).await;
    let node = place.serve(&settings).await;
    let (tables, other) = (
        place.database.connect().await,
        place.database.connect().await,
    );
    let mut browser = seller(&app).await;
    let mut at_node = browser.at(&node);
    done(&send(&mut browser, "x", &CREATE.replace("new", "x")).await);
    other
        .batch_execute("begin; select from \"default$default\".\"User\" for update")
        .await
        .unwrap();
    let (first, ()) = futures::join!(send(&mut browser, "k", CREATE), async {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually("the first waits for a lock", async || {
            crate::count(&tables, sql).await == 1
        })
        .await;
        // Another request of theirs takes the last place for a key.
        tables
            .batch_execute("insert into gom.idempotency_key (viewer, key, request) select viewer, 'full', request from gom.idempotency_key")
            .await
            .unwrap();
        let refused = send(&mut at_node, "k", CREATE).await;
        assert_eq!(refused.code(), (200, "LIMIT_EXCEEDED"), "{}", refused.body);
        let message = refused.body["errors"][0]["message"].as_str().unwrap();
        assert!(
            message.contains("an earlier one with the same key, if it is still in flight, may still be carried out"),
            "{message}"
        );
        other.batch_execute("commit").await.unwrap();
    });
    let first = done(&first);
    assert_eq!(done(&send(&mut at_node, "k", CREATE).await), first);
    assert_eq!(created(&tables).await, 1);
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
        message.contains(
            "the limit is 2 (idempotency.keys_per_user). This request has written nothing"
        ),
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
