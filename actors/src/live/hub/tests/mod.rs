//! The hub between two of its steps: only here it can be held there. A world has a log, a hub and a subscriber.

mod another_log;
mod arriving;
mod cohorts;
mod diverged;
mod plans;
mod slow_lane;
mod trimmed;

use bytes::Bytes;
use futures::FutureExt;
use gom_engine::datamodel::parse;
use gom_engine::plan::PageLimits;
use gom_engine::request::{RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use gom_test_support::TestDatabase;
use tokio_postgres::Client;

use super::super::catch_up::CatchUp;
use super::super::cohort::{Arriving, Cohort, Traveller};
use super::super::join::Progress;
use super::super::local::{Room, Sink};
use super::super::sinks::Sinks;
use super::super::{Delivered, LiveError};
use super::*;
use crate::database::DatabaseOptions;
use crate::migrations::{Deployment, apply};
use gom_runtime::supervision::{Supervised, supervise};
use gom_telemetry::health::HealthReporter;
use gom_telemetry::metrics::AtomicInstant;

const SCHEMA: &str = "default$default";
const MODEL: &str = "type Fan { id: ID! @id }";

struct World {
    hub: Hub,
    /// Another one, which knows nobody.
    other: Supervised<Hub>,
    outlets: RefCell<Vec<Supervised<LocalHub>>>,
    interest: Interest,
    client: Client,
    _database: TestDatabase,
}

impl World {
    async fn new() -> World {
        let test = TestDatabase::create().await;
        let model = parse("datamodel.prisma", MODEL).unwrap();
        let mut client = test.connect().await;
        let deployment = Deployment::new(&model, MODEL, SCHEMA);
        apply(&mut client, &deployment, &|_| {}).await.unwrap();
        client
            .batch_execute(&format!("set search_path = \"{SCHEMA}\""))
            .await
            .unwrap();
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let physical = Physical::new(model, &PhysicalOptions::in_schema(SCHEMA));
        let mut options = DatabaseOptions::new(test.config());
        options.workers = 1;
        let database = Database::start(options).unwrap();
        let options = LiveOptions {
            schema: SCHEMA.to_owned(),
            poll: Duration::from_secs(1),
            keep_for: Duration::from_secs(3_600),
            keep: 1_000,
            keep_bytes: 0,
            keep_keys_for: Duration::from_secs(3_600),
            user_budget: Duration::from_secs(1),
            max_lag: Duration::from_secs(60),
            redis: None,
        };
        let shared = || {
            Arc::new(Shared {
                head: tokio::sync::watch::Sender::new(None),
                members: 0.into(),
                arriving: 0.into(),
                waking: false.into(),
                level_is_wanted: false.into(),
                announce: tokio::sync::Notify::new(),
                elsewhere: std::sync::OnceLock::new(),
                reporter: HealthReporter::new(),
                looked: AtomicInstant::default(),
                behind: AtomicInstant::default(),
            })
        };
        let encode: Arc<Encode> = Arc::new(|_, _, _| Bytes::new());
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let served = Served::new(&schema).unwrap();
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        let text = "subscription { fan { node { id } } }";
        let prepared = requests
            .prepare(text, None, &RequestLimits::UNLIMITED)
            .unwrap();
        let variables = requests
            .coerce(&prepared.operation, &serde_json::Map::new())
            .unwrap();
        let fans = planner
            .subscription(&prepared, variables, PageLimits::default(), None)
            .unwrap();
        let make = move || Hub::new(&options, &database, &planner, &encode, shared());
        let hub = make();
        let other = supervise(16, make);
        let interest = Interest::Events(Arc::new(fans));
        let world = World {
            hub,
            other,
            outlets: RefCell::default(),
            interest,
            client,
            _database: test,
        };
        world.hub.core.known_epoch().await.unwrap();
        let (member, interest) = (Member { worker: 0, slot: 0 }, world.interest.clone());
        world
            .core()
            .groups
            .borrow_mut()
            .add(member, interest, &Owner::Service, Presence::new());
        world
    }

    fn core(&self) -> &Rc<Core> {
        &self.hub.core
    }

    /// A member of a worker, with what its events go to.
    fn member(&self, worker: u64, sink: Rc<dyn Sink>) -> Arriving {
        let (sinks, owner) = (
            Rc::new(Sinks::new(gom_runtime::waiting::Waiting::unbounded())),
            Owner::Service,
        );
        let member = Member {
            worker,
            slot: sinks.enter(sink, &owner),
        };
        let outlet = supervise(64, move || LocalHub {
            sinks: Rc::clone(&sinks),
        });
        self.core()
            .workers
            .borrow_mut()
            .insert(worker, outlet.get().unwrap());
        self.outlets.borrow_mut().push(outlet);
        self.core().arriving.borrow_mut().insert(member);
        Arriving {
            member,
            owner,
            interest: self.interest.clone(),
            presence: Presence::new(),
        }
    }

    /// One that catches up by itself.
    fn alone(&self, arriving: Arriving, from: Cursor) -> CatchUp {
        let hub = self.other.get().unwrap();
        let cohort = Cohort::new(vec![Traveller::new(arriving, from)]);
        CatchUp::new(self.core(), &hub, cohort)
    }

    /// Of one who has had everything up to the cursor of a change.
    fn cursor(state: LogState, part: u32) -> Cursor {
        Cursor {
            nonce: state.nonce,
            ..Cursor::after_change(state.epoch, state.position, part)
        }
    }

    /// Whether the subscriber is still served; if not, it has to read again.
    fn is_served(&self) -> bool {
        !self.core().groups.borrow().is_idle()
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Where the log stands once all is stamped.
    async fn stamped(&self) -> LogState {
        self.core().decider.log.stamp().await.unwrap()
    }
}

/// Takes one event, and no more before it is opened.
#[derive(Default)]
struct Shut {
    parts: RefCell<Vec<u32>>,
    noted: Cell<Option<Cursor>>,
    opened: Cell<bool>,
    opening: Rc<tokio::sync::Notify>,
}

impl Shut {
    fn open(&self) {
        self.opened.set(true);
        self.opening.notify_waiters();
    }
}

impl Sink for Shut {
    fn noted(&self, after: Cursor) {
        self.noted.set(Some(after));
    }

    fn event(&self, event: &Delivered) {
        self.parts.borrow_mut().push(event.cursor.part);
    }

    fn ended(&self, reason: LiveError) {
        panic!("{reason}");
    }

    fn room(&self) -> Option<Room> {
        let opening = Rc::clone(&self.opening);
        let is_full = !self.opened.get() && !self.parts.borrow().is_empty();
        is_full.then(|| async move { opening.notified().await }.boxed_local())
    }
}
