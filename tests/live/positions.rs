//! Positions of answers: a subscription from a query's cursor misses nothing, one from a mutation's does not show it, and a query
//! after a cursor includes it, on every server.

use std::collections::BTreeSet;
use std::time::Duration;

use gom_engine::events::Cursor;
use gom_server::identity::{AppKeys, Cursors};
use gom_server::settings::Secret;
use gom_test_support::TestDatabase;
use gom_test_support::app::{Answer, SECRET, TestApp};
use serde_json::{Value, json};

use crate::stream::Stream;
use crate::{order, people, shop};

const NAMES: &str = "subscription { order(where: { mutation_in: [CREATED] }) { node { name } } }";
const ORDERS: &str = "{ orders { name } }";
const RENAME: &str = "mutation($uid: ID!, $name: String!) { updateOrder(where: { uid: $uid }, data: { name: $name }) { name } }";

async fn with(app: &TestApp, query: &str, variables: Value, extensions: Value) -> Answer {
    let body = json!({ "query": query, "variables": variables, "extensions": extensions });
    app.post(body.to_string()).await
}

fn cursor(answer: &Answer) -> String {
    let cursor = answer.body["extensions"]["cursor"].as_str();
    cursor
        .unwrap_or_else(|| panic!("{}", answer.body))
        .to_owned()
}

fn cursors() -> Cursors {
    Cursors::new(AppKeys::new(&Secret::new(SECRET), None))
}

/// The cursor of the last position of the app's change log.
async fn head(tables: &tokio_postgres::Client) -> Cursor {
    let state = "select position, nonce from gom.stamp_log()";
    let state = tables.query_one(state, &[]).await.unwrap();
    let (position, nonce): (i64, i64) = (state.get(0), state.get(1));
    Cursor {
        nonce: nonce.cast_unsigned(),
        ..Cursor::after(0, position.cast_unsigned())
    }
}

#[actix_web::test]
async fn a_subscription_from_the_cursor_of_a_query_has_all_that_it_does_not_show() {
    let (app, _) = shop().await;
    let writing = async {
        for number in 0..60 {
            order(&app, "one", &format!("order {number}")).await;
        }
    };
    let reading = async {
        for _ in 0..10 {
            let answer = with(&app, ORDERS, json!({}), json!({ "cursor": true })).await;
            let shown: BTreeSet<String> = answer.body["data"]["orders"]
                .as_array()
                .unwrap()
                .iter()
                .map(|order| order["name"].as_str().unwrap().to_owned())
                .collect();
            let mut tail = Stream::open(&app, NAMES, json!({}), Some(&cursor(&answer))).await;
            let mut known = shown;
            // The query may show some of the events already; none is missing.
            let next = format!("order {}", known.len());
            while !known.contains(&next) && known.len() < 60 {
                let event = tail.data().await;
                known.insert(event["order"]["node"]["name"].as_str().unwrap().to_owned());
                let missing = (0..known.len()).find(|n| !known.contains(&format!("order {n}")));
                assert_eq!(missing, None, "{known:?}");
            }
        }
    };
    tokio::join!(writing, reading);
}

#[actix_web::test]
async fn a_mutations_cursor_is_at_or_after_its_changes_and_a_query_after_it_shows_them_on_every_server()
 {
    let database = TestDatabase::create().await;
    let settings = [("live.poll_interval", "60000")];
    let here = TestApp::on(&database.url(), None, &settings).await;
    let there = TestApp::on(&database.url(), None, &settings).await;
    people(&here).await;
    let uid = order(&here, "one", "first").await;
    for number in 0..20 {
        let name = format!("name {number}");
        let variables = json!({ "uid": uid, "name": name });
        let written = with(&here, RENAME, variables, json!({ "cursor": true })).await;
        assert_eq!(written.body["data"]["updateOrder"]["name"], name);
        let cursor = cursor(&written);
        let read = with(&there, ORDERS, json!({}), json!({ "after": cursor })).await;
        assert_eq!(
            read.body,
            json!({ "data": { "orders": [{ "name": name }] } })
        );
        if number % 10 == 0 {
            let all = "subscription { order { node { name } } }";
            let mut tail = Stream::open(&here, all, json!({}), Some(&cursor)).await;
            let later = json!({ "uid": uid, "name": "later" });
            with(&here, RENAME, later, json!({})).await;
            let event = tail.data().await;
            assert_eq!(
                event["order"]["node"]["name"], "later",
                "not its own change"
            );
        }
    }
}

#[actix_web::test]
async fn what_a_query_cannot_include_is_refused_and_nothing_stale_is_shown() {
    let (app, tables) = shop().await;
    order(&app, "one", "a").await;
    let hurried = TestApp::on(
        &app.database().url(),
        None,
        &[("limits.service.deadline", "3000")],
    )
    .await;
    let head = head(&tables).await;
    let future = cursors().seal(Cursor {
        position: head.position + 1_000,
        ..head
    });
    let refused = with(&hurried, ORDERS, json!({}), json!({ "after": future })).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (503, "SERVICE_UNAVAILABLE")
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.message().starts_with("extensions.after: "));

    let foreign = cursors().seal(Cursor {
        nonce: head.nonce ^ 2,
        ..head
    });
    let refused = with(&app, ORDERS, json!({}), json!({ "after": foreign })).await;
    assert_eq!(refused.code(), "RESYNC_REQUIRED");

    for (query, extensions) in [
        (ORDERS, json!({ "after": "malformed" })),
        (ORDERS, json!({ "after": 7 })),
        (ORDERS, json!({ "cursor": 7 })),
        (ORDERS, json!({ "cursor": future })),
        (
            "mutation { deleteManyOrders { count } }",
            json!({ "after": foreign }),
        ),
        (
            "mutation { deleteManyOrders { count } }",
            json!({ "cursor": foreign }),
        ),
    ] {
        let refused = with(&app, query, json!({}), extensions.clone()).await;
        assert_eq!(refused.code(), "BAD_USER_INPUT", "{query} {extensions}");
    }
    let left = with(&app, ORDERS, json!({}), json!(null)).await;
    assert_eq!(
        left.body,
        json!({ "data": { "orders": [{ "name": "a" }] } }),
        "nothing was written"
    );
}

/// A position that comes while the query waits is reached by it.
#[actix_web::test]
async fn a_query_waits_for_a_position_that_comes() {
    let (app, tables) = shop().await;
    // The stamp that comes next has this nonce, as if another server had given it already.
    let nonce = i64::MIN | 0xabc;
    let next = format!("alter table gom.stamp alter column nonce set default {nonce}");
    tables.batch_execute(&next).await.unwrap();
    let here = head(&tables).await;
    let soon = cursors().seal(Cursor {
        position: here.position + 1,
        nonce: nonce.cast_unsigned(),
        ..here
    });
    let reading = with(&app, ORDERS, json!({}), json!({ "after": soon }));
    let writing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        order(&app, "one", "a").await;
        // The feed has nobody to read for, and looks now and then.
        head(&tables).await;
    };
    let (read, ()) = tokio::join!(reading, writing);
    assert_eq!(
        read.body,
        json!({ "data": { "orders": [{ "name": "a" }] } })
    );
}

#[actix_web::test]
async fn a_get_asks_by_headers_and_is_answered_by_one() {
    let (app, _) = shop().await;
    order(&app, "one", "a").await;
    let get = |headers: &[(&'static str, String)]| {
        let query = "/graphql?query=%7Borders%7Bname%7D%7D";
        let mut request = app.authorized(reqwest::Method::GET, query);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        async { gom_test_support::app::read(request.send().await.unwrap()).await }
    };
    let plain = get(&[]).await;
    assert_eq!(plain.header("gom-cursor"), "", "nobody has asked");
    let asked = get(&[("gom-cursor", "true".into())]).await;
    assert_eq!(asked.body, plain.body, "the body stays");
    let cursor = asked.header("gom-cursor").to_owned();
    assert!(!cursor.is_empty());
    let mut tail = Stream::open(&app, NAMES, json!({}), Some(&cursor)).await;
    order(&app, "one", "b").await;
    while tail.data().await["order"]["node"]["name"] != "b" {}
    let after = get(&[("gom-after", tail.id.clone().unwrap())]).await;
    assert_eq!(
        after.body["data"]["orders"].as_array().map(Vec::len),
        Some(2)
    );
    for headers in [
        ("gom-cursor", "maybe".to_owned()),
        ("gom-after", "x".to_owned()),
    ] {
        assert_eq!(get(&[headers]).await.code(), "BAD_USER_INPUT");
    }
}

#[actix_web::test]
async fn a_live_query_begins_after_a_position_and_goes_on() {
    let (app, tables) = shop().await;
    order(&app, "one", "a").await;
    let head = head(&tables).await;
    let live = |after: String| json!({ "query": format!("query @live {ORDERS}"), "extensions": { "after": after } });
    let mut stream = Stream::of(&app, live(cursors().seal(head)), None).await;
    assert_eq!(stream.data().await, json!({ "orders": [{ "name": "a" }] }));
    order(&app, "one", "b").await;
    assert_eq!(
        stream.data().await,
        json!({ "orders": [{ "name": "a" }, { "name": "b" }] })
    );
    // Long after, the log does not keep the position any more.
    let forget = "select gom.stamp_log(); update gom.feed set oldest = position";
    tables.batch_execute(forget).await.unwrap();
    order(&app, "one", "c").await;
    let all = json!({ "orders": [{ "name": "a" }, { "name": "b" }, { "name": "c" }] });
    assert_eq!(stream.data().await, all);

    let hurried = TestApp::on(
        &app.database().url(),
        None,
        &[("limits.service.deadline", "3000")],
    )
    .await;
    let future = cursors().seal(Cursor {
        position: head.position + 1_000,
        ..head
    });
    let mut stream = Stream::of(&hurried, live(future), None).await;
    assert_eq!(stream.refusal().await, "DEADLINE_EXCEEDED");
}

#[actix_web::test]
async fn an_event_stream_resumes_after_the_cursor_of_its_request() {
    let (app, _) = shop().await;
    let answer = with(&app, ORDERS, json!({}), json!({ "cursor": true })).await;
    order(&app, "one", "a").await;
    let body = json!({ "query": NAMES, "extensions": { "cursor": cursor(&answer) } });
    let mut tail = Stream::of(&app, body, None).await;
    assert_eq!(tail.data().await["order"]["node"]["name"], "a");
}
