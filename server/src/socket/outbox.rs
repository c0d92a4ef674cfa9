//! What waits for one client to read it: never more than so much, and counted in what waits for its user ([`Account`]). Stays
//! on its worker's thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::web::Bytes;
use gom_actors::live::Room;
use gom_runtime::waiting::{Account, Holding};
use gom_telemetry::metrics::{CONNECTIONS_CLOSED, Closed};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::close_code::CloseCode;

/// A client has this long to read why it is closed.
const GRACE: Duration = Duration::from_secs(5);
/// A connection that is not stuck ends within this by itself.
const OWN_TIMER: Duration = Duration::from_secs(1);
const TOO_SLOW_REASON: &str =
    "too slow: come back with the cursor of the last event that you have received";
/// Bytes that are handed to the connection at a time: so it shows whether its client reads, however large a message is.
const CHUNK: usize = 64 * 1024;
/// Bytes that the system may hold for a connection; it takes twice as many. Without a bound it takes megabytes, behind which a
/// ping is late by half a minute on a slow line, and which hide that a client has stopped reading.
const SYSTEM_BUFFER: usize = 256 * 1024;

/// Operations of one connection whose answers are made, or wait for room, at once. Each answer may have `limits.answer_bytes`.
const ANSWERS: usize = 4;

/// The connection's own socket, as long as it is open: for one that is stuck in a write.
#[derive(Debug, Clone, Copy)]
pub struct OwnSocket(pub RawFd);

/// Makes the bytes that say why nothing follows, if there are such in the protocol.
pub type LastWords = fn(CloseCode, &str) -> Option<Bytes>;

/// How far the client has ended its side of a websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientSide {
    Open,
    /// Its close frame has come: no frame follows.
    Closed,
    /// What it sends is no frame any more.
    Unreadable,
}

pub struct Outbox {
    queue: RefCell<Queue>,
    client_side: Cell<ClientSide>,
    max_messages: usize,
    max_bytes: usize,
    last_words: LastWords,
    socket: Cell<Option<OwnSocket>>,
    /// When the rights end with which bytes are sent.
    rights_end: Cell<Option<Instant>>,
    /// When the connection last asked for bytes.
    polled: Cell<Instant>,
    /// Signalled when there is room again, and at the end.
    room: Rc<Notify>,
    answers: Arc<Semaphore>,
    /// Counts messages that are not wholly the connection's, and answers that wait for room.
    holding: RefCell<Holding>,
    /// Of those answers.
    held: Cell<usize>,
    /// Signalled when it is to end because too much waits.
    notice: Arc<Notify>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Message>,
    /// Of all that waits.
    bytes: usize,
    /// The same with what the connection has of the first message: it is in memory until its end.
    kept: usize,
    replies: usize,
    reply_bytes: usize,
    /// Nothing follows what is waiting.
    over: bool,
    /// Of a connection that has written all that it was given.
    reader: Option<Waker>,
}

struct Message {
    bytes: Bytes,
    /// As a whole.
    size: usize,
    is_reply: bool,
}

/// An answer that waits for room, counted until it is dropped.
pub struct Held {
    outbox: Rc<Outbox>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.outbox.held.set(self.outbox.held.get() - self.bytes);
        self.outbox.holding.borrow().release(self.bytes);
    }
}

impl Outbox {
    /// `account`: of whom what waits is counted for; `notice`: is signalled when this connection or another is to end because of it.
    pub fn new(
        max_messages: usize,
        max_bytes: usize,
        last_words: LastWords,
        socket: Option<OwnSocket>,
        account: &Arc<Account>,
        notice: &Arc<Notify>,
    ) -> Rc<Self> {
        if let Some(OwnSocket(socket)) = socket {
            // SAFETY: the connection whose socket it is calls this while it is open.
            let socket = unsafe { BorrowedFd::borrow_raw(socket) };
            if let Err(error) =
                rustix::net::sockopt::set_socket_send_buffer_size(socket, SYSTEM_BUFFER)
            {
                tracing::debug!(%error, "a connection's buffer keeps its size");
            }
        }
        Rc::new(Outbox {
            queue: RefCell::default(),
            client_side: Cell::new(ClientSide::Open),
            max_messages,
            max_bytes,
            last_words,
            socket: Cell::new(socket),
            rights_end: Cell::new(None),
            polled: Cell::new(Instant::now()),
            room: Rc::default(),
            answers: Arc::new(Semaphore::new(ANSWERS)),
            holding: RefCell::new(account.hold(0, notice)),
            held: Cell::new(0),
            notice: Arc::clone(notice),
        })
    }

    /// The client has authenticated: what waits counts for its user from now on.
    pub fn belongs_to(&self, account: &Arc<Account>) {
        let bytes = self.queue.borrow().kept + self.held.get();
        let holding = account.hold(bytes, &self.notice);
        self.holding.replace(holding);
    }

    /// Counts an answer that is made and waits for room.
    pub fn hold(self: &Rc<Self>, bytes: usize) -> Held {
        self.held.set(self.held.get() + bytes);
        self.holding.borrow().add(bytes);
        Held {
            outbox: Rc::clone(self),
            bytes,
        }
    }

    /// Ready when less waits than may wait; `None`: now. Answers and events wait for it, and are taken then whatever their size:
    /// so what waits is bounded, and no client that reads is closed.
    pub fn room(self: &Rc<Self>) -> Option<Room> {
        if self.has_room() {
            return None;
        }
        let outbox = Rc::clone(self);
        Some(Box::pin(async move {
            loop {
                let signal = outbox.room.notified();
                if outbox.has_room() {
                    return;
                }
                signal.await;
            }
        }))
    }

    /// To be held from before an operation is carried out until its answer is sent: without it, all that a client starts at
    /// once would be answered while there is room for one, and every answer would wait in memory.
    pub async fn answer_permit(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.answers).acquire_owned().await.ok()
    }

    /// Whether less waits than may wait, here and for this user; also if nothing is sent any more. A client that has read all
    /// gets the next message, whatever waits for its user's other clients.
    fn has_room(&self) -> bool {
        let queue = self.queue.borrow();
        let is_full = || self.holding.borrow().account().is_full();
        queue.over
            || queue.waiting.is_empty()
            || queue.waiting.len() < self.max_messages && queue.bytes < self.max_bytes && !is_full()
    }

    fn add(&self, queue: &mut Queue, bytes: Bytes, is_reply: bool) {
        self.holding.borrow().add(bytes.len());
        queue.add(bytes, is_reply);
    }

    /// Answers and events; those that belong together are sent together. Anyone who calls this has waited for [`Outbox::room`].
    pub fn send(&self, messages: impl IntoIterator<Item = Bytes>) {
        let mut queue = self.queue.borrow_mut();
        if !queue.over {
            messages
                .into_iter()
                .for_each(|bytes| self.add(&mut queue, bytes, false));
            queue.wake();
            self.holding.borrow().account().waiting().make_room();
        }
    }

    /// What a client gets for a message of its own, without waiting: a pong, a refusal. A client for which too many of them
    /// wait asks without reading, and is closed instead.
    pub fn reply(self: &Rc<Self>, bytes: Bytes) {
        let mut queue = self.queue.borrow_mut();
        if queue.over {
            return;
        }
        if queue.replies >= self.max_messages || queue.reply_bytes >= self.max_bytes {
            drop(queue);
            // What waits is still sent, so that a client that reconnects gets further each time.
            tracing::debug!("a client reads too slowly and is closed");
            return self.shut(CloseCode::TryAgain, TOO_SLOW_REASON, Some(Closed::Slow));
        }
        self.add(&mut queue, bytes, true);
        queue.wake();
        self.holding.borrow().account().waiting().make_room();
    }

    /// Nothing follows what is waiting, for which the client has all the time that it needs.
    pub fn finish(&self) {
        let mut queue = self.queue.borrow_mut();
        queue.over = true;
        queue.wake();
        self.room.notify_waiters();
    }

    /// Nothing follows what is waiting but the close frame; then the connection ends, read or not.
    pub fn close(self: &Rc<Self>, code: CloseCode, reason: &str) {
        self.shut(code, reason, Some(code.counted()));
    }

    /// The same for a client that has asked for it.
    pub fn answer_close(self: &Rc<Self>, code: CloseCode) {
        self.shut(code, "", None);
    }

    fn shut(self: &Rc<Self>, code: CloseCode, reason: &str, cause: Option<Closed>) {
        let mut queue = self.queue.borrow_mut();
        if queue.over {
            return;
        }
        if let Some(cause) = cause {
            CONNECTIONS_CLOSED.inc(cause);
        }
        queue.over = true;
        if let Some(words) = (self.last_words)(code, reason) {
            self.add(&mut queue, words, true);
        }
        queue.wake();
        drop(queue);
        self.room.notify_waiters();
        // Anyone who may come back is cut off only if it stops reading: see `cut_if_stalled`.
        if !code.may_come_back() && self.socket.get().is_some() {
            let outbox = Rc::clone(self);
            actix_web::rt::spawn(async move {
                tokio::time::sleep(GRACE).await;
                outbox.cut();
            });
        }
    }

    /// Whether the connection has taken all that there was to send.
    pub fn is_idle(&self) -> bool {
        let queue = self.queue.borrow();
        queue.waiting.is_empty() && queue.reader.is_some()
    }

    pub fn is_over(&self) -> bool {
        self.queue.borrow().over
    }

    /// Ends the connection if bytes were handed to it and it has taken no more for this long: its client does not read. To be
    /// called now and then, from outside: a connection that is stuck in a write runs none of its own timers.
    pub fn cut_if_stalled(&self, patience: Duration) {
        let stalled =
            self.queue.borrow().reader.is_none() && self.polled.get().elapsed() > patience;
        if stalled && self.socket.get().is_some() {
            tracing::debug!("a client has stopped reading and is cut off");
            self.cut_slow();
        }
    }

    /// Until then the client may be sent something; `None`: without end, or no rights are left.
    pub fn may_send_until(&self, end: Option<Instant>) {
        self.rights_end.set(end);
    }

    /// Ends the connection whose rights have ended if it does not do so itself: see [`Outbox::cut_if_stalled`]. One that is
    /// over, with an answer that is complete for instance, has as long to be read as one that is closed now.
    pub fn close_if_expired(self: &Rc<Self>) {
        let Some(expired) = self.rights_end.get().map(|end| end.elapsed()) else {
            return;
        };
        if !self.is_over() && expired > OWN_TIMER {
            self.close(CloseCode::Forbidden, "the token has expired: connect again");
        } else if expired > OWN_TIMER + GRACE {
            self.cut();
        }
    }

    /// Ends the connection if too much waits in all, and it was chosen to make room.
    pub fn cut_if_notified(&self) {
        if self.holding.borrow().is_ended() && self.socket.get().is_some() {
            self.cut_slow();
        }
    }

    fn cut_slow(&self) {
        // Closed for another reason, it is counted already.
        if !self.is_over() {
            CONNECTIONS_CLOSED.inc(Closed::Slow);
        }
        self.cut();
    }

    /// Nothing of what waits is sent any more.
    fn let_go(&self) {
        let mut queue = self.queue.borrow_mut();
        let kept = queue.kept;
        *queue = Queue {
            over: true,
            reader: queue.reader.take(),
            ..Queue::default()
        };
        drop(queue);
        self.holding.borrow().release(kept);
        self.room.notify_waiters();
    }

    /// Ends the connection even if a write to it does not end.
    fn cut(&self) {
        self.let_go();
        if let Some(OwnSocket(socket)) = self.socket.take() {
            // SAFETY: the number is taken away by `gone`, on this same thread, before the connection is closed: until then it
            // is the connection's socket and no other's.
            let socket = unsafe { BorrowedFd::borrow_raw(socket) };
            if let Err(error) = rustix::net::shutdown(socket, rustix::net::Shutdown::Both) {
                tracing::debug!(%error, "a connection was gone before it was cut");
            }
        }
    }

    pub fn client_side(&self) -> ClientSide {
        self.client_side.get()
    }

    /// Called when the client ends its side; what ended it first, counts.
    pub fn client_ended(&self, how: ClientSide) {
        if self.client_side.get() == ClientSide::Open {
            self.client_side.set(how);
        }
    }

    /// Nothing is read from the client any more. Both sides have closed: without this, actix-http would wait for the client's
    /// end of the connection until a timer of its own fires, while the client waits for ours. What was handed to the connection
    /// is still sent.
    pub fn hang_up(&self) {
        if let Some(OwnSocket(socket)) = self.socket.get() {
            // SAFETY: as in `cut`.
            let socket = unsafe { BorrowedFd::borrow_raw(socket) };
            if let Err(error) = rustix::net::shutdown(socket, rustix::net::Shutdown::Read) {
                tracing::debug!(%error, "a connection was gone before it was ended");
            }
        }
    }

    /// The connection is about to be closed.
    pub fn gone(&self) {
        self.socket.set(None);
        self.let_go();
    }

    /// The next bytes; `None` once it is over.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.polled.set(Instant::now());
        let mut queue = self.queue.borrow_mut();
        let kept = queue.kept;
        if let Some(bytes) = queue.take() {
            self.holding.borrow().release(kept - queue.kept);
            drop(queue);
            if self.has_room() {
                self.room.notify_waiters();
            }
            return Poll::Ready(Some(bytes));
        }
        queue.reader = Some(cx.waker().clone());
        if queue.over {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }
}

impl Queue {
    fn add(&mut self, bytes: Bytes, is_reply: bool) {
        let size = bytes.len();
        self.bytes += size;
        self.kept += size;
        if is_reply {
            self.replies += 1;
            self.reply_bytes += bytes.len();
        }
        self.waiting.push_back(Message {
            bytes,
            size,
            is_reply,
        });
    }

    /// The next bytes, at most a [`CHUNK`].
    fn take(&mut self) -> Option<Bytes> {
        let first = self.waiting.front_mut()?;
        let taken = first.bytes.split_to(first.bytes.len().min(CHUNK));
        self.bytes -= taken.len();
        let (is_reply, is_whole, size) = (first.is_reply, first.bytes.is_empty(), first.size);
        if is_reply {
            self.reply_bytes -= taken.len();
            self.replies -= usize::from(is_whole);
        }
        if is_whole {
            self.kept -= size;
            self.waiting.pop_front();
        }
        Some(taken)
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests;
