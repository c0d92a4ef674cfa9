//! The connections of one worker that outlive an answer: closed when the server stops, and ended within a second when their
//! sessions are closed, on whichever node.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use gom_actors::sessions::{SessionId, Sessions};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::close_code::CloseCode;
use super::frame;
use super::outbox::Outbox;
use super::reconnect;

/// Between two looks at the sessions. With the look itself, a closed one is found within a second.
const LOOK: Duration = Duration::from_millis(350);

#[derive(Clone)]
pub struct LocalSockets(Rc<Open>);

/// A connection, and the session with which it ends.
type Connection = (Weak<Outbox>, Option<SessionId>);

#[derive(Default)]
struct Open {
    outboxes: RefCell<HashMap<u64, Connection>>,
    next: Cell<u64>,
    /// The server stops.
    stopping: Cell<bool>,
    /// Signalled when one of them is to end because too much waits in all.
    notice: Arc<Notify>,
    last: RefCell<Option<Encoded>>,
}

/// The frame that was made last: the next subscriber of a group gets the same.
struct Encoded {
    payload: Bytes,
    before: Rc<str>,
    frame: Bytes,
}

/// A connection's entry, taken out when it is dropped.
pub struct Entry {
    open: Rc<Open>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.open.outboxes.borrow_mut().remove(&self.number);
    }
}

impl LocalSockets {
    /// Call it once in each worker. `stopping` becomes true when the server stops.
    /// `stall_timeout`: after which a client that does not read is cut off.
    /// `spread`: over how long at most the connections are ended then.
    pub fn start(
        sessions: Sessions,
        stall_timeout: Duration,
        spread: Duration,
        mut stopping: watch::Receiver<bool>,
    ) -> Self {
        let open = Rc::new(Open::default());
        let [of_sessions, of_stop, of_notice] = [(); 3].map(|()| Rc::downgrade(&open));
        actix_web::rt::spawn(async move {
            loop {
                sleep(LOOK).await;
                let Some(open) = of_sessions.upgrade() else {
                    return;
                };
                open.each(|outbox| {
                    outbox.close_if_expired();
                    outbox.cut_if_stalled(stall_timeout);
                });
                open.end_closed_sessions(&sessions).await;
            }
        });
        actix_web::rt::spawn(async move {
            if stopping.wait_for(|stopping| *stopping).await.is_ok()
                && let Some(open) = of_stop.upgrade()
            {
                let outboxes = open.stop();
                // A worker that ends meanwhile waits for none of them.
                drop(open);
                end_spread(outboxes, spread).await;
            }
        });
        let notice = Arc::clone(&open.notice);
        actix_web::rt::spawn(async move {
            loop {
                notice.notified().await;
                let Some(open) = of_notice.upgrade() else {
                    return;
                };
                open.each(|outbox| outbox.cut_if_notified());
            }
        });
        LocalSockets(open)
    }

    /// Signalled when a connection has to end because too much waits in all.
    pub fn notice(&self) -> &Arc<Notify> {
        &self.0.notice
    }

    /// `session`: with which it ends.
    pub fn enter(&self, outbox: &Rc<Outbox>, session: Option<SessionId>) -> Entry {
        let number = self.0.next.replace(self.0.next.get() + 1);
        self.0
            .outboxes
            .borrow_mut()
            .insert(number, (Rc::downgrade(outbox), session));
        if self.0.stopping.get() {
            go_away(outbox);
        }
        Entry {
            open: Rc::clone(&self.0),
            number,
        }
    }

    /// The frame of a payload between two texts. Made once for subscribers that follow each other and have it alike.
    pub fn frame(&self, before: &Rc<str>, payload: &Bytes, after: &str) -> Bytes {
        let mut last = self.0.last.borrow_mut();
        if let Some(last) = last.as_ref()
            && last.payload.as_ptr() == payload.as_ptr()
            && last.payload.len() == payload.len()
            && last.before == *before
        {
            return last.frame.clone();
        }
        let frame = frame::text(&[before.as_bytes(), payload, after.as_bytes()]);
        *last = Some(Encoded {
            payload: payload.clone(),
            before: Rc::clone(before),
            frame: frame.clone(),
        });
        frame
    }
}

impl Open {
    async fn end_closed_sessions(&self, sessions: &Sessions) {
        let mut ids: Vec<SessionId> = self
            .outboxes
            .borrow()
            .values()
            .filter_map(|(_, session)| session.clone())
            .collect();
        ids.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        ids.dedup();
        if ids.is_empty() {
            return;
        }
        // A store that does not answer closes nobody's session.
        let Ok(living) = sessions.living(&ids).await else {
            return;
        };
        let closed: Vec<&SessionId> = ids
            .iter()
            .zip(living)
            .filter(|(_, lives)| !lives)
            .map(|(id, _)| id)
            .collect();
        if closed.is_empty() {
            return;
        }
        let outboxes = self.outboxes.borrow();
        let of_closed = outboxes
            .values()
            .filter(|(_, session)| session.as_ref().is_some_and(|s| closed.contains(&s)));
        for outbox in of_closed.filter_map(|(outbox, _)| outbox.upgrade()) {
            outbox.close(CloseCode::Forbidden, "the session was closed");
        }
    }

    fn each(&self, act: impl Fn(&Rc<Outbox>)) {
        self.outboxes
            .borrow()
            .values()
            .filter_map(|(outbox, _)| outbox.upgrade())
            .for_each(|outbox| act(&outbox));
    }

    /// Connections that enter from now on are ended at once. Returns the others, in random order.
    fn stop(&self) -> Vec<Weak<Outbox>> {
        self.stopping.set(true);
        let outboxes = self.outboxes.borrow();
        let mut outboxes: Vec<_> = outboxes
            .values()
            .map(|(outbox, _)| outbox.clone())
            .collect();
        fastrand::shuffle(&mut outboxes);
        outboxes
    }
}

/// Ends connections one after the other, so that their clients do not reach the next server all at once. Those that have not
/// been ended yet are served as before.
async fn end_spread(outboxes: Vec<Weak<Outbox>>, longest: Duration) {
    let start = Instant::now();
    let moments = reconnect::moments(outboxes.len(), longest);
    for (outbox, moment) in outboxes.into_iter().zip(moments) {
        // One that is late, as many are after a worker was busy, is ended without a wait.
        sleep_until(start + moment).await;
        if let Some(outbox) = outbox.upgrade() {
            go_away(&outbox);
        }
    }
}

fn go_away(outbox: &Rc<Outbox>) {
    outbox.close(
        CloseCode::Restarting,
        "the server is restarting: come back with the last cursor",
    );
}
