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
    /// For this one of those that were read together.
    pub took: Duration,
    /// One of those that were read together took much longer than its part; which one is not known.
    is_of_slow_group: bool,
}

impl Read {
    fn cost(&self) -> Cost {
        let is_whole = matches!(&self.found, Ok(all) if all.iter().all(Result::is_ok));
        if self.took > QUICK {
            Cost::Long
        } else if self.is_of_slow_group || !is_whole {
            // One that fails would have all the others read one by one, every time.
            Cost::Unknown
        } else {
            Cost::Quick
        }
    }
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
        Read {
            found,
            head,
            took: began.elapsed(),
            is_of_slow_group: false,
        }
    }
}

struct Job {
    number: u64,
    statements: Arc<[Statement]>,
    reply: oneshot::Sender<Read>,
}

pub(super) struct Lanes {
    quick: Arc<Semaphore>,
    long: Arc<Semaphore>,
    /// Quick ones that wait for the lane.
    queue: Mutex<Vec<Job>>,
    jobs: AtomicU64,
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
            jobs: AtomicU64::new(0),
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
                *cost = read.cost();
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
            // There may have been no client in time: one is cut off after another was cancelled.
            let is_cut = matches!(
                read.found,
                Err(RunError::Deadline | RunError::Overloaded { .. })
            );
            if patience <= CUTOFF || !is_cut {
                *cost = read.cost();
                return read;
            }
        }
        let _turn = turn(&self.long).await;
        self.count();
        let read = source.read(Arc::clone(statements), patience).await;
        *cost = read.cost();
        read
    }

    /// Nothing if it could not be read with others.
    async fn read_with_others(
        self: &Arc<Self>,
        source: &Source,
        statements: &Arc<[Statement]>,
    ) -> Option<Read> {
        let (reply, mut read) = oneshot::channel();
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let job = Job {
            number,
            statements: Arc::clone(statements),
            reply,
        };
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(job);
        // The first of those that wait reads what waits then.
        let turn = tokio::select! {
            biased;
            read = &mut read => return read.ok(),
            turn = turn(&self.quick) => turn,
        };
        let (lanes, source) = (Arc::clone(self), source.clone());
        // It goes on if this one is given up, for the others. Then the turn is another's: those that are read alone wait too.
        actix_web::rt::spawn(async move {
            while let Some(jobs) = lanes.waiting() {
                lanes.count();
                let has_own = jobs.iter().any(|job| job.number == number);
                read_jobs(&source, jobs).await;
                if has_own {
                    break;
                }
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
    let within = CUTOFF + QUICK * (many - 1);
    let Read {
        found, head, took, ..
    } = source.read(all.into(), within).await;
    let Ok(found) = found else {
        return;
    };
    let is_of_slow_group = many > 1 && took > CUTOFF.max(QUICK * many / 2);
    let mut found = found.into_iter();
    for job in jobs {
        let found = Ok(found.by_ref().take(job.statements.len()).collect());
        // It may be gone by now.
        let _ = job.reply.send(Read {
            found,
            head,
            took: took / many,
            is_of_slow_group,
        });
    }
}

/// Never closed.
async fn turn(lane: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(lane).acquire_owned().await.ok()
}
