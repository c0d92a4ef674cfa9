//! Up to where subscriptions of clients without cursors were received, kept in the database: so they go on from there when
//! they come back, on whichever server, also after one was killed. Knows no protocol: the caller
//! finds out what a client has received.

mod registry;
mod store;

use std::cell::Cell;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use gom_engine::events::Cursor;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use self::registry::{End, Registry};
use self::store::Keeper;
use crate::database::Database;
use gom_telemetry::metrics::RESUMED;

/// How often positions are written. What is received within it may come twice.
pub const RESUME_INTERVAL: Duration = Duration::from_millis(400);
/// Beginnings that may wait for the database.
const MAILBOX: usize = 4_096;
/// How long the beginning of a subscription waits for the database.
const TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) type RowId = i64;

/// A digest of what makes subscriptions equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Different parts have different keys, also where one ends in what the next one begins with.
    pub fn of<const N: usize>(parts: [&[u8]; N]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        Digest(key)
    }

    fn hex(self) -> String {
        self.0
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

/// How positions are kept.
#[derive(Debug, Clone)]
pub struct ResumeOptions {
    /// How long after its connection was lost a subscription goes on from where it was.
    pub remember_for: Duration,
    /// Subscriptions of one session that are remembered; those that were lost the longest time ago make room.
    pub most_of_session: usize,
}

/// Where a subscription goes on cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("where the subscription goes on cannot be read at the moment: {0}")]
pub struct ResumeError(String);

/// The positions of this process. Cloning is cheap; all ends with the last clone.
#[derive(Clone)]
pub struct Positions(Arc<Shared>);

struct Shared {
    registry: Mutex<Registry>,
    beginnings: mpsc::Sender<Beginning>,
    /// Signalled when a subscription has ended.
    ended: Arc<Notify>,
}

impl fmt::Debug for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Positions")
    }
}

/// The request of a subscription for where it goes on.
struct Beginning {
    id: RowId,
    key: Digest,
    session: Digest,
    answer: oneshot::Sender<Result<Option<Cursor>, ResumeError>>,
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Positions {
    /// On this thread, which needs an actix system. Opens no connection before the first subscription.
    pub fn start(database: &Database, options: ResumeOptions) -> Self {
        let (beginnings, asked) = mpsc::channel(MAILBOX);
        let shared = Arc::new(Shared {
            registry: Mutex::default(),
            beginnings,
            ended: Arc::default(),
        });
        let keeper = Keeper::new(database, options, Arc::downgrade(&shared));
        actix::spawn(keeper.run(asked, Arc::clone(&shared.ended)));
        Positions(shared)
    }

    /// A subscription that is about to begin; `session` and `key`: whose it is, and which.
    pub fn track(&self, session: Digest, key: Digest) -> Tracked {
        let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
        // All bits of it are random but those of the version.
        Tracked {
            positions: self.clone(),
            id: high.cast_signed(),
            key,
            session,
            state: Cell::new(State::New),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Entered,
    Over,
}

/// A subscription whose position is kept. Dropped, its connection was lost: its client may come back.
#[derive(Debug)]
pub struct Tracked {
    positions: Positions,
    id: RowId,
    key: Digest,
    session: Digest,
    state: Cell<State>,
}

impl Tracked {
    /// After which cursor it goes on; nothing: from now on. To be called once: nothing where it was called before. From here on
    /// its position is kept.
    pub fn resume(&self) -> impl Future<Output = Result<Option<Cursor>, ResumeError>> + 'static {
        let (answer, answered) = oneshot::channel();
        let is_new = self.state.get() == State::New;
        let mut sent = Ok(());
        if is_new {
            self.state.set(State::Entered);
            let shared = &self.positions.0;
            shared.registry().enter(self.id, self.key, self.session);
            let beginning = Beginning {
                id: self.id,
                key: self.key,
                session: self.session,
                answer,
            };
            sent = shared.beginnings.try_send(beginning);
            if sent.is_err() {
                shared.registry().remove(self.id);
            }
        }
        let is_sent = sent.is_ok();
        async move {
            if !is_new {
                return Ok(None);
            }
            if !is_sent {
                return Err(ResumeError("too many begin at once".to_owned()));
            }
            match timeout(TIMEOUT, answered).await {
                Ok(Ok(answer)) => {
                    if matches!(answer, Ok(Some(_))) {
                        RESUMED.inc(());
                    }
                    answer
                }
                Ok(Err(_)) => Err(ResumeError(
                    "the positions are not kept any more".to_owned(),
                )),
                Err(_) => Err(ResumeError("no answer in time".to_owned())),
            }
        }
    }

    /// Its client has received everything up to the cursor. `undisturbed`: see [`Tracked::is_disturbed`].
    pub fn received(&self, upto: Cursor, undisturbed: bool) {
        self.positions
            .0
            .registry()
            .received(self.id, upto, undisturbed);
    }

    /// Another connection may have taken its place: its client is to be pinged, and what is received after
    /// that is `undisturbed`.
    pub fn is_disturbed(&self) -> bool {
        self.positions.0.registry().is_disturbed(self.id)
    }

    /// Its client wants it no more: it will not go on.
    pub fn forget(&self) {
        self.end(End::Ended);
    }

    fn end(&self, end: End) {
        if self.state.replace(State::Over) == State::Entered {
            self.positions.0.registry().end(self.id, end);
            self.positions.0.ended.notify_one();
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.end(End::Lost);
    }
}
