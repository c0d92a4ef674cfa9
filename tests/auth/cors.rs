//! CORS: which requests browsers may send from pages of other origins, and which answers these may read.

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::json;

use gom_test_support::app::TestApp;
use gom_test_support::browser::Browser;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{PASSWORD, USERNAME, seller, shops};

const PARTNER: &str = "https://partner.example";
const BELOW: &str = "https://a.shops.example";
const OTHERS: [&str; 5] = [
    "https://evil.example",
    "https://shops.example",
    "https://partner.example.evil",
    "http://partner.example",
    "null",
];
const PATHS: [&str; 8] = [
    "/graphql",
    "/",
    "/my-shop/dev",
    "/auth/ping",
    "/auth/login",
    "/auth/logout",
    "/webpush/subscribe",
    "/webpush/key",
];

async fn start() -> (Place, TestApp) {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(
        &place,
        &[(
            "server.origins",
            "https://partner.example,https://*.shops.example",
        )],
    )
    .await;
    (place, app)
}

async fn preflight(app: &TestApp, path: &str, origin: &str) -> reqwest::Response {
    let request = Client::new().request(Method::OPTIONS, format!("{}{path}", app.address));
    let request = request
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "content-type, x-csrf-token",
        );
    request.send().await.unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[actix_web::test]
async fn preflights_are_answered_for_origins_of_the_settings_alone() {
    let (_place, app) = start().await;
    for path in PATHS {
        for origin in [PARTNER, BELOW] {
            let answer = preflight(&app, path, origin).await;
            let headers = answer.headers();
            assert!(
                answer.status().is_success(),
                "{path} {origin}: {}",
                answer.status()
            );
            assert_eq!(
                text(headers, "access-control-allow-origin"),
                origin,
                "{path}"
            );
            assert_eq!(
                text(headers, "access-control-allow-credentials"),
                "true",
                "{path}"
            );
            assert!(
                text(headers, "access-control-allow-methods").contains("POST"),
                "{path}"
            );
            let allowed = text(headers, "access-control-allow-headers").to_ascii_lowercase();
            assert!(
                allowed.contains("x-csrf-token") && allowed.contains("content-type"),
                "{path} {allowed}"
            );
            assert!(text(headers, "vary").contains("Origin"), "{path}");
        }
        for origin in OTHERS {
            let answer = preflight(&app, path, origin).await;
            assert!(
                answer.status().is_client_error(),
                "{path} {origin}: {}",
                answer.status()
            );
            assert_eq!(
                text(answer.headers(), "access-control-allow-origin"),
                "",
                "{path} {origin}"
            );
            assert_eq!(
                text(answer.headers(), "access-control-allow-credentials"),
                "",
                "{path} {origin}"
            );
        }
    }
}

#[actix_web::test]
async fn without_origins_in_the_settings_nothing_is_allowed() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let answer = preflight(&app, "/graphql", PARTNER).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(text(answer.headers(), "access-control-allow-origin"), "");
}

#[actix_web::test]
async fn a_page_of_an_allowed_origin_logs_in_and_sends_the_token_of_the_header() {
    let (_place, app) = start().await;
    let page = [("origin", PARTNER), ("sec-fetch-site", "same-site")];
    let mut browser = Browser::new(&app.address);
    let ping = browser
        .send_with(Method::GET, "/auth/ping", None, &page)
        .await;
    assert_eq!(ping.status, StatusCode::OK);
    let exposed = text(&ping.headers, "access-control-expose-headers").to_ascii_lowercase();
    for name in [
        "x-csrf-token",
        "request-id",
        "retry-after",
        "www-authenticate",
    ] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
    let token = text(&ping.headers, "x-csrf-token").to_owned();
    assert!(!token.is_empty());

    // The cookie is there, and cannot be read: it is shown each time.
    let again = browser
        .send_with(Method::GET, "/auth/ping", None, &page)
        .await;
    assert_ne!(
        text(&again.headers, "x-csrf-token"),
        "",
        "a token for the session that there is"
    );

    let with_token = |token: &str| {
        let mut headers = page.map(|(name, value)| (name, value.to_owned())).to_vec();
        headers.push(("x-csrf-token", token.to_owned()));
        headers
    };
    let login = json!({ "grantType": "password", "username": USERNAME, "password": PASSWORD });
    let headers = with_token(&token);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let logged_in = browser
        .send_with(Method::POST, "/auth/login", Some(login), &headers)
        .await;
    assert_eq!(logged_in.status, StatusCode::OK, "{}", logged_in.body);
    let token = text(&logged_in.headers, "x-csrf-token").to_owned();
    assert!(
        !token.is_empty(),
        "a login changes the session, and so the token"
    );
    assert_eq!(
        text(&logged_in.headers, "access-control-allow-origin"),
        PARTNER
    );

    let headers = with_token(&token);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let query = json!({ "query": "{ orders { uid } }" });
    let asked = browser
        .send_with(Method::POST, "/graphql", Some(query.clone()), &headers)
        .await;
    assert_eq!(
        (asked.status, asked.body.get("errors")),
        (StatusCode::OK, None),
        "{}",
        asked.body
    );
    assert_eq!(
        text(&asked.headers, "access-control-allow-credentials"),
        "true"
    );

    // Refusals can be read as well, and bring a token with which to send the same again.
    let refused = browser
        .send_with(
            Method::POST,
            "/graphql",
            Some(query),
            &[page[0], page[1], ("x-csrf-token", "wrong")],
        )
        .await;
    assert_eq!(refused.refusal(), (403, "EBADCSRFTOKEN"));
    assert_eq!(
        text(&refused.headers, "access-control-allow-origin"),
        PARTNER
    );
    assert_ne!(text(&refused.headers, "x-csrf-token"), "");
}

#[actix_web::test]
async fn the_token_is_exposed_to_no_other_origin() {
    let (_place, app) = start().await;
    for origin in ["", &app.address, "https://evil.example", "null"] {
        let mut browser = Browser::new(&app.address);
        let headers = if origin.is_empty() {
            vec![]
        } else {
            vec![("origin", origin)]
        };
        let ping = browser
            .send_with(Method::GET, "/auth/ping", None, &headers)
            .await;
        assert_eq!(text(&ping.headers, "x-csrf-token"), "", "{origin}");
        assert_eq!(
            text(&ping.headers, "access-control-allow-origin"),
            "",
            "{origin}"
        );
        assert!(
            text(&ping.headers, "vary").contains("Origin"),
            "caches keep answers apart: {origin}"
        );
    }
}

#[actix_web::test]
async fn event_streams_can_be_read_from_allowed_origins() {
    let (_place, app) = start().await;
    let browser = seller(&app).await;
    let cookies: Vec<_> = browser
        .jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for (origin, status, allowed) in [
        (PARTNER, StatusCode::OK, PARTNER),
        ("https://evil.example", StatusCode::FORBIDDEN, ""),
    ] {
        let request = Client::new()
            .get(format!(
                "{}/graphql?query=subscription%7Border%7Bmutation%7D%7D",
                app.address
            ))
            .header("accept", "text/event-stream")
            .header("cookie", cookies.join("; "))
            .header("origin", origin)
            .header("sec-fetch-site", "same-site");
        let stream = request.send().await.unwrap();
        assert_eq!(stream.status(), status, "{origin}");
        assert_eq!(
            text(stream.headers(), "access-control-allow-origin"),
            allowed
        );
        let vary = text(stream.headers(), "vary");
        assert!(vary.contains("Origin") && vary.contains("Accept"), "{vary}");
    }
}
