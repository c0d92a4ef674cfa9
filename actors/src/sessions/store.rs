//! What sessions need of the place where they are kept. Every answer, or why there is none, comes within 550 ms.
//! Knows the time only as it is told.

use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;

use super::session::{Session, SessionId};
use gom_telemetry::health::HealthReporter;

/// The answer, or why there is none.
pub(super) type Stored<'a, T> = BoxFuture<'a, Result<T, String>>;

/// How long a session lives from now on, unless it is used again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub now: SystemTime,
    pub left: Duration,
}

/// A session with what only the store knows of it.
#[derive(Debug)]
pub(super) struct Listed {
    pub id: SessionId,
    pub session: Session,
    pub seen: SystemTime,
}

pub(super) trait SessionStore: Send + Sync {
    /// How the connection to it is doing.
    fn reporter(&self) -> &HealthReporter;

    fn get<'a>(&'a self, id: &'a SessionId, now: SystemTime) -> Stored<'a, Option<Session>>;

    /// Which of these sessions there are, in their order.
    fn living<'a>(&'a self, ids: &'a [SessionId], now: SystemTime) -> Stored<'a, Vec<bool>>;

    /// Keeps a new session, and removes the one that it replaces in the same step. Of the subject's other sessions those
    /// that were used least recently are removed, so that there are at most `most` with the new one.
    fn insert<'a>(
        &'a self,
        id: &'a SessionId,
        session: &'a Session,
        life: Life,
        replaces: Option<&'a SessionId>,
        most: usize,
    ) -> Stored<'a, ()>;

    /// The session was used. Does nothing if there is none.
    fn touch<'a>(&'a self, id: &'a SessionId, subject: &'a str, life: Life) -> Stored<'a, ()>;

    /// Whether there was one.
    fn remove<'a>(&'a self, id: &'a SessionId) -> Stored<'a, bool>;

    /// Removes the session if it still has this signature; whether it did.
    fn remove_stale<'a>(&'a self, id: &'a SessionId, signature: &'a str) -> Stored<'a, bool>;

    /// How many there were.
    fn remove_all<'a>(&'a self, subject: &'a str, now: SystemTime) -> Stored<'a, u64>;

    fn list<'a>(&'a self, subject: &'a str, now: SystemTime) -> Stored<'a, Vec<Listed>>;

    /// Reserves the refresh of a session to `holder`, until it is renewed, unlocked, or `span` is over. False if
    /// somebody else has it; anyone who has it extends it.
    fn lock<'a>(&'a self, id: &'a SessionId, holder: &'a str, span: Duration) -> Stored<'a, bool>;

    fn unlock<'a>(&'a self, id: &'a SessionId, holder: &'a str) -> Stored<'a, ()>;

    /// Puts the renewed session in the place of `held`, and unlocks it if `holder` has it. Nothing else about it changes: not
    /// its lifetime either. False if there is none with the signature of `held` (any more), or what `held` has of a previous
    /// one has got another end.
    fn renew<'a>(
        &'a self,
        id: &'a SessionId,
        held: &'a Session,
        renewed: &'a Session,
        holder: &'a str,
    ) -> Stored<'a, bool>;

    /// Removes some sessions that have expired by both this node's clock and the store's; whether there may be more. A
    /// node whose clock is ahead must not remove what lives on all others.
    fn sweep(&self, now: SystemTime) -> Stored<'_, bool>;
}
