//! Users' access tokens of an identity provider, in `connection_init` and in pings (ADR 53).

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::renewal::{NEW_ORDERS, name, order};
use crate::wire::{Got, LEGACY, TRANSPORT_WS, Wire, cookies, init};
use gom_test_support::app::TestApp;
use gom_test_support::place::{Place, Stores};
use gom_test_support::token_issuer::{TokenIssuer, in_seconds};
use gom_test_support::two_shops::{CODE, OTHER_CODE, OTHER_SELLER, SELLER, seller, shops};

const OLDEST: &str = "graphql-subscriptions";

async fn start(issuer: &TokenIssuer, more: &[(&'static str, &str)]) -> (Place, TestApp) {
    let entry = issuer.entry(&json!({ "default_role": "seller", "claims": { "sub": "sub" } }));
    let issuers = json!([entry]).to_string();
    let place = Place::new(Stores::Postgres).await;
    let mut settings = vec![("auth.issuers", issuers.as_str())];
    settings.extend(more);
    let app = shops(&place, &settings).await;
    (place, app)
}

fn ending_in(issuer: &TokenIssuer, subject: &str, seconds: i64) -> String {
    issuer.token(subject, &json!({ "exp": in_seconds(seconds) }))
}

/// A socket whose subscription has begun.
async fn subscribed(app: &TestApp, protocol: &str, token: &str, jar: Option<&str>) -> Wire {
    let headers: Vec<_> = jar.map(|jar| ("cookie", jar)).into_iter().collect();
    let mut wire = Wire::open(app, protocol, &headers).await.unwrap();
    wire.send(init(token)).await;
    assert_eq!(wire.text().await["type"], "connection_ack");
    let start = if protocol == LEGACY {
        "start"
    } else {
        "subscribe"
    };
    wire.send(json!({ "id": "1", "type": start, "payload": { "query": NEW_ORDERS } }))
        .await;
    // Written until one arrives: the subscription begins a while after it was requested.
    for _ in 0..200 {
        order(app, SELLER, CODE, "first").await;
        if !wire.is_quiet().await {
            return wire;
        }
    }
    panic!("the subscription does not begin");
}

async fn next_order(wire: &mut Wire) -> String {
    loop {
        let message = wire.text().await;
        if message["id"] == "1" {
            return name(&message["payload"]);
        }
    }
}

/// The order of that name; the first ones may be several.
async fn reaches(wire: &mut Wire, expected: &str) {
    loop {
        match next_order(wire).await {
            first if first == "first" => {}
            other => return assert_eq!(other, expected),
        }
    }
}

fn ping(token: &str) -> Value {
    json!({ "type": "ping", "payload": { "authorization": format!("Bearer {token}") } })
}

#[actix_web::test]
async fn a_socket_with_a_users_token_has_its_events_and_ends_with_it() {
    let issuer = TokenIssuer::start();
    let (_place, app) = start(&issuer, &[]).await;
    // The cookies' session, of another seller, is not the socket's.
    let jar = cookies(&seller(&app).await);
    // The older protocol has no pings with tokens: its token lives long enough for the subscription to begin.
    for (protocol, seconds) in [(TRANSPORT_WS, 600), (LEGACY, 25)] {
        let token = ending_in(&issuer, SELLER, seconds);
        let mut wire = subscribed(&app, protocol, &token, Some(&jar)).await;
        order(&app, OTHER_SELLER, OTHER_CODE, "not theirs").await;
        order(&app, SELLER, CODE, "last").await;
        reaches(&mut wire, "last").await;
        if protocol == TRANSPORT_WS {
            wire.send(ping(&ending_in(&issuer, SELLER, 5))).await;
        }
        assert_eq!(wire.end().await, 4403, "{protocol}");
    }
}

#[actix_web::test]
async fn a_user_renews_its_token_in_band() {
    let issuer = TokenIssuer::start();
    let (_place, app) = start(&issuer, &[]).await;
    let token = ending_in(&issuer, SELLER, 600);
    let mut wire = subscribed(&app, TRANSPORT_WS, &token, None).await;
    // With which the socket would end.
    let short = 20;
    wire.send(ping(&ending_in(&issuer, SELLER, short))).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    wire.send(ping(&ending_in(&issuer, SELLER, 600))).await;
    tokio::time::sleep(Duration::from_secs(short.unsigned_abs())).await;
    order(&app, SELLER, CODE, "after the short token").await;
    reaches(&mut wire, "after the short token").await;
}

#[actix_web::test]
async fn a_ping_whose_token_cannot_be_verified_now_leaves_the_socket_its_own() {
    let (issuer, down) = (TokenIssuer::start(), TokenIssuer::start());
    let entries = json!([
        issuer.entry(&json!({ "default_role": "seller", "claims": { "sub": "sub" } })),
        down.entry(
            &json!({ "default_role": "seller", "jwks_url": format!("{}/nowhere", down.name) })
        ),
    ]);
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("auth.issuers", &entries.to_string())]).await;
    let token = ending_in(&issuer, SELLER, 600);
    let mut wire = subscribed(&app, TRANSPORT_WS, &token, None).await;
    wire.send(ping(&ending_in(&down, SELLER, 600))).await;
    order(&app, SELLER, CODE, "meanwhile").await;
    reaches(&mut wire, "meanwhile").await;
    wire.send(ping(&ending_in(&issuer, SELLER, 1))).await;
    assert_eq!(wire.end().await, 4403, "and the next ping counts");
}

/// A server that has an issuer whose keys never come, and a token of the issuer.
async fn start_without_keys(
    more: &[(&'static str, &str)],
) -> (TcpListener, Place, TestApp, String) {
    let issuer = TokenIssuer::start();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = format!("http://{}/keys", silent.local_addr().unwrap());
    let entry = issuer.entry(&json!({ "default_role": "seller", "jwks_url": keys }));
    let issuers = json!([entry]).to_string();
    let place = Place::new(Stores::Postgres).await;
    let mut settings = vec![("auth.issuers", issuers.as_str())];
    settings.extend(more);
    let app = shops(&place, &settings).await;
    let token = ending_in(&issuer, SELLER, 600);
    (silent, place, app, token)
}

#[actix_web::test]
async fn operations_of_an_unauthenticated_client_count_for_its_address() {
    let bounds = [
        ("limits.body_bytes", "16384"),
        ("limits.request_bytes", "16384"),
        ("sockets.init_timeout", "60000"),
    ];
    let (_silent, _place, app, token) = start_without_keys(&bounds).await;
    let filler = "x".repeat(4_000);
    for (protocol, start) in [(LEGACY, "start"), (OLDEST, "subscription_start")] {
        let mut wire = Wire::open(&app, protocol, &[]).await.unwrap();
        let mut hello = init(&token);
        if protocol == OLDEST {
            hello["type"] = "init".into();
        }
        wire.send(hello).await;
        for id in 0..8 {
            let payload = json!({ "query": NEW_ORDERS, "variables": { "filler": filler } });
            let mut message = payload.clone();
            (message["id"], message["type"]) = (id.to_string().into(), start.into());
            message["payload"] = payload;
            wire.send(message).await;
        }
        match wire.got().await {
            Got::Closed(1013, reason) => assert!(reason.contains("request_bytes"), "{reason}"),
            other => panic!("{protocol}: {other:?}"),
        }
    }
}

#[actix_web::test]
async fn a_token_that_is_not_verified_in_time_ends_its_socket() {
    let (_silent, _place, app, token) =
        start_without_keys(&[("sockets.init_timeout", "1000")]).await;
    let begun = std::time::Instant::now();
    for protocol in [TRANSPORT_WS, LEGACY] {
        let mut wire = Wire::open(&app, protocol, &[]).await.unwrap();
        wire.send(init(&token)).await;
        assert_eq!(wire.end().await, 1013, "{protocol}");
    }
    // Less than the fetch waits for.
    assert!(begun.elapsed() < Duration::from_millis(4_500));
}

#[actix_web::test]
async fn no_ping_makes_a_socket_another_users() {
    let issuer = TokenIssuer::start();
    let (_place, app) = start(&issuer, &[]).await;
    let token = ending_in(&issuer, SELLER, 600);
    let expired = ending_in(&issuer, SELLER, -5);
    let another = ending_in(&issuer, OTHER_SELLER, 600);
    for wrong in [another.as_str(), &expired, "malformed", &app.token] {
        let mut wire = subscribed(&app, TRANSPORT_WS, &token, None).await;
        wire.send(ping(wrong)).await;
        assert_eq!(wire.end().await, 4403, "{wrong}");
    }
    let mut service = Wire::service(&app, TRANSPORT_WS).await;
    service.send(ping(&token)).await;
    assert_eq!(service.end().await, 4403, "nor a service's a user's");
    let jar = cookies(&seller(&app).await);
    let mut page = Wire::open(&app, TRANSPORT_WS, &[("cookie", &jar)])
        .await
        .unwrap();
    page.send(json!({ "type": "connection_init" })).await;
    assert_eq!(page.text().await["type"], "connection_ack");
    page.send(ping(&token)).await;
    assert_eq!(page.end().await, 4403, "nor a session's");
}

#[actix_web::test]
async fn a_wrong_token_is_refused_in_each_protocols_words() {
    let issuer = TokenIssuer::start();
    let (_place, app) = start(&issuer, &[]).await;
    let expired = ending_in(&issuer, SELLER, -5);
    let mut modern = Wire::open(&app, TRANSPORT_WS, &[]).await.unwrap();
    modern.send(init(&expired)).await;
    assert!(matches!(modern.got().await, Got::Closed(4403, _)));
    let mut legacy = Wire::open(&app, LEGACY, &[]).await.unwrap();
    legacy.send(init(&expired)).await;
    assert_eq!(legacy.text().await["type"], "connection_error");
    assert_eq!(legacy.end().await, 1011);
    // In the handshake's headers, as for a service.
    let good = format!("Bearer {}", ending_in(&issuer, SELLER, 600));
    let mut handshake = Wire::open(&app, TRANSPORT_WS, &[("authorization", &good)])
        .await
        .unwrap();
    handshake.send(json!({ "type": "connection_init" })).await;
    assert_eq!(handshake.text().await["type"], "connection_ack");
}

#[actix_web::test]
async fn sockets_count_for_the_user_of_their_token() {
    let issuer = TokenIssuer::start();
    let (_place, app) = start(&issuer, &[("sockets.per_user", "1")]).await;
    let open = async |subject: &str| {
        let mut wire = Wire::open(&app, TRANSPORT_WS, &[]).await.unwrap();
        wire.send(init(&ending_in(&issuer, subject, 600))).await;
        wire
    };
    let mut first = open(SELLER).await;
    assert_eq!(first.text().await["type"], "connection_ack");
    let mut second = open(SELLER).await;
    match second.got().await {
        Got::Closed(1013, reason) => assert!(reason.contains("sockets.per_user"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let mut other = open(OTHER_SELLER).await;
    assert_eq!(other.text().await["type"], "connection_ack");
}
