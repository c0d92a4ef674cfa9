//! What logins are answered, and how they are counted.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::oauth::OAuth;
use gom_test_support::browser::Browser;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{
    BUSINESS, CODE, OTHER_CODE, OTHER_USERNAME, PASSWORD, PHONE, SELLER, USERNAME, assert_in,
    assert_out, customer, knock, open_shops, seller, shops,
};

#[actix_web::test]
async fn every_failed_login_is_answered_alike() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let mut browser = app.browser();
    let mut answers = Vec::new();
    for reply in [
        browser.by_password(USERNAME, "wrong").await,
        browser.by_password("nobody@example.com", PASSWORD).await,
        browser.by_phone(CODE, "0000000000").await,
        browser.by_phone("NoSuchCode", PHONE).await,
        browser.by_phone(OTHER_CODE, PHONE).await,
    ] {
        assert_eq!(reply.refusal(), (403, "invalid_grant"));
        assert!(reply.set_cookie("session-token").is_none());
        answers.push(reply.body);
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(
        answers[0],
        json!({ "statusCode": 403, "message": "Invalid credentials", "error": "invalid_grant" })
    );
}

#[actix_web::test]
async fn unknown_users_are_counted_as_wrong_passwords_are() {
    for stores in [Stores::Redis, Stores::Postgres] {
        let place = Place::new(stores).await;
        let app = shops(&place, &[]).await;
        let mut browser = app.browser();
        for (username, password) in [("nobody@example.com", "x"), (USERNAME, "wrong")] {
            for n in 0..7 {
                // However the name is written, it is the same.
                let typed = if n % 2 == 0 {
                    username.to_uppercase()
                } else {
                    format!(" {username} ")
                };
                let reply = browser.by_password(&typed, password).await;
                let expected = if n < 5 {
                    (403, "invalid_grant")
                } else {
                    (429, "Too Many Requests")
                };
                assert_eq!(reply.refusal(), expected, "{stores:?} {username} {n}");
            }
            let late = browser.by_password(USERNAME, PASSWORD).await;
            let blocked = username == USERNAME;
            assert_eq!(
                late.status,
                if blocked {
                    StatusCode::TOO_MANY_REQUESTS
                } else {
                    StatusCode::OK
                }
            );
            browser = app.browser();
        }
        for code in ["NoSuchCode", CODE] {
            for n in 0..6 {
                let reply = browser.by_phone(code, "0000000000").await;
                let expected = if n < 5 {
                    (403, "invalid_grant")
                } else {
                    (429, "Too Many Requests")
                };
                assert_eq!(reply.refusal(), expected, "{stores:?} {code} {n}");
            }
        }
        let reply = browser.by_phone(CODE, PHONE).await;
        let wait: u64 = reply.header("retry-after").parse().unwrap();
        assert!((3_590..=3_600).contains(&wait), "{wait}");
        let expected = json!({ "statusCode": 429, "message": "Too many requests", "error": "Too Many Requests" });
        assert_eq!(reply.body, expected);
        let reply = browser.by_password(OTHER_USERNAME, PASSWORD).await;
        assert_eq!(reply.status, StatusCode::OK, "others are not blocked");
    }
}

#[actix_web::test]
async fn a_successful_login_resets_the_attempts() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("login_limiter.slow_brute.points", "9")]).await;
    for _ in 0..2 {
        let mut browser = app.browser();
        for _ in 0..4 {
            assert_eq!(
                browser.by_password(USERNAME, "wrong").await.refusal(),
                (403, "invalid_grant")
            );
        }
        assert_eq!(
            browser.by_password(USERNAME, PASSWORD).await.status,
            StatusCode::OK
        );
    }
    // Only wrong ones took a point of the address for good: there is one left.
    let mut browser = app.browser();
    assert_eq!(
        browser.by_phone("NoSuchCode", PHONE).await.refusal(),
        (403, "invalid_grant")
    );
    let reply = browser.by_password(OTHER_USERNAME, PASSWORD).await;
    assert_eq!(
        reply.refusal(),
        (429, "Too Many Requests"),
        "{}",
        reply.body
    );
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 3_600);
}

#[actix_web::test]
async fn a_customers_code_shows_the_end_of_the_number_and_failures_count() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("login_limiter.slow_brute.points", "3")]).await;
    let mut browser = app.browser();
    for _ in 0..5 {
        let reply = browser.bp(CODE).await;
        assert_eq!(reply.status, StatusCode::OK, "hits do not count");
        assert_eq!(
            reply.body,
            json!({ "phoneLast": "684", "customerOf": BUSINESS })
        );
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    let invalid = browser.send(Method::GET, "/auth/bp", None).await;
    let expected = json!({ "statusCode": 400, "message": ["code should not be empty"], "error": "Bad Request" });
    assert_eq!(
        (invalid.status, &invalid.body),
        (StatusCode::BAD_REQUEST, &expected)
    );
    assert_eq!(
        browser.bp(&"x".repeat(26)).await.refusal(),
        (400, "Bad Request")
    );
    for _ in 0..3 {
        let reply = browser.bp("NoSuchCode").await;
        let expected =
            json!({ "statusCode": 400, "message": "BP not found", "error": "Bad Request" });
        assert_eq!(
            (reply.status, &reply.body),
            (StatusCode::BAD_REQUEST, &expected)
        );
    }
    let reply = browser.bp(CODE).await;
    assert_eq!(reply.refusal(), (429, "Too Many Requests"));
    assert!(reply.header("retry-after").parse::<u64>().is_ok());
    assert_eq!(
        browser.by_phone(CODE, PHONE).await.refusal(),
        (429, "Too Many Requests"),
        "one count for both"
    );
}

#[actix_web::test]
async fn customers_who_cannot_log_in_are_not_found() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let create = "mutation($data: BpCreateInput!) { createBp(data: $data) { uid } }";
    let sellers = json!({ "connect": [{ "extUid": SELLER }] });
    for data in [
        json!({ "extUid": "nophone123", "name1": "A", "customerOf": sellers }),
        json!({ "extUid": "nodigits12", "name1": "A", "phone": "none", "customerOf": sellers }),
        json!({ "extUid": "noseller12", "name1": "A", "phone": PHONE }),
    ] {
        app.data(create, json!({ "data": data })).await;
        let mut browser = app.browser();
        let code = data["extUid"].as_str().unwrap();
        assert_eq!(
            browser.bp(code).await.refusal(),
            (400, "Bad Request"),
            "{code}"
        );
        assert_eq!(
            browser.by_phone(code, PHONE).await.refusal(),
            (403, "invalid_grant"),
            "{code}"
        );
    }
}

#[actix_web::test]
async fn an_invalid_login_body_is_refused_with_all_its_errors() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let mut browser = app.browser();
    let reply = browser
        .log_in(json!({ "grantType": "phone", "username": "", "phone": "12" }))
        .await;
    let expected = json!({
        "statusCode": 400, "message": ["username should not be empty", "phone must be 10 digits"],
        "error": "Bad Request",
    });
    assert_eq!(
        (reply.status, reply.body),
        (StatusCode::BAD_REQUEST, expected)
    );
    for body in [json!([]), json!("x"), json!(null)] {
        assert_eq!(browser.log_in(body).await.refusal(), (400, "Bad Request"));
    }
    let long = json!({ "grantType": "password", "username": "x".repeat(20_000), "password": "x" });
    assert_eq!(
        browser.log_in(long).await.refusal(),
        (413, "Payload Too Large")
    );
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let reply = browser
        .send_with(Method::POST, "/auth/login", None, &form)
        .await;
    assert_eq!(reply.refusal(), (415, "Unsupported Media Type"));
    for (method, path, allow) in [
        (Method::GET, "/auth/login", "POST"),
        (Method::POST, "/auth/ping", "GET, HEAD"),
        (Method::PUT, "/auth/logout", "GET, POST"),
        (Method::POST, "/auth/bp", "GET, HEAD"),
    ] {
        let reply = browser.send(method, path, None).await;
        assert_eq!(
            (reply.refusal(), reply.header("allow")),
            ((405, "Method Not Allowed"), allow),
            "{path}"
        );
    }
    assert_eq!(
        browser
            .send(Method::GET, "/auth/nope", None)
            .await
            .refusal(),
        (404, "Not Found")
    );
}

#[actix_web::test]
async fn a_logged_in_browser_receives_its_cookie_again() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    for mut browser in [seller(&app).await, customer(&app).await] {
        let (id, token) = (
            browser.jar["session-id"].clone(),
            browser.jar["session-token"].clone(),
        );
        let reply = browser.by_password(USERNAME, "not even right").await;
        assert_eq!(
            (reply.status, &reply.body),
            (StatusCode::NO_CONTENT, &Value::Null)
        );
        assert!(reply.set_cookie("session-token").is_some());
        assert_eq!(
            (&browser.jar["session-id"], &browser.jar["session-token"]),
            (&id, &token)
        );
        assert_in(&mut browser).await;
    }
    // Without the cookie the browser is unknown: the password decides.
    let mut browser = seller(&app).await;
    browser.jar.remove("session-token");
    assert_eq!(
        browser.by_password(USERNAME, "wrong").await.refusal(),
        (403, "invalid_grant")
    );
    assert_eq!(
        browser.by_password(USERNAME, PASSWORD).await.status,
        StatusCode::OK
    );
    assert_in(&mut browser).await;
}

#[actix_web::test]
async fn a_logout_forgets_everything_with_and_without_a_session() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let mut nobody = app.browser();
    nobody.jar.insert("session-token".into(), "a.b".into());
    nobody.jar.insert("csrf-token".into(), "old".into());
    for method in [Method::GET, Method::POST] {
        let reply = nobody
            .clone()
            .send(method.clone(), "/auth/logout", None)
            .await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
        for name in ["session-token", "csrf-token"] {
            assert!(
                reply.set_cookie(name).unwrap().contains("Max-Age=0"),
                "{method} {name}"
            );
        }
        // The session died in the store.
        let mut browser = seller(&app).await;
        let left = browser.clone();
        browser.log_out().await;
        let mut left = left;
        left.jar.remove("csrf-token");
        assert_eq!(
            left.send(method, "/auth/logout", None).await.status,
            StatusCode::NO_CONTENT
        );
        assert!(left.cookies_of_sessions().is_empty());
    }
}

#[actix_web::test]
async fn token_halves_of_different_sessions_are_refused() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let (mut ana, luz) = (seller(&app).await, customer(&app).await);
    let own = ana.jar["session-token"].clone();
    let other = luz.jar["session-token"].clone();
    for token in [
        other.as_str(),
        "a.b",
        "a",
        "%00",
        &own[..own.len() - 1],
        &format!("{own}.x"),
    ] {
        ana.jar.insert("session-token".into(), token.into());
        assert_out(&mut ana).await;
    }
    ana.jar.remove("session-token");
    assert_out(&mut ana).await;
    ana.jar.insert("session-token".into(), own);
    assert_in(&mut ana).await;
}

#[actix_web::test]
async fn users_have_their_own_limits() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(
        &place,
        &[("limits.body_bytes", "2048"), ("limits.aliases", "2")],
    )
    .await;
    let mut browser = seller(&app).await;
    let long = "x".repeat(4_096);
    let reply = browser
        .graphql("{ __typename }", json!({ "long": long }))
        .await;
    assert_eq!(reply.code(), (413, "LIMIT_EXCEEDED"));
    app.data("{ __typename }", json!({ "long": long })).await;
    let aliases = "{ a: __typename b: __typename c: __typename }";
    assert_eq!(
        browser.graphql(aliases, json!({})).await.code(),
        (200, "LIMIT_EXCEEDED")
    );
    app.data(aliases, json!({})).await;
    assert_eq!(
        knock(&mut browser).await.body,
        json!({ "data": { "__typename": "Query" } })
    );
}

#[actix_web::test]
async fn an_attempt_that_the_issuer_could_not_check_costs_nothing() {
    let oauth = OAuth::start().await;
    oauth.add(
        USERNAME,
        PASSWORD,
        json!({ "sub": SELLER, "permissions": ["role:seller"] }),
    );
    let place = Place::new(Stores::Postgres).await;
    let settings = oauth.settings();
    let settings: Vec<_> = settings
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let app = place.serve(&settings).await;
    open_shops(&app).await;
    let mut browser = app.browser();
    assert_eq!(
        browser.by_password(USERNAME, "wrong").await.refusal(),
        (403, "invalid_grant")
    );
    oauth.be_away(true);
    for _ in 0..8 {
        assert_eq!(
            browser.by_password(USERNAME, PASSWORD).await.refusal(),
            (503, "Service Unavailable")
        );
    }
    oauth.be_away(false);
    for _ in 0..3 {
        assert_eq!(
            browser.by_password(USERNAME, "wrong").await.refusal(),
            (403, "invalid_grant")
        );
    }
    assert_eq!(
        browser.by_password(USERNAME, PASSWORD).await.status,
        StatusCode::OK
    );
}

/// From one network after another, as a trusted proxy reports them.
#[actix_web::test]
async fn guesses_from_many_networks_are_counted_by_account_and_do_not_lock_its_owner_out() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("server.trusted_proxies", "127.0.0.0/8")]).await;
    let from = |browser: &mut Browser, number: usize| {
        browser.headers = vec![("x-forwarded-for", format!("2001:db8:{number:x}::1"))];
    };
    let mut owner = app.browser();
    from(&mut owner, 0xffff);
    assert_eq!(
        owner.by_password(USERNAME, PASSWORD).await.status,
        StatusCode::OK
    );
    let mut passed = 0;
    for number in 0..15 {
        let mut stranger = app.browser();
        from(&mut stranger, number);
        let reply = stranger.by_password(USERNAME, "wrong").await;
        passed += usize::from(reply.refusal() == (403, "invalid_grant"));
    }
    assert_eq!(passed, 10);
    let mut stranger = app.browser();
    from(&mut stranger, 100);
    assert_eq!(
        stranger.by_password(USERNAME, PASSWORD).await.refusal(),
        (429, "Too Many Requests")
    );
    assert_eq!(
        stranger.by_password(OTHER_USERNAME, PASSWORD).await.status,
        StatusCode::OK
    );

    owner.send(Method::POST, "/auth/logout", None).await;
    from(&mut owner, 0xfffe);
    assert_eq!(
        owner.by_password(USERNAME, PASSWORD).await.status,
        StatusCode::OK
    );
}
