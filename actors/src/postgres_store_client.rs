//! The PostgreSQL side of a store that can also be Redis: one connection of the store's own, with its few
//! statements prepared, pipelined and restored by itself. Each request is one statement that commits by itself,
//! so that requests can share the connection.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage, Statement};

use crate::database::{Database, Lent, SqlErrorKind, ends_connection};
use gom_runtime::reconnecting::{Fault, FaultKind, Look, Opener, Reconnecting, patience};
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
            connection: Reconnecting::keep(PostgresStoreOpener {
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

    /// Runs a statement that does no harm if it is carried out twice. Ends within 550 ms; the error says why
    /// there is no answer.
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
        repeatable: bool,
        statement: usize,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, String> {
        let answer = self.connection.ask(repeatable, |prepared| async move {
            let Some(statement) = prepared.statements.get(statement) else {
                return Err(Fault {
                    reason: "a statement was not prepared".to_owned(),
                    kind: FaultKind::Refused,
                });
            };
            match patience(TIMEOUT, prepared.client.query(statement, params)).await {
                Ok(answer) => answer.map_err(|error| fault(&error)),
                Err(_) => Err(Fault {
                    reason: "no answer in time".to_owned(),
                    kind: FaultKind::Silent,
                }),
            }
        });
        answer
            .await
            .map_err(|reason| format!("PostgreSQL: {reason}"))
    }
}

fn fault(error: &tokio_postgres::Error) -> Fault {
    let Some(report) = error.as_db_error() else {
        return Fault {
            reason: error.to_string(),
            kind: FaultKind::Lost,
        };
    };
    // Prepared again on a new connection, a statement may fit the tables as they are now.
    let is_stale = SqlErrorKind::of(error) == Some(SqlErrorKind::StalePlan);
    Fault {
        reason: report.message().to_owned(),
        kind: if is_stale || ends_connection(report) {
            FaultKind::Lost
        } else {
            FaultKind::Refused
        },
    }
}

struct PostgresStoreOpener {
    database: Database,
    durability: Durability,
    statements: &'static [&'static str],
}

impl PostgresStoreOpener {
    async fn prepare(&self) -> Result<Arc<Prepared>, String> {
        let client = self
            .database
            .lend()
            .await
            .map_err(|error| error.to_string())?;
        let said = |error: tokio_postgres::Error| fault(&error).reason;
        client.batch_execute(SETTINGS).await.map_err(said)?;
        if self.durability == Durability::Relaxed {
            client
                .batch_execute("SET synchronous_commit = off")
                .await
                .map_err(said)?;
        }
        let preparing = self.statements.iter().map(|sql| client.prepare(sql));
        let statements = futures::future::try_join_all(preparing)
            .await
            .map_err(said)?;
        Ok(Arc::new(Prepared { client, statements }))
    }
}

impl Opener for PostgresStoreOpener {
    type Link = Arc<Prepared>;

    fn name(&self) -> String {
        "PostgreSQL (for sessions, limits or devices)".to_owned()
    }

    fn patience(&self) -> Duration {
        TIMEOUT
    }

    async fn open(&self) -> Result<Arc<Prepared>, String> {
        patience(TIMEOUT, self.prepare())
            .await
            .unwrap_or_else(|_| Err("no connection in time".to_owned()))
    }

    async fn look(&self, link: &Arc<Prepared>) -> Result<Look, String> {
        match patience(
            TIMEOUT,
            link.client
                .simple_query("SELECT pg_catalog.pg_is_in_recovery()"),
        )
        .await
        {
            Ok(Ok(rows)) => {
                let standby = rows.iter().any(
                    |row| matches!(row, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")),
                );
                Ok(if standby {
                    Look::ReadOnly("it is a standby".to_owned())
                } else {
                    Look::Well
                })
            }
            Ok(Err(error)) => Err(fault(&error).reason),
            Err(_) => Err("it does not answer".to_owned()),
        }
    }
}
