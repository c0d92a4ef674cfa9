//! Clients without cursors: what they have received is found out by pings and kept, so that they miss nothing when they come
//! back ([ADR 38](../../../docs/adr/0038-clients-without-cursors.md)).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext};
use gom_actors::resume::RESUME_INTERVAL;
use gom_engine::events::Cursor;

use super::super::close_code::CloseCode;
use super::super::frame;
use super::super::machine::{Id, Start};
use super::super::memory::Memory;
use super::{RunningOperation, Socket};
use crate::identity::Viewer;

/// A client that could not be served is sent away after this at the earliest, and so many milliseconds later at the latest.
const FIRST_END: Duration = Duration::from_secs(1);
const END_SPREAD_MS: u64 = 4_000;

/// What one ping asks for.
pub(super) struct Asked {
    memory: Rc<Memory>,
    upto: Cursor,
    /// It was asked after another connection had changed what is kept.
    undisturbed: bool,
}

impl Socket {
    /// What is to be remembered of an operation that a client of a session starts in a protocol without cursors.
    pub(super) fn memory_of(
        &mut self,
        start: &Start,
        ctx: &mut <Self as Actor>::Context,
    ) -> Option<Rc<Memory>> {
        let (positions, session) = self.remembers.clone()?;
        // One that brings a cursor has no need of it.
        if start.from.is_some() || self.viewer.as_ref().and_then(Viewer::user).is_none() {
            return None;
        }
        if !self.asks_for_receipts {
            self.asks_for_receipts = true;
            self.services.api.live.live().tell_level();
            ctx.run_interval(RESUME_INTERVAL, |socket, _| socket.ask_for_receipt());
        }
        Some(Rc::new(Memory::new(
            positions,
            session,
            Arc::clone(&start.request),
        )))
    }

    fn ask_for_receipt(&mut self) {
        if self.receipts.is_awaited() || self.outbox.is_over() {
            return;
        }
        let mut asked = Vec::new();
        for outlet in self.running.values().map(|operation| &operation.outlet) {
            let Some(memory) = &outlet.memory else {
                continue;
            };
            let (Some(tracked), Some(upto)) = (memory.tracked(), outlet.delivered.get()) else {
                continue;
            };
            let undisturbed = tracked.is_disturbed();
            if undisturbed || memory.asked.get() != Some(upto) {
                memory.asked.set(Some(upto));
                asked.push(Asked {
                    memory: Rc::clone(memory),
                    upto,
                    undisturbed,
                });
            }
        }
        if !asked.is_empty() {
            self.receipts.ask(asked);
            // In the queue behind all that was delivered.
            self.outbox
                .reply(frame::ping(self.receipts.payload().as_bytes()));
        }
    }

    pub(super) fn receipt(&mut self, payload: &[u8]) {
        for Asked {
            memory,
            upto,
            undisturbed,
        } in self.receipts.answered(payload).unwrap_or_default()
        {
            if let Some(tracked) = memory.tracked() {
                tracked.received(upto, undisturbed);
            }
        }
    }

    /// Ends the socket a while later, each at another time: a client that is accepted and closed at once comes back at once.
    pub(super) fn end_soon(
        &mut self,
        code: CloseCode,
        reason: &'static str,
        ctx: &mut <Self as Actor>::Context,
    ) {
        if std::mem::replace(&mut self.ends_soon, true) {
            return;
        }
        let spread = Duration::from_millis(uuid::Uuid::new_v4().as_u64_pair().1 % END_SPREAD_MS);
        ctx.run_later(FIRST_END + spread, move |socket, _| {
            socket.end(code, reason)
        });
    }

    /// The client has gone on purpose: it begins from scratch if it comes back.
    pub(super) fn forget_all(&self) {
        self.running.values().for_each(RunningOperation::forget);
    }

    /// Whether an operation went on from where it was remembered to be, and has delivered nothing yet.
    pub(super) fn has_resumed(&self, id: &str) -> bool {
        let memory = self
            .running
            .get(id)
            .and_then(|operation| operation.outlet.memory.as_ref());
        memory.is_some_and(|memory| memory.resumed.get())
    }

    /// Where an operation was is not kept any more: it goes on from now, as it would if nothing were remembered.
    pub(super) fn begin_now(&mut self, id: &Id, ctx: &mut <Self as Actor>::Context) {
        let Some(operation) = self.running.remove(id) else {
            return;
        };
        tracing::info!(
            request_id = self.request_id,
            "a subscription of a client without cursors begins now: what came since it left is not kept any more"
        );
        ctx.cancel_future(operation.starting);
        let RunningOperation {
            request,
            bytes,
            outlet,
            ..
        } = operation;
        if let Some(memory) = &outlet.memory {
            memory.resumed.set(false);
        }
        let start = Start {
            request,
            bytes,
            from: None,
        };
        self.launch(Rc::clone(id), start, outlet.memory.clone(), ctx);
    }
}

impl RunningOperation {
    pub(super) fn forget(&self) {
        if let Some(memory) = &self.outlet.memory {
            memory.forget();
        }
    }

    /// Its client comes back by itself if the socket is closed, and forgets it if it is answered with an error.
    pub(super) fn has_to_come_back(&self) -> bool {
        self.outlet.is_remembered.get()
    }
}
