//! Sessions: opened by a login, looked up by every request, refreshed once however many ask, closed at once on
//! every node. Knows no cookie and no token's content.

mod error;
mod options;
mod refresher;
mod session;

use std::sync::Arc;

pub use self::error::{RETRY_AFTER, SessionError};
pub use self::options::{Clock, SessionOptions, SessionStoreChoice};
pub use self::refresher::{RefreshFailure, Refresher, Renewed};
pub use self::session::{NewSession, Previous, Session, SessionId, SessionSummary};

use crate::database::Database;
use crate::redis::RedisOptionsError;
use crate::watch::Restarts;

/// The sessions of the process. Cloning is cheap.
#[derive(Clone)]
pub struct Sessions {}

/// What a refresh gave: the session as it is now, and the new `header.payload` for the cookie.
#[derive(Debug, Clone)]
pub struct Refreshed {
    pub session: Arc<Session>,
    pub head: String,
}

fn not_yet<T>() -> Result<T, SessionError> {
    Err(SessionError::Unavailable { reason: "not built yet".to_owned() })
}

impl Sessions {
    /// Starts the `SessionManager` on this thread, which needs an actix system. Returns at once, whether or not
    /// the store is there.
    pub fn start(options: SessionOptions, database: &Database) -> Result<Self, RedisOptionsError> {
        let _ = (options, database);
        Ok(Sessions {})
    }

    /// Opens a session under a new id. `replaces` is the id that the browser had before: it is dead afterwards.
    pub async fn open(
        &self,
        session: NewSession,
        replaces: Option<SessionId>,
    ) -> Result<SessionId, SessionError> {
        let _ = (session, replaces);
        not_yet()
    }

    /// The session, if it lives. Asks the store every time, so that what another node closed is closed here.
    pub async fn resume(&self, id: &SessionId) -> Result<Option<Arc<Session>>, SessionError> {
        let _ = id;
        not_yet()
    }

    /// A session with a newer token than the one with `stale_signature`. The issuer is asked once, however many
    /// ask for the same session on however many nodes; the others get the answer of the first.
    pub async fn refresh(
        &self,
        id: &SessionId,
        stale_signature: &str,
        refresher: Box<dyn Refresher>,
    ) -> Result<Refreshed, SessionError> {
        let _ = (id, stale_signature, refresher);
        not_yet()
    }

    /// Closes a session. It is no error if there is none.
    pub async fn close(&self, id: &SessionId) -> Result<(), SessionError> {
        let _ = id;
        not_yet()
    }

    /// Closes all sessions of a subject; how many there were.
    pub async fn close_all(&self, subject: &str) -> Result<u64, SessionError> {
        let _ = subject;
        not_yet()
    }

    /// Closes the subject's session with this [`SessionSummary::handle`]; whether there was one.
    pub async fn close_by_handle(&self, subject: &str, handle: &str) -> Result<bool, SessionError> {
        let _ = (subject, handle);
        not_yet()
    }

    /// The live sessions of a subject, the one seen last first.
    pub async fn list(&self, subject: &str) -> Result<Vec<SessionSummary>, SessionError> {
        let _ = subject;
        not_yet()
    }

    /// How often the `SessionManager` had to be rebuilt.
    pub fn restarts(&self) -> Restarts {
        Restarts::default()
    }
}
