//! A private PostgreSQL: with no database configured, PostgreSQL's programs on this machine serve a cluster of this process's own,
//! as its child process. Gives a place to connect to; connects to nothing itself, and knows nothing of tables.
//!
//! The cluster is made on the first start, restarted when it ends by itself, and stopped with this process, however that ends.
//! One process uses a folder at a time; a lock in it says which.
//!
//! ```no_run
//! use gom_embedded_postgres::{EmbeddedOptions, EmbeddedPostgres};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let postgres = EmbeddedPostgres::start(EmbeddedOptions::new("var/data")).await?;
//! println!("psql '{}'", postgres.url());
//! let (client, connection) = postgres
//!     .connection_config()
//!     .connect(tokio_postgres::NoTls)
//!     .await?;
//! tokio::spawn(connection);
//! client.batch_execute("create table notes (id serial primary key)").await?;
//! postgres.stop().await;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub mod cluster;
mod error;
pub mod identity;
mod initdb;
mod process;
pub mod programs;

pub use error::EmbeddedError;
use process::{Event, Keeper};

/// The user that the server connects as: it owns the database, and is no superuser.
pub const USER: &str = "gom";
/// The database that the server uses.
pub const DATABASE: &str = "gom";
/// The cluster's superuser, for tools.
pub const ADMIN: &str = "postgres";

/// What a private PostgreSQL is to be.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The folder of the data. Made if it is not there; its parents too.
    pub data_dir: PathBuf,
    /// Where the data go (into a folder named after `data_dir`) if we are root and the user that PostgreSQL then runs as cannot
    /// get to `data_dir`. None: that is an error.
    pub fallback: Option<PathBuf>,
    /// The folder of PostgreSQL's programs. None: it is searched for.
    pub programs: Option<PathBuf>,
    /// Settings of PostgreSQL's that go before ours.
    pub settings: Vec<(String, String)>,
    /// How long a start may take before it counts as failed. Recovery after a crash is a part of it.
    pub start_timeout: Duration,
    /// How long a clean stop may take before it becomes a rough one.
    pub stop_timeout: Duration,
}

impl EmbeddedOptions {
    /// The usual ones for this folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> EmbeddedOptions {
        EmbeddedOptions {
            data_dir: data_dir.into(),
            fallback: Some("/var/lib/gom".into()),
            programs: None,
            settings: Vec::new(),
            start_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// What the private PostgreSQL is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbeddedState {
    /// It was started and has not been ready yet.
    Starting,
    /// It takes connections.
    Ready {
        /// The process id of the postmaster.
        pid: u32,
    },
    /// It ended by itself, and is started again after a wait that grows with each attempt. Committed data are safe.
    Restarting {
        /// Counted from 1 since it was last ready.
        attempt: u32,
        /// Why it ended, or why the last attempt failed.
        cause: String,
    },
    /// It was stopped, and its process has ended.
    Stopped,
}

/// Where the cluster is.
#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
    sockets: PathBuf,
    bin: PathBuf,
}

/// A private PostgreSQL that lives as long as this value: it is stopped when the value is dropped (without waiting for the
/// end; `stop` waits), and ends by itself when our process ends in any way.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    place: Place,
    events: Sender<Event>,
    state: watch::Receiver<EmbeddedState>,
}

impl EmbeddedPostgres {
    /// Starts it, and makes its data on the first start (which takes seconds; later ones a fraction of one). All blocking work
    /// is done on a thread of its own.
    ///
    /// # Errors
    /// See [`EmbeddedError`]: each says what to do.
    pub async fn start(options: EmbeddedOptions) -> Result<EmbeddedPostgres, EmbeddedError> {
        let (notify, events) = channel();
        let (state, seen) = watch::channel(EmbeddedState::Starting);
        let (started, first) = oneshot::channel();
        let keeper = Keeper {
            options,
            events,
            notify: notify.clone(),
            state,
        };
        // Stops it if this future is dropped before the start is over.
        let mut pending = Pending(Some(notify));
        std::thread::Builder::new()
            .name("gom-postgres".into())
            .spawn(move || keeper.run(started))
            .map_err(EmbeddedError::system("starting a thread"))?;
        let place = first.await.unwrap_or_else(|_| {
            Err(EmbeddedError::system("starting PostgreSQL")(
                std::io::Error::other("its thread ended"),
            ))
        })?;
        let events = pending.0.take().expect("taken only here");
        Ok(EmbeddedPostgres {
            place,
            events,
            state: seen,
        })
    }

    /// Stops it cleanly, and waits until it is gone and the folder is free.
    pub async fn stop(self) {
        let (answer, gone) = oneshot::channel();
        if self.events.send(Event::Stop(Some(answer))).is_ok() {
            // An error means that the thread is gone, and PostgreSQL with it.
            let _ = gone.await;
        }
    }

    /// The changing state; the latest is always there to be seen.
    pub fn state(&self) -> watch::Receiver<EmbeddedState> {
        self.state.clone()
    }

    /// The data folder in use: the one asked for, or one in the fallback.
    pub fn data_dir(&self) -> &Path {
        &self.place.folder
    }

    /// The folder of the programs in use, `psql` and `pg_dump` usually among them.
    pub fn programs(&self) -> &Path {
        &self.place.bin
    }

    /// How to connect as the owner of the database.
    pub fn connection_config(&self) -> tokio_postgres::Config {
        self.config(USER, DATABASE)
    }

    /// How to connect as the superuser, to the cluster's own database.
    pub fn admin_config(&self) -> tokio_postgres::Config {
        self.config(ADMIN, "postgres")
    }

    fn config(&self, user: &str, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.place.sockets)
            .user(user)
            .dbname(database);
        config
    }

    /// The same as `connection_config` for `psql` and others: holds no secret, and works for this machine's user only.
    pub fn url(&self) -> String {
        socket_url(&self.place.sockets, USER, DATABASE)
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        // After `stop` nobody listens.
        let _ = self.events.send(Event::Stop(None));
    }
}

/// A start that is under way: if its future is dropped, it is undone.
struct Pending(Option<Sender<Event>>);

impl Drop for Pending {
    fn drop(&mut self) {
        let _ = self.0.take().map(|events| events.send(Event::Stop(None)));
    }
}

/// A connection URL for the socket in `sockets`.
pub fn socket_url(sockets: &Path, user: &str, database: &str) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let mut host = String::new();
    for byte in sockets.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                host.push(char::from(*byte))
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(host, "%{byte:02X}");
            }
        }
    }
    format!("postgresql://{user}@/{database}?host={host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_leads_to_the_socket() {
        let url = socket_url(Path::new("/var/lib/my data/ü"), USER, DATABASE);
        assert_eq!(
            url,
            "postgresql://gom@/gom?host=%2Fvar%2Flib%2Fmy%20data%2F%C3%BC"
        );
        let config: tokio_postgres::Config = url.parse().unwrap();
        assert_eq!(
            config.get_hosts(),
            [tokio_postgres::config::Host::Unix(
                "/var/lib/my data/ü".into()
            )]
        );
        assert_eq!(
            (config.get_user(), config.get_dbname()),
            (Some("gom"), Some("gom"))
        );
    }
}
