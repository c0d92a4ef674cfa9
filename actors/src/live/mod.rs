//! Events of committed changes: the `ChangeFeed`, which tails the change log, the `Hub`, which decides which subscribers get
//! what, and on each worker a `LocalHub`, which hands it over. Knows no protocol and makes no text of its own.

mod answering;
mod behind;
mod budget;
mod catch_up;
mod cohort;
mod columns;
mod decide;
mod feed;
mod gathering;
mod groups;
mod hub;
mod join;
mod leaves;
mod level;
mod local;
mod locate;
mod log;
mod partitions;
mod sinks;
mod slow;
mod turns;
mod upkeep;
mod wake;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use gom_engine::events::{Cursor, EventMessage, Subscription};
use gom_engine::plan::Planner;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

pub use self::answering::AnswerTurn;
pub use self::groups::Interest;
pub use self::local::{LocalLive, Room, Sink, SubscriptionHandle};
pub use gom_runtime::owner::Owner;

use self::answering::Answering;
use self::feed::{ChangeFeed, Wake};
use self::hub::Hub;
use crate::database::Database;
use crate::redis::{RedisOptions, RedisOptionsError};
use gom_runtime::own_thread::OwnThread;
use gom_runtime::supervision::{self, Supervised};
use gom_runtime::waiting::Waiting;
use gom_telemetry::health::{Condition, HealthReporter, HealthStatus};
use gom_telemetry::metrics::{AtomicInstant, FEED_LAG, FEED_LOOKED};

/// A change feed that has been behind for longer is not ready: `gom_feed_lag_seconds`.
pub const MAX_FEED_LAG: Duration = Duration::from_secs(5);
const FEED_MAILBOX: usize = 64;
/// Every socket may come and go at once.
const HUB_MAILBOX: usize = 1 << 17;

/// How the log is read and how long it is kept.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// The PostgreSQL schema of the models' tables.
    pub schema: String,
    /// How often the log is polled for commits that neither this server nor Redis has announced, while there are subscribers.
    pub poll: Duration,
    /// Changes older than this are forgotten, and with them the cursors before them.
    pub keep_for: Duration,
    /// So many changes are kept, and an eighth more at most; or a quarter, if partitions cannot be dropped.
    pub keep: u64,
    /// The bytes of the log, in whole partitions, beyond which the oldest partitions are forgotten; 0: no bound.
    pub keep_bytes: u64,
    /// Idempotency keys that were first used longer ago are removed.
    pub keep_keys_for: Duration,
    /// What the subscriptions of one user may take of the hub's time at once; anyone who takes more goes to the slow lane.
    pub user_budget: Duration,
    /// How far a subscription in the slow lane may fall behind before it is ended.
    pub max_lag: Duration,
    /// Through which nodes wake each other; none: they find out by looking.
    pub redis: Option<RedisOptions>,
}

/// Makes the bytes that subscribers get of a message: the payload that a statement gave, and the rows that have left.
pub type Encode = dyn Fn(&Subscription, &EventMessage, Cursor) -> Bytes + Send + Sync;

/// One event, as all subscribers of a group get it.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Nothing for a [`Interest::Touch`].
    pub payload: Bytes,
    /// Where a subscriber that has received it goes on.
    pub cursor: Cursor,
}

/// Why a subscriber gets no more events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiveError {
    /// The cursor is older than the retention, of another epoch, or of what the database has lost.
    #[error(
        "what follows the cursor is not known: it is older than what is kept, or this database does not have its state (any more). \
         Read again what you show, and subscribe without a cursor"
    )]
    Resync,
    /// The same: a change of another row moves more rows than are reported.
    #[error(
        "a change of a related row moves too many rows into or out of the subscription: read again what you show, and \
         subscribe without a cursor"
    )]
    TooManyMoved,
    /// The database has no change log.
    #[error(
        "this database has no change log: bring it to the datamodel (`gom migrate apply`, or --deploy)"
    )]
    Unlogged,
    /// A table that the subscription reads has no triggers.
    #[error(
        "changes of the table `{0}` are not logged: bring the database to the datamodel (`gom migrate apply`, or --deploy)"
    )]
    UnloggedTable(String),
    /// The same may be asked again, with the last cursor.
    #[error("changes cannot be followed at the moment: {0}")]
    Unavailable(String),
    /// The subscription's own doing: the same would end in the same way.
    #[error(
        "this subscription takes too long to decide: it has fallen behind by more than {} ms (live.max_lag). Ask for less \
         in its filter and its selection", .0.as_millis()
    )]
    Costly(Duration),
    /// The same: not even one change can be decided in the time that a statement may take.
    #[error(
        "this subscription takes too long to decide: a single change takes more than {} ms, and was tried again for {} ms \
         (live.max_lag). Ask for less in its filter and its selection", .statement.as_millis(), .max_lag.as_millis()
    )]
    CostlyChange {
        /// How long a statement may take.
        statement: Duration,
        /// How far a subscription may fall behind.
        max_lag: Duration,
    },
    /// A fault of ours.
    #[error("{0}")]
    Failed(String),
}

/// Why nothing can be followed.
#[derive(Debug, thiserror::Error)]
pub enum LiveStartError {
    /// Redis' address cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisOptionsError),
    /// The hub does not answer.
    #[error("the hub's thread has ended, or panicked (see the log)")]
    Thread,
}

/// What happens to the data. Cloning is cheap; all ends with the last clone.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
    hub: Supervised<Hub>,
    feed: Arc<Supervised<ChangeFeed>>,
    answering: Answering,
    /// Nothing: they run on the thread that started them.
    _thread: Option<Arc<OwnThread>>,
}

/// What the threads read of each other without asking.
struct Shared {
    /// Up to where everything has been delivered.
    head: watch::Sender<Option<Cursor>>,
    members: AtomicUsize,
    arriving: AtomicUsize,
    /// A `Wake` is on its way: others need not be sent.
    waking: AtomicBool,
    /// Somebody wants to know how far the hub is.
    level_is_wanted: AtomicBool,
    /// Other nodes are to be notified.
    announce: Notify,
    /// Who else is called when something was committed on another node.
    elsewhere: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Of the feed.
    reporter: HealthReporter,
    /// When the log was looked at last.
    looked: AtomicInstant,
    /// Since when there is something to deliver.
    behind: AtomicInstant,
}

/// A [`Live`] that does not keep the feed and the hub alive.
struct WeakLive {
    shared: Weak<Shared>,
    feed: Weak<Supervised<ChangeFeed>>,
}

impl WeakLive {
    /// Something was committed on another node. Nothing, once all has ended.
    fn committed_elsewhere(&self) -> Option<()> {
        let (shared, feed) = (self.shared.upgrade()?, self.feed.upgrade()?);
        wake(&shared, &feed);
        if let Some(call) = shared.elsewhere.get() {
            call();
        }
        Some(())
    }

    fn has_ended(&self) -> bool {
        self.feed.strong_count() == 0
    }
}

fn wake(shared: &Shared, feed: &Supervised<ChangeFeed>) {
    if shared.members.load(Ordering::Relaxed) > 0 && !shared.waking.swap(true, Ordering::AcqRel) {
        // A feed that is restarting looks by itself.
        if feed.post(Wake).is_err() {
            shared.waking.store(false, Ordering::Release);
        }
    }
}

impl Live {
    /// Starts the feed and the hub on this thread, which needs an actix system. Returns at once, whether or not the
    /// database is there.
    ///
    /// # Errors
    /// Options that make no address.
    pub fn start(
        options: LiveOptions,
        database: &Database,
        planner: Planner,
        encode: Arc<Encode>,
    ) -> Result<Self, RedisOptionsError> {
        let shared = Arc::new(Shared {
            head: watch::Sender::new(None),
            members: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
            waking: AtomicBool::new(false),
            level_is_wanted: AtomicBool::new(false),
            announce: Notify::new(),
            elsewhere: OnceLock::new(),
            reporter: HealthReporter::new(),
            looked: AtomicInstant::default(),
            behind: AtomicInstant::default(),
        });
        let redis = options.redis.clone();
        let options = Arc::new(options);
        let hub = {
            let (shared, options, database) =
                (Arc::clone(&shared), Arc::clone(&options), database.clone());
            supervision::supervise(HUB_MAILBOX, move || {
                Hub::new(&options, &database, &planner, &encode, Arc::clone(&shared))
            })
        };
        let feed = {
            let (shared, hub, database) = (Arc::clone(&shared), hub.clone(), database.clone());
            supervision::supervise(FEED_MAILBOX, move || {
                ChangeFeed::new(
                    Arc::clone(&options),
                    &database,
                    hub.clone(),
                    Arc::clone(&shared),
                )
            })
        };
        let live = Live {
            shared,
            hub,
            feed: Arc::new(feed),
            answering: Answering::default(),
            _thread: None,
        };
        if let Some(redis) = redis {
            wake::between_nodes(&redis, &live)?;
        }
        Ok(live)
    }

    /// The same in a thread of their own: what they decide for subscribers takes its time, and nobody else is to wait for
    /// it. Waits for nothing but the thread.
    ///
    /// # Errors
    /// As for [`Live::start`]; or the thread has ended.
    pub async fn start_apart(
        options: LiveOptions,
        database: &Database,
        planner: Planner,
        encode: Arc<Encode>,
    ) -> Result<Self, LiveStartError> {
        let (thread, database) = (OwnThread::start(), database.clone());
        let started = thread
            .run(move || Live::start(options, &database, planner, encode))
            .await;
        let live = started.ok_or(LiveStartError::Thread)??;
        Ok(Live {
            _thread: Some(Arc::new(thread)),
            ..live
        })
    }

    /// The same for this worker thread, which needs an actix system: call it once in each.
    #[must_use]
    pub fn local(&self) -> LocalLive {
        self.local_within(&Waiting::unbounded())
    }

    /// The same, where events that wait for clients to read them count in what waits for these.
    #[must_use]
    pub fn local_within(&self, waiting: &Waiting) -> LocalLive {
        LocalLive::start(self.clone(), waiting)
    }

    fn downgrade(&self) -> WeakLive {
        WeakLive {
            shared: Arc::downgrade(&self.shared),
            feed: Arc::downgrade(&self.feed),
        }
    }

    /// Something was committed here: it is looked for at once, here and on other nodes.
    pub fn wake(&self) {
        wake(&self.shared, &self.feed);
        self.shared.announce.notify_one();
    }

    /// From now on subscribers receive the position of the hub now and then ([`Sink::level`]).
    pub fn tell_level(&self) {
        self.shared.level_is_wanted.store(true, Ordering::Relaxed);
    }

    /// Has this called when other nodes have committed something, as far as Redis carries it from one to the other: some times
    /// in a hundredth of a second at most, and perhaps for nothing. The first call counts.
    pub fn on_commits_elsewhere(&self, call: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.elsewhere.set(Box::new(call));
    }

    /// How the change feed is doing; off: the database has no change log.
    pub fn status(&self) -> HealthStatus {
        let mut status = self.shared.reporter.status();
        if status.condition == Condition::Ready
            && let Some(lag) = self.lag()
            && lag > MAX_FEED_LAG
        {
            status.condition = Condition::Behind;
            status.since = Instant::now() - lag;
        }
        status
    }

    /// For how long there has been something committed that the hub has not delivered; nothing if there is not.
    pub fn lag(&self) -> Option<Duration> {
        self.shared.behind.age()
    }

    /// Brings up to date what the metrics say of time.
    pub fn read_metrics(&self) {
        let status = self.shared.reporter.status();
        match self.shared.looked.age() {
            Some(age) => FEED_LOOKED.set_duration((), age),
            None if status.condition == Condition::Off => FEED_LOOKED.forget(()),
            // Not once: for as long as it has tried.
            None => FEED_LOOKED.set_duration((), status.since.elapsed()),
        }
        FEED_LAG.set_duration((), self.lag().unwrap_or_default());
    }

    /// How many subscribers there are on this node.
    pub fn members(&self) -> usize {
        self.shared.members.load(Ordering::Relaxed)
    }

    /// How many of them still read by themselves what they have missed.
    pub fn arriving(&self) -> usize {
        self.shared.arriving.load(Ordering::Relaxed)
    }

    /// Up to where everything has been delivered on this node; nothing before the database was reached.
    pub fn head(&self) -> Option<Cursor> {
        *self.shared.head.borrow()
    }

    /// The same, waited for so long if the database has not been reached yet.
    pub async fn head_within(&self, patience: Duration) -> Option<Cursor> {
        let mut head = self.shared.head.subscribe();
        let known = timeout(patience, head.wait_for(Option::is_some)).await;
        known.ok().and_then(Result::ok).and_then(|head| *head)
    }
}
