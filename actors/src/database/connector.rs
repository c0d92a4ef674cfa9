//! Opens connections: settings of the session, encryption, time-out, and the bound of the process. Knows
//! nothing of what they are used for beyond their [`ConnectionPurpose`].

use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use super::error::SqlErrorKind;
use super::link::{Canceller, Link};
use super::options::DatabaseOptions;
use super::statements::Statements;
use super::tls::{Tls, TlsError};
use gom_telemetry::causes::with_causes;
use gom_telemetry::metrics::{
    ConnectOutcome, DATABASE_CONNECTIONS, DATABASE_CONNECTS, GaugeGuard, Pool,
};

/// How the statements of a connection are planned that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planning {
    /// As PostgreSQL decides for each: once for all parameters, where it estimates that this costs no more.
    Estimated,
    /// Once for all parameters.
    Once,
    /// Each time that a statement runs, where tables grow a thousandfold while the connection lives.
    EachTime,
}

impl Planning {
    /// The value of `plan_cache_mode`.
    fn mode(self) -> &'static str {
        match self {
            Planning::Estimated => "auto",
            Planning::Once => "force_generic_plan",
            Planning::EachTime => "force_custom_plan",
        }
    }
}

/// What a connection is for decides its session's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionPurpose {
    /// Pipelined reads; takes no writes at all.
    Shared,
    /// Transactions and long reads.
    Leased,
    /// The look at the server's health; not counted in the bound.
    Heartbeat,
    /// An actor's own, of which there are few, with this bound on a statement; not counted in the bound.
    Dedicated { limit: Duration, planning: Planning },
    /// Migrations and seeds at start: no bound on a statement's time; not counted in the bound.
    Lent,
}

impl ConnectionPurpose {
    fn pool(self) -> Pool {
        match self {
            ConnectionPurpose::Shared => Pool::Shared,
            ConnectionPurpose::Leased => Pool::Leased,
            ConnectionPurpose::Heartbeat => Pool::Heartbeat,
            ConnectionPurpose::Dedicated { .. } | ConnectionPurpose::Lent => Pool::Own,
        }
    }
}

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenError {
    pub reason: String,
    /// The server (or our own bound) has no room for one more, but lives.
    pub no_room: bool,
}

/// What a connection holds while it is open: its room among those for requests, and its place in the count.
pub(super) struct Open {
    _permit: Option<OwnedSemaphorePermit>,
    _counted: GaugeGuard,
}

pub(super) struct Connector {
    server: Config,
    tls: Tls,
    room: Arc<Semaphore>,
    options: Arc<DatabaseOptions>,
}

impl Connector {
    pub fn new(options: &Arc<DatabaseOptions>) -> Result<Self, TlsError> {
        let mut server = options.server.clone();
        server
            .connect_timeout(options.connect_timeout)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(30));
        if server.get_application_name().is_none() {
            server.application_name("gom");
        }
        Ok(Connector {
            server,
            tls: Tls::new(&options.encryption)?,
            room: Arc::new(Semaphore::new(options.max_connections.max(2))),
            options: Arc::clone(options),
        })
    }

    /// Opens a connection, driven by this thread's runtime.
    pub async fn open(
        &self,
        purpose: ConnectionPurpose,
        generation: u64,
    ) -> Result<Link, OpenError> {
        let permit = match purpose {
            ConnectionPurpose::Shared | ConnectionPurpose::Leased => {
                Some(Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
                    DATABASE_CONNECTS.inc((purpose.pool(), ConnectOutcome::NoRoom));
                    OpenError {
                        reason: format!(
                            "all {} connections are in use",
                            self.options.max_connections
                        ),
                        no_room: true,
                    }
                })?)
            }
            ConnectionPurpose::Heartbeat
            | ConnectionPurpose::Dedicated { .. }
            | ConnectionPurpose::Lent => None,
        };
        let (client, io) = self.connect(purpose).await?;
        let open = Open {
            _permit: permit,
            _counted: DATABASE_CONNECTIONS.guard(purpose.pool()),
        };
        Ok(Link::new(
            client,
            io,
            self.tls.clone(),
            Statements::new(&self.options),
            generation,
            open,
        ))
    }

    /// A plain client for somebody who needs the whole connection.
    pub async fn lend(&self) -> Result<Lent, OpenError> {
        let (client, _) = self.connect(ConnectionPurpose::Lent).await?;
        Ok(Lent {
            client,
            tls: self.tls.clone(),
            _counted: DATABASE_CONNECTIONS.guard(ConnectionPurpose::Lent.pool()),
        })
    }

    async fn connect(
        &self,
        purpose: ConnectionPurpose,
    ) -> Result<(Client, JoinHandle<()>), OpenError> {
        let connected = self.try_connect(purpose).await;
        let outcome = match &connected {
            Ok(_) => ConnectOutcome::Ok,
            Err(error) if error.no_room => ConnectOutcome::NoRoom,
            Err(_) => ConnectOutcome::Failed,
        };
        DATABASE_CONNECTS.inc((purpose.pool(), outcome));
        connected
    }

    async fn try_connect(
        &self,
        purpose: ConnectionPurpose,
    ) -> Result<(Client, JoinHandle<()>), OpenError> {
        let mut server = self.server.clone();
        server.options(self.session(purpose));
        let connecting = async {
            match &self.tls {
                Tls::Off => server
                    .connect(NoTls)
                    .await
                    .map(|(client, io)| (client, drive(io))),
                Tls::On(tls) => server
                    .connect(tls.clone())
                    .await
                    .map(|(client, io)| (client, drive(io))),
            }
        };
        match tokio::time::timeout(self.options.connect_timeout, connecting).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) => Err(OpenError {
                no_room: SqlErrorKind::of(&error) == Some(SqlErrorKind::NoRoom),
                reason: format!("{}: {}", self.place(), with_causes(&error)),
            }),
            Err(_) => Err(OpenError {
                reason: format!(
                    "{}: no answer within {} ms",
                    self.place(),
                    self.options.connect_timeout.as_millis()
                ),
                no_room: false,
            }),
        }
    }

    /// Which hosts and ports a failure speaks of.
    fn place(&self) -> String {
        let ports = self.server.get_ports();
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        let host = |(at, host): (usize, &Host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port(at)),
            Host::Unix(folder) => format!("{}/.s.PGSQL.{}", folder.display(), port(at)),
        };
        self.server
            .get_hosts()
            .iter()
            .enumerate()
            .map(host)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The session's settings as the server's command-line options: they come with the greeting, and so cost
    /// no round trip. They outrank what the role or the database has set.
    fn session(&self, purpose: ConnectionPurpose) -> String {
        let limit = match purpose {
            ConnectionPurpose::Lent => 0,
            ConnectionPurpose::Dedicated { limit, .. } => limit.as_millis(),
            _ => self.options.statement_timeout.as_millis(),
        };
        let mut options = format!(
            "-c statement_timeout={limit} -c idle_in_transaction_session_timeout={} -c jit=off \
             -c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c extra_float_digits=1 \
             -c bytea_output=hex -c client_min_messages=warning \
             -c default_transaction_isolation=read\\ committed",
            limit.saturating_mul(2),
        );
        if purpose == ConnectionPurpose::Shared {
            options.push_str(" -c default_transaction_read_only=on");
        }
        if let ConnectionPurpose::Dedicated { planning, .. } = purpose {
            // Few rows of tables that may be large: also by a plan that was made while they were small.
            options.push_str(" -c enable_seqscan=off -c plan_cache_mode=");
            options.push_str(planning.mode());
        }
        if let Some(given) = self.server.get_options() {
            // Writing to a `String` cannot fail.
            let _ = write!(options, " {given}");
        }
        options
    }
}

fn drive<S, T>(io: tokio_postgres::Connection<S, T>) -> JoinHandle<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = io.await {
            tracing::debug!(error = with_causes(&error), "a database connection ended");
        }
    })
}

/// A connection lent out whole; it ends with this value. Has no `statement_timeout`.
pub struct Lent {
    client: Client,
    tls: Tls,
    _counted: GaugeGuard,
}

impl Lent {
    /// Ends the statement that the connection is busy with, from outside. A connection that is given up does not do that:
    /// its statement goes on until it has something to say.
    pub fn canceller(&self) -> Canceller {
        Canceller::new(&self.client, &self.tls)
    }
}

impl Deref for Lent {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}
