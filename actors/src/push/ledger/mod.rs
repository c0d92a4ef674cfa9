//! Jobs, notifications and deliveries as they are kept. Each method is one statement that commits by itself: a server that
//! dies between two of them leaves what the next one finds. Lists go as JSON.

mod backlog;
mod deliveries;
mod jobs;
mod notifications;
mod readdress;
mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

use gom_engine::plan::{Param, Statement};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::database::{Database, DedicatedConnection, StatementError};

pub(super) use self::backlog::Backlog;
pub(super) use self::deliveries::{Claimed, Record, Room, StoredNotice, Wanted};
pub(super) use self::jobs::{ClaimedJob, Expanded, NewDelivery};
pub(super) use self::state::DeliveryState;

type Kept<T> = Result<T, StatementError>;

/// The ledger, on a connection of its own.
pub(super) struct Ledger {
    connection: DedicatedConnection,
    /// The owner of what is claimed through it: one name for each start.
    who: String,
    schema: String,
    lease: Duration,
}

impl Ledger {
    /// `limit`: overrides the default `statement_timeout`.
    pub fn new(
        database: &Database,
        who: &str,
        schema: &str,
        lease: Duration,
        limit: Option<Duration>,
    ) -> Self {
        Ledger {
            connection: DedicatedConnection::new(database, limit).planned_each_time(),
            who: who.to_owned(),
            schema: schema.to_owned(),
            lease,
        }
    }

    async fn ask<const N: usize>(&self, sql: &str, params: [&String; N]) -> Kept<Vec<Row>> {
        let params = params
            .into_iter()
            .map(|text| Param::Text(text.clone()))
            .collect();
        self.connection
            .rows(&Statement {
                sql: sql.to_owned(),
                params,
            })
            .await
    }
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Kept<T> {
    row.try_get(column)
        .map_err(|error| unexpected(&error.to_string()))
}

fn unexpected(what: &str) -> StatementError {
    StatementError::Rejected(format!(
        "the ledger of push has {what} that this program does not expect"
    ))
}

fn ms(time: Duration) -> String {
    millis(time).to_string()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Texts and numbers under fixed keys: nothing in them can fail.
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
