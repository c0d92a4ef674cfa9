//! The `RateLimiter`: one per process. Owns the store and the fallback. Each request is a task of its own, so that
//! many are in flight at once; the actor itself never waits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext, Handler, Message, ResponseFuture};
use tokio::time::{Instant, sleep, timeout};

use super::fallback::{InMemoryFallback, blocked};
use super::in_flight::{InFlight, Point};
use super::stores::{Adjustment, Count, LimiterStore, Take};
use super::{Reservation, Verdict};
use gom_runtime::permits::{OverloadError, Permits};
use gom_runtime::supervision::{Context, SupervisedActor};
use gom_telemetry::metrics::{
    ActorKind, LOGIN_ATTEMPTS, LOGIN_INSURANCE, LOGIN_INSURED, Verdict as VerdictLabel,
};

/// Requests that may be in flight at once; the next is refused as overload.
pub(super) const MAX_IN_FLIGHT: usize = 4096;
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Between two steps of one sweep.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);
/// How long an attempt waits for those in flight that took the last points; most logins take less than half a second.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two attempts to take a point while they are in flight.
const BUSY_RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// `Retry-After` of an attempt whose turn did not come in time: nothing was counted.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Take one point from each counter, before the attempt. The counters always come in the same order of kinds, and those
/// of networks come last.
#[derive(Message)]
#[rtype(result = "Verdict")]
pub(super) struct Reserve {
    pub takes: Vec<Take>,
}

/// What became of an attempt's points: those to give back, and those of counters that start over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Refund {
    pub adjustments: Vec<Adjustment>,
}

pub(super) struct RateLimiter {
    counters: Rc<Counters>,
}

struct Counters {
    /// Nothing: this process's memory is the store.
    store: Option<Rc<dyn LimiterStore>>,
    fallback: RefCell<InMemoryFallback>,
    /// The store did not answer the last request.
    failing: Cell<bool>,
    pending: Permits,
    in_flight: InFlight,
    fallback_attempts: Arc<AtomicU64>,
}

impl RateLimiter {
    pub fn new(store: Option<Rc<dyn LimiterStore>>, fallback_attempts: Arc<AtomicU64>) -> Self {
        LOGIN_INSURANCE.set((), 0);
        let counters = Counters {
            store,
            fallback: RefCell::default(),
            failing: Cell::new(false),
            pending: Permits::new(MAX_IN_FLIGHT),
            in_flight: InFlight::default(),
            fallback_attempts,
        };
        RateLimiter {
            counters: Rc::new(counters),
        }
    }

    fn sweep(&self) {
        let counters = Rc::clone(&self.counters);
        counters.fallback.borrow_mut().sweep(Instant::now());
        actix::spawn(async move {
            let Some(store) = &counters.store else { return };
            // What cannot be removed now is removed the next time.
            while store.sweep().await == Ok(true) {
                tokio::time::sleep(SWEEP_PAUSE).await;
            }
        });
    }
}

impl SupervisedActor for RateLimiter {
    const KIND: ActorKind = ActorKind::RateLimiter;
}

impl Actor for RateLimiter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.sweep();
        ctx.run_interval(SWEEP_EVERY, |limiter, _| limiter.sweep());
    }
}

impl Handler<Reserve> for RateLimiter {
    type Result = ResponseFuture<Verdict>;

    /// An attempt counts even if its requester has gone away.
    fn handle(&mut self, Reserve { takes }: Reserve, _: &mut Self::Context) -> Self::Result {
        let counters = Rc::clone(&self.counters);
        let permit = counters.pending.try_acquire();
        Box::pin(async move {
            match permit {
                Ok(_permit) => counters.admit(takes).await,
                Err(OverloadError) => Verdict::Overloaded,
            }
        })
    }
}

impl Handler<Refund> for RateLimiter {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Refund { adjustments }: Refund, _: &mut Self::Context) -> Self::Result {
        let counters = Rc::clone(&self.counters);
        Box::pin(async move { counters.adjust(adjustments).await })
    }
}

impl Counters {
    /// Retries until there is a verdict: there is none while only attempts in flight block this one.
    async fn admit(&self, mut takes: Vec<Take>) -> Verdict {
        let began = Instant::now();
        let mut turn = None;
        loop {
            let points = self.in_flight.begin(&mut takes);
            let Some(counts) = self.reserve(&mut takes).await else {
                return Verdict::Overloaded;
            };
            let used_up = blocked(&takes, &counts).is_some();
            let busy = takes
                .iter()
                .zip(&counts)
                .find(|(_, count)| count.busy)
                .filter(|_| !used_up);
            let Some((take, _)) = busy else {
                return verdict(takes, &counts, points);
            };
            drop(points);
            if turn.is_none() {
                let wait = self.in_flight.turn(&take.key).lock_owned();
                turn = timeout(BUSY_TIMEOUT, wait).await.ok();
            }
            if turn.is_none() || began.elapsed() >= BUSY_TIMEOUT {
                LOGIN_ATTEMPTS.inc(VerdictLabel::Busy);
                return Verdict::Blocked {
                    retry_after: BUSY_RETRY_AFTER,
                };
            }
            sleep(BUSY_RETRY_INTERVAL).await;
        }
    }

    /// The counts of all the takes; nothing if there is no room to count.
    async fn reserve(&self, takes: &mut [Take]) -> Option<Vec<Count>> {
        let Some(store) = &self.store else {
            return self.reserve_here(takes);
        };
        let reserving = {
            let (mut fallback, now) = (self.fallback.borrow_mut(), Instant::now());
            for take in &mut *takes {
                take.amount = fallback.claim(&take.key, now).saturating_add(1);
            }
            store.reserve(takes.to_vec())
        };
        match reserving.await {
            Ok(counts) => {
                if self.failing.replace(false) {
                    LOGIN_INSURANCE.set((), 0);
                    tracing::info!("login attempts are counted in the store again");
                }
                let (mut fallback, now) = (self.fallback.borrow_mut(), Instant::now());
                let follow = |(take, count): (&Take, Count)| {
                    fallback.follow(&take.key, take.amount - 1, count, now)
                };
                Some(takes.iter().zip(counts).map(follow).collect())
            }
            Err(reason) => {
                if !self.failing.replace(true) {
                    LOGIN_INSURANCE.set((), 1);
                    tracing::warn!(
                        reason,
                        "login attempts are counted in this process's memory until the store is back"
                    );
                }
                self.fallback_attempts.fetch_add(1, Ordering::Relaxed);
                LOGIN_INSURED.inc(());
                let mut fallback = self.fallback.borrow_mut();
                for take in &*takes {
                    fallback.lost(&take.key, take.amount - 1);
                }
                drop(fallback);
                self.reserve_here(takes)
            }
        }
    }

    fn reserve_here(&self, takes: &[Take]) -> Option<Vec<Count>> {
        self.fallback
            .borrow_mut()
            .reserve(takes, Instant::now())
            .ok()
    }

    async fn adjust(&self, mut adjustments: Vec<Adjustment>) {
        {
            let (mut fallback, now) = (self.fallback.borrow_mut(), Instant::now());
            adjustments.retain(|adjustment| match adjustment {
                Adjustment::GiveBack(key) => !fallback.give_back(key, now),
                Adjustment::Reset(key) => {
                    fallback.reset(key);
                    true
                }
            });
        }
        let Some(store) = &self.store else { return };
        if adjustments.is_empty() {
            return;
        }
        // The user keeps the count of earlier failures then, until it ends by itself.
        if let Err(reason) = store.adjust(adjustments).await {
            tracing::debug!(reason, "a login's points could not be given back");
        }
    }
}

fn verdict(takes: Vec<Take>, counts: &[Count], points: Vec<Point>) -> Verdict {
    if let Some(retry_after) = blocked(&takes, counts) {
        let mut blocking = takes
            .iter()
            .zip(counts)
            .filter(|(take, count)| count.blocks(take));
        let of_network = blocking.any(|(take, _)| take.of_network);
        LOGIN_ATTEMPTS.inc(if of_network {
            VerdictLabel::Address
        } else {
            VerdictLabel::User
        });
        return Verdict::Blocked { retry_after };
    }
    LOGIN_ATTEMPTS.inc(VerdictLabel::Admitted);
    Verdict::Admitted(Reservation { takes, points })
}
