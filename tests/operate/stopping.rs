//! SIGTERM, whatever does not answer: the server ends within its time, with 0.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use gom_test_support::{TestCluster, TestDatabase, TestRedis, eventually};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;
use tokio_postgres::NoTls;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use gom_test_support::process::{Environment, Server, environment, migrate};

/// What the server gets to finish, and what a machine that does much else may add.
const TIMEOUT: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(8);

fn bounded(url: &str) -> Environment {
    let mut environment = environment(url);
    environment.push((
        "GOM__SERVER__SHUTDOWN_TIMEOUT",
        TIMEOUT.as_millis().to_string(),
    ));
    environment
}

async fn stops(server: &mut Server) -> Duration {
    server.tell(Signal::TERM);
    let (status, took) = server.ends_within(TIMEOUT + SLACK).await;
    assert_eq!(status.code(), Some(0), "{status}: {}", server.log());
    took
}

#[tokio::test]
async fn a_hangup_ends_the_server_as_sigterm_does() {
    let database = TestDatabase::create().await;
    let environment = bounded(&database.url());
    migrate(&environment);
    let mut server = Server::ready(&environment, &[]).await;
    server.tell(Signal::HUP);
    let (status, _) = server.ends_within(TIMEOUT + SLACK).await;
    assert_eq!(status.code(), Some(0), "{status}: {}", server.log());
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A socket that follows users.
async fn listen(server: &Server) -> Socket {
    let mut request = server
        .url("/graphql")
        .replace("http", "ws")
        .into_client_request()
        .unwrap();
    request.headers_mut().insert(
        "sec-websocket-protocol",
        "graphql-transport-ws".parse().unwrap(),
    );
    let (mut socket, _) = connect_async(request).await.unwrap();
    let init = json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {}", server.token()) } });
    socket.send(Message::text(init.to_string())).await.unwrap();
    assert!(
        socket
            .next()
            .await
            .unwrap()
            .unwrap()
            .to_text()
            .unwrap()
            .contains("connection_ack")
    );
    let query = "subscription { user { mutation node { business } } }";
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": query } });
    socket
        .send(Message::text(subscribe.to_string()))
        .await
        .unwrap();
    socket
}

#[tokio::test]
async fn sockets_are_closed_after_the_drain_delay() {
    let database = TestDatabase::create().await;
    let mut environment = bounded(&database.url());
    environment.push(("GOM__SERVER__DRAIN_DELAY", "5000".to_owned()));
    migrate(&environment);
    let mut server = Server::ready(&environment, &[]).await;
    server
        .comes("the feed follows", async |server| {
            server.readiness().await.1["changeFeed"]["state"] == "ready"
        })
        .await;
    let mut socket = listen(&server).await;
    let events = reqwest::Client::new()
        .post(server.url("/graphql"))
        .bearer_auth(server.token())
        .header("accept", "text/event-stream")
        .header("content-type", "application/json")
        .body(json!({ "query": "subscription { user { mutation } }" }).to_string())
        .send()
        .await
        .unwrap();
    // The hub has registered both by then.
    sleep(Duration::from_secs(1)).await;
    server.tell(Signal::TERM);
    server
        .comes("stopping", async |server| {
            server.readiness().await.1["status"] == "stopping"
        })
        .await;
    assert_eq!(server.readiness().await.0, 503);
    assert_eq!(server.get("/healthz").await.0, 200, "it lives");
    let (status, body) = server
        .ask(r#"mutation { createUser(data: { business: "Late" }) { business } }"#)
        .await;
    assert_eq!(
        (status, &body["data"]["createUser"]["business"]),
        (200, &"Late".into()),
        "{body}"
    );
    let event = socket.next().await.unwrap().unwrap();
    assert!(
        event.to_text().unwrap().contains("Late"),
        "sockets go on: {event}"
    );
    let last = socket.next().await.unwrap().unwrap();
    let Message::Close(Some(frame)) = last else {
        panic!("{last:?}")
    };
    assert_eq!(u16::from(frame.code), 1012);
    assert!(
        frame.reason.contains("come back with the last cursor"),
        "{}",
        frame.reason
    );
    let text = events.text().await.expect("the stream comes to an end");
    assert!(text.contains("CREATED"), "{text}");
    let (status, _) = server.ends_within(TIMEOUT + SLACK).await;
    assert_eq!(status.code(), Some(0));
}

/// It asks for an event stream, whose answer would be lost.
#[tokio::test]
async fn a_mutation_that_arrives_while_the_server_stops_is_refused_and_not_carried_out() {
    let database = TestDatabase::create().await;
    let environment = bounded(&database.url());
    migrate(&environment);
    let mut server = Server::ready(&environment, &[]).await;
    let mutation = r#"mutation { createUser(data: { business: "Late" }) { business } }"#;
    let body = json!({ "query": mutation }).to_string();
    let (begun, rest) = body.split_at(body.len() / 2);
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{begun}",
        server.token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    sleep(Duration::from_millis(200)).await;
    server.tell(Signal::TERM);
    server
        .comes("stopping", async |server| server.log().contains("stopping"))
        .await;
    // Until its workers are notified.
    sleep(Duration::from_millis(300)).await;
    stream.write_all(rest.as_bytes()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT + SLACK)).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    let counted = r#"select count(*) from "default$default"."User" where business = 'Late'"#;
    let row = database.connect().await.query_one(counted, &[]).await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 0);
    let (status, _) = server.ends_within(TIMEOUT + SLACK).await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let database = TestDatabase::create().await;
    let mut environment = bounded(&database.url());
    environment.push(("GOM__SERVER__DRAIN_DELAY", "60000".to_owned()));
    let mut server = Server::ready(&environment, &[]).await;
    server.tell(Signal::TERM);
    server
        .comes("stopping", async |server| {
            server.readiness().await.1["status"] == "stopping"
        })
        .await;
    server.tell(Signal::INT);
    let (status, _) = server.ends_within(SLACK).await;
    assert_eq!(status.code(), Some(1), "{}", server.log());
}

#[tokio::test]
async fn a_frozen_database_does_not_delay_the_stop() {
    let cluster = TestCluster::own().await;
    let environment = bounded(cluster.url());
    migrate(&environment);
    let mut server = Server::ready(&environment, &[]).await;
    cluster.freeze();
    let asked = server.url("/graphql");
    let token = server.token().to_owned();
    let hanging = tokio::spawn(async move {
        let body =
            json!({ "query": r#"mutation { createUser(data: { business: "x" }) { uid } }"# })
                .to_string();
        let request = reqwest::Client::new().post(asked).bearer_auth(token);
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .map(|a| a.status())
    });
    sleep(Duration::from_millis(300)).await;
    stops(&mut server).await;
    drop(hanging.await);
    cluster.thaw();
}

#[tokio::test]
async fn an_unavailable_or_frozen_redis_does_not_delay_the_stop() {
    let database = TestDatabase::create().await;
    let mut redis = TestRedis::start();
    let mut environment = bounded(&database.url());
    environment.push(("REDIS_HOST", "127.0.0.1".to_owned()));
    environment.push(("REDIS_PORT", redis.port().to_string()));
    migrate(&environment);
    let mut server = Server::ready(&environment, &[]).await;
    redis.freeze();
    sleep(Duration::from_millis(300)).await;
    stops(&mut server).await;
    redis.thaw();
    let mut server = Server::ready(&environment, &[]).await;
    redis.kill();
    sleep(Duration::from_millis(300)).await;
    stops(&mut server).await;
}

#[tokio::test]
async fn an_unfinished_request_is_abandoned() {
    let database = TestDatabase::create().await;
    let environment = bounded(&database.url());
    let mut server = Server::ready(&environment, &[]).await;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        server.token()
    );
    stream.write_all(head.as_bytes()).unwrap();
    sleep(Duration::from_millis(200)).await;
    stops(&mut server).await;
    // Cut off, or answered with an error.
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_abandoned() {
    let database = TestDatabase::create().await;
    let environment = bounded(&database.url());
    migrate(&environment);
    let mut server = Server::ready(&environment, &[]).await;
    let socket = listen(&server).await;
    sleep(Duration::from_millis(300)).await;
    // More than what the sockets of both ends hold.
    let business = "x".repeat(1 << 20);
    let mutation =
        format!(r#"mutation {{ createUser(data: {{ business: "{business}" }}) {{ uid }} }}"#);
    for _ in 0..12 {
        assert_eq!(server.ask(&mutation).await.0, 200);
    }
    stops(&mut server).await;
    drop(socket);
}

/// Its transaction waits for somebody's lock: it is given up, and cancelled in the database.
#[tokio::test]
async fn a_running_deployment_is_cancelled() {
    let database = TestDatabase::create().await;
    let mut environment = bounded(&database.url());
    // More than it needs, if it does not wait for the lock.
    environment.push(("GOM__SERVER__SHUTDOWN_TIMEOUT", "60000".to_owned()));
    migrate(&environment);
    let other = database.connect().await;
    other
        .batch_execute(r#"drop trigger gom_change on "default$default"."User""#)
        .await
        .unwrap();
    other
        .batch_execute(r#"begin; lock table "default$default"."User" in share mode"#)
        .await
        .unwrap();
    let watcher = database.connect().await;
    let waiting = async || -> i64 {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        watcher.query_one(sql, &[]).await.unwrap().get(0)
    };
    let mut server = Server::start(&environment, &["--deploy"]);
    server
        .comes("it waits for the lock", async |_| waiting().await == 1)
        .await;
    server.tell(Signal::TERM);
    let (status, _) = server.ends_within(TIMEOUT + SLACK).await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    // The cancellation is on its way when the server ends.
    eventually(
        "nobody waits for a lock that nobody needs any more",
        async || waiting().await == 0,
    )
    .await;
    other.batch_execute("rollback").await.unwrap();
    Server::ready(&environment, &["--deploy"]).await;
}

#[tokio::test]
async fn a_late_deployment_is_cancelled_in_the_database() {
    let cluster = TestCluster::own().await;
    // Such locks are of one database.
    let (operator, connection) = cluster
        .admin_config()
        .dbname("gom")
        .connect(NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    // The lock of those who deploy.
    let role = "CREATE ROLE late NOLOGIN SUPERUSER; SELECT pg_advisory_lock(7453295894363465586)";
    operator.batch_execute(role).await.unwrap();
    let late = cluster.url().replacen("gom", "late", 1);
    assert_ne!(late, cluster.url(), "{late}");
    let mut server = Server::start(&bounded(&late), &["--deploy"]);
    server
        .comes("it waits", async |server| {
            server.log().contains("waiting for PostgreSQL")
        })
        .await;
    operator
        .batch_execute("ALTER ROLE late LOGIN")
        .await
        .unwrap();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'late' AND wait_event = 'advisory'";
    let waits = async || {
        operator
            .query_one(waiting, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
    };
    server
        .comes("it waits for others who deploy", async |_| waits().await)
        .await;
    stops(&mut server).await;
    // Else it would go on unobserved.
    eventually("the deployment is called off", async || !waits().await).await;
}
