//! PostgreSQL: the `DatabaseSupervisor`, which checks whether it can be used, and each worker's `Connection`, which runs reads
//! and programs on it. Executes what the engine planned; knows no GraphQL and no HTTP.
//!
//! Every connection is opened by the `connector`, and is of one of these kinds:
//!
//! | kind | for | opened, and again when it is lost |
//! |---|---|---|
//! | `shared` client | reads of requests, pipelined: nothing sent may be cancelled | kept by the worker's `Connection` |
//! | `lease` | programs and long reads: one request has it alone, and may cancel | by the worker's pool, on demand |
//! | `dedicated` connection | one actor's own statements (the change log, the ledger of push), on its thread | by itself, on demand |
//! | `PostgresStoreClient` | a store that can also be Redis: few prepared statements, shared by threads | by itself, always |
//! | `Lent` | a task that needs a whole session: migrations, seeds, raw SQL | once; it ends with the task |
//! | heartbeat | the supervisor's look | by the supervisor, with each look |
//!
//! The first three are `link::Link`s: a connection with its prepared statements. The store's client is a `Lent` that
//! `gom_runtime::reconnecting` keeps alive.

mod connection;
mod connection_string;
mod connector;
mod dedicated;
mod error;
mod execution;
mod health;
mod lease;
mod link;
mod messages;
mod options;
mod program;
mod share;
mod shared;
mod statements;
mod supervisor;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use gom_engine::plan::{Program, Statement, Step};
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use self::connector::Lent;
pub(crate) use self::error::ends_connection;
pub use self::error::{DatabaseError, RETRY_AFTER, RunError, SqlErrorKind};
pub use self::health::{DatabaseState, Health};
pub use self::link::Canceller;
pub use self::options::{DatabaseOptions, Encryption, UrlError};
pub use self::share::{Asker, Behalf};
pub use self::text::JsonText;
pub use self::tls::TlsError;

use self::connection::Connection;
pub(crate) use self::dedicated::{DedicatedConnection, StatementError, ThreadWork};

use self::connector::Connector;
use self::health::HealthChannel;
use self::messages::{Answer, AskHealth, Run, RunTogether, Transact};
use self::supervisor::DatabaseSupervisor;
use gom_runtime::own_thread::OwnThread;
use gom_runtime::supervision::{AskError, Restarts, Supervised, supervise};
use gom_telemetry::metrics::{DATABASE_DURATION, DATABASE_WORK, DatabaseOutcome, Work};
use gom_telemetry::traces::{self, Begun, KeyValue, SpanKind, SpanRef, Status};

const SUPERVISOR_MAILBOX: usize = 64;
/// A supervisor that takes longer to report its state does not work.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(500);

/// The database of the process. Cloning is cheap; all connections end with the last clone.
#[derive(Clone)]
pub struct Database {
    options: Arc<DatabaseOptions>,
    connector: Arc<Connector>,
    health_channel: Arc<HealthChannel>,
    supervisor: Supervised<DatabaseSupervisor>,
    live_reads: Arc<OnceCell<(OwnThread, Supervised<Connection>)>>,
}

impl Database {
    /// Starts the supervisor on this thread, which needs an actix system. Returns at once, whether or not the
    /// database is there.
    pub fn start(options: DatabaseOptions) -> Result<Self, TlsError> {
        let options = Arc::new(options);
        let connector = Arc::new(Connector::new(&options)?);
        let health_channel = Arc::new(HealthChannel::new());
        let supervisor = {
            let (options, connector, health_channel) = (
                Arc::clone(&options),
                Arc::clone(&connector),
                Arc::clone(&health_channel),
            );
            supervise(SUPERVISOR_MAILBOX, move || {
                DatabaseSupervisor::new(
                    Arc::clone(&options),
                    Arc::clone(&connector),
                    Arc::clone(&health_channel),
                )
            })
        };
        Ok(Database {
            options,
            connector,
            health_channel,
            supervisor,
            live_reads: Arc::default(),
        })
    }

    /// Starts a `Connection` for this thread, which needs an actix system: call it once in each worker.
    pub fn local(&self) -> LocalDatabase {
        let database = self.clone();
        let connection = supervise(self.options.max_in_flight, move || {
            Connection::new(
                Arc::clone(&database.options),
                Arc::clone(&database.connector),
                database.supervisor.clone(),
                database.health_channel.subscribe(),
            )
        });
        LocalDatabase {
            connection,
            database: self.clone(),
            behalf: None,
        }
    }

    /// The clients on which live queries are answered ([`DatabaseOptions::live_connections`]), never those of requests. All callers
    /// share them; they run on a thread of their own, which the first call starts. Needs an actix system.
    ///
    /// # Errors
    /// [`RunError::Unavailable`] if the thread has ended.
    pub async fn live_reads(&self) -> Result<LocalDatabase, RunError> {
        let started = self.live_reads.get_or_try_init(|| async {
            let options = DatabaseOptions {
                leased_per_worker: self.options.live_connections,
                ..(*self.options).clone()
            };
            let (options, connector, supervisor, health) = (
                Arc::new(options),
                Arc::clone(&self.connector),
                self.supervisor.clone(),
                self.health_channel.subscribe(),
            );
            let thread = OwnThread::start();
            let connection = thread.run(move || {
                supervise(options.max_in_flight, move || {
                    Connection::without_shared(
                        Arc::clone(&options),
                        Arc::clone(&connector),
                        supervisor.clone(),
                        health.clone(),
                    )
                })
            });
            let connection = connection.await.ok_or_else(restarting)?;
            Ok((thread, connection))
        });
        Ok(LocalDatabase {
            connection: started.await?.1.clone(),
            database: self.clone(),
            behalf: None,
        })
    }

    /// How many clients [`Database::live_reads`] has.
    pub fn live_connections(&self) -> usize {
        self.options.live_connections
    }

    /// The state as the supervisor reports it; as last written, if it does not answer.
    pub async fn health(&self) -> Health {
        let deadline = Instant::now() + HEALTH_TIMEOUT;
        let health = self.supervisor.ask_by(AskHealth, deadline).await;
        health.unwrap_or_else(|_| self.health_channel.read())
    }

    /// Whether the database answered when it was last looked at.
    pub fn is_up(&self) -> bool {
        self.health_channel.read().state.is_up()
    }

    /// Waits until the database has been reached and takes reads; the state at the deadline if it is not.
    pub async fn ready(&self, deadline: Instant) -> Result<(), RunError> {
        let mut health = self.health_channel.subscribe();
        let up = health.wait_for(|health| health.admits_reads().is_ok());
        match tokio::time::timeout_at(deadline, up).await {
            Ok(_) => Ok(()),
            Err(_) => self.health_channel.read().admits_reads(),
        }
    }

    /// A connection of one's own without time limits, for migrations and seeds at start.
    pub async fn lend(&self) -> Result<Lent, RunError> {
        self.connector
            .lend()
            .await
            .map_err(|error| RunError::unavailable(error.reason))
    }

    /// How often the supervisor was restarted.
    pub fn supervisor_restarts(&self) -> Restarts {
        self.supervisor.restarts()
    }
}

/// The database as one worker thread uses it: requests go to the thread's own `Connection`.
#[derive(Clone)]
pub struct LocalDatabase {
    connection: Supervised<Connection>,
    database: Database,
    behalf: Option<Behalf>,
}

impl LocalDatabase {
    /// The database of all workers.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The same database on a user's behalf: no single user gets all connections of the worker, however much it
    /// requests. Without one, as at first, there is no such bound.
    #[must_use]
    pub fn on_behalf_of(&self, behalf: Option<Behalf>) -> Self {
        LocalDatabase {
            behalf,
            ..self.clone()
        }
    }

    /// The answers of statements that only read, in their order, all as of one moment; each for itself, if one of them fails, and then of
    /// moments of their own. Many statements of one text are one statement for PostgreSQL, for up to 100 of them. Answers by the
    /// deadline; dropping the future cancels.
    ///
    /// # Errors
    /// If nothing was answered.
    pub async fn read_together(
        &self,
        statements: Arc<[Statement]>,
        deadline: Instant,
    ) -> Result<Vec<Result<Option<JsonText>, RunError>>, RunError> {
        let run = RunTogether {
            statements,
            deadline,
        };
        let began = Instant::now();
        let answers = match self.connection.ask_now(run).await {
            Ok(answers) => answers,
            Err(AskError::Full) => Err(RunError::overloaded()),
            Err(_) => Err(restarting()),
        };
        observe(Work::Read, began, &answers);
        answers
    }

    /// Runs a statement that only reads; the first column of its first row, nothing if that is null or
    /// missing. Answers by the deadline. Several may be awaited together. Dropping the future gives the read
    /// up: cancelled where that is safe, left to itself otherwise.
    pub async fn read(
        &self,
        statement: Statement,
        deadline: Instant,
    ) -> Result<Option<JsonText>, RunError> {
        self.run(statement, false, deadline).await
    }

    /// As [`LocalDatabase::read`], for a statement known to take long: it gets a client for itself.
    pub async fn read_long(
        &self,
        statement: Statement,
        deadline: Instant,
    ) -> Result<Option<JsonText>, RunError> {
        self.run(statement, true, deadline).await
    }

    async fn run(
        &self,
        statement: Statement,
        long: bool,
        deadline: Instant,
    ) -> Result<Option<JsonText>, RunError> {
        let began = Instant::now();
        let begun = traces::begin(|| span("read", &statement.sql));
        let answer = traces::within(begun, self.ask(statement, long, deadline), conclude).await;
        observe(Work::Read, began, &answer);
        answer
    }

    async fn ask(&self, statement: Statement, long: bool, deadline: Instant) -> Answer {
        let run = Run {
            statement,
            long,
            behalf: self.behalf.clone(),
            deadline,
        };
        match self.connection.ask_now(run).await {
            Ok(answer) => answer,
            Err(AskError::Full) => Err(RunError::overloaded()),
            Err(_) => Err(restarting()),
        }
    }

    /// Executes a program in one transaction; its answer register. Answers by the deadline. Goes on to its
    /// end when the future is dropped, so the caller's own time-out must not be shorter than the deadline:
    /// it could not say what became of the write.
    pub async fn transact(
        &self,
        program: Program,
        deadline: Instant,
    ) -> Result<Option<JsonText>, RunError> {
        let began = Instant::now();
        let begun = traces::begin(|| span("program", &texts(&program.steps).join(";\n")));
        let answer = traces::within(begun, self.execute(program, deadline), conclude).await;
        observe(Work::Program, began, &answer);
        answer
    }

    async fn execute(&self, program: Program, deadline: Instant) -> Answer {
        let transact = Transact {
            program,
            behalf: self.behalf.clone(),
            deadline,
        };
        match self.connection.ask_now(transact).await {
            Ok(answer) => answer,
            Err(AskError::Full) => Err(RunError::overloaded()),
            Err(AskError::Restarting) => Err(restarting()),
            // Lost with the actor that ran it, perhaps after the commit.
            Err(AskError::Lost | AskError::Timeout) => Err(RunError::OutcomeUnknown),
        }
    }

    /// How often this thread's `Connection` was restarted.
    pub fn restarts(&self) -> Restarts {
        self.connection.restarts()
    }
}

/// The span of statements. Their texts hold no values: these are parameters.
fn span(name: &'static str, sql: &str) -> Begun {
    let attributes = vec![
        KeyValue::new("db.system.name", "postgresql"),
        KeyValue::new("db.query.text", traces::bounded(sql)),
    ];
    Begun {
        name: name.into(),
        kind: SpanKind::Client,
        attributes,
        parent: None,
    }
}

/// A refusal is an answer; what was not executed is an error.
fn conclude(answer: &Answer, span: SpanRef<'_>) {
    let unanswered =
        |error: &RunError| !matches!(error, RunError::Rejected(_) | RunError::Unmet(_));
    if answer.as_ref().is_err_and(unanswered) {
        span.set_status(Status::error("not carried out"));
    }
}

fn texts(steps: &[Step]) -> Vec<&str> {
    let mut found = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            Step::Run { statement, .. } => found.push(statement.sql.as_str()),
            Step::Choose {
                then, otherwise, ..
            } => found.extend([texts(then), texts(otherwise)].concat()),
        }
    }
    found
}

fn observe<T>(work: Work, began: Instant, answer: &Result<T, RunError>) {
    DATABASE_DURATION.observe(work, began.elapsed());
    let outcome = match answer {
        Ok(_) => DatabaseOutcome::Ok,
        Err(RunError::Rejected(_)) => DatabaseOutcome::Rejected,
        Err(RunError::Unmet(_)) => DatabaseOutcome::Unmet,
        Err(RunError::Unavailable { .. }) => DatabaseOutcome::Unavailable,
        Err(RunError::Overloaded { .. }) => DatabaseOutcome::Overloaded,
        Err(RunError::Deadline) => DatabaseOutcome::Deadline,
        Err(RunError::OutcomeUnknown) => DatabaseOutcome::Unknown,
        Err(RunError::Fault(_)) => DatabaseOutcome::Fault,
    };
    DATABASE_WORK.inc((work, outcome));
}

fn restarting() -> RunError {
    RunError::unavailable("this worker's connections are restarting")
}
