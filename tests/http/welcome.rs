//! The welcome page at the root: for browsers, for other clients, and in each state.

use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use gom_test_support::app::{TestApp, read};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn open(app: &TestApp, path: &str) -> Response {
    app.request(Method::GET, path)
        .header("Accept", BROWSER)
        .send()
        .await
        .unwrap()
}

#[actix_web::test]
async fn browsers_get_a_page_without_anything_from_elsewhere() {
    let app = TestApp::start().await;
    for path in ["/", "", "/?a=b"] {
        let page = open(&app, path).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        let headers = page.headers().clone();
        let header = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("vary"), "Accept");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        let policy = header("content-security-policy");
        for directive in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "script-src 'sha256-",
        ] {
            assert!(policy.contains(directive), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let text = page.text().await.unwrap();
        assert!(
            text.contains("<strong>Ready</strong>") && text.contains(env!("CARGO_PKG_VERSION")),
            "{text}"
        );
        assert!(
            !text.contains("http:") && !text.contains("https:") && !text.contains("=\"/"),
            "{text}"
        );
        // Every link leads somewhere.
        let links = text
            .split("href=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        let links = links.collect::<Vec<_>>();
        assert!(
            links.contains(&"graphql") && links.contains(&"openapi"),
            "{links:?}"
        );
        for link in links {
            assert_eq!(
                open(&app, &format!("/{link}")).await.status(),
                StatusCode::OK,
                "{link}"
            );
        }
    }
    for path in ["/favicon.svg", "/favicon.ico"] {
        let icon = open(&app, path).await;
        assert_eq!(
            (icon.status(), &icon.headers()["content-type"]),
            (StatusCode::OK, &"image/svg+xml".parse().unwrap())
        );
        assert!(icon.headers().contains_key("etag"));
    }
}

#[actix_web::test]
async fn other_clients_receive_json_and_posts_reach_the_api() {
    let app = TestApp::start().await;
    for accept in [
        "application/json",
        "*/*",
        "application/json, text/html;q=0.9",
    ] {
        let request = app.request(Method::GET, "/").header("Accept", accept);
        let answer = read(request.send().await.unwrap()).await;
        assert_eq!(
            (answer.status, answer.header("vary")),
            (StatusCode::OK, "Accept"),
            "{accept}"
        );
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(
            (&answer.body["name"], &answer.body["status"]),
            (&json!("gom"), &json!("ready"))
        );
        assert_eq!(answer.body["version"], env!("CARGO_PKG_VERSION"));
        for (_, path) in answer.body["links"].as_object().unwrap() {
            let path = format!("/{}", path.as_str().unwrap());
            let status = app
                .authorized(Method::GET, &path)
                .send()
                .await
                .unwrap()
                .status();
            assert_ne!(status, StatusCode::NOT_FOUND, "{path}");
        }
    }
    let head = app.request(Method::HEAD, "/").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.text().await.unwrap(), "");
    let posted = app.post_to("/", r#"{"query":"{ __typename }"}"#).await;
    assert_eq!(posted.body["data"]["__typename"], "Query");
    let other = read(app.request(Method::PUT, "/").send().await.unwrap()).await;
    assert_eq!(
        (other.status, other.header("allow")),
        (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD, POST")
    );
}

#[actix_web::test]
async fn a_brief_welcome_shows_only_the_name_and_the_state() {
    let app =
        TestApp::start_with(&[("server.welcome", "false"), ("graphql.console", "false")]).await;
    let answer = app.get("/").await;
    assert_eq!(answer.body, json!({ "name": "gom", "status": "ready" }));
    let text = open(&app, "/").await.text().await.unwrap();
    assert!(
        text.contains("<strong>Ready</strong>") && !text.contains(env!("CARGO_PKG_VERSION")),
        "{text}"
    );
    assert!(!text.contains("<a "), "{text}");
}

#[actix_web::test]
async fn without_a_database_the_welcome_reports_why_and_names_no_host() {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().display().to_string();
    let app = TestApp::on(&format!("host={host} user=gom dbname=gom"), None, &[]).await;
    let answer = app.get("/").await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (StatusCode::OK, &json!("not ready"))
    );
    assert_eq!(
        answer.body["reason"],
        "The database has not been reached yet."
    );
    let text = open(&app, "/").await.text().await.unwrap();
    assert!(text.contains("<strong>Not ready</strong>"), "{text}");
    assert!(
        text.contains("The database has not been reached yet.") && !text.contains(&host),
        "{text}"
    );
}

#[actix_web::test]
async fn the_welcome_agrees_with_readiness_without_a_session_store() {
    // Nobody listens there.
    let app = TestApp::start_with(&[("redis.host", "127.0.0.1"), ("redis.port", "1")]).await;
    let ready = app.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.body["sessions"]["in"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("redis"))
    );
    let answer = app.get("/").await;
    assert_eq!(answer.body["status"], "not ready");
    assert_eq!(
        answer.body["reason"],
        "The store of sessions does not answer: users wait, services are answered."
    );
}
