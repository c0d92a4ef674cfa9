//! Counters in PostgreSQL, for a deployment without Redis. Each request is one statement, and so one transaction.

use futures::future::{BoxFuture, FutureExt};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{Adjustment, Count, LimiterStore, Take, count};
use crate::database::Database;
use crate::postgres_store_client::{Durability, PostgresStoreClient};
use gom_telemetry::health::HealthReporter;

/// Rows that one sweep removes at most.
const SWEEP: i64 = 1000;

const RESERVE: usize = 0;
const ADJUST: usize = 1;
const REMOVE: usize = 2;
const STATEMENTS: &[&str] = &[
    "SELECT consumed, left_ms, busy FROM gom.reserve_attempt($1, $2, $3, $4, $5, $6)",
    "SELECT gom.settle_attempt($1, $2)",
    "WITH gone AS (
       DELETE FROM gom.login_limit WHERE key IN (
         SELECT key FROM gom.login_limit WHERE expires_at < now() ORDER BY expires_at LIMIT $1
         FOR UPDATE SKIP LOCKED)
       RETURNING 1)
     SELECT count(*) FROM gone",
];

pub(in crate::limiter) struct PostgresCounters {
    client: PostgresStoreClient,
}

impl PostgresCounters {
    pub fn new(database: &Database) -> Self {
        // A commit that waits for the disk would let too few attempts through a second, and a crash that
        // forgives the last moment's attempts is no worse than one of Redis.
        PostgresCounters {
            client: PostgresStoreClient::connect(database, Durability::Relaxed, STATEMENTS),
        }
    }
}

impl LimiterStore for PostgresCounters {
    fn reporter(&self) -> &HealthReporter {
        self.client.reporter()
    }

    fn reserve(&self, takes: Vec<Take>) -> BoxFuture<'static, Result<Vec<Count>, String>> {
        let client = self.client.clone();
        async move {
            let keys: Vec<&str> = takes.iter().map(|take| take.key.as_str()).collect();
            let points: Vec<i32> = takes
                .iter()
                .map(|take| int(u128::from(take.limit.points)))
                .collect();
            let amounts: Vec<i32> = takes
                .iter()
                .map(|take| int(u128::from(take.amount)))
                .collect();
            let windows: Vec<i64> = takes
                .iter()
                .map(|take| bigint(take.window().as_millis()))
                .collect();
            let blocks: Vec<i64> = takes
                .iter()
                .map(|take| bigint(take.block().as_millis()))
                .collect();
            let in_flight: Vec<i32> = takes
                .iter()
                .map(|take| int(u128::from(take.in_flight)))
                .collect();
            let params: [&(dyn ToSql + Sync); 6] =
                [&keys, &points, &amounts, &windows, &blocks, &in_flight];
            let rows = client.ask_once(RESERVE, &params).await?;
            rows.iter().map(counted).collect()
        }
        .boxed()
    }

    fn adjust(&self, adjustments: Vec<Adjustment>) -> BoxFuture<'static, Result<(), String>> {
        let client = self.client.clone();
        async move {
            let of = |adjustment: &'_ Adjustment| match adjustment {
                Adjustment::GiveBack(key) => (key.clone(), false),
                Adjustment::Reset(key) => (key.clone(), true),
            };
            let (keys, resets): (Vec<String>, Vec<bool>) = adjustments.iter().map(of).unzip();
            client.ask_once(ADJUST, &[&keys, &resets]).await.map(|_| ())
        }
        .boxed()
    }

    fn sweep(&self) -> BoxFuture<'static, Result<bool, String>> {
        let client = self.client.clone();
        async move {
            let rows = client.ask(REMOVE, &[&SWEEP]).await?;
            Ok(rows.first().and_then(|row| row.try_get::<_, i64>(0).ok()) == Some(SWEEP))
        }
        .boxed()
    }
}

fn counted(row: &Row) -> Result<Count, String> {
    let reason = |error: tokio_postgres::Error| format!("PostgreSQL: {error}");
    let consumed: i32 = row.try_get(0).map_err(reason)?;
    Ok(count(
        i64::from(consumed),
        row.try_get(1).map_err(reason)?,
        row.try_get(2).map_err(reason)?,
    ))
}

fn int(number: u128) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn bigint(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
