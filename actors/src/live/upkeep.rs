//! What keeps the change log in order, with or without listeners: it is divided into partitions, trimmed, and searched for changes that stamping has passed over.
//! Idempotency keys are trimmed with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval_at, sleep};

use super::LiveOptions;
use super::log::Log;
use super::partitions::{Partitions, measure};
use crate::database::StatementError;
use gom_telemetry::metrics::{FEED_LEFT_BEHIND, FEED_TRIMMED};

/// Between two looks whether something can be forgotten, and the most that is forgotten in one go.
const TRIM_EVERY: Duration = Duration::from_secs(10);
const TRIM_STEP: u32 = 5_000;
/// Between two searches: each counts the index of the log, a few hundredths of a second for a million changes.
const SEARCH_EVERY: Duration = Duration::from_secs(300);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(super) async fn trim(log: Log, options: Arc<LiveOptions>) {
    let mut partitions = Partitions::new(&options);
    let (age, changes) = partitions.leftovers();
    measure(&log).await;
    loop {
        sleep(TRIM_EVERY).await;
        let mut one_by_one = partitions.tend(&log).await;
        // In small steps, so that nobody waits for one.
        while one_by_one {
            match log.trim(age, changes, TRIM_STEP).await {
                Ok(removed) => {
                    FEED_TRIMMED.add((), removed);
                    one_by_one = removed >= u64::from(TRIM_STEP) / 2;
                }
                Err(error) => {
                    tracing::debug!(cause = %error, "the change log was not trimmed");
                    break;
                }
            }
        }
        loop {
            match log.forget_keys(options.keep_keys_for, TRIM_STEP).await {
                Ok(removed) if removed < u64::from(TRIM_STEP) / 2 => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(cause = %error, "old idempotency keys were not removed");
                    break;
                }
            }
        }
    }
}

/// Stamps what was passed over: older versions could do that. At the start change by change, later by their numbers.
pub(super) async fn search(log: Log) {
    // A database that has no change log yet gets one, or a server that knows it.
    while let Err(error) = search_once(&log, true).await {
        tracing::debug!(cause = %error, "the change log was not searched");
        let pause = if matches!(error, StatementError::Rejected(_)) {
            SEARCH_EVERY
        } else {
            PAUSE_AFTER_FAILURE
        };
        sleep(pause).await;
    }
    let mut times = interval_at(Instant::now() + SEARCH_EVERY, SEARCH_EVERY);
    loop {
        times.tick().await;
        if let Err(error) = search_once(&log, false).await {
            tracing::debug!(cause = %error, "the change log was not searched");
        }
    }
}

async fn search_once(log: &Log, exact: bool) -> Result<(), StatementError> {
    let changes = log.stamp_left_behind(exact).await?;
    if changes > 0 {
        FEED_LEFT_BEHIND.add((), changes);
        tracing::warn!(
            changes,
            "committed changes had been passed over and had no position; subscribers get them now"
        );
    }
    Ok(())
}
