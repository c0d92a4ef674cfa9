//! `/metrics` of a real server: who may see it, what is in it, and that it moves as it should.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use gom_telemetry::metrics::{DEFINITIONS, MetricKind};
use gom_test_support::{PushService, PushServiceOptions};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION};
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::app::{SELLER, TestApp};
use crate::scrape::Scrape;

const TOKEN: &str = "the token of a metrics scraper";

async fn scrape(app: &TestApp) -> Scrape {
    Scrape::of(&app.http, &format!("{}/metrics", app.address), TOKEN).await
}

/// Looks again until it is so.
async fn until(app: &TestApp, what: &str, holds: impl Fn(&Scrape) -> bool) -> Scrape {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let scrape = scrape(app).await;
        if holds(&scrape) {
            return scrape;
        }
        assert!(Instant::now() < deadline, "{what}:\n{}", scrape.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_port_and_token_there_are_no_metrics() {
    let app = TestApp::start(&[]).await;
    let answer = app
        .http
        .get(format!("{}/metrics", app.address))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn metrics_on_the_servers_port_need_the_token() {
    let app = TestApp::start(&[("METRICS_TOKEN", TOKEN)]).await;
    let url = format!("{}/metrics", app.address);
    for wrong in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer the token of a metrics scrape",
        TOKEN,
        "Basic the token of a metrics scraper",
    ] {
        let mut request = app.http.get(&url);
        if !wrong.is_empty() {
            request = request.header(AUTHORIZATION, wrong);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{wrong:?}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        assert!(!answer.text().await.unwrap().contains("gom_"));
    }
    // The service's token is another one.
    let answer = app
        .http
        .get(&url)
        .bearer_auth(&app.token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let answer = app.http.post(&url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);

    let modern = app.http.get(&url).bearer_auth(TOKEN).header(
        ACCEPT,
        "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5",
    );
    let answer = modern.send().await.unwrap();
    assert_eq!(
        answer.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(answer.text().await.unwrap().ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_on_a_port_of_their_own_are_served_only_there() {
    let app = TestApp::start(&[("GOM__METRICS__PORT", "0")]).await;
    let line = app.lines("metrics are served").remove(0);
    let address = line["address"].as_str().unwrap();
    let url = format!("http://{address}/metrics");
    let scrape = Scrape::of(&app.http, &url, "anything").await;
    assert_eq!(
        scrape.value("gom_database_state", &[("state", "ready")]),
        Some(1.0)
    );
    let other = app
        .http
        .get(format!("http://{address}/graphql"))
        .send()
        .await
        .unwrap();
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
    let here = app
        .http
        .get(format!("{}/metrics", app.address))
        .send()
        .await
        .unwrap();
    assert_eq!(here.status(), StatusCode::NOT_FOUND);

    let app = TestApp::start(&[("GOM__METRICS__PORT", "0"), ("METRICS_TOKEN", TOKEN)]).await;
    let line = app.lines("metrics are served").remove(0);
    let url = format!("http://{}/metrics", line["address"].as_str().unwrap());
    assert_eq!(
        app.http.get(&url).send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    Scrape::of(&app.http, &url, TOKEN).await;
}

#[tokio::test]
async fn every_metric_is_exposed() {
    let app = TestApp::start(&[("METRICS_TOKEN", TOKEN)]).await;
    app.ask("{ orders { name } }").await;
    app.ask("mutation { updateManyOrders(data: { stage: WON }) { count } }")
        .await;
    let scrape = until(&app, "the feed", |s| {
        s.value("gom_feed_log_bytes", &[]).is_some()
            && s.value("gom_feed_delivered_position", &[])
                .is_some_and(|p| p > 0.0)
    })
    .await;
    for definition in DEFINITIONS {
        let name = definition.name;
        let suffix = if definition.kind == MetricKind::Counter {
            "_total"
        } else {
            ""
        };
        assert!(
            scrape
                .text
                .contains(&format!("# HELP {name}{suffix} {}", definition.help)),
            "{name}\n{}",
            scrape.text
        );
        assert!(
            scrape.text.contains(&format!("# TYPE {name}{suffix} ")),
            "{name}"
        );
        // Metrics without a value yet.
        let silent = ["gom_push_in_flight"];
        let sample = [
            format!("\n{name}{suffix} "),
            format!("\n{name}{suffix}{{"),
            format!("\n{name}_bucket"),
        ];
        let shown = sample.iter().any(|sample| scrape.text.contains(sample));
        assert!(
            shown || silent.contains(&name),
            "{name} has no value:\n{}",
            scrape.text
        );
    }
    assert_eq!(
        scrape.value("gom_build_info", &[("version", env!("CARGO_PKG_VERSION"))]),
        Some(1.0)
    );
    assert!(scrape.value("process_resident_memory_bytes", &[]).unwrap() > 1e7);
    assert!(
        scrape
            .value("gom_database_connections", &[("pool", "shared")])
            .unwrap()
            >= 2.0
    );
}

#[tokio::test]
async fn requests_operations_and_statements_are_counted_by_outcome() {
    let app = TestApp::start(&[("METRICS_TOKEN", TOKEN)]).await;
    let before = scrape(&app).await;
    for _ in 0..3 {
        app.ask("{ orders(first: 1) { name } }").await;
    }
    app.ask("mutation { updateManyOrders(data: { stage: WON }) { count } }")
        .await;
    app.ask("mutation { updateOrder(where: { uid: \"nope\" }, data: { stage: WON }) { uid } }")
        .await;
    app.ask("{ unknownField }").await;
    app.ask("{").await;
    app.http
        .post(format!("{}/graphql", app.address))
        .body("{}")
        .send()
        .await
        .unwrap();
    app.http
        .get(format!("{}/5512345684", app.address))
        .send()
        .await
        .unwrap();
    let after = scrape(&app).await;
    let moved =
        |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);

    let graphql = |status| {
        [
            ("route", "/graphql"),
            ("method", "POST"),
            ("status", status),
        ]
    };
    assert_eq!(moved("gom_http_requests_total", &graphql("2xx")), 7.0);
    assert_eq!(moved("gom_http_requests_total", &graphql("4xx")), 1.0);
    assert_eq!(moved("gom_http_requests_total", &[("route", "other")]), 1.0);
    assert_eq!(
        moved(
            "gom_http_request_duration_seconds",
            &[("route", "/graphql")]
        ),
        8.0
    );
    assert!(!after.text.contains("5512345684"));
    // This one is being answered.
    assert_eq!(after.value("gom_http_requests_in_flight", &[]), Some(1.0));

    let operations = |kind, outcome| {
        moved(
            "gom_graphql_operations_total",
            &[("kind", kind), ("outcome", outcome)],
        )
    };
    assert_eq!(operations("query", "ok"), 3.0);
    assert_eq!(operations("mutation", "ok"), 1.0);
    assert_eq!(operations("mutation", "GRAPHQL_EXECUTION_ERROR"), 1.0);
    assert_eq!(operations("unknown", "GRAPHQL_VALIDATION_FAILED"), 1.0);
    assert_eq!(operations("unknown", "GRAPHQL_PARSE_FAILED"), 1.0);
    assert_eq!(
        moved("gom_document_cache_lookups_total", &[("result", "hit")]),
        2.0
    );
    assert_eq!(
        moved("gom_document_cache_lookups_total", &[("result", "miss")]),
        5.0
    );

    let work = |work, outcome| {
        moved(
            "gom_database_work_total",
            &[("work", work), ("outcome", outcome)],
        )
    };
    assert_eq!(
        (
            work("read", "ok"),
            work("program", "ok"),
            work("program", "unmet")
        ),
        (3.0, 1.0, 1.0)
    );
    assert_eq!(
        moved("gom_database_work_duration_seconds", &[("work", "read")]),
        3.0
    );
    assert!(
        moved(
            "gom_database_prepared_statements_total",
            &[("result", "hit")]
        ) >= 1.0
    );
    assert_eq!(after.value("gom_database_in_flight", &[]), Some(0.0));
    assert_eq!(after.value("gom_database_leased", &[]), Some(0.0));
}

#[tokio::test]
async fn subscribers_their_events_and_the_feed_are_counted() {
    let app = TestApp::start(&[("METRICS_TOKEN", TOKEN), ("GOM__SOCKETS__TOTAL", "2")]).await;
    let mut socket = app.socket().await;
    let mut send = async |message: serde_json::Value| {
        socket
            .send(Message::text(message.to_string()))
            .await
            .unwrap()
    };
    let query = "subscription { order { mutation node { name } } }";
    for id in ["1", "2"] {
        send(json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
    }
    send(json!({ "type": "subscribe", "id": "3", "payload": { "query": "query @live { orders { name stage } }" } })).await;
    let stream = app
        .http
        .post(format!("{}/graphql", app.address))
        .bearer_auth(&app.token);
    let stream = stream
        .header("content-type", "application/json")
        .header(ACCEPT, "text/event-stream");
    let stream = stream
        .body(json!({ "query": query }).to_string())
        .send()
        .await
        .unwrap();

    let running = |s: &Scrape| {
        ["subscription", "live"].map(|kind| s.value("gom_subscriptions", &[("kind", kind)]))
            == [Some(3.0), Some(1.0)]
    };
    let scrape_ = until(&app, "three subscriptions and a live query", running).await;
    assert_eq!(
        scrape_.value("gom_websockets", &[("protocol", "graphql-transport-ws")]),
        Some(1.0)
    );
    assert_eq!(scrape_.value("gom_event_streams", &[]), Some(1.0));
    // The equal ones are one group; the live query is another.
    until(&app, "two groups", |s| {
        s.value("gom_subscription_groups", &[]) == Some(2.0)
    })
    .await;

    // There is room for two.
    let mut third = format!("{}/graphql", app.address.replace("http", "ws"))
        .into_client_request()
        .unwrap();
    third
        .headers_mut()
        .insert("sec-websocket-protocol", "graphql-ws".parse().unwrap());
    assert!(connect_async(third).await.is_err());

    app.ask("mutation { updateManyOrders(where: { name: \"Bautizo\" }, data: { stage: WON }) { count } }")
        .await;
    let arrived = |s: &Scrape| {
        let of = |kind| s.value("gom_subscription_events_total", &[("kind", kind)]);
        let delivered = s.value("gom_feed_delivered_position", &[]);
        of("subscription") == Some(3.0) && of("live") >= Some(1.0) && delivered >= Some(1.0)
    };
    let scrape_ = until(&app, "three events and another answer", arrived).await;
    assert_eq!(
        scrape_.value("gom_connections_refused_total", &[("limit", "total")]),
        Some(1.0)
    );
    let delivered = scrape_.value("gom_feed_delivered_position", &[]);
    assert!(scrape_.value("gom_feed_stamped_position", &[]) >= delivered);
    assert!(scrape_.value("gom_feed_looked_seconds", &[]).unwrap() < 5.0);
    let routes = ["/graphql (websocket)", "/graphql (event stream)"];
    assert!(
        routes
            .iter()
            .all(|route| scrape_.sum("gom_http_requests_total", &[("route", route)]) >= 1.0)
    );

    drop((socket.close(None).await, stream));
    while let Some(Ok(_)) = socket.next().await {}
    let gone = |s: &Scrape| {
        ["gom_event_streams", "gom_websockets", "gom_subscriptions"]
            .iter()
            .all(|name| s.sum(name, &[]) == 0.0)
    };
    until(&app, "everybody has left", gone).await;
    until(&app, "no groups", |s| {
        s.value("gom_subscription_groups", &[]) == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn logins_their_limits_and_sessions_are_counted() {
    let app = TestApp::start(&[
        ("METRICS_TOKEN", TOKEN),
        ("GOM__LOGIN_LIMITER__CONSECUTIVE_FAILS__POINTS", "2"),
        ("GOM__LOGIN_LIMITER__SLOW_BRUTE__POINTS", "4"),
    ])
    .await;
    let mut browser = app.browser();
    assert_eq!(
        browser.by_password(SELLER.0, SELLER.1).await.status,
        StatusCode::OK
    );
    let asked = browser
        .send(
            reqwest::Method::POST,
            "/graphql",
            Some(json!({ "query": "{ orders { name } }" })),
        )
        .await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
    browser
        .send(reqwest::Method::POST, "/auth/logout", None)
        .await;
    let mut stranger = app.browser();
    for _ in 0..3 {
        stranger.by_password("somebody", "a guess").await;
    }
    for name in ["a", "b", "c", "d"] {
        stranger.by_password(name, "a guess").await;
    }
    let scrape = scrape(&app).await;
    let attempts = |verdict| {
        scrape
            .value("gom_login_attempts_total", &[("verdict", verdict)])
            .unwrap()
    };
    assert!(attempts("admitted") >= 4.0, "{}", scrape.text);
    assert_eq!(attempts("refused_user"), 1.0);
    assert!(attempts("refused_address") >= 1.0);
    let sessions = |event| {
        scrape
            .value("gom_sessions_total", &[("event", event)])
            .unwrap()
    };
    assert_eq!((sessions("opened"), sessions("closed")), (1.0, 1.0));
    assert!(sessions("resumed") >= 1.0);
    assert_eq!(scrape.value("gom_login_limiter_fallback", &[]), Some(0.0));
    assert!(!scrape.text.contains("somebody") && !scrape.text.contains("tacos@demo"));
}

#[tokio::test]
async fn push_and_an_actors_restart_are_counted() {
    let service = PushService::start_with(PushServiceOptions::default());
    let keys = TestApp::vapid();
    let (ca, panics) = (service.ca_file().display().to_string(), "committed");
    let app = TestApp::start(&[
        ("METRICS_TOKEN", TOKEN),
        ("VAPID_PUBLIC_KEY", &keys.0),
        ("VAPID_PRIVATE_KEY", &keys.1),
        ("GOM__PUSH__VAPID__SUBJECT", "mailto:ops@gom.example"),
        ("GOM__PUSH__CA_FILE", &ca),
        ("GOM__PUSH__INSIDE", "127.0.0.0/8,::1/128"),
        ("GOM__PUSH__ANY_PORT", "true"),
        ("GOM__PUSH__POLL_INTERVAL", "50"),
        // The dispatcher dies once before it has done anything.
        ("GOM_PANIC_AT", panics),
    ])
    .await;
    let restarts = [("actor", "PushDispatcher"), ("cause", "panicked")];
    until(&app, "a restart", |s| {
        s.value("gom_actor_restarts_total", &restarts) == Some(1.0)
    })
    .await;
    let mut browser = app.browser();
    browser.by_password(SELLER.0, SELLER.1).await;
    let subscription = json!({ "endpoint": service.endpoint("/device"), "keys": {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    }});
    let subscribed = browser
        .send(
            reqwest::Method::POST,
            "/webpush/subscribe",
            Some(subscription),
        )
        .await;
    assert!(subscribed.status.is_success(), "{}", subscribed.body);
    app.ask("mutation { createOrder(data: { name: \"Prueba\", assignedTo: { connect: { extUid: \"auth0|demo-tacos\" } }, issuedTo: { connect: { extUid: \"DemoCode06\" } } }) { uid } }").await;
    let delivered =
        |s: &Scrape| s.value("gom_push_attempts_total", &[("outcome", "delivered")]) == Some(1.0);
    let scrape = until(&app, "a message", delivered).await;
    assert_eq!(
        scrape.value("gom_push_send_duration_seconds", &[]),
        Some(1.0)
    );
    // They are set one after the other.
    let done = |s: &Scrape| {
        let left = s.sum("gom_push_deliveries", &[]) + s.sum("gom_push_jobs", &[]);
        left == 0.0 && s.value("gom_push_oldest_delivery_seconds", &[]) == Some(0.0)
    };
    let scrape = until(&app, "nothing is left", done).await;
    assert!(!scrape.text.contains("/device"));
}
