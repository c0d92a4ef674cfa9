//! Requests that other sites' pages could send.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use gom_test_support::app::TestApp;
use gom_test_support::browser::{Browser, Reply};
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{
    PASSWORD, USERNAME, assert_in, assert_out, customer, knock, seller, shops,
};

fn login() -> Value {
    json!({ "grantType": "password", "username": USERNAME, "password": PASSWORD })
}

/// The unsafe requests there are, for one who is logged in; each with a body.
const UNSAFE: [&str; 3] = ["/graphql", "/webpush/subscribe", "/auth/logout"];

fn body(path: &str) -> Option<Value> {
    match path {
        "/graphql" => Some(json!({ "query": "{ __typename }" })),
        "/auth/login" => Some(login()),
        _ => Some(json!({})),
    }
}

async fn post(browser: &mut Browser, path: &str, headers: &[(&str, &str)]) -> Reply {
    browser
        .send_with(Method::POST, path, body(path), headers)
        .await
}

async fn start() -> (Place, TestApp) {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("server.origins", "https://partner.example")]).await;
    (place, app)
}

#[actix_web::test]
async fn every_unsafe_request_needs_the_sessions_own_token() {
    let (_place, app) = start().await;
    let other = customer(&app).await;
    for path in UNSAFE {
        let mut browser = seller(&app).await;
        let own = browser.jar["csrf-token"].clone();
        for token in [
            "",
            "malformed",
            &other.jar["csrf-token"],
            &own[1..],
            &own.to_uppercase(),
        ] {
            let reply = post(&mut browser, path, &[("x-csrf-token", token)]).await;
            assert_eq!(reply.refusal(), (403, "EBADCSRFTOKEN"), "{path} {token}");
            assert_eq!(reply.body["message"], "invalid csrf token");
        }
        let mut without = browser.clone();
        without.jar.remove("csrf-token");
        assert_eq!(
            post(&mut without, path, &[]).await.refusal(),
            (403, "EBADCSRFTOKEN"),
            "{path}"
        );
        assert_ne!(
            post(&mut browser, path, &[("x-csrf-token", &own)])
                .await
                .refusal(),
            (403, "EBADCSRFTOKEN"),
            "{path}: the first one is good all the same"
        );
    }
}

#[actix_web::test]
async fn a_login_needs_a_csrf_token_and_can_be_retried_after_a_refusal() {
    let (_place, app) = start().await;
    let mut browser = app.browser();
    let reply = post(&mut browser, "/auth/login", &[]).await;
    assert_eq!(reply.refusal(), (403, "EBADCSRFTOKEN"));
    assert_eq!(
        post(&mut browser, "/auth/login", &[]).await.status,
        StatusCode::OK,
        "the refusal brought it"
    );

    // A name that we did not give out, and a token that was good for another.
    let mut browser = app.browser();
    browser.ping().await;
    browser.jar.insert(
        "session-id".into(),
        "s%3AAAAAAAAAAAAAAAAAAAAAAAAA.malformed".into(),
    );
    assert_eq!(
        post(&mut browser, "/auth/login", &[]).await.refusal(),
        (403, "EBADCSRFTOKEN")
    );
    assert_eq!(
        post(&mut browser, "/auth/login", &[]).await.status,
        StatusCode::OK
    );

    // The pair of somebody else's browser does not make ours log in there.
    let mut planted = app.browser();
    planted.ping().await;
    let mut browser = app.browser();
    browser.ping().await;
    let token = planted.jar["csrf-token"].clone();
    let reply = post(&mut browser, "/auth/login", &[("x-csrf-token", &token)]).await;
    assert_eq!(reply.refusal(), (403, "EBADCSRFTOKEN"));
}

#[actix_web::test]
async fn a_ping_sets_a_csrf_token_for_the_current_session() {
    let (_place, app) = start().await;
    let mut browser = app.browser();
    let reply = browser.ping().await;
    assert_eq!(
        (reply.status, &reply.body),
        (StatusCode::OK, &json!({ "success": true }))
    );
    assert!(reply.set_cookie("csrf-token").is_some() && reply.set_cookie("session-id").is_some());
    let (id, token) = (
        browser.jar["session-id"].clone(),
        browser.jar["csrf-token"].clone(),
    );
    let again = browser.ping().await;
    assert!(again.set_cookie("csrf-token").is_none(), "it has one");
    assert_eq!(browser.jar["session-id"], id);

    // The login page throws it away.
    browser.jar.remove("csrf-token");
    browser.ping().await;
    assert_eq!(browser.jar["session-id"], id, "the session is the same");
    for token in [token, browser.jar["csrf-token"].clone()] {
        let mut browser = browser.clone();
        let reply = post(&mut browser, "/auth/login", &[("x-csrf-token", &token)]).await;
        assert_eq!(reply.status, StatusCode::OK, "both are good");
    }

    // The same while logged in, and with a token of another session.
    let mut browser = seller(&app).await;
    browser.jar.remove("csrf-token");
    browser.ping().await;
    assert_in(&mut browser).await;
    browser.jar.insert(
        "csrf-token".into(),
        customer(&app).await.jar["csrf-token"].clone(),
    );
    assert_eq!(knock(&mut browser).await.refusal(), (403, "EBADCSRFTOKEN"));
    assert_in(&mut browser).await;
}

#[actix_web::test]
async fn a_login_binds_a_new_token_to_the_new_session() {
    let (_place, app) = start().await;
    let mut browser = app.browser();
    browser.ping().await;
    let before = browser.jar["csrf-token"].clone();
    browser
        .send(Method::POST, "/auth/login", Some(login()))
        .await;
    assert_ne!(browser.jar["csrf-token"], before);
    assert_in(&mut browser).await;
    let reply = post(&mut browser, "/graphql", &[("x-csrf-token", &before)]).await;
    assert_eq!(reply.refusal(), (403, "EBADCSRFTOKEN"));
}

#[actix_web::test]
async fn an_ended_session_is_refused_before_its_csrf_token_is_checked() {
    let (_place, app) = start().await;
    for path in ["/graphql", "/webpush/subscribe"] {
        let mut nobody = app.browser();
        assert_eq!(
            post(&mut nobody, path, &[]).await.refusal(),
            (403, "jwt_error"),
            "{path}"
        );
        nobody.ping().await;
        assert_eq!(
            post(&mut nobody, path, &[]).await.refusal(),
            (403, "jwt_error"),
            "{path}: not logged in"
        );

        let mut browser = seller(&app).await;
        let mut left = browser.clone();
        browser.log_out().await;
        left.jar.remove("csrf-token");
        let evil = [
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert_eq!(
            post(&mut left, path, &evil).await.refusal(),
            (403, "jwt_error"),
            "{path}: closed"
        );
    }
    assert_out(&mut app.browser()).await;
}

#[actix_web::test]
async fn pages_of_other_sites_are_refused_and_bearer_tokens_need_none_of_it() {
    let (_place, app) = start().await;
    let own = app.address.clone();
    for (headers, allowed) in [
        (&[][..], true),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("origin", own.as_str())], true),
        (&[("origin", "https://evil.example")], false),
        (&[("origin", "null")], false),
        (
            &[
                ("origin", "https://partner.example"),
                ("sec-fetch-site", "cross-site"),
            ],
            true,
        ),
    ] {
        for path in UNSAFE.iter().chain(&["/auth/login"]) {
            let mut browser = if *path == "/auth/login" {
                app.browser()
            } else {
                seller(&app).await
            };
            browser.ping().await;
            let reply = post(&mut browser, path, headers).await;
            let refused = reply.refusal() == (403, "EBADCSRFTOKEN");
            assert_eq!(
                refused, !allowed,
                "{path} {headers:?} {} {}",
                reply.status, reply.body
            );
        }
    }
    app.data("{ __typename }", json!({})).await;
}

#[actix_web::test]
async fn a_link_on_another_site_logs_nobody_out() {
    let (_place, app) = start().await;
    let mut browser = seller(&app).await;
    let evil = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
    ];
    let reply = browser
        .send_with(Method::GET, "/auth/logout", None, &evil)
        .await;
    assert_eq!(reply.refusal(), (403, "EBADCSRFTOKEN"));
    assert_in(&mut browser).await;
}

/// A form or a link of another page sends none of our cookies, and the browser keeps what the answer sets.
#[actix_web::test]
async fn another_sites_page_changes_no_cookie_and_spends_no_attempt_whatever_it_sends() {
    let (_place, app) = start().await;
    let logged_in = seller(&app).await;
    let mut prepared = app.browser();
    prepared.ping().await;
    let browsers = [app.browser(), prepared, logged_in.clone()];
    for (method, path) in [
        (Method::GET, "/auth/ping"),
        (Method::POST, "/auth/login"),
        (Method::GET, "/auth/logout"),
        (Method::POST, "/auth/logout"),
        (Method::GET, "/auth/bp?code=nobody"),
    ] {
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
        ] {
            for browser in &browsers {
                // More often than wrong logins are allowed.
                for _ in 0..3 {
                    let mut browser = browser.clone();
                    let body = (method == Method::POST).then(login);
                    let reply = browser.send_with(method.clone(), path, body, headers).await;
                    assert_eq!(
                        reply.refusal(),
                        (403, "EBADCSRFTOKEN"),
                        "{method} {path} {headers:?}"
                    );
                    assert!(
                        reply.headers.get("set-cookie").is_none(),
                        "{method} {path} {headers:?}"
                    );
                }
            }
        }
    }
    let mut own = app.browser();
    assert_eq!(
        own.bp("nobody").await.status,
        StatusCode::BAD_REQUEST,
        "the address has attempts left"
    );
    assert_in(&mut logged_in.clone()).await;
    assert_eq!(
        logged_in.clone().log_out().await.status,
        StatusCode::NO_CONTENT,
        "a page of ours"
    );
}
