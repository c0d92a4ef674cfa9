//! Several servers on one database.

use std::time::{Duration, Instant};

use gom_test_support::{TestDatabase, TestRedis};
use serde_json::json;

use crate::stream::Stream;
use crate::{order, people};
use gom_test_support::app::TestApp;

const NAMES: &str = "subscription { order(where: { mutation_in: [CREATED] }) { node { name } } }";

/// Two servers; the interval at which each polls.
async fn two(database: &TestDatabase, redis: Option<&TestRedis>, poll: &str) -> [TestApp; 2] {
    let port = redis.map(|redis| redis.port().to_string());
    let mut settings = vec![("live.poll_interval", poll)];
    if let Some(port) = &port {
        settings.extend([("redis.host", "127.0.0.1"), ("redis.port", port.as_str())]);
    }
    let url = database.url();
    [
        TestApp::on(&url, None, &settings).await,
        TestApp::on(&url, None, &settings).await,
    ]
}

/// The time until the other server delivers a change that was written through one.
async fn delivery_time(writer: &TestApp, listener: &mut Stream, name: &str) -> Duration {
    let written = Instant::now();
    order(writer, "one", name).await;
    assert_eq!(listener.data().await["order"]["node"]["name"], name);
    written.elapsed()
}

#[actix_web::test]
async fn through_redis_every_server_delivers_a_change_at_once() {
    let (database, redis) = (TestDatabase::create().await, TestRedis::start());
    let [here, there] = two(&database, Some(&redis), "60000").await;
    people(&here).await;
    for (writer, listener) in [(&here, &there), (&there, &here)] {
        let mut stream = Stream::open(listener, NAMES, json!({}), None).await;
        stream.beginning().await;
        for name in ["a", "b"] {
            let took = delivery_time(writer, &mut stream, name).await;
            assert!(
                took < Duration::from_secs(20),
                "nobody looks before a minute is over: {took:?}"
            );
        }
    }
}

#[actix_web::test]
async fn without_redis_servers_poll_for_changes() {
    let database = TestDatabase::create().await;
    let [here, there] = two(&database, None, "50").await;
    people(&here).await;
    let mut stream = Stream::open(&there, NAMES, json!({}), None).await;
    stream.beginning().await;
    delivery_time(&here, &mut stream, "by looking").await;

    let database = TestDatabase::create().await;
    let redis = TestRedis::start();
    let [here, there] = two(&database, Some(&redis), "50").await;
    people(&here).await;
    let mut stream = Stream::open(&there, NAMES, json!({}), None).await;
    stream.beginning().await;
    delivery_time(&here, &mut stream, "with Redis").await;
    redis.freeze();
    delivery_time(&here, &mut stream, "without").await;
    redis.thaw();
    delivery_time(&here, &mut stream, "again").await;
}
