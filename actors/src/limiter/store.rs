//! What the limiter asks of the place where it counts. A request is carried out as a whole or not at all, and its
//! answer (or why there is none) comes within 550 ms.

use std::time::Duration;

use futures::future::BoxFuture;

use super::Limit;
use gom_telemetry::health::HealthReporter;

/// The longest window there is, for one that never ends: a century.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Points to be taken from one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Take {
    /// Which limit, a colon, and whose: as rate-limiter-flexible writes it.
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
pub(super) struct Count {
    /// Points taken in this window. More than the limit has means blocked.
    pub consumed: u32,
    /// Until the window or the block ends.
    pub left: Duration,
    /// Nothing is left just now, but would be if the attempts in flight were right. The point was not taken.
    pub busy: bool,
}

impl Count {
    /// Whether the counter admits nobody until its window or block ends.
    pub fn blocks(&self, take: &Take) -> bool {
        self.consumed > take.limit.points && !self.busy
    }
}

/// What a success does to one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settle {
    /// It gets a point back, if it has not ended meanwhile.
    Back(String),
    /// It starts over.
    Reset(String),
}

pub(super) trait LimiterStore {
    /// How the connection to it is doing.
    fn reporter(&self) -> &HealthReporter;

    /// Takes the points. If one of the counters has too few, the others get one point back; a counter that is only
    /// [`Count::busy`] gets its own back as well, and is not blocked. The counts come in the order of the takes,
    /// which must always be the same order of kinds.
    fn reserve(&self, takes: Vec<Take>) -> BoxFuture<'static, Result<Vec<Count>, String>>;

    fn settle(&self, settlements: Vec<Settle>) -> BoxFuture<'static, Result<(), String>>;

    /// Removes some counters that have ended; whether there may be more.
    fn sweep(&self) -> BoxFuture<'static, Result<bool, String>>;
}
