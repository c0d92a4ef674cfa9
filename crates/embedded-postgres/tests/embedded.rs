//! The private PostgreSQL with real programs: its life, its death, ours, and every way in which a folder can be refused.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

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
async fn another_server_in_the_same_process_is_refused_too() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = start(folder.path()).await;
    let message = refusal(options(folder.path())).await;
    assert!(
        message.contains(&format!("(process {})", std::process::id())),
        "{message}"
    );
    postgres.stop().await;
}

#[tokio::test]
async fn files_of_a_crash_do_not_stop_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path()).await.stop().await;
    // As after a power cut, with the process id now being somebody else's: ours.
    let left = folder.path().join("data/cluster/postmaster.pid");
    std::fs::write(
        &left,
        format!(
            "{}\n/nowhere\n1\n5432\n\n\n1 1\nready\n",
            std::process::id()
        ),
    )
    .unwrap();
    std::fs::write(
        folder.path().join("data/socket/.s.PGSQL.5432.lock"),
        format!("{}\n", std::process::id()),
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("data/cluster.new")).unwrap();
    start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn a_folder_of_another_major_version_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path()).await.stop().await;
    let version = folder.path().join("data/cluster/PG_VERSION");
    let ours = std::fs::read_to_string(&version).unwrap();
    std::fs::write(&version, "12\n").unwrap();
    let message = refusal(options(folder.path())).await;
    assert!(
        message.contains("made by PostgreSQL 12")
            && message.contains(&format!("are PostgreSQL {}", ours.trim())),
        "{message}"
    );
    assert!(message.contains("pg_dump"), "{message}");
    std::fs::write(&version, ours).unwrap();
    start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn folders_that_cannot_hold_a_cluster_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("data/cluster")).unwrap();
    std::fs::write(folder.path().join("data/cluster/letter.txt"), "dear").unwrap();
    let message = refusal(options(folder.path())).await;
    assert!(message.contains("holds no PostgreSQL data"), "{message}");
    assert!(folder.path().join("data/cluster/letter.txt").exists());

    std::fs::write(folder.path().join("file"), "").unwrap();
    let message = refusal(EmbeddedOptions::new(folder.path().join("file/data"))).await;
    assert!(message.contains("cannot be used"), "{message}");
}

#[tokio::test]
async fn a_start_that_fails_says_what_postgres_said() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path()).await;
    let settings = vec![("shared_buffers".to_owned(), "no size".to_owned())];
    let message = refusal(EmbeddedOptions {
        settings,
        ..options(folder.path())
    })
    .await;
    assert!(
        message.contains("did not start") && message.contains("shared_buffers"),
        "{message}"
    );
}

#[tokio::test]
async fn programs_that_are_not_where_the_setting_says_are_missed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let programs = Some(folder.path().join("programs"));
    let message = refusal(EmbeddedOptions {
        programs,
        ..options(folder.path())
    })
    .await;
    assert!(
        message.contains(&folder.path().join("programs").display().to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_gets_a_short_one() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120));
    let postgres = start(&deep).await;
    assert_eq!(
        number(&connect(&postgres).await, "SELECT 1::bigint").await,
        1
    );
    let sockets = match &postgres.connection_config().get_hosts()[0] {
        tokio_postgres::config::Host::Unix(path) => path.clone(),
        other => panic!("no socket but {other:?}"),
    };
    assert!(!sockets.starts_with(folder.path()));
    postgres.stop().await;
    std::fs::remove_dir_all(sockets).unwrap();
}

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn uid_of(name: &str) -> Option<u32> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    users.lines().find_map(|line| {
        line.strip_prefix(&format!("{name}:x:"))?
            .split(':')
            .next()?
            .parse()
            .ok()
    })
}

/// An existing folder of the account's makes root run PostgreSQL as that account, as it does where namespaces are refused.
#[tokio::test]
async fn root_runs_a_folder_of_postgres_as_postgres() {
    let Some(uid) = uid_of("postgres")
        .or_else(|| uid_of("nobody"))
        .filter(|_| am_root())
    else {
        return eprintln!("SKIPPED: only root can become somebody else");
    };
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    std::fs::create_dir_all(folder.path().join("data/cluster")).unwrap();
    std::os::unix::fs::chown(folder.path().join("data/cluster"), Some(uid), None).unwrap();
    for _ in 0..2 {
        let postgres = start(folder.path()).await;
        assert_eq!(
            number(&connect(&postgres).await, "SELECT 1::bigint").await,
            1
        );
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid(&postgres))).unwrap();
        assert!(
            status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}")),
            "{status}"
        );
        postgres.stop().await;
    }
    // Such a cluster keeps its user, below a folder that this user may enter.
    let closed = tempfile::tempdir().unwrap();
    set_mode(closed.path(), 0o700);
    std::fs::rename(folder.path().join("data"), closed.path().join("data")).unwrap();
    let message = refusal(options(closed.path())).await;
    assert!(
        message.contains("may not enter") && message.contains(&closed.path().display().to_string()),
        "{message}"
    );
    // With somewhere else to go, a new one is made there, and found there again.
    let fallback = Some(folder.path().join("fallback"));
    std::fs::remove_dir_all(closed.path().join("data/cluster")).unwrap();
    std::fs::create_dir(closed.path().join("data/cluster")).unwrap();
    std::os::unix::fs::chown(closed.path().join("data/cluster"), Some(uid), None).unwrap();
    for _ in 0..2 {
        let options = EmbeddedOptions {
            fallback: fallback.clone(),
            ..options(closed.path())
        };
        let postgres = EmbeddedPostgres::start(options).await.unwrap();
        assert!(
            postgres
                .data_dir()
                .starts_with(folder.path().join("fallback"))
        );
        postgres.stop().await;
    }
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

/// As an ordinary user, and as one that has no name (a container started with a number for a user).
#[tokio::test]
async fn works_as_an_ordinary_user() {
    if !am_root() || Command::new("setpriv").arg("--version").output().is_err() {
        return eprintln!(
            "SKIPPED: needs root and `setpriv` to become an ordinary user (the other tests run as one otherwise)"
        );
    }
    let nobody = uid_of("nobody").unwrap();
    for uid in [nobody, 54_321] {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(uid), None).unwrap();
        // The program itself may be where only root gets to.
        let program = folder.path().join("test-program");
        // Not by us: a child that another test is about to start would hold the file open, and one that is written to cannot be run.
        let copied = Command::new("cp")
            .arg(std::env::current_exe().unwrap())
            .arg(&program)
            .status()
            .unwrap();
        assert!(copied.success());
        set_mode(&program, 0o755);
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid",
                &uid.to_string(),
                "--regid",
                &uid.to_string(),
                "--clear-groups",
            ])
            .arg(program);
        command.args([
            "--exact",
            "works_on_a_folder_of_ours",
            "--ignored",
            "--nocapture",
        ]);
        let output = command
            .env(FOLDER, folder.path())
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let refused = text.contains("could not look up effective user ID");
        if uid != nobody && refused {
            eprintln!("SKIPPED: without user namespaces, PostgreSQL refuses a user without a name");
            continue;
        }
        assert!(
            output.status.success() && text.contains(&format!("worked as {uid}")),
            "{text}"
        );
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_process_that_is_gone_is_seen_as_gone() {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    assert!(!runs(child.id()) && test_kill_process(process(child.id())).is_err());
}
