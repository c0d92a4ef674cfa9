//! A connection that is always wanted: opened at the start, checked, and restored by itself. Knows nothing of
//! what it connects to.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use crate::backoff::Backoff;

use gom_telemetry::health::{Condition, HealthReporter};

/// A request to a store is answered or refused by then, whatever happens. Callers promise 600 ms.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(550);
/// Between two checks of a connection on which no request has failed.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Steps in which a timeout is waited for that counts only while the process runs.
const STEPS: u32 = 8;
const FIRST_DELAY: Duration = Duration::from_millis(20);
const MAX_DELAY: Duration = Duration::from_millis(250);
/// Checks after which the server connects again if it finds a read-only server: 5 seconds.
const MAX_READ_ONLY_CHECKS: u32 = 10;

/// As [`timeout`], of the time in which the process runs: where the machine stood still, what arrived meanwhile is still to be
/// read by the connection's own thread, and a server that has answered is not one that does not. A pause costs one step.
///
/// # Errors
/// If the future has not ended in time.
pub async fn timeout_while_running<F: Future>(
    time: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    for _ in 1..STEPS {
        if let Ok(output) = timeout(time / STEPS, &mut future).await {
            return Ok(output);
        }
    }
    timeout(time / STEPS, future).await
}

/// Opens connections of one kind and checks whether one still works. Both must end by themselves, within
/// [`StoreConnector::timeout`].
pub trait StoreConnector: Send + Sync + 'static {
    /// The connection.
    type Connection: Clone + Send + Sync + 'static;

    /// For the log: `Redis (database 2)`.
    fn name(&self) -> String;

    /// How long an attempt to connect and a check may take, and how long a request waits for a connection that is being
    /// restored.
    fn timeout(&self) -> Duration;

    /// Opens a connection; the error is the reason why there is none.
    fn open(&self) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Checks a connection. An error is the reason why it is lost.
    fn check(
        &self,
        connection: &Self::Connection,
    ) -> impl Future<Output = Result<StoreState, String>> + Send;
}

/// What the check of a connection that works has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreState {
    /// The server answers and takes writes.
    Healthy,
    /// The server answers and takes no writes, for example because it is full: what it holds can still be read.
    RefusesWrites(String),
    /// The same, because another server has taken its place: connecting again may lead there.
    ReadOnly(String),
}

/// Why a request on a connection failed.
#[derive(Debug, Clone)]
pub struct StoreError {
    /// For the log.
    pub reason: String,
    /// What follows for the connection.
    pub kind: StoreErrorKind,
}

/// What the failure of a request says about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
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
    /// The last attempt failed: requests are refused at once.
    Down(Arc<str>),
}

/// The connection as its users hold it. Cloning is cheap; the connection is closed with the last clone.
pub struct Reconnecting<L> {
    state: watch::Receiver<State<L>>,
    suspicion: Arc<Notify>,
    reporter: HealthReporter,
    timeout: Duration,
}

impl<L> Clone for Reconnecting<L> {
    fn clone(&self) -> Self {
        Reconnecting {
            state: self.state.clone(),
            suspicion: Arc::clone(&self.suspicion),
            reporter: self.reporter.clone(),
            timeout: self.timeout,
        }
    }
}

impl<L: Clone + Send + Sync + 'static> Reconnecting<L> {
    /// Opens a connection and keeps it, on this thread's runtime. Returns at once.
    pub fn keep<C: StoreConnector<Connection = L>>(connector: C) -> Self {
        let (publish, state) = watch::channel(State::Opening);
        let suspicion = Arc::new(Notify::new());
        let timeout = connector.timeout().min(REQUEST_TIMEOUT);
        let reporter = HealthReporter::new();
        tokio::spawn(keep(
            connector,
            publish,
            Arc::clone(&suspicion),
            reporter.clone(),
        ));
        Reconnecting {
            state,
            suspicion,
            reporter,
            timeout,
        }
    }

    /// Whether there is a connection, since when, and when its server last answered a check.
    pub fn reporter(&self) -> &HealthReporter {
        &self.reporter
    }

    /// Sends one request, and once more if it is idempotent: on a new connection if this one turns out to be lost, on the same
    /// if there is no answer, which on a busy machine may have arrived a moment later. Ends within [`REQUEST_TIMEOUT`].
    ///
    /// # Errors
    /// The reason why there is no answer, for the log.
    pub async fn request<T, F>(
        &self,
        idempotent: bool,
        request: impl Fn(L) -> F,
    ) -> Result<T, String>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        // The usual case does not read the clock.
        let up = match &*self.state.borrow() {
            State::Up { link, generation } => Some((link.clone(), *generation)),
            _ => None,
        };
        let Some((link, generation)) = up else {
            let began = Instant::now();
            let (link, _) = self.up(0, self.timeout).await?;
            return self.last(request(link), began).await;
        };
        let began = Instant::now();
        match request(link.clone()).await {
            Ok(answer) => Ok(answer),
            Err(error) if error.kind == StoreErrorKind::Lost && idempotent => {
                self.suspicion.notify_one();
                let left = REQUEST_TIMEOUT
                    .saturating_sub(began.elapsed())
                    .min(self.timeout);
                let (link, _) = self.up(generation, left).await?;
                self.last(request(link), began).await
            }
            Err(error) if error.kind == StoreErrorKind::Silent && idempotent => {
                self.suspicion.notify_one();
                self.last(request(link), began).await
            }
            Err(error) => Err(self.suspect(error)),
        }
    }

    async fn last<T>(
        &self,
        request: impl Future<Output = Result<T, StoreError>>,
        began: Instant,
    ) -> Result<T, String> {
        let left = REQUEST_TIMEOUT.saturating_sub(began.elapsed());
        match timeout_while_running(left, request).await {
            Ok(answer) => answer.map_err(|error| self.suspect(error)),
            Err(_) => {
                self.suspicion.notify_one();
                Err("no answer in time".to_owned())
            }
        }
    }

    /// Has the connection checked at once, unless its server has answered.
    fn suspect(&self, error: StoreError) -> String {
        if error.kind != StoreErrorKind::Refused {
            self.suspicion.notify_one();
        }
        error.reason
    }

    /// A connection that is newer than `generation`, waited for as long as an attempt is under way.
    async fn up(&self, generation: u64, timeout: Duration) -> Result<(L, u64), String> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            State::Opening => false,
            State::Up {
                generation: found, ..
            } => *found > generation,
            State::Down(_) => true,
        });
        match timeout_while_running(timeout, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up { link, generation } => Ok((link.clone(), *generation)),
                State::Down(reason) => Err(reason.to_string()),
                State::Opening => Err("the connection is being opened".to_owned()),
            },
            Ok(Err(_)) => Err("the connection was closed".to_owned()),
            Err(_) => Err("no connection in time".to_owned()),
        }
    }
}

async fn keep<C: StoreConnector>(
    connector: C,
    publish: watch::Sender<State<C::Connection>>,
    suspicion: Arc<Notify>,
    reporter: HealthReporter,
) {
    let name = connector.name();
    let mut generation = 0;
    let mut backoff = Backoff::new(FIRST_DELAY, MAX_DELAY);
    let mut was_down = false;
    let mut refused = false;
    loop {
        let opened = tokio::select! {
            opened = connector.open() => opened,
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
                    reason = until_lost(&connector, &link, &suspicion, &reporter, &mut refused) => reason,
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
                "not reached; the server retries until it is"
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

/// Checks at once, at each interval, and when a request fails; returns why the connection is closed. `refused` is whether the
/// last check, of this connection or the one before, was refused a write: that is logged once.
async fn until_lost<C: StoreConnector>(
    connector: &C,
    link: &C::Connection,
    suspicion: &Notify,
    reporter: &HealthReporter,
    refused: &mut bool,
) -> String {
    let mut read_only = 0;
    loop {
        let found = match connector.check(link).await {
            Ok(found) => found,
            Err(reason) => return reason,
        };
        let reason = match found {
            StoreState::Healthy => None,
            StoreState::RefusesWrites(reason) => Some(reason),
            StoreState::ReadOnly(reason) => {
                read_only += 1;
                if read_only > MAX_READ_ONLY_CHECKS {
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
                        store = connector.name(),
                        reason,
                        "writes are refused; reads go on"
                    )
                }
                None => tracing::info!(store = connector.name(), "writes are taken again"),
            }
        }
        let _ = timeout(CHECK_INTERVAL, suspicion.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Counts its requests, and does not answer the first.
    #[derive(Clone, Default)]
    struct Slow(Arc<AtomicU32>);

    impl Slow {
        async fn answer(self) -> Result<u32, StoreError> {
            match self.0.fetch_add(1, Ordering::SeqCst) + 1 {
                1 => Err(StoreError {
                    reason: "no answer in time".into(),
                    kind: StoreErrorKind::Silent,
                }),
                count => Ok(count),
            }
        }
    }

    struct SlowConnector;

    impl StoreConnector for SlowConnector {
        type Connection = Slow;

        fn name(&self) -> String {
            "a test's".into()
        }

        fn timeout(&self) -> Duration {
            Duration::from_millis(250)
        }

        async fn open(&self) -> Result<Slow, String> {
            Ok(Slow::default())
        }

        async fn check(&self, _: &Slow) -> Result<StoreState, String> {
            Ok(StoreState::Healthy)
        }
    }

    #[tokio::test]
    async fn an_idempotent_request_without_an_answer_is_sent_once_more() {
        let store = Reconnecting::keep(SlowConnector);
        store.request(false, |_| async { Ok(()) }).await.unwrap();
        assert_eq!(store.request(true, Slow::answer).await, Ok(2));
        let store = Reconnecting::keep(SlowConnector);
        store.request(false, |_| async { Ok(()) }).await.unwrap();
        let counts_twice = store.request(false, Slow::answer).await;
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
        let (answer, ()) = tokio::join!(
            timeout_while_running(Duration::from_millis(400), answered),
            machine
        );
        assert_eq!(answer.unwrap(), Ok(7));
        connection.join().unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up_when_the_time_is_over() {
        let (time, began) = (Duration::from_millis(80), Instant::now());
        timeout_while_running(time, std::future::pending::<()>())
            .await
            .unwrap_err();
        assert!(began.elapsed() >= time);
    }
}
