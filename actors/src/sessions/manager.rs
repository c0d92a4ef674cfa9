//! The `SessionManager`: one per process. Opens, closes and lists sessions, records that they are used, removes what
//! has expired, and refreshes a session once for all concurrent requests. Each request is a task of its
//! own; the actor itself never waits.
//!
//! Looking a session up is not among its tasks: that is one query to the store, which a worker sends itself. A
//! message to another thread and back would cost more than the query (5 to 7 µs each way, measured).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use actix::{Actor, AsyncContext, Handler, Message, ResponseFuture};

use super::error::SessionError;
use super::options::SessionOptions;
use super::refresh::refresh;
use super::refresher::{RefreshFor, Refresher};
use super::requests::Request;
use super::session::{Previous, Session, SessionId};
use super::stores::{Life, SessionStore};
use super::{Refreshed, store_failed};
use gom_runtime::permits::{Permit, Permits};
use gom_runtime::reconnecting::{REQUEST_TIMEOUT, timeout_while_running};
use gom_runtime::supervision::{Context, Deferred, Reply, SupervisedActor};
use gom_telemetry::metrics::{ActorKind, SESSIONS, SessionEvent};

const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Between two steps of one sweep.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

pub(super) type Answer<T> = Result<T, SessionError>;

/// What the handle and the actor share: the store, and how sessions live.
pub(super) struct SessionBackend {
    pub options: SessionOptions,
    pub store: Box<dyn SessionStore>,
    pub on_refused: OnceLock<OnRefused>,
}

/// See [`Sessions::on_refused`](super::Sessions::on_refused).
pub(super) type OnRefused = Box<dyn Fn(Refused) + Send + Sync>;

/// A session whose issuer refuses to renew its token.
pub struct Refused {
    pub(super) backend: Arc<SessionBackend>,
    /// The session.
    pub id: SessionId,
    /// Its owner.
    pub subject: String,
}

impl Refused {
    /// Whether the session has ended. It lives on where the request for which it was refused came much too late, and where the
    /// store has not answered.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn has_ended(&self) -> Result<bool, SessionError> {
        Ok(self.backend.living(std::slice::from_ref(&self.id)).await? == [false])
    }
}

impl SessionBackend {
    pub fn new(options: SessionOptions, store: Box<dyn SessionStore>) -> Self {
        SessionBackend {
            options,
            store,
            on_refused: OnceLock::new(),
        }
    }

    /// Nothing if the session's time is over.
    pub fn life(&self, opened: SystemTime, now: SystemTime) -> Option<Life> {
        // A clock that went back makes nothing older.
        let age = now.duration_since(opened).unwrap_or_default();
        let left = self
            .options
            .absolute
            .checked_sub(age)
            .filter(|left| !left.is_zero())?;
        Some(Life {
            now,
            left: left.min(self.options.idle),
        })
    }

    /// The end of a grace period that begins now.
    pub fn grace_end(&self) -> SystemTime {
        whole_milliseconds(self.options.clock.now() + self.options.grace)
    }

    /// When a session ends at the latest.
    pub fn last_end(&self, opened: SystemTime) -> SystemTime {
        // PostgreSQL's calendar is longer than any session.
        opened
            .checked_add(self.options.absolute.min(CENTURY))
            .unwrap_or(opened)
    }

    /// Whether no browser has been given the half that replaced this one.
    pub fn is_unheard(&self, previous: &Previous) -> bool {
        previous.until > self.grace_end()
    }

    pub async fn living(&self, ids: &[SessionId]) -> Answer<Vec<bool>> {
        self.store
            .living(ids, self.options.clock.now())
            .await
            .map_err(store_failed)
    }

    /// The session, if it lives.
    pub async fn get(&self, id: &SessionId) -> Answer<Option<Session>> {
        let now = self.options.clock.now();
        let found = self.store.get(id, now).await.map_err(store_failed)?;
        let Some(mut session) = found.filter(|session| self.life(session.opened, now).is_some())
        else {
            return Ok(None);
        };
        if session
            .previous
            .as_ref()
            .is_some_and(|previous| previous.until <= now)
        {
            session.previous = None;
        }
        Ok(Some(session))
    }
}

/// Record that a session was used; nobody waits for it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Touch {
    pub id: SessionId,
    pub session: Arc<Session>,
}

/// Get a newer token than the one with this signature.
#[derive(Message)]
#[rtype(result = "Answer<Refreshed>")]
pub(super) struct Refresh {
    pub id: SessionId,
    pub stale_signature: String,
    pub refresh_for: RefreshFor,
    pub refresher: Box<dyn Refresher>,
}

/// A refresh in flight: of which session, from which token, for a browser or a connection.
type Flight = (SessionId, String, RefreshFor);

/// The requests that wait for each of the refreshes in flight.
type Flights = Rc<RefCell<HashMap<Flight, Vec<Reply<Answer<Refreshed>>>>>>;

pub(super) struct SessionManager {
    backend: Arc<SessionBackend>,
    in_flight: Permits,
    flights: Flights,
}

impl SessionManager {
    pub fn new(backend: Arc<SessionBackend>) -> Self {
        SessionManager {
            in_flight: Permits::new(backend.options.max_in_flight),
            backend,
            flights: Rc::default(),
        }
    }

    fn sweep(&self) {
        let backend = Arc::clone(&self.backend);
        actix::spawn(async move {
            // What cannot be removed now is removed the next time.
            while backend.store.sweep(backend.options.clock.now()).await == Ok(true) {
                tokio::time::sleep(SWEEP_PAUSE).await;
            }
        });
    }
}

impl SupervisedActor for SessionManager {
    const KIND: ActorKind = ActorKind::SessionManager;
}

impl Actor for SessionManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.sweep();
        ctx.run_interval(SWEEP_INTERVAL, |manager, _| manager.sweep());
    }
}

impl<R: Request> Handler<R> for SessionManager {
    type Result = ResponseFuture<Answer<R::Output>>;

    fn handle(&mut self, request: R, _: &mut Self::Context) -> Self::Result {
        let permit = self.in_flight.try_acquire();
        let backend = Arc::clone(&self.backend);
        Box::pin(async move {
            let _permit = permit.map_err(|_| SessionError::Overloaded)?;
            let executed = timeout_while_running(REQUEST_TIMEOUT, request.execute(backend)).await;
            executed.unwrap_or_else(|_| Err(store_failed("no answer in time".to_owned())))
        })
    }
}

impl Handler<Touch> for SessionManager {
    type Result = ();

    fn handle(&mut self, Touch { id, session }: Touch, _: &mut Self::Context) {
        let Ok(permit) = self.in_flight.try_acquire() else {
            return;
        };
        let backend = Arc::clone(&self.backend);
        actix::spawn(async move {
            if let Some(life) = backend.life(session.opened, backend.options.clock.now())
                && let Err(reason) = backend.store.touch(&id, &session.subject, life).await
            {
                tracing::debug!(reason, "the use of a session could not be recorded");
            }
            drop(permit);
        });
    }
}

impl Handler<Refresh> for SessionManager {
    type Result = Deferred<Answer<Refreshed>>;

    fn handle(&mut self, message: Refresh, _: &mut Self::Context) -> Self::Result {
        let Refresh {
            id,
            stale_signature,
            refresh_for,
            refresher,
        } = message;
        let Ok(permit) = self.in_flight.try_acquire() else {
            return Deferred::now(Err(SessionError::Overloaded));
        };
        let flight = (id, stale_signature, refresh_for);
        let (flights, backend) = (Rc::clone(&self.flights), Arc::clone(&self.backend));
        Deferred::new(move |reply| {
            if let Some(waiting) = flights.borrow_mut().get_mut(&flight) {
                // As many may wait as may be in flight; beyond that it is overload as well.
                if waiting.len() < backend.options.max_in_flight {
                    waiting.push(reply);
                } else {
                    reply.send(Err(SessionError::Overloaded));
                }
                return;
            }
            flights.borrow_mut().insert(flight.clone(), vec![reply]);
            actix::spawn(fly(
                FlightGuard { flights, flight },
                backend,
                refresher,
                permit,
            ));
        })
    }
}

/// Refreshes once, and replies to all that wait for it.
async fn fly(
    guard: FlightGuard,
    backend: Arc<SessionBackend>,
    refresher: Box<dyn Refresher>,
    permit: Permit,
) {
    let (id, stale_signature, refresh_for) = &guard.flight;
    let answer = refresh(&backend, id, stale_signature, *refresh_for, refresher).await;
    drop(permit);
    match &answer {
        Ok(_) => SESSIONS.inc(SessionEvent::Refreshed),
        Err(SessionError::Gone) => SESSIONS.inc(SessionEvent::Refused),
        Err(_) => {}
    }
    for reply in guard.waiting() {
        reply.send(answer.clone());
    }
}

/// The end of a refresh. When it is dropped, all requests that wait for the refresh are answered.
struct FlightGuard {
    flights: Flights,
    flight: Flight,
}

impl FlightGuard {
    fn waiting(&self) -> Vec<Reply<Answer<Refreshed>>> {
        self.flights
            .borrow_mut()
            .remove(&self.flight)
            .unwrap_or_default()
    }
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        self.flights.borrow_mut().remove(&self.flight);
    }
}

/// As the stores keep times, so that what is read equals what was written.
pub(super) fn whole_milliseconds(time: SystemTime) -> SystemTime {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let finer = Duration::from_nanos(u64::from(since.subsec_nanos() % 1_000_000));
    time.checked_sub(finer).unwrap_or(time)
}
