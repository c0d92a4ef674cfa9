//! The PostgreSQL side of a store that can also be Redis: one connection of the store's own, with its few
//! statements prepared, pipelined and restored by itself. Each request is one statement that commits by itself,
//! so that requests can share the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage, Statement};

use crate::database::{Database, Lent, SqlErrorKind, ends_connection};
use gom_runtime::reconnecting::{
    Reconnecting, StoreConnector, StoreError, StoreErrorKind, StoreState, timeout_while_running,
};
use gom_telemetry::health::HealthReporter;

const TIMEOUT: Duration = Duration::from_millis(400);

/// The session's own bound on a statement, so that one that waits for a lock does not hold up those behind it
/// for long after its requester has gone. A plan for each value would cost more than these statements do.
const SETTINGS: &str = "SET statement_timeout = '500ms'; SET plan_cache_mode = force_generic_plan";

/// A store's connection. Cloning is cheap; the connection ends with the last clone.
#[derive(Clone)]
pub(crate) struct PostgresStoreClient {
    connection: Reconnecting<Arc<Prepared>>,
}

struct Prepared {
    client: Lent,
    statements: Vec<Statement>,
    /// A statement no longer fits the tables: all are to be prepared again, on a new connection.
    stale: AtomicBool,
}

/// How much a commit is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// As the server does it: on disk before the answer.
    Full,
    /// On disk a little later, as with Redis: the server's crash may take back the last moment's commits.
    Relaxed,
}

impl PostgresStoreClient {
    /// Connects on this thread's runtime and stays connected. Returns at once, whether or not PostgreSQL is there.
    /// `statements` are prepared and later named by their place.
    pub fn connect(
        database: &Database,
        durability: Durability,
        statements: &'static [&'static str],
    ) -> Self {
        PostgresStoreClient {
            connection: Reconnecting::keep(PostgresStoreConnector {
                database: database.clone(),
                durability,
                statements,
            }),
        }
    }

    /// How the connection is doing.
    pub fn reporter(&self) -> &HealthReporter {
        self.connection.reporter()
    }

    /// Runs an idempotent statement: it is sent again on a new connection if the old one is lost meanwhile. Ends within
    /// 550 ms; the error is the reason why there is no answer.
    pub async fn ask(
        &self,
        statement: usize,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, String> {
        self.run(true, statement, params).await
    }

    /// As [`PostgresStoreClient::ask`], but never runs it twice: for what must not count twice.
    pub async fn ask_once(
        &self,
        statement: usize,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, String> {
        self.run(false, statement, params).await
    }

    async fn run(
        &self,
        idempotent: bool,
        statement: usize,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, String> {
        let answer = self.connection.request(idempotent, |prepared| async move {
            let Some(statement) = prepared.statements.get(statement) else {
                return Err(StoreError {
                    reason: "a statement was not prepared".to_owned(),
                    kind: StoreErrorKind::Refused,
                });
            };
            match timeout_while_running(TIMEOUT, prepared.client.query(statement, params)).await {
                Ok(answer) => answer.map_err(|error| {
                    if is_stale(&error) {
                        prepared.stale.store(true, Ordering::Relaxed);
                    }
                    store_error(&error)
                }),
                Err(_) => Err(StoreError {
                    reason: "no answer in time".to_owned(),
                    kind: StoreErrorKind::Silent,
                }),
            }
        });
        answer
            .await
            .map_err(|reason| format!("PostgreSQL: {reason}"))
    }
}

fn store_error(error: &tokio_postgres::Error) -> StoreError {
    let Some(report) = error.as_db_error() else {
        return StoreError {
            reason: error.to_string(),
            kind: StoreErrorKind::Lost,
        };
    };
    StoreError {
        reason: report.message().to_owned(),
        kind: if is_stale(error) || ends_connection(report) {
            StoreErrorKind::Lost
        } else {
            StoreErrorKind::Refused
        },
    }
}

/// Prepared again on a new connection, a statement may fit the tables as they are now.
fn is_stale(error: &tokio_postgres::Error) -> bool {
    SqlErrorKind::of(error) == Some(SqlErrorKind::StalePlan)
}

struct PostgresStoreConnector {
    database: Database,
    durability: Durability,
    statements: &'static [&'static str],
}

impl PostgresStoreConnector {
    async fn prepare(&self) -> Result<Arc<Prepared>, String> {
        let client = self
            .database
            .lend()
            .await
            .map_err(|error| error.to_string())?;
        let reason = |error: tokio_postgres::Error| store_error(&error).reason;
        client.batch_execute(SETTINGS).await.map_err(reason)?;
        if self.durability == Durability::Relaxed {
            client
                .batch_execute("SET synchronous_commit = off")
                .await
                .map_err(reason)?;
        }
        let preparing = self.statements.iter().map(|sql| client.prepare(sql));
        let statements = futures::future::try_join_all(preparing)
            .await
            .map_err(reason)?;
        Ok(Arc::new(Prepared {
            client,
            statements,
            stale: AtomicBool::new(false),
        }))
    }
}

impl StoreConnector for PostgresStoreConnector {
    type Connection = Arc<Prepared>;

    fn name(&self) -> String {
        "PostgreSQL (for sessions, limits or devices)".to_owned()
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    async fn open(&self) -> Result<Arc<Prepared>, String> {
        timeout_while_running(TIMEOUT, self.prepare())
            .await
            .unwrap_or_else(|_| Err("no connection in time".to_owned()))
    }

    async fn check(&self, connection: &Arc<Prepared>) -> Result<StoreState, String> {
        if connection.stale.load(Ordering::Relaxed) {
            return Err("its prepared statements no longer fit the tables".to_owned());
        }
        match timeout_while_running(
            TIMEOUT,
            connection
                .client
                .simple_query("SELECT pg_catalog.pg_is_in_recovery()"),
        )
        .await
        {
            Ok(Ok(rows)) => {
                let standby = rows.iter().any(
                    |row| matches!(row, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")),
                );
                Ok(if standby {
                    StoreState::ReadOnly("it is a standby".to_owned())
                } else {
                    StoreState::Healthy
                })
            }
            Ok(Err(error)) => Err(store_error(&error).reason),
            Err(_) => Err("it does not answer".to_owned()),
        }
    }
}
