//! The cookies' attributes, and keys that change.

use reqwest::StatusCode;

use crate::app::{KEY, Place, Stores};
use crate::world::{PASSWORD, USERNAME, assert_in, assert_out, seller, shops};

#[actix_web::test]
async fn cookies_have_the_attributes_of_the_settings() {
    let place = Place::new(Stores::Twins).await;
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
    let line = |reply: &crate::browser::Reply, name: &str| {
        let line = reply.set_cookie(name).unwrap_or_else(|| panic!("{name} is not set"));
        let (pair, attributes) = line.split_once("; ").unwrap();
        (pair.split_once('=').unwrap().1.to_owned(), attributes.to_owned())
    };
    let (id, attributes) = line(&reply, "session-id");
    assert_eq!(attributes, "Max-Age=86400; Path=/; HttpOnly; Secure; SameSite=Lax");
    assert!(id.starts_with("s%3A") && id.contains('.'), "{id}");
    let (token, attributes) = line(&reply, "csrf-token");
    assert_eq!(attributes, "Path=/; Secure; SameSite=Strict");
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
    assert_eq!(browser.script_reads("csrf-token"), Some(token.into()), "a text, as it was sent");

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
    ] {
        assert_eq!(line(&reply, name), (String::new(), format!("{gone}{rest}")), "{name}");
    }
}

#[actix_web::test]
async fn a_new_key_logs_nobody_out_while_the_old_one_is_known() {
    let place = Place::new(Stores::Twins).await;
    let app = shops(&place, &[]).await;
    let before = seller(&app).await;
    let newer = "another key of the tests, which is long enough";
    let rotated = place.serve(&[("app_key", newer), ("app_key_previous", KEY)]).await;
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
