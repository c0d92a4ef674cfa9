//! What waits for one client to read it, and never more than so much. Stays on its worker's thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::web::Bytes;
use gom_actors::metrics::{CONNECTIONS_CLOSED, Closed};

/// A client has this long to read what it is still sent, and why it is closed.
const GRACE: Duration = Duration::from_secs(5);
/// The close code for a client that is too slow: it may come back at once.
const TOO_SLOW: u16 = 1013;

/// The connection's own socket, as long as it is open: for one that is stuck in a write.
#[derive(Debug, Clone, Copy)]
pub struct OwnSocket(pub RawFd);

/// Makes the bytes that say why nothing follows, if there are such in the protocol.
pub type LastWords = fn(u16, &str) -> Option<Bytes>;

pub struct Outbox {
    queue: RefCell<Queue>,
    most_messages: usize,
    most_bytes: usize,
    last_words: LastWords,
    socket: Cell<Option<OwnSocket>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// Nothing follows what is waiting.
    over: bool,
    reader: Option<Waker>,
}

impl Outbox {
    pub fn new(
        most_messages: usize,
        most_bytes: usize,
        last_words: LastWords,
        socket: Option<OwnSocket>,
    ) -> Rc<Self> {
        Rc::new(Outbox {
            queue: RefCell::default(),
            most_messages,
            most_bytes,
            last_words,
            socket: Cell::new(socket),
        })
    }

    /// A client for which too much is waiting is closed instead.
    pub fn push(self: &Rc<Self>, bytes: Bytes) {
        let mut queue = self.queue.borrow_mut();
        if queue.over {
            return;
        }
        // One that is larger than the bound alone is sent if nothing else waits.
        let full = queue.waiting.len() >= self.most_messages || queue.bytes + bytes.len() > self.most_bytes;
        if full && !queue.waiting.is_empty() {
            drop(queue);
            // What waits is still sent, so that whoever comes back gets further each time.
            tracing::debug!("a client reads too slowly and is closed");
            let reason = "too slow: come back with the cursor of the last event that you have received";
            return self.shut(TOO_SLOW, reason, Some(Closed::Slow));
        }
        queue.bytes += bytes.len();
        queue.waiting.push_back(bytes);
        queue.wake();
    }

    /// Nothing follows what is waiting, for which the client has all the time that it needs.
    pub fn finish(&self) {
        let mut queue = self.queue.borrow_mut();
        queue.over = true;
        queue.wake();
    }

    /// Nothing follows what is waiting but these words; then the connection ends, read or not.
    pub fn close(self: &Rc<Self>, code: u16, reason: &str) {
        self.shut(code, reason, Some(cause(code)));
    }

    /// The same for a client that has asked for it.
    pub fn answer_close(self: &Rc<Self>, code: u16) {
        self.shut(code, "", None);
    }

    fn shut(self: &Rc<Self>, code: u16, reason: &str, cause: Option<Closed>) {
        let mut queue = self.queue.borrow_mut();
        if queue.over {
            return;
        }
        if let Some(cause) = cause {
            CONNECTIONS_CLOSED.one(cause);
        }
        queue.over = true;
        queue.waiting.extend((self.last_words)(code, reason));
        queue.wake();
        drop(queue);
        if self.socket.get().is_some() {
            let outbox = Rc::clone(self);
            actix_web::rt::spawn(async move {
                tokio::time::sleep(GRACE).await;
                outbox.cut();
            });
        }
    }

    pub fn is_over(&self) -> bool {
        self.queue.borrow().over
    }

    /// Ends the connection even if a write to it does not end.
    fn cut(&self) {
        if let Some(OwnSocket(socket)) = self.socket.take() {
            // SAFETY: the number is taken away by `gone`, on this same thread, before the connection is closed: until then it
            // is the connection's socket and no other's.
            let socket = unsafe { BorrowedFd::borrow_raw(socket) };
            if let Err(error) = rustix::net::shutdown(socket, rustix::net::Shutdown::Both) {
                tracing::debug!(%error, "a connection was gone before it was cut");
            }
        }
    }

    /// The connection is about to be closed.
    pub fn gone(&self) {
        self.socket.set(None);
        self.queue.borrow_mut().over = true;
    }

    /// The next bytes; `None` once it is over.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut queue = self.queue.borrow_mut();
        if let Some(bytes) = queue.waiting.pop_front() {
            queue.bytes = queue.bytes.saturating_sub(bytes.len());
            return Poll::Ready(Some(bytes));
        }
        if queue.over {
            return Poll::Ready(None);
        }
        queue.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// What the metrics say of a close code; event streams have 0.
fn cause(code: u16) -> Closed {
    match code {
        0 | 1013 => Closed::Again,
        1012 => Closed::Stopping,
        4401 | 4403 => Closed::Forbidden,
        _ => Closed::Protocol,
    }
}

impl Queue {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: u16, _: &str) -> Option<Bytes> {
        Some(code.to_string().into())
    }

    fn all(outbox: &Outbox) -> Vec<Bytes> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut found = Vec::new();
        while let Poll::Ready(Some(bytes)) = outbox.poll(&mut cx) {
            found.push(bytes);
        }
        found
    }

    #[actix_web::test]
    async fn a_client_that_does_not_read_costs_no_more_than_the_bounds() {
        for (messages, bytes) in [(2, 1_000), (1_000, 2)] {
            let outbox = Outbox::new(messages, bytes, words, None);
            outbox.push(Bytes::from_static(b"1"));
            outbox.push(Bytes::from_static(b"2"));
            assert!(!outbox.is_over());
            outbox.push(Bytes::from_static(b"3"));
            outbox.push(Bytes::from_static(b"4"));
            assert_eq!(all(&outbox), ["1", "2", "1013"], "what was there, and why it is closed");
        }
    }

    #[actix_web::test]
    async fn one_message_that_is_larger_than_the_bound_is_sent() {
        let outbox = Outbox::new(10, 2, words, None);
        outbox.push(Bytes::from_static(b"12345"));
        outbox.push(Bytes::from_static(b"6"));
        assert_eq!(all(&outbox), ["12345", "1013"]);
    }

    #[actix_web::test]
    async fn what_was_put_in_before_the_end_is_still_sent_and_nothing_after() {
        let outbox = Outbox::new(10, 1_000, words, None);
        outbox.push(Bytes::from_static(b"1"));
        outbox.close(1012, "");
        outbox.close(4403, "");
        outbox.push(Bytes::from_static(b"2"));
        assert_eq!(all(&outbox), ["1", "1012"]);
    }
}
