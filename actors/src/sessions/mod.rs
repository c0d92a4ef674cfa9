//! Sessions: opened by a login, looked up by every request, refreshed once for all concurrent requests, closed at once on
//! every node. Knows no cookie and no token's content.

mod error;
mod manager;
mod options;
mod refresh;
mod refresher;
mod requests;
mod session;
mod stores;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quick_cache::sync::Cache;

pub use self::error::{RETRY_AFTER, SessionError};
pub use self::manager::Refused;
pub use self::options::SessionOptions;
pub use self::refresher::{RefreshFailure, Refresher, Renewed};
pub use self::session::{NewSession, Previous, Session, SessionId, SessionSummary};
pub use self::stores::SessionStoreChoice;

use self::manager::{Refresh, SessionBackend, SessionManager, Touch};
use self::refresher::RefreshFor;
use self::requests::{Close, CloseAll, CloseByHandle, List, Open, Request};
use crate::database::Database;
use crate::redis::RedisOptionsError;
use gom_runtime::permits::Permits;
use gom_runtime::supervision::{AskError, Restarts, Supervised, supervise};
use gom_telemetry::health::HealthStatus;
use gom_telemetry::metrics::{SESSION_FAILURES, SESSIONS, SessionEvent};

/// How often a session's use is recorded: the order in which a user's sessions were last used is as exact as this.
const USE_RECORD_INTERVAL: Duration = Duration::from_secs(300);
/// Sessions of which each process caches when it last recorded their use. One that is evicted is only recorded
/// sooner.
const MAX_CACHED_USES: usize = 65_536;

/// The sessions of the process. Cloning is cheap.
#[derive(Clone)]
pub struct Sessions {
    /// Where this handle looks sessions up: the manager's store, or a connection of one thread's own.
    backend: Arc<SessionBackend>,
    shared: Arc<Shared>,
    manager: Supervised<SessionManager>,
}

struct Shared {
    /// Look-ups that wait for the store.
    looking: Permits,
    /// When this process last recorded each session's use.
    recorded: Cache<SessionId, SystemTime>,
}

/// What a refresh gave: the session as it is now, and the new `header.payload` for the cookie.
#[derive(Debug, Clone)]
pub struct Refreshed {
    /// The session, with the signature of the new token.
    pub session: Arc<Session>,
    /// `header.payload` of the new token.
    pub head: String,
}

impl Sessions {
    /// Starts the `SessionManager` on this thread, which needs an actix system. Returns at once, whether or not
    /// the store is there.
    pub fn start(options: SessionOptions, database: &Database) -> Result<Self, RedisOptionsError> {
        let store = options.store.open(options.absolute, database)?;
        let mailbox = options.max_in_flight;
        let backend = Arc::new(SessionBackend::new(options, store));
        let of_manager = Arc::clone(&backend);
        let manager = supervise(mailbox, move || {
            SessionManager::new(Arc::clone(&of_manager))
        });
        let shared = Shared {
            looking: Permits::new(mailbox),
            recorded: Cache::new(MAX_CACHED_USES),
        };
        Ok(Sessions {
            backend,
            shared: Arc::new(shared),
            manager,
        })
    }

    /// `refused` is called on the manager's thread for each session that ends because its issuer refuses to renew its token,
    /// whether or not anyone still waits for that. For the first call only, and not through a handle of [`Sessions::local`].
    pub fn on_refused(&self, refused: impl Fn(Refused) + Send + Sync + 'static) {
        // The second is of the same process, and would do the same.
        let _ = self.backend.on_refused.set(Box::new(refused));
    }

    /// The same sessions, looked up over a connection to Redis of this thread's own, which needs an actix system:
    /// to wake another thread for each query costs several times the query. PostgreSQL's connections are dearer, and
    /// stay shared.
    #[must_use]
    pub fn local(&self) -> Self {
        let options = &self.backend.options;
        let Some(store) = options.store.open_for_thread(options.absolute) else {
            return self.clone();
        };
        Sessions {
            backend: Arc::new(SessionBackend::new(options.clone(), store)),
            ..self.clone()
        }
    }

    /// Opens a session under a new id. `replaces` is the id that the browser had before: it is dead afterwards.
    pub async fn open(
        &self,
        session: NewSession,
        replaces: Option<SessionId>,
    ) -> Result<SessionId, SessionError> {
        self.ask(Open {
            id: SessionId::new(),
            session,
            replaces,
        })
        .await
    }

    /// The session, if it lives. Queries the store every time, so that what another node closed is closed here.
    pub async fn resume(&self, id: &SessionId) -> Result<Option<Arc<Session>>, SessionError> {
        let permit = self.shared.looking.try_acquire();
        let _permit = permit.map_err(|_| SessionError::Overloaded)?;
        let Some(session) = self.backend.get(id).await? else {
            SESSIONS.inc(SessionEvent::Missing);
            return Ok(None);
        };
        SESSIONS.inc(SessionEvent::Resumed);
        let session = Arc::new(session);
        self.record_use(id, &session);
        Ok(Some(session))
    }

    /// Which of these sessions live, in their order: one query for all of them.
    pub async fn living(&self, ids: &[SessionId]) -> Result<Vec<bool>, SessionError> {
        self.backend.living(ids).await
    }

    /// Records that a session is used, at intervals.
    fn record_use(&self, id: &SessionId, session: &Arc<Session>) {
        let options = &self.backend.options;
        let now = options.clock.now();
        let recent = |recorded: SystemTime| {
            now.duration_since(recorded)
                .is_ok_and(|age| age < USE_RECORD_INTERVAL.min(options.idle / 100))
        };
        if self.shared.recorded.get(id).is_some_and(recent) {
            return;
        }
        let touch = Touch {
            id: id.clone(),
            session: Arc::clone(session),
        };
        // If the manager is overloaded, the next request records it.
        if self.manager.post(touch).is_ok() {
            self.shared.recorded.insert(id.clone(), now);
        }
    }

    /// A session with a newer token than the one with `stale_signature`. There is one request to the
    /// issuer for all requests for the same session on all nodes; the others share its result. Takes as long as
    /// the issuer, and at most twice [`SessionOptions::refresh_patience`].
    pub async fn refresh(
        &self,
        id: &SessionId,
        stale_signature: &str,
        refresher: Box<dyn Refresher>,
    ) -> Result<Refreshed, SessionError> {
        self.refresh_for(RefreshFor::Browser, id, stale_signature, refresher)
            .await
    }

    /// The same for a connection that lasts, over which no cookie can be set: the half that the browser has stays good until
    /// the browser comes with it (see [`Sessions::heard`]).
    pub async fn refresh_for_connection(
        &self,
        id: &SessionId,
        stale_signature: &str,
        refresher: Box<dyn Refresher>,
    ) -> Result<Refreshed, SessionError> {
        self.refresh_for(RefreshFor::Connection, id, stale_signature, refresher)
            .await
    }

    async fn refresh_for(
        &self,
        of: RefreshFor,
        id: &SessionId,
        stale_signature: &str,
        refresher: Box<dyn Refresher>,
    ) -> Result<Refreshed, SessionError> {
        let refresh = Refresh {
            id: id.clone(),
            stale_signature: stale_signature.to_owned(),
            refresh_for: of,
            refresher,
        };
        self.manager.ask(refresh).await?
    }

    /// The browser is given the half that replaced its own: if a connection had the token refreshed, the grace period of the
    /// old half begins only now. Whether the session has it so. If not, for the token was refreshed meanwhile or the store does
    /// not answer, the browser must not be given that half: only the old one stays good.
    pub async fn heard(&self, id: &SessionId, session: &Session) -> bool {
        let Some(previous) = &session.previous else {
            return true;
        };
        if !self.backend.is_unheard(previous) {
            return true;
        }
        let previous = Previous {
            until: self.backend.grace_end(),
            ..previous.clone()
        };
        let heard = Session {
            previous: Some(previous),
            ..session.clone()
        };
        match self.backend.store.renew(id, session, &heard, "").await {
            Ok(true) => true,
            // Another request of the same browser may have been first.
            Ok(false) => self.backend.get(id).await.is_ok_and(|now| {
                now.filter(|now| now.signature == session.signature)
                    .is_some_and(|now| {
                        now.previous
                            .is_none_or(|previous| !self.backend.is_unheard(&previous))
                    })
            }),
            Err(reason) => {
                tracing::debug!(
                    reason,
                    "a browser's receipt of a refreshed token could not be recorded"
                );
                false
            }
        }
    }

    /// Closes a session. It is no error if there is none.
    pub async fn close(&self, id: &SessionId) -> Result<(), SessionError> {
        self.ask(Close(id.clone())).await
    }

    /// Closes all sessions of a subject; how many there were.
    pub async fn close_all(&self, subject: &str) -> Result<u64, SessionError> {
        self.ask(CloseAll(subject.to_owned())).await
    }

    /// Closes the subject's session with this [`SessionSummary::handle`]; whether there was one.
    pub async fn close_by_handle(&self, subject: &str, handle: &str) -> Result<bool, SessionError> {
        self.ask(CloseByHandle {
            subject: subject.to_owned(),
            handle: handle.to_owned(),
        })
        .await
    }

    /// The live sessions of a subject, the one seen last first.
    pub async fn list(&self, subject: &str) -> Result<Vec<SessionSummary>, SessionError> {
        self.ask(List(subject.to_owned())).await
    }

    /// How long the issuer of a token is waited for.
    pub fn refresh_patience(&self) -> Duration {
        self.backend.options.refresh_patience
    }

    /// How the store is doing.
    pub fn status(&self) -> HealthStatus {
        self.backend.store.reporter().status()
    }

    /// How often the `SessionManager` had to be restarted.
    pub fn restarts(&self) -> Restarts {
        self.manager.restarts()
    }

    async fn ask<R: Request>(&self, request: R) -> Result<R::Output, SessionError> {
        self.manager.ask(request).await?
    }
}

impl From<AskError> for SessionError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Full => SessionError::Overloaded,
            AskError::Restarting | AskError::Lost | AskError::Timeout => {
                unavailable("the session manager is being restarted".to_owned())
            }
        }
    }
}

/// The store has not answered.
fn store_failed(reason: String) -> SessionError {
    SESSION_FAILURES.inc(());
    unavailable(reason)
}

fn unavailable(reason: String) -> SessionError {
    SessionError::Unavailable { reason }
}
