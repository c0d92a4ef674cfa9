//! What somebody decides about the database: where it is, how many connections, how long. Reads no file and
//! no environment.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::connection_string;
use gom_telemetry::causes::with_causes;

/// How the connections are made and bounded. `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// Host, port, user, database; TCP or a socket folder.
    pub server: Config,
    /// Whether connections are encrypted.
    pub encryption: Encryption,
    /// How many worker threads will ask for a [`super::LocalDatabase`]: they share `max_connections` equally.
    pub workers: usize,
    /// The bound on connections of the process for requests. One more watches over the server's health, and
    /// each [`super::Lent`] is one more.
    pub max_connections: usize,
    /// Pipelined clients for reads, per worker.
    pub shared_per_worker: usize,
    /// Clients for the answers of live queries, of the whole process and beside `max_connections`: [`super::Database::live_reads`].
    pub live_connections: usize,
    /// Clients for transactions and for long reads, per worker, within `max_connections`.
    pub leased_per_worker: usize,
    /// Requests of one worker that may be in flight at once; the next is refused as overload.
    pub max_in_flight: usize,
    /// Requests of one worker that may wait for a leased client; the next is refused as overload.
    pub max_waiting: usize,
    /// Prepared statements kept per client.
    pub statement_cache: usize,
    /// Bytes of SQL of the prepared statements kept per client. In PostgreSQL each takes many times its text.
    pub statement_cache_bytes: usize,
    /// A statement with a longer text is not kept: it is parsed and planned at each use, and forgotten.
    pub statement_bytes: usize,
    /// The server's own bound on a statement: what a read on a shared client costs its neighbours at most.
    pub statement_timeout: Duration,
    /// A read that keeps a shared client busy for longer than this runs on a leased one from then on.
    pub slow_read: Duration,
    /// The bound on connecting, greeting and authentication together.
    pub connect_timeout: Duration,
    /// The pause between two looks at the server's health.
    pub heartbeat: Duration,
    /// A server that does not answer a look for this long counts as down.
    pub heartbeat_timeout: Duration,
    /// The longest pause between two attempts to reach a server that is down.
    pub longest_pause: Duration,
    /// A leased client that was not needed for this long is closed.
    pub idle: Duration,
    /// How often a program is repeated after a deadlock or a serialization failure.
    pub retries: u32,
}

/// Whether the connection is encrypted. Sockets and loopback addresses are never encrypted unless `Verified`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// Never: libpq's `disable`.
    Off,
    /// If the server offers it, without looking at who it is: libpq's `prefer`.
    IfOffered,
    /// Always, and the certificate must be valid for the host: against the system's roots or this PEM file.
    Verified {
        /// A PEM file of the certificates that are trusted; the system's without one.
        roots: Option<PathBuf>,
    },
}

/// What is wrong with a database URL. Never repeats the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It cannot be parsed.
    #[error("the database URL is not valid: {0}")]
    Malformed(String),
    /// It does not begin with a scheme, and is no list of `key=value`.
    #[error(
        "the database URL has no scheme; it begins with postgres:// (or give `key=value` pairs)"
    )]
    NoScheme,
    /// The scheme is another database's.
    #[error(
        "the database URL begins with {0}://; Gom works on PostgreSQL: postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    Scheme(String),
    /// A parameter that the driver does not have.
    #[error("the database URL has the parameter {0}, which is not supported")]
    Parameter(&'static str),
    /// The value of a part or parameter.
    #[error("the {0} of the database URL is not valid")]
    Part(&'static str),
    /// The value of `sslmode`.
    #[error(
        "the database URL has an sslmode that is not known; use disable, prefer, require, verify-ca or verify-full \
         (the last three all check the certificate)"
    )]
    SslMode,
    /// No host and no socket folder.
    #[error("the database URL names no host; write postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    NoHost,
}

impl DatabaseOptions {
    /// Options with the defaults for a server with these settings.
    pub fn new(server: Config) -> Self {
        let encryption = match server.get_ssl_mode() {
            SslMode::Disable => Encryption::Off,
            SslMode::Require => Encryption::Verified { roots: None },
            _ if is_local(&server) => Encryption::Off,
            _ => Encryption::IfOffered,
        };
        DatabaseOptions {
            server,
            encryption,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            max_connections: 64,
            shared_per_worker: 2,
            live_connections: 4,
            leased_per_worker: 8,
            max_in_flight: 4096,
            max_waiting: 1024,
            statement_cache: 256,
            statement_cache_bytes: 256 * 1024,
            statement_bytes: 8 * 1024,
            statement_timeout: Duration::from_secs(5),
            slow_read: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            heartbeat: Duration::from_millis(500),
            heartbeat_timeout: Duration::from_millis(1500),
            longest_pause: Duration::from_millis(500),
            idle: Duration::from_secs(60),
            retries: 5,
        }
    }

    /// Reads a URL (`postgres://…`) or libpq's `key=value` form. Besides what tokio-postgres knows, `sslmode`
    /// may be `verify-ca` or `verify-full`, `sslrootcert` names a PEM file, and Prisma's own `schema`,
    /// `connection_limit`, `pool_timeout` and `pgbouncer` parameters are passed over.
    ///
    /// # Errors
    /// Which part cannot be used.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        let (plain, extra) = connection_string::split(url)?;
        let mut server: Config = plain
            .parse()
            .map_err(|error| connection_string::fault(&with_causes(&error)))?;
        if server.get_hosts().is_empty() && server.get_hostaddrs().is_empty() {
            return Err(UrlError::NoHost);
        }
        if !server.get_hosts().iter().all(is_host) {
            // An `@` in a password that is not encoded makes a host of the rest.
            return Err(UrlError::Part("host"));
        }
        let mode = match extra.ssl_mode.as_deref() {
            // Whatever it has understood by itself stands.
            None => server.get_ssl_mode(),
            Some("allow" | "prefer") => SslMode::Prefer,
            Some("disable") => SslMode::Disable,
            Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
            Some(_) => return Err(UrlError::SslMode),
        };
        server.ssl_mode(mode);
        let mut options = DatabaseOptions::new(server);
        if let Encryption::Verified { roots } = &mut options.encryption {
            *roots = extra.roots;
        }
        Ok(options)
    }

    /// How many shared and leased clients one worker may have.
    pub(super) fn share(&self) -> (usize, usize) {
        let each = (self.max_connections / self.workers.max(1)).max(2);
        let shared = self.shared_per_worker.clamp(1, each - 1);
        (shared, self.leased_per_worker.clamp(1, each - shared))
    }
}

/// Whether the host is a name, an address, or a folder of sockets.
fn is_host(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-:%".contains(&byte)),
        Host::Unix(_) => true,
    }
}

fn is_local(server: &Config) -> bool {
    let loopback = |name: &str| {
        name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    };
    let hosts = server.get_hosts();
    hosts.iter().all(|host| match host {
        Host::Tcp(name) => loopback(name),
        Host::Unix(_) => true,
    }) && server.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prismas_parameters_and_ssl_modes_are_understood() {
        let url = "postgres://u:p@db.example:5433/shop?schema=default&sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=3";
        let options = DatabaseOptions::from_url(url).unwrap();
        assert_eq!(options.server.get_hosts(), [Host::Tcp("db.example".into())]);
        assert_eq!(options.server.get_ports(), [5433]);
        assert_eq!(
            options.server.get_connect_timeout(),
            Some(&Duration::from_secs(3))
        );
        assert_eq!(
            options.encryption,
            Encryption::Verified {
                roots: Some("/ca.pem".into())
            }
        );
        assert!(
            !format!("{options:?}").contains("\"p\""),
            "the password must not show"
        );
    }

    #[test]
    fn local_servers_are_not_encrypted_unless_asked() {
        let encryption = |url: &str| DatabaseOptions::from_url(url).unwrap().encryption;
        assert_eq!(encryption("postgres://u@localhost/d"), Encryption::Off);
        assert_eq!(encryption("postgres://u@127.0.0.1/d"), Encryption::Off);
        assert_eq!(encryption("host=/run/gom user=u dbname=d"), Encryption::Off);
        assert_eq!(
            encryption("postgres://u@db.example/d"),
            Encryption::IfOffered
        );
        assert_eq!(
            encryption("postgres://u@localhost/d?sslmode=require"),
            Encryption::Verified { roots: None }
        );
        assert_eq!(
            encryption("host=db.example sslmode=disable user=u"),
            Encryption::Off
        );
    }

    #[test]
    fn a_bad_url_says_what_is_wrong_without_repeating_it() {
        let error =
            DatabaseOptions::from_url("postgres://u:hunter2@h/d?sslmode=maybe").unwrap_err();
        assert_eq!(error, UrlError::SslMode);
        let error = DatabaseOptions::from_url("postgres://u:hunter2@h:port/d").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert_eq!(
            DatabaseOptions::from_url("dbname=d").unwrap_err(),
            UrlError::NoHost
        );
    }

    #[test]
    fn workers_share_the_bound() {
        let mut options = DatabaseOptions::from_url("postgres://u@localhost/d").unwrap();
        (options.workers, options.max_connections) = (4, 20);
        assert_eq!(options.share(), (2, 3));
        options.max_connections = 1;
        assert_eq!(options.share(), (1, 1), "a worker cannot do with less");
    }
}
