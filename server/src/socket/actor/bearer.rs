//! Bearer tokens in messages: of `connection_init`, and of the pings with which a client renews its token in time
//! ([ADR 53](../../../docs/adr/0053-bearer-tokens-of-issuers.md)).

use std::sync::Arc;
use std::time::SystemTime;

use actix::{Actor, ActorFutureExt, AsyncContext, WrapFuture};
use tokio::time::{Instant, timeout};

use super::super::close_code::CloseCode;
use super::Socket;
use crate::admission::reader;
use crate::identity::{TokenError, User, Viewer};

impl Socket {
    /// A token takes the place of what the handshake says. A newer one takes that of one that is still being verified.
    pub(super) fn authenticate(
        &mut self,
        token: Option<String>,
        ctx: &mut <Self as Actor>::Context,
    ) {
        if let Some(earlier) = self.verifying.take() {
            ctx.cancel_future(earlier);
        }
        let Some(token) = token else {
            return self.authenticated(ctx);
        };
        if let Ok(left) = self.services.tokens.time_left(&token) {
            if self.known && !self.viewer.as_ref().is_some_and(Viewer::is_service) {
                return self.end_other_user();
            }
            self.until = Instant::now().checked_add(left);
            self.viewer = Some(Viewer::Service);
            self.belongs_to(&Viewer::Service);
            return self.authenticated(ctx);
        }
        let (identity, tokens) = (
            self.services.identity.clone(),
            Arc::clone(&self.services.tokens),
        );
        // Keys may have to be fetched: an unauthenticated client waits for them no longer than it may wait with its token.
        let patience = self.services.bounds.init_timeout;
        let verifying = async move {
            match timeout(patience, identity.bearer(&token)).await {
                Ok(Err(TokenError::Invalid(_))) if tokens.has_expired(&token) => {
                    Err(TokenError::Expired)
                }
                Ok(verified) => verified,
                Err(_) => Err(TokenError::Unavailable),
            }
        };
        let verifying = verifying.into_actor(self);
        let verifying = verifying.map(|verified, socket, ctx| {
            socket.verifying = None;
            // Its own token has ended meanwhile, or the server stops.
            if socket.outbox.is_over() {
                return;
            }
            match verified {
                Ok(user) if socket.known => socket.renewed_by(user, ctx),
                Ok(user) => socket.is_user(user, ctx),
                Err(error) => socket.refuse(&error, ctx),
            }
        });
        self.verifying = Some(ctx.spawn(verifying));
    }

    fn is_user(&mut self, user: Arc<User>, ctx: &mut <Self as Actor>::Context) {
        let place = self
            .place
            .borrow_mut()
            .is_of(&self.services.bounds, &user.subject);
        if let Err(crowded) = place {
            return self.end(CloseCode::TryAgain, &crowded.to_string());
        }
        // The session of the handshake's cookies is not the token's, and does not renew it. A page that closes that session still
        // ends its sockets.
        (self.session, self.remembers) = (None, None);
        self.until = end_of(&user);
        let viewer = Viewer::User(user);
        self.belongs_to(&viewer);
        self.viewer = Some(viewer);
        self.authenticated(ctx);
    }

    /// What runs goes on as the same user, with what the new token allows.
    fn renewed_by(&mut self, user: Arc<User>, ctx: &mut <Self as Actor>::Context) {
        let own = self.viewer.as_ref().and_then(Viewer::user);
        if self.session.is_some() || own.is_none_or(|own| own.subject != user.subject) {
            return self.end_other_user();
        }
        self.until = end_of(&user);
        self.go_on_as(user, ctx);
    }

    fn end_other_user(&mut self) {
        self.end(
            CloseCode::Forbidden,
            "the token is another viewer's: connect again",
        );
    }

    fn refuse(&mut self, error: &TokenError, ctx: &mut <Self as Actor>::Context) {
        if *error == TokenError::Unavailable {
            // The token that it has is still good, and the client may send the new one again.
            if self.known {
                tracing::info!(
                    request_id = self.request_id,
                    "a new bearer token of a websocket cannot be verified at the moment"
                );
                return;
            }
            return self.end(
                CloseCode::TryAgain,
                "tokens cannot be verified at the moment: try again",
            );
        }
        tracing::info!(
            request_id = self.request_id,
            refused = %error,
            "the bearer token of a websocket is not accepted"
        );
        (self.viewer, self.until) = (None, None);
        self.authenticated(ctx);
    }

    fn belongs_to(&self, viewer: &Viewer) {
        let account = self.services.waiting.account(&reader(viewer));
        self.outbox.belongs_to(&account);
    }
}

/// When the user's token ends; nothing beyond the clock's end.
fn end_of(user: &User) -> Option<Instant> {
    let left = user.expires.duration_since(SystemTime::now());
    Instant::now().checked_add(left.unwrap_or_default())
}
