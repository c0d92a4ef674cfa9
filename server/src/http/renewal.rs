//! Connections that last and came with a session live as long as the session: its token is renewed shortly before its end, so
//! that nothing is delivered with one that has ended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::web::Data;
use gom_actors::sessions::SessionId;
use gom_runtime::backoff::Backoff;
use tokio::time::{Instant, sleep, timeout};

use super::State;
use super::session::{NotLoggedIn, renew_for_connection};
use crate::identity::User;
use crate::socket::{NotRenewed, Outbox, OwnTask};

/// A token is renewed a fifth to two fifths of its time before its end, and no sooner than twice this.
const MAX_LEAD: Duration = Duration::from_secs(30);
/// Between the first two attempts, while a store or the issuer does not answer, at most. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// [`renewed`], of which the outbox finds out in any case: the connection may be stuck in a write.
pub fn renewing(
    state: Data<State>,
    session: SessionId,
    until: SystemTime,
    outbox: Rc<Outbox>,
) -> OwnTask<Result<Arc<User>, NotRenewed>> {
    outbox.may_send_until(last_renewal(&state, until));
    OwnTask::begin(async move {
        let renewal = renewed(state.clone(), session, until).await;
        match &renewal {
            Ok(user) => outbox.may_send_until(last_renewal(&state, user.expires)),
            Err(NotRenewed::Over) => outbox.may_send_until(Some(Instant::now())),
            // That is its last moment.
            Err(NotRenewed::Unavailable) => {}
        }
        renewal
    })
}

/// The user of the session's next token, towards the end of the one that ends at `until`.
///
/// # Errors
/// At the end of the token, or as long after it as a refresh may take, if there is no other.
async fn renewed(
    state: Data<State>,
    session: SessionId,
    until: SystemTime,
) -> Result<Arc<User>, NotRenewed> {
    let patience = left_until(until).saturating_add(state.auth.sessions.refresh_patience());
    timeout(patience, renewed_towards(state, session, until))
        .await
        .unwrap_or(Err(NotRenewed::Unavailable))
}

/// When [`renewed`] ends at the latest; nothing beyond the clock's end.
fn last_renewal(state: &State, until: SystemTime) -> Option<Instant> {
    let patience = left_until(until).saturating_add(state.auth.sessions.refresh_patience());
    Instant::now().checked_add(patience)
}

async fn renewed_towards(
    state: Data<State>,
    session: SessionId,
    until: SystemTime,
) -> Result<Arc<User>, NotRenewed> {
    let left = || left_until(until);
    sleep(left().saturating_sub(lead(left(), fastrand::f64()))).await;
    let mut backoff = Backoff::new(FIRST_PAUSE, MAX_PAUSE);
    loop {
        let is_last = left().is_zero();
        match renew_for_connection(&state, &session, until).await {
            Ok(user) => return Ok(user),
            Err(NotLoggedIn::No(_)) => {
                sleep(left()).await;
                return Err(NotRenewed::Over);
            }
            Err(NotLoggedIn::Unknown(_)) if is_last => return Err(NotRenewed::Unavailable),
            Err(NotLoggedIn::Unknown(_)) => sleep(left().min(backoff.next_delay())).await,
        }
    }
}

fn left_until(end: SystemTime) -> Duration {
    end.duration_since(SystemTime::now()).unwrap_or_default()
}

/// How long before its end a token is renewed: those of connections that came at once not all at once.
fn lead(left: Duration, chance: f64) -> Duration {
    (left / 5).min(MAX_LEAD).mul_f64(1.0 + chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn renewals_of_connections_that_came_together_are_spread() {
        assert_eq!(
            (lead(seconds(20), 0.0), lead(seconds(20), 1.0)),
            (seconds(4), seconds(8))
        );
        assert_eq!(
            (lead(seconds(7200), 0.0), lead(seconds(7200), 1.0)),
            (seconds(30), seconds(60))
        );
        assert_eq!(lead(seconds(0), 0.5), seconds(0));
    }
}
