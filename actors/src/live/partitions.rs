//! The partitions of the log: begun in time, and emptied and dropped as a whole
//! (docs/adr/0048-the-log-in-partitions.md). The database does each step, in a transaction of its own, whichever node asks.

use std::time::Duration;

use super::LiveOptions;
use super::log::{Log, number, statement};
use crate::database::StatementError;
use gom_telemetry::metrics::{FEED_LOG_BYTES, FEED_LOG_PARTITIONS, FEED_TRIMMED};

/// How many partitions what is kept is divided into, about: so much more is kept. Each costs every reader of the log a few
/// microseconds.
const PARTS: u32 = 8;
/// A partition is not begun for fewer changes, unless they are old.
const MIN_WIDTH: u64 = 10_000;
/// Stamps that are removed in one go.
const STAMPS: u32 = 5_000;
/// Looks without a try after one in which writers held the log: each try makes others wait for a tenth of a second.
const LOOKS_AFTER_FAILURE: u32 = 6;

/// `$1`: changes; `$2`: milliseconds; `$3`: bytes.
const ROTATE: &str = "select gom.rotate_log($1::bigint, $2::bigint * interval '1 millisecond', $3::bigint) is not null";
/// `$1`: milliseconds; `$2`: changes; `$3`: bytes.
const FORGET: &str =
    "select gom.forget_partitions($1::bigint * interval '1 millisecond', $2::bigint, $3::bigint)";
const EMPTY: &str = "select gom.empty_partition()";
const TRIM_STAMPS: &str = "select gom.trim_stamps($1::int)::bigint";
const SIZE: &str = "select s.partitions, s.bytes from gom.log_size() s";

/// What is kept, and how the log is divided for it.
pub(super) struct Partitions {
    keep_for: Duration,
    keep: u64,
    keep_bytes: u64,
    /// Looks until the next try to begin a partition.
    postponed: u32,
}

impl Partitions {
    pub fn new(options: &LiveOptions) -> Self {
        Partitions {
            keep_for: options.keep_for,
            keep: options.keep,
            keep_bytes: options.keep_bytes,
            postponed: 0,
        }
    }

    /// The age and the number beyond which changes are removed one by one: their partition was not removed in time.
    pub fn leftovers(&self) -> (Duration, u64) {
        (
            self.keep_for + self.keep_for / PARTS,
            self.keep.saturating_add(self.keep / 4),
        )
    }

    /// Begins a partition if it is time, and removes those that are not kept.
    pub async fn tend(&mut self, log: &Log) {
        if let Some(left) = self.postponed.checked_sub(1) {
            self.postponed = left;
        } else if let Err(error) = self.rotate(log).await {
            self.postponed = LOOKS_AFTER_FAILURE;
            tracing::debug!(cause = %error, "no partition of the change log was begun");
        }
        if let Err(error) = self.forget(log).await {
            tracing::debug!(cause = %error, "no partition of the change log was removed");
        }
        if let Err(error) = measure(log).await {
            tracing::debug!(cause = %error, "the change log was not measured");
        }
    }

    async fn rotate(&self, log: &Log) -> Result<(), StatementError> {
        let width = (self.keep / u64::from(PARTS)).max(MIN_WIDTH);
        let params = [
            width.to_string(),
            (self.keep_for / PARTS).as_millis().to_string(),
            self.keep_bytes.to_string(),
        ];
        let step = statement(ROTATE, params);
        // Three steps are a new partition; another one may follow if the first was begun long ago.
        for _ in 0..2 * 3 {
            if !is_true(log, &step).await? {
                break;
            }
        }
        Ok(())
    }

    async fn forget(&self, log: &Log) -> Result<(), StatementError> {
        let params = [
            self.keep_for.as_millis().to_string(),
            self.keep.to_string(),
            self.keep_bytes.to_string(),
        ];
        let forgotten = count(log, FORGET, params).await?;
        FEED_TRIMMED.add((), forgotten);
        let empty = statement(EMPTY, []);
        while is_true(log, &empty).await? {}
        while count(log, TRIM_STAMPS, [STAMPS.to_string()]).await? > 0 {}
        Ok(())
    }
}

async fn measure(log: &Log) -> Result<(), StatementError> {
    let rows = log.rows(&statement(SIZE, [])).await?;
    if let Some(row) = rows.first() {
        FEED_LOG_PARTITIONS.set((), number(row, 0)?.cast_unsigned());
        FEED_LOG_BYTES.set((), number(row, 1)?.cast_unsigned());
    }
    Ok(())
}

async fn is_true(
    log: &Log,
    statement: &gom_engine::plan::Statement,
) -> Result<bool, StatementError> {
    let rows = log.rows(statement).await?;
    Ok(rows
        .first()
        .is_some_and(|row| row.try_get(0).unwrap_or(false)))
}

async fn count<const N: usize>(
    log: &Log,
    sql: &str,
    params: [String; N],
) -> Result<u64, StatementError> {
    let rows = log.rows(&statement(sql, params)).await?;
    match rows.first() {
        Some(row) => Ok(number(row, 0)?.cast_unsigned()),
        None => Ok(0),
    }
}
