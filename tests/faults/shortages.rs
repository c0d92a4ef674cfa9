//! PostgreSQL runs but refuses part of its work: writes, or further connections.

use std::time::Duration;

use gom_test_support::TestCluster;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use crate::client::Client as HttpClient;
use crate::load::{UnderLoad, serve};
use crate::turn;

const LATE: &str = "DEADLINE_EXCEEDED";

async fn admin(test: &UnderLoad) -> Client {
    let (client, io) = test.cluster.admin_config().connect(NoTls).await.unwrap();
    tokio::spawn(io);
    // Its own statements are to be carried out whatever the default becomes.
    client
        .batch_execute("set default_transaction_read_only = off")
        .await
        .unwrap();
    client
}

#[actix_web::test]
async fn postgresql_is_read_only_for_a_while() {
    let _turn = turn().await;
    let test = UnderLoad::start().await;
    let admin = admin(&test).await;
    let reload = "select pg_reload_conf()";
    admin
        .batch_execute("alter system set default_transaction_read_only = on")
        .await
        .unwrap();
    admin.batch_execute(reload).await.unwrap();
    test.load.goes_wrong().await;
    test.load
        .comes("/readyz says so", async || !test.load.is_ready())
        .await;
    let (read, refused) = (
        test.load.ledger.reads.get(),
        test.load.ledger.refused_reads.get(),
    );
    sleep(Duration::from_millis(700)).await;
    assert!(test.load.ledger.reads.get() > read, "reads go on");
    assert_eq!(
        test.load.ledger.refused_reads.get(),
        refused,
        "every one of them"
    );

    admin
        .batch_execute("alter system reset default_transaction_read_only")
        .await
        .unwrap();
    admin.batch_execute(reload).await.unwrap();
    test.load
        .serves_again("writes are allowed again", Instant::now())
        .await;
    assert!(test.compare().await.refused_writes.get() > 0);
}

#[actix_web::test]
async fn postgresql_refuses_connections_for_a_while() {
    let _turn = turn().await;
    let test = UnderLoad::start().await;
    let admin = admin(&test).await;
    admin
        .batch_execute("alter role gom connection limit 0")
        .await
        .unwrap();
    // Those that are connected go on.
    let read = test.load.ledger.reads.get();
    sleep(Duration::from_millis(500)).await;
    assert!(test.load.ledger.reads.get() > read, "reads go on");
    // Until they are terminated too.
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'gom'";
    admin.batch_execute(terminate).await.unwrap();
    test.load.goes_wrong().await;
    test.load
        .comes("/readyz says so", async || !test.load.is_ready())
        .await;
    sleep(Duration::from_millis(1_500)).await;

    admin
        .batch_execute("alter role gom connection limit -1")
        .await
        .unwrap();
    test.load
        .serves_again("connections are given again", Instant::now())
        .await;
    test.compare().await;
}

#[actix_web::test]
async fn a_deadline_passes_in_the_middle_of_an_operation() {
    let _turn = turn().await;
    let cluster = TestCluster::own().await;
    let client = HttpClient::of(&serve(&cluster).await);
    let holder = cluster.connect().await;
    holder
        .batch_execute(r#"begin; lock table "default$default"."User""#)
        .await
        .unwrap();

    let second = r#"createUser(data: { business: "b" }) { uid }"#;
    let reply = client
        .ask(&format!("mutation {{ {second} }}"), json!({}))
        .await;
    assert_eq!(
        (reply.status, reply.problems[0].code.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, LATE)
    );

    let both =
        format!(r#"mutation {{ first: createBp(data: {{ name1: "a" }}) {{ uid }} {second} }}"#);
    let reply = client.ask(&both, json!({})).await;
    assert_eq!(
        (&reply.data, reply.problems.len()),
        (&Value::Null, 1),
        "the second is required"
    );
    assert_eq!(
        (
            reply.problems[0].field.as_str(),
            reply.problems[0].code.as_str()
        ),
        ("createUser", LATE)
    );
    assert_eq!(
        reply.status,
        StatusCode::OK,
        "the first was written: asked again, it would be written twice"
    );

    holder.batch_execute("commit").await.unwrap();
    let reply = client
        .ask("{ bps { name1 } users { uid } }", json!({}))
        .await;
    assert_eq!(
        reply.data,
        json!({ "bps": [{ "name1": "a" }], "users": [] })
    );
}
