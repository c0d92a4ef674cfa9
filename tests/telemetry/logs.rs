//! The log of a real server: what every line has, and what is in none.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use gom_test_support::token_issuer::{TokenIssuer, in_seconds};
use gom_test_support::{PushService, PushServiceOptions, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::app::{SECRET, SELLER, Socket, TestApp};

const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

#[tokio::test]
async fn a_client_that_disconnects_before_its_answer_is_logged() {
    let app = TestApp::start(&[("METRICS_TOKEN", "the token of a metrics scraper")]).await;
    let tables = app.tables().await;
    tables
        .batch_execute("BEGIN; LOCK TABLE \"default$default\".\"Order\" IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let request = app
        .http
        .post(format!("{}/graphql", app.address))
        .bearer_auth(&app.token);
    let request = request.header("content-type", "application/json").body(
        json!({ "query": "query Waits { orders { uid } }", "operationName": "Waits" }).to_string(),
    );
    assert!(
        request
            .timeout(Duration::from_millis(500))
            .send()
            .await
            .is_err()
    );
    // The client's connection is closed by this runtime.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let line = app.lines("cancelled before its answer").remove(0);
    assert_eq!(
        (&line["status"], &line["route"]),
        (&499.into(), &"/graphql".into()),
        "{line}"
    );
    tables.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn the_log_says_which_check_refused_a_users_token_and_has_no_token() {
    let issuer = TokenIssuer::start();
    let entry = issuer.entry(&json!({ "default_role": "seller" }));
    let issuers = json!([entry]).to_string();
    let app = TestApp::start(&[
        ("GOM__LOG__LEVEL", "debug"),
        ("GOM__AUTH__ISSUERS", &issuers),
        ("METRICS_TOKEN", "the token of a metrics scraper"),
    ])
    .await;
    let expired = issuer.token("a-subject", &json!({ "exp": in_seconds(-5) }));
    let for_another = issuer.token("a-subject", &json!({ "aud": "https://another.example" }));
    for (token, reason) in [
        (&expired, "jwt expired"),
        (&for_another, "jwt audience invalid"),
    ] {
        let request = app
            .http
            .post(format!("{}/graphql", app.address))
            .bearer_auth(token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let id = answer.headers()["request-id"].to_str().unwrap().to_owned();
        let is_its = |line: &Value| line["request_id"] == id && line["refused"] == reason;
        eventually("its line", async || {
            app.lines("answered").iter().any(is_its)
        })
        .await;
    }
    let mut socket = app.open_socket().await;
    let authorization = format!("Bearer {for_another}");
    let init = json!({ "type": "connection_init", "payload": { "Authorization": authorization } });
    socket.send(Message::text(init.to_string())).await.unwrap();
    let line = app
        .lines("the bearer token of a websocket is not accepted")
        .remove(0);
    assert_eq!(line["refused"], "jwt audience invalid", "{line}");
    assert!(line["request_id"].is_string(), "{line}");
    let log = app.log();
    for token in [&expired, &for_another] {
        for part in token.split('.').skip(1) {
            assert!(!log.contains(part), "{part}");
        }
    }
}

#[tokio::test]
async fn a_whole_session_leaves_ids_in_the_log_and_nothing_else_of_anybody() {
    let service = PushService::start_with(PushServiceOptions::default());
    let keys = TestApp::vapid();
    let ca = service.ca_file().display().to_string();
    let mut app = TestApp::start(&[
        ("GOM__LOG__LEVEL", "debug"),
        ("METRICS_TOKEN", "the token of a metrics scraper"),
        ("VAPID_PUBLIC_KEY", &keys.0),
        ("VAPID_PRIVATE_KEY", &keys.1),
        ("GOM__PUSH__VAPID__SUBJECT", "mailto:ops@gom.example"),
        ("GOM__PUSH__CA_FILE", &ca),
        ("GOM__PUSH__INSIDE", "127.0.0.0/8,::1/128"),
        ("GOM__PUSH__ANY_PORT", "true"),
        ("GOM__PUSH__POLL_INTERVAL", "50"),
    ])
    .await;
    let mut secrets: Vec<String> = [
        "the token of a metrics scraper",
        SECRET,
        &keys.1,
        P256DH,
        AUTH,
        &app.token,
        SELLER.0,
        SELLER.1,
    ]
    .iter()
    .map(|text| (*text).to_owned())
    .collect();

    // A seller: by password, wrong first; reads, writes, mistakes; a device.
    let mut seller = app.browser();
    assert_eq!(
        seller
            .by_password(SELLER.0, "guessed-password")
            .await
            .status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        seller.by_password(SELLER.0, SELLER.1).await.status,
        StatusCode::OK
    );
    secrets.extend(seller.jar.values().cloned());
    let read = json!({ "query": "query ReadCustomer($code: ID) { bp(where: { extUid: $code }) { name1 phone email } }",
        "operationName": "ReadCustomer", "variables": { "code": "DemoCode06" } });
    let answer = seller.send(Method::POST, "/graphql", Some(read)).await;
    assert_eq!(
        answer.body["data"]["bp"]["phone"], "5534567806",
        "{}",
        answer.body
    );
    for query in [
        "{ bp(where: { extUid: \"texto-privado\" }) { name1 } ",
        "{ bp(where: { nombre: \"texto-privado\" }) { name1 } }",
        "mutation { createOrder(data: { name: \"texto-privado\", assignedTo: { connect: { extUid: \"auth0|demo-tacos\" } }, issuedTo: { connect: { extUid: \"DemoCode06\" } } }) { uid } }",
        "mutation { updateOrder(where: { uid: \"texto-privado\" }, data: { stage: WON }) { uid } }",
        "mutation { createBp(data: { extUid: \"DemoCode06\", name1: \"texto-privado\", phone: \"5599999999\", customerOf: { connect: { extUid: \"auth0|demo-tacos\" } } }) { uid } }",
    ] {
        let body = json!({ "query": query, "operationName": null, "variables": { "nota": "texto-privado" } });
        seller.send(Method::POST, "/graphql", Some(body)).await;
    }
    let subscription = json!({ "endpoint": service.endpoint("/device-of-tacos"), "keys": { "p256dh": P256DH, "auth": AUTH } });
    assert!(
        seller
            .send(Method::POST, "/webpush/subscribe", Some(subscription))
            .await
            .status
            .is_success()
    );

    // A customer: by telephone, wrong first.
    let mut customer = app.browser();
    let bp = customer
        .send(Method::GET, "/auth/bp?code=DemoCode06", None)
        .await;
    assert!(bp.status.is_success(), "{}", bp.body);
    assert_eq!(
        customer.by_phone("DemoCode06", "5500000000").await.status,
        StatusCode::FORBIDDEN
    );
    let login = customer.by_phone("DemoCode06", "5534567806").await;
    assert_eq!(login.status, StatusCode::OK, "{}", login.body);
    secrets.extend(customer.jar.values().cloned());
    let order = json!({ "query": "mutation { createOrder(data: { name: \"texto-privado\", assignedTo: { connect: { extUid: \"auth0|demo-tacos\" } }, issuedTo: { connect: { extUid: \"DemoCode06\" } } }) { uid } }" });
    let made = customer.send(Method::POST, "/graphql", Some(order)).await;
    assert!(made.body["errors"].is_null(), "{}", made.body);
    let deadline = std::time::Instant::now() + Duration::from_secs(15);
    while service.received_at("/device-of-tacos").is_empty() {
        assert!(std::time::Instant::now() < deadline, "{}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // Somebody with a wrong token, a stale cookie, a strange path, and a socket.
    app.http
        .get(format!("{}/texto-privado?token=texto-privado", app.address))
        .bearer_auth("texto-privado")
        .send()
        .await
        .unwrap();
    let wrong = app
        .http
        .post(format!("{}/graphql", app.address))
        .bearer_auth("texto-privado")
        .body("texto-privado");
    wrong.send().await.unwrap();
    let mut socket = app.socket().await;
    let subscribe = json!({ "type": "subscribe", "id": "texto-privado", "payload": {
        "query": "subscription S { order(where: { node: { name: \"texto-privado\" } }) { node { name } } }", "operationName": "S" } });
    socket
        .send(Message::text(subscribe.to_string()))
        .await
        .unwrap();
    socket.send(Message::text("texto-privado")).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() {
            break;
        }
    }
    customer.send(Method::POST, "/auth/logout", None).await;
    assert!(app.stop());

    let log = app.log();
    let lower = log.to_lowercase();
    let private = [
        "texto-privado",
        "guessed-password",
        "5534567806",
        "5500000000",
        "5599999999",
        "ximena",
        "cortés",
        "ximena@example.com",
        "democode06",
        "device-of-tacos",
        "taquiza",
    ];
    for secret in private.iter().map(|text| (*text).to_owned()).chain(secrets) {
        let line = lower
            .lines()
            .find(|line| line.contains(&secret.to_lowercase()));
        assert_eq!(line, None, "{secret:?} is in the log");
    }
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }

    let lines: Vec<Value> = app.lines("answered");
    let find = |route: &str, status: u16| {
        let found = lines
            .iter()
            .find(|line| line["route"] == route && line["status"] == status);
        found
            .unwrap_or_else(|| panic!("{route} {status}: {lines:#?}"))
            .clone()
    };
    let line = lines
        .iter()
        .find(|line| line["operation"] == "ReadCustomer")
        .unwrap();
    assert_eq!(
        (&line["viewer"], &line["kind"], &line["outcome"]),
        (&json!("auth0|demo-tacos"), &json!("query"), &json!("ok"))
    );
    assert_eq!(
        (&line["level"], &line["target"], &line["method"]),
        (&json!("INFO"), &json!("gom::access"), &json!("POST"))
    );
    let duration = line["duration_ms"].to_string();
    assert!(
        duration
            .split_once('.')
            .is_none_or(|(_, digits)| digits.len() <= 3),
        "in microseconds: {duration}"
    );
    assert!(
        line["duration_ms"].as_f64().unwrap() > 0.0
            && line["request_id"].as_str().unwrap().len() > 16
    );
    assert!(line.get("trace_id").is_none());
    find("/auth/login", 403);
    find("/auth/login", 200);
    find("/graphql", 401);
    find("other", 404);
    find("/graphql (websocket)", 101);
    let viewers: Vec<&Value> = lines.iter().filter_map(|line| line.get("viewer")).collect();
    let customer = json!("customer:cdemobp000000000000000006:auth0|demo-tacos");
    assert!(viewers.contains(&&customer), "{viewers:?}");
}

#[tokio::test]
async fn the_filter_switches_the_lines_of_requests_off() {
    let mut app = TestApp::start(&[("GOM__LOG__LEVEL", "info,gom::access=warn")]).await;
    app.ask("{ orders { name } }").await;
    assert!(app.stop());
    assert!(
        !app.log().contains("\"answered\"") && app.log().contains("stopping"),
        "{}",
        app.log()
    );
}

#[tokio::test]
async fn an_internal_error_is_logged_with_the_id_that_the_client_receives() {
    let app = TestApp::start(&[("GOM__SOCKETS__OPERATIONS", "1")]).await;
    let mut socket = app.socket().await;
    let live = json!({ "type": "subscribe", "id": "1", "payload": { "query": "query @live { orders { name items { description } } }" } });
    socket.send(Message::text(live.to_string())).await.unwrap();
    let next = async |socket: &mut Socket, what: &str| loop {
        let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
        let message = message
            .unwrap_or_else(|_| panic!("{what}: {}", app.log()))
            .unwrap()
            .unwrap();
        if let Ok(text) = message.to_text()
            && let Ok(Value::Object(read)) = serde_json::from_str(text)
        {
            return Value::Object(read);
        }
    };
    assert!(next(&mut socket, "a first answer").await["payload"]["errors"].is_null());

    // A refusal carries an id as well.
    let second =
        json!({ "type": "subscribe", "id": "2", "payload": { "query": "{ orders { name } }" } });
    socket
        .send(Message::text(second.to_string()))
        .await
        .unwrap();
    let refused = next(&mut socket, "a refusal").await;
    assert_eq!(refused["type"], "error", "{refused}");
    let id = refused["payload"][0]["requestId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(id.len() > 16, "{refused}");

    // A table that is not as it was: a fault that nobody had thought of.
    let sql = r#"alter table "default$default"."Item" rename column "description" to "other";
        update "default$default"."Order" set "stage" = 'WON'"#;
    app.tables().await.batch_execute(sql).await.unwrap();
    let failed = next(&mut socket, "a failure").await;
    let error = &failed["payload"]["errors"][0];
    assert_eq!(
        error["extensions"]["code"], "INTERNAL_SERVER_ERROR",
        "{failed}"
    );
    assert_eq!(error["requestId"], id.as_str());
    let lines = app.lines("internal error");
    let line = lines
        .iter()
        .find(|line| line["request_id"] == id.as_str())
        .unwrap_or_else(|| panic!("{lines:?}"));
    assert!(line["cause"].as_str().unwrap().contains("42703"), "{line}");
}
