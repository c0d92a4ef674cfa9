//! Large requests are read and planned on threads of their own, and the worker serves others meanwhile: here a user's
//! thread is taken, and only what needs one waits.

use std::sync::mpsc;
use std::time::Duration;

use futures::{FutureExt, poll};
use serde_json::{Value, json};
use tokio::time::Instant;

use gom_test_support::demo_shop::{PALETAS, Shop, TACOS, seller};

const CONNECT: &str = "mutation($list: [OrderWhereUniqueInput!]) { \
                       updateBp(where: {extUid: \"DemoCode01\"}, data: {orders: {connect: $list}}) { uid } }";

#[actix_web::test]
async fn a_large_request_does_not_keep_its_worker_from_others() {
    let shop = Shop::open().await;
    let selectors = |count: usize| vec![json!({ "uid": "cdemoorder00000000000001" }); count];
    let conditions: String = (0..190)
        .map(|n| format!("{{ name: \"{n:040}\" }} "))
        .collect();
    let document = format!("{{ orders(where: {{ OR: [{conditions}] }}) {{ nombre }} }}");
    let schema = "{ __schema { types { name } } orders(first: 1) { nombre: name } }".to_owned();
    for (what, text, variables, expected) in [
        (
            "a long document",
            document,
            json!({}),
            Some("Unknown field \"nombre\""),
        ),
        (
            "many values",
            CONNECT.to_owned(),
            json!({ "list": selectors(18_000) }),
            Some("nested_writes"),
        ),
        (
            "many writes",
            CONNECT.to_owned(),
            json!({ "list": selectors(900) }),
            Some("Cannot access this Order"),
        ),
        ("the schema", schema, json!({}), None),
    ] {
        let viewer = seller(PALETAS);
        let (release, released) = mpsc::channel::<()>();
        let deadline = Instant::now() + Duration::from_secs(60);
        let taken = shop
            .api
            .engine
            .offload
            .run(Some(PALETAS), deadline, move || released.recv());
        let mut taken = Box::pin(taken);
        assert!(poll!(&mut taken).is_pending());
        let mut large = Box::pin(
            shop.ask(&viewer, &text, variables)
                .map(|response| response.errors),
        );
        assert!(poll!(&mut large).is_pending());

        for other in [seller(TACOS), viewer.clone()] {
            let small = shop
                .ask(&other, "{ orders(first: 1) { name } }", Value::Null)
                .await;
            assert!(small.errors.is_empty(), "{what}: {small:?}");
        }
        assert!(
            poll!(&mut large).is_pending(),
            "{what}: it waits for a thread"
        );
        release.send(()).unwrap();
        taken.await.unwrap().unwrap();
        let errors = large.await;
        let message = errors.first().map(|error| error.message.as_str());
        match expected {
            Some(expected) => assert!(message.unwrap().contains(expected), "{what}: {errors:?}"),
            None => assert_eq!(message, None, "{what}"),
        }
    }
}
