//! In which order live queries are read, on connections of their own: quick ones together in one snapshot, those that take long one
//! at a time beside them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gom_actors::database::{JsonText, LocalDatabase, RunError};
use gom_actors::live::Live;
use gom_engine::events::Cursor;
use gom_engine::plan::Statement;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

/// A live query that takes no longer is read together with others.
const QUICK: Duration = Duration::from_millis(25);
/// What takes longer is cancelled and read again in the other lane, so that it delays nobody by more.
const CUTOFF: Duration = Duration::from_millis(100);
/// How much longer the statements of several may take together, for each.
const CUTOFF_OF_EACH: Duration = Duration::from_millis(10);
/// Live queries that are read together at most.
const MOST_TOGETHER: usize = 100;

/// How long reading a live query has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    Unknown,
    Quick,
    Long,
}

/// What was read, all of one moment.
pub(super) struct Read {
    pub found: Result<Vec<Result<Option<JsonText>, RunError>>, RunError>,
    /// A position that it includes.
    pub head: Option<Cursor>,
    pub took: Duration,
}

/// Where live queries are read.
#[derive(Clone)]
pub(super) struct Source {
    pub database: LocalDatabase,
    pub live: Live,
}

impl Source {
    async fn read(&self, statements: Arc<[Statement]>, within: Duration) -> Read {
        let began = Instant::now();
        // All up to the head is committed, and seen by what begins later.
        let head = self.live.head();
        let found = if statements.is_empty() {
            Ok(Vec::new())
        } else {
            self.database
                .read_together(statements, began + within)
                .await
        };
        let took = began.elapsed();
        Read { found, head, took }
    }
}

struct Job {
    statements: Arc<[Statement]>,
    reply: oneshot::Sender<Read>,
}

pub(super) struct Lanes {
    quick: Arc<Semaphore>,
    long: Arc<Semaphore>,
    /// Quick ones that wait for the lane.
    queue: Mutex<Vec<Job>>,
    reads: AtomicU64,
}

impl Lanes {
    /// So many connections, of which at least one is kept for each lane.
    pub fn new(connections: usize) -> Arc<Self> {
        let quick = (connections / 2).max(1);
        let long = connections.saturating_sub(quick).max(1);
        Arc::new(Lanes {
            quick: Arc::new(Semaphore::new(quick)),
            long: Arc::new(Semaphore::new(long)),
            queue: Mutex::default(),
            reads: AtomicU64::new(0),
        })
    }

    /// How often the database was asked.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Reads the statements of one live query; `patience`: how long they may take once they are sent.
    pub async fn read(
        self: &Arc<Self>,
        source: &Source,
        statements: &Arc<[Statement]>,
        cost: &mut Cost,
        patience: Duration,
    ) -> Read {
        if *cost == Cost::Quick {
            if let Some(read) = self.read_with_others(source, statements).await {
                *cost = of(read.took);
                return read;
            }
            *cost = Cost::Unknown;
        }
        if *cost == Cost::Unknown {
            let _turn = turn(&self.quick).await;
            self.count();
            let read = source
                .read(Arc::clone(statements), patience.min(CUTOFF))
                .await;
            if patience <= CUTOFF || !matches!(read.found, Err(RunError::Deadline)) {
                *cost = of(read.took);
                return read;
            }
        }
        let _turn = turn(&self.long).await;
        self.count();
        let read = source.read(Arc::clone(statements), patience).await;
        *cost = of(read.took);
        read
    }

    /// Nothing if it could not be read with others.
    async fn read_with_others(
        self: &Arc<Self>,
        source: &Source,
        statements: &Arc<[Statement]>,
    ) -> Option<Read> {
        let (reply, read) = oneshot::channel();
        let job = Job {
            statements: Arc::clone(statements),
            reply,
        };
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(job);
        // The first of those that wait reads what waits then, and the rest after it.
        let turn = turn(&self.quick).await;
        let (lanes, source) = (Arc::clone(self), source.clone());
        // It goes on if this one is given up, for the others.
        actix_web::rt::spawn(async move {
            while let Some(jobs) = lanes.waiting() {
                lanes.count();
                read_jobs(&source, jobs).await;
            }
            drop(turn);
        });
        read.await.ok()
    }

    fn count(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    fn waiting(&self) -> Option<Vec<Job>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.retain(|job| !job.reply.is_closed());
        let many = queue.len().min(MOST_TOGETHER);
        (many > 0).then(|| queue.drain(..many).collect())
    }
}

/// One that is dropped without a reply is read by itself.
async fn read_jobs(source: &Source, jobs: Vec<Job>) {
    let all: Vec<Statement> = jobs
        .iter()
        .flat_map(|job| job.statements.iter().cloned())
        .collect();
    let many = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
    let within = CUTOFF + CUTOFF_OF_EACH * (many - 1);
    let Read { found, head, took } = source.read(all.into(), within).await;
    let Ok(found) = found else {
        return;
    };
    let mut found = found.into_iter();
    for Job { statements, reply } in jobs {
        let found = Ok(found.by_ref().take(statements.len()).collect());
        let took = took / many;
        // It may be gone by now.
        let _ = reply.send(Read { found, head, took });
    }
}

fn of(took: Duration) -> Cost {
    if took <= QUICK {
        Cost::Quick
    } else {
        Cost::Long
    }
}

/// Never closed.
async fn turn(lane: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(lane).acquire_owned().await.ok()
}
