//! The settings of the database.

use std::time::Duration;

use gom_actors::database::{DatabaseOptions, UrlError};

use super::Secret;
use super::key::{COUNT, FLAG, Key, SECRET, SIZE, TEXT, TIME, integer, section};
use super::kind::Kind;

section! {
    /// How PostgreSQL is reached, and what a worker may demand of it.
    pub struct Database at "database." {
        /// The PostgreSQL database. Unset: the server runs a private one (see `embedded`).
        pub url: Option<Secret> = Key::of(Kind::DatabaseUrl)
            .variables(&["DATABASE_URL"])
            .flag("--database-url"),
        /// The password that goes with `database.url`, for a URL that has none: so that the secret can come from a
        /// file.
        pub password: Option<Secret> = SECRET.variables(&["PG_PASSWORD"]),
        /// PostgreSQL schema of the models' tables; the default is what Prisma 1 named it.
        pub schema: String = TEXT.default("default$default"),
        /// Connections for requests, of the whole process; the workers share them equally.
        pub max_connections: usize = integer(2, 10_000).default("64"),
        /// Pipelined connections for reads, for each worker thread.
        pub read_connections: usize = integer(1, 64).default("2"),
        /// Connections for transactions and for long reads, for each worker thread.
        pub write_connections: usize = integer(1, 1_000).default("8"),
        /// Requests of one worker thread that may be in flight at once; the next is refused as overload.
        pub max_in_flight: usize = COUNT
            .default("4096")
            .formerly(&["database.max_in_hand"]),
        /// Requests of one worker thread that may wait for a connection; the next is refused as overload.
        pub max_waiting: usize = COUNT.default("1024"),
        /// Prepared statements kept on each connection.
        pub statement_cache: usize = integer(1, 10_000).default("256"),
        /// Bytes of SQL of the prepared statements kept on each connection; in PostgreSQL each takes up to two
        /// hundred times as much.
        pub statement_cache_bytes: usize = SIZE.default("262144"),
        /// A statement with more bytes of SQL is not kept, but parsed and planned at each use; neither is one above
        /// a quarter of `database.statement_cache_bytes`.
        pub statement_bytes: usize = SIZE.default("8192"),
        /// How often a write is repeated after a deadlock or a serialization failure.
        pub retries: u32 = integer(0, 100).default("5"),
        /// PostgreSQL stops a statement that runs longer.
        pub statement_timeout: Duration = TIME.default("5000"),
        /// An attempt to connect that takes longer has failed.
        pub connect_timeout: Duration = TIME.default("1000"),
        /// Bring the database to the datamodel before serving. Unset: only a private database.
        deploy: Option<bool> = FLAG.flag("--deploy"),
    }
}

impl Database {
    /// What a process with so many workers may demand of the database, which is reached as `reached` says.
    pub(crate) fn options(&self, reached: DatabaseOptions, workers: usize) -> DatabaseOptions {
        DatabaseOptions {
            workers,
            max_connections: self.max_connections,
            shared_per_worker: self.read_connections,
            leased_per_worker: self.write_connections,
            max_in_flight: self.max_in_flight,
            max_waiting: self.max_waiting,
            statement_cache: self.statement_cache,
            statement_cache_bytes: self.statement_cache_bytes,
            statement_bytes: self.statement_bytes,
            statement_timeout: self.statement_timeout,
            connect_timeout: self.connect_timeout,
            retries: self.retries,
            ..reached
        }
    }

    /// How the configured database is reached; nothing if there is to be a private one.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn configured(&self) -> Result<Option<DatabaseOptions>, UrlError> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let mut options = DatabaseOptions::from_url(url.expose())?;
        if let Some(password) = &self.password {
            options.server.password(password.expose());
        }
        Ok(Some(options))
    }

    /// Whether the database is brought to the datamodel before serving: by default only a private one.
    pub fn deploy(&self) -> bool {
        self.deploy.unwrap_or(self.url.is_none())
    }
}
