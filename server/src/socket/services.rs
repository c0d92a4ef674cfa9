//! What the sockets of one worker use of the rest: handles, and nothing of the transport that opened them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use gom_actors::database::Database;
use gom_actors::resume::{Positions, ResumeOptions};
use gom_actors::sessions::SessionId;
use gom_runtime::waiting::Waiting;

use super::local::LocalSockets;
use super::outbox::Outbox;
use super::own_task::OwnTask;
use crate::admission::HeldRequests;
use crate::graphql::Api;
use crate::identity::{Identity, ServiceTokens, User};
use crate::settings::{Settings, Sockets};

/// What the sockets of one worker use.
pub struct SocketServices {
    pub api: Api,
    pub tokens: Arc<ServiceTokens>,
    /// Verifies users' bearer tokens.
    pub identity: Identity,
    pub bounds: Arc<Sockets>,
    /// Of subscriptions of clients without cursors; nothing if they are not kept.
    pub positions: Option<Positions>,
    pub sockets: LocalSockets,
    /// What waits for clients.
    pub waiting: Waiting,
    /// What requests make the process hold.
    pub requests: HeldRequests,
}

/// Why a connection does not go on. Its token has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRenewed {
    /// The session is over, or its token is not renewed: the user has to log in.
    Over,
    /// Neither could be found out.
    Unavailable,
}

/// Has a session's token renewed towards its end, for a connection: session, end of the token, outbox.
pub type Renew =
    Rc<dyn Fn(SessionId, SystemTime, Rc<Outbox>) -> OwnTask<Result<Arc<User>, NotRenewed>>>;

/// The positions of subscriptions of clients without cursors, unless they are not to be kept.
pub fn positions(settings: &Settings, database: &Database) -> Option<Positions> {
    let remember_for = settings.live.remember_for;
    let most_of_session = settings
        .sockets
        .operations
        .saturating_mul(settings.sockets.per_user);
    let options = ResumeOptions {
        remember_for,
        most_of_session,
    };
    (!remember_for.is_zero()).then(|| Positions::start(database, options))
}
