//! The cluster that all test processes of a workspace share, whether one process runs many tests (`cargo test`) or each test is
//! a process (`cargo nextest`). The first process that needs it starts it, detached, under a small shell script; every process
//! gives signs of life while it runs; a minute after the last sign the script stops the cluster and removes it. So it
//! survives any killed test, outlives no run for long, and never meets the leftovers of an earlier one.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use gom_embedded_postgres::EmbeddedOptions;
use gom_embedded_postgres::cluster::Cluster;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of PostgreSQL's for tests, where speed goes before durability.
pub(crate) fn settings() -> Vec<(String, String)> {
    let settings = [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("max_connections", "300"),
        ("shared_buffers", "64MB"),
    ];
    settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// The shared cluster, as this process uses it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub sockets: PathBuf,
    /// A copy of the cluster's data from before its first start: saves other clusters the initdb.
    pub pristine: PathBuf,
}

/// The shared cluster: started if nobody has, and kept alive from now on until this process ends.
pub(crate) async fn shared() -> &'static Shared {
    static SHARED: tokio::sync::OnceCell<Shared> = tokio::sync::OnceCell::const_new();
    let join = || async {
        tokio::task::spawn_blocking(join)
            .await
            .expect("the shared cluster can be used")
    };
    SHARED.get_or_init(join).await
}

fn join() -> Shared {
    let base = base();
    let guard = File::create(base.join("guard")).expect("the guard's file can be made");
    flock(&guard, FlockOperation::LockExclusive).expect("files can be locked");
    let current = fs::read_to_string(base.join("current")).map(|name| base.join(name));
    let run = current
        .ok()
        .filter(|run| enter(run))
        .unwrap_or_else(|| begin(&base));
    let heartbeat = run.join("heartbeat");
    let stay = move || {
        while fs::write(&heartbeat, "alive").is_ok() {
            std::thread::sleep(SIGN_OF_LIFE);
        }
    };
    std::thread::Builder::new()
        .name("test-heartbeat".into())
        .spawn(stay)
        .expect("threads can be started");
    Shared {
        sockets: sockets(&run),
        pristine: run.join("pristine"),
    }
}

/// Makes ourselves known to a running cluster. False if it is gone or going.
fn enter(run: &Path) -> bool {
    // First the mark, then the check: the keeper does it the other way round, so that one of both notices the other.
    let known = File::options().write(true).open(run.join("heartbeat"));
    known.is_ok_and(|file| file.set_modified(SystemTime::now()).is_ok())
        && !run.join("keeper/closing").exists()
        && answers(&sockets(run))
}

fn answers(sockets: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(sockets.join(".s.PGSQL.5432")).is_ok()
}

/// The folder of the cluster's socket, as its start wrote it down.
fn sockets(run: &Path) -> PathBuf {
    fs::read_to_string(run.join("sockets"))
        .unwrap_or_default()
        .into()
}

/// Starts a cluster in a new folder.
#[expect(
    clippy::zombie_processes,
    reason = "it outlives us, or ends as a zombie that goes when we do"
)]
fn begin(base: &Path) -> PathBuf {
    sweep(base);
    let run = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(base)
        .expect("a folder can be made")
        .keep();
    // The user that PostgreSQL runs as may be another than ours.
    fs::set_permissions(&run, fs::Permissions::from_mode(0o711))
        .expect("our folder's mode can be changed");
    let options = EmbeddedOptions {
        settings: settings(),
        fallback: None,
        ..EmbeddedOptions::new(run.join("data"))
    };
    let cluster = Cluster::prepare(&options)
        .unwrap_or_else(|error| panic!("no database for the tests: {error}"));
    copy(&cluster.data, &run.join("pristine"));
    fs::create_dir(run.join("keeper")).expect("a folder can be made");
    cluster
        .identity
        .give(&run.join("keeper"))
        .expect("our folder can be given away");
    fs::write(
        run.join("sockets"),
        cluster.sockets.as_os_str().as_encoded_bytes(),
    )
    .expect("a file can be written");
    fs::write(run.join("heartbeat"), "alive").expect("a file can be written");

    // Not a child that dies with us: others use it when we are gone. A test runner waits for its tests' output to be
    // closed, so it has none of ours.
    let log = File::create(run.join("log")).expect("a file can be written");
    let mut command = cluster
        .command(Path::new("/bin/sh"), None)
        .expect("a command can be prepared");
    command
        .arg("-c")
        .arg(include_str!("keeper.sh"))
        .arg("gom-test-postgres")
        .arg(&run);
    command
        .arg(cluster.programs.postgres())
        .args(cluster.arguments());
    command.stdout(Stdio::null()).stderr(log);
    let mut keeper = command.spawn().expect("a shell can be run");
    let deadline = Instant::now() + PATIENCE;
    while !cluster
        .postmaster()
        .is_some_and(|pid| cluster.is_ready(pid))
    {
        let ended = keeper.try_wait().is_ok_and(|status| status.is_some());
        let said = || fs::read_to_string(run.join("log")).unwrap_or_default();
        assert!(
            !ended && Instant::now() < deadline,
            "no database for the tests: {}",
            said()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let name = run.file_name().expect("it has a name").as_encoded_bytes();
    fs::write(base.join("current"), name).expect("a file can be written");
    run
}

/// Removes what earlier runs left behind, if their end was not theirs to choose.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let run = entry.path();
        if !entry.file_name().as_encoded_bytes().starts_with(b"run-") {
            continue;
        }
        // The lock is held by every process of a running PostgreSQL.
        let lock = File::open(run.join("data/lock"));
        if lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err()) {
            let sign = fs::metadata(run.join("heartbeat")).and_then(|metadata| metadata.modified());
            let age = sign.ok().and_then(|sign| sign.elapsed().ok());
            if age.is_none_or(|age| age > PATIENCE * 2) {
                // Its keeper was killed. It ends now, and the next sweep removes it.
                let control =
                    fs::read_to_string(run.join("data/cluster/postmaster.pid")).unwrap_or_default();
                let pid = control
                    .lines()
                    .next()
                    .and_then(|line| line.parse().ok())
                    .and_then(Pid::from_raw);
                let _ = pid.map(|pid| kill_process(pid, Signal::INT));
            }
            continue;
        }
        let _ = fs::remove_dir_all(&run);
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "copying {} to {}",
        from.display(),
        to.display()
    );
}

/// Where this workspace's shared clusters are, for this user. Not in the target folder: build folders are copied and cached.
fn base() -> PathBuf {
    let ourselves = rustix::process::geteuid().as_raw();
    let mut workspace = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut workspace);
    let base =
        std::env::temp_dir().join(format!("gom-tests-{ourselves}-{:016x}", workspace.finish()));
    let _ = fs::DirBuilder::new().mode(0o711).create(&base);
    let found = fs::symlink_metadata(&base).expect("the temporary folder can be used");
    let safe =
        found.is_dir() && found.uid() == ourselves && found.permissions().mode() & 0o022 == 0;
    assert!(
        safe,
        "{} belongs to somebody else: remove it",
        base.display()
    );
    base
}
