//! The `PushDispatcher`: one per process, in a thread of its own. Expands jobs, makes deliveries, keeps the devices.
//! What it has claimed is leased in the database: should it die, it or another goes on from what is written there.

mod deliver;
mod devices;
mod expand;
mod in_flight;
mod jobs;
mod origins;
mod record;
mod schedule;
mod throttled;
mod upkeep;
mod work;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext, Handler, Message, ResponseFuture, WrapFuture};
use tokio::sync::{Notify, mpsc, watch};

pub(super) use self::devices::{ForgetSession, Renew, Subscribe, Unsubscribe};
use self::in_flight::InFlight;
use self::origins::Origins;
use self::upkeep::Upkeep;
use self::work::Work;
use super::devices::Devices;
use super::job::Composer;
use super::ledger::{Backlog, Ledger};
use super::sender::Sender;
use super::{MakeComposer, MakeId, PushOptions};
use crate::database::Database;
use gom_runtime::supervision::{Context, SupervisedActor};
use gom_telemetry::health::{Condition, HealthReporter};
use gom_telemetry::metrics::{ActorKind, PUSH_REFUSING};

/// For a step of an expansion, and for what looks at much of the ledger now and then: on a slow disk they take long.
const LONG_LIMIT: Duration = Duration::from_secs(60);

/// For a count that nobody waits for much longer.
const OBSERVER_LIMIT: Duration = Duration::from_secs(2);

/// What the threads see of it without asking.
pub(super) struct Shared {
    /// There may be a job.
    pub woken: Notify,
    /// There may be one of another process's.
    pub heard: Notify,
    pub stopping: watch::Sender<bool>,
    /// Deliveries that are claimed and not recorded, and whether jobs are.
    pub in_flight: watch::Sender<usize>,
    /// Of the look at jobs.
    pub reporter: HealthReporter,
    /// Push services that refuse this server.
    pub refusing: AtomicUsize,
}

/// What it is built from, each time.
pub(super) struct Parts {
    pub options: Arc<PushOptions>,
    pub database: Database,
    pub devices: Devices,
    /// Nothing: there are no keys, and nothing is sent.
    pub sender: Option<Sender>,
    pub composer: Arc<MakeComposer>,
    pub ids: Arc<MakeId>,
    pub shared: Arc<Shared>,
}

pub(super) struct PushDispatcher {
    parts: Arc<Parts>,
    /// Connects when the backlog is first requested.
    observer: Rc<Ledger>,
}

impl PushDispatcher {
    pub fn new(parts: Arc<Parts>) -> Self {
        let options = &parts.options;
        let observer = Ledger::new(
            &parts.database,
            "",
            &options.schema,
            options.lease,
            Some(OBSERVER_LIMIT),
        );
        PushDispatcher {
            observer: Rc::new(observer),
            parts,
        }
    }
}

impl SupervisedActor for PushDispatcher {
    const KIND: ActorKind = ActorKind::PushDispatcher;
}

impl Actor for PushDispatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let parts = &self.parts;
        // What the one before knew of push services is not known any more.
        parts.shared.refusing.store(0, Ordering::Relaxed);
        PUSH_REFUSING.set((), 0);
        // A new one each time: what the previous one has in flight is not this one's.
        let who = uuid::Uuid::new_v4().simple().to_string();
        let ledger = |limit| {
            Ledger::new(
                &parts.database,
                &who,
                &parts.options.schema,
                parts.options.lease,
                limit,
            )
        };
        let sender = parts.sender.as_ref().filter(|_| parts.options.dispatches);
        let sending =
            sender.and_then(|sender| Some((sender, (parts.composer)()?, (parts.composer)()?)));
        let settled = Rc::new(Notify::new());
        let upkeep = |composer, sends| {
            Rc::new(Upkeep {
                options: Arc::clone(&parts.options),
                shared: Arc::clone(&parts.shared),
                ledger: ledger(Some(LONG_LIMIT)),
                composer,
                make_composer: Arc::clone(&parts.composer),
                sends,
                settled: Rc::clone(&settled),
            })
        };
        let Some((sender, composer, long_composer)) = sending else {
            parts.shared.reporter.report(Condition::Off);
            let upkeep = upkeep(OnceCell::new(), false);
            ctx.spawn(upkeep::report(Rc::clone(&upkeep)).into_actor(self));
            ctx.spawn(upkeep::tidy(upkeep).into_actor(self));
            return;
        };
        let composer: Rc<dyn Composer> = Rc::from(composer);
        let upkeep = upkeep(OnceCell::from(Some(Rc::clone(&composer))), true);
        // A delivery is in flight until it is recorded: no more results wait than deliveries may be in flight.
        let (done, results) = mpsc::channel(parts.options.concurrency.max(1));
        let work = Rc::new(Work {
            shared: Arc::clone(&parts.shared),
            jobs: ledger(None),
            ledger: ledger(None),
            expansions: ledger(Some(LONG_LIMIT)),
            leases: ledger(None),
            devices: parts.devices.clone(),
            sender: sender.clone(),
            composer,
            long_composer,
            ids: Arc::clone(&parts.ids),
            origins: RefCell::new(Origins::new(parts.options.per_origin, parts.options.retry)),
            throttled: RefCell::default(),
            options: Arc::clone(&parts.options),
            in_flight: RefCell::new(InFlight::new(parts.options.lease)),
            claiming: Cell::new(false),
            jobs_in_flight: RefCell::default(),
            claiming_jobs: Cell::new(false),
            texts: RefCell::new(HashMap::new()),
            due: Notify::new(),
            freed: Notify::new(),
            settled,
            done,
        });
        parts.shared.in_flight.send_replace(0);
        ctx.spawn(jobs::carry_out_jobs(Rc::clone(&work)).into_actor(self));
        ctx.spawn(jobs::hear(Arc::clone(&parts.shared)).into_actor(self));
        ctx.spawn(jobs::keep_leases(Rc::clone(&work)).into_actor(self));
        ctx.spawn(deliver::make_deliveries(Rc::clone(&work)).into_actor(self));
        ctx.spawn(record::record(Rc::clone(&work), results).into_actor(self));
        ctx.spawn(record::keep_leases(work).into_actor(self));
        ctx.spawn(upkeep::report(Rc::clone(&upkeep)).into_actor(self));
        ctx.spawn(upkeep::tidy(upkeep).into_actor(self));
    }
}

/// The backlog of all servers; nothing, if it is unknown.
#[derive(Message)]
#[rtype(result = "Option<Backlog>")]
pub(super) struct AskBacklog;

impl Handler<AskBacklog> for PushDispatcher {
    type Result = ResponseFuture<Option<Backlog>>;

    fn handle(&mut self, _: AskBacklog, _: &mut Self::Context) -> Self::Result {
        let observer = Rc::clone(&self.observer);
        Box::pin(async move { observer.backlog().await.ok() })
    }
}
