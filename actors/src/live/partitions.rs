//! The partitions of the log: begun in time, and emptied and dropped as a whole
//! (docs/adr/0048-the-log-in-partitions.md). The database does each step, in a transaction of its own, whichever node asks.

use std::time::Duration;

use tokio::time::Instant;

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
/// Looks in a row for which changes are not removed one by one, because their partition will soon be emptied as a whole: a
/// minute. A dump that reads it for longer must not hold retention.
const LOOKS_UNEMPTIED: u32 = 6;

/// `$1`: changes; `$2`: milliseconds; `$3`: bytes.
const ROTATE: &str =
    "select gom.rotate_log($1::bigint, $2::bigint * interval '1 millisecond', $3::bigint)";
/// The database of an earlier version has no partitions, and gets them.
const EXISTS: &str = "select to_regproc('gom.rotate_log') is not null";
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
    failing: Option<Failing>,
    /// Looks in a row in which a partition that is forgotten could not be emptied.
    unemptied: u32,
}

/// No partition could be begun.
struct Failing {
    since: Instant,
    warned: bool,
}

/// What became of an attempt to begin a partition.
#[derive(Debug, PartialEq, Eq)]
enum Rotation {
    /// None has to be begun any more.
    Done,
    /// Another node is at it.
    Elsewhere,
    /// Another transaction has a lock.
    Busy,
}

impl Partitions {
    pub fn new(options: &LiveOptions) -> Self {
        Partitions {
            keep_for: options.keep_for,
            keep: options.keep,
            keep_bytes: options.keep_bytes,
            postponed: 0,
            failing: None,
            unemptied: 0,
        }
    }

    /// The age and the number beyond which changes are removed one by one: their partition was not removed in time.
    pub fn leftovers(&self) -> (Duration, u64) {
        (
            self.keep_for + self.keep_for / PARTS,
            self.keep.saturating_add(self.keep / 4),
        )
    }

    /// Begins a partition if it is time, and removes those that are not kept. Whether changes may be removed one by one: not if
    /// those that are forgotten soon go with their partition.
    pub async fn tend(&mut self, log: &Log) -> bool {
        if let Some(left) = self.postponed.checked_sub(1) {
            self.postponed = left;
        } else {
            self.begin(log).await;
        }
        let emptied = self.forget(log).await.unwrap_or_else(|error| {
            tracing::debug!(cause = %error, "no partition of the change log was removed");
            // Perhaps it never is: the table may be another role's.
            true
        });
        measure(log).await;
        self.may_trim(emptied)
    }

    fn may_trim(&mut self, emptied: bool) -> bool {
        self.unemptied = match emptied {
            true => 0,
            false => self.unemptied.saturating_add(1),
        };
        emptied || self.unemptied > LOOKS_UNEMPTIED
    }

    async fn begin(&mut self, log: &Log) {
        let (cause, is_refused) = match self.rotate(log).await {
            Ok(Rotation::Done) => {
                self.failing = None;
                return;
            }
            Ok(Rotation::Elsewhere) => return,
            Ok(Rotation::Busy) => (
                "another transaction holds a lock on gom.change".to_owned(),
                false,
            ),
            Err(error) => {
                let is_refused = matches!(error, StatementError::Rejected(_))
                    && is_true(log, EXISTS).await.unwrap_or(false);
                (error.to_string(), is_refused)
            }
        };
        self.postponed = LOOKS_AFTER_FAILURE;
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: Instant::now(),
            warned: false,
        });
        if failing.must_warn(is_refused, self.keep_for / PARTS) {
            tracing::warn!(
                cause,
                "no partition of the change log can be begun: until one is, old changes are removed one by one"
            );
        } else {
            tracing::debug!(cause, "no partition of the change log was begun");
        }
    }

    async fn rotate(&self, log: &Log) -> Result<Rotation, StatementError> {
        let width = (self.keep / u64::from(PARTS)).max(MIN_WIDTH);
        let params = [
            width.to_string(),
            (self.keep_for / PARTS).as_millis().to_string(),
            self.keep_bytes.to_string(),
        ];
        let step = statement(ROTATE, params);
        // Three steps are a new partition; another one may follow if the first was begun long ago.
        for _ in 0..2 * 3 {
            let rows = log.rows(&step).await?;
            match rows.first().and_then(|row| row.try_get(0).ok().flatten()) {
                Some("busy") => return Ok(Rotation::Busy),
                Some("elsewhere") => return Ok(Rotation::Elsewhere),
                Some(_) => {}
                None => break,
            }
        }
        Ok(Rotation::Done)
    }

    /// Whether nothing that is forgotten waits for its partition to be emptied.
    async fn forget(&self, log: &Log) -> Result<bool, StatementError> {
        let params = [
            self.keep_for.as_millis().to_string(),
            self.keep.to_string(),
            self.keep_bytes.to_string(),
        ];
        let forgotten = count(log, FORGET, params).await?;
        FEED_TRIMMED.add((), forgotten);
        let emptied = loop {
            match answer(log, EMPTY).await? {
                Some(true) => {}
                Some(false) => break true,
                None => break false,
            }
        };
        while count(log, TRIM_STAMPS, [STAMPS.to_string()]).await? > 0 {}
        Ok(emptied)
    }
}

impl Failing {
    /// Once: at once if the database refuses it, else when it has failed for so long that a partition is too large.
    fn must_warn(&mut self, is_refused: bool, patience: Duration) -> bool {
        let is_due = !self.warned && (is_refused || self.since.elapsed() >= patience);
        self.warned |= is_due;
        is_due
    }
}

/// Has the metrics show how large the log is.
pub(super) async fn measure(log: &Log) {
    if let Err(error) = try_measure(log).await {
        tracing::debug!(cause = %error, "the change log was not measured");
    }
}

async fn try_measure(log: &Log) -> Result<(), StatementError> {
    let rows = log.rows(&statement(SIZE, [])).await?;
    if let Some(row) = rows.first() {
        FEED_LOG_PARTITIONS.set((), number(row, 0)?.cast_unsigned());
        FEED_LOG_BYTES.set((), number(row, 1)?.cast_unsigned());
    }
    Ok(())
}

async fn is_true(log: &Log, sql: &str) -> Result<bool, StatementError> {
    Ok(answer(log, sql).await?.unwrap_or(false))
}

async fn answer(log: &Log, sql: &str) -> Result<Option<bool>, StatementError> {
    let rows = log.rows(&statement(sql, [])).await?;
    Ok(rows.first().and_then(|row| row.try_get(0).ok().flatten()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_is_read_holds_retention_for_a_minute_at_most() {
        let mut partitions = Partitions {
            keep_for: Duration::from_secs(60),
            keep: 1_000,
            keep_bytes: 0,
            postponed: 0,
            failing: None,
            unemptied: 0,
        };
        for _ in 0..2 {
            assert!(partitions.may_trim(true));
            let looks: Vec<bool> = (0..8).map(|_| partitions.may_trim(false)).collect();
            assert_eq!(looks, [[false; 6].as_slice(), &[true; 2]].concat());
        }
    }

    #[test]
    fn failures_to_begin_a_partition_are_reported_once() {
        let failing = || Failing {
            since: Instant::now(),
            warned: false,
        };
        let (hour, mut once) = (Duration::from_secs(3_600), failing());
        assert!(
            !once.must_warn(false, hour),
            "somebody has a lock for a while"
        );
        assert!(once.must_warn(true, hour), "not permitted");
        assert!(!once.must_warn(true, hour));
        let mut long = failing();
        assert!(long.must_warn(false, Duration::ZERO), "for too long");
        assert!(!long.must_warn(false, Duration::ZERO));
    }
}
