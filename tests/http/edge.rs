//! Methods, paths, media types, tokens and bodies.

use reqwest::{Method, StatusCode};
use serde_json::json;

use gom_test_support::app::{TestApp, read};

#[actix_web::test]
async fn paths_may_end_with_a_slash_and_the_root_answers_too() {
    let app = TestApp::start().await;
    for path in [
        "/graphql",
        "/graphql/",
        "/",
        "",
        "/default/default",
        "/my-shop/dev/",
    ] {
        let answer = app.post_to(path, r#"{"query":"{ __typename }"}"#).await;
        assert_eq!(
            (answer.status, &answer.body),
            (
                StatusCode::OK,
                &json!({ "data": { "__typename": "Query" } })
            ),
            "{path}"
        );
        assert!(!answer.header("request-id").is_empty());
    }
}

#[actix_web::test]
async fn prismas_addresses_answer_queries_and_hide_no_path_of_ours() {
    let app = TestApp::start().await;
    for path in [
        "/?query=%7B__typename%7D",
        "/my-shop/dev?query=%7B__typename%7D",
    ] {
        let answer = read(app.authorized(Method::GET, path).send().await.unwrap()).await;
        assert_eq!(
            answer.body,
            json!({ "data": { "__typename": "Query" } }),
            "{path}"
        );
        assert!(answer.header("vary").contains("Accept"), "{path}");
    }
    assert_eq!(
        app.get("/").await.body["name"],
        "gom",
        "a plain GET keeps its page"
    );
    let status = app.request(Method::GET, "/status").send().await.unwrap();
    assert_eq!(
        (status.status(), status.text().await.unwrap().as_str()),
        (StatusCode::OK, "OK")
    );
    for path in [
        "/auth/nope",
        "/webpush/dev",
        "/management/dev",
        "/my-shop/private",
        "/my-shop/dev/more",
        "/1/2",
    ] {
        let answer = app.post_to(path, r#"{"query":"{ __typename }"}"#).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[actix_web::test]
async fn an_unknown_path_is_404_in_the_clients_shape() {
    let app = TestApp::start().await;
    let answer = app.get("/nope").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let expected =
        json!({ "statusCode": 404, "message": "Cannot GET /nope", "error": "Not Found" });
    assert_eq!(answer.body, expected);
    assert!(!answer.header("request-id").is_empty());
}

#[actix_web::test]
async fn without_a_valid_token_there_is_no_access() {
    let app = TestApp::start().await;
    let other = gom_server::identity::ServiceTokens::new(&gom_server::settings::Secret::new(
        "another secret",
    ))
    .sign(
        std::time::SystemTime::now(),
        std::time::Duration::from_secs(60),
    )
    .unwrap();
    for authorization in [
        "",
        "Bearer ",
        "Bearer malformed",
        &format!("Bearer {other}"),
        &format!("Basic {}", app.token),
    ] {
        let request = app
            .request(Method::POST, "/graphql")
            .header("Authorization", authorization)
            .header("Content-Type", "application/json")
            .body(r#"{"query":"{ __typename }"}"#);
        let answer = read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{authorization}");
        assert_eq!(answer.code(), "UNAUTHENTICATED");
        assert_eq!(answer.body["errors"][0]["code"], 3015);
        assert_eq!(answer.body["data"], json!(null));
        let sent = authorization.starts_with("Bearer ") && authorization.len() > "Bearer ".len();
        let challenge = match sent {
            true => r#"Bearer error="invalid_token", error_description="not a service token""#,
            false => "Bearer",
        };
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

#[actix_web::test]
async fn a_body_that_is_not_a_graphql_request_is_400() {
    let app = TestApp::start().await;
    for body in [
        "",
        "{",
        "null",
        "[]",
        "3",
        r#"{"query":1}"#,
        // Serde would take the values of a struct without their names.
        r#"["{ __typename }"]"#,
        r#"[["{ __typename }"]]"#,
        r#"{"query":"{ a: __typename }","query":"{ b: __typename }"}"#,
        r#"{"query":"{ __typename }","variables":3}"#,
        "{}",
        r#"{"query":""}"#,
    ] {
        let answer = app.post(body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.code(), "BAD_USER_INPUT", "{body}");
    }
    let answer = app
        .post(vec![b'{', b'"', 0xff, b'"', b':', b'1', b'}'])
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[actix_web::test]
async fn absent_and_null_parts_of_a_request_are_alike() {
    let app = TestApp::start().await;
    for body in [
        r#"{"operationName":null,"variables":null,"extensions":null,"query":"{ __typename }"}"#,
        r#"{"operationName":"","variables":{},"query":"{ __typename }"}"#,
        r#"{"query":"query A { __typename } query B { b: __typename }","operationName":"A"}"#,
        r#"{"query":"{ __typename }","somethingElse":[1]}"#,
    ] {
        let answer = app.post(body).await;
        assert_eq!(
            answer.body,
            json!({ "data": { "__typename": "Query" } }),
            "{body}"
        );
    }
}

#[actix_web::test]
async fn only_json_bodies_are_accepted() {
    let app = TestApp::start().await;
    let body = r#"{"query":"{ __typename }"}"#;
    for (media, expected) in [
        ("application/json", StatusCode::OK),
        ("application/json; charset=utf-8", StatusCode::OK),
        ("application/graphql+json", StatusCode::OK),
        ("text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            "application/x-www-form-urlencoded",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            "multipart/form-data; boundary=x",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        ("", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let request = app
            .authorized(Method::POST, "/graphql")
            .header("Content-Type", media)
            .body(body);
        let answer = read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, expected, "{media}");
        if expected != StatusCode::OK {
            assert_eq!(answer.code(), "BAD_USER_INPUT");
        }
    }
}

#[actix_web::test]
async fn the_answers_media_type_is_the_one_asked_for_and_decides_the_status_of_a_refusal() {
    let app = TestApp::start().await;
    for (accept, media, refused) in [
        ("*/*", "application/json; charset=utf-8", StatusCode::OK),
        (
            "*/*, application/json",
            "application/json; charset=utf-8",
            StatusCode::OK,
        ),
        (
            "application/graphql-response+json",
            "application/graphql-response+json; charset=utf-8",
            StatusCode::BAD_REQUEST,
        ),
    ] {
        for (query, code) in [
            ("{", "GRAPHQL_PARSE_FAILED"),
            ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ] {
            let request = app
                .authorized(Method::POST, "/graphql")
                .header("Accept", accept)
                .header("Content-Type", "application/json")
                .body(json!({ "query": query }).to_string());
            let answer = read(request.send().await.unwrap()).await;
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (refused, media),
                "{accept} {query}"
            );
            assert_eq!(answer.code(), code);
            let data = answer.body.get("data");
            let expected = (refused == StatusCode::OK).then_some(&serde_json::Value::Null);
            assert_eq!(
                data, expected,
                "{accept}: Prisma's shape has a null, the newer one nothing"
            );
        }
        let request = app
            .authorized(Method::POST, "/graphql")
            .header("Accept", accept);
        let answer = read(
            request
                .header("Content-Type", "application/json")
                .body("{}")
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{accept}");
        assert_eq!(
            answer.body.get("data").is_some(),
            refused == StatusCode::OK,
            "{accept}"
        );
    }
}

#[actix_web::test]
async fn other_methods_are_405_with_those_that_are_allowed() {
    let app = TestApp::start().await;
    for (path, allow) in [
        ("/graphql", "GET, POST"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/version", "GET, HEAD"),
    ] {
        let answer = read(app.authorized(Method::DELETE, path).send().await.unwrap()).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, allow),
            "{path}"
        );
    }
}

#[actix_web::test]
async fn characters_may_be_written_as_surrogate_pairs_and_code_points() {
    let app = TestApp::start().await;
    let made = r#"mutation { createUser(data: { business: "\uD83D\uDE00 \u{1F600} \u00e9" }) { business } }"#;
    assert_eq!(
        app.ask(made).await.body,
        json!({ "data": { "createUser": { "business": "😀 😀 é" } } })
    );
    let half = app
        .ask(r#"{ users(where: { business: "\uD83D" }) { uid } }"#)
        .await;
    assert_eq!(half.code(), "GRAPHQL_PARSE_FAILED");
}

#[actix_web::test]
async fn a_stream_whose_cursor_is_not_utf_8_is_refused() {
    let app = TestApp::start().await;
    let request = app
        .authorized(Method::POST, "/graphql")
        .header("Content-Type", "application/json")
        .header("Accept", "text/event-stream")
        .header(
            "Last-Event-ID",
            reqwest::header::HeaderValue::from_bytes(b"\xff").unwrap(),
        )
        .body(r#"{"query":"subscription { user { mutation } }"}"#);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("Last-Event-ID: this is no cursor"), "{text}");
    assert!(text.ends_with("event: complete\ndata:\n\n"), "{text}");
}

#[actix_web::test]
async fn get_answers_queries_and_changes_nothing() {
    let app = TestApp::start().await;
    let answer = app.get("/graphql?query=%7B__typename%7D").await;
    assert_eq!(answer.body, json!({ "data": { "__typename": "Query" } }));

    let query = "query%20A%7Ba%3A__typename%7Dquery%20B(%24uid%3AID!)%7Buser(where%3A%7Buid%3A%24uid%7D)%7Buid%7D%7D";
    let variables = "%7B%22uid%22%3A%22x%22%7D";
    let answer = app
        .get(&format!(
            "/graphql?query={query}&operationName=B&variables={variables}"
        ))
        .await;
    assert_eq!(answer.body, json!({ "data": { "user": null } }));

    let mutation = "mutation%7BcreateUser(data%3A%7Bbusiness%3A%22x%22%7D)%7Buid%7D%7D";
    let answer = app.get(&format!("/graphql?query={mutation}")).await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    let users = app.ask("{ users { uid } }").await;
    assert_eq!(users.body, json!({ "data": { "users": [] } }));

    for query in [
        "",
        "?query=",
        "?variables=%7B",
        "?query=%7B__typename%7D&variables=%7B",
    ] {
        let answer = app.get(&format!("/graphql{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[actix_web::test]
async fn a_batch_is_answered_in_its_order() {
    let app = TestApp::start().await;
    let answer = app
        .post(
            r#"[{"query":"{ a: __typename }"},{"query":"{ nope }"},{"query":"{ c: __typename }"}]"#,
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body[0], json!({ "data": { "a": "Query" } }));
    assert_eq!(
        answer.body[1]["errors"][0]["extensions"]["code"],
        "GRAPHQL_VALIDATION_FAILED"
    );
    assert_eq!(answer.body[2], json!({ "data": { "c": "Query" } }));
}
