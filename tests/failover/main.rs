//! Cursors survive failovers. A primary is killed and its standby promoted, round after round, at one address and under one
//! server that goes on. With synchronous replication nothing is lost, nothing comes twice, and nobody is required to read
//! again. With asynchronous replication exactly those are who have received what was lost. The same for a restored snapshot
//! of the data folder, and for a dump that is read back into another database, without anybody's help.
//!
//! `FAILOVER_ROUNDS` says how many rounds of each (3).

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod listener;
#[path = "../sets/patch.rs"]
mod patch;
mod positions;
mod postgres;
mod proxy;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gom_embedded_postgres::DATABASE;
use gom_test_support::eventually;
use gom_test_support::process::{Environment, Server, environment, migrate};

use crate::listener::Listener;
use crate::postgres::{Postgres, url};
use crate::proxy::Proxy;

/// A PostgreSQL at an address, and a server of that address.
struct World {
    folder: tempfile::TempDir,
    /// Nothing while it is away.
    postgres: Option<Postgres>,
    address: Proxy,
    environment: Environment,
    server: Arc<Server>,
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let postgres = Postgres::new(folder.path()).await;
        let address = Proxy::to(postgres.port).await;
        let environment = environment(&url(address.port, DATABASE));
        let migrating = environment.clone();
        tokio::task::spawn_blocking(move || migrate(&migrating))
            .await
            .unwrap();
        let server = Arc::new(Server::ready(&environment, &[]).await);
        World {
            folder,
            postgres: Some(postgres),
            address,
            environment,
            server,
        }
    }

    /// Waits until a standby has all that has a position.
    async fn is_copied_to(&self, standby: &Postgres) {
        let position = "select position from gom.feed";
        let here = self.postgres().number(position).await;
        eventually("the standby to have it", async || {
            standby.number(position).await >= here
        })
        .await;
    }

    fn postgres(&self) -> &Postgres {
        self.postgres.as_ref().expect("it is there")
    }

    async fn standby(&self, name: &str) -> Postgres {
        self.postgres()
            .standby(&self.folder.path().join(name))
            .await
    }

    /// The primary is gone, and the standby takes its place at the address.
    async fn fail_over(&mut self, standby: Postgres) {
        let primary = self.postgres.take().unwrap();
        let folder = primary.kill();
        standby.promote().await;
        self.address.lead_to(standby.port);
        self.postgres = Some(standby);
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// Writes a row for each name, and tries again until each is there.
    async fn write(&self, names: &[String]) {
        for name in names {
            eventually("a write", async || create(&self.server, name).await).await;
        }
    }

    /// All names in the database with a prefix.
    async fn names(&self, prefix: &str) -> BTreeSet<String> {
        let client = self.postgres().connect().await;
        let sql = r#"select business from "default$default"."User" where business like $1 || '%'"#;
        let rows = client.query(sql, &[&prefix]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// Whether the server has confirmed it.
async fn create(server: &Server, name: &str) -> bool {
    let mutation =
        format!(r#"mutation {{ createUser(data: {{ business: "{name}" }}) {{ uid }} }}"#);
    let (status, answer) = server.ask(&mutation).await;
    status == 200 && answer["errors"].is_null() && answer["data"]["createUser"]["uid"].is_string()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}-{number}"))
        .collect()
}

/// What a listener has received with a prefix; a panic if something of it came twice.
fn received(listener: &Listener, prefix: &str) -> BTreeSet<String> {
    let received = listener.received().names;
    let names: Vec<&String> = received
        .iter()
        .filter(|name| name.starts_with(prefix))
        .collect();
    let once: BTreeSet<String> = names.iter().map(|name| (*name).clone()).collect();
    assert_eq!(once.len(), names.len(), "twice: {names:?}");
    once
}

fn rounds() -> usize {
    let rounds = std::env::var("FAILOVER_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_failover_loses_and_repeats_nothing_and_requires_no_resync() {
    let mut world = World::new().await;
    let stays = Listener::begin(&world.server).await;
    for round in 0..rounds() {
        let prefix = format!("s{round}-");
        let standby = world.standby(&prefix).await;
        world.postgres().wait_for_standby().await;
        let mut leaves = Listener::begin(&world.server).await;
        world.write(&names(&format!("{prefix}before"), 5)).await;
        leaves.has(&format!("{prefix}before-4")).await;
        leaves.leave().await;

        // Writers go on while the primary dies.
        let over = Arc::new(AtomicBool::new(false));
        let confirmed = Arc::new(Mutex::new(BTreeSet::new()));
        let writing = {
            let (server, over) = (Arc::clone(&world.server), Arc::clone(&over));
            let (confirmed, prefix) = (Arc::clone(&confirmed), prefix.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("{prefix}during-{number}");
                    if create(&server, &name).await {
                        confirmed.lock().unwrap().insert(name);
                    }
                }
            })
        };
        let count = || confirmed.lock().unwrap().len();
        eventually("writes before the failover", async || count() >= 10).await;
        world.fail_over(standby).await;
        let before = count();
        eventually("writes after it", async || count() >= before + 10).await;
        over.store(true, Ordering::Relaxed);
        writing.await.unwrap();

        leaves.come_back();
        let end = format!("{prefix}end-0");
        world.write(&names(&format!("{prefix}end"), 1)).await;
        let expected = world.names(&prefix).await;
        assert!(
            confirmed.lock().unwrap().is_subset(&expected),
            "no write is lost"
        );
        for listener in [&stays, &leaves] {
            listener.has(&end).await;
            assert_eq!(received(listener, &prefix), expected, "round {round}");
        }
    }
    assert_eq!(stays.received().streams, 1, "it was never disconnected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_lossy_failover_exactly_those_resync_who_have_received_what_was_lost() {
    let mut world = World::new().await;
    for round in 0..rounds() {
        let prefix = format!("a{round}-");
        let standby = world.standby(&prefix).await;
        let (kept, lost) = (format!("{prefix}kept"), format!("{prefix}lost"));
        let mut before = Listener::begin(&world.server).await;
        let mut past = Listener::begin(&world.server).await;
        let stays = Listener::begin(&world.server).await;
        world.write(&names(&kept, 4)).await;
        for listener in [&before, &past, &stays] {
            listener.has(&format!("{kept}-3")).await;
        }
        before.leave().await;
        world.is_copied_to(&standby).await;
        world.postgres().cut_off_standby();
        world.write(&names(&lost, 3)).await;
        for listener in [&past, &stays] {
            listener.has(&format!("{lost}-2")).await;
        }
        past.leave().await;
        world.fail_over(standby).await;
        assert_eq!(world.names(&lost).await, BTreeSet::new(), "they are lost");

        // The positions of what was lost are given again, and more.
        world.write(&names(&format!("{prefix}new"), 6)).await;
        before.come_back();
        past.come_back();
        let end = format!("{prefix}end-0");
        world.write(&names(&format!("{prefix}end"), 1)).await;
        before.has(&end).await;
        assert_eq!(
            received(&before, &prefix),
            world.names(&prefix).await,
            "round {round}"
        );
        past.is_required_to_resync().await;
        stays.is_required_to_resync().await;
        for listener in [&past, &stays] {
            let kept_or_lost = received(listener, &prefix);
            let known = |name: &String| name.starts_with(&kept) || name.starts_with(&lost);
            assert!(kept_or_lost.iter().all(known), "{kept_or_lost:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_snapshot_of_the_data_folder_is_found_out_without_help() {
    let mut world = World::new().await;
    let mut before = Listener::begin(&world.server).await;
    let mut past = Listener::begin(&world.server).await;
    world.write(&names("kept", 3)).await;
    for listener in [&mut before, &mut past] {
        listener.has("kept-2").await;
    }
    before.leave().await;
    let snapshot = world.folder.path().join("snapshot");
    let folder = world.postgres.take().unwrap().stop();
    postgres::copy(&folder, &snapshot).await;
    let postgres = Postgres::start(&folder).await;
    world.address.lead_to(postgres.port);
    world.postgres = Some(postgres);
    world.write(&names("lost", 3)).await;
    past.has("lost-2").await;
    past.leave().await;

    // Nobody remembers anything: the server is another one too.
    let folder = world.postgres.take().unwrap().stop();
    postgres::copy(&snapshot, &folder).await;
    let postgres = Postgres::start(&folder).await;
    world.address.lead_to(postgres.port);
    world.postgres = Some(postgres);
    world.server = Arc::new(Server::ready(&world.environment, &[]).await);
    world.write(&names("new", 6)).await;
    for listener in [&mut before, &mut past] {
        listener.move_to(&world.server);
        listener.come_back();
    }
    past.is_required_to_resync().await;
    before.has("new-5").await;
    let expected: BTreeSet<String> = names("kept", 3)
        .into_iter()
        .chain(names("new", 6))
        .collect();
    assert_eq!(received(&before, ""), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_in_another_database_goes_on_for_who_has_received_nothing_that_follows_it() {
    let mut world = World::new().await;
    let mut before = Listener::begin(&world.server).await;
    let mut past = Listener::begin(&world.server).await;
    world.write(&names("kept", 3)).await;
    for listener in [&mut before, &mut past] {
        listener.has("kept-2").await;
    }
    before.leave().await;
    world.postgres().restore_dump_into("restored").await;
    world.write(&names("lost", 3)).await;
    past.has("lost-2").await;
    past.leave().await;

    let environment = environment(&url(world.address.port, "restored"));
    world.server = Arc::new(Server::ready(&environment, &[]).await);
    world.write(&names("new", 6)).await;
    for listener in [&mut before, &mut past] {
        listener.move_to(&world.server);
        listener.come_back();
    }
    past.is_required_to_resync().await;
    before.has("new-5").await;
    let expected: BTreeSet<String> = names("kept", 3)
        .into_iter()
        .chain(names("new", 6))
        .collect();
    assert_eq!(received(&before, ""), expected);
}
