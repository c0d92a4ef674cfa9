//! GraphiQL at the API's own address: who gets it, with which headers, and what remains when it is off.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use gom_test_support::app::{TestApp, read};

/// The headers of Chromium when an address is opened.
const BROWSER: &str =
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

async fn open(app: &TestApp, path: &str) -> Response {
    app.request(Method::GET, path)
        .header("Accept", BROWSER)
        .send()
        .await
        .unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap())
        .unwrap_or_default()
}

/// The paths of the page's files, as the browser requests them.
async fn files(app: &TestApp) -> Vec<String> {
    let page = open(app, "/graphql").await.text().await.unwrap();
    let parts = page
        .split("=\"graphql/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let names = parts
        .map(|name| format!("/graphql/{name}"))
        .collect::<Vec<_>>();
    assert_eq!(names.len(), 3, "{page}");
    names
}

#[actix_web::test]
async fn browsers_receive_the_page_and_clients_the_api() {
    let app = TestApp::start().await;
    for path in ["/graphql", "/graphql/", "/graphql?operationName=A"] {
        let page = open(&app, path).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        assert_eq!(
            header(page.headers(), "content-type"),
            "text/html; charset=utf-8"
        );
        let text = page.text().await.unwrap();
        assert!(
            text.starts_with("<!doctype html>") && text.contains(r#"data-examples="shop""#),
            "{text}"
        );
    }
    // A document in the address is executed by the API, whatever is accepted.
    let asked = app
        .authorized(Method::GET, "/graphql?query=%7B__typename%7D")
        .header("Accept", BROWSER);
    assert_eq!(
        read(asked.send().await.unwrap()).await.body["data"]["__typename"],
        "Query"
    );
    for accept in [
        "*/*",
        "application/json",
        "application/graphql-response+json, text/html;q=0.5",
    ] {
        let asked = app
            .authorized(Method::GET, "/graphql")
            .header("Accept", accept);
        let answer = read(asked.send().await.unwrap()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "BAD_USER_INPUT"),
            "{accept}"
        );
        assert_eq!(
            answer.header("vary"),
            "Accept",
            "a cache must not give the page to it"
        );
    }
    let posted = app
        .authorized(Method::POST, "/graphql")
        .header("Accept", BROWSER);
    let posted = posted
        .header("Content-Type", "application/json")
        .body(r#"{"query":"{__typename}"}"#);
    assert_eq!(
        read(posted.send().await.unwrap()).await.body["data"]["__typename"],
        "Query"
    );
    let upgrade = app
        .request(Method::GET, "/graphql")
        .header("Accept", BROWSER)
        .header("Upgrade", "websocket");
    assert_eq!(
        upgrade.send().await.unwrap().status(),
        StatusCode::BAD_REQUEST,
        "half a handshake"
    );
}

#[actix_web::test]
async fn the_page_is_bound_by_a_strict_policy() {
    let app = TestApp::start().await;
    let page = open(&app, "/graphql").await;
    let headers = page.headers().clone();
    let policy = header(&headers, "content-security-policy");
    let mut directives = policy.split("; ").collect::<Vec<_>>();
    directives.sort_unstable();
    let expected = [
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
    ];
    assert_eq!(directives, expected);
    assert_eq!(header(&headers, "x-content-type-options"), "nosniff");
    assert_eq!(header(&headers, "referrer-policy"), "no-referrer");
    assert_eq!(header(&headers, "vary"), "Accept, Accept-Encoding");
    assert_eq!(header(&headers, "cache-control"), "no-cache");
    assert!(headers.get("set-cookie").is_none());
    let text = page.text().await.unwrap();
    assert!(
        !text.contains("http:") && !text.contains("https:") && !text.contains("=\"/"),
        "{text}"
    );
}

#[actix_web::test]
async fn files_are_cached_as_immutable_and_sent_in_an_accepted_encoding() {
    let app = TestApp::start().await;
    let names = files(&app).await;
    for (end, media) in [
        (".css", "text/css; charset=utf-8"),
        (".js", "text/javascript; charset=utf-8"),
        (".svg", "image/svg+xml"),
    ] {
        let path = names.iter().find(|name| name.ends_with(end)).unwrap();
        let get = |encodings: Option<&'static str>| {
            let request = app.request(Method::GET, path);
            let request = match encodings {
                Some(encodings) => request.header("Accept-Encoding", encodings),
                None => request,
            };
            async { request.send().await.unwrap() }
        };
        let plain = get(None).await;
        assert_eq!(plain.status(), StatusCode::OK, "{path}");
        assert_eq!(header(plain.headers(), "content-type"), media);
        assert_eq!(header(plain.headers(), "x-content-type-options"), "nosniff");
        assert!(header(plain.headers(), "vary").contains("Accept-Encoding"));
        assert!(plain.headers().get("content-encoding").is_none());
        let kept = if end == ".svg" {
            "no-cache"
        } else {
            "public, max-age=31536000, immutable"
        };
        assert_eq!(header(plain.headers(), "cache-control"), kept);
        let tag = header(plain.headers(), "etag").to_owned();
        let plain = plain.bytes().await.unwrap();

        let compressed = end != ".svg";
        for (encodings, packed) in [
            ("gzip, deflate, br", compressed),
            // Clients that accept anything receive it uncompressed.
            ("*", false),
            ("br, gzip;q=0.2, identity;q=0.1", compressed),
            ("identity", false),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let answer = get(Some(encodings)).await;
            let encoding = header(answer.headers(), "content-encoding").to_owned();
            assert_eq!(
                encoding,
                if packed { "gzip" } else { "" },
                "{path}: {encodings}"
            );
            assert_eq!(header(answer.headers(), "etag"), tag);
            let body = answer.bytes().await.unwrap();
            let mut unpacked = Vec::new();
            if packed {
                assert!(body.len() < plain.len());
                GzDecoder::new(&body[..])
                    .read_to_end(&mut unpacked)
                    .unwrap();
            } else {
                unpacked = body.to_vec();
            }
            assert!(unpacked == plain, "{path}: {encodings}");
        }

        for (condition, status) in [
            (tag.as_str(), StatusCode::NOT_MODIFIED),
            (tag.strip_prefix("W/").unwrap(), StatusCode::NOT_MODIFIED),
            ("*", StatusCode::NOT_MODIFIED),
            (&format!("\"other\", {tag}"), StatusCode::NOT_MODIFIED),
            ("\"other\"", StatusCode::OK),
            ("malformed", StatusCode::OK),
        ] {
            let asked = app
                .request(Method::GET, path)
                .header("If-None-Match", condition);
            let answer = asked.send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}: {condition}");
            assert_eq!(header(answer.headers(), "etag"), tag);
            assert_eq!(
                answer.bytes().await.unwrap().is_empty(),
                status == StatusCode::NOT_MODIFIED
            );
        }
        let head = app.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(
            header(head.headers(), "content-length"),
            plain.len().to_string()
        );
        assert_eq!(head.bytes().await.unwrap().len(), 0);
        // Where the page was opened with a slash at its end, the browser looks one level deeper.
        assert_eq!(
            open(&app, &format!("/graphql{path}")).await.status(),
            StatusCode::OK
        );
    }
    for path in [
        "/graphql/console.js",
        "/graphql/console-0000000000000000.js",
        "/graphql/..%2fCargo.toml",
    ] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let posted = app.post_to(&names[0], "{}").await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
    let licences = app
        .request(Method::GET, "/graphql/licences.txt")
        .send()
        .await
        .unwrap();
    let licences = licences.text().await.unwrap();
    for name in [
        "graphiql 4.",
        "react-dom 1",
        "codemirror 5.",
        "graphql-ws 6.",
    ] {
        assert!(
            licences.contains(&format!("\n{name}")) || licences.starts_with(name),
            "{name}"
        );
    }
}

#[actix_web::test]
async fn a_page_that_the_browser_has_is_not_sent_again() {
    let app = TestApp::start().await;
    let tag = header(open(&app, "/graphql").await.headers(), "etag").to_owned();
    let again = app
        .request(Method::GET, "/graphql")
        .header("Accept", BROWSER)
        .header("If-None-Match", &tag);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert!(header(again.headers(), "content-security-policy").contains("default-src 'none'"));
    assert_eq!(header(again.headers(), "vary"), "Accept, Accept-Encoding");
    let head = app
        .request(Method::HEAD, "/graphql")
        .header("Accept", BROWSER)
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(header(head.headers(), "etag"), tag);
    assert_ne!(header(head.headers(), "content-length"), "0");
    assert_eq!(head.text().await.unwrap(), "");
    // Clients that do not accept HTML receive none.
    let head = app.request(Method::HEAD, "/graphql").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[actix_web::test]
async fn without_a_console_browsers_are_answered_like_clients() {
    let app = TestApp::start_with(&[("graphql.console", "false")]).await;
    let answer = read(open(&app, "/graphql").await).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.body["error"], "jwt_error");
    let asked = app
        .authorized(Method::GET, "/graphql")
        .header("Accept", BROWSER)
        .send()
        .await
        .unwrap();
    let answer = read(asked).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::BAD_REQUEST, "BAD_USER_INPUT")
    );
    assert_eq!(
        app.get("/graphql/licences.txt").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        app.get("/graphql/icon.svg").await.status,
        StatusCode::NOT_FOUND
    );
}

#[actix_web::test]
async fn the_editors_initial_operations_are_valid() {
    let app = TestApp::start().await;
    let shop = include_str!("../../console/examples/shop.graphql");
    let any = include_str!("../../console/examples/any.graphql");
    for (text, name) in [
        (shop, "OpenOrders"),
        (shop, "Customers"),
        (shop, "OrdersNow"),
        (any, "WhatIsThere"),
    ] {
        let answer = app
            .post(json!({ "query": text, "operationName": name }).to_string())
            .await;
        assert_eq!(answer.body.get("errors"), None, "{name}: {}", answer.body);
    }
    // There is no such order here; the mutation itself is a good one.
    let answer = app
        .post(json!({ "query": shop, "operationName": "TakeOrder" }).to_string())
        .await;
    assert_eq!(answer.body["errors"][0]["code"], 3039, "{}", answer.body);
}
