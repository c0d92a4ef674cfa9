//! Who and what is refused, one test for each reason.

use std::time::{Duration, SystemTime};

use gom_actors::push::VapidKeys;
use gom_server::identity::ServiceTokens;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{stored, subscribe, subscription, unsubscribe, vapid};
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{seller, shops};

#[actix_web::test]
async fn only_logged_in_users_subscribe_devices() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let phone = subscription("phone", 0);
    let mut stranger = app.browser();
    assert_eq!(
        subscribe(&mut stranger, &phone).await.refusal(),
        (403, "jwt_error")
    );
    // The session is checked first, then the CSRF token, then the body.
    let mut browser = seller(&app).await;
    let own = browser.jar.remove("csrf-token").unwrap();
    assert_eq!(
        subscribe(&mut browser, &json!({})).await.refusal(),
        (403, "EBADCSRFTOKEN")
    );
    browser.jar.insert("csrf-token".to_owned(), own);
    assert_eq!(
        subscribe(&mut browser, &json!({})).await.refusal(),
        (400, "Bad Request")
    );
    browser.log_out().await;
    assert_eq!(
        subscribe(&mut browser, &json!({})).await.refusal(),
        (403, "jwt_error")
    );

    let tokens = ServiceTokens::new(app.settings.service.secret.as_ref().unwrap());
    let service_token = tokens
        .sign(SystemTime::now(), Duration::from_secs(60))
        .unwrap();
    let bearer = |token: String| {
        let request = reqwest::Client::new().post(format!("{}/webpush/subscribe", app.address));
        request
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(phone.to_string())
            .send()
    };
    let answer = bearer(service_token).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(
        body,
        json!({ "statusCode": 403, "message": "A service has no devices: only users can subscribe",
            "error": "Forbidden" })
    );
    assert_eq!(
        bearer("malformed".to_owned()).await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    assert!(stored(&place).await.is_empty());
}

#[actix_web::test]
async fn an_invalid_subscription_is_refused_with_all_its_errors() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    let mut stranger = app.browser();
    let with = |path: &str, value: Value| {
        let mut body = subscription("phone", 0);
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    for (body, said) in [
        (
            with("/endpoint", json!("http://push.example/a")),
            "endpoint must begin with https://",
        ),
        (
            with("/endpoint", json!("https://user@push.example/a")),
            "endpoint must not contain a user name",
        ),
        (
            with(
                "/endpoint",
                json!(format!("https://push.example/{}", "a".repeat(2_048))),
            ),
            "endpoint must be shorter",
        ),
        (with("/endpoint", Value::Null), "endpoint must be a string"),
        (
            with("/keys/p256dh", json!("A".repeat(87))),
            "keys.p256dh must be an uncompressed point",
        ),
        (
            with("/keys/auth", json!("AAAA")),
            "keys.auth must be 16 bytes",
        ),
        (with("/keys", json!("x")), "keys must be an object"),
        (
            with("/expirationTime", json!("soon")),
            "expirationTime must be milliseconds",
        ),
    ] {
        for reply in [
            subscribe(&mut browser, &body).await,
            unsubscribe(&mut stranger, &body).await,
        ] {
            assert_eq!(reply.refusal(), (400, "Bad Request"), "{body}");
            let message = reply.body["message"][0].as_str().unwrap();
            assert!(message.starts_with(said), "{message}");
        }
    }
    // What has ended can still be taken back.
    let ended = with("/expirationTime", json!(1_000));
    let reply = subscribe(&mut browser, &ended).await;
    assert_eq!(reply.refusal(), (400, "Bad Request"));
    assert_eq!(reply.body["message"], json!(["expirationTime has passed"]));
    assert_eq!(unsubscribe(&mut browser, &ended).await.body, json!(false));
    assert!(stored(&place).await.is_empty());
}

#[actix_web::test]
async fn bodies_are_json_objects_of_a_bounded_size() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let client = reqwest::Client::new();
    let send = |media: &'static str, body: String| {
        let request = client.post(format!("{}/webpush/unsubscribe", app.address));
        request.header("content-type", media).body(body).send()
    };
    let whole = subscription("phone", 0).to_string();
    let padded = |size: usize| {
        let mut body = subscription("phone", 0);
        body["more"] = json!("x".repeat(size));
        body.to_string()
    };
    for (media, body, expected) in [
        ("application/json", whole.clone(), 201),
        ("application/json;charset=UTF-8", whole.clone(), 201),
        ("text/plain", whole.clone(), 415),
        (
            "application/x-www-form-urlencoded",
            "endpoint=x".to_owned(),
            415,
        ),
        ("application/json", "[]".to_owned(), 400),
        ("application/json", "{".to_owned(), 400),
        ("application/json", String::new(), 400),
        ("application/json", padded(10_000), 201),
        ("application/json", padded(20_000), 413),
    ] {
        let answer = send(media, body.clone()).await.unwrap();
        assert_eq!(answer.status(), expected, "{media} {}", body.len());
    }
}

#[actix_web::test]
async fn other_methods_and_paths_are_not_found() {
    let place = Place::new(Stores::Postgres).await;
    let app = place.serve(&[]).await;
    let mut browser = app.browser();
    for (method, path, expected, allow) in [
        (Method::GET, "/webpush/subscribe", 405, "POST"),
        (Method::DELETE, "/webpush/unsubscribe", 405, "POST"),
        (Method::GET, "/webpush/renew", 405, "POST"),
        (Method::POST, "/webpush/key", 405, "GET, HEAD"),
        (Method::GET, "/webpush/other", 404, ""),
        (Method::GET, "/webpush", 404, ""),
    ] {
        let reply = browser.send(method, path, None).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("allow")),
            (expected, allow),
            "{path}"
        );
    }
}

/// As far as the address shows before a connection; the sender refuses the rest.
#[actix_web::test]
async fn f10_endpoints_inside_or_at_hosts_that_are_not_allowed_are_refused_when_they_are_subscribed()
 {
    let place = Place::new(Stores::Postgres).await;
    let pair = VapidKeys::generate().unwrap();
    let private = pair.private_base64url().unwrap();
    let keys = vapid(pair.public_base64url(), &private);
    let app = shops(&place, &keys).await;
    let at = |host: &str| {
        let mut body = subscription("phone", 0);
        body["endpoint"] = json!(format!("https://{host}/send/phone"));
        body
    };
    let mut browser = seller(&app).await;
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "10.1.2.3",
        "192.168.0.2",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "a.localhost",
        "localhost.",
    ] {
        let reply = subscribe(&mut browser, &at(host)).await;
        assert_eq!(reply.refusal(), (400, "Bad Request"), "{host}");
        let message = reply.body["message"][0].as_str().unwrap();
        assert!(message.contains("inside"), "{host}: {message}");
        // Nothing is sent there: it may be taken back.
        assert_eq!(
            unsubscribe(&mut browser, &at(host)).await.body,
            json!(false)
        );
    }
    assert_eq!(
        subscribe(&mut browser, &at("push.example")).await.status,
        201
    );
    assert_eq!(
        subscribe(&mut browser, &at("93.184.215.14")).await.status,
        201
    );

    let some = [
        ("push.allowed_hosts", "push.example,*.push.example"),
        ("push.inside", "127.0.0.0/8"),
    ];
    let app = place.serve(&[&keys[..], &some[..]].concat()).await;
    let mut browser = seller(&app).await;
    for (host, expected) in [
        ("push.example", 201),
        ("eu.push.example", 201),
        ("eu.push.example:8443", 400),
        ("evil.example", 400),
        ("127.0.0.1", 400),
    ] {
        let reply = subscribe(&mut browser, &at(host)).await;
        assert_eq!(reply.status, expected, "{host} {}", reply.body);
    }
}
