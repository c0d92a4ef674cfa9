//! Cursors: what a client gets that comes back.

use gom_engine::events::Cursor;
use gom_server::identity::{AppKeys, Cursors};
use gom_server::settings::Secret;
use serde_json::json;

use crate::stream::Stream;
use crate::{order, shop};
use gom_test_support::app::SECRET;

const NAMES: &str = "subscription { order(where: { mutation_in: [CREATED] }) { node { name } } }";

#[actix_web::test]
async fn a_resumed_subscription_receives_missed_events_and_then_new_ones() {
    let (app, _) = shop().await;
    let mut first = Stream::open(&app, NAMES, json!({}), None).await;
    let beginning = first.beginning().await;
    order(&app, "one", "a").await;
    assert_eq!(first.data().await["order"]["node"]["name"], "a");
    let after_a = first.id.clone().unwrap();
    drop(first);
    for name in ["b", "c"] {
        order(&app, "one", name).await;
    }
    for (cursor, missed) in [(&beginning, &["a", "b", "c"][..]), (&after_a, &["b", "c"])] {
        let mut again = Stream::open(&app, NAMES, json!({}), Some(cursor)).await;
        for name in missed {
            assert_eq!(again.data().await["order"]["node"]["name"], *name);
        }
        let last = again.id.clone().unwrap();
        let mut live = Stream::open(&app, NAMES, json!({}), Some(&last)).await;
        live.beginning().await;
        order(&app, "two", "new").await;
        assert_eq!(again.data().await["order"]["node"]["name"], "new");
        assert_eq!(live.data().await["order"]["node"]["name"], "new");
        assert_eq!(again.id, live.id, "a cursor is the same for everybody");
        // Those of the next turn come back from before it.
        if missed.len() == 3 {
            let uids = crate::ask(
                &app,
                "mutation { deleteManyOrders(where: { name: \"new\" }) { count } }",
                json!({}),
            );
            assert_eq!(
                uids.await["deleteManyOrders"]["count"],
                1,
                "what is gone is not shown as created"
            );
        }
    }
}

/// Also by the first subscriber of all, for whom the hub has to connect.
#[actix_web::test]
async fn no_write_after_the_beginning_of_a_stream_is_missed() {
    let (app, _) = shop().await;
    let names = "subscription { order(where: { mutation_in: [CREATED], node: { name_starts_with: \"after\" } }) { node { name } } }";
    for number in 0..20 {
        order(&app, "one", "before").await;
        let mut live = Stream::open(&app, names, json!({}), None).await;
        let beginning = live.beginning().await;
        let name = format!("after {number}");
        order(&app, "one", &name).await;
        let mut again = Stream::open(&app, names, json!({}), Some(&beginning)).await;
        for stream in [&mut live, &mut again] {
            assert_eq!(stream.data().await["order"]["node"]["name"], name);
        }
        assert_eq!(live.id, again.id);
    }
}

#[actix_web::test]
async fn an_unknown_cursor_is_refused_and_never_ignored() {
    let (app, tables) = shop().await;
    let mut stream = Stream::open(&app, NAMES, json!({}), None).await;
    let beginning = stream.beginning().await;
    order(&app, "one", "a").await;
    stream.data().await;
    let mut altered = beginning.clone();
    altered.replace_range(
        20..21,
        if altered.as_bytes()[20] == b'0' {
            "1"
        } else {
            "0"
        },
    );
    let cursors = Cursors::new(AppKeys::new(&Secret::new(SECRET), None));
    let known = cursors.open(&beginning).unwrap();
    assert!(
        !beginning.contains('-'),
        "positions would count everybody's transactions: {beginning}"
    );
    for (cursor, code) in [
        ("malformed", "BAD_USER_INPUT"),
        ("1-1-1-1", "BAD_USER_INPUT"),
        (&altered, "BAD_USER_INPUT"),
        // Another database's, and one from the future.
        (
            &cursors.seal(Cursor {
                nonce: known.nonce ^ 1,
                ..known
            }),
            "RESYNC_REQUIRED",
        ),
        (
            &cursors.seal(Cursor {
                position: 0xff_ffff,
                ..known
            }),
            "RESYNC_REQUIRED",
        ),
        // As a server of an earlier version wrote them.
        ("1-1", "RESYNC_REQUIRED"),
        ("15d97e8bbfd7-ffffff-0", "RESYNC_REQUIRED"),
    ] {
        let mut again = Stream::open(&app, NAMES, json!({}), Some(cursor)).await;
        assert_eq!(again.refusal().await, code, "{cursor}");
    }
    tables
        .batch_execute("select gom.trim_changes('0 s', 1, 1000)")
        .await
        .unwrap();
    let mut again = Stream::open(&app, NAMES, json!({}), Some(&beginning)).await;
    assert_eq!(
        again.refusal().await,
        "RESYNC_REQUIRED",
        "what came after it is forgotten"
    );
}

#[actix_web::test]
async fn a_cursor_of_an_earlier_version_goes_on_as_long_as_the_database_is_the_same() {
    let (app, tables) = shop().await;
    let mut stream = Stream::open(&app, NAMES, json!({}), None).await;
    let beginning = stream.beginning().await;
    order(&app, "one", "a").await;
    stream.data().await;
    let cursors = Cursors::new(AppKeys::new(&Secret::new(SECRET), None));
    let known = cursors.open(&beginning).unwrap();
    assert_ne!(known.nonce, 0);
    let epoch = tables.query_one("select epoch from gom.feed", &[]).await;
    let epoch: i64 = epoch.unwrap().get(0);
    let earlier = |epoch: i64| {
        cursors.seal(Cursor {
            epoch: epoch.cast_unsigned(),
            nonce: 0,
            ..known
        })
    };
    let mut again = Stream::open(&app, NAMES, json!({}), Some(&earlier(epoch))).await;
    assert_eq!(again.data().await["order"]["node"]["name"], "a");
    let mut again = Stream::open(&app, NAMES, json!({}), Some(&earlier(epoch + 2))).await;
    assert_eq!(again.refusal().await, "RESYNC_REQUIRED");
    // As after the promotion of a standby.
    tables
        .batch_execute("update gom.feed set identity = 'the primary before'")
        .await
        .unwrap();
    let mut again = Stream::open(&app, NAMES, json!({}), Some(&earlier(epoch))).await;
    assert_eq!(again.refusal().await, "RESYNC_REQUIRED");
    let mut again = Stream::open(&app, NAMES, json!({}), Some(&beginning)).await;
    assert_eq!(again.data().await["order"]["node"]["name"], "a");
}

#[actix_web::test]
async fn invalid_subscriptions_are_refused() {
    let (app, _) = shop().await;
    for (query, code) in [
        (
            "subscription { nothing { node { uid } } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("subscription { order { node ", "GRAPHQL_PARSE_FAILED"),
        (
            "subscription { order(where: { mutation_in: [GONE] }) { mutation } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "subscription @live { order { mutation } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ] {
        assert_eq!(
            Stream::open(&app, query, json!({}), None)
                .await
                .refusal()
                .await,
            code,
            "{query}"
        );
    }
    // Over a transport that cannot carry more than one answer.
    assert_eq!(app.ask(NAMES).await.code(), "BAD_USER_INPUT");
}
