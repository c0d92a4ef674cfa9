//! Users' access tokens of an identity provider, in `Authorization` (ADR 53).

use std::time::{Duration, SystemTime};

use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use gom_server::identity::ServiceTokens;
use gom_test_support::app::{Answer, TestApp, read};
use gom_test_support::place::{Place, Stores};
use gom_test_support::token_issuer::{TokenIssuer, in_seconds};
use gom_test_support::two_shops::{
    CODE, OTHER_CODE, OTHER_SELLER, SELLER, USERNAME, seller, shops,
};

const CODES: &str = "{ bps { extUid } }";
const PATIENCE: Duration = Duration::from_secs(60);

/// Both shops, and an issuer whose users are sellers of the shop that their token names.
async fn start(issuer: &TokenIssuer, more: &[(&'static str, &str)]) -> (Place, TestApp) {
    let entry = issuer.entry(&json!({ "default_role": "seller", "claims": { "sub": "sub" } }));
    let issuers = json!([entry]).to_string();
    let place = Place::new(Stores::Postgres).await;
    let mut settings = vec![("auth.issuers", issuers.as_str())];
    settings.extend(more);
    let app = shops(&place, &settings).await;
    (place, app)
}

fn request(app: &TestApp, token: &str) -> reqwest::RequestBuilder {
    app.request(Method::POST, "/graphql")
        .header("Content-Type", "application/json")
        .bearer_auth(token)
        .body(json!({ "query": CODES }).to_string())
}

async fn ask(app: &TestApp, token: &str) -> Answer {
    read(request(app, token).send().await.unwrap()).await
}

/// The customers that the answer has.
fn codes(answer: &Answer) -> Vec<&str> {
    let rows = answer.body["data"]["bps"].as_array();
    let rows = rows.unwrap_or_else(|| panic!("{}", answer.body));
    rows.iter()
        .map(|row| row["extUid"].as_str().unwrap())
        .collect()
}

#[actix_web::test]
async fn a_users_token_has_the_rights_of_its_role_and_claims() {
    let (issuer, other) = (TokenIssuer::start(), TokenIssuer::start());
    let entries = json!([
        issuer.entry(&json!({
            "role_claim": ["realm_access", "roles"], "roles": { "shop": "seller" }, "claims": { "sub": "sub" },
        })),
        other.entry(&json!({ "default_role": "seller" })),
    ]);
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("auth.issuers", &entries.to_string())]).await;
    let roles = |roles: Value| json!({ "realm_access": { "roles": roles } });
    let good = issuer.token(SELLER, &roles(json!(["offline_access", "shop"])));
    assert_eq!(codes(&ask(&app, &good).await), [CODE]);
    let theirs = issuer.token(OTHER_SELLER, &roles(json!(["shop"])));
    assert_eq!(codes(&ask(&app, &theirs).await), [OTHER_CODE]);
    let none = issuer.token(SELLER, &roles(json!(["admin"])));
    assert_eq!(
        ask(&app, &none).await.code(),
        "FORBIDDEN",
        "its values stand for no role"
    );
    // The same subject at another issuer is another user, and not the one of the rows.
    let namesake = other.token(SELLER, &json!({}));
    assert_eq!(codes(&ask(&app, &namesake).await), Vec::<&str>::new());
    assert_eq!(
        codes(&ask(&app, &app.token).await).len(),
        2,
        "services as before"
    );
}

#[actix_web::test]
async fn the_answer_to_a_wrong_token_says_what_is_wrong() {
    let issuer = TokenIssuer::start();
    let (_place, app) = start(&issuer, &[]).await;
    for (changes, reason) in [
        (json!({ "exp": in_seconds(-5) }), "jwt expired"),
        (json!({ "aud": "another" }), "jwt audience invalid"),
        (
            json!({ "iss": "https://another.example" }),
            "jwt issuer invalid",
        ),
    ] {
        let answer = ask(&app, &issuer.token(SELLER, &changes)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{changes}");
        assert_eq!(answer.body["errors"][0]["code"], 3015);
        let challenge = format!(r#"Bearer error="invalid_token", error_description="{reason}""#);
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
    let services = ServiceTokens::new(app.settings.service.secret.as_ref().unwrap());
    let hour = Duration::from_secs(3_600);
    let ended = services.sign(SystemTime::now() - 2 * hour, hour).unwrap();
    let answer = ask(&app, &ended).await;
    assert!(
        answer
            .header("www-authenticate")
            .ends_with("\"jwt expired\""),
        "a service's"
    );
    // Quotes and line breaks of a token reach no header.
    let answer = ask(&app, "a\"b.c\"d.e").await;
    assert!(
        answer
            .header("www-authenticate")
            .ends_with("\"jwt malformed\"")
    );
}

#[actix_web::test]
async fn a_token_takes_the_place_of_cookies_and_needs_no_csrf_token() {
    let issuer = TokenIssuer::start();
    let (_place, app) = start(&issuer, &[]).await;
    let mut browser = seller(&app).await;
    browser.jar.remove("csrf-token");
    let token = format!("Bearer {}", issuer.token(OTHER_SELLER, &json!({})));
    let foreign = [
        ("authorization", token.as_str()),
        ("origin", "https://elsewhere.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    let body = json!({ "query": CODES });
    let reply = browser
        .send_with(Method::POST, "/graphql", Some(body.clone()), &foreign)
        .await;
    assert_eq!(
        reply.body["data"]["bps"],
        json!([{ "extUid": OTHER_CODE }]),
        "{}",
        reply.body
    );
    let bad = format!(
        "Bearer {}",
        issuer.token(OTHER_SELLER, &json!({ "exp": in_seconds(-5) }))
    );
    let reply = browser
        .send_with(
            Method::POST,
            "/graphql",
            Some(body),
            &[("authorization", &bad)],
        )
        .await;
    assert_eq!(
        reply.status,
        StatusCode::UNAUTHORIZED,
        "the cookies are no second chance"
    );
    // Devices belong to sessions, and the cookies' session is not the token's.
    let reply = browser
        .send_with(
            Method::POST,
            "/webpush/subscribe",
            Some(json!({})),
            &foreign,
        )
        .await;
    assert_eq!(reply.refusal(), (403, "Forbidden"), "{}", reply.body);
}

#[actix_web::test]
async fn an_event_stream_ends_with_its_token_also_with_cookies() {
    let issuer = TokenIssuer::start();
    let (_place, app) = start(&issuer, &[]).await;
    let browser = seller(&app).await;
    let jar: Vec<String> = browser
        .jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let token = issuer.token(OTHER_SELLER, &json!({ "exp": in_seconds(15) }));
    let query = json!({ "query": "subscription { order { node { name } } }" });
    let response = app
        .request(Method::POST, "/graphql")
        .header("Accept", "text/event-stream")
        .header("Content-Type", "application/json")
        .header("Cookie", jar.join("; "))
        .header("Sec-Fetch-Site", "cross-site")
        .bearer_auth(token)
        .body(query.to_string());
    let response = response.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut events = response.bytes_stream();
    let mut read = String::new();
    while let Some(part) = timeout(PATIENCE, events.next()).await.expect("it ends") {
        read.push_str(std::str::from_utf8(&part.unwrap()).unwrap());
    }
    // With its first event, the position at which it begins; and without an error.
    assert!(read.contains("id: ") && !read.contains("errors"), "{read}");
}

#[actix_web::test]
async fn a_user_whose_account_is_disabled_has_no_access_by_a_token() {
    let issuer = TokenIssuer::start();
    let name = issuer.name.clone();
    let (place, app) = start(&issuer, &[("auth.oauth2.issuer", &name)]).await;
    let token = issuer.token(SELLER, &json!({}));
    let client = place.database.connect().await;
    let accounts = gom_server::identity::AccountTable::new(&client);
    accounts.set_disabled(USERNAME, true).await.unwrap();
    let answer = ask(&app, &token).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(
        answer
            .header("www-authenticate")
            .contains("account disabled")
    );
    let other = issuer.token(OTHER_SELLER, &json!({}));
    assert_eq!(codes(&ask(&app, &other).await), [OTHER_CODE]);
}

#[actix_web::test]
async fn while_the_keys_cannot_be_fetched_the_answer_is_to_try_again() {
    let issuer = TokenIssuer::start();
    let entry = issuer.entry(&json!({
        "default_role": "seller", "jwks_url": format!("{}/nowhere", issuer.name),
    }));
    let place = Place::new(Stores::Postgres).await;
    let app = place
        .serve(&[("auth.issuers", &json!([entry]).to_string())])
        .await;
    let answer = ask(&app, &issuer.token(SELLER, &json!({}))).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE")
    );
    assert!(!answer.header("retry-after").is_empty());
}
