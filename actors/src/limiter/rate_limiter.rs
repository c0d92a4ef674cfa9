//! The `RateLimiter`: one per process. Owns the store and the insurance. Each request is a task of its own, so that
//! many are in flight at once; the actor itself never waits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext, Handler, Message};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::insurance::{Insurance, blocked};
use super::store::{Count, LimiterStore, Settle, Take};
use super::{Reservation, Verdict};
use crate::metrics::{ActorKind, LOGIN_ATTEMPTS, LOGIN_INSURANCE, LOGIN_INSURED, Verdict as Said};
use crate::watch::{Context, Watched};

/// Requests that may be in hand at once; the next is refused as overload.
pub(super) const MOST_IN_HAND: usize = 4096;
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Between two steps of one sweep.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// Take one point from each counter, before the attempt. The counters always come in the same order of kinds.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Reserve {
    pub takes: Vec<Take>,
    pub reply: oneshot::Sender<Verdict>,
}

/// The attempt succeeded: give back, start over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Refund {
    pub reservation: Reservation,
    pub reply: oneshot::Sender<()>,
}

pub(super) struct RateLimiter {
    counters: Rc<Counters>,
}

struct Counters {
    /// Nothing: this process's memory is the store.
    store: Option<Rc<dyn LimiterStore>>,
    insurance: RefCell<Insurance>,
    /// The store did not answer the last request.
    failing: Cell<bool>,
    in_hand: Cell<usize>,
    insured: Arc<AtomicU64>,
}

impl RateLimiter {
    pub fn new(store: Option<Rc<dyn LimiterStore>>, insured: Arc<AtomicU64>) -> Self {
        LOGIN_INSURANCE.set((), 0);
        let counters = Counters {
            store,
            insurance: RefCell::default(),
            failing: Cell::new(false),
            in_hand: Cell::new(0),
            insured,
        };
        RateLimiter { counters: Rc::new(counters) }
    }

    fn sweep(&self) {
        let counters = Rc::clone(&self.counters);
        counters.insurance.borrow_mut().sweep(Instant::now());
        actix::spawn(async move {
            let Some(store) = &counters.store else { return };
            // What cannot be removed now is removed the next time.
            while store.sweep().await == Ok(true) {
                tokio::time::sleep(SWEEP_PAUSE).await;
            }
        });
    }
}

impl Watched for RateLimiter {
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
    type Result = ();

    fn handle(&mut self, Reserve { takes, reply }: Reserve, _: &mut Self::Context) {
        // Whoever asked may have gone away; the attempt counts all the same.
        let answer = |verdict| drop(reply.send(verdict));
        let counters = Rc::clone(&self.counters);
        if counters.in_hand.get() >= MOST_IN_HAND {
            return answer(Verdict::Overloaded);
        }
        let Some(store) = counters.store.clone() else { return answer(counters.reserve_here(takes)) };
        counters.in_hand.set(counters.in_hand.get() + 1);
        actix::spawn(async move {
            let verdict = counters.reserve(&*store, takes).await;
            counters.in_hand.set(counters.in_hand.get() - 1);
            answer(verdict);
        });
    }
}

impl Handler<Refund> for RateLimiter {
    type Result = ();

    fn handle(&mut self, Refund { reservation, reply }: Refund, _: &mut Self::Context) {
        let counters = Rc::clone(&self.counters);
        actix::spawn(async move {
            counters.refund(reservation).await;
            let _ = reply.send(());
        });
    }
}

impl Counters {
    async fn reserve(&self, store: &dyn LimiterStore, mut takes: Vec<Take>) -> Verdict {
        let asked = {
            let (mut insurance, now) = (self.insurance.borrow_mut(), Instant::now());
            for take in &mut takes {
                take.amount = insurance.claim(&take.key, now).saturating_add(1);
            }
            store.reserve(takes.clone())
        };
        match asked.await {
            Ok(counts) => {
                if self.failing.replace(false) {
                    LOGIN_INSURANCE.set((), 0);
                    tracing::info!("login attempts are counted in the store again");
                }
                let (mut insurance, now) = (self.insurance.borrow_mut(), Instant::now());
                let follow =
                    |(take, count): (&Take, Count)| insurance.follow(&take.key, take.amount - 1, count, now);
                let counts: Vec<Count> = takes.iter().zip(counts).map(follow).collect();
                drop(insurance);
                verdict(takes, &counts)
            }
            Err(reason) => {
                if !self.failing.replace(true) {
                    LOGIN_INSURANCE.set((), 1);
                    tracing::warn!(
                        reason,
                        "login attempts are counted in this process's memory until the store is back"
                    );
                }
                self.insured.fetch_add(1, Ordering::Relaxed);
                LOGIN_INSURED.one(());
                let mut insurance = self.insurance.borrow_mut();
                for take in &takes {
                    insurance.lost(&take.key, take.amount - 1);
                }
                drop(insurance);
                self.reserve_here(takes)
            }
        }
    }

    fn reserve_here(&self, takes: Vec<Take>) -> Verdict {
        match self.insurance.borrow_mut().reserve(&takes, Instant::now()) {
            Ok(counts) => verdict(takes, &counts),
            Err(_) => Verdict::Overloaded,
        }
    }

    async fn refund(&self, reservation: Reservation) {
        let settlements = {
            let (mut insurance, now) = (self.insurance.borrow_mut(), Instant::now());
            let mut settlements = Vec::new();
            if !insurance.give_back(&reservation.give_back, now) {
                settlements.push(Settle::Back(reservation.give_back));
            }
            if let Some(key) = reservation.reset {
                insurance.reset(&key);
                settlements.push(Settle::Reset(key));
            }
            settlements
        };
        let Some(store) = &self.store else { return };
        if settlements.is_empty() {
            return;
        }
        // The user keeps the count of earlier failures then, until it ends by itself.
        if let Err(reason) = store.settle(settlements).await {
            tracing::debug!(reason, "a login's points could not be given back");
        }
    }
}

fn verdict(takes: Vec<Take>, counts: &[Count]) -> Verdict {
    if let Some(retry_after) = blocked(&takes, counts) {
        // The address comes last.
        let of_address = takes.iter().zip(counts).next_back();
        let of_address = of_address.is_some_and(|(take, count)| count.consumed > take.limit.points);
        LOGIN_ATTEMPTS.one(if of_address { Said::Address } else { Said::User });
        return Verdict::Blocked { retry_after };
    }
    let mut keys = takes.into_iter().map(|take| take.key).rev();
    match keys.next() {
        Some(give_back) => {
            LOGIN_ATTEMPTS.one(Said::Admitted);
            Verdict::Admitted(Reservation { give_back, reset: keys.next() })
        }
        None => Verdict::Overloaded,
    }
}
