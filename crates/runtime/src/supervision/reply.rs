//! The two ways in which an actor replies later than its handler ends.

use actix::dev::MessageResponse;
use actix::{Actor, Message};
use tokio::sync::oneshot::Sender;

/// Where the reply to one message goes. Dropped, the requester gets [`AskError::Lost`](super::AskError::Lost).
#[derive(Debug)]
#[must_use = "the requester waits for the reply"]
pub struct Reply<T>(Option<Sender<T>>);

impl<T> Reply<T> {
    /// Replies. If the requester has gone away, the reply is dropped.
    pub fn send(self, reply: T) {
        if let Some(sender) = self.0 {
            let _ = sender.send(reply);
        }
    }

    /// Waits until the requester has gone away; forever if the message was posted, which has no reply.
    pub async fn closed(&mut self) {
        match &mut self.0 {
            Some(sender) => sender.closed().await,
            None => std::future::pending().await,
        }
    }
}

/// What a handler returns that replies later than it ends: its closure gets the [`Reply`], and keeps it or moves it into a
/// task. A handler that only awaits a future returns [`actix::ResponseFuture`], which goes on if the requester goes away.
pub struct Deferred<T>(Box<dyn FnOnce(Reply<T>)>);

impl<T> Deferred<T> {
    /// Calls `reply` when the handler has returned, on the actor's thread.
    pub fn new(reply: impl FnOnce(Reply<T>) + 'static) -> Self {
        Deferred(Box::new(reply))
    }

    /// Replies at once.
    pub fn now(reply: T) -> Self
    where
        T: 'static,
    {
        Deferred::new(move |to| to.send(reply))
    }
}

impl<A, M, T> MessageResponse<A, M> for Deferred<T>
where
    A: Actor,
    M: Message<Result = T>,
{
    fn handle(self, _: &mut A::Context, sender: Option<Sender<T>>) {
        (self.0)(Reply(sender));
    }
}
