//! A browser's subscription is replaced by another, by a service worker that has no session.

use gom_actors::push::VapidKeys;
use serde_json::{Value, json};

use crate::{everywhere, renew, stored, subscribe, subscription, vapid};
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{OTHER_SELLER, OTHER_USERNAME, PASSWORD, SELLER, seller, shops};

everywhere!(
    a_changed_subscription_stays_its_users_without_a_session,
    a_renewal_needs_the_complete_old_subscription,
    a_renewal_does_not_restore_the_device_of_a_logged_out_user,
    what_is_queued_for_a_changed_subscription_goes_to_the_new_one,
    a_late_renewal_leaves_the_device_to_the_user_who_has_logged_in_since,
);

async fn a_changed_subscription_stays_its_users_without_a_session(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    let (old, new) = (subscription("old", 0), subscription("new", 1));
    subscribe(&mut browser, &old).await;
    let mut worker = app.browser();
    // The answer may have been lost: again is as well.
    for _ in 0..2 {
        let reply = renew(&mut worker, &old, &new).await;
        assert_eq!((reply.status.as_u16(), &reply.body), (201, &json!(true)));
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(stored(&place).await, [format!("{SELLER} new")]);
    }
    // A page checks whether its subscription is stored.
    assert_eq!(renew(&mut worker, &new, &new).await.body, json!(true));
    assert_eq!(renew(&mut worker, &old, &old).await.body, json!(false));
    assert_eq!(stored(&place).await, [format!("{SELLER} new")]);
}

async fn a_renewal_needs_the_complete_old_subscription(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    subscribe(&mut browser, &subscription("phone", 0)).await;
    let mut half: Value = subscription("phone", 0);
    half["keys"]["auth"] = subscription("phone", 1)["keys"]["auth"].clone();
    for old in [half, subscription("phone", 1), subscription("unknown", 0)] {
        // With a session or without: cookies count for nothing.
        for browser in [&mut browser, &mut app.browser()] {
            let reply = renew(browser, &old, &subscription("mine", 1)).await;
            assert_eq!((reply.status.as_u16(), &reply.body), (201, &json!(false)));
        }
    }
    assert_eq!(stored(&place).await, [format!("{SELLER} phone")]);
}

async fn a_renewal_does_not_restore_the_device_of_a_logged_out_user(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    let (old, new) = (subscription("old", 0), subscription("new", 0));
    subscribe(&mut browser, &old).await;
    assert_eq!(
        renew(&mut app.browser(), &old, &new).await.body,
        json!(true)
    );
    // The new one is of the same session.
    browser.log_out().await;
    assert!(stored(&place).await.is_empty());
    assert_eq!(
        renew(&mut app.browser(), &new, &old).await.body,
        json!(false)
    );
    assert!(stored(&place).await.is_empty());
}

/// The server has no keys and sends nothing: what is queued stays.
async fn what_is_queued_for_a_changed_subscription_goes_to_the_new_one(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let (old, new, next) = (
        subscription("old", 0),
        subscription("new", 1),
        subscription("next", 0),
    );
    subscribe(&mut seller(&app).await, &old).await;
    let tables = place.database.connect().await;
    let queued = format!(
        "insert into gom.notification (id, subject, source, kind, node, title, body, ttl_ms, urgency, expires_at)
         values ('n', 'order', 'o', 'order', 'o', 't', 'b', 1000, 'high', now() + interval '1 hour');
         insert into gom.delivery (id, notification, recipient, endpoint, origin, device)
         select 'd', 'n', '{SELLER}', '{}', 'https://push.example', 'old'",
        old["endpoint"].as_str().unwrap()
    );
    tables.batch_execute(&queued).await.unwrap();
    let endpoint = async || {
        let query = "select endpoint from gom.delivery where state = 'WAITING'";
        tables
            .query_one(query, &[])
            .await
            .unwrap()
            .get::<_, String>(0)
    };
    let mut worker = app.browser();
    // Again after a lost answer, and once more later.
    for (old, new) in [(&old, &new), (&old, &new), (&new, &next)] {
        assert_eq!(renew(&mut worker, old, new).await.body, json!(true));
        assert_eq!(endpoint().await, new["endpoint"].as_str().unwrap());
    }
    // The endpoint alone does not authorize a renewal.
    let mut guessed = next.clone();
    guessed["keys"] = old["keys"].clone();
    guessed["keys"]["auth"] = json!("AAAAAAAAAAAAAAAAAAAAAA");
    let theirs = subscription("theirs", 1);
    subscribe(&mut seller(&app).await, &theirs).await;
    renew(&mut worker, &guessed, &theirs).await;
    assert_eq!(endpoint().await, next["endpoint"].as_str().unwrap());
}

async fn a_late_renewal_leaves_the_device_to_the_user_who_has_logged_in_since(stores: Stores) {
    let place = Place::new(stores).await;
    let app = shops(&place, &[]).await;
    let (old, new) = (subscription("old", 0), subscription("new", 1));
    subscribe(&mut seller(&app).await, &old).await;
    let mut other = app.browser();
    assert_eq!(
        other.by_password(OTHER_USERNAME, PASSWORD).await.status,
        200
    );
    subscribe(&mut other, &new).await;
    for _ in 0..2 {
        // The new subscription is accepted; the answer does not reveal whether the old one existed.
        assert_eq!(
            renew(&mut app.browser(), &old, &new).await.body,
            json!(true)
        );
        assert_eq!(stored(&place).await, [format!("{OTHER_SELLER} new")]);
    }
}

#[actix_web::test]
async fn a_new_subscription_is_checked_as_one_that_is_subscribed() {
    let place = Place::new(Stores::Postgres).await;
    let pair = VapidKeys::generate().unwrap();
    let private = pair.private_base64url().unwrap();
    let app = shops(&place, &vapid(pair.public_base64url(), &private)).await;
    let mut browser = seller(&app).await;
    let old = subscription("old", 0);
    subscribe(&mut browser, &old).await;
    let with = |path: &str, value: Value| {
        let mut body = subscription("new", 0);
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    for (new, said) in [
        (
            with("/endpoint", json!("https://127.0.0.1/x")),
            "new.it leads inside",
        ),
        (
            with("/endpoint", json!("http://push.example/x")),
            "new.endpoint must begin with https://",
        ),
        (
            with("/expirationTime", json!(1_000)),
            "new.expirationTime has passed",
        ),
        (with("/keys", json!(null)), "new.keys must be an object"),
        (json!([]), "new must be a subscription"),
    ] {
        let reply = renew(&mut browser, &old, &new).await;
        assert_eq!(reply.refusal(), (400, "Bad Request"), "{new}");
        let message = reply.body["message"][0].as_str().unwrap();
        assert!(
            message.starts_with(said) || said.contains("inside") && message.contains("inside"),
            "{message}"
        );
    }
    // All errors are reported together. The old subscription's expiration is ignored.
    let reply = renew(&mut browser, &json!({}), &json!({ "endpoint": 7 })).await;
    assert_eq!(
        reply.body["message"].as_array().unwrap().len(),
        4,
        "{}",
        reply.body
    );
    let mut ended = old.clone();
    ended["expirationTime"] = json!(1_000);
    assert_eq!(stored(&place).await, [format!("{SELLER} old")]);
    assert_eq!(
        renew(&mut browser, &ended, &subscription("new", 0))
            .await
            .body,
        json!(true)
    );
    assert_eq!(stored(&place).await, [format!("{SELLER} new")]);
}

#[actix_web::test]
async fn an_address_renews_so_often_within_a_minute() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("push.renewals_per_minute", "3")]).await;
    let mut stranger = app.browser();
    let one = subscription("one", 0);
    let mut refused = 0;
    // A minute may end meanwhile: of eight, not more than two minutes' tries are let in.
    for _ in 0..8 {
        let reply = renew(&mut stranger, &one, &one).await;
        if reply.status == 429 {
            refused += 1;
            let seconds: u64 = reply.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&seconds), "{seconds}");
            assert_eq!(reply.refusal(), (429, "Too Many Requests"));
        } else {
            assert_eq!(reply.body, json!(false));
        }
    }
    assert!(refused >= 2, "{refused}");
}

#[actix_web::test]
async fn a_subscription_for_a_previous_vapid_key_is_refused_with_its_reason() {
    let place = Place::new(Stores::Postgres).await;
    let pairs = [
        VapidKeys::generate().unwrap(),
        VapidKeys::generate().unwrap(),
    ];
    let private = pairs
        .each_ref()
        .map(|pair| pair.private_base64url().unwrap());
    let app = shops(&place, &vapid(pairs[0].public_base64url(), &private[0])).await;
    let (old, current) = (subscription("old", 0), subscription("current", 0));
    subscribe(&mut seller(&app).await, &old).await;

    let app = place
        .serve(&vapid(pairs[1].public_base64url(), &private[1]))
        .await;
    let mut browser = seller(&app).await;
    subscribe(&mut browser, &current).await;
    for reply in [
        subscribe(&mut browser, &old).await,
        renew(&mut browser, &current, &old).await,
    ] {
        assert_eq!(reply.refusal(), (400, "Bad Request"));
        let message = reply.body["message"][0].as_str().unwrap();
        assert!(
            message.contains("was made for another key") && message.contains("/webpush/key"),
            "{message}"
        );
    }
    // A new one at the same place is another subscription.
    let new = subscription("old", 1);
    assert_eq!(subscribe(&mut browser, &new).await.body, json!(true));
    assert_eq!(
        stored(&place).await,
        [format!("{SELLER} current"), format!("{SELLER} old")]
    );
}
