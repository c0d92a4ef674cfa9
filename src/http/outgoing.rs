//! Answers on their way to their clients. A client that reads slowly, or not at all, has its answer kept here: how
//! much there may be is bounded for each user and for the process, and who takes nothing for a time is cut off.
//! Knows nothing of what is answered.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::rt;
use actix_web::web::Bytes;
use gom_engine::error::{ApiError, ErrorKind};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::graphql::Admission;
use crate::identity::Viewer;
use crate::settings::AllLimits;
use crate::socket::OwnSocket;

/// An answer is handed on in pieces of this size, as far as the socket takes them. One that is no larger is gone at
/// once, and is not counted.
const PIECE: usize = 32 * 1024;

/// The answers that are on their way, of all workers.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    all: usize,
    /// The service has no name.
    of: HashMap<Option<String>, usize>,
}

/// Too much is on its way already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// To this user.
    User,
    /// To all.
    Server,
}

/// How much of what is on its way is too much.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub user: usize,
    pub server: usize,
}

impl Waiting {
    /// Whether one more answer may be made for a viewer. What is made is always sent: so operations that are in flight
    /// at the same time may exceed the bound by their answers.
    ///
    /// # Errors
    /// Which bound is reached.
    pub fn admit(&self, viewer: &Viewer, bounds: Bounds) -> Result<(), Full> {
        let counts = self.counts();
        if counts.of.get(&name_of(viewer)).is_some_and(|bytes| *bytes >= bounds.user) {
            return Err(Full::User);
        }
        if counts.all >= bounds.server { Err(Full::Server) } else { Ok(()) }
    }

    /// What operations are judged by when their turn has come. `server`: how much may be on its way in all.
    pub fn admission(&self, limits: &Arc<AllLimits>, server: usize) -> Admission {
        let (waiting, limits) = (self.clone(), Arc::clone(limits));
        Admission::by(move |viewer| {
            let (section, of_viewer) = super::limits_of(&limits, viewer);
            let bounds = Bounds { user: of_viewer.waiting_bytes, server };
            waiting.admit(viewer, bounds).map_err(|full| match full {
                Full::User => ApiError::new(
                    ErrorKind::TooManyRequests,
                    format!(
                        "Answers of {} bytes ({section}.waiting_bytes) wait to be read; nothing was done. Read them, and try \
                         again.",
                        bounds.user
                    ),
                ),
                Full::Server => {
                    let message = "Too many answers wait to be read (server.waiting_bytes); nothing was done. Try again.";
                    ApiError::new(ErrorKind::Unavailable, message)
                }
            })
        })
    }

    /// Counts an answer that waits for its client.
    pub fn hold(&self, viewer: &Viewer, bytes: usize) -> Holding {
        let whose = name_of(viewer);
        let mut counts = self.counts();
        counts.all += bytes;
        *counts.of.entry(whose.clone()).or_default() += bytes;
        Holding { waiting: self.clone(), whose, bytes }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(viewer: &Viewer) -> Option<String> {
    viewer.user().map(|user| user.subject.clone())
}

/// Counts an answer until it is dropped.
pub struct Holding {
    waiting: Waiting,
    whose: Option<String>,
    bytes: usize,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts();
        counts.all = counts.all.saturating_sub(self.bytes);
        if let Some(bytes) = counts.of.get_mut(&self.whose) {
            *bytes = bytes.saturating_sub(self.bytes);
            if *bytes == 0 {
                counts.of.remove(&self.whose);
            }
        }
    }
}

/// The body of an answer. `timeout`: how long the client may take nothing of it.
pub fn body(
    bytes: Vec<u8>,
    viewer: &Viewer,
    waiting: &Waiting,
    socket: Option<OwnSocket>,
    timeout: Duration,
) -> BoxBody {
    if bytes.len() <= PIECE {
        return BoxBody::new(bytes);
    }
    let holding = waiting.hold(viewer, bytes.len());
    BoxBody::new(Outgoing::new(bytes.into(), holding, socket, timeout))
}

struct Outgoing {
    bytes: u64,
    rest: Rc<Rest>,
    watch: JoinHandle<()>,
}

/// What has not been handed on yet.
struct Rest {
    /// Nothing once it is cut off.
    waiting: RefCell<Option<(Bytes, Holding)>>,
    taken: Cell<Instant>,
    socket: Option<OwnSocket>,
}

impl Outgoing {
    fn new(bytes: Bytes, holding: Holding, socket: Option<OwnSocket>, timeout: Duration) -> Self {
        let size = bytes.len() as u64;
        let waiting = RefCell::new(Some((bytes, holding)));
        let rest = Rc::new(Rest { waiting, taken: Cell::new(Instant::now()), socket });
        let watched = Rc::downgrade(&rest);
        // While the socket takes nothing, nobody asks the body for anything: it cannot look at the clock itself.
        let watch = rt::spawn(async move {
            while let Some(due) = watched.upgrade().map(|rest| rest.taken.get() + timeout) {
                sleep_until(due).await;
                if let Some(rest) =
                    watched.upgrade().filter(|rest| rest.taken.get() + timeout <= Instant::now())
                {
                    return rest.cut();
                }
            }
        });
        Outgoing { bytes: size, rest, watch }
    }
}

impl Rest {
    /// Lets go of what waits, and of the connection: whatever the client has of the answer is no whole one.
    fn cut(&self) {
        self.waiting.borrow_mut().take();
        if let Some(socket) = self.socket {
            shut_down(socket);
        }
    }
}

fn shut_down(OwnSocket(socket): OwnSocket) {
    // SAFETY: the connection owns both the body and the socket, and drops them together on this thread: while there is
    // something of the body, the number is the connection's socket and no other's.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    if let Err(error) = rustix::net::shutdown(socket, rustix::net::Shutdown::Both) {
        tracing::debug!(%error, "a connection was gone before it was cut off");
    }
}

impl MessageBody for Outgoing {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut waiting = self.rest.waiting.borrow_mut();
        let Some((bytes, _)) = waiting.as_mut() else {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        };
        if bytes.is_empty() {
            return Poll::Ready(None);
        }
        self.rest.taken.set(Instant::now());
        let piece = bytes.split_to(PIECE.min(bytes.len()));
        Poll::Ready(Some(Ok(piece)))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { user: 100_000, server: 300_000 };
    const TIMEOUT: Duration = Duration::from_millis(50);

    fn user(name: &str) -> Viewer {
        let user = crate::identity::User::new(
            name.to_owned(),
            Vec::new(),
            serde_json::Map::new(),
            std::time::SystemTime::now(),
        );
        Viewer::User(Arc::new(user))
    }

    fn take(body: &mut BoxBody) -> Option<Result<Bytes, ()>> {
        match Pin::new(body).poll_next(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(next) => next.map(|piece| piece.map_err(|_| ())),
            Poll::Pending => panic!("an answer is there as a whole"),
        }
    }

    #[actix_web::test]
    async fn answers_count_for_their_user_and_the_server_until_they_are_sent_or_dropped() {
        let (waiting, ana, bea) = (Waiting::default(), user("ana"), user("bea"));
        let answer = |viewer: &Viewer, bytes: usize| {
            body(vec![b'x'; bytes], viewer, &waiting, None, Duration::from_secs(60))
        };
        let mut sent = answer(&ana, 100_000);
        assert_eq!(waiting.admit(&ana, BOUNDS), Err(Full::User));
        assert_eq!(waiting.admit(&bea, BOUNDS), Ok(()));
        let dropped = [answer(&bea, 120_000), answer(&Viewer::Service, 80_000)];
        assert_eq!(waiting.admit(&user("eva"), BOUNDS), Err(Full::Server));
        drop(dropped);
        assert_eq!((waiting.admit(&bea, BOUNDS), waiting.admit(&ana, BOUNDS)), (Ok(()), Err(Full::User)));
        let mut bytes = 0;
        while let Some(piece) = take(&mut sent) {
            let piece = piece.expect("a piece");
            assert!(piece.len() <= PIECE);
            bytes += piece.len();
        }
        drop(sent);
        assert_eq!((bytes, waiting.admit(&ana, BOUNDS)), (100_000, Ok(())));
        let _small = answer(&ana, PIECE);
        let counts = waiting.counts();
        assert!(counts.all == 0 && counts.of.is_empty(), "nothing is left of who has gone");
    }

    #[actix_web::test]
    async fn an_answer_of_which_nothing_is_taken_is_let_go_and_a_slow_reader_keeps_his() {
        let (waiting, ana, bea) = (Waiting::default(), user("ana"), user("bea"));
        let mut idle = body(vec![b'x'; 200_000], &ana, &waiting, None, TIMEOUT);
        let mut slow = body(vec![b'x'; 200_000], &bea, &waiting, None, Duration::from_secs(60));
        assert!(take(&mut idle).is_some_and(|piece| piece.is_ok()));
        while waiting.admit(&ana, BOUNDS).is_err() {
            assert!(take(&mut slow).is_none_or(|piece| piece.is_ok()));
            tokio::time::sleep(TIMEOUT / 2).await;
        }
        assert_eq!(take(&mut idle), Some(Err(())), "no whole answer ends like this");
        assert_eq!(waiting.admit(&bea, BOUNDS), Err(Full::User));
    }
}
