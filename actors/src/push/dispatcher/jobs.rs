//! From jobs to notifications: leased, composed, and written into the ledger with a delivery for each device.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use futures::future::join_all;

use super::schedule;
use super::work::{Work, dice};
use crate::crash::crash_point;
use crate::database::LineError;
use crate::metrics::PUSH_JOBS_GIVEN_UP;
use crate::pulse::Condition;
use crate::push::device::Endpoint;
use crate::push::job::{ComposeError, Composed};
use crate::push::ledger::{ClaimedJob, Expanded, NewDelivery};
use crate::push::notice::Notice;

/// Jobs in hand at a time.
const MOST: usize = 16;
/// A job that cannot be composed is given up after so many attempts, and one that can be taken up but never put down
/// again (it ends the program) after more.
const TRIES: i32 = 5;
const TRIES_AT_ALL: i32 = 50;

/// Carries out jobs until all is to stop.
pub(super) async fn carry_out_jobs(work: Rc<Work>) {
    let mut complained = false;
    loop {
        crash_point("committed");
        // Held first, then looked: whoever says that all is to stop looks the other way round.
        hold(&work, true);
        if work.stopping() {
            return hold(&work, false);
        }
        let claimed = work.jobs.claim_jobs(MOST).await;
        if claimed.as_ref().map_or(true, Vec::is_empty) {
            hold(&work, false);
        }
        match claimed {
            Ok(jobs) if jobs.is_empty() => {
                work.shared.heart.beat(Condition::Ready);
                work.rest(&work.shared.woken, work.options.poll).await;
            }
            Ok(jobs) => {
                crash_point("job-leased");
                let ids: Vec<i64> = jobs.iter().map(|claimed| claimed.job.id).collect();
                tokio::select! {
                    _ = join_all(jobs.iter().map(|claimed| carry_out(&work, claimed))) => {}
                    () = keep_leases(&work, &ids) => {}
                }
                hold(&work, false);
                // Not before: what breaks at the same job again and again does not do its work.
                work.shared.heart.beat(Condition::Ready);
            }
            Err(error) => {
                work.shared.heart.beat(Condition::Down);
                work.pause_after("jobs of push", &error, &mut complained).await;
                continue;
            }
        }
        complained = false;
    }
}

/// An end of the process waits for what is held: a lease that is left behind would hold it up for others.
fn hold(work: &Work, held: bool) {
    work.composing.set(held);
    work.tell_in_hand();
}

/// On the other connection: a long statement of a job's would hold them up.
async fn keep_leases(work: &Work, ids: &[i64]) {
    loop {
        tokio::time::sleep(work.options.lease / 3).await;
        if let Err(error) = work.ledger.renew_jobs(ids).await {
            tracing::debug!(cause = %error, "leases of jobs were not renewed");
        }
    }
}

async fn carry_out(work: &Work, claimed: &ClaimedJob) {
    if let Err(error) = attempt(work, claimed).await {
        // Its lease ends by itself.
        tracing::warn!(job = claimed.job.id, cause = %error, "a job of push was not carried out");
    }
}

async fn attempt(work: &Work, claimed: &ClaimedJob) -> Result<(), LineError> {
    let job = &claimed.job;
    if claimed.attempts > TRIES_AT_ALL {
        tracing::error!(job = job.id, subject = job.subject, node = job.node, "a job of push is given up");
        return give_up(work, claimed).await;
    }
    match work.composer.compose(job).await {
        Ok(Composed::Nothing) => work.jobs.finish_job(claimed).await,
        Ok(Composed::Later(time)) => {
            let wait = time.duration_since(SystemTime::now()).unwrap_or_default();
            work.jobs.put_off_job(claimed, wait, None, false).await
        }
        Ok(Composed::Notify(notice)) => notify(work, claimed, notice).await,
        Err(ComposeError::Later(reason)) => away(work, claimed, &reason).await,
        Err(ComposeError::Never(reason)) => {
            tracing::error!(
                job = job.id,
                subject = job.subject,
                node = job.node,
                cause = reason,
                "a notification cannot be composed"
            );
            if claimed.attempts < TRIES {
                let pause = schedule::pause(work.options.retry, claimed.attempts.unsigned_abs(), dice());
                work.jobs.put_off_job(claimed, pause, Some(&reason), true).await
            } else {
                give_up(work, claimed).await
            }
        }
    }
}

async fn give_up(work: &Work, claimed: &ClaimedJob) -> Result<(), LineError> {
    work.jobs.finish_job(claimed).await?;
    PUSH_JOBS_GIVEN_UP.one(());
    Ok(())
}

/// However long something is away, what waits for it is not given up.
async fn away(work: &Work, claimed: &ClaimedJob, reason: &str) -> Result<(), LineError> {
    let pause = schedule::pause(work.options.retry, 1, dice()).min(Duration::from_secs(60));
    work.jobs.put_off_job(claimed, pause, Some(reason), false).await
}

async fn notify(work: &Work, claimed: &ClaimedJob, notice: Notice) -> Result<(), LineError> {
    let found = match work.devices.of_users(&notice.recipients).await {
        Ok(found) => found,
        Err(error) => return away(work, claimed, &error.to_string()).await,
    };
    let mut seen = HashSet::new();
    let mut deliveries = Vec::with_capacity(found.len());
    for (recipient, endpoint) in &found {
        if seen.insert(endpoint.as_str()) {
            deliveries.push(delivery(work, recipient, endpoint));
        }
    }
    let id = (work.ids)();
    let expanded = work.jobs.expand(claimed, &id, &notice, &deliveries).await?;
    crash_point("job-expanded");
    match expanded {
        // Nobody has a device: there is nothing to wait for.
        Expanded::New(0) => {
            work.jobs.settle(&[id]).await?;
            work.settled.notify_one();
        }
        Expanded::New(deliveries) => {
            tracing::debug!(notification = id, deliveries, "a notification is to be sent");
            work.due.notify_one();
        }
        Expanded::Known => {}
        // Let go, to be composed anew.
        Expanded::Changed => work.jobs.finish_job(claimed).await?,
    }
    Ok(())
}

fn delivery(work: &Work, recipient: &str, endpoint: &Endpoint) -> NewDelivery {
    NewDelivery {
        id: (work.ids)(),
        recipient: recipient.to_owned(),
        endpoint: endpoint.as_str().to_owned(),
        origin: endpoint.origin().to_owned(),
        device: endpoint.fingerprint(),
    }
}
