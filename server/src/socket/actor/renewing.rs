//! Tokens end, and sessions have them renewed ([ADR 37](../../../docs/adr/0037-connections-live-as-long-as-their-session.md)).

use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, WrapFuture};
use tokio::time::Instant;

use super::super::close_code::CloseCode;
use super::super::machine::{Id, Start};
use super::super::services::NotRenewed;
use super::{RunningOperation, Socket};
use crate::admission::reader;
use crate::identity::{User, Viewer};

impl Socket {
    /// Nobody goes on beyond the end of the token.
    pub(super) fn expire_later(&mut self, ctx: &mut <Self as Actor>::Context) {
        if let Some(earlier) = self.expiry.take() {
            ctx.cancel_future(earlier);
        }
        self.outbox.may_send_until(self.until);
        let Some(until) = self.until else { return };
        if let (Some(session), Some(user)) =
            (&self.session, self.viewer.as_ref().and_then(Viewer::user))
        {
            let outbox = Rc::clone(&self.outbox);
            let renewing = (self.renew)(session.clone(), user.expires, outbox);
            let renewing = renewing
                .into_actor(self)
                .map(|renewal, socket, ctx| match renewal {
                    Some(Ok(user)) => socket.go_on_as(user, ctx),
                    Some(Err(NotRenewed::Over)) => socket.expire(ctx),
                    Some(Err(NotRenewed::Unavailable)) => {
                        socket.end(
                            CloseCode::TryAgain,
                            "the token has expired, and cannot be renewed at the moment",
                        );
                    }
                    None => {}
                });
            self.expiry = Some(ctx.spawn(renewing));
            return;
        }
        let left = until.saturating_duration_since(Instant::now());
        self.expiry = Some(ctx.run_later(left, |socket, ctx| socket.expire(ctx)));
    }

    fn expire(&mut self, ctx: &mut <Self as Actor>::Context) {
        if self.session.is_none() || self.viewer.as_ref().is_some_and(Viewer::is_service) {
            // Its client comes back with another token.
            return self.end(CloseCode::Forbidden, "the token has expired: connect again");
        }
        // An acknowledgement that is still awaited, or a start, must not give the rights back.
        (self.known, self.viewer, self.until) = (false, None, None);
        self.outbox.may_send_until(None);
        let is_carried_out =
            |one: &RunningOperation| one.running.is_none() && one.outlet.begun.get();
        let carried_out = self
            .running
            .iter()
            .filter(|(_, operation)| is_carried_out(operation));
        let carried_out = carried_out.map(|(id, _)| Rc::clone(id)).collect();
        let effects = self.machine.expired(&carried_out);
        self.count_early();
        self.apply(effects, ctx);
    }

    /// The token was renewed. Where it allows something else, what runs is restarted, each after the last event that it has
    /// delivered.
    pub(super) fn go_on_as(&mut self, user: Arc<User>, ctx: &mut <Self as Actor>::Context) {
        let same = self
            .viewer
            .as_ref()
            .and_then(Viewer::user)
            .is_some_and(|old| old.may_the_same(&user));
        let viewer = Viewer::User(Arc::clone(&user));
        if !same {
            self.place.borrow_mut().belongs_to(&user.subject);
            self.outbox
                .belongs_to(&self.services.waiting.account(&reader(&viewer)));
        }
        self.viewer = Some(viewer);
        self.expire_later(ctx);
        if same {
            return;
        }
        self.rights += 1;
        let running = self
            .running
            .iter()
            .filter(|(_, operation)| operation.running.is_some());
        let running: Vec<Id> = running.map(|(id, _)| Rc::clone(id)).collect();
        running
            .into_iter()
            .for_each(|id| self.restart_from_position(id, ctx));
    }

    /// Restarts an operation after what it has been served: the last event of a quiet one may be older than what is kept.
    pub(super) fn restart_from_position(&mut self, id: Id, ctx: &mut <Self as Actor>::Context) {
        let Some(operation) = self.running.get(&id) else {
            return;
        };
        let number = operation.number;
        let Some(position) = operation.position() else {
            return self.restart(id, ctx);
        };
        let located = position.into_actor(self).map(move |position, socket, ctx| {
            let Some(operation) = socket.running.get(&id).filter(|one| one.number == number) else {
                return;
            };
            match position {
                Some(position) => operation.outlet.reached(position),
                // From now on is not from where it stands.
                None if operation.outlet.delivered.get().is_none() => {
                    return socket.end(
                        CloseCode::TryAgain,
                        "where a subscription stands cannot be found out: try again",
                    );
                }
                None => {}
            }
            socket.restart(id, ctx);
        });
        ctx.spawn(located);
    }

    fn restart(&mut self, id: Id, ctx: &mut <Self as Actor>::Context) {
        let Some(operation) = self.running.get(&id) else {
            return;
        };
        let from = operation
            .outlet
            .delivered
            .get()
            .map(|cursor| self.services.api.engine.cursors.seal(cursor));
        let start = Start {
            request: Arc::clone(&operation.request),
            bytes: operation.bytes,
            from,
        };
        let (memory, starting) = (operation.outlet.memory.clone(), operation.starting);
        ctx.cancel_future(starting);
        self.running.remove(&id);
        self.launch(Rc::clone(&id), start, memory, ctx);
        if let Some(operation) = self.running.get_mut(&id) {
            operation.restarted = true;
        }
    }
}
