//! Jobs: leased, composed, and carried out side by side, so that none waits for another that takes long.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};

use super::Shared;
use super::expand::expand;
use super::schedule;
use super::work::{Work, dice};
use crate::database::StatementError;
use crate::push::job::{ComposeError, Composed, Composer};
use crate::push::ledger::{ClaimedJob, Ledger};
use gom_runtime::crash::crash_point;
use gom_telemetry::health::Condition;
use gom_telemetry::metrics::PUSH_JOBS_GIVEN_UP;

/// Commits of other processes within this time are one reason to look.
const TOGETHER: Duration = Duration::from_millis(20);
/// Short jobs in flight at a time: they take a few statements each.
const MAX_SHORT: usize = 16;
/// Claimed only if there is room for so many: a claim costs about the same for all of them.
const FEWEST: usize = MAX_SHORT / 4;
/// Steps of long jobs in flight at a time, each of which may take seconds.
const MAX_LONG: usize = 1;
/// A job that cannot be composed is given up after so many attempts, and one that can be taken up but never put down
/// again (it ends the program, or the database refuses what comes of it) after more. Each step counts from zero.
const MAX_COMPOSE_ATTEMPTS: i32 = 5;
const MAX_ATTEMPTS: i32 = 50;
/// No longer than this is a job put off because something is away.
const AWAY_PAUSE: Duration = Duration::from_secs(60);
/// A short job that nobody could carry out for so long is of no use any more: it is dropped.
pub(super) const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The jobs that are claimed and not carried out, and whether each may be long.
#[derive(Default)]
pub(super) struct JobsInFlight(HashMap<i64, bool>);

impl JobsInFlight {
    pub fn ids(&self) -> Vec<i64> {
        self.0.keys().copied().collect()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many more may be claimed: short ones, and long ones.
    fn free(&self) -> (usize, usize) {
        let long = self.0.values().filter(|long| **long).count();
        let short = MAX_SHORT.saturating_sub(self.0.len() - long);
        (
            if short < FEWEST { 0 } else { short },
            MAX_LONG.saturating_sub(long),
        )
    }
}

/// Carries out jobs until all is to stop.
pub(super) async fn carry_out_jobs(work: Rc<Work>) {
    // As many wait in it as may be in flight: it is never full.
    let (claimed, jobs) = mpsc::channel(MAX_SHORT + MAX_LONG);
    tokio::join!(claim_jobs(&work, claimed), run_jobs(&work, jobs));
}

async fn claim_jobs(work: &Work, claimed: mpsc::Sender<ClaimedJob>) {
    let mut complained = false;
    loop {
        crash_point("committed");
        let (short, long) = work.jobs_in_flight.borrow().free();
        if short + long == 0 && !work.stopping() {
            work.rest(&work.shared.woken, work.options.poll_jobs).await;
            continue;
        }
        // Held first, then checked: a shutdown sets its flag first and then looks at what is held.
        hold(work, true);
        if work.stopping() {
            return hold(work, false);
        }
        let jobs = work.jobs.claim_jobs(short, long, MAX_AGE).await;
        if let Ok(jobs) = &jobs {
            work.jobs_in_flight
                .borrow_mut()
                .0
                .extend(jobs.iter().map(|job| (job.job.id, job.long)));
        }
        hold(work, false);
        match jobs {
            Ok(jobs) => {
                complained = false;
                if !jobs.is_empty() {
                    crash_point("job-leased");
                } else if work.jobs_in_flight.borrow().len() == 0 {
                    work.shared.reporter.report(Condition::Ready);
                }
                let full = short > 0 && jobs.iter().filter(|job| !job.long).count() == short;
                for job in jobs {
                    // The other end is as long there as this one.
                    let _ = claimed.send(job).await;
                }
                if !full {
                    work.rest(&work.shared.woken, work.options.poll_jobs).await;
                }
            }
            Err(error) => {
                work.shared.reporter.report(Condition::Down);
                work.pause_after("jobs of push", &error, &mut complained)
                    .await;
            }
        }
    }
}

/// An end of the process waits for what is held: a lease that is left behind would hold it up for others.
fn hold(work: &Work, held: bool) {
    work.claiming_jobs.set(held);
    work.publish_in_flight();
}

async fn run_jobs(work: &Work, mut jobs: mpsc::Receiver<ClaimedJob>) {
    let mut running = FuturesUnordered::new();
    let mut more = true;
    while more || !running.is_empty() {
        tokio::select! {
            job = jobs.recv(), if more => match job {
                Some(job) => running.push(carry_out(work, job)),
                None => more = false,
            },
            Some(job) = running.next(), if !running.is_empty() => finished(work, &job),
        }
    }
}

fn finished(work: &Work, job: &ClaimedJob) {
    let (short, _) = work.jobs_in_flight.borrow().free();
    work.jobs_in_flight.borrow_mut().0.remove(&job.job.id);
    work.publish_in_flight();
    // Not before: what breaks at the same job again and again does not do its work.
    work.shared.reporter.report(Condition::Ready);
    // There may be a next step, or others for which there was no room.
    if job.long || short == 0 {
        work.shared.woken.notify_one();
    }
}

/// Looks for jobs of other processes. Most of what they commit queues none, so not every word of it is a look.
pub(super) async fn hear(shared: Arc<Shared>) {
    loop {
        shared.heard.notified().await;
        shared.woken.notify_one();
        tokio::time::sleep(TOGETHER).await;
    }
}

/// Keeps the leases of jobs, on a connection on which nothing takes long.
pub(super) async fn keep_leases(work: Rc<Work>) {
    loop {
        tokio::time::sleep(work.options.lease / 3).await;
        let ids = work.jobs_in_flight.borrow().ids();
        if !ids.is_empty()
            && let Err(error) = work.leases.renew_jobs(&ids).await
        {
            tracing::debug!(cause = %error, "leases of jobs were not renewed");
        }
    }
}

async fn carry_out(work: &Work, claimed: ClaimedJob) -> ClaimedJob {
    if let Err(error) = attempt(work, &claimed).await {
        tracing::warn!(job = claimed.job.id, cause = %error, "a job of push was not carried out");
        match error {
            // Its lease ends by itself.
            StatementError::Unavailable(_) => {}
            // A retry at once would hardly succeed; the row keeps the reason for operators.
            StatementError::Slow(_)
            | StatementError::Rejected(_)
            | StatementError::Excessive(_) => {
                let pause =
                    schedule::pause(work.options.retry, claimed.attempts.unsigned_abs(), dice());
                if let Err(error) = work
                    .ledger_of(&claimed)
                    .put_off_job(&claimed, pause, Some(&error.to_string()), true)
                    .await
                {
                    tracing::debug!(job = claimed.job.id, cause = %error, "a job was not put off");
                }
            }
        }
    }
    claimed
}

async fn attempt(work: &Work, claimed: &ClaimedJob) -> Result<(), StatementError> {
    let job = &claimed.job;
    let composer = if claimed.long {
        &*work.long_composer
    } else {
        &*work.composer
    };
    let ledger = work.ledger_of(claimed);
    let ending = Ending {
        ledger,
        composer,
        settled: &work.settled,
    };
    if let Some(reason) = Ending::of(claimed) {
        return ending.give_up(claimed, reason).await;
    }
    let after = claimed
        .expansion
        .as_ref()
        .map(|expansion| expansion.reached.as_str());
    match composer.compose(job, after).await {
        Ok(Composed::Nothing) => ending.finish(claimed).await,
        Ok(Composed::Later(time)) => ledger.wait_until(claimed, time).await,
        Ok(Composed::TooLate) => ending.give_up(claimed, Ending::TOO_LATE).await,
        Ok(Composed::Notify(notice)) => expand(work, claimed, notice).await,
        Err(ComposeError::Later(reason)) => away(work, claimed, &reason).await,
        Err(ComposeError::Never(reason)) if claimed.attempts < MAX_COMPOSE_ATTEMPTS => {
            tracing::error!(
                job = job.id,
                subject = job.subject,
                node = job.node,
                cause = reason,
                "a notification cannot be composed"
            );
            let pause =
                schedule::pause(work.options.retry, claimed.attempts.unsigned_abs(), dice());
            ledger
                .put_off_job(claimed, pause, Some(&reason), true)
                .await
        }
        Err(ComposeError::Never(reason)) => ending.give_up(claimed, &reason).await,
    }
}

/// How jobs end of which nothing more is to come.
pub(super) struct Ending<'a> {
    pub ledger: &'a Ledger,
    pub composer: &'a dyn Composer,
    pub settled: &'a Notify,
}

impl Ending<'_> {
    pub const TOO_LATE: &'static str = "its time is too long ago";

    /// Why a job has ended already, if it has.
    pub fn of(claimed: &ClaimedJob) -> Option<&'static str> {
        if claimed.attempts > MAX_ATTEMPTS {
            return Some("it was tried too often without a result");
        }
        let expired = claimed
            .expansion
            .as_ref()
            .is_some_and(|expansion| expansion.expired);
        expired.then_some("it has expired before all recipients were reached")
    }

    /// Nothing more comes of it.
    pub async fn finish(&self, claimed: &ClaimedJob) -> Result<(), StatementError> {
        self.ledger.finish_job(claimed).await?;
        if let Some(expansion) = &claimed.expansion {
            self.ledger
                .settle(std::slice::from_ref(&expansion.notification))
                .await?;
            self.settled.notify_one();
        }
        Ok(())
    }

    /// Never without a word: to the log, the metrics and the application.
    pub async fn give_up(&self, claimed: &ClaimedJob, reason: &str) -> Result<(), StatementError> {
        let job = &claimed.job;
        // Where some recipients were notified, the ledger has the outcome.
        if claimed.expansion.is_none() {
            match self.composer.given_up(job).await {
                Ok(()) => {}
                Err(ComposeError::Later(cause)) => {
                    return self
                        .ledger
                        .put_off_job(claimed, AWAY_PAUSE, Some(&cause), false)
                        .await;
                }
                Err(ComposeError::Never(cause)) => {
                    tracing::error!(
                        job = job.id,
                        cause,
                        "it cannot be reported that a job is given up"
                    );
                }
            }
        }
        tracing::error!(
            job = job.id,
            subject = job.subject,
            node = job.node,
            reached = claimed
                .expansion
                .as_ref()
                .map(|expansion| expansion.reached.as_str()),
            reason,
            "a job of push is given up"
        );
        PUSH_JOBS_GIVEN_UP.inc(());
        self.finish(claimed).await
    }
}

/// However long something is away, what waits for it is not given up.
pub(super) async fn away(
    work: &Work,
    claimed: &ClaimedJob,
    reason: &str,
) -> Result<(), StatementError> {
    let pause = schedule::pause(work.options.retry, 1, dice()).min(AWAY_PAUSE);
    work.ledger_of(claimed)
        .put_off_job(claimed, pause, Some(reason), false)
        .await
}
