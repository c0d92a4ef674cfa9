//! Keeps an actor alive: rebuilds it after a panic and publishes its new address. Knows nothing of what the
//! actors do.
//!
//! actix does not run `restarting` after a panic: the address stays closed for good. So the watcher drives the
//! actor's future itself, sees how it ended, counts it, and starts a new one from its factory.

mod context;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use actix::dev::{SendError, ToEnvelope};
use actix::{Actor, Addr, AsyncContext, Handler, Message};
use tokio::sync::watch;

pub use self::context::Context;

use gom_telemetry::metrics::{ACTOR_REFUSED, ACTOR_RESTARTS, ActorKind, Ended as Cause};

/// An actor that dies again at once is rebuilt after a pause that doubles from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// An actor that lived this long starts over with the first pause.
const STEADY: Duration = Duration::from_secs(10);

/// An actor that can be watched.
pub trait Watched: Actor<Context = Context<Self>> {
    /// What it is called in metrics and in log lines.
    const KIND: ActorKind;
}

/// Puts a message into a mailbox, if there is room; counts those for which there is none.
///
/// # Errors
/// The message, if the mailbox is full or its actor has ended.
pub fn post<A, M>(address: &Addr<A>, message: M) -> Result<(), SendError<M>>
where
    A: Watched + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    address.try_send(message).inspect_err(|error| {
        if matches!(error, SendError::Full(_)) {
            ACTOR_REFUSED.one(A::KIND);
        }
    })
}

/// How often an actor was rebuilt, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restarts {
    /// A handler or a future of the actor panicked.
    pub panicked: u64,
    /// The actor stopped itself.
    pub stopped: u64,
}

#[derive(Debug, Default)]
struct Counts {
    panicked: AtomicU64,
    stopped: AtomicU64,
}

/// The current address of a watched actor. Cloning it is cheap; the actor lives until the last clone is gone.
pub struct Published<A: Actor> {
    address: watch::Receiver<Option<Addr<A>>>,
    counts: Arc<Counts>,
}

impl<A: Actor> Clone for Published<A> {
    fn clone(&self) -> Self {
        Published {
            address: self.address.clone(),
            counts: Arc::clone(&self.counts),
        }
    }
}

impl<A: Actor> Published<A> {
    /// The address, or nothing while the actor is being rebuilt.
    pub fn get(&self) -> Option<Addr<A>> {
        self.address.borrow().clone()
    }

    /// Waits until the actor has an address; nothing if its thread has ended.
    pub async fn wait(&self) -> Option<Addr<A>> {
        let mut address = self.address.clone();
        address
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|current| current.clone())
    }

    /// Waits until the address is another one than this: that of the next actor, or none while it is rebuilt. Nothing if
    /// its thread has ended.
    pub async fn other_than(&self, known: Option<&Addr<A>>) -> Option<Option<Addr<A>>> {
        let mut address = self.address.clone();
        address
            .wait_for(|now| now.as_ref() != known)
            .await
            .ok()
            .map(|now| now.clone())
    }

    pub fn restarts(&self) -> Restarts {
        Restarts {
            panicked: self.counts.panicked.load(Ordering::Relaxed),
            stopped: self.counts.stopped.load(Ordering::Relaxed),
        }
    }
}

/// Starts an actor on this thread and keeps it there: whenever it ends, `build` makes the next one.
/// `mailbox` is the number of messages that may wait for it. Needs a running actix system or `LocalSet`.
pub fn watch<A, F>(mailbox: usize, mut build: F) -> Published<A>
where
    A: Watched,
    F: FnMut() -> A + 'static,
{
    let name = A::KIND.as_str();
    let (publish, address) = watch::channel(None);
    let counts = Arc::new(Counts::default());
    let published = Published {
        address,
        counts: Arc::clone(&counts),
    };
    // The first one is reachable at once: a worker's first request finds it.
    let mut next = Some(begin(mailbox, &mut build, &publish));
    actix::spawn(async move {
        let mut pause = FIRST_PAUSE;
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
                    ACTOR_RESTARTS.one((A::KIND, Cause::Panicked));
                    tracing::error!(actor = name, cause, "an actor panicked and is rebuilt");
                }
                Ended::Stopped => {
                    counts.stopped.fetch_add(1, Ordering::Relaxed);
                    ACTOR_RESTARTS.one((A::KIND, Cause::Stopped));
                    tracing::warn!(actor = name, "an actor stopped and is rebuilt");
                }
            }
            if started.elapsed() >= STEADY {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = publish.closed() => return,
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    });
    published
}

enum Ended {
    Stopped,
    Panicked(String),
}

/// Builds one actor, publishes its address, and gives the future that is its life.
fn begin<A, F>(
    mailbox: usize,
    build: &mut F,
    publish: &watch::Sender<Option<Addr<A>>>,
) -> Pin<Box<dyn Future<Output = Ended>>>
where
    A: Watched,
    F: FnMut() -> A + 'static,
{
    let actor = match catch_unwind(AssertUnwindSafe(build)) {
        Ok(actor) => actor,
        Err(cause) => return Box::pin(std::future::ready(Ended::Panicked(describe(&*cause)))),
    };
    let context = Context::new(mailbox);
    publish.send_replace(Some(context.address()));
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use gom_telemetry::metrics::ACTOR_MAILBOX;

    struct Fragile {
        number: u64,
    }

    impl Actor for Fragile {
        type Context = Context<Self>;
    }

    // No other test of this program has one.
    impl Watched for Fragile {
        const KIND: ActorKind = ActorKind::PushDispatcher;
    }

    #[derive(Message)]
    #[rtype(result = "u64")]
    struct WhichOne;

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Break;

    impl Handler<WhichOne> for Fragile {
        type Result = u64;

        fn handle(&mut self, _: WhichOne, _: &mut Context<Self>) -> u64 {
            self.number
        }
    }

    impl Handler<Break> for Fragile {
        type Result = ();

        fn handle(&mut self, _: Break, _: &mut Context<Self>) {
            panic!("broken on purpose");
        }
    }

    /// What waits for actors of a kind is counted for the whole process: one test at a time.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    fn numbered() -> Published<Fragile> {
        let built = Rc::new(Cell::new(0));
        watch(16, move || {
            built.set(built.get() + 1);
            Fragile {
                number: built.get(),
            }
        })
    }

    #[actix::test]
    async fn a_panicking_actor_is_rebuilt_at_a_new_address() {
        let _turn = TURN.lock().await;
        let published = numbered();
        let first = published.get().expect("published at once");
        assert_eq!(first.send(WhichOne).await, Ok(1));

        assert!(
            first.send(Break).await.is_err(),
            "the message in hand is lost"
        );
        let mut address = published.address.clone();
        let second = address
            .wait_for(|current| current.as_ref().is_some_and(Addr::connected))
            .await
            .unwrap()
            .clone()
            .unwrap();

        assert_eq!(second.send(WhichOne).await, Ok(2));
        assert!(!first.connected(), "the old address stays closed");
        assert_eq!(
            published.restarts(),
            Restarts {
                panicked: 1,
                stopped: 0
            }
        );
    }

    #[actix::test]
    async fn messages_that_wait_are_counted_and_those_without_room_too() {
        let _turn = TURN.lock().await;
        let published = numbered();
        let address = published.get().unwrap();
        let (waiting, refused) = (
            || ACTOR_MAILBOX.value(Fragile::KIND),
            || ACTOR_REFUSED.value(Fragile::KIND),
        );
        let before = (waiting(), refused());
        let mut posted = 0;
        while post(&address, WhichOne).is_ok() {
            posted += 1;
        }
        assert!(posted >= 16);
        assert_eq!((waiting(), refused()), (before.0 + posted, before.1 + 1));
        assert_eq!(address.send(WhichOne).await, Ok(1));
        assert_eq!(waiting(), before.0);
        // Lost with the mailbox.
        post(&address, Break).unwrap();
        post(&address, WhichOne).unwrap();
        assert!(address.send(WhichOne).await.is_err());
        drop(address);
        while waiting() != before.0 {
            tokio::task::yield_now().await;
        }
    }

    #[actix::test]
    async fn the_actor_ends_with_its_last_handle() {
        let _turn = TURN.lock().await;
        let published = numbered();
        let address = published.get().unwrap();
        let weak = address.downgrade();
        drop((published, address));
        while weak.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
