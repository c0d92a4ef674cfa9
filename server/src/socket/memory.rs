//! What is remembered of an operation for a client that has no cursors, so that it goes on from there when it comes back.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use gom_actors::resume::{Digest, Positions, ResumeError, Tracked};
use gom_actors::sessions::SessionId;
use gom_engine::events::Cursor;

use crate::graphql::{LEAVES, Request};

/// Of one operation of a socket, however often it is started again there.
pub(super) struct Memory {
    positions: Positions,
    session: SessionId,
    request: Arc<Request>,
    /// From where on it is known to be a subscription.
    tracked: OnceCell<Tracked>,
    /// It went on from where it was, and nothing has been delivered yet.
    pub resumed: Cell<bool>,
    /// Up to where a receipt was asked for.
    pub asked: Cell<Option<Cursor>>,
}

impl Memory {
    pub fn new(positions: Positions, session: SessionId, request: Arc<Request>) -> Self {
        Memory {
            positions,
            session,
            request,
            tracked: OnceCell::new(),
            resumed: Cell::new(false),
            asked: Cell::new(None),
        }
    }

    /// The position that is kept of it; nothing of queries and mutations, and of subscriptions that came with a cursor.
    pub fn tracked(&self) -> Option<&Tracked> {
        self.tracked.get()
    }

    /// Where it goes on.
    ///
    /// # Errors
    /// If that cannot be read at the moment.
    pub async fn resume(&self) -> Result<Option<Cursor>, ResumeError> {
        let tracked = self.tracked.get_or_init(|| {
            let Request {
                text,
                operation_name,
                extensions,
                ..
            } = &*self.request;
            let session = self.session.as_str().as_bytes();
            let name = operation_name.as_deref().unwrap_or_default().as_bytes();
            let mut canonical = self.request.canonical_variables();
            // One that reports leaves goes on from positions of its own kind only. The others keep the key that the previous
            // version knows.
            if extensions.flag(LEAVES).unwrap_or_default() {
                canonical.push_str("leaves");
            }
            let key = Digest::of([session, name, text.as_bytes(), canonical.as_bytes()]);
            self.positions.track(Digest::of([session]), key)
        });
        let from = tracked.resume().await?;
        self.resumed.set(from.is_some());
        Ok(from)
    }

    /// Its client wants it no more.
    pub fn forget(&self) {
        if let Some(tracked) = self.tracked.get() {
            tracked.forget();
        }
    }
}
