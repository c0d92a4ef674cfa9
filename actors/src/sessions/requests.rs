//! What the `SessionManager` does in one or two queries to the store. Knows no actor.

use std::sync::Arc;

use actix::Message;

use super::manager::{Answer, SessionBackend, whole_milliseconds};
use super::session::{NewSession, Session, SessionId, SessionSummary};
use super::store_failed;
use super::stores::{Life, Listed};
use gom_telemetry::metrics::{SESSIONS, SessionEvent};

/// A request that is one or two queries to the store.
pub(super) trait Request: Message<Result = Answer<Self::Output>> + Send + 'static {
    type Output: Send + 'static;

    fn execute(self, backend: Arc<SessionBackend>) -> impl Future<Output = Answer<Self::Output>>;
}

/// Open a session under this new id.
#[derive(Message)]
#[rtype(result = "Answer<SessionId>")]
pub(super) struct Open {
    pub id: SessionId,
    pub session: NewSession,
    pub replaces: Option<SessionId>,
}

/// Close the session with this id.
#[derive(Message)]
#[rtype(result = "Answer<()>")]
pub(super) struct Close(pub SessionId);

/// Close all sessions of this subject; how many there were.
#[derive(Message)]
#[rtype(result = "Answer<u64>")]
pub(super) struct CloseAll(pub String);

/// Close the subject's session with this handle; whether there was one.
#[derive(Message)]
#[rtype(result = "Answer<bool>")]
pub(super) struct CloseByHandle {
    pub subject: String,
    pub handle: String,
}

/// The live sessions of this subject.
#[derive(Message)]
#[rtype(result = "Answer<Vec<SessionSummary>>")]
pub(super) struct List(pub String);

impl Request for Open {
    type Output = SessionId;

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
        SESSIONS.inc(SessionEvent::Opened);
        Ok(id)
    }
}

impl Request for Close {
    type Output = ();

    async fn execute(self, backend: Arc<SessionBackend>) -> Answer<()> {
        count_closed(backend.store.remove(&self.0).await.map_err(store_failed)?);
        Ok(())
    }
}

fn count_closed(closed: bool) {
    if closed {
        SESSIONS.inc(SessionEvent::Closed);
    }
}

impl Request for CloseAll {
    type Output = u64;

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
    type Output = bool;

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
    type Output = Vec<SessionSummary>;

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
