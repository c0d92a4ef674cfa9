//! The cookies' attributes, and keys that change.

use reqwest::{Method, StatusCode};
use serde_json::json;

use gom_test_support::place::{KEY, Place, Stores};
use gom_test_support::two_shops::{
    PASSWORD, USERNAME, assert_in, assert_out, customer, seller, shops,
};

#[actix_web::test]
async fn cookies_have_the_attributes_of_the_settings() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(
        &place,
        &[
            ("session.options.max_age", "86400000"),
            ("session.options.secure", "true"),
            ("access_token.options.max_age", "3600000"),
            ("access_token.options.secure", "true"),
            ("csrf.options.secure", "true"),
            ("csrf.options.same_site", "strict"),
        ],
    )
    .await;
    let mut browser = app.browser();
    let reply = browser.ping().await;
    let line = |reply: &gom_test_support::browser::Reply, name: &str| {
        let line = reply
            .set_cookie(name)
            .unwrap_or_else(|| panic!("{name} is not set"));
        let (pair, attributes) = line.split_once("; ").unwrap();
        (
            pair.split_once('=').unwrap().1.to_owned(),
            attributes.to_owned(),
        )
    };
    let (id, attributes) = line(&reply, "session-id");
    assert_eq!(
        attributes,
        "Max-Age=86400; Path=/; HttpOnly; Secure; SameSite=Lax"
    );
    assert!(id.starts_with("s%3A") && id.contains('.'), "{id}");
    let host = line(&reply, "__Host-session-id");
    assert_eq!(
        host,
        (
            id,
            "Max-Age=86400; Path=/; HttpOnly; Secure; SameSite=Lax".to_owned()
        )
    );
    let (token, attributes) = line(&reply, "csrf-token");
    assert_eq!(attributes, "Path=/; Secure; SameSite=Strict");
    assert!(
        token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        "{token}"
    );
    assert_eq!(
        browser.script_reads("csrf-token"),
        Some(token.into()),
        "a text, as it was sent"
    );

    let reply = browser.by_password(USERNAME, PASSWORD).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.header("cache-control"), "no-store");
    let (half, attributes) = line(&reply, "session-token");
    assert_eq!(attributes, "Max-Age=3600; Path=/; Secure; SameSite=Lax");
    assert!(half.len() + "session-token".len() <= 4_096);
    let (_, attributes) = line(&reply, "csrf-token");
    assert_eq!(attributes, "Path=/; Secure; SameSite=Strict");

    let reply = browser.log_out().await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    let gone = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/";
    for (name, rest) in [
        ("session-token", "; Secure; SameSite=Lax"),
        ("csrf-token", "; Secure; SameSite=Strict"),
        ("session-id", "; HttpOnly; Secure; SameSite=Lax"),
        ("__Host-session-id", "; HttpOnly; Secure; SameSite=Lax"),
    ] {
        assert_eq!(
            line(&reply, name),
            (String::new(), format!("{gone}{rest}")),
            "{name}"
        );
    }
}

#[actix_web::test]
async fn a_new_key_logs_nobody_out_while_the_old_one_is_known() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let before = seller(&app).await;
    let newer = "another key of the tests, which is long enough";
    let rotated = place
        .serve(&[("app_key", newer), ("app_key_previous", KEY)])
        .await;
    let mut browser = before.at(&rotated);
    assert_in(&mut browser).await;
    // What is given out from now on is signed with the newer one.
    browser.jar.remove("csrf-token");
    browser.ping().await;
    assert_in(&mut browser).await;
    let mut forgotten = before.at(&place.serve(&[("app_key", newer)]).await);
    assert_out(&mut forgotten).await;
    assert_in(&mut before.at(&app)).await;
}

#[actix_web::test]
async fn cookies_of_another_deployment_neither_end_nor_open_a_session() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("session.options.secure", "true")]).await;
    let own = seller(&app).await;
    let neighbour = customer(&app).await;
    // A cookie of a longer path, or that was set earlier, comes first.
    let planted = |names: &[&str]| {
        let theirs = names
            .iter()
            .map(|name| format!("{name}={}", neighbour.jar[*name]));
        let ours = own
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        theirs.chain(ours).collect::<Vec<_>>().join("; ")
    };
    for cookies in [
        planted(&["session-token"]),
        planted(&["session-id"]),
        planted(&["session-id", "session-token"]),
        format!("visitante=Mar\u{ed}a; {}", planted(&[])),
    ] {
        let mut browser = own.clone();
        browser.headers = vec![("cookie", cookies.clone())];
        assert_in(&mut browser).await;
        let shown = browser
            .data("{ orders { uid } }", serde_json::json!({}))
            .await;
        assert!(shown["orders"].is_array(), "{cookies}: {shown}");
    }
    // Anyone who was logged in by a server of the previous version stays so.
    let mut before = own.clone();
    before.jar.remove("__Host-session-id").unwrap();
    assert_in(&mut before).await;
}

#[actix_web::test]
async fn two_servers_on_one_host_have_cookies_of_their_own() {
    let (first, second) = (
        Place::new(Stores::Postgres).await,
        Place::new(Stores::Postgres).await,
    );
    let plain = shops(&first, &[]).await;
    let prefixed = shops(
        &second,
        &[
            ("server.cookie_prefix", "two-"),
            ("app_key", "another key, which is long enough"),
        ],
    )
    .await;
    let mut browser = seller(&plain).await;
    let at_first = browser.jar.clone();

    // The same browser: cookies do not depend on ports.
    browser = browser.at(&prefixed);
    assert_eq!(
        browser.send(Method::GET, "/auth/ping", None).await.status,
        StatusCode::OK
    );
    let login = json!({ "grantType": "password", "username": USERNAME, "password": PASSWORD });
    let token = browser.jar["two-csrf-token"].clone();
    let reply = browser
        .send_with(
            Method::POST,
            "/auth/login",
            Some(login),
            &[("x-csrf-token", &token)],
        )
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    for (name, value) in &at_first {
        assert_eq!(
            browser.jar.get(name),
            Some(value),
            "{name} is the first server's"
        );
    }
    for name in ["session-id", "session-token", "csrf-token", "device"] {
        assert!(
            browser.jar.contains_key(&format!("two-{name}")),
            "{name}: {:?}",
            browser.jar
        );
    }
    let query = json!({ "query": "{ orders { uid } }" });
    let token = browser.jar["two-csrf-token"].clone();
    let reply = browser
        .send_with(
            Method::POST,
            "/graphql",
            Some(query.clone()),
            &[("x-csrf-token", &token)],
        )
        .await;
    assert_eq!(
        (reply.status, reply.body.get("errors")),
        (StatusCode::OK, None),
        "{}",
        reply.body
    );
    let mut back = browser.at(&plain);
    let reply = back.send(Method::POST, "/graphql", Some(query)).await;
    assert_eq!(
        (reply.status, reply.body.get("errors")),
        (StatusCode::OK, None),
        "{}",
        reply.body
    );

    let reply = browser
        .send_with(
            Method::POST,
            "/auth/logout",
            None,
            &[("x-csrf-token", &token)],
        )
        .await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    assert!(
        browser.jar.contains_key("session-id") && !browser.jar.contains_key("two-session-id"),
        "{:?}",
        browser.jar
    );
}
