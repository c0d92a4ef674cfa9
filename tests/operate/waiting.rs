//! A database that is not there yet.

use std::time::{Duration, Instant};

use gom_test_support::{TestCluster, TestDatabase};
use rustix::process::Signal;

use gom_test_support::process::{Server, command, environment, run};

#[tokio::test]
async fn a_server_reports_that_it_waits_and_serves_when_the_database_is_available() {
    let mut cluster = TestCluster::own().await;
    cluster.stop().await;
    let environment = environment(cluster.url());
    let server = Server::start(&environment, &["--deploy"]);
    server
        .comes("it lives", async |server| {
            server.get("/healthz").await.0 == 200
        })
        .await;
    let (status, body) = server.readiness().await;
    assert_eq!((status, &body["status"]), (503, &"not ready".into()));
    assert_eq!(body["datamodel"]["state"], "starting");
    assert_eq!(
        server.get("/healthz?started").await.0,
        503,
        "an orchestrator keeps the old one meanwhile"
    );
    // The message must not suggest a migration where there is no database.
    let asked = reqwest::Client::new()
        .post(server.url("/graphql"))
        .bearer_auth(server.token());
    let asked = asked
        .header("content-type", "application/json")
        .body(r#"{"query":"{ users { uid } }"}"#);
    let answer = asked.send().await.unwrap().text().await.unwrap();
    assert!(
        answer.contains("The database is not available at the moment"),
        "{answer}"
    );
    server
        .comes("the log reports it", async |server| {
            server.log().contains("waiting for PostgreSQL")
        })
        .await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let said = server.log().matches("waiting for PostgreSQL").count();
    assert!(
        (1..=3).contains(&said),
        "every few seconds: {}",
        server.log()
    );
    cluster.start().await;
    server
        .comes("ready", async |server| server.readiness().await.0 == 200)
        .await;
    cluster.stop().await;
    server
        .comes("not ready", async |server| {
            server.readiness().await.0 == 503
        })
        .await;
    assert_eq!(
        server.get("/healthz?started").await.0,
        200,
        "no reason to start it again"
    );
}

#[tokio::test]
async fn a_server_lives_while_its_deployment_waits_for_another_servers() {
    let database = TestDatabase::create().await;
    let other = database.connect().await;
    // The lock of those who deploy.
    other
        .batch_execute("SELECT pg_advisory_lock(7453295894363465586)")
        .await
        .unwrap();
    let server = Server::start(&environment(&database.url()), &["--deploy"]);
    server
        .comes("it lives", async |server| {
            server.get("/healthz").await.0 == 200
        })
        .await;
    let (status, body) = server.readiness().await;
    assert_eq!(
        (status, body["datamodel"]["state"].as_str()),
        (503, Some("starting")),
        "{body}"
    );
    assert_eq!(server.get("/healthz?started").await.0, 503);
    other
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await
        .unwrap();
    server
        .comes("ready", async |server| server.readiness().await.0 == 200)
        .await;
    assert_eq!(server.get("/healthz?started").await.0, 200);
}

#[tokio::test]
async fn commands_wait_for_the_database_as_long_as_configured() {
    let mut cluster = TestCluster::own().await;
    cluster.stop().await;
    let environment = environment(cluster.url());
    let begun = Instant::now();
    let at_once = run(&environment, &["migrate", "apply"]);
    assert_eq!(at_once.status.code(), Some(1));
    let said = String::from_utf8_lossy(&at_once.stderr);
    assert!(
        said.contains("/.s.PGSQL."),
        "which server was not reached: {said}"
    );
    let a_while = run(&environment, &["migrate", "apply", "--wait", "1"]);
    assert_eq!(a_while.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&a_while.stderr).contains("waiting for PostgreSQL (0 s of 1 s)")
    );
    for other in [
        &["account", "list"][..],
        &["session", "list", "ana"],
        &["push", "status"],
        &["seed"],
    ] {
        let waited = run(&environment, &[other, &["--wait", "1"]].concat());
        assert_eq!(waited.status.code(), Some(1), "{other:?}");
        assert!(
            String::from_utf8_lossy(&waited.stderr).contains("waiting for PostgreSQL"),
            "{other:?}"
        );
    }
    assert!(
        begun.elapsed() < Duration::from_secs(40),
        "{:?}",
        begun.elapsed()
    );
    let waiting = command(&environment, &["migrate", "apply", "--wait", "30"]);
    let waiting = tokio::task::spawn_blocking(move || { waiting }.output().unwrap());
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.start().await;
    let done = waiting.await.unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[tokio::test]
async fn a_server_that_waits_for_its_database_stops_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let environment = environment(&format!(
        "host={} user=gom dbname=gom",
        folder.path().display()
    ));
    for pause in [Duration::ZERO, Duration::from_secs(4)] {
        let mut server = Server::start(&environment, &["--deploy"]);
        server
            .comes("it waits", async |server| {
                server.log().contains("waiting for PostgreSQL")
            })
            .await;
        tokio::time::sleep(pause).await;
        server.tell(Signal::TERM);
        let (status, _) = server.ends_within(Duration::from_secs(9)).await;
        assert!(status.success(), "{status}: {}", server.log());
    }
}
