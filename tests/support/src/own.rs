//! A PostgreSQL of the test's very own, for tests of what happens when it goes away.

use std::time::{Duration, Instant};

use gom_embedded_postgres::{EmbeddedOptions, EmbeddedPostgres, EmbeddedState};
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Client, Config};

use crate::database::connect;
use crate::keeper::{copy, settings, shared};

const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster that belongs to one test, in a folder that goes with it. Its address stays the same over stops and starts.
#[derive(Debug)]
pub struct TestCluster {
    postgres: Option<EmbeddedPostgres>,
    config: Config,
    admin_config: Config,
    url: String,
    folder: tempfile::TempDir,
}

impl TestCluster {
    /// A new, running cluster with an empty database.
    pub async fn own() -> TestCluster {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder can be made");
        open_the_way(folder.path());
        open_the_way(&data);
        copy(&shared().await.pristine, &data.join("cluster"));
        let postgres = start(folder.path()).await;
        TestCluster {
            config: postgres.connection_config(),
            admin_config: postgres.admin_config(),
            url: postgres.url(),
            postgres: Some(postgres),
            folder,
        }
    }

    /// How to connect as the owner of the database. Also valid while the cluster is stopped.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// How to connect as the superuser.
    pub fn admin_config(&self) -> Config {
        self.admin_config.clone()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection as the database's owner, driven in the background of the current runtime.
    pub async fn connect(&self) -> Client {
        connect(&self.config).await
    }

    /// The server's process id, if it is up.
    pub fn pid(&self) -> Option<u32> {
        match *self.postgres.as_ref()?.state().borrow() {
            EmbeddedState::Ready { pid } => Some(pid),
            _ => None,
        }
    }

    /// Stops it cleanly; it stays down until `start`.
    pub async fn stop(&mut self) {
        if let Some(postgres) = self.postgres.take() {
            postgres.stop().await;
        }
    }

    /// Starts it after a `stop`.
    pub async fn start(&mut self) {
        if self.postgres.is_none() {
            self.postgres = Some(start(self.folder.path()).await);
        }
    }

    /// Ends the server as a crash would. Its keeper starts it again: `recovered` waits for that.
    pub fn kill(&self) -> u32 {
        let pid = self.pid().expect("it is up");
        signal(pid, Signal::KILL);
        pid
    }

    /// Ends the server by what PostgreSQL calls an immediate shutdown: it writes nothing more and has to recover. Its
    /// keeper starts it again, as after `kill`.
    pub fn quit(&self) -> u32 {
        let pid = self.pid().expect("it is up");
        signal(pid, Signal::QUIT);
        pid
    }

    /// Waits until another server than `killed` is ready.
    pub async fn recovered(&self, killed: u32) {
        let mut state = self.postgres.as_ref().expect("it is not stopped").state();
        let ready =
            state.wait_for(|state| matches!(state, EmbeddedState::Ready { pid } if *pid != killed));
        let ready = tokio::time::timeout(PATIENCE, ready).await;
        drop(
            ready
                .expect("PostgreSQL comes back")
                .expect("its keeper lives"),
        );
    }

    /// Holds every process of the server: connections stay open, and nobody answers.
    pub fn freeze(&self) {
        let pid = self.pid().expect("it is up");
        // The parent first, so that no new children come.
        signal(pid, Signal::STOP);
        children(pid)
            .into_iter()
            .for_each(|child| signal(child, Signal::STOP));
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        if let Some(pid) = self.pid() {
            children(pid)
                .into_iter()
                .for_each(|child| signal(child, Signal::CONT));
            signal(pid, Signal::CONT);
        }
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.thaw();
        let Some(postgres) = self.postgres.take() else {
            return;
        };
        let state = postgres.state();
        drop(postgres);
        // The folder is removed after this, which a running server would not like.
        let deadline = Instant::now() + PATIENCE;
        while *state.borrow() != EmbeddedState::Stopped && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

async fn start(folder: &std::path::Path) -> EmbeddedPostgres {
    let options = EmbeddedOptions {
        settings: settings(),
        fallback: None,
        ..EmbeddedOptions::new(folder.join("data"))
    };
    EmbeddedPostgres::start(options)
        .await
        .unwrap_or_else(|error| panic!("no database for the test: {error}"))
}

/// The user that PostgreSQL runs as may be another than ours.
fn open_the_way(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder, mode).expect("our folder's mode can be changed");
}

fn signal(pid: u32, signal: Signal) {
    // A process that has just ended is no matter.
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, signal));
}

/// The processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        // The program's name, in brackets, may hold anything; then come the state and the parent.
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let of = stat.rsplit(')').next()?.split_whitespace().nth(1)?;
        Some((pid, of.parse::<u32>().ok()?))
    });
    numbers
        .filter(|(_, of)| *of == parent)
        .map(|(pid, _)| pid)
        .collect()
}
