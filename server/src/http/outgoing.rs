//! Answers on their way to their clients. A client that reads slowly, or not at all, has its answer kept here: how
//! much there may be is bounded for each user and for the process, and who takes nothing for a time is cut off.
//! Knows nothing of what is answered.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::rt;
use actix_web::web::Bytes;
use gom_runtime::waiting::{Holding, Waiting};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::admission::reader;
use crate::identity::Viewer;
use crate::socket::OwnSocket;

/// An answer is handed on in pieces of this size, as far as the socket takes them. One that is no larger is gone at
/// once, and is not counted.
const PIECE: usize = 32 * 1024;

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
    let notice = Arc::new(Notify::new());
    let holding = waiting.account(&reader(viewer)).hold(bytes.len(), &notice);
    BoxBody::new(Outgoing::new(
        bytes.into(),
        holding,
        notice,
        socket,
        timeout,
    ))
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
    /// `notice`: that it is cut off because more waits than may.
    fn new(
        bytes: Bytes,
        holding: Holding,
        notice: Arc<Notify>,
        socket: Option<OwnSocket>,
        timeout: Duration,
    ) -> Self {
        let size = bytes.len() as u64;
        let waiting = RefCell::new(Some((bytes, holding)));
        let rest = Rc::new(Rest {
            waiting,
            taken: Cell::new(Instant::now()),
            socket,
        });
        let watched = Rc::downgrade(&rest);
        // While the socket takes nothing, nobody asks the body for anything: it cannot look at the clock itself.
        let watch = rt::spawn(async move {
            while let Some(due) = watched.upgrade().map(|rest| rest.taken.get() + timeout) {
                let notice = timeout_at(due, notice.notified()).await.is_ok();
                let is_due =
                    |rest: &Rc<Rest>| notice || rest.taken.get() + timeout <= Instant::now();
                if let Some(rest) = watched.upgrade().filter(is_due) {
                    return rest.cut();
                }
            }
        });
        Outgoing {
            bytes: size,
            rest,
            watch,
        }
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
    use gom_runtime::waiting::{Full, WaitingBounds};

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(50);

    fn bounded() -> Waiting {
        Waiting::new(WaitingBounds {
            service: 100_000,
            user: 100_000,
            all: 300_000,
        })
    }

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
        let (waiting, ana, bea) = (bounded(), user("ana"), user("bea"));
        let answer = |viewer: &Viewer, bytes: usize| {
            body(
                vec![b'x'; bytes],
                viewer,
                &waiting,
                None,
                Duration::from_secs(60),
            )
        };
        let mut sent = answer(&ana, 100_000);
        assert_eq!(waiting.admit(&reader(&ana)), Err(Full::Reader));
        assert_eq!(waiting.admit(&reader(&bea)), Ok(()));
        let dropped = answer(&bea, 120_000);
        assert_eq!(
            (waiting.admit(&reader(&bea)), waiting.bytes()),
            (Err(Full::Reader), 220_000)
        );
        drop(dropped);
        assert_eq!(
            (waiting.admit(&reader(&bea)), waiting.admit(&reader(&ana))),
            (Ok(()), Err(Full::Reader))
        );
        let mut bytes = 0;
        while let Some(piece) = take(&mut sent) {
            let piece = piece.expect("a piece");
            assert!(piece.len() <= PIECE);
            bytes += piece.len();
        }
        drop(sent);
        assert_eq!((bytes, waiting.admit(&reader(&ana))), (100_000, Ok(())));
        let _small = answer(&ana, PIECE);
        assert_eq!(waiting.bytes(), 0, "what is gone at once is not counted");
    }

    #[actix_web::test]
    async fn where_too_much_waits_in_all_the_greatest_answer_is_cut_off_for_others() {
        let (waiting, eva) = (bounded(), user("eva"));
        let answer = |name: &str, bytes: usize| {
            body(
                vec![b'x'; bytes],
                &user(name),
                &waiting,
                None,
                Duration::from_secs(60),
            )
        };
        let (mut ana, mut bea) = (answer("ana", 99_000), answer("bea", 201_000));
        assert_eq!(waiting.admit(&reader(&eva)), Ok(()));
        while waiting.bytes() > 99_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            take(&mut bea),
            Some(Err(())),
            "no whole answer ends like this"
        );
        assert!(take(&mut ana).is_some_and(|piece| piece.is_ok()));
    }

    #[actix_web::test]
    async fn an_answer_of_which_nothing_is_taken_is_let_go_and_a_slow_reader_keeps_his() {
        let (waiting, ana, bea) = (bounded(), user("ana"), user("bea"));
        let mut idle = body(vec![b'x'; 200_000], &ana, &waiting, None, TIMEOUT);
        let mut slow = body(
            vec![b'x'; 200_000],
            &bea,
            &waiting,
            None,
            Duration::from_secs(60),
        );
        assert!(take(&mut idle).is_some_and(|piece| piece.is_ok()));
        while waiting.admit(&reader(&ana)).is_err() {
            assert!(take(&mut slow).is_none_or(|piece| piece.is_ok()));
            tokio::time::sleep(TIMEOUT / 2).await;
        }
        assert_eq!(
            take(&mut idle),
            Some(Err(())),
            "no whole answer ends like this"
        );
        assert_eq!(waiting.admit(&reader(&bea)), Err(Full::Reader));
    }
}
