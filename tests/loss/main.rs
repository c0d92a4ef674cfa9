//! Subscriptions lose nothing. Writers of every kind write through two servers and past them, while subscribers are cut
//! off and come back with their cursors, servers are killed and started again, and PostgreSQL's connections are cut. Then
//! what each subscriber has received is held against what triggers of the test's own have noted of the tables: no gap, no
//! duplicate, each row's history in order. `LOSS_SECONDS` says how long (60).

#![allow(clippy::unwrap_used)] // a panic is how a test fails

#[path = "../visibility/dice.rs"]
#[allow(dead_code)] // shared with another test, which uses all of it
mod dice;
mod history;
mod nodes;
mod subscribers;
mod writers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gom_test_support::{TestCluster, TestRedis};

use crate::history::History;
use crate::nodes::Nodes;
use crate::subscribers::Subscriber;
use crate::writers::Writers;

const SELLERS: [&str; 3] = ["auth0|one", "auth0|two", "auth0|three"];
/// Of each seller.
const SUBSCRIBERS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_nothing_comes_twice_and_all_is_in_order() {
    let seconds = std::env::var("LOSS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let cluster = TestCluster::own().await;
    let redis = TestRedis::start();
    let nodes = Arc::new(Nodes::start(&cluster, &redis).await);
    let database = cluster.connect().await;
    history::install(&database).await;
    let writers = Writers::open(&cluster, &nodes).await;

    let subscribers: Vec<Subscriber> = SELLERS
        .iter()
        .flat_map(|seller| (0..SUBSCRIBERS).map(move |i| (*seller, i)))
        .map(|(seller, i)| Subscriber::start(seller, i as u64, &nodes))
        .collect();
    for subscriber in &subscribers {
        subscriber.has_begun().await;
    }

    let over = Arc::new(AtomicBool::new(false));
    let writing = writers.start(&over);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut dice = dice::Dice::new(7);
    let mut killed = 0;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(500 + dice.below(1_000) as u64)).await;
        match dice.below(3) {
            0 => {
                nodes.kill_and_restart(dice.below(2)).await;
                killed += 1;
            }
            1 => {
                let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'gom'";
                database.batch_execute(cut).await.unwrap();
            }
            _ => {}
        }
    }
    over.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    nodes.restart_all().await;
    writers::end(&nodes).await;

    let history = History::read(&database).await;
    let mut received = 0;
    for subscriber in subscribers {
        let (seller, events) = subscriber.finish().await;
        received += events.len();
        history.check(seller, &events);
    }
    println!(
        "{written} writes, {killed} servers killed, {received} events received, none lost and none twice"
    );
    assert!(written > 50 && received > 100, "{written} writes, {received} events");
}
