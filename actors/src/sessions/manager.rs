//! The `SessionManager`: one per process. Opens, closes and lists sessions, notes that they are used, removes what
//! has expired, and sees to it that a session is refreshed once however many ask. Each request is a task of its
//! own; the actor itself never waits.
//!
//! Looking a session up is not among its tasks: that is one question to the store, which a worker asks itself. A
//! message to another thread and back would cost more than the question (5 to 7 µs each way, measured).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use actix::{Actor, AsyncContext, Handler, Message};
use tokio::sync::oneshot;

use super::error::SessionError;
use super::options::SessionOptions;
use super::refresh::refresh;
use super::refresher::{Recipient, Refresher};
use super::session::{NewSession, Previous, Session, SessionId, SessionSummary};
use super::store::{Life, Listed, SessionStore};
use super::{Refreshed, store_failed};
use gom_runtime::reconnecting::{PROMISE, patience};
use gom_runtime::supervision::{Context, SupervisedActor};
use gom_telemetry::metrics::{ActorKind, SESSIONS, SessionEvent};

const SWEEP_EVERY: Duration = Duration::from_secs(60);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Between two steps of one sweep.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

type Answer<T> = Result<T, SessionError>;

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
    pub id: SessionId,
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

/// A request that is one or two questions to the store.
pub(super) trait Request: Send + 'static {
    type Answer: Send + 'static;

    fn execute(self, backend: Arc<SessionBackend>) -> impl Future<Output = Answer<Self::Answer>>;
}

/// A request with the way back for its answer, so that a full mailbox can be answered as overload at once.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Asked<R: Request> {
    pub request: R,
    pub reply: oneshot::Sender<Answer<R::Answer>>,
}

/// Open a session under this new id.
pub(super) struct Open {
    pub id: SessionId,
    pub session: NewSession,
    pub replaces: Option<SessionId>,
}

/// Close the session with this id.
pub(super) struct Close(pub SessionId);

/// Close all sessions of this subject; how many there were.
pub(super) struct CloseAll(pub String);

/// Close the subject's session with this handle; whether there was one.
pub(super) struct CloseByHandle {
    pub subject: String,
    pub handle: String,
}

/// The live sessions of this subject.
pub(super) struct List(pub String);

/// Note that a session was used; nobody waits for it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Touch {
    pub id: SessionId,
    pub session: Arc<Session>,
}

/// Get a newer token than the one with this signature.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Refresh {
    pub id: SessionId,
    pub stale_signature: String,
    pub recipient: Recipient,
    pub refresher: Box<dyn Refresher>,
    pub reply: oneshot::Sender<Answer<Refreshed>>,
}

/// A refresh that is under way: of which session, from which token, for whom.
type Flight = (SessionId, String, Recipient);

/// Who waits for each of the refreshes under way.
type Flights = Rc<RefCell<HashMap<Flight, Vec<oneshot::Sender<Answer<Refreshed>>>>>>;

pub(super) struct SessionManager {
    backend: Arc<SessionBackend>,
    in_flight: Rc<Cell<usize>>,
    flights: Flights,
}

impl SessionManager {
    pub fn new(backend: Arc<SessionBackend>) -> Self {
        SessionManager {
            backend,
            in_flight: Rc::default(),
            flights: Rc::default(),
        }
    }

    fn take_in_flight(&self) -> Option<InFlight> {
        let count = self.in_flight.get();
        (count < self.backend.options.max_in_hand).then(|| {
            self.in_flight.set(count + 1);
            InFlight(Rc::clone(&self.in_flight))
        })
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

/// One request in hand, counted until it is dropped.
struct InFlight(Rc<Cell<usize>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl SupervisedActor for SessionManager {
    const KIND: ActorKind = ActorKind::SessionManager;
}

impl Actor for SessionManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.sweep();
        ctx.run_interval(SWEEP_EVERY, |manager, _| manager.sweep());
    }
}

impl<R: Request> Handler<Asked<R>> for SessionManager {
    type Result = ();

    fn handle(&mut self, Asked { request, reply }: Asked<R>, _: &mut Self::Context) {
        let Some(in_flight) = self.take_in_flight() else {
            return drop(reply.send(Err(SessionError::Overloaded)));
        };
        let backend = Arc::clone(&self.backend);
        actix::spawn(async move {
            let carried_out = patience(PROMISE, request.execute(backend)).await;
            drop(in_flight);
            // Whoever asked may have gone away; then nobody misses the answer.
            let _ = reply.send(
                carried_out.unwrap_or_else(|_| Err(store_failed("no answer in time".to_owned()))),
            );
        });
    }
}

impl Handler<Touch> for SessionManager {
    type Result = ();

    fn handle(&mut self, Touch { id, session }: Touch, _: &mut Self::Context) {
        let Some(in_flight) = self.take_in_flight() else {
            return;
        };
        let backend = Arc::clone(&self.backend);
        actix::spawn(async move {
            if let Some(life) = backend.life(session.opened, backend.options.clock.now())
                && let Err(reason) = backend.store.touch(&id, &session.subject, life).await
            {
                tracing::debug!(reason, "that a session was used could not be noted");
            }
            drop(in_flight);
        });
    }
}

impl Handler<Refresh> for SessionManager {
    type Result = ();

    fn handle(&mut self, asked: Refresh, _: &mut Self::Context) {
        let Refresh {
            id,
            stale_signature,
            recipient,
            refresher,
            reply,
        } = asked;
        let Some(in_flight) = self.take_in_flight() else {
            return drop(reply.send(Err(SessionError::Overloaded)));
        };
        let flight = (id, stale_signature, recipient);
        if let Some(waiting) = self.flights.borrow_mut().get_mut(&flight) {
            // As many may wait as may be in hand; beyond that it is overload as well.
            if waiting.len() < self.backend.options.max_in_hand {
                waiting.push(reply);
            } else {
                drop(reply.send(Err(SessionError::Overloaded)));
            }
            return;
        }
        self.flights
            .borrow_mut()
            .insert(flight.clone(), vec![reply]);
        let guard = FlightGuard {
            flights: Rc::clone(&self.flights),
            flight,
        };
        let backend = Arc::clone(&self.backend);
        actix::spawn(async move {
            let (id, stale_signature, recipient) = &guard.flight;
            let answer = refresh(&backend, id, stale_signature, *recipient, refresher).await;
            drop(in_flight);
            match &answer {
                Ok(_) => SESSIONS.one(SessionEvent::Refreshed),
                Err(SessionError::Gone) => SESSIONS.one(SessionEvent::Refused),
                Err(_) => {}
            }
            for reply in guard.waiting() {
                let _ = reply.send(answer.clone());
            }
        });
    }
}

/// The end of a refresh. Whatever becomes of it, nobody waits for it for ever.
struct FlightGuard {
    flights: Flights,
    flight: Flight,
}

impl FlightGuard {
    fn waiting(&self) -> Vec<oneshot::Sender<Answer<Refreshed>>> {
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

impl Request for Open {
    type Answer = SessionId;

    async fn execute(self, backend: Arc<SessionBackend>) -> Answer<SessionId> {
        let Open {
            id,
            session,
            replaces,
        } = self;
        let now = whole_milliseconds(backend.options.clock.now());
        let session = Session {
            subject: session.subject,
            provider: session.provider,
            signature: session.signature,
            refresh_token: session.refresh_token,
            opened: now,
            previous: None,
        };
        let life = Life {
            now,
            left: backend.options.absolute.min(backend.options.idle),
        };
        let most = backend.options.per_subject;
        backend
            .store
            .insert(&id, &session, life, replaces.as_ref(), most)
            .await
            .map_err(store_failed)?;
        SESSIONS.one(SessionEvent::Opened);
        Ok(id)
    }
}

impl Request for Close {
    type Answer = ();

    async fn execute(self, backend: Arc<SessionBackend>) -> Answer<()> {
        count_closed(backend.store.remove(&self.0).await.map_err(store_failed)?);
        Ok(())
    }
}

fn count_closed(closed: bool) {
    if closed {
        SESSIONS.one(SessionEvent::Closed);
    }
}

impl Request for CloseAll {
    type Answer = u64;

    async fn execute(self, backend: Arc<SessionBackend>) -> Answer<u64> {
        let removed = backend
            .store
            .remove_all(&self.0, backend.options.clock.now())
            .await;
        removed
            .map_err(store_failed)
            .inspect(|count| SESSIONS.add(SessionEvent::Closed, *count))
    }
}

impl Request for CloseByHandle {
    type Answer = bool;

    async fn execute(self, backend: Arc<SessionBackend>) -> Answer<bool> {
        let listed = live(&backend, &self.subject).await?;
        let Some(found) = listed
            .iter()
            .find(|listed| listed.id.handle() == self.handle)
        else {
            return Ok(false);
        };
        count_closed(
            backend
                .store
                .remove(&found.id)
                .await
                .map_err(store_failed)?,
        );
        Ok(true)
    }
}

impl Request for List {
    type Answer = Vec<SessionSummary>;

    async fn execute(self, backend: Arc<SessionBackend>) -> Answer<Vec<SessionSummary>> {
        let mut listed = live(&backend, &self.0).await?;
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.seen));
        let summaries = listed
            .into_iter()
            .map(|Listed { id, session, seen }| SessionSummary {
                handle: id.handle(),
                provider: session.provider,
                opened: session.opened,
                last_seen: seen,
            });
        Ok(summaries.collect())
    }
}

async fn live(backend: &SessionBackend, subject: &str) -> Answer<Vec<Listed>> {
    let now = backend.options.clock.now();
    let mut listed = backend
        .store
        .list(subject, now)
        .await
        .map_err(store_failed)?;
    listed.retain(|listed| backend.life(listed.session.opened, now).is_some());
    Ok(listed)
}

/// As the stores keep times, so that what is read equals what was written.
pub(super) fn whole_milliseconds(time: SystemTime) -> SystemTime {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let finer = Duration::from_nanos(u64::from(since.subsec_nanos() % 1_000_000));
    time.checked_sub(finer).unwrap_or(time)
}
