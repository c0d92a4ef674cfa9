//! The interface between sessions and their store. Every answer, or the reason why there is none, comes within 550 ms.
//! Reads no clock.
//!
//! To add a store: a file here that implements [`SessionStore`], and its module, its choice and its opening in this file.

mod postgres;
mod redis;

use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;

use self::postgres::PostgresSessions;
use self::redis::RedisSessions;
use crate::database::Database;
use crate::redis::{RedisOptions, RedisOptionsError};
use crate::sessions::session::{Session, SessionId};
use gom_telemetry::health::HealthReporter;

/// Where sessions are kept.
#[derive(Debug, Clone)]
pub enum SessionStoreChoice {
    /// In its database 2, as `sess:<id>`.
    Redis(RedisOptions),
    /// In the table `gom.session`.
    Postgres,
}

impl SessionStoreChoice {
    /// The chosen store, for sessions that end this long after their login at the latest.
    ///
    /// # Errors
    /// If the options name no server.
    pub(in crate::sessions) fn open(
        &self,
        absolute: Duration,
        database: &Database,
    ) -> Result<Box<dyn SessionStore>, RedisOptionsError> {
        Ok(match self {
            SessionStoreChoice::Redis(redis) => Box::new(RedisSessions::new(redis, absolute)?),
            SessionStoreChoice::Postgres => Box::new(PostgresSessions::new(database)),
        })
    }

    /// The same store over connections of this thread's own, if a thread can have them.
    pub(in crate::sessions) fn open_for_thread(
        &self,
        absolute: Duration,
    ) -> Option<Box<dyn SessionStore>> {
        match self {
            // The start would have failed before.
            SessionStoreChoice::Redis(redis) => RedisSessions::new(redis, absolute)
                .ok()
                .map(|store| Box::new(store) as Box<dyn SessionStore>),
            // Its connections cost more, and stay shared.
            SessionStoreChoice::Postgres => None,
        }
    }
}

/// The answer, or the reason why there is none.
pub(in crate::sessions) type Stored<'a, T> = BoxFuture<'a, Result<T, String>>;

/// How long a session lives from now on, unless it is used again.
#[derive(Debug, Clone, Copy)]
pub(in crate::sessions) struct Life {
    pub now: SystemTime,
    pub left: Duration,
}

/// A session with what only the store has of it.
#[derive(Debug)]
pub(in crate::sessions) struct Listed {
    pub id: SessionId,
    pub session: Session,
    pub seen: SystemTime,
}

pub(in crate::sessions) trait SessionStore: Send + Sync {
    /// The health of the connection to it.
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
    /// another holder has it; its own holder extends it.
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
