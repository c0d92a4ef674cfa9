//! Records how deliveries ended, all those at once that ended while the last ones were written. A delivery is in flight until
//! then, so that after a crash no more are in doubt than were in flight.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::work::{Done, Work};
use crate::database::StatementError;
use crate::push::ledger::Record;
use gom_runtime::crash::crash_point;

/// Written at a time.
const MOST: usize = 500;
const PAUSE: Duration = Duration::from_millis(200);

/// Records what comes out of the channel until its other end is gone.
pub(super) async fn record(work: Rc<Work>, mut done: mpsc::Receiver<Done>) {
    let mut batch = Vec::new();
    while done.recv_many(&mut batch, MOST).await > 0 {
        let records: Vec<Record> = batch.iter().map(|one| one.record.clone()).collect();
        crash_point("unrecorded");
        write(&work, &records).await;
        crash_point("recorded");
        let ended: HashSet<String> = batch
            .iter()
            .filter(|one| !one.record.state.is_open())
            .map(|one| one.notification.clone())
            .collect();
        {
            let mut in_flight = work.in_flight.borrow_mut();
            for one in batch.drain(..) {
                in_flight.recorded(&one.record.id);
            }
        }
        work.publish_in_flight();
        work.freed.notify_one();
        if !ended.is_empty() {
            let ended: Vec<String> = ended.into_iter().collect();
            settle(&work, &ended).await;
        }
    }
}

/// Deliveries of these notifications have ended.
pub(super) async fn settle(work: &Work, notifications: &[String]) {
    match work.ledger.settle(notifications).await {
        Ok(()) => work.settled.notify_one(),
        // It is looked for again now and then.
        Err(error) => tracing::debug!(cause = %error, "notifications were not settled"),
    }
}

/// Until it is written: what was sent must not be sent again because the database was away for a while.
async fn write(work: &Work, records: &[Record]) {
    let mut complained = false;
    loop {
        match work.ledger.record(records).await {
            Ok(()) => return,
            // One of them is at fault: the others are written without it.
            Err(StatementError::Rejected(_)) if records.len() > 1 => {
                for record in records {
                    Box::pin(write(work, std::slice::from_ref(record))).await;
                }
                return;
            }
            Err(StatementError::Rejected(reason)) => {
                tracing::error!(
                    reason,
                    "the result of a delivery cannot be recorded as it is"
                );
                if records
                    .iter()
                    .all(|record| record.reason.is_none() && record.status.is_none())
                {
                    return;
                }
                let bare = |record: &Record| Record {
                    reason: None,
                    status: None,
                    ..record.clone()
                };
                let bare: Vec<Record> = records.iter().map(bare).collect();
                return Box::pin(write(work, &bare)).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut complained, true) {
                    tracing::warn!(cause = %error, "results of deliveries wait for the database");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Keeps what is in flight ours. What another server has taken over is not sent here any more.
pub(super) async fn keep_leases(work: Rc<Work>) {
    loop {
        sleep(work.options.lease / 3).await;
        let ids = work.in_flight.borrow().leased();
        if ids.is_empty() {
            continue;
        }
        let at = Instant::now();
        match work.leases.renew(&ids).await {
            Ok(renewed) => {
                let lost = work.in_flight.borrow_mut().renewed(&ids, &renewed, at);
                if lost > 0 {
                    tracing::warn!(
                        deliveries = lost,
                        "leases of deliveries are lost; what is not sent yet is left to others"
                    );
                }
            }
            Err(error) => tracing::debug!(cause = %error, "leases of deliveries were not renewed"),
        }
    }
}
