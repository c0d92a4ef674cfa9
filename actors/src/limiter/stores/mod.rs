//! The interface between the limiter and the store where it counts. A request is executed as a whole or not at all, and its
//! answer, or the reason why there is none, comes within 550 ms.
//!
//! To add a store: a file here that implements [`LimiterStore`], and its module, its choice and its opening in this file.

mod postgres;
mod redis;

use std::rc::Rc;
use std::time::Duration;

use futures::future::BoxFuture;

use self::postgres::PostgresCounters;
use self::redis::RedisCounters;
use crate::database::Database;
use crate::limiter::Limit;
use crate::redis::{RedisOptions, RedisOptionsError};
use gom_telemetry::health::HealthReporter;

/// Where the attempts are counted.
#[derive(Debug, Clone)]
pub enum LimiterStoreChoice {
    /// In its database 3, as rate-limiter-flexible does.
    Redis(RedisOptions),
    /// In the table `gom.login_limit`.
    Postgres,
    /// In this process: other processes count for themselves, and a restart forgets.
    Memory,
}

impl LimiterStoreChoice {
    /// The chosen store; nothing if this process's memory is the store.
    ///
    /// # Errors
    /// If the options name no server.
    pub(in crate::limiter) fn open(
        &self,
        database: &Database,
    ) -> Result<Option<Rc<dyn LimiterStore>>, RedisOptionsError> {
        Ok(match self {
            LimiterStoreChoice::Redis(redis) => Some(Rc::new(RedisCounters::new(redis)?)),
            LimiterStoreChoice::Postgres => Some(Rc::new(PostgresCounters::new(database))),
            LimiterStoreChoice::Memory => None,
        })
    }
}

/// The longest window there is, for one that never ends: a century.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Points to be taken from one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::limiter) struct Take {
    /// The limit's name, a colon, and the key: as rate-limiter-flexible writes it.
    pub key: String,
    pub limit: Limit,
    /// This attempt's one, and those that were counted in memory while the store was away.
    pub amount: u32,
    /// Points of this process's attempts that are being checked: each of them may be given back yet.
    pub in_flight: u32,
    /// Counted against where the attempt comes from, and not against who it claims to be.
    pub of_network: bool,
    /// A right attempt makes the counter start over, instead of giving one point back.
    pub starts_over: bool,
}

impl Take {
    pub fn window(&self) -> Duration {
        if self.limit.duration.is_zero() {
            FOREVER
        } else {
            self.limit.duration.min(FOREVER)
        }
    }

    pub fn block(&self) -> Duration {
        self.limit.block_duration.min(FOREVER)
    }
}

/// A counter after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::limiter) struct Count {
    /// Points taken in this window. More than the limit has means blocked.
    pub consumed: u32,
    /// Until the window or the block ends.
    pub left: Duration,
    /// Nothing is left just now, but would be if the attempts in flight were right. The point was not taken.
    pub busy: bool,
}

impl Count {
    /// Whether the counter admits no attempt until its window or block ends.
    pub fn blocks(&self, take: &Take) -> bool {
        self.consumed > take.limit.points && !self.busy
    }
}

/// What a success does to one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::limiter) enum Adjustment {
    /// It gets a point back, if it has not ended meanwhile.
    GiveBack(String),
    /// It starts over.
    Reset(String),
}

pub(in crate::limiter) trait LimiterStore {
    /// The health of the connection to it.
    fn reporter(&self) -> &HealthReporter;

    /// Takes the points. If one of the counters has too few, the others get one point back; a counter that is only
    /// [`Count::busy`] gets its own back as well, and is not blocked. The counts come in the order of the takes,
    /// which must always be the same order of kinds.
    fn reserve(&self, takes: Vec<Take>) -> BoxFuture<'static, Result<Vec<Count>, String>>;

    fn adjust(&self, adjustments: Vec<Adjustment>) -> BoxFuture<'static, Result<(), String>>;

    /// Removes some counters that have ended; whether there may be more.
    fn sweep(&self) -> BoxFuture<'static, Result<bool, String>>;
}

/// Below zero another client has changed the counter: that counts as nothing taken.
fn count(consumed: i64, left: i64, busy: bool) -> Count {
    Count {
        consumed: u32::try_from(consumed.max(0)).unwrap_or(u32::MAX),
        left: Duration::from_millis(u64::try_from(left).unwrap_or(0)),
        busy,
    }
}
