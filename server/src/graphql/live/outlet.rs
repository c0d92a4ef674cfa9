//! What carries the answers of an operation that goes on to its client: the transport's side ([`Outlet`]), and the
//! operation's own ([`Running`]).

use actix_web::web::Bytes;
use futures::future::LocalBoxFuture;
use gom_actors::live::{Delivered, LiveError, Room, Sink, SubscriptionHandle};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::Cursor;
use gom_telemetry::metrics::{EVENTS, GaugeGuard, Lasting};
use std::rc::Rc;
use tokio::task::JoinHandle;

use crate::graphql::Answer;

/// Where the answers of one running operation go. Called on the worker's own thread; must not block.
pub trait Outlet {
    /// Under which errors are found in the log.
    fn request_id(&self) -> &str;
    /// A subscription that had no cursor has begun: of what comes after this one, nothing is missed.
    fn begins(&self, _after: Cursor) {}
    /// A subscription without a cursor is about to begin. Where its client has none: after which one it goes on, if it was here
    /// before. `None`: nothing is remembered.
    fn resume(&self) -> Option<LocalBoxFuture<'static, Result<Option<Cursor>, ApiError>>> {
        None
    }
    /// Everything up to the cursor has been handed over, whether or not any of it was for this operation.
    fn level(&self, _with: Cursor) {}
    /// Takes the next answer of the operation.
    fn next(&self, next: Next);
    /// Ready when the client can take the next answer; `None`: now.
    fn room(&self) -> Option<Room>;
    /// Nothing follows, for the server could not go on: changes that cannot be followed at the moment
    /// ([`ErrorKind::Unavailable`]), a cursor of which nothing is known ([`ErrorKind::ResyncRequired`]).
    fn end(&self, error: ApiError);
}

/// One answer. Many subscribers may share its bytes.
#[derive(Debug, Clone)]
pub struct Next {
    /// The whole execution result: `{"data":…,"errors":…,"extensions":{"cursor":"…"}}`.
    pub payload: Bytes,
    /// After which a client that reconnects goes on.
    pub cursor: Option<Cursor>,
}

/// An operation that has been started.
pub enum Started {
    /// The only answer: to a query, a mutation, or whatever was refused.
    Answered(Answer),
    /// Answers go to the outlet until this is dropped.
    Running(Running),
}

/// Ends its operation when dropped.
pub struct Running {
    /// Nothing of a live query, whose class has it.
    pub(super) ticket: Option<SubscriptionHandle>,
    pub(super) _counted: GaugeGuard,
    /// Of a live query: the task that hands over its answers.
    pub(super) answering: Option<JoinHandle<()>>,
}

impl Running {
    /// After which cursor a subscription can go on without having missed anything ([`SubscriptionHandle::position`]); none of a live query,
    /// which is answered again.
    pub fn position(
        &self,
        last: Option<Cursor>,
    ) -> Option<impl Future<Output = Option<Cursor>> + 'static> {
        self.ticket.as_ref().map(|ticket| ticket.position(last))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(answering) = &self.answering {
            answering.abort();
        }
    }
}

/// Passes events on.
pub(super) struct ToOutlet(pub Rc<dyn Outlet>);

impl Sink for ToOutlet {
    fn noted(&self, after: Cursor) {
        self.0.begins(after);
    }

    fn level(&self, with: Cursor) {
        self.0.level(with);
    }

    fn event(&self, event: &Delivered) {
        EVENTS.inc(Lasting::Subscription);
        self.0.next(Next {
            payload: event.payload.clone(),
            cursor: Some(event.cursor),
        });
    }

    fn room(&self) -> Option<Room> {
        self.0.room()
    }

    fn ended(&self, reason: LiveError) {
        end(self.0.as_ref(), &reason);
    }
}

pub(super) fn end(outlet: &dyn Outlet, reason: &LiveError) {
    let error = failure(reason);
    log_internal(outlet, std::slice::from_ref(&error));
    outlet.end(error);
}

pub(super) fn log_internal(outlet: &dyn Outlet, errors: &[ApiError]) {
    for error in errors
        .iter()
        .filter(|error| error.kind == ErrorKind::Internal)
    {
        tracing::error!(
            request_id = outlet.request_id(),
            cause = error.message,
            "internal error"
        );
    }
}

pub(super) fn failure(reason: &LiveError) -> ApiError {
    let kind = match reason {
        LiveError::Resync | LiveError::TooManyMoved => ErrorKind::ResyncRequired,
        LiveError::Unlogged | LiveError::UnloggedTable(_) => ErrorKind::Execution,
        LiveError::Unavailable(_) => ErrorKind::Unavailable,
        LiveError::Costly(_) | LiveError::CostlyChange { .. } => ErrorKind::LimitExceeded,
        LiveError::Failed(_) => ErrorKind::Internal,
    };
    ApiError::new(kind, reason.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_costly_subscription_is_ended_by_itself_and_not_with_its_connection() {
        let second = Duration::from_secs(1);
        for reason in [
            LiveError::Costly(second),
            LiveError::CostlyChange {
                statement: second,
                max_lag: second,
            },
        ] {
            let error = failure(&reason);
            // Whatever is unavailable is closed with 1013, and clients come back at once.
            assert_eq!(error.kind, ErrorKind::LimitExceeded);
            assert!(
                error
                    .message
                    .ends_with("Ask for less in its filter and its selection"),
                "{}",
                error.message
            );
        }
    }
}
