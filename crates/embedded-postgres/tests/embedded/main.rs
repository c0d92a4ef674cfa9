//! The private PostgreSQL with real programs: its life, its death, ours, and every way in which a folder can be refused.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod folders;
mod users;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gom_embedded_postgres::{EmbeddedOptions, EmbeddedPostgres, EmbeddedState};
use gom_test_support::eventually;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// How long a condition may take to come true before a test gives up. Nothing here is about speed.
const PATIENCE: Duration = Duration::from_secs(60);
const FOLDER: &str = "GOM_TEST_FOLDER";

/// Without flushing to disk, which is not what most of these tests are about and takes most of their time.
fn options(folder: &Path) -> EmbeddedOptions {
    let settings = vec![("fsync".to_owned(), "off".to_owned())];
    EmbeddedOptions {
        settings,
        ..durable(folder)
    }
}

fn durable(folder: &Path) -> EmbeddedOptions {
    EmbeddedOptions {
        fallback: None,
        ..EmbeddedOptions::new(folder.join("data"))
    }
}

async fn start(folder: &Path) -> EmbeddedPostgres {
    if std::env::var_os(FOLDER).is_none() {
        place(folder).await;
    }
    EmbeddedPostgres::start(options(folder)).await.unwrap()
}

/// Puts a new cluster's data below `folder`, if there are none: making them takes long, and few of these tests are about it.
async fn place(folder: &Path) {
    let data = folder.join("data");
    if !data.join("cluster").exists() {
        std::fs::create_dir_all(&data).unwrap();
        gom_test_support::place_cluster(&data.join("cluster")).await;
    }
}

async fn refusal(options: EmbeddedOptions) -> String {
    EmbeddedPostgres::start(options)
        .await
        .expect_err("the start should be refused")
        .to_string()
}

async fn connect(postgres: &EmbeddedPostgres) -> tokio_postgres::Client {
    let (client, connection) = postgres
        .connection_config()
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

async fn number(client: &tokio_postgres::Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

fn pid(postgres: &EmbeddedPostgres) -> u32 {
    match *postgres.state().borrow() {
        EmbeddedState::Ready { pid } => pid,
        ref other => panic!("not ready but {other:?}"),
    }
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// A process that is no zombie.
fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|text| {
        !text
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z')
    })
}

/// This test program once more, running one of its ignored tests on a folder.
fn again(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            test,
            "--ignored",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .env(FOLDER, folder);
    command
}

fn given_folder() -> PathBuf {
    std::env::var_os(FOLDER)
        .expect("run by other tests only")
        .into()
}

#[tokio::test]
async fn serves_many_connections_stops_cleanly_and_keeps_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = EmbeddedPostgres::start(durable(folder.path()))
        .await
        .unwrap();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(connect(&postgres).await);
    }
    clients[0]
        .batch_execute("CREATE TABLE counted (value bigint)")
        .await
        .unwrap();
    let writes = clients
        .iter()
        .enumerate()
        .map(|(index, client)| async move {
            client
                .execute("INSERT INTO counted VALUES ($1)", &[&(index as i64)])
                .await
                .unwrap()
        });
    futures::future::join_all(writes).await;

    let admin = postgres
        .admin_config()
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(admin.1);
    for (setting, value) in [
        ("fsync", "on"),
        ("listen_addresses", ""),
        ("jit", "off"),
        ("server_encoding", "UTF8"),
    ] {
        let row = admin
            .0
            .query_one("SELECT current_setting($1)", &[&setting])
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), value, "{setting}");
    }
    let row = clients[0]
        .query_one(
            "SELECT rolsuper, upper('ä') FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await;
    let row = row.unwrap();
    assert!(!row.get::<_, bool>(0), "the server is no superuser");
    assert_eq!(row.get::<_, String>(1), "Ä");

    let (old, state) = (pid(&postgres), postgres.state());
    postgres.stop().await;
    assert!(!runs(old));
    assert_eq!(*state.borrow(), EmbeddedState::Stopped);
    let control = folder.path().join("data/cluster/postmaster.pid");
    assert!(!control.exists(), "a clean stop takes its file away");

    let postgres = EmbeddedPostgres::start(durable(folder.path()))
        .await
        .unwrap();
    assert_eq!(
        number(
            &connect(&postgres).await,
            "SELECT sum(value)::bigint FROM counted"
        )
        .await,
        190
    );
    let parsed: tokio_postgres::Config = postgres.url().parse().unwrap();
    drop(parsed.connect(tokio_postgres::NoTls).await.unwrap());
    postgres.stop().await;
}

#[tokio::test]
async fn comes_back_with_all_that_was_committed_when_postgres_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path()).await;
    let postgres = EmbeddedPostgres::start(durable(folder.path()))
        .await
        .unwrap();
    let client = connect(&postgres).await;
    client
        .batch_execute(
            "CREATE TABLE counted (value bigint); INSERT INTO counted SELECT generate_series(1, 1000)",
        )
        .await
        .unwrap();
    for round in 0..2 {
        let (old, mut state) = (pid(&postgres), postgres.state());
        kill_process(process(old), Signal::KILL).unwrap();
        let restarting = |state: &EmbeddedState| matches!(state, EmbeddedState::Restarting { .. });
        let ready =
            |state: &EmbeddedState| matches!(state, EmbeddedState::Ready { pid } if *pid != old);
        let seen = tokio::time::timeout(
            PATIENCE,
            state.wait_for(|state| restarting(state) || ready(state)),
        )
        .await
        .unwrap();
        drop(seen.unwrap());
        drop(
            tokio::time::timeout(PATIENCE, state.wait_for(ready))
                .await
                .unwrap()
                .unwrap(),
        );
        let client = connect(&postgres).await;
        assert_eq!(
            number(&client, "SELECT count(*) FROM counted").await,
            1000 + round
        );
        client
            .batch_execute("INSERT INTO counted VALUES (0)")
            .await
            .unwrap();
    }
    postgres.stop().await;
}

#[tokio::test]
async fn dropping_it_stops_postgres_and_frees_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = start(folder.path()).await;
    let (old, mut state) = (pid(&postgres), postgres.state());
    drop(postgres);
    let gone = state.wait_for(|state| *state == EmbeddedState::Stopped);
    drop(tokio::time::timeout(PATIENCE, gone).await.unwrap().unwrap());
    assert!(!runs(old));
    start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path()).await.stop().await;
    // A start may have been faster than that, where we were not run in the meantime.
    while let Ok(started) = tokio::time::timeout(
        Duration::from_millis(20),
        EmbeddedPostgres::start(options(folder.path())),
    )
    .await
    {
        started.unwrap().stop().await;
    }
    // The lock is free again once that start has been undone.
    let deadline = Instant::now() + PATIENCE;
    loop {
        match EmbeddedPostgres::start(options(folder.path())).await {
            Ok(postgres) => return postgres.stop().await,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts a cluster in a process of its own, which says the cluster's process id and waits to be killed.
fn start_elsewhere(folder: &Path) -> (Child, u32) {
    let mut parent = again("holds_a_cluster_until_killed", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let found = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("postgres: ")?.parse().ok());
    (
        parent,
        found.expect("the other process says its PostgreSQL's id"),
    )
}

#[tokio::test]
#[ignore = "a part of other tests, which kill it"]
async fn holds_a_cluster_until_killed() {
    let postgres = start(&given_folder()).await;
    connect(&postgres)
        .await
        .batch_execute("CREATE TABLE kept (value bigint); INSERT INTO kept VALUES (42)")
        .await
        .unwrap();
    println!("\npostgres: {}", pid(&postgres));
    std::future::pending().await
}

#[tokio::test]
async fn postgres_dies_with_its_server_even_when_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path()).await;
    let (mut parent, postgres) = start_elsewhere(folder.path());
    assert!(runs(postgres));

    let message = refusal(options(folder.path())).await;
    assert!(
        message.contains("in use by another server") && message.contains(&parent.id().to_string()),
        "{message}"
    );

    parent.kill().unwrap();
    parent.wait().unwrap();
    // The next start waits for the orphan's end, if it has to.
    let next = start(folder.path()).await;
    assert!(!runs(postgres));
    assert_eq!(
        number(&connect(&next).await, "SELECT value FROM kept").await,
        42
    );
    next.stop().await;
}

#[tokio::test]
async fn an_orphan_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path()).await;
    let (mut parent, postgres) = start_elsewhere(folder.path());
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("the orphan has ended", async || !runs(postgres)).await;
}

#[tokio::test]
#[ignore = "a part of another test, which runs it as another user"]
async fn works_on_a_folder_of_ours() {
    let folder = given_folder();
    for _ in 0..2 {
        let postgres = start(&folder).await;
        assert_eq!(
            number(&connect(&postgres).await, "SELECT 1::bigint").await,
            1
        );
        postgres.stop().await;
    }
    let message = refusal(options(Path::new("/"))).await;
    assert!(message.contains("/data cannot be used"), "{message}");
    println!("\nworked as {}", rustix::process::geteuid().as_raw());
}

#[test]
fn a_process_that_is_gone_is_seen_as_gone() {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    assert!(!runs(child.id()) && test_kill_process(process(child.id())).is_err());
}
