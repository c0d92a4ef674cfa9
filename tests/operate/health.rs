//! `/healthz`, `/readyz`, `/version`, and `gom healthcheck`, which requests them.

use gom_test_support::{TestDatabase, TestRedis, free_port};
use serde_json::Value;

use gom_test_support::process::{Environment, Server, environment, migrate, run};

async fn deployed() -> (TestDatabase, Environment) {
    let database = TestDatabase::create().await;
    let environment = environment(&database.url());
    migrate(&environment);
    (database, environment)
}

fn with_redis(environment: &mut Environment, redis: &TestRedis) {
    environment.push(("REDIS_HOST", "127.0.0.1".to_owned()));
    environment.push(("REDIS_PORT", redis.port().to_string()));
}

fn state<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name]["state"]
        .as_str()
        .unwrap_or_else(|| panic!("{name}: {body}"))
}

#[tokio::test]
async fn the_health_report_lists_every_dependency_with_state_and_age() {
    let (_database, environment) = deployed().await;
    let server = Server::ready(&environment, &[]).await;
    // What need not be ready for a server to be ready may still be connecting.
    server
        .comes("nothing starts any more", async |server| {
            !server
                .readiness()
                .await
                .1
                .to_string()
                .contains(r#""state":"starting""#)
        })
        .await;
    let (_, body) = server.readiness().await;
    assert_eq!(
        (&body["status"], &body["role"]),
        (&"ready".into(), &"all".into())
    );
    for (name, expected, required) in [
        ("database", "ready", true),
        ("datamodel", "ready", true),
        ("sessions", "ready", false),
        ("loginLimiter", "ready", false),
        ("devices", "ready", false),
        ("changeFeed", "ready", false),
        ("push", "off", false),
    ] {
        assert_eq!(
            (state(&body, name), &body[name]["required"]),
            (expected, &required.into()),
            "{body}"
        );
        assert!(body[name]["forMs"].is_u64(), "{body}");
        let succeeded = body[name]["lastSuccessMsAgo"].as_u64();
        assert_eq!(succeeded.is_some(), expected == "ready", "{body}");
    }
    assert_eq!(body["sessions"]["in"], "postgres");
    assert!(body["database"]["version"].is_string());

    let (status, version) = server.get("/version").await;
    assert_eq!(
        (status, &version["name"], &version["role"]),
        (200, &"gom".into(), &"all".into())
    );
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["datamodel"].as_str().unwrap().len(), 64);
    assert!(version["migrations"].as_u64().unwrap() >= 7);
}

/// Sessions are what users need; the rest has somewhere else to go, or waits.
#[tokio::test]
async fn without_redis_a_server_is_not_ready_and_recovers() {
    let (_database, mut environment) = deployed().await;
    let mut redis = TestRedis::start();
    with_redis(&mut environment, &redis);
    let server = Server::ready(&environment, &[]).await;
    assert_eq!(server.readiness().await.1["sessions"]["in"], "redis");
    redis.kill();
    // Each has a connection of its own, and finds out by itself.
    let down = |body: &Value| {
        ["sessions", "loginLimiter"]
            .iter()
            .all(|name| state(body, name) == "down")
    };
    server
        .comes("both are down", async |server| {
            down(&server.readiness().await.1)
        })
        .await;
    let (status, body) = server.readiness().await;
    assert_eq!((status, &body["status"]), (503, &"not ready".into()));
    assert_eq!(state(&body, "database"), "ready");
    let text = body.to_string();
    assert!(
        !text.contains("127.0.0.1") && !text.contains(&redis.port().to_string()),
        "{text}"
    );
    // The service does not need sessions.
    assert_eq!(server.ask("{ users { uid } }").await.0, 200);
    redis.restart();
    server
        .comes("ready again", async |server| {
            server.readiness().await.0 == 200
        })
        .await;
    // Frozen is as bad as gone.
    redis.freeze();
    server
        .comes("not ready", async |server| {
            server.readiness().await.0 == 503
        })
        .await;
    redis.thaw();
    server
        .comes("ready again", async |server| {
            server.readiness().await.0 == 200
        })
        .await;
}

#[tokio::test]
async fn a_database_without_a_change_log_is_served() {
    let database = TestDatabase::create().await;
    let server = Server::ready(&environment(&database.url()), &[]).await;
    server
        .comes("the feed has looked", async |server| {
            state(&server.readiness().await.1, "changeFeed") == "off"
        })
        .await;
    assert_eq!(server.readiness().await.0, 200);
}

#[tokio::test]
async fn the_healthcheck_needs_no_arguments_and_no_secrets() {
    let (_database, mut environment) = deployed().await;
    environment.push(("GOM__SERVER__HOST", "0.0.0.0".to_owned()));
    let server = Server::ready(&environment, &[]).await;
    let of_server = |more: &[(&'static str, &str)]| {
        let mut variables: Environment = vec![
            ("GOM__SERVER__HOST", "0.0.0.0".to_owned()),
            ("GOM__SERVER__PORT", server.port.to_string()),
            // Only the server may read it.
            ("PRISMA_SECRET_FILE", "/nowhere/secret".to_owned()),
        ];
        variables.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        variables
    };
    for (arguments, expected) in [
        (&["healthcheck"][..], r#""status":"ok""#),
        (&["healthcheck", "--started"], r#""status":"ok""#),
        (&["healthcheck", "--ready"], r#""status":"ready""#),
    ] {
        let output = run(&of_server(&[]), arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(expected),
            "{output:?}"
        );
    }
    // A URL needs no settings, whatever their configured place.
    let named = run(
        &[("GOM_CONFIG", "/nowhere".to_owned())],
        &["healthcheck", &server.url("/readyz")],
    );
    assert!(named.status.success(), "{named:?}");
    let settings = run(
        &of_server(&[("GOM__SERVER__WORKERS", "many")]),
        &["healthcheck"],
    );
    assert_eq!(settings.status.code(), Some(2), "{settings:?}");
    let nobody = free_port().to_string();
    let absent = run(&[("GOM__SERVER__PORT", nobody)], &["healthcheck"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&absent.stderr).contains("no answer"),
        "{absent:?}"
    );
}

#[tokio::test]
async fn a_worker_process_serves_only_health_checks() {
    let (_database, environment) = deployed().await;
    let worker = Server::ready(&environment, &["--role", "worker"]).await;
    let (_, body) = worker.readiness().await;
    assert_eq!(body["role"], "worker");
    assert!(body["sessions"].is_null(), "nobody logs in there: {body}");
    assert_eq!(worker.get("/healthz").await.0, 200);
    assert_eq!(worker.get("/version").await.1["role"], "worker");
    let (status, body) = worker.ask("{ users { uid } }").await;
    assert_eq!(status, 404);
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .contains("server.role is worker"),
        "{body}"
    );
    for path in ["/", "/auth/ping", "/webpush/key"] {
        assert_eq!(worker.get(path).await.0, 404, "{path}");
    }
}
