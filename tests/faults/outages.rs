//! PostgreSQL is gone, hung, or throws its clients out.

use std::time::Duration;

use gom_test_support::TestCluster;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::load::{Load, UnderLoad, accepts_connections, serve};
use crate::{DEADLINE, GRACE, RECOVERY, turn};

#[actix_web::test]
async fn postgresql_is_absent_at_the_start() {
    let _turn = turn().await;
    let mut cluster = TestCluster::own().await;
    cluster.stop().await;
    let app = serve(&cluster).await;
    let client = Client::of(&app);
    assert!(!client.is_ready().await);
    let create = r#"mutation { createUser(data: { uid: "first", business: "b" }) { uid } }"#;
    assert!(!client.ask(create, json!({})).await.problems.is_empty());

    let probe = actix_web::rt::spawn(accepts_connections(cluster.config()));
    cluster.start().await;
    let returned = probe.await.unwrap();
    while !client.ask(create, json!({})).await.problems.is_empty() {
        assert!(returned.elapsed() < RECOVERY + GRACE, "no service");
        sleep(Duration::from_millis(10)).await;
    }
    println!(
        "  the first write {} ms after the start of PostgreSQL",
        returned.elapsed().as_millis()
    );
    let load = Load::start(&app).await;
    load.serves_again("the start", Instant::now()).await;
    load.end().await.compare(&cluster.connect().await).await;
}

#[actix_web::test]
async fn stopped_and_started_again() {
    let _turn = turn().await;
    let mut test = UnderLoad::start().await;
    for _ in 0..2 {
        test.cluster.stop().await;
        test.load.goes_wrong().await;
        test.load
            .comes("/readyz says so", async || !test.load.is_ready())
            .await;
        let probe = actix_web::rt::spawn(accepts_connections(test.cluster.config()));
        test.cluster.start().await;
        test.load
            .serves_again("the start of PostgreSQL", probe.await.unwrap())
            .await;
    }
    test.compare().await;
}

#[actix_web::test]
async fn killed_and_recovered() {
    let _turn = turn().await;
    let test = UnderLoad::start().await;
    for end in [TestCluster::kill, TestCluster::quit, TestCluster::kill] {
        let ended = end(&test.cluster);
        let probe = actix_web::rt::spawn(accepts_connections(test.cluster.config()));
        test.cluster.recovered(ended).await;
        test.load
            .serves_again("the recovery of PostgreSQL", probe.await.unwrap())
            .await;
    }
    assert!(test.compare().await.refused() > 0);
}

#[actix_web::test]
async fn frozen_and_thawed() {
    let _turn = turn().await;
    let test = UnderLoad::start().await;
    // Shorter than the deadline: nothing is lost by waiting. Longer: requests reach their deadline, and the server reports it.
    for frozen in [DEADLINE / 4, 3 * DEADLINE] {
        test.cluster.freeze();
        sleep(frozen).await;
        test.cluster.thaw();
        test.load.serves_again("the thaw", Instant::now()).await;
    }
    assert!(test.compare().await.refused() > 0);
}

#[actix_web::test]
async fn its_connections_terminated_again_and_again() {
    let _turn = turn().await;
    let test = UnderLoad::start().await;
    let client = test.cluster.connect().await;
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity \
                     where application_name = 'gom' and pid <> pg_backend_pid()";
    let answered = test.load.ledger.reads.get();
    for _ in 0..40 {
        client.batch_execute(terminate).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    test.load
        .serves_again("the last termination", Instant::now())
        .await;
    assert!(
        test.load.ledger.reads.get() > answered + 100,
        "service went on all the while"
    );
    test.compare().await;
}
