//! The body of a socket's answer: it drives the actor, which lives in it, and sends what is in the outbox.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::web::Bytes;
use futures::Stream;
use gom_actors::metrics::Level;

use super::census::Place;
use super::local::Entry;
use super::outbox::Outbox;

pub(super) struct Sending<S> {
    /// Of actix-web-actors: the actor lives in it. Nothing is sent through it.
    frames: Pin<Box<S>>,
    outbox: Rc<Outbox>,
    _held: Held,
}

/// What a socket holds until it is gone.
pub(super) type Held = (Entry, Place, Level);

impl<S> Sending<S> {
    pub fn new(frames: S, outbox: Rc<Outbox>, held: Held) -> Self {
        Sending { frames: Box::pin(frames), outbox, _held: held }
    }
}

impl<S: Stream<Item = Result<Bytes, Error>>> Stream for Sending<S> {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let ended = match self.frames.as_mut().poll_next(cx) {
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Ready(Some(Ok(bytes))) => return Poll::Ready(Some(Ok(bytes))),
            Poll::Pending => false,
        };
        match self.outbox.poll(cx) {
            Poll::Ready(bytes) => Poll::Ready(bytes.map(Ok)),
            Poll::Pending if ended => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S> Drop for Sending<S> {
    fn drop(&mut self) {
        self.outbox.gone();
    }
}
