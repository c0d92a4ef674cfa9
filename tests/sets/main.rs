//! Sets that cannot drift: what a client shows equals its own query. Clients of several shapes (a snapshot with its cursor, then
//! events and leaves; live queries, whole and by patches) of two sellers listen to two servers, while orders change their owner, stage
//! and name, and items their order, by single, nested and bulk mutations and by SQL, connections are cut and servers are killed. In the end each client's
//! map must equal its own query, row rules included, and at no time may it have shown what its seller could not see.
//!
//! `SETS_SECONDS` says for how long (40), `SETS_CLIENTS` how many clients (200), `SETS_SEED` with which dice.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod client;
mod moves;
mod patch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gom_test_support::dice::Dice;
use gom_test_support::place::{KEY, Place, Stores};
use gom_test_support::process::Server;
use gom_test_support::two_shops::{OTHER_USERNAME, PASSWORD, USERNAME, shops};
use reqwest::StatusCode;

use crate::client::{Client, Nodes, Shape, Viewer};
use crate::moves::Mover;

const NODES: usize = 2;
/// Until a client that nobody disturbs shows the end.
const PATIENCE: Duration = Duration::from_secs(90);

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[actix_web::test]
async fn what_clients_show_equals_their_query_through_any_failure() {
    let seconds = asked("SETS_SECONDS").unwrap_or(40);
    let count = asked("SETS_CLIENTS").unwrap_or(200);
    let seed = asked("SETS_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(now.unwrap().as_millis()).unwrap()
    });
    println!("SETS_SEED={seed}");
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let environment = vec![
        ("DATABASE_URL", place.database.url()),
        ("PRISMA_SECRET", gom_test_support::app::SECRET.to_owned()),
        ("APP_KEY", KEY.to_owned()),
        ("GOM__SERVER__WORKERS", "1".to_owned()),
        ("GOM__SOCKETS__PER_USER", "1000".to_owned()),
        ("GOM__SOCKETS__PER_ADDRESS", "1000".to_owned()),
        // The clients of a seller come back together.
        ("GOM__LIMITS__WAITING_PER_USER", "1000".to_owned()),
        ("GOM__LIVE__POLL_INTERVAL", "50".to_owned()),
    ];
    let mut servers = Vec::new();
    for _ in 0..NODES {
        servers.push(Server::ready(&environment, &[]).await);
    }
    let nodes = Arc::new(Nodes::new(servers.iter().map(|server| server.port)));

    let mut viewers = Vec::new();
    for (seller, username) in [("one", USERNAME), ("two", OTHER_USERNAME)] {
        let mut browser = app.browser();
        let reply = browser.by_password(username, PASSWORD).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        viewers.push(Viewer::new(seller, &browser));
    }
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for number in 0..count {
        let viewer = viewers[usize::try_from(number % 2).unwrap()].clone();
        let shape = Shape::ALL[usize::try_from(number / 2).unwrap() % Shape::ALL.len()];
        clients.push(Client::start(
            viewer,
            shape,
            seed ^ (1_000 + number),
            &nodes,
        ));
    }
    let mut movers = Vec::new();
    for number in 0..3 {
        let tables = place.database.connect().await;
        let mover = Mover::new(&app, tables, seed ^ (10 + number), number);
        movers.push(actix_web::rt::spawn(mover.run(Arc::clone(&over))));
    }

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut dice = Dice::new(seed);
    let admin = place.database.connect().await;
    let (mut killed, mut cut) = (0, 0);
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(800 + dice.below(1_500) as u64)).await;
        if dice.chance(50) {
            let node = dice.below(NODES);
            servers[node].tell(rustix::process::Signal::KILL);
            servers[node] = Server::ready(&environment, &[]).await;
            nodes.lead(node, servers[node].port);
            killed += 1;
        } else {
            let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                             where application_name = 'gom' and datname = current_database()";
            admin.batch_execute(terminate).await.unwrap();
            cut += 1;
        }
    }
    over.store(true, Ordering::Relaxed);
    let mut written = 0;
    for mover in movers {
        written += mover.await.unwrap();
    }

    // Nobody writes or disturbs any more: each client comes to its query, soon.
    let deadline = Instant::now() + PATIENCE;
    let (mut rows, mut resyncs, mut events, mut leaves, mut patches) = (0, 0, 0, 0, 0);
    for client in &clients {
        let expected = client.query(&nodes).await;
        while client.shown() != expected {
            assert!(
                Instant::now() < deadline,
                "{client} has drifted, SETS_SEED={seed}\nshows {:?}\nquery {expected:?}",
                client.shown()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        rows += expected.len();
        let counted = client.counted();
        (resyncs, events) = (resyncs + counted.resyncs, events + counted.events);
        (leaves, patches) = (leaves + counted.leaves, patches + counted.patches);
    }
    println!(
        "{written} writes, {killed} servers killed, {cut} times all connections cut, {count} clients: {rows} rows in the end, \
         {events} events, {leaves} leaves, {patches} patches, {resyncs} resyncs"
    );
    assert!(written > 50, "{written} writes");
    assert!(leaves > 20, "{leaves} leaves");
    assert!(patches > 20, "{patches} patches");
    assert_eq!(resyncs, 0, "the log keeps all of it, SETS_SEED={seed}");
}
