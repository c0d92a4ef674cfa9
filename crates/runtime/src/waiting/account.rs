//! What waits for one reader: in its connections, and elsewhere.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Full, Reader, Waiting};

/// What waits for one reader.
pub struct Account {
    reader: Reader,
    waiting: Waiting,
    bytes: AtomicUsize,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    by_number: HashMap<u64, Connection>,
    next: u64,
    ending: usize,
}

struct Connection {
    bytes: usize,
    /// It has been signalled to end.
    over: bool,
    end: Arc<Notify>,
}

/// What waits in one connection, counted until it is dropped.
pub struct Holding {
    account: Arc<Account>,
    number: u64,
}

/// Bytes that wait elsewhere than in a connection, counted until this is dropped.
pub struct Charge {
    waiting: Waiting,
    account: Option<Arc<Account>>,
    in_all: bool,
    bytes: usize,
}

impl Account {
    pub(super) fn new(reader: Reader, waiting: Waiting) -> Self {
        Account {
            reader,
            waiting,
            bytes: AtomicUsize::new(0),
            connections: Mutex::default(),
        }
    }

    /// Whether this reader may be given more, where nothing can be ended for it.
    ///
    /// # Errors
    /// Which bound is reached.
    pub fn check(&self) -> Result<(), Full> {
        match (self.is_full(), self.waiting.is_full()) {
            (true, _) => Err(Full::Reader),
            (false, true) => Err(Full::All),
            (false, false) => Ok(()),
        }
    }

    /// Whether as much waits as may.
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.bound()
    }

    /// The bytes that may wait for this reader.
    pub fn bound(&self) -> usize {
        let bounds = self.waiting.0.bounds;
        if self.reader == Reader::Service {
            bounds.service
        } else {
            bounds.user
        }
    }

    /// The bytes that wait for this reader.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// All that waits in this process.
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Counts what waits in a connection; `end` is signalled when the connection is to end.
    pub fn hold(self: &Arc<Self>, bytes: usize, end: &Arc<Notify>) -> Holding {
        let number = {
            let mut connections = self.connections();
            let number = connections.next;
            connections.next += 1;
            let connection = Connection {
                bytes: 0,
                over: false,
                end: Arc::clone(end),
            };
            connections.by_number.insert(number, connection);
            number
        };
        let holding = Holding {
            account: Arc::clone(self),
            number,
        };
        holding.add(bytes);
        holding
    }

    /// Counts bytes that wait for this reader alone.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.waiting.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut charge = self.share(bytes);
        charge.in_all = true;
        charge
    }

    /// Counts bytes that wait for others as well, and are counted in all by [`Waiting::charge`].
    pub fn share(self: &Arc<Self>, bytes: usize) -> Charge {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            waiting: self.waiting.clone(),
            account: Some(Arc::clone(self)),
            in_all: false,
            bytes,
        }
    }

    /// Without connections that have been signalled to end.
    pub(super) fn lasting(&self) -> usize {
        self.bytes().saturating_sub(self.connections().ending)
    }

    pub(super) fn end_greatest(&self) -> bool {
        let mut connections = self.connections();
        let connections = &mut *connections;
        let of_now = connections
            .by_number
            .values_mut()
            .filter(|one| !one.over && one.bytes > 0);
        let Some(greatest) = of_now.max_by_key(|one| one.bytes) else {
            return false;
        };
        greatest.over = true;
        greatest.end.notify_one();
        let bytes = greatest.bytes;
        connections.ending += bytes;
        self.waiting.0.ending.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut accounts = self.waiting.accounts();
        // Another may have been opened meanwhile.
        if accounts
            .get(&self.reader)
            .is_some_and(|account| account.strong_count() == 0)
        {
            accounts.remove(&self.reader);
        }
    }
}

impl Holding {
    /// The reader's account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Too much waits, and the most here: the connection is to end.
    pub fn is_ended(&self) -> bool {
        self.account
            .connections()
            .by_number
            .get(&self.number)
            .is_some_and(|one| one.over)
    }

    /// So many more bytes wait.
    pub fn add(&self, bytes: usize) {
        self.change(|before| before + bytes);
    }

    /// So many bytes have been read.
    pub fn release(&self, bytes: usize) {
        self.change(|before| before.saturating_sub(bytes));
    }

    fn change(&self, to: impl FnOnce(usize) -> usize) {
        let mut connections = self.account.connections();
        let Some(one) = connections.by_number.get_mut(&self.number) else {
            return;
        };
        let (before, over) = (one.bytes, one.over);
        one.bytes = to(before);
        let now = one.bytes;
        let waiting = &self.account.waiting.0;
        count(&self.account.bytes, before, now);
        count(&waiting.bytes, before, now);
        if over {
            connections.ending = connections.ending + now - before;
            count(&waiting.ending, before, now);
        }
    }
}

fn count(counter: &AtomicUsize, before: usize, now: usize) {
    if now >= before {
        counter.fetch_add(now - before, Ordering::Relaxed);
    } else {
        counter.fetch_sub(before - now, Ordering::Relaxed);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.change(|_| 0);
        self.account.connections().by_number.remove(&self.number);
    }
}

impl Charge {
    /// Of nobody in particular, counted in all.
    pub(super) fn in_all(waiting: Waiting, bytes: usize) -> Self {
        Charge {
            waiting,
            account: None,
            in_all: true,
            bytes,
        }
    }

    /// The bytes that this counts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts so many more bytes.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.in_all {
            self.waiting.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        if let Some(account) = &self.account {
            account.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.in_all {
            self.waiting
                .0
                .bytes
                .fetch_sub(self.bytes, Ordering::Relaxed);
        }
        if let Some(account) = &self.account {
            account.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}
