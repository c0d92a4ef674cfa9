//! Connections that last and came with a session live as long as the session: its token is renewed shortly before its end, so
//! that nothing is delivered with one that has ended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::web::Data;
use gom_actors::sessions::SessionId;
use tokio::time::sleep;

use super::State;
use super::session::{NotLoggedIn, renew_for_connection};
use crate::identity::User;

/// A token is renewed a fifth of its time before its end, and no sooner than this.
const MAX_LEAD: Duration = Duration::from_secs(30);
/// Between two attempts, while a store or the issuer does not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a connection does not go on. Its token has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRenewed {
    /// The session is over, or its token is not renewed: the user has to log in.
    Over,
    /// Neither could be found out.
    Unavailable,
}

/// The user of the session's next token, towards the end of the one that ends at `until`.
///
/// # Errors
/// At the end of the token, if there is no other.
pub async fn renewed(
    state: Data<State>,
    session: SessionId,
    until: SystemTime,
) -> Result<Arc<User>, NotRenewed> {
    let left = || until.duration_since(SystemTime::now()).unwrap_or_default();
    let lead = (left() / 5).min(MAX_LEAD);
    sleep(left().saturating_sub(lead)).await;
    loop {
        let is_last = left().is_zero();
        match renew_for_connection(&state, &session, until).await {
            Ok(user) => return Ok(user),
            Err(NotLoggedIn::No(_)) => {
                sleep(left()).await;
                return Err(NotRenewed::Over);
            }
            Err(NotLoggedIn::Unknown(_)) if is_last => return Err(NotRenewed::Unavailable),
            Err(NotLoggedIn::Unknown(_)) => sleep(left().min(RETRY_INTERVAL)).await,
        }
    }
}
