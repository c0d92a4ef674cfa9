//! Starting operations: an operation begins on a task of its own, and its first answer comes back to the actor.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, WrapFuture};
use futures::FutureExt;
use gom_engine::error::ErrorKind;

use super::{RunningOperation, Socket};
use crate::graphql::{self, Answer, CURSOR, Started, malformed};
use crate::socket::close_code::CloseCode;
use crate::socket::machine::{Id, Start};
use crate::socket::memory::Memory;
use crate::socket::outlet::ToSocket;
use crate::socket::own_task::OwnTask;

impl Socket {
    pub(super) fn launch(
        &mut self,
        id: Id,
        start: Start,
        memory: Option<Rc<Memory>>,
        ctx: &mut <Self as Actor>::Context,
    ) {
        // The machine starts nothing for somebody that it does not know.
        let Some(viewer) = self.viewer.clone().filter(|_| self.known) else {
            return;
        };
        let asked = self.services.requests.account(&viewer);
        let held = asked.check().map(|()| asked.charge(start.memory()));
        let (request, bytes) = (Arc::clone(&start.request), start.bytes);
        // One that is refused is not kept until there is room to say so.
        let (held, start) = match held {
            Ok(held) => (Some(held), Ok(start)),
            Err(full) => (None, Err(self.services.requests.refusal(&viewer, full))),
        };
        self.begun += 1;
        let number = self.begun;
        let (before, after) = self.machine.around(&id);
        let outlet = Rc::new(ToSocket {
            outbox: Rc::clone(&self.outbox),
            services: Rc::clone(&self.services),
            before: before.into(),
            after,
            socket: ctx.address(),
            id: Rc::clone(&id),
            number,
            request_id: self.request_id.clone(),
            delivered: Cell::new(None),
            begun: Cell::new(false),
            is_remembered: Cell::new(false),
            memory,
        });
        let of_operation = Rc::clone(&outlet);
        let (services, request_id) = (Rc::clone(&self.services), self.request_id.clone());
        let outbox = Rc::clone(&self.outbox);
        // On a task of its own: while the connection is stuck in a write, its actor does nothing, and what an operation has or
        // is given meanwhile, others wait for: its user's turn, a thread for large requests.
        let starting = OwnTask::begin(async move {
            let permit = outbox.answer_permit().await;
            // Nobody is answered more while it does not read.
            if let Some(room) = outbox.room() {
                room.await;
            }
            // It was cut off, or closed, while this waited: nothing is done whose answer nobody receives.
            if outbox.is_over() {
                return (Started::Answered(Answer::refused(Vec::new())), None);
            }
            let start = match start {
                Ok(start) => start,
                Err(error) => return (Started::Answered(Answer::refused(vec![error])), None),
            };
            // Of whom others may wait to be read, here or on other connections.
            if let Err(error) = services.api.admission.check(&viewer) {
                return (Started::Answered(Answer::refused(vec![error])), None);
            }
            let deadline =
                tokio::time::Instant::now() + services.api.engine.limits_of(&viewer).deadline;
            let from = start
                .from
                .map(|from| services.api.engine.cursors.open(&from))
                .transpose();
            let from = match from {
                Ok(from) => from,
                Err(error) => {
                    return (
                        Started::Answered(Answer::refused(vec![malformed(
                            CURSOR,
                            &error.to_string(),
                        )])),
                        None,
                    );
                }
            };
            outlet.delivered.set(from);
            outlet.begun.set(true);
            let started = graphql::start(
                &services.api,
                start.request,
                viewer,
                from,
                false,
                deadline,
                outlet,
            );
            let started = AssertUnwindSafe(started).catch_unwind().await;
            let started = started.unwrap_or_else(|_| Started::Answered(Answer::panicked()));
            let Started::Answered(answer) = &started else {
                return (started, None);
            };
            let held = (permit, outbox.hold(answer.bytes()));
            if let Some(room) = outbox.room() {
                room.await;
            }
            (started, Some(held))
        });
        let of_task = Rc::clone(&id);
        let starting = starting.into_actor(self).map(move |started, socket, ctx| {
            // Cancelled with the worker's thread.
            let Some((started, held)) = started else {
                return;
            };
            let rights = socket.rights;
            let Some(operation) = socket
                .running
                .get_mut(&of_task)
                .filter(|o| o.number == number)
            else {
                return;
            };
            match started {
                Started::Running(running) => {
                    operation.running = Some(running);
                    let is_stale = operation.rights != rights;
                    // One that is started again was answered before.
                    if !operation.restarted {
                        let effects = socket.machine.started(&of_task);
                        socket.apply(effects, ctx);
                    }
                    // They have changed while it was being started.
                    if is_stale {
                        socket.restart_from_position(of_task, ctx);
                    }
                }
                Started::Answered(answer)
                    if operation.has_to_come_back() && is_passing(&answer) =>
                {
                    socket.end_soon(
                        CloseCode::TryAgain,
                        "a subscription could not begin at the moment: try again",
                        ctx,
                    );
                }
                // Its client has not asked for anything, and would take it for the end.
                Started::Answered(answer) if operation.restarted && is_passing(&answer) => {
                    socket.end(
                        CloseCode::TryAgain,
                        "a subscription could not go on with the renewed token: try again",
                    );
                }
                Started::Answered(answer) => {
                    for error in answer
                        .errors
                        .iter()
                        .filter(|error| error.kind == ErrorKind::Internal)
                    {
                        tracing::error!(request_id, cause = error.message, "internal error");
                    }
                    if let Some(operation) = socket.running.remove(&of_task) {
                        operation.forget();
                    }
                    let effects = socket.machine.answered(&of_task, &answer);
                    // Counted once: as what waits in the connection from now on.
                    drop(held);
                    socket.send_answer(effects);
                }
            }
        });
        let starting = ctx.spawn(starting);
        let (outlet, rights) = (of_operation, self.rights);
        let operation = RunningOperation {
            number,
            request,
            bytes,
            outlet,
            rights,
            starting,
            running: None,
            restarted: false,
            _held: held,
        };
        self.running.insert(id, operation);
    }
}

/// Whether another attempt may succeed.
fn is_passing(answer: &Answer) -> bool {
    use ErrorKind::{DeadlineExceeded, TooManyRequests, Unavailable};
    answer
        .errors
        .iter()
        .any(|error| matches!(error.kind, Unavailable | TooManyRequests | DeadlineExceeded))
}
