//! Subscriptions lose nothing. Writers of every kind write through three servers and past them, while subscribers are cut
//! off and come back with their cursors, servers are killed and started again, some of them panic at named places, and PostgreSQL's
//! connections are cut; its commits are not flushed, and the servers' clocks are minutes apart. Then what each subscriber has received is held against what triggers
//! of the test's own have noted of the tables: no gap, no duplicate, each row's history in order. Once more with a log
//! that is kept as short as it may be, and transactions that are longer: every event, or `RESYNC_REQUIRED`.
//!
//! `LOSS_SECONDS` says how long both together (50), `LOSS_SEED` with which dice.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod clocks;
mod history;
mod keepers;
mod nodes;
mod subscribers;
mod writers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gom_test_support::{TestCluster, TestRedis};

use crate::history::History;
use crate::keepers::Keeper;
use crate::nodes::{NODES, Nodes};
use crate::subscribers::{PATIENCE, Subscriber};
use crate::writers::Writers;

const SELLERS: [&str; 3] = ["auth0|one", "auth0|two", "auth0|three"];
/// Of each seller; the last one never leaves by itself.
const SUBSCRIBERS: usize = 4;
/// How much later than its position an event may come to who never leaves, on a busy machine with servers that come and go.
const LAG: Duration = Duration::from_secs(20);
/// How long the log is kept where it is not trimmed: for less than the fastest clock is ahead.
const KEEP_FOR: Duration = Duration::from_secs(200);
/// A server trims ten seconds after its feed has begun, which takes its time on a busy machine.
const TRIMMED_AFTER: Duration = Duration::from_secs(30);
/// Where servers panic, and at which execution of that place.
const PANICS: [&str; 4] = [
    "hub-advance:20",
    "hub-advance:3",
    "event-encode:7",
    "catch-up:4",
];
/// One after the other: each needs the machine.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_delivered_once_and_in_order() {
    run(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trimmed_changes_are_reported_as_a_gap() {
    run(true).await;
}

async fn run(trims: bool) {
    let _turn = TURN.lock().await;
    let asked = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis()
    };
    let seconds = asked("LOSS_SECONDS").unwrap_or(50) / 2;
    let seed = asked("LOSS_SEED").unwrap_or_else(|| u64::try_from(now()).unwrap());
    println!("LOSS_SEED={seed}");
    let cluster = TestCluster::own().await;
    let redis = TestRedis::start();
    let keep_for = KEEP_FOR.as_millis().to_string();
    let all_is_kept = !trims && Duration::from_secs(seconds) + PATIENCE + TRIMMED_AFTER < KEEP_FOR;
    let settings = match (trims, all_is_kept) {
        (true, _) => vec![("GOM__LIVE__KEEP", "1000")],
        (false, true) => vec![("GOM__LIVE__KEEP_FOR", keep_for.as_str())],
        (false, false) => vec![],
    };
    let name = cluster.config().get_dbname().unwrap().to_owned();
    let unflushed = format!("alter database \"{name}\" set synchronous_commit = off");
    cluster
        .connect()
        .await
        .batch_execute(&unflushed)
        .await
        .unwrap();
    let nodes = Arc::new(Nodes::start(&cluster, &redis, &settings).await);
    let database = cluster.connect().await;
    history::install(&database).await;
    let writers = Writers::open(&cluster, &nodes, seed).await;

    let mut subscribers = Vec::new();
    for (seller, i) in SELLERS
        .iter()
        .flat_map(|seller| (0..SUBSCRIBERS).map(move |i| (*seller, i)))
    {
        let seed = seed ^ (100 + subscribers.len() as u64);
        subscribers.push(Subscriber::start(
            seller,
            seed,
            &nodes,
            i == SUBSCRIBERS - 1,
            trims,
        ));
    }
    for subscriber in &subscribers {
        subscriber.has_begun().await;
    }
    let keepers: Vec<Keeper> = (0..)
        .zip(SELLERS)
        .map(|(i, seller)| Keeper::start(seller, seed ^ (200 + i), &nodes, trims))
        .collect();

    let over = Arc::new(AtomicBool::new(false));
    let writing = writers.start(&over, trims);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut dice = gom_test_support::dice::Dice::new(seed);
    let mut killed = 0;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(500 + dice.below(1_000) as u64)).await;
        match dice.below(3) {
            0 => {
                let panic_at = dice.chance(50).then(|| *dice.pick(&PANICS));
                nodes.kill_and_restart(dice.below(NODES), panic_at).await;
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
    nodes.all_ready().await;
    // Nothing is started again before all have the last event: that would heal anyone who is not served.
    let deadline = Instant::now() + PATIENCE;
    loop {
        writers::end(&nodes).await;
        let look_again = Instant::now() + Duration::from_secs(5);
        let all_are_over =
            || subscribers.iter().all(Subscriber::is_over) && keepers.iter().all(Keeper::is_over);
        while Instant::now() < look_again && !all_are_over() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // A subscriber that was required to read again may have resumed after the last event.
        if !trims || all_are_over() || Instant::now() > deadline {
            break;
        }
    }

    if all_is_kept {
        // By its own clock the fastest node would have forgotten all of it.
        nodes.up_for(clocks::fastest(), TRIMMED_AFTER).await;
        let oldest: i64 = database
            .query_one("select oldest from gom.feed", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(
            oldest, 0,
            "the log is as old as the database's clock says, LOSS_SEED={seed}"
        );
    }

    let mut all = Vec::new();
    for subscriber in subscribers {
        all.push(subscriber.finish().await);
    }
    let mut leaves = 0;
    for keeper in keepers {
        let kept = keeper.finish().await;
        kept.check(&cluster).await;
        leaves += kept.leaves;
    }
    println!("{leaves} leaves, and each set as its query finds it");
    assert!(leaves > 0, "LOSS_SEED={seed}");
    let history = History::read(&database).await;
    let (mut received, mut resyncs, mut excused, mut longest) = (0, 0, 0, Duration::ZERO);
    for one in &all {
        received += one.events.len();
        resyncs += one.gaps.len();
        let checked = history.check(one);
        excused += checked.gone;
        if one.stays {
            longest = longest.max(checked.lag);
        }
    }
    println!(
        "{written} writes, {killed} servers killed, {received} events received, {resyncs} resyncs, none lost and none twice, \
         {excused} left out as their order was gone, {longest:?} at most for who never left"
    );
    assert!(
        longest < LAG,
        "an event came {longest:?} after its position, LOSS_SEED={seed}"
    );
    assert!(
        written > 50 && received > 100,
        "{written} writes, {received} events"
    );
    assert!(
        excused * 2 < received,
        "{excused} of {received} events were left out, LOSS_SEED={seed}"
    );
}
