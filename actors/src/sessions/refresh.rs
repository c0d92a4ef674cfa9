//! One refresh of one session. However many ask for it, here and on other nodes, the issuer is asked once: whoever
//! has the session's lock in the store asks, and the others find the answer in the session.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt;
use tokio::time::{Instant, timeout};

use super::error::SessionError;
use super::manager::{Keeping, whole_milliseconds};
use super::refresher::{RefreshFailure, Refresher, Renewed};
use super::session::{Previous, Session, SessionId};
use super::{Refreshed, store_failed, unavailable};

/// Between two looks at whether another node is done.
const LOOK_AGAIN: Duration = Duration::from_millis(30);
/// Between two attempts to keep a renewed session.
const KEEP_AGAIN: Duration = Duration::from_millis(100);
/// A refresh token that was exchanged is worth trying to keep for this long: the old one may be worth nothing.
const KEEP_PATIENCE: Duration = Duration::from_secs(60);

/// Where a session stands with a request that set out with a certain token.
enum Standing {
    /// Refreshed before.
    Newer(Refreshed),
    /// To be refreshed with this refresh token.
    Stale(Session, String),
}

async fn look(keeping: &Keeping, id: &SessionId, stale_signature: &str) -> Result<Standing, SessionError> {
    let session = keeping.get(id).await?.ok_or(SessionError::Gone)?;
    if session.signature != stale_signature {
        // Neither the current token nor the one before it: a stranger's, or much too late.
        let head = session.previous.as_ref().filter(|previous| previous.signature == stale_signature);
        let head = head.map(|previous| previous.head.clone()).ok_or(SessionError::Gone)?;
        return Ok(Standing::Newer(Refreshed { session: Arc::new(session), head }));
    }
    let token = session.refresh_token.as_ref().map(|token| token.expose().to_owned());
    token.map(|token| Standing::Stale(session, token)).ok_or(SessionError::Gone)
}

pub(super) async fn refresh(
    keeping: &Arc<Keeping>,
    id: &SessionId,
    stale_signature: &str,
    refresher: Box<dyn Refresher>,
) -> Result<Refreshed, SessionError> {
    let patience = keeping.options.refresh_patience;
    let began = Instant::now();
    let holder = SessionId::new();
    loop {
        if let Standing::Newer(refreshed) = look(keeping, id, stale_signature).await? {
            return Ok(refreshed);
        }
        // Longer than the refresher may take, and with time to keep its answer.
        let span = patience + patience / 2;
        if keeping.store.lock(id, holder.as_str(), span).await.map_err(store_failed)? {
            break;
        }
        if began.elapsed() >= patience {
            return Err(unavailable("another node has not finished refreshing this session".to_owned()));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let refreshed = refresh_locked(keeping, id, stale_signature, refresher, &holder).await;
    if refreshed.is_err() {
        // If not now, then by itself when its time is over.
        let _ = keeping.store.unlock(id, holder.as_str()).await;
    }
    refreshed
}

async fn refresh_locked(
    keeping: &Arc<Keeping>,
    id: &SessionId,
    stale_signature: &str,
    refresher: Box<dyn Refresher>,
    holder: &SessionId,
) -> Result<Refreshed, SessionError> {
    // Somebody may have finished between our look and our lock.
    let (session, token) = match look(keeping, id, stale_signature).await {
        Ok(Standing::Stale(session, token)) => (session, token),
        Ok(Standing::Newer(refreshed)) => {
            let _ = keeping.store.unlock(id, holder.as_str()).await;
            return Ok(refreshed);
        }
        Err(error) => return Err(error),
    };
    // What somebody else's code does must not leave the session locked.
    let asking = AssertUnwindSafe(async { refresher.refresh(token).await }).catch_unwind();
    let renewed = match timeout(keeping.options.refresh_patience, asking).await {
        Ok(Ok(Ok(renewed))) => renewed,
        Ok(Ok(Err(RefreshFailure::Unavailable))) => {
            return Err(unavailable("the issuer of its token does not answer".to_owned()));
        }
        Ok(Ok(Err(RefreshFailure::Rejected))) => return rejected(keeping, id, stale_signature).await,
        Ok(Err(_)) => return Err(unavailable("the refresh of its token failed".to_owned())),
        Err(_) => return Err(unavailable("the issuer of its token takes too long".to_owned())),
    };
    keep(keeping, id, session, renewed, holder).await
}

/// The issuer does not accept the refresh token: the session is closed, unless it was refreshed elsewhere after
/// all.
async fn rejected(
    keeping: &Keeping,
    id: &SessionId,
    stale_signature: &str,
) -> Result<Refreshed, SessionError> {
    if let Standing::Newer(refreshed) = look(keeping, id, stale_signature).await? {
        return Ok(refreshed);
    }
    tracing::info!(session = ?id, "a refresh token was rejected; the session is closed");
    keeping.store.remove(id).await.map_err(store_failed)?;
    Err(SessionError::Gone)
}

/// Keeps the renewed session in the store. If the store fails just now, it is tried on in the background, because
/// the old refresh token may be worth nothing any more.
async fn keep(
    keeping: &Arc<Keeping>,
    id: &SessionId,
    session: Session,
    renewed: Renewed,
    holder: &SessionId,
) -> Result<Refreshed, SessionError> {
    let Renewed { head, signature, refresh_token } = renewed;
    let until = whole_milliseconds(keeping.options.clock.now() + keeping.options.grace);
    let stale_signature = session.signature;
    let previous = Previous { signature: stale_signature.clone(), head: head.clone(), until };
    let session = Session {
        signature,
        refresh_token: refresh_token.or(session.refresh_token),
        previous: Some(previous),
        ..session
    };
    let kept = keeping.store.renew(id, &stale_signature, &session, holder.as_str()).await;
    match kept {
        Ok(true) => Ok(Refreshed { session: Arc::new(session), head }),
        // Closed meanwhile, or refreshed by somebody who thought that we had died.
        Ok(false) => match look(keeping, id, &stale_signature).await? {
            Standing::Newer(refreshed) => Ok(refreshed),
            Standing::Stale(..) => Err(SessionError::Gone),
        },
        Err(reason) => {
            tracing::warn!(session = ?id, reason, "a renewed session could not be kept; it is tried again");
            let (keeping, id, holder) = (Arc::clone(keeping), id.clone(), holder.clone());
            actix::spawn(async move {
                keep_on(&keeping, &id, &stale_signature, &session, &holder).await;
            });
            Err(store_failed(reason))
        }
    }
}

async fn keep_on(
    keeping: &Keeping,
    id: &SessionId,
    stale_signature: &str,
    session: &Session,
    holder: &SessionId,
) {
    let began = Instant::now();
    while began.elapsed() < KEEP_PATIENCE {
        tokio::time::sleep(KEEP_AGAIN).await;
        if keeping.store.renew(id, stale_signature, session, holder.as_str()).await.is_ok() {
            return;
        }
    }
    tracing::warn!(session = ?id, "a renewed session could not be kept; its owner may have to log in again");
}
