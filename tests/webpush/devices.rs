//! What becomes of devices.

use gom_actors::push::VapidKeys;
use gom_shop::customer_subject;
use gom_test_support::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{everywhere, renew, stored, subscribe, subscription, unsubscribe, vapid};
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{OTHER_SELLER, SELLER, customer, knock, seller, shops};

everywhere!(
    a_device_is_its_users_until_it_is_unsubscribed,
    a_device_moves_to_the_user_who_logs_in_on_it,
    a_customer_whose_id_is_a_sellers_subject_gets_no_device_of_the_sellers,
    the_login_page_unsubscribes_without_a_session,
    a_log_out_forgets_the_devices_of_its_session_and_no_others,
    a_device_that_is_subscribed_while_its_session_is_closed_is_not_kept,
    nobody_has_more_devices_than_the_setting_says,
    a_process_without_a_sender_still_stores_devices,
);

async fn a_process_without_a_sender_still_stores_devices(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[("server.role", "api")]).await;
    let mut browser = seller(&app).await;
    assert_eq!(
        subscribe(&mut browser, &subscription("phone", 0))
            .await
            .body,
        json!(true)
    );
    assert_eq!(stored(&place).await, [format!("{SELLER} phone")]);
    assert_eq!(
        unsubscribe(&mut browser, &subscription("phone", 0))
            .await
            .body,
        json!(true)
    );
}

async fn a_device_is_its_users_until_it_is_unsubscribed(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    let phone = subscription("phone", 0);
    for _ in 0..2 {
        let reply = subscribe(&mut browser, &phone).await;
        assert_eq!((reply.status.as_u16(), &reply.body), (201, &json!(true)));
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    assert_eq!(
        subscribe(&mut browser, &subscription("laptop", 1))
            .await
            .body,
        json!(true)
    );
    assert_eq!(
        stored(&place).await,
        [format!("{SELLER} laptop"), format!("{SELLER} phone")]
    );
    for expected in [true, false] {
        let reply = unsubscribe(&mut browser, &phone).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.body),
            (201, &json!(expected))
        );
    }
    assert_eq!(stored(&place).await, [format!("{SELLER} laptop")]);
}

async fn a_device_moves_to_the_user_who_logs_in_on_it(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let (mut seller, mut customer) = (seller(&app).await, customer(&app).await);
    let shared = subscription("shared", 0);
    subscribe(&mut seller, &shared).await;
    assert_eq!(subscribe(&mut customer, &shared).await.body, json!(true));
    let uid = customer.payload()["sub"].as_str().unwrap().to_owned();
    assert_eq!(
        stored(&place).await,
        [format!("{} shared", customer_subject(&uid, SELLER))]
    );
}

async fn a_customer_whose_id_is_a_sellers_subject_gets_no_device_of_the_sellers(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let create = "mutation($data: BpCreateInput!) { createBp(data: $data) { extUid } }";
    let named = json!({
        "uid": OTHER_SELLER, "name1": "x", "phone": "5500000003", "customerOf": { "connect": { "extUid": SELLER } },
    });
    // A seller chooses no id; the service does.
    let mut seller = seller(&app).await;
    let reply = seller.graphql(create, json!({ "data": named })).await;
    assert_eq!(reply.code(), (200, "BAD_USER_INPUT"), "{}", reply.body);
    let mut given = named.clone();
    given["extUid"] = json!("SomeCode01");
    app.data(create, json!({ "data": given })).await;
    let mut impostor = app.browser();
    assert_eq!(
        impostor.by_phone("SomeCode01", "5500000003").await.body["sub"],
        OTHER_SELLER
    );
    assert_eq!(
        subscribe(&mut impostor, &subscription("phone", 0))
            .await
            .body,
        json!(true)
    );
    assert_eq!(
        stored(&place).await,
        [format!("{} phone", customer_subject(OTHER_SELLER, SELLER))]
    );
}

/// The complete subscription authorizes its end; answers reveal nothing about other devices.
async fn the_login_page_unsubscribes_without_a_session(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    subscribe(&mut browser, &subscription("phone", 0)).await;
    let mut stranger = app.browser();
    let unknown = unsubscribe(&mut stranger, &subscription("unknown", 0)).await;
    let other_keys = unsubscribe(&mut stranger, &subscription("phone", 1)).await;
    let mut half: Value = subscription("phone", 0);
    half["keys"]["auth"] = subscription("phone", 1)["keys"]["auth"].clone();
    let other_half = unsubscribe(&mut stranger, &half).await;
    for reply in [&unknown, &other_keys, &other_half] {
        assert_eq!((reply.status.as_u16(), &reply.body), (201, &json!(false)));
        assert_eq!(
            reply.headers.get("content-length"),
            unknown.headers.get("content-length")
        );
    }
    assert_eq!(stored(&place).await, [format!("{SELLER} phone")]);
    // A page without its CSRF token, with cookies of an expired session.
    browser.jar.clear();
    browser
        .jar
        .insert("session-token".to_owned(), "a.b".to_owned());
    let reply = unsubscribe(&mut browser, &subscription("phone", 0)).await;
    assert_eq!((reply.status.as_u16(), &reply.body), (201, &json!(true)));
    assert!(stored(&place).await.is_empty());
}

async fn a_log_out_forgets_the_devices_of_its_session_and_no_others(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let (mut one, mut another, mut customer) =
        (seller(&app).await, seller(&app).await, customer(&app).await);
    for (browser, names) in [
        (&mut one, &["phone", "worker"][..]),
        (&mut another, &["laptop"]),
        (&mut customer, &["tablet"]),
    ] {
        for name in names {
            assert_eq!(
                subscribe(browser, &subscription(name, 0)).await.body,
                json!(true)
            );
        }
    }
    let uid = customer.payload()["sub"].as_str().unwrap().to_owned();
    let tablet = format!("{} tablet", customer_subject(&uid, SELLER));
    assert_eq!(
        one.send(Method::POST, "/auth/logout", None).await.status,
        204
    );
    assert_eq!(
        stored(&place).await,
        [format!("{SELLER} laptop"), tablet.clone()]
    );
    // As the client does it, which unsubscribes by itself as well, sooner or later.
    assert_eq!(
        unsubscribe(&mut one, &subscription("phone", 0)).await.body,
        json!(false)
    );
    assert_eq!(
        unsubscribe(&mut customer, &subscription("tablet", 0))
            .await
            .body,
        json!(true)
    );
    subscribe(&mut customer, &subscription("tablet", 0)).await;
    assert_eq!(
        customer
            .send(Method::GET, "/auth/logout", None)
            .await
            .status,
        204
    );
    assert_eq!(stored(&place).await, [format!("{SELLER} laptop")]);
    // A page of another site logs nobody out.
    another.jar.remove("csrf-token");
    assert_eq!(
        another
            .send(Method::POST, "/auth/logout", None)
            .await
            .refusal(),
        (403, "EBADCSRFTOKEN")
    );
    assert_eq!(stored(&place).await, [format!("{SELLER} laptop")]);
}

async fn a_device_that_is_subscribed_while_its_session_is_closed_is_not_kept(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let micros = std::time::Duration::from_micros;
    for round in 0..20 {
        let browser = seller(&app).await;
        // Some before, some after, and some just then.
        let subscribing = (0..8).map(|n| {
            let mut page = browser.clone();
            async move {
                tokio::time::sleep(micros(100 * n)).await;
                subscribe(&mut page, &subscription(&format!("device{n}"), 0))
                    .await
                    .status
                    .as_u16()
            }
        });
        let mut page = browser.clone();
        let leaving = async {
            tokio::time::sleep(micros(400)).await;
            page.send(Method::GET, "/auth/logout", None).await.status
        };
        let (subscribed, left) = tokio::join!(futures::future::join_all(subscribing), leaving);
        assert!(
            left == 204 && subscribed.iter().all(|status| [201, 403].contains(status)),
            "{subscribed:?}"
        );
        assert!(
            stored(&place).await.is_empty(),
            "round {round}: {subscribed:?}"
        );
    }
}

async fn nobody_has_more_devices_than_the_setting_says(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[("push.devices_per_user", "2")]).await;
    let mut browser = seller(&app).await;
    for name in ["a", "b", "c"] {
        // Later by at least a millisecond, the resolution of the stores.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        assert_eq!(
            subscribe(&mut browser, &subscription(name, 0)).await.body,
            json!(true)
        );
    }
    assert_eq!(
        stored(&place).await,
        [format!("{SELLER} b"), format!("{SELLER} c")]
    );
}

#[actix_web::test]
async fn a_user_whose_token_is_not_renewed_gets_no_more_notifications() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("auth.accounts.expiration", "1")]).await;
    let (mut browser, mut customer) = (seller(&app).await, customer(&app).await);
    subscribe(&mut browser, &subscription("phone", 0)).await;
    subscribe(&mut customer, &subscription("tablet", 0)).await;
    let disable = "UPDATE gom.account SET disabled = true, version = version + 1";
    place
        .database
        .connect()
        .await
        .execute(disable, &[])
        .await
        .unwrap();
    // Until the token ends the session goes on.
    eventually("the session has ended", async || {
        knock(&mut browser).await.status == 403
    })
    .await;
    eventually("its device is forgotten", async || {
        stored(&place).await.len() == 1
    })
    .await;
    let left = stored(&place).await;
    assert!(left[0].ends_with(" tablet"), "{left:?}");
}

#[actix_web::test]
async fn devices_of_a_session_that_ends_are_forgotten_also_when_the_connection_ends_that_has_found_it_out()
 {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("auth.accounts.expiration", "2")]).await;
    let mut browser = seller(&app).await;
    subscribe(&mut browser, &subscription("phone", 0)).await;
    let cookies: Vec<String> = browser
        .jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let query = "subscription%20%7B%20order%20%7B%20mutation%20%7D%20%7D";
    let stream = reqwest::Client::new()
        .get(format!("{}/graphql?query={query}", app.address))
        .header("accept", "text/event-stream")
        .header("cookie", cookies.join("; "));
    let stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let mut client = place.database.connect().await;
    let devices = client.transaction().await.unwrap();
    devices
        .execute("LOCK TABLE gom.push_device IN SHARE MODE", &[])
        .await
        .unwrap();
    let disable = "UPDATE gom.account SET disabled = true, version = version + 1";
    place
        .database
        .connect()
        .await
        .execute(disable, &[])
        .await
        .unwrap();
    let read = tokio::time::timeout(std::time::Duration::from_secs(30), stream.text()).await;
    assert!(read.is_ok(), "the stream ends with its session");
    devices.rollback().await.unwrap();
    eventually("the device is forgotten", async || {
        stored(&place).await.is_empty()
    })
    .await;
}

#[actix_web::test]
async fn an_unavailable_store_is_reported() {
    let mut place = Place::new(Stores::Redis).await;
    // Sessions are unavailable with it: requests that need none report what is missing.
    let app = shops(&place, &[]).await;
    let mut redis = place.redis.take().unwrap();
    redis.kill();
    let reply = unsubscribe(&mut app.browser(), &subscription("phone", 0)).await;
    assert_eq!(
        renew(
            &mut app.browser(),
            &subscription("a", 0),
            &subscription("b", 0)
        )
        .await
        .status,
        503
    );
    assert_eq!(reply.refusal(), (503, "Service Unavailable"));
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(
        reply.body["message"],
        "Devices are not available at the moment; try again"
    );
    redis.restart();
    for _ in 0..400 {
        let reply = unsubscribe(&mut app.browser(), &subscription("phone", 0)).await;
        if reply.status == 201 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it does not come back");
}

#[actix_web::test]
async fn the_public_key_is_there_for_everybody_unless_push_is_off() {
    let place = Place::new(Stores::Postgres).await;
    let pair = VapidKeys::generate().unwrap();
    let private = pair.private_base64url().unwrap();
    let app = place.serve(&vapid(pair.public_base64url(), &private)).await;
    let answer = reqwest::get(format!("{}/webpush/key", app.address))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    assert_eq!(answer.text().await.unwrap(), pair.public_base64url());
    let app = place.serve(&[]).await;
    let reply = app.browser().send(Method::GET, "/webpush/key", None).await;
    assert_eq!(reply.refusal(), (404, "Not Found"));
    assert_eq!(
        reply.body["message"],
        "Push is off: this server has no VAPID keys"
    );
}
