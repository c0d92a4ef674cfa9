//! Keeps an actor alive, restarts it after a panic, and carries requests to it. Knows nothing of what the actors do.
//!
//! actix does not run `restarting` after a panic: the address stays closed for good. So the supervisor drives the
//! actor's future itself, sees how it ended, counts it, and starts a new one from its factory.
//!
//! ```
//! use actix::{Actor, Handler, Message};
//! use gom_runtime::supervision::{AskError, Context, SupervisedActor, supervise};
//! use gom_telemetry::metrics::ActorKind;
//!
//! struct Counter(u64);
//!
//! impl Actor for Counter {
//!     type Context = Context<Self>;
//! }
//!
//! impl SupervisedActor for Counter {
//!     const KIND: ActorKind = ActorKind::RateLimiter;
//! }
//!
//! /// Add this much; the sum.
//! #[derive(Message)]
//! #[rtype(result = "u64")]
//! struct Add(u64);
//!
//! impl Handler<Add> for Counter {
//!     type Result = u64;
//!
//!     fn handle(&mut self, Add(amount): Add, _: &mut Self::Context) -> u64 {
//!         self.0 += amount;
//!         self.0
//!     }
//! }
//!
//! # actix::System::new().block_on(async {
//! let counter = supervise(16, || Counter(0));
//! assert_eq!(counter.ask(Add(2)).await, Ok(2));
//! assert_eq!(counter.ask(Add(3)).await, Ok(5));
//! # });
//! ```
//!
//! A handler that replies later returns [`actix::ResponseFuture`] or [`Deferred`].

mod context;
mod reply;
mod supervised;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use actix::Actor;
use actix::dev::channel::AddressSender;
use tokio::sync::watch;

use crate::backoff::Backoff;

pub use self::context::Context;
pub use self::reply::{Deferred, Reply};
pub use self::supervised::{AskError, Restarts, Supervised, post};

use self::supervised::Counts;
use gom_telemetry::metrics::{ACTOR_RESTARTS, ActorKind, Ended as Cause};

/// An actor that ends again at once is restarted after a delay that grows from the first to the longest.
const FIRST_DELAY: Duration = Duration::from_millis(1);
const MAX_DELAY: Duration = Duration::from_secs(1);
/// An actor that lived this long starts over with the first delay.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// An actor that can be supervised.
pub trait SupervisedActor: Actor<Context = Context<Self>> {
    /// Its name in metrics and in log lines.
    const KIND: ActorKind;
}

/// Starts an actor on this thread and keeps it there: when it ends, `build` makes the next one.
/// `mailbox` is the number of messages that may wait for it. Needs a running actix system or `LocalSet`.
pub fn supervise<A, F>(mailbox: usize, mut build: F) -> Supervised<A>
where
    A: SupervisedActor,
    F: FnMut() -> A + 'static,
{
    let name = A::KIND.as_str();
    let (publish, address) = watch::channel(None);
    let counts = Arc::new(Counts::default());
    let supervised = Supervised::new(address, Arc::clone(&counts));
    // The first one is reachable at once: a worker's first request finds it.
    let mut next = Some(begin(mailbox, &mut build, &publish));
    actix::spawn(async move {
        let mut backoff = Backoff::new(FIRST_DELAY, MAX_DELAY);
        loop {
            let run = match next.take() {
                Some(run) => run,
                None => begin(mailbox, &mut build, &publish),
            };
            let started = tokio::time::Instant::now();
            let ended = tokio::select! {
                ended = run => ended,
                () = publish.closed() => return,
            };
            publish.send_replace(None);
            match ended {
                Ended::Panicked(cause) => {
                    counts.panicked.fetch_add(1, Ordering::Relaxed);
                    ACTOR_RESTARTS.inc((A::KIND, Cause::Panicked));
                    tracing::error!(actor = name, cause, "an actor panicked and is restarted");
                }
                Ended::Stopped => {
                    counts.stopped.fetch_add(1, Ordering::Relaxed);
                    ACTOR_RESTARTS.inc((A::KIND, Cause::Stopped));
                    tracing::warn!(actor = name, "an actor stopped and is restarted");
                }
            }
            if started.elapsed() >= STABLE_AFTER {
                backoff.reset();
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = publish.closed() => return,
            }
        }
    });
    supervised
}

enum Ended {
    Stopped,
    Panicked(String),
}

/// Builds one actor, publishes its address, and returns the future that is its life.
fn begin<A, F>(
    mailbox: usize,
    build: &mut F,
    publish: &watch::Sender<Option<AddressSender<A>>>,
) -> Pin<Box<dyn Future<Output = Ended>>>
where
    A: SupervisedActor,
    F: FnMut() -> A + 'static,
{
    let actor = match catch_unwind(AssertUnwindSafe(build)) {
        Ok(actor) => actor,
        Err(cause) => return Box::pin(std::future::ready(Ended::Panicked(describe(&*cause)))),
    };
    let (context, sender) = Context::new(mailbox);
    publish.send_replace(Some(sender));
    let mut life = Some(Box::pin(context.into_future(actor)));
    Box::pin(std::future::poll_fn(move |cx| {
        let Some(running) = life.as_mut() else {
            return Poll::Ready(Ended::Stopped);
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        match outcome {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ended::Stopped),
            Err(cause) => {
                // Dropping it polls it once more, which may panic again.
                let ended = life.take();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(ended)));
                Poll::Ready(Ended::Panicked(describe(&*cause)))
            }
        }
    }))
}

fn describe(cause: &(dyn Any + Send)) -> String {
    cause
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
