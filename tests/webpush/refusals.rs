//! Who and what is refused, one test for each reason.

use std::time::{Duration, SystemTime};

use gom::identity::ServiceTokens;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{Place, Stores};
use crate::world::{seller, shops};
use crate::{stored, subscribe, subscription, unsubscribe};

#[actix_web::test]
async fn who_is_not_logged_in_or_no_user_subscribes_nothing() {
    let place = Place::new(Stores::Twins).await;
    let app = shops(&place, &[]).await;
    let phone = subscription("phone", 0);
    let mut stranger = app.browser();
    assert_eq!(subscribe(&mut stranger, &phone).await.refusal(), (403, "jwt_error"));
    // The session is looked at first, then the CSRF token, then the body.
    let mut browser = seller(&app).await;
    let own = browser.jar.remove("csrf-token").unwrap();
    assert_eq!(subscribe(&mut browser, &json!({})).await.refusal(), (403, "EBADCSRFTOKEN"));
    browser.jar.insert("csrf-token".to_owned(), own);
    assert_eq!(subscribe(&mut browser, &json!({})).await.refusal(), (400, "Bad Request"));
    browser.log_out().await;
    assert_eq!(subscribe(&mut browser, &json!({})).await.refusal(), (403, "jwt_error"));

    let tokens = ServiceTokens::new(app.settings.service.secret.as_ref().unwrap());
    let service_token = tokens.sign(SystemTime::now(), Duration::from_secs(60)).unwrap();
    let bearer = |token: String| {
        let request = reqwest::Client::new().post(format!("{}/webpush/subscribe", app.address));
        request.bearer_auth(token).header("content-type", "application/json").body(phone.to_string()).send()
    };
    let answer = bearer(service_token).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(
        body,
        json!({ "statusCode": 403, "message": "A service has no devices: only users can subscribe",
            "error": "Forbidden" })
    );
    assert_eq!(bearer("nonsense".to_owned()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(stored(&place).await.is_empty());
}

#[actix_web::test]
async fn what_is_no_subscription_is_refused_with_all_that_is_wrong() {
    let place = Place::new(Stores::Twins).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    let mut stranger = app.browser();
    let with = |path: &str, value: Value| {
        let mut body = subscription("phone", 0);
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    for (body, said) in [
        (with("/endpoint", json!("http://push.example/a")), "endpoint must begin with https://"),
        (with("/endpoint", json!("https://user@push.example/a")), "endpoint must not contain a user name"),
        (
            with("/endpoint", json!(format!("https://push.example/{}", "a".repeat(2_048)))),
            "endpoint must be shorter",
        ),
        (with("/endpoint", Value::Null), "endpoint must be a string"),
        (with("/keys/p256dh", json!("A".repeat(87))), "keys.p256dh must be an uncompressed point"),
        (with("/keys/auth", json!("AAAA")), "keys.auth must be 16 bytes"),
        (with("/keys", json!("x")), "keys must be an object"),
        (with("/expirationTime", json!("soon")), "expirationTime must be milliseconds"),
    ] {
        for reply in [subscribe(&mut browser, &body).await, unsubscribe(&mut stranger, &body).await] {
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
    let place = Place::new(Stores::Twins).await;
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
        ("application/x-www-form-urlencoded", "endpoint=x".to_owned(), 415),
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
async fn other_methods_and_paths_are_not_there() {
    let place = Place::new(Stores::Twins).await;
    let app = place.serve(&[]).await;
    let mut browser = app.browser();
    for (method, path, expected, allow) in [
        (Method::GET, "/webpush/subscribe", 405, "POST"),
        (Method::DELETE, "/webpush/unsubscribe", 405, "POST"),
        (Method::POST, "/webpush/key", 405, "GET"),
        (Method::GET, "/webpush/other", 404, ""),
        (Method::GET, "/webpush", 404, ""),
    ] {
        let reply = browser.send(method, path, None).await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (expected, allow), "{path}");
    }
}
