//! Counters in PostgreSQL, for a deployment without Redis. Each request is one statement, and so one transaction.

use futures::future::{BoxFuture, FutureExt};
use tokio_postgres::Row;

use super::redis_store::count;
use super::store::{Count, LimiterStore, Settle, Take};
use crate::database::Database;
use crate::pulse::Heart;
use crate::twin::{Durability, Twin};

/// Rows that one sweep removes at most.
const SWEEP: i64 = 1000;

const RESERVE: usize = 0;
const SETTLE: usize = 1;
const REMOVE: usize = 2;
const STATEMENTS: &[&str] = &[
    "SELECT consumed, left_ms FROM gom.reserve_attempt($1, $2, $3, $4, $5)",
    "WITH reset AS (DELETE FROM gom.login_limit WHERE key = ANY ($1::text[]))
     UPDATE gom.login_limit SET consumed = consumed - 1
     WHERE key = ANY ($2::text[]) AND consumed > 0 AND expires_at > clock_timestamp()",
    "WITH gone AS (
       DELETE FROM gom.login_limit WHERE key IN (
         SELECT key FROM gom.login_limit WHERE expires_at < now() ORDER BY expires_at LIMIT $1
         FOR UPDATE SKIP LOCKED)
       RETURNING 1)
     SELECT count(*) FROM gone",
];

pub(super) struct PostgresCounters {
    twin: Twin,
}

impl PostgresCounters {
    pub fn new(database: &Database) -> Self {
        // A commit that waits for the disk would let too few attempts through a second, and a crash that
        // forgives the last moment's attempts is no worse than one of Redis.
        PostgresCounters { twin: Twin::connect(database, Durability::Relaxed, STATEMENTS) }
    }
}

impl LimiterStore for PostgresCounters {
    fn heart(&self) -> &Heart {
        self.twin.heart()
    }

    fn reserve(&self, takes: Vec<Take>) -> BoxFuture<'static, Result<Vec<Count>, String>> {
        let twin = self.twin.clone();
        async move {
            let keys: Vec<&str> = takes.iter().map(|take| take.key.as_str()).collect();
            let points: Vec<i32> = takes.iter().map(|take| int(u128::from(take.limit.points))).collect();
            let amounts: Vec<i32> = takes.iter().map(|take| int(u128::from(take.amount))).collect();
            let windows: Vec<i64> = takes.iter().map(|take| bigint(take.window().as_millis())).collect();
            let blocks: Vec<i64> = takes.iter().map(|take| bigint(take.block().as_millis())).collect();
            let rows = twin.ask_once(RESERVE, &[&keys, &points, &amounts, &windows, &blocks]).await?;
            rows.iter().map(counted).collect()
        }
        .boxed()
    }

    fn settle(&self, settlements: Vec<Settle>) -> BoxFuture<'static, Result<(), String>> {
        let twin = self.twin.clone();
        async move {
            let (mut resets, mut backs) = (Vec::new(), Vec::new());
            for settlement in &settlements {
                match settlement {
                    Settle::Back(key) => backs.push(key.as_str()),
                    Settle::Reset(key) => resets.push(key.as_str()),
                }
            }
            twin.ask_once(SETTLE, &[&resets, &backs]).await.map(|_| ())
        }
        .boxed()
    }

    fn sweep(&self) -> BoxFuture<'static, Result<bool, String>> {
        let twin = self.twin.clone();
        async move {
            let rows = twin.ask(REMOVE, &[&SWEEP]).await?;
            Ok(rows.first().and_then(|row| row.try_get::<_, i64>(0).ok()) == Some(SWEEP))
        }
        .boxed()
    }
}

fn counted(row: &Row) -> Result<Count, String> {
    let said = |error: tokio_postgres::Error| format!("PostgreSQL: {error}");
    let consumed: i32 = row.try_get(0).map_err(said)?;
    Ok(count(i64::from(consumed), row.try_get(1).map_err(said)?))
}

fn int(number: u128) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn bigint(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
