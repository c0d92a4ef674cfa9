//! The description of the server, beside the server: every path and method in it is served, and no other.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use gom_test_support::app::{TestApp, read};

#[actix_web::test]
async fn what_is_served_is_the_committed_document() {
    let app = TestApp::start().await;
    let served = app
        .request(Method::GET, "/openapi.json")
        .send()
        .await
        .unwrap();
    assert_eq!(served.headers()["content-type"], "application/json");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    expect_test::expect_file![path].assert_eq(&served.text().await.unwrap());
}

#[actix_web::test]
async fn each_path_takes_the_methods_that_are_described() {
    let app = TestApp::start().await;
    let document = app.get("/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 12);
    for (path, described) in paths {
        let path = &path
            .replace("{file}", "licences.txt")
            .replace("{service}", "my-shop")
            .replace("{stage}", "dev");
        let described: Vec<_> = described
            .as_object()
            .unwrap()
            .keys()
            .map(|name| name.to_uppercase())
            .collect();
        for method in [
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
        ] {
            let asked = app.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
            let answer = asked.send().await.unwrap();
            let status = answer.status();
            if described.contains(&method.to_owned()) {
                // The answer to an unknown path or method begins like this.
                let text = answer.text().await.unwrap();
                assert!(
                    !text.contains(&format!("\"Cannot {method} ")),
                    "{method} {path}: {text}"
                );
                continue;
            }
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let allow = answer.headers()["allow"].to_str().unwrap();
            let mut allowed: Vec<_> = allow.split(", ").filter(|name| *name != "HEAD").collect();
            let mut expected = described.clone();
            allowed.sort_unstable();
            expected.sort_unstable();
            assert_eq!(allowed, expected, "{method} {path}");
        }
    }
}

#[actix_web::test]
async fn head_is_get_without_a_body() {
    let app = TestApp::start().await;
    for path in [
        "/healthz",
        "/readyz",
        "/auth/ping",
        "/openapi",
        "/openapi.json",
    ] {
        let (get, head) = (
            app.request(Method::GET, path),
            app.request(Method::HEAD, path),
        );
        let (get, head) = (get.send().await.unwrap(), head.send().await.unwrap());
        assert_eq!(
            (get.status(), &get.headers()["content-type"]),
            (head.status(), &head.headers()["content-type"]),
            "{path}"
        );
        assert!(!get.text().await.unwrap().is_empty());
        assert!(head.text().await.unwrap().is_empty(), "{path}");
    }
    // Logging out is no matter of looking.
    let answer = app
        .request(Method::HEAD, "/auth/logout")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers()["allow"], "GET, POST");
}

#[actix_web::test]
async fn the_page_needs_no_script_and_nothing_from_elsewhere() {
    let app = TestApp::start().await;
    let page = app.request(Method::GET, "/openapi").send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self';"),
        "{policy}"
    );
    assert!(page.text().await.unwrap().contains("href=\"openapi.css\""));
    let style = app
        .request(Method::GET, "/openapi.css")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (style.status(), &style.headers()["content-type"]),
        (StatusCode::OK, &"text/css; charset=utf-8".parse().unwrap())
    );
}

#[actix_web::test]
async fn pages_are_sent_to_their_address_without_a_slash_and_nobody_else() {
    let app = TestApp::start().await;
    for (path, accept, location) in [
        ("/openapi/", "text/html", Some("../openapi")),
        ("/openapi//?a=b", "text/html", Some("../../openapi?a=b")),
        ("/graphql/", "text/html,*/*;q=0.8", Some("../graphql")),
        ("/graphql/?query=%7B__typename%7D", "application/json", None),
        ("/healthz/", "*/*", None),
        ("/", "text/html", None),
    ] {
        let request = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = request
            .get(format!("{}{path}", app.address))
            .header("accept", accept)
            .send()
            .await
            .unwrap();
        let moved = (answer.status() == StatusCode::PERMANENT_REDIRECT).then_some(answer.headers());
        let found = moved.map(|headers| headers["location"].to_str().unwrap());
        assert_eq!(found, location, "{path}");
    }
}

#[actix_web::test]
async fn bodies_that_are_compressed_or_not_utf_8_are_415() {
    let app = TestApp::start().await;
    for path in ["/graphql", "/webpush/graphql", "/webpush/unsubscribe"] {
        for (content_type, encoding) in [
            ("application/json; charset=utf-16", "identity"),
            ("application/json", "gzip"),
        ] {
            let request = app
                .authorized(Method::POST, path)
                .header("Content-Type", content_type)
                .header("Content-Encoding", encoding)
                .body(r#"{"query":"{ __typename }"}"#);
            let answer = read(request.send().await.unwrap()).await;
            assert_eq!(
                answer.status,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "{path} {content_type} {encoding}"
            );
            assert_ne!(answer.body, Value::Null);
        }
    }
}

#[actix_web::test]
async fn no_browser_may_guess_what_an_answer_is() {
    let app = TestApp::start().await;
    for (method, path) in [
        (Method::GET, "/healthz"),
        (Method::GET, "/auth/ping"),
        (Method::GET, "/nowhere"),
        (Method::POST, "/graphql"),
        (Method::GET, "/openapi.json"),
    ] {
        let answer = app.request(method, path).send().await.unwrap();
        let options: Vec<_> = answer
            .headers()
            .get_all("x-content-type-options")
            .iter()
            .collect();
        assert_eq!(options, ["nosniff"], "{path}");
    }
}

#[actix_web::test]
async fn a_disabled_description_is_not_served() {
    let app = TestApp::start_with(&[("server.openapi", "false")]).await;
    for path in ["/openapi", "/openapi.json", "/openapi.css"] {
        let answer = read(app.request(Method::GET, path).send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.body["message"], format!("Cannot GET {path}"));
    }
}
