//! What keeps the ledger in order: settled notifications are reported, what is of no use any more is ended and forgotten.
//! Runs in every process, also where nothing is sent: without keys and without a worker the tables must not grow without end.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::Shared;
use super::jobs::{Ending, MAX_AGE};
use crate::database::StatementError;
use crate::push::MakeComposer;
use crate::push::job::{ComposeError, Composed, Composer};
use crate::push::ledger::Ledger;
use crate::push::options::PushOptions;
use gom_telemetry::metrics::PUSH_JOBS_GIVEN_UP;

/// Between two rounds: where messages are sent, and where others do so, or nobody.
const EVERY: Duration = Duration::from_secs(10);
const EVERY_IDLE: Duration = Duration::from_secs(60);
/// Rows of one statement, so that none takes long: jobs and notifications, and deliveries.
const ROWS: usize = 1_000;
const DELIVERIES: usize = 5_000;
/// Until a job that nobody sends from here is looked at again.
const IDLE_PAUSE: Duration = Duration::from_secs(10 * 60);

pub(super) struct Upkeep {
    pub options: Arc<PushOptions>,
    pub shared: Arc<Shared>,
    pub ledger: Ledger,
    /// Made when it is first needed, where nothing is sent; nothing, if the datamodel is not the application's.
    pub composer: OnceCell<Option<Rc<dyn Composer>>>,
    pub make_composer: Arc<MakeComposer>,
    /// Messages are sent from here.
    pub sends: bool,
    /// Some notification may be settled.
    pub settled: Rc<Notify>,
}

impl Upkeep {
    fn composer(&self) -> Option<&Rc<dyn Composer>> {
        self.composer
            .get_or_init(|| (self.make_composer)().map(Rc::from))
            .as_ref()
    }

    fn stopping(&self) -> bool {
        *self.shared.stopping.borrow()
    }

    /// Waits for so long, or until all is to stop.
    async fn rest(&self, woken: impl Future<Output = ()>, most: Duration) {
        let mut stopping = self.shared.stopping.subscribe();
        tokio::select! {
            _ = timeout(most, woken) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }
}

/// Reports settled notifications to the application until all is to stop.
pub(super) async fn report(upkeep: Rc<Upkeep>) {
    let mut complained = false;
    let poll = if upkeep.sends {
        upkeep.options.poll
    } else {
        EVERY_IDLE
    };
    loop {
        upkeep.rest(upkeep.settled.notified(), poll).await;
        if upkeep.stopping() {
            return;
        }
        match report_some(&upkeep).await {
            Ok(()) => complained = false,
            Err(error) if !std::mem::replace(&mut complained, true) => {
                tracing::warn!(cause = %error, "settled notifications cannot be read; retrying");
            }
            Err(_) => {}
        }
    }
}

/// Those that are not reported are due again when the lease ends; by then others have had their turn.
async fn report_some(upkeep: &Upkeep) -> Result<(), StatementError> {
    let settled = upkeep.ledger.claim_reports().await?;
    let mut reported = Vec::with_capacity(settled.len());
    for one in settled {
        let Some(composer) = upkeep.composer() else {
            // There is nobody who would want to know.
            reported.push(one.notification);
            continue;
        };
        match composer.settled(&one).await {
            Ok(()) => reported.push(one.notification),
            // Those behind it must not wait without end.
            Err(ComposeError::Never(reason)) => {
                tracing::error!(
                    notification = one.notification,
                    reason,
                    "a settled notification cannot be reported"
                );
                reported.push(one.notification);
            }
            Err(ComposeError::Later(reason)) => {
                tracing::debug!(
                    notification = one.notification,
                    reason,
                    "a settled notification is reported later"
                );
            }
        }
    }
    if reported.is_empty() {
        Ok(())
    } else {
        upkeep.ledger.reported(&reported).await
    }
}

/// Puts the ledger in order now and then until all is to stop.
pub(super) async fn tidy(upkeep: Rc<Upkeep>) {
    while !upkeep.stopping() {
        if let Err(error) = tidy_once(&upkeep).await {
            tracing::debug!(cause = %error, "the ledger of push was not tidied");
        }
        let every = if upkeep.sends { EVERY } else { EVERY_IDLE };
        upkeep.rest(std::future::pending(), every).await;
    }
}

async fn tidy_once(upkeep: &Upkeep) -> Result<(), StatementError> {
    let ledger = &upkeep.ledger;
    drop_old_jobs(upkeep).await?;
    if !upkeep.sends {
        end_late_jobs(upkeep).await?;
        while !upkeep.stopping() && ledger.expire(ROWS).await? > 0 {}
    }
    ledger.settle_left().await?;
    upkeep.settled.notify_one();
    // Piece by piece, and not what another server is about.
    let age = upkeep.options.keep_for;
    while !upkeep.stopping() {
        let deliveries = ledger.trim_deliveries(age, DELIVERIES).await?;
        if deliveries + ledger.trim_notifications(age, ROWS).await? == 0 {
            break;
        }
    }
    Ok(())
}

async fn drop_old_jobs(upkeep: &Upkeep) -> Result<(), StatementError> {
    while !upkeep.stopping() {
        let dropped = upkeep.ledger.drop_old_jobs(MAX_AGE, ROWS).await?;
        if dropped == 0 {
            break;
        }
        PUSH_JOBS_GIVEN_UP.add((), dropped as u64);
        let hours = MAX_AGE.as_secs() / 3_600;
        tracing::error!(
            jobs = dropped,
            hours,
            "jobs of push that nobody could carry out for so long are given up"
        );
    }
    Ok(())
}

/// Jobs whose time is long past; those that could still be sent are left to somebody who sends.
async fn end_late_jobs(upkeep: &Upkeep) -> Result<(), StatementError> {
    while !upkeep.stopping() {
        let claimed = upkeep.ledger.claim_late_jobs(MAX_AGE).await?;
        let Some(claimed) = claimed.first() else {
            break;
        };
        let (ledger, settled) = (&upkeep.ledger, &*upkeep.settled);
        let Some(composer) = upkeep.composer() else {
            // Nobody knows what it was about.
            ledger.finish_job(claimed).await?;
            continue;
        };
        let ending = Ending {
            ledger,
            composer: &**composer,
            settled,
        };
        if let Some(reason) = Ending::of(claimed) {
            ending.give_up(claimed, reason).await?;
            continue;
        }
        let after = claimed
            .expansion
            .as_ref()
            .map(|expansion| expansion.reached.as_str());
        match composer.compose(&claimed.job, after).await {
            Ok(Composed::Nothing) => ending.finish(claimed).await?,
            Ok(Composed::Later(time)) => ledger.wait_until(claimed, time).await?,
            Ok(Composed::TooLate) => ending.give_up(claimed, Ending::TOO_LATE).await?,
            Ok(Composed::Notify(_)) => ledger.put_off_job(claimed, IDLE_PAUSE, None, false).await?,
            Err(ComposeError::Later(reason) | ComposeError::Never(reason)) => {
                ledger
                    .put_off_job(claimed, IDLE_PAUSE, Some(&reason), false)
                    .await?;
            }
        }
    }
    Ok(())
}
