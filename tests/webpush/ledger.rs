//! `POST /webpush/graphql`: let in like `/graphql`, and only read.

use gom_test_support::TestDatabase;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use gom_test_support::browser::{Browser, Reply};
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{OTHER_SELLER, SELLER, seller, shops};

async fn fill(database: &TestDatabase) {
    let rows = format!(
        "insert into gom.notification (id, subject, source, kind, node, title, body, ttl_ms, urgency, expires_at, settled_at, reported_at)
         values ('n1', 'order', 'o1', 'order', 'o1', 'Pedido nuevo', 'b', 1000, 'high', now(), now(), now());
         insert into gom.delivery (id, notification, recipient, endpoint, origin, device, state, attempts, status, reason, settled_at)
         values ('d1', 'n1', '{SELLER}', 'https://push.example/secret1', 'https://push.example', 'AAAA', 'DELIVERED', 1, 201, null, now()),
                ('d2', 'n1', '{OTHER_SELLER}', 'https://push.example/secret2', 'https://push.example', 'BBBB', 'FAILED', 3, 400, 'refused: bad topic', now());"
    );
    database.connect().await.batch_execute(&rows).await.unwrap();
}

async fn ask(browser: &mut Browser, query: &str) -> Reply {
    browser
        .send(
            Method::POST,
            "/webpush/graphql",
            Some(json!({ "query": query })),
        )
        .await
}

const MINE: &str = "{ deliveries { id state notification { title } } }";

#[actix_web::test]
async fn the_ledger_is_read_by_its_users_and_written_by_nobody() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    fill(&place.database).await;

    let mut browser = seller(&app).await;
    let reply = ask(&mut browser, MINE).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let delivered =
        json!({ "id": "d1", "state": "DELIVERED", "notification": { "title": "Pedido nuevo" } });
    assert_eq!(reply.body, json!({ "data": { "deliveries": [delivered] } }));

    for write in [
        "mutation { deleteManyDeliveries { count } }",
        "subscription { delivery { mutation } }",
    ] {
        let reply = ask(&mut browser, write).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.body);
        assert_eq!(reply.body["errors"][0]["extensions"]["code"], "FORBIDDEN");
    }
    let reply = browser.send(Method::GET, "/webpush/graphql", None).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);

    // Without a session there is nothing to be seen.
    let mut stranger = app.browser();
    let reply = ask(&mut stranger, MINE).await;
    assert_eq!(reply.refusal(), (403, "jwt_error"), "{}", reply.body);
}

#[actix_web::test]
async fn the_state_of_push_is_shown_without_endpoints() {
    let place = Place::new(Stores::Postgres).await;
    let _app = shops(&place, &[]).await;
    fill(&place.database).await;
    let client = place.database.connect().await;
    let job = "insert into gom.job (subject, schema_name, node, created, dedup, attempts, last_error) values ('order', 'elsewhere', 'o9', true, 'o9', 2, 'no such order')";
    client.execute(job, &[]).await.unwrap();

    let status = |arguments: &[&str]| {
        let url = place.database.url();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gom"))
            .args(["push", "status", "--database-url", &url])
            .args(arguments)
            .current_dir(std::env::temp_dir())
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("secret"), "{text}");
        text
    };
    let text = status(&[]);
    for wanted in [
        "Jobs: 1 open, 1 due",
        "DELIVERED",
        "https://push.example",
        "refused: bad topic",
        "no such order",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let json: Value = serde_json::from_str(&status(&["--json"])).unwrap();
    assert_eq!(json["jobs"]["troubled"], 1);
    assert_eq!(json["notifications"], json!({ "total": 1, "open": 0 }));
    let origin = json!({ "origin": "https://push.example", "count": 2, "open": 0, "delivered": 1, "gone": 0, "failed": 1 });
    assert_eq!(json["origins"], json!([origin]));
    assert_eq!(json["failures"][0]["status"], 400);
}
