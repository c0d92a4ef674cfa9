//! A connection that is always wanted: opened at the start, looked at, and restored by itself. Knows nothing of
//! what it connects to.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use crate::backoff::Backoff;

use gom_telemetry::health::{Condition, HealthReporter};

/// Whoever asks a store has an answer or a refusal by then, whatever happens. Callers promise 600 ms.
pub const PROMISE: Duration = Duration::from_millis(550);
/// Between two looks at a connection that nobody complains about.
const LOOK: Duration = Duration::from_millis(500);
/// In how many steps a time is waited for that counts only while the process runs.
const STEPS: u32 = 8;
const FIRST_DELAY: Duration = Duration::from_millis(20);
const MAX_DELAY: Duration = Duration::from_millis(250);
/// A server that has become read-only is looked for again after so many looks: 5 seconds.
const READ_ONLY_LOOKS: u32 = 10;

/// As [`timeout`], of the time in which the process runs: where the machine stood still, what came meanwhile is still to be
/// read by the connection's own thread, and a server that has answered is not one that does not. A pause costs one step.
pub async fn patience<F: Future>(time: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    for _ in 1..STEPS {
        if let Ok(output) = timeout(time / STEPS, &mut future).await {
            return Ok(output);
        }
    }
    timeout(time / STEPS, future).await
}

/// Opens connections of one kind and tells whether one still works. Both must end by themselves: after at most
/// the opener's patience.
pub trait Opener: Send + Sync + 'static {
    type Link: Clone + Send + Sync + 'static;

    /// For the log: `Redis (database 2)`.
    fn name(&self) -> String;

    /// How long an attempt and a look may take, and how long a request waits for a connection that is being
    /// restored.
    fn patience(&self) -> Duration;

    fn open(&self) -> impl Future<Output = Result<Self::Link, String>> + Send;

    /// An error is a connection that is lost.
    fn look(&self, link: &Self::Link) -> impl Future<Output = Result<Look, String>> + Send;
}

/// What a look at a connection that works found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    Well,
    /// The server answers and takes no writes, for example because it is full: what it holds can still be read.
    RefusesWrites(String),
    /// The same, because another server has taken its place: connecting again may lead there.
    ReadOnly(String),
}

/// Why a request on a connection failed.
#[derive(Debug, Clone)]
pub struct Fault {
    pub reason: String,
    pub kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The server answered, with an error.
    Refused,
    /// There was no answer in time.
    Silent,
    /// The connection ended. What was sent may have been carried out or not.
    Lost,
}

#[derive(Clone)]
enum State<L> {
    /// At the start, and for the first attempt after a loss: worth waiting for.
    Opening,
    Up {
        link: L,
        generation: u64,
    },
    /// The last attempt failed: nobody waits.
    Down(Arc<str>),
}

/// The connection as its users hold it. Cloning is cheap; it is given up with the last clone.
pub struct Reconnecting<L> {
    state: watch::Receiver<State<L>>,
    complaint: Arc<Notify>,
    reporter: HealthReporter,
    patience: Duration,
}

impl<L> Clone for Reconnecting<L> {
    fn clone(&self) -> Self {
        Reconnecting {
            state: self.state.clone(),
            complaint: Arc::clone(&self.complaint),
            reporter: self.reporter.clone(),
            patience: self.patience,
        }
    }
}

impl<L: Clone + Send + Sync + 'static> Reconnecting<L> {
    /// Opens a connection and keeps it, on this thread's runtime. Returns at once.
    pub fn keep<O: Opener<Link = L>>(opener: O) -> Self {
        let (publish, state) = watch::channel(State::Opening);
        let complaint = Arc::new(Notify::new());
        let patience = opener.patience().min(PROMISE);
        let reporter = HealthReporter::new();
        tokio::spawn(keep(
            opener,
            publish,
            Arc::clone(&complaint),
            reporter.clone(),
        ));
        Reconnecting {
            state,
            complaint,
            reporter,
            patience,
        }
    }

    /// Whether there is a connection, since when, and when its server last answered a look.
    pub fn reporter(&self) -> &HealthReporter {
        &self.reporter
    }

    /// Makes one request, and once more what does no harm if it is carried out twice (`repeatable`): on a new connection if this
    /// one turns out to be lost, on the same if there is no answer, which on a busy machine may have come a moment later. Ends
    /// within [`PROMISE`].
    pub async fn ask<T, F>(&self, repeatable: bool, request: impl Fn(L) -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        // The usual case costs no look at the clock.
        let up = match &*self.state.borrow() {
            State::Up { link, generation } => Some((link.clone(), *generation)),
            _ => None,
        };
        let Some((link, generation)) = up else {
            let began = Instant::now();
            let (link, _) = self.up(0, self.patience).await?;
            return self.last(request(link), began).await;
        };
        let began = Instant::now();
        match request(link.clone()).await {
            Ok(answer) => Ok(answer),
            Err(fault) if fault.kind == FaultKind::Lost && repeatable => {
                self.complaint.notify_one();
                let left = PROMISE.saturating_sub(began.elapsed()).min(self.patience);
                let (link, _) = self.up(generation, left).await?;
                self.last(request(link), began).await
            }
            Err(fault) if fault.kind == FaultKind::Silent && repeatable => {
                self.complaint.notify_one();
                self.last(request(link), began).await
            }
            Err(fault) => Err(self.complain(fault)),
        }
    }

    async fn last<T>(
        &self,
        request: impl Future<Output = Result<T, Fault>>,
        began: Instant,
    ) -> Result<T, String> {
        match patience(PROMISE.saturating_sub(began.elapsed()), request).await {
            Ok(answer) => answer.map_err(|fault| self.complain(fault)),
            Err(_) => {
                self.complaint.notify_one();
                Err("no answer in time".to_owned())
            }
        }
    }

    fn complain(&self, fault: Fault) -> String {
        if fault.kind != FaultKind::Refused {
            self.complaint.notify_one();
        }
        fault.reason
    }

    /// A connection that is newer than `generation`, waited for as long as an attempt is under way.
    async fn up(&self, generation: u64, patience: Duration) -> Result<(L, u64), String> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            State::Opening => false,
            State::Up {
                generation: found, ..
            } => *found > generation,
            State::Down(_) => true,
        });
        match self::patience(patience, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up { link, generation } => Ok((link.clone(), *generation)),
                State::Down(reason) => Err(reason.to_string()),
                State::Opening => Err("it is being connected to".to_owned()),
            },
            Ok(Err(_)) => Err("its connection is not kept any more".to_owned()),
            Err(_) => Err("no connection in time".to_owned()),
        }
    }
}

async fn keep<O: Opener>(
    opener: O,
    publish: watch::Sender<State<O::Link>>,
    complaint: Arc<Notify>,
    reporter: HealthReporter,
) {
    let name = opener.name();
    let mut generation = 0;
    let mut backoff = Backoff::new(FIRST_DELAY, MAX_DELAY);
    let mut was_down = false;
    let mut refused = false;
    loop {
        let opened = tokio::select! {
            opened = opener.open() => opened,
            () = publish.closed() => return,
        };
        let reason = match opened {
            Ok(link) => {
                if was_down {
                    tracing::info!(store = name, "reached again");
                    was_down = false;
                }
                backoff.reset();
                generation += 1;
                publish.send_replace(State::Up {
                    link: link.clone(),
                    generation,
                });
                let reason = tokio::select! {
                    reason = until_lost(&opener, &link, &complaint, &reporter, &mut refused) => reason,
                    () = publish.closed() => return,
                };
                tracing::debug!(store = name, reason, "a connection was lost");
                publish.send_replace(State::Opening);
                continue;
            }
            Err(reason) => reason,
        };
        if !was_down {
            tracing::warn!(
                store = name,
                reason,
                "not reached; it is tried again until it answers"
            );
            was_down = true;
        }
        reporter.report(Condition::Down);
        publish.send_replace(State::Down(reason.into()));
        tokio::select! {
            () = backoff.wait() => {}
            () = publish.closed() => return,
        }
    }
}

/// Looks at once, now and then, and whenever somebody complains; why the connection is given up. `refused` is whether the
/// last look, of this connection or the one before, was refused a write: it is logged once.
async fn until_lost<O: Opener>(
    opener: &O,
    link: &O::Link,
    complaint: &Notify,
    reporter: &HealthReporter,
    refused: &mut bool,
) -> String {
    let mut read_only = 0;
    loop {
        let found = match opener.look(link).await {
            Ok(found) => found,
            Err(reason) => return reason,
        };
        let reason = match found {
            Look::Well => None,
            Look::RefusesWrites(reason) => Some(reason),
            Look::ReadOnly(reason) => {
                read_only += 1;
                if read_only > READ_ONLY_LOOKS {
                    return reason;
                }
                Some(reason)
            }
        };
        reporter.report(if reason.is_some() {
            Condition::Down
        } else {
            Condition::Ready
        });
        if reason.is_some() != *refused {
            *refused = reason.is_some();
            match reason {
                Some(reason) => {
                    tracing::warn!(
                        store = opener.name(),
                        reason,
                        "writes are refused; reads go on"
                    )
                }
                None => tracing::info!(store = opener.name(), "writes are taken again"),
            }
        }
        let _ = timeout(LOOK, complaint.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Counts what is asked of it, and answers nothing the first time.
    #[derive(Clone, Default)]
    struct Slow(Arc<AtomicU32>);

    impl Slow {
        async fn answer(self) -> Result<u32, Fault> {
            match self.0.fetch_add(1, Ordering::SeqCst) + 1 {
                1 => Err(Fault {
                    reason: "no answer in time".into(),
                    kind: FaultKind::Silent,
                }),
                count => Ok(count),
            }
        }
    }

    struct SlowOpener;

    impl Opener for SlowOpener {
        type Link = Slow;

        fn name(&self) -> String {
            "a test's".into()
        }

        fn patience(&self) -> Duration {
            Duration::from_millis(250)
        }

        async fn open(&self) -> Result<Slow, String> {
            Ok(Slow::default())
        }

        async fn look(&self, _: &Slow) -> Result<Look, String> {
            Ok(Look::Well)
        }
    }

    #[tokio::test]
    async fn what_gets_no_answer_is_asked_once_more_if_that_does_no_harm() {
        let store = Reconnecting::keep(SlowOpener);
        store.ask(false, |_| async { Ok(()) }).await.unwrap();
        assert_eq!(store.ask(true, Slow::answer).await, Ok(2));
        let store = Reconnecting::keep(SlowOpener);
        store.ask(false, |_| async { Ok(()) }).await.unwrap();
        let counts_twice = store.ask(false, Slow::answer).await;
        assert_eq!(counts_twice, Err("no answer in time".to_owned()));
    }

    #[tokio::test]
    async fn an_answer_that_is_there_when_the_machine_has_stood_still_is_not_given_up() {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let (stands_still, read_later) = (Duration::from_millis(450), Duration::from_millis(500));
        // The thread that reads the connection stands still as well, and is not the first to go on.
        let connection = std::thread::spawn(move || {
            std::thread::sleep(read_later);
            answer.send(7)
        });
        let machine = async { std::thread::sleep(stands_still) };
        let (asked, ()) = tokio::join!(patience(Duration::from_millis(400), answered), machine);
        assert_eq!(asked.unwrap(), Ok(7));
        connection.join().unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up_when_the_time_is_over() {
        let (time, began) = (Duration::from_millis(80), Instant::now());
        patience(time, std::future::pending::<()>())
            .await
            .unwrap_err();
        assert!(began.elapsed() >= time);
    }
}
