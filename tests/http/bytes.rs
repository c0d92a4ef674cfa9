//! The size of answers, of stored texts, and of what waits for clients that do not read.

use std::time::Duration;

use gom_test_support::{TestDatabase, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use gom_test_support::app::{Answer, TestApp};

const CREATE: &str =
    "mutation($data: PromotionCreateInput!) { createPromotion(data: $data) { uid } }";

async fn ask_with(app: &TestApp, query: &str, variables: Value) -> Answer {
    app.post(json!({ "query": query, "variables": variables }).to_string())
        .await
}

/// A seller with so many promotions, each with so many bytes of text.
async fn with_promotions(app: &TestApp, count: usize, bytes: usize) {
    let user = json!({ "data": { "uid": "u", "extUid": "u", "business": "u" } });
    let create = "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }";
    let answer = ask_with(app, create, user).await;
    assert!(answer.body["errors"].is_null(), "{}", answer.body);
    for number in 0..count {
        let data = json!({
            "uid": format!("p{number}"), "code": format!("c{number}"), "name": format!("n{number}"),
            "content": "x".repeat(bytes), "assignedTo": { "connect": { "uid": "u" } },
        });
        let answer = ask_with(app, CREATE, json!({ "data": data })).await;
        assert!(answer.body["errors"].is_null(), "{}", answer.body);
    }
}

fn aliases(count: usize, field: &str) -> String {
    (0..count).map(|i| format!("a{i}: {field} ")).collect()
}

#[actix_web::test]
async fn an_answer_beyond_its_limit_is_refused_wherever_its_bytes_are() {
    let app = TestApp::start_with(&[("limits.service.answer_bytes", "1000000")]).await;
    with_promotions(&app, 20, 100_000).await;
    // What fits is answered as a whole.
    for (query, texts) in [
        ("{ promotions(first: 9) { content } }".to_owned(), 9),
        (
            "{ promotionsConnection(last: 9) { edges { node { content } } } }".to_owned(),
            9,
        ),
        (
            "{ users { promotions(first: 9) { content } } }".to_owned(),
            9,
        ),
        (
            format!(
                "{{ promotion(where: {{ uid: \"p0\" }}) {{ {} }} }}",
                aliases(9, "content")
            ),
            9,
        ),
        (
            format!(
                "{{ {} }}",
                aliases(9, "promotion(where: { uid: \"p0\" }) { content }")
            ),
            9,
        ),
    ] {
        let answer = app.ask(&query).await;
        assert!(
            answer.body["errors"].is_null(),
            "{query}: {}",
            answer.body["errors"]
        );
        assert_eq!(
            answer
                .body
                .to_string()
                .matches(&"x".repeat(100_000))
                .count(),
            texts,
            "{query}"
        );
    }
    let limit = "The answer has more bytes than it may have; the limit is 1000000 (limits.service.answer_bytes). \
                 Ask for fewer rows or fields.";
    for query in [
        "{ promotions { content } }".to_owned(),
        "{ promotions(last: 15) { uid content } }".to_owned(),
        "{ promotionsConnection { edges { node { content } } } }".to_owned(),
        "{ users { promotions { content } } }".to_owned(),
        "{ promotions(first: 4) { assignedTo { promotions(first: 4) { content } } } }".to_owned(),
        format!(
            "{{ promotion(where: {{ uid: \"p0\" }}) {{ {} }} }}",
            aliases(11, "content")
        ),
        format!(
            "{{ {} }}",
            aliases(11, "promotion(where: { uid: \"p0\" }) { content }")
        ),
        format!("{{ {} }}", aliases(2, "promotions(first: 6) { content }")),
    ] {
        let answer = app.ask(&query).await;
        assert_eq!(
            (answer.code(), answer.message()),
            ("LIMIT_EXCEEDED", limit),
            "{query}"
        );
        assert_eq!(answer.body["data"], Value::Null, "{query}");
    }

    // A write whose answer is too large is not done; of several, the executed ones are answered.
    let rename = "updatePromotion(where: { uid: \"p0\" }, data: { name: \"new\" })";
    let answer = app
        .ask(&format!(
            "mutation {{ {rename} {{ {} }} }}",
            aliases(11, "content")
        ))
        .await;
    assert_eq!(
        (answer.code(), answer.message()),
        ("LIMIT_EXCEEDED", &*format!("{limit} Nothing was written."))
    );
    let name = "{ promotion(where: { uid: \"p0\" }) { name } }";
    assert_eq!(app.ask(name).await.body["data"]["promotion"]["name"], "n0");
    let one = format!("{rename} {{ {} }}", aliases(6, "content"));
    let answer = app.ask(&format!("mutation {{ a: {one} b: {one} }}")).await;
    assert_eq!(
        (answer.code(), answer.message()),
        ("LIMIT_EXCEEDED", &*format!("{limit} It was written."))
    );
    assert!(answer.body["data"]["a"].is_object() && answer.body["data"]["b"].is_null());
    assert_eq!(app.ask(name).await.body["data"]["promotion"]["name"], "new");

    // A batch is one answer.
    let half = json!({ "query": "{ promotions(first: 6) { content } }" });
    let small = json!({ "query": "{ __typename }" });
    let answer = app.post(json!([half, half, small]).to_string()).await;
    assert!(answer.body[0]["errors"].is_null());
    assert_eq!(
        answer.body[1]["errors"][0]["extensions"]["code"],
        "LIMIT_EXCEEDED"
    );
}

#[actix_web::test]
async fn many_small_rows_come_to_the_limit_as_well() {
    let app = TestApp::start_with(&[("limits.service.answer_bytes", "100000")]).await;
    with_promotions(&app, 1, 10).await;
    let database = app.database().connect().await;
    let rows = "insert into \"default$default\".\"Promotion\"(uid, code, name, content, \"assignedTo\") \
                select 'm' || i, 'c', 'n', repeat('y', 200), 'u' from generate_series(1, 600) i";
    database.batch_execute(rows).await.unwrap();
    assert!(app.ask("{ promotions(first: 300) { content } }").await.body["errors"].is_null());
    for query in [
        "{ promotions { content } }",
        "{ users { promotions { content } } }",
    ] {
        assert_eq!(app.ask(query).await.code(), "LIMIT_EXCEEDED", "{query}");
    }
    assert!(app.ask("{ promotions { uid } }").await.body["errors"].is_null());
}

/// The most that each of PostgreSQL's processes for these connections has had, in MB.
async fn postgresql_peak(database: &TestDatabase) -> u64 {
    let client = database.connect().await;
    let rows = client
        .query("select pid from pg_stat_activity where datname = current_database() and application_name = 'gom'", &[])
        .await
        .unwrap();
    let peak = |pid: i32| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
    };
    rows.iter().map(|row| peak(row.get(0))).max().unwrap_or(0) / 1024
}

#[actix_web::test]
async fn twenty_aliases_on_forty_texts_of_a_megabyte_cost_postgresql_little() {
    let app = TestApp::start_with(&[("limits.service.answer_bytes", "8388608")]).await;
    with_promotions(&app, 40, 1_000_000).await;
    let before = postgresql_peak(app.database()).await;
    for count in [1, 5, 20] {
        let answer = app
            .ask(&format!(
                "{{ {} }}",
                aliases(count, "promotions { content }")
            ))
            .await;
        assert_eq!(answer.code(), "LIMIT_EXCEEDED");
    }
    let after = postgresql_peak(app.database()).await;
    println!("PostgreSQL's largest process: {before} MB before, {after} MB after");
    // 620 MB for the first of these, when answers had no limit; shared buffers are counted, too.
    assert!(after < before + 200, "{before} MB before, {after} MB after");
}

#[actix_web::test]
async fn a_text_that_is_too_large_is_not_stored() {
    let app = TestApp::start_with(&[("limits.service.text_bytes", "2000")]).await;
    with_promotions(&app, 1, 2_000).await;
    let update = "mutation($text: String) { updatePromotion(where: { uid: \"p0\" }, data: { content: $text }) { uid } }";
    let answer = ask_with(&app, update, json!({ "text": "y".repeat(2_001) })).await;
    let message = "The value of the field 'content' has 2001 bytes; the limit is 2000 (limits.service.text_bytes)";
    assert_eq!(
        (answer.code(), answer.message()),
        ("LIMIT_EXCEEDED", message)
    );
    let stored = app
        .ask("{ promotion(where: { uid: \"p0\" }) { content } }")
        .await;
    assert_eq!(
        stored.body["data"]["promotion"]["content"],
        "x".repeat(2_000)
    );
}

/// A client that requests the promotions and never reads.
async fn never_reads(app: &TestApp) -> TcpStream {
    let mut stream = TcpStream::connect(app.address.trim_start_matches("http://"))
        .await
        .unwrap();
    let body = json!({ "query": "{ promotions { content } }" }).to_string();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        app.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[actix_web::test]
async fn what_a_client_that_does_not_read_occupies_is_bounded() {
    let app = TestApp::start_with(&[
        ("limits.service.waiting_bytes", "10000000"),
        ("server.send_timeout", "3000"),
    ])
    .await;
    with_promotions(&app, 12, 1_000_000).await;
    let mut idle = never_reads(&app).await;
    let refused = async || app.ask("{ __typename }").await.status == StatusCode::TOO_MANY_REQUESTS;
    eventually("so much waits that nothing is added", refused).await;
    let answer = app.ask("{ __typename }").await;
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        assert_eq!(
            (answer.code(), answer.header("Retry-After")),
            ("TOO_MANY_REQUESTS", "1")
        );
        let expected = "Earlier answers and events wait to be read; the limit is 10000000 bytes (limits.service.waiting_bytes). Nothing was done. Read them, and try again.";
        assert_eq!(answer.message(), expected);
    }
    eventually("it is cut off", async || !refused().await).await;
    // What the sockets held, and an end or a reset.
    let mut read = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), idle.read_to_end(&mut read))
        .await
        .unwrap();
    assert!(
        read.starts_with(b"HTTP/1.1 200") && read.len() < 12_000_000,
        "{} bytes",
        read.len()
    );
    // Who reads gets all of it.
    let answer = app.ask("{ promotions { content } }").await;
    assert_eq!(
        answer.body["data"]["promotions"].as_array().unwrap().len(),
        12
    );
}
