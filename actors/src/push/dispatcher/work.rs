//! What the dispatcher's tasks share.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::in_flight::InFlight;
use super::jobs::JobsInFlight;
use super::origins::Origins;
use super::throttled::Throttled;
use crate::database::StatementError;
use crate::push::MakeId;
use crate::push::devices::Devices;
use crate::push::job::Composer;
use crate::push::ledger::{ClaimedJob, Ledger, Record, StoredNotice};
use crate::push::notice::{Data, Text, Urgency};
use crate::push::options::PushOptions;
use crate::push::sender::Sender;
use gom_telemetry::health::Condition;
use gom_telemetry::metrics::PUSH_IN_FLIGHT;

/// Pauses while the database, or whatever else, is away.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// Texts that are kept because more devices will get the same.
const TEXTS: usize = 256;

pub(super) struct Work {
    pub options: Arc<PushOptions>,
    pub shared: Arc<Shared>,
    /// Jobs, deliveries, long jobs once they are claimed, and leases each have a connection, so that none waits for another.
    pub jobs: Ledger,
    pub ledger: Ledger,
    pub expansions: Ledger,
    pub leases: Ledger,
    pub devices: Devices,
    pub sender: Sender,
    /// For long jobs one of its own: a composer's reads share a connection.
    pub composer: Rc<dyn Composer>,
    pub long_composer: Box<dyn Composer>,
    pub ids: Arc<MakeId>,
    pub origins: RefCell<Origins>,
    pub throttled: RefCell<Throttled>,
    /// The deliveries that are claimed and not recorded; and whether some are being claimed.
    pub in_flight: RefCell<InFlight>,
    pub claiming: Cell<bool>,
    /// The same for jobs.
    pub jobs_in_flight: RefCell<JobsInFlight>,
    pub claiming_jobs: Cell<bool>,
    pub texts: RefCell<HashMap<String, Rc<Prepared>>>,
    /// There may be deliveries to be made.
    pub due: Notify,
    /// A delivery is off our hands.
    pub freed: Notify,
    /// Some notification may be settled.
    pub settled: Rc<Notify>,
    pub done: mpsc::Sender<Done>,
}

/// A delivery that has ended for now.
pub(super) struct Done {
    pub record: Record,
    pub notification: String,
}

/// A notification that is being sent.
pub(super) struct Prepared {
    pub whole: Vec<u8>,
    /// For push services that find the whole too long.
    pub short: Vec<u8>,
    pub urgency: Urgency,
    pub topic: Option<String>,
    pub expires: Instant,
}

/// Bytes that every push service takes, far below what they must.
const SHORT: usize = 1_000;

impl Prepared {
    /// Nothing if it is too late for it.
    pub fn new(notice: &StoredNotice, limit: usize) -> Option<Self> {
        let text = Text {
            title: &notice.title,
            body: &notice.body,
            data: Data {
                kind: &notice.kind,
                uid: &notice.node,
                operation: notice.operation.as_deref(),
            },
        };
        Some(Prepared {
            whole: text.fit(limit),
            short: text.fit(limit.min(SHORT)),
            urgency: Urgency::of(&notice.urgency).unwrap_or(Urgency::Normal),
            topic: notice.topic.clone(),
            expires: Instant::now() + notice.left?,
        })
    }
}

impl Drop for Work {
    /// With its actor, which is rebuilt if it has broken.
    fn drop(&mut self) {
        self.shared.reporter.report(Condition::Down);
    }
}

impl Work {
    /// The connection for statements about a job. Those of a long job may wait for a transaction that has written its node;
    /// statements about orders do not wait behind them.
    pub fn ledger_of(&self, job: &ClaimedJob) -> &Ledger {
        if job.long {
            &self.expansions
        } else {
            &self.jobs
        }
    }

    pub fn stopping(&self) -> bool {
        *self.shared.stopping.borrow()
    }

    /// Publishes how much is in flight, for a shutdown that waits for its end.
    pub fn publish_in_flight(&self) {
        let claiming = usize::from(self.claiming.get()) + usize::from(self.claiming_jobs.get());
        let jobs = self.jobs_in_flight.borrow().len();
        let deliveries = self.in_flight.borrow().len();
        PUSH_IN_FLIGHT.set((), deliveries as u64);
        self.shared
            .in_flight
            .send_replace(deliveries + jobs + claiming);
    }

    /// Waits for a wake-up, for so long at most, or until all is to stop.
    pub async fn rest(&self, woken: &Notify, most: Duration) {
        self.rest_until(woken.notified(), most).await;
    }

    /// The same, for either of two wake-ups.
    pub async fn rest_for_either(&self, woken: [&Notify; 2], most: Duration) {
        let either = async {
            tokio::select! {
                () = woken[0].notified() => {}
                () = woken[1].notified() => {}
            }
        };
        self.rest_until(either, most).await;
    }

    async fn rest_until(&self, woken: impl Future<Output = ()>, most: Duration) {
        let mut stopping = self.shared.stopping.subscribe();
        tokio::select! {
            _ = timeout(most, woken) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }

    /// Says once that something fails, until it succeeds, and waits a little.
    pub async fn pause_after(
        &self,
        what: &'static str,
        error: &StatementError,
        complained: &mut bool,
    ) {
        if !std::mem::replace(complained, true) {
            tracing::warn!(cause = %error, "{what} cannot be read; retrying");
        }
        self.rest(&Notify::new(), PAUSE_AFTER_FAILURE).await;
    }

    /// The texts of these notifications; those that have expired are left out.
    pub async fn prepared(
        &self,
        ids: &HashSet<String>,
    ) -> Result<HashMap<String, Rc<Prepared>>, StatementError> {
        let now = Instant::now();
        let mut found: HashMap<String, Rc<Prepared>> = {
            let texts = self.texts.borrow();
            let known = |id: &String| Some((id.clone(), Rc::clone(texts.get(id)?)));
            ids.iter()
                .filter_map(known)
                .filter(|(_, prepared)| prepared.expires > now)
                .collect()
        };
        let missing: Vec<String> = ids
            .iter()
            .filter(|id| !found.contains_key(*id))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let stored = self.ledger.texts(&missing).await?;
        let mut texts = self.texts.borrow_mut();
        if texts.len() > TEXTS {
            texts.clear();
        }
        for notice in stored {
            if let Some(prepared) = Prepared::new(&notice, self.sender.limit()).map(Rc::new) {
                texts.insert(notice.id.clone(), Rc::clone(&prepared));
                found.insert(notice.id, prepared);
            }
        }
        Ok(found)
    }
}

/// A number that nobody else has thought of at the same time.
pub(super) fn dice() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1
}
