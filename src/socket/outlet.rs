//! Where the answers of an operation go that lasts.

use std::rc::Rc;

use actix::{Addr, Message};
use actix_web::web::Data;
use gom_actors::live::Room;
use gom_engine::error::ApiError;

use super::actor::Socket;
use super::machine::Id;
use super::outbox::Outbox;
use crate::graphql::{Next, Outlet};
use crate::http::State;

/// An operation has ended by itself.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Failed {
    pub id: String,
    pub number: u64,
    pub error: ApiError,
}

/// Where an operation's answers go: past the actor, which would only pass them on.
pub(super) struct ToSocket {
    pub outbox: Rc<Outbox>,
    pub state: Data<State>,
    pub before: Rc<str>,
    pub after: &'static str,
    pub socket: Addr<Socket>,
    pub id: Id,
    pub number: u64,
    pub request_id: String,
}

impl Outlet for ToSocket {
    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn next(&self, next: Next) {
        let frame = self.state.sockets.frame(&self.before, &next.payload, self.after);
        self.outbox.send([frame]);
    }

    fn room(&self) -> Option<Room> {
        self.outbox.room()
    }

    fn end(&self, error: ApiError) {
        let failed = Failed { id: self.id.to_string(), number: self.number, error };
        if self.socket.try_send(failed).is_err() {
            // It does not get to its mailbox, or is gone: the client finds out when it comes back.
            self.outbox
                .close(1013, "too slow: come back with the cursor of the last event that you have received");
        }
    }
}
