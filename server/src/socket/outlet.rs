//! Where the answers of an operation go that lasts.

use std::cell::Cell;
use std::rc::Rc;

use actix::{Addr, Message};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use gom_actors::live::Room;
use gom_actors::resume::ResumeError;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::Cursor;

use super::actor::Socket;
use super::close_code::CloseCode;
use super::machine::Id;
use super::memory::Memory;
use super::outbox::Outbox;
use super::services::SocketServices;
use crate::graphql::{Next, Outlet};

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
    pub services: Rc<SocketServices>,
    pub before: Rc<str>,
    pub after: &'static str,
    pub socket: Addr<Socket>,
    pub id: Id,
    pub number: u64,
    pub request_id: String,
    /// After which it goes on if it is restarted: all before is in the outbox.
    pub delivered: Cell<Option<Cursor>>,
    /// It is being carried out, or goes on.
    pub begun: Cell<bool>,
    /// Of a client without cursors.
    pub memory: Option<Rc<Memory>>,
    /// It is a subscription whose position is kept.
    pub is_remembered: Cell<bool>,
}

impl ToSocket {
    /// It has been served up to here, without an event perhaps.
    pub fn reached(&self, position: Cursor) {
        let is_further =
            |delivered: Cursor| delivered.epoch != position.epoch || delivered < position;
        if self.delivered.get().is_none_or(is_further) {
            self.delivered.set(Some(position));
        }
    }
}

impl Outlet for ToSocket {
    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn begins(&self, after: Cursor) {
        if self.delivered.get().is_none() {
            self.delivered.set(Some(after));
        }
    }

    fn resume(&self) -> Option<LocalBoxFuture<'static, Result<Option<Cursor>, ApiError>>> {
        let memory = Rc::clone(self.memory.as_ref()?);
        self.is_remembered.set(true);
        let resuming = async move {
            let unavailable =
                |error: ResumeError| ApiError::new(ErrorKind::Unavailable, error.to_string());
            memory.resume().await.map_err(unavailable)
        };
        Some(resuming.boxed_local())
    }

    fn level(&self, with: Cursor) {
        if let Some(memory) = &self.memory {
            memory.resumed.set(false);
        }
        self.reached(with);
    }

    fn next(&self, next: Next) {
        if let Some(memory) = &self.memory {
            memory.resumed.set(false);
        }
        if next.cursor.is_some() {
            self.delivered.set(next.cursor);
        }
        let frame = self
            .services
            .sockets
            .frame(&self.before, &next.payload, self.after);
        self.outbox.send([frame]);
    }

    fn room(&self) -> Option<Room> {
        self.outbox.room()
    }

    fn end(&self, error: ApiError) {
        let failed = Failed {
            id: self.id.to_string(),
            number: self.number,
            error,
        };
        if self.socket.try_send(failed).is_err() {
            // It does not get to its mailbox, or is gone: the client finds out when it comes back.
            self.outbox.close(
                CloseCode::TryAgain,
                "too slow: come back with the cursor of the last event that you have received",
            );
        }
    }
}
