//! One refresh of one session. There is one request to the issuer for all requests here and on other nodes: the holder of the
//! session's lock in the store sends it, and the others find the result in the session.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Instant, timeout};

use super::error::SessionError;
use super::manager::{Refused, SessionBackend};
use super::refresher::{RefreshFailure, RefreshFor, Refresher, Renewed};
use super::session::{Previous, Session, SessionId};
use super::{Refreshed, store_failed, unavailable};
use gom_runtime::backoff::Backoff;

/// Between two attempts at the lock that another node holds.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(30);
/// Between two attempts to keep a renewed session, at first and at most.
const FIRST_KEEP_DELAY: Duration = Duration::from_millis(100);
const MAX_KEEP_DELAY: Duration = Duration::from_millis(100);
/// Attempts to store a renewed session that has changed meanwhile, without a pause.
const STORE_AT_ONCE: usize = 3;
/// Halves of tokens of which a browser may have one.
const MAX_HALVES: usize = 3;
/// How long the server retries to keep an exchanged refresh token: the old one may be invalid.
const KEEP_TIMEOUT: Duration = Duration::from_secs(60);

/// The state of a session as seen by a request that carries a certain token.
enum RefreshState {
    /// Refreshed before.
    Newer(Refreshed),
    /// To be refreshed with this refresh token.
    Stale(Session, String),
}

async fn look(
    backend: &SessionBackend,
    id: &SessionId,
    stale_signature: &str,
) -> Result<RefreshState, SessionError> {
    let session = backend.get(id).await?.ok_or(SessionError::Gone)?;
    if session.signature != stale_signature {
        // The caller has read the session itself; without a previous token there, the request comes too late.
        let head = session.previous.as_ref();
        let head = head
            .map(|previous| previous.head.clone())
            .ok_or(SessionError::Gone)?;
        return Ok(RefreshState::Newer(Refreshed {
            session: Arc::new(session),
            head,
        }));
    }
    let token = session
        .refresh_token
        .as_ref()
        .map(|token| token.expose().to_owned());
    token
        .map(|token| RefreshState::Stale(session, token))
        .ok_or(SessionError::Gone)
}

pub(super) async fn refresh(
    backend: &Arc<SessionBackend>,
    id: &SessionId,
    stale_signature: &str,
    refresh_for: RefreshFor,
    refresher: Box<dyn Refresher>,
) -> Result<Refreshed, SessionError> {
    let patience = backend.options.refresh_patience;
    let began = Instant::now();
    let holder = SessionId::new();
    loop {
        if let RefreshState::Newer(refreshed) = look(backend, id, stale_signature).await? {
            return Ok(refreshed);
        }
        match backend
            .store
            .lock(id, holder.as_str(), lock_span(backend))
            .await
        {
            Ok(true) => break,
            Ok(false) => {}
            Err(reason) => {
                // The lock may be ours all the same, and would block all others until it expires.
                let _ = backend.store.unlock(id, holder.as_str()).await;
                return Err(store_failed(reason));
            }
        }
        if began.elapsed() >= patience {
            return Err(unavailable(
                "another node has not finished refreshing this session".to_owned(),
            ));
        }
        tokio::time::sleep(LOCK_POLL_INTERVAL).await;
    }
    match refresh_locked(
        backend,
        id,
        (stale_signature, refresh_for),
        refresher,
        &holder,
    )
    .await
    {
        Ok(refreshed) => Ok(refreshed),
        // A task goes on with it, and keeps the lock: the refresh token must not be spent twice.
        Err(Failure::GoesOn(error)) => Err(error),
        Err(Failure::Ended(error)) => {
            // If not now, then by itself when its time is over.
            let _ = backend.store.unlock(id, holder.as_str()).await;
            Err(error)
        }
    }
}

/// Longer than the refresher may take, and with time to keep its answer.
fn lock_span(backend: &SessionBackend) -> Duration {
    let patience = backend.options.refresh_patience;
    patience + patience / 2
}

/// Why there is no refreshed session.
enum Failure {
    /// The refresh has ended.
    Ended(SessionError),
    /// Yet: the session is still being refreshed, or the refreshed one being stored.
    GoesOn(SessionError),
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Failure::Ended(error)
    }
}

async fn refresh_locked(
    backend: &Arc<SessionBackend>,
    id: &SessionId,
    (stale_signature, refresh_for): (&str, RefreshFor),
    refresher: Box<dyn Refresher>,
    holder: &SessionId,
) -> Result<Refreshed, Failure> {
    // Another node may have finished between our query and our lock.
    let (session, token) = match look(backend, id, stale_signature).await? {
        RefreshState::Stale(session, token) => (session, token),
        RefreshState::Newer(refreshed) => {
            let _ = backend.store.unlock(id, holder.as_str()).await;
            return Ok(refreshed);
        }
    };
    // A panic in the refresher must not leave the session locked.
    let mut asking = AssertUnwindSafe(async { refresher.refresh(token).await })
        .catch_unwind()
        .boxed();
    let Ok(answer) = timeout(backend.options.refresh_patience, &mut asking).await else {
        // The issuer may have exchanged the refresh token already: its answer must not be lost.
        let (backend, id, holder) = (Arc::clone(backend), id.clone(), holder.clone());
        actix::spawn(finish_late(
            backend,
            id,
            (session, refresh_for),
            asking,
            holder,
        ));
        return Err(Failure::GoesOn(unavailable(
            "the issuer of its token takes too long".to_owned(),
        )));
    };
    match answer {
        Ok(Ok(renewed)) => keep(backend, id, (session, refresh_for), renewed, holder).await,
        Ok(Err(RefreshFailure::Unavailable)) => {
            Err(unavailable("the issuer of its token does not answer".to_owned()).into())
        }
        Ok(Err(RefreshFailure::Rejected)) => Ok(rejected(backend, id, &session).await?),
        Err(_) => Err(unavailable("the refresh of its token failed".to_owned()).into()),
    }
}

type Asking = BoxFuture<'static, std::thread::Result<Result<Renewed, RefreshFailure>>>;

/// Waits as long again for the issuer after all requests have given up, with the session locked, and keeps its answer.
async fn finish_late(
    backend: Arc<SessionBackend>,
    id: SessionId,
    (session, refresh_for): (Session, RefreshFor),
    mut asking: Asking,
    holder: SessionId,
) {
    let began = Instant::now();
    let answer = loop {
        // At once: what is left of the lock is no longer than the next wait.
        drop(
            backend
                .store
                .lock(&id, holder.as_str(), lock_span(&backend))
                .await,
        );
        match timeout(backend.options.refresh_patience / 2, &mut asking).await {
            Ok(answer) => break Some(answer),
            Err(_) if began.elapsed() >= backend.options.refresh_patience => break None,
            Err(_) => {}
        }
    };
    match answer {
        Some(Ok(Ok(renewed))) => {
            keep_on(
                &backend,
                &id,
                (&session.signature, refresh_for),
                &renewed,
                &holder,
            )
            .await;
            return;
        }
        Some(Ok(Err(RefreshFailure::Rejected))) => drop(rejected(&backend, &id, &session).await),
        _ => {}
    }
    let _ = backend.store.unlock(&id, holder.as_str()).await;
}

/// The issuer does not accept the refresh token: the session is closed, unless it was refreshed elsewhere after
/// all.
async fn rejected(
    backend: &Arc<SessionBackend>,
    id: &SessionId,
    session: &Session,
) -> Result<Refreshed, SessionError> {
    let closed = close_rejected(backend, id, &session.signature).await;
    // Also where the store has not answered: it may have closed it.
    if closed.is_err()
        && let Some(on_refused) = backend.on_refused.get()
    {
        on_refused(Refused {
            backend: Arc::clone(backend),
            id: id.clone(),
            subject: session.subject.clone(),
        });
    }
    closed
}

async fn close_rejected(
    backend: &SessionBackend,
    id: &SessionId,
    stale_signature: &str,
) -> Result<Refreshed, SessionError> {
    if let RefreshState::Newer(refreshed) = look(backend, id, stale_signature).await? {
        return Ok(refreshed);
    }
    if !backend
        .store
        .remove_stale(id, stale_signature)
        .await
        .map_err(store_failed)?
        && let RefreshState::Newer(refreshed) = look(backend, id, stale_signature).await?
    {
        return Ok(refreshed);
    }
    tracing::info!(session = ?id, "a refresh token was rejected; the session is closed");
    Err(SessionError::Gone)
}

/// The session with the new token, and the browser's half of that.
fn exchanged(
    backend: &SessionBackend,
    (session, refresh_for): (&Session, RefreshFor),
    renewed: &Renewed,
) -> (Session, String) {
    let Renewed {
        head,
        signature,
        refresh_token,
    } = renewed.clone();
    let session = session.clone();
    let of_browser = match &session.previous {
        // A browser that has received no refresh since still holds the first of these halves.
        Some(previous) if backend.is_unheard(previous) => previous.signature.clone(),
        // The answer with the newer half may not have arrived, or requests with the older one be under way.
        Some(previous) => {
            let older = previous.signatures().take(MAX_HALVES - 1);
            std::iter::once(session.signature.as_str())
                .chain(older)
                .collect::<Vec<_>>()
                .join(" ")
        }
        None => session.signature,
    };
    let until = match refresh_for {
        RefreshFor::Browser => backend.grace_end(),
        RefreshFor::Connection => backend.last_end(session.opened),
    };
    let previous = Previous {
        signature: of_browser,
        head: head.clone(),
        until,
    };
    let session = Session {
        signature,
        refresh_token: refresh_token.or(session.refresh_token),
        previous: Some(previous),
        ..session
    };
    (session, head)
}

/// Stores the session that has the renewed token instead of the stale one; nothing if there is none with the stale one any
/// more. A browser may have received the last refresh's half meanwhile: which half it has is read now.
async fn store(
    backend: &SessionBackend,
    id: &SessionId,
    (stale_signature, refresh_for): (&str, RefreshFor),
    renewed: &Renewed,
    holder: &SessionId,
) -> Result<Option<Refreshed>, SessionError> {
    for _ in 0..STORE_AT_ONCE {
        let held = backend
            .get(id)
            .await?
            .filter(|session| session.signature == stale_signature);
        let Some(held) = held else { return Ok(None) };
        let (session, head) = exchanged(backend, (&held, refresh_for), renewed);
        if backend
            .store
            .renew(id, &held, &session, holder.as_str())
            .await
            .map_err(store_failed)?
        {
            return Ok(Some(Refreshed {
                session: Arc::new(session),
                head,
            }));
        }
    }
    Err(unavailable("the session changes all the time".to_owned()))
}

/// Keeps the renewed session in the store. If the store fails just now, a task goes on trying in the background, because
/// the old refresh token may be worth nothing any more.
async fn keep(
    backend: &Arc<SessionBackend>,
    id: &SessionId,
    (session, refresh_for): (Session, RefreshFor),
    renewed: Renewed,
    holder: &SessionId,
) -> Result<Refreshed, Failure> {
    match store(
        backend,
        id,
        (&session.signature, refresh_for),
        &renewed,
        holder,
    )
    .await
    {
        Ok(Some(refreshed)) => Ok(refreshed),
        // Closed meanwhile, or refreshed by another node after our lock had expired.
        Ok(None) => match look(backend, id, &session.signature).await? {
            RefreshState::Newer(refreshed) => {
                let _ = backend.store.unlock(id, holder.as_str()).await;
                Ok(refreshed)
            }
            RefreshState::Stale(..) => Err(SessionError::Gone.into()),
        },
        Err(error) => {
            tracing::warn!(session = ?id, cause = %error, "a renewed session could not be stored; the server retries");
            let (backend, id, holder) = (Arc::clone(backend), id.clone(), holder.clone());
            actix::spawn(async move {
                keep_on(
                    &backend,
                    &id,
                    (&session.signature, refresh_for),
                    &renewed,
                    &holder,
                )
                .await;
            });
            Err(Failure::GoesOn(error))
        }
    }
}

/// Stores a renewed session as soon as the store answers. The lock is extended all the while: it is shorter than this.
async fn keep_on(
    backend: &SessionBackend,
    id: &SessionId,
    stale: (&str, RefreshFor),
    renewed: &Renewed,
    holder: &SessionId,
) {
    let began = Instant::now();
    let mut backoff = Backoff::new(FIRST_KEEP_DELAY, MAX_KEEP_DELAY);
    while began.elapsed() < KEEP_TIMEOUT {
        if store(backend, id, stale, renewed, holder).await.is_ok() {
            return;
        }
        let _ = backend
            .store
            .lock(id, holder.as_str(), lock_span(backend))
            .await;
        backoff.wait().await;
    }
    tracing::warn!(session = ?id, "a renewed session could not be stored; its owner may have to log in again");
}
