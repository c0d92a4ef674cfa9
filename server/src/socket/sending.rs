//! The body of a socket's answer: it drives the actor, which lives in it, and sends what is in the outbox.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::Error;
use actix_web::rt::time::{Sleep, sleep};
use actix_web::web::Bytes;
use futures::Stream;

use super::outbox::{ClientSide, Outbox};

/// How long the client's close frame is awaited after the server's.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// `H`: what the socket holds until it is gone.
pub(super) struct Sending<S, H> {
    /// Of actix-web-actors: the actor lives in it. Nothing is sent through it.
    frames: Pin<Box<S>>,
    outbox: Rc<Outbox>,
    /// Runs once all is sent, the close frame last.
    closing: Option<Pin<Box<Sleep>>>,
    _held: H,
}

impl<S, H> Sending<S, H> {
    pub fn new(frames: S, outbox: Rc<Outbox>, held: H) -> Self {
        Sending {
            frames: Box::pin(frames),
            outbox,
            closing: None,
            _held: held,
        }
    }

    /// All is sent: the connection ends as soon as both sides have closed (RFC 6455, section 7.1.1). Browsers report the end of
    /// the socket only then.
    fn close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self.outbox.client_side() {
            ClientSide::Closed => self.outbox.hang_up(),
            // Much of it may be on its way: it is read for a while, or its sender would not get the close frame.
            ClientSide::Unreadable => {}
            ClientSide::Open => {
                let closing = self
                    .closing
                    .get_or_insert_with(|| Box::pin(sleep(CLOSE_TIMEOUT)));
                if closing.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.outbox.hang_up();
            }
        }
        Poll::Ready(None)
    }
}

impl<S: Stream<Item = Result<Bytes, Error>>, H: Unpin> Stream for Sending<S, H> {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let ended = match self.frames.as_mut().poll_next(cx) {
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Ready(Some(Ok(bytes))) => return Poll::Ready(Some(Ok(bytes))),
            Poll::Pending => false,
        };
        match self.outbox.poll(cx) {
            Poll::Ready(Some(bytes)) => Poll::Ready(Some(Ok(bytes))),
            Poll::Ready(None) if !ended => self.close(cx),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if ended => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S, H> Drop for Sending<S, H> {
    fn drop(&mut self) {
        self.outbox.gone();
    }
}

#[cfg(test)]
mod tests;
