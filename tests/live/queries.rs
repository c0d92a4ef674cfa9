//! `@live`: a query that is answered again whenever its answer changes.

use std::time::Duration;

use serde_json::json;

use crate::stream::{Event, Stream};
use crate::{ask, order, shop};

#[actix_web::test]
async fn a_live_query_is_answered_again_only_when_its_answer_differs() {
    let (app, tables) = shop().await;
    let query = "query($seller: String!) @live {
        orders(where: { assignedTo: { extUid: $seller } }, orderBy: name_ASC) { name items { quantity } } }";
    let mut live = Stream::open(&app, query, json!({ "seller": "one" }), None).await;
    assert_eq!(live.data().await, json!({ "orders": [] }));

    let uid = order(&app, "one", "a").await;
    assert_eq!(
        live.data().await,
        json!({ "orders": [{ "name": "a", "items": [{ "quantity": 1 }] }] })
    );

    // Touched, and yet the same: somebody else's order, a field that is not shown, another type.
    order(&app, "two", "theirs").await;
    ask(
        &app,
        "mutation { updateManyOrders(data: { stage: WON }) { count } }",
        json!({}),
    )
    .await;
    tables
        .batch_execute("update \"Promotion\" set name = 'x'")
        .await
        .unwrap();
    assert_eq!(live.within(Duration::from_millis(300)).await, None);

    // Two levels down, and past the server.
    tables
        .batch_execute("update \"Item\" set quantity = 9")
        .await
        .unwrap();
    assert_eq!(
        live.data().await,
        json!({ "orders": [{ "name": "a", "items": [{ "quantity": 9 }] }] })
    );
    ask(
        &app,
        "mutation($uid: ID!) { deleteOrder(where: { uid: $uid }) { uid } }",
        json!({ "uid": uid }),
    )
    .await;
    assert_eq!(live.data().await, json!({ "orders": [] }));
}

#[actix_web::test]
async fn without_a_stream_a_live_query_is_a_query_and_a_query_on_a_stream_has_one_answer() {
    let (app, _) = shop().await;
    let query = "query @live { users(orderBy: extUid_ASC) { extUid } }";
    let expected = json!({ "users": [{ "extUid": "one" }, { "extUid": "two" }] });
    assert_eq!(app.ask(query).await.body["data"], expected);
    let plain = query.replace("@live", "");
    let mut stream = Stream::open(&app, &plain, json!({}), None).await;
    assert_eq!(stream.data().await, expected);
    assert_eq!(stream.event().await, Event::Complete);
    // A cursor is a promise, which only a subscription keeps.
    let mut events =
        Stream::open(&app, "subscription { user { mutation } }", json!({}), None).await;
    let cursor = events.beginning().await;
    for taken in [query, &plain, "mutation { deleteManyUsers { count } }"] {
        let mut stream = Stream::open(&app, taken, json!({}), Some(&cursor)).await;
        assert_eq!(stream.refusal().await, "BAD_USER_INPUT", "{taken}");
    }
    assert_eq!(
        app.ask(&plain).await.body["data"],
        expected,
        "nothing was deleted"
    );
    for bad in [
        "query @live(if: true) { users { extUid } }",
        "mutation @live { deleteManyUsers { count } }",
    ] {
        assert_eq!(
            app.ask(bad).await.code(),
            "GRAPHQL_VALIDATION_FAILED",
            "{bad}"
        );
    }
}
