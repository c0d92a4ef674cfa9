//! Bytes that wait for clients to read them, of all protocols and all workers: counted for the user whom they are for, and in
//! all. A user for whom too much waits is answered no more; where too much waits in all, the connection that holds most is
//! ended, of the user for whom the most waits. So no user who does not read takes the memory, or the answers, of others.
//! In the same way, by a count of its own, requests are bounded that users make the server hold.

mod account;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::owner::Owner;

pub use self::account::{Account, Charge, Holding};

/// For whom bytes wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reader {
    /// Anyone who holds the service's secret.
    Service,
    /// A user's subject.
    User(Arc<str>),
    /// A client that has not authenticated yet.
    Address(Arc<str>),
}

impl From<&Owner> for Reader {
    fn from(owner: &Owner) -> Self {
        match owner {
            Owner::Service => Reader::Service,
            Owner::User(subject) => Reader::User(Arc::clone(subject)),
        }
    }
}

/// How many bytes may wait.
#[derive(Debug, Clone, Copy)]
pub struct WaitingBounds {
    /// For the service role.
    pub service: usize,
    /// For each user, and for each address of clients that have not authenticated.
    pub user: usize,
    /// In all.
    pub all: usize,
}

/// Too much waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// For this reader.
    Reader,
    /// For all, and for no other reader more than for this one.
    All,
}

/// All that waits in this process. Cloning is cheap.
#[derive(Clone)]
pub struct Waiting(Arc<Shared>);

struct Shared {
    bounds: WaitingBounds,
    bytes: AtomicUsize,
    /// Of connections that have been signalled to end, and have not yet.
    ending: AtomicUsize,
    accounts: Mutex<HashMap<Reader, Weak<Account>>>,
}

impl Waiting {
    /// Nothing waits yet.
    pub fn new(bounds: WaitingBounds) -> Self {
        let (bytes, ending) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Waiting(Arc::new(Shared {
            bounds,
            bytes,
            ending,
            accounts: Mutex::default(),
        }))
    }

    /// Counts, and bounds nothing.
    pub fn unbounded() -> Self {
        Waiting::new(WaitingBounds {
            service: usize::MAX,
            user: usize::MAX,
            all: usize::MAX,
        })
    }

    /// The reader's account, the same for as long as it is held.
    pub fn account(&self, reader: &Reader) -> Arc<Account> {
        let mut accounts = self.accounts();
        if let Some(account) = accounts.get(reader).and_then(Weak::upgrade) {
            return account;
        }
        let account = Arc::new(Account::new(reader.clone(), self.clone()));
        accounts.insert(reader.clone(), Arc::downgrade(&account));
        account
    }

    /// Whether one more answer may be made for a reader. What is made is always sent: so operations that are in flight at the
    /// same time may exceed the bound by their answers. Where too much waits in all, connections of others are ended for it.
    ///
    /// # Errors
    /// Which bound is reached.
    pub fn admit(&self, reader: &Reader) -> Result<(), Full> {
        let account = self.accounts().get(reader).and_then(Weak::upgrade);
        if account.as_ref().is_some_and(|account| account.is_full()) {
            return Err(Full::Reader);
        }
        if !self.is_full() {
            return Ok(());
        }
        let own = account.map_or(0, |account| account.lasting());
        let most = self
            .all_accounts()
            .iter()
            .map(|account| account.lasting())
            .max();
        if most.is_none_or(|most| own >= most) || !self.make_room() {
            return Err(Full::All);
        }
        Ok(())
    }

    /// Counts bytes in all that are counted for their readers by [`Account::share`].
    pub fn charge(&self, bytes: usize) -> Charge {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        Charge::in_all(self.clone(), bytes)
    }

    /// Ends connections until less waits than may: of the reader for whom the most waits, the one first in which the most does.
    /// Nobody else's is ended where that reader has none that could be. Whether there is room then.
    pub fn make_room(&self) -> bool {
        while self.is_full() {
            let accounts = self.all_accounts();
            let greatest = accounts.iter().max_by_key(|account| account.lasting());
            let ended = greatest.is_some_and(|account| account.end_greatest());
            if !ended {
                return false;
            }
            tracing::warn!(
                "too much waits for clients to read it (server.waiting_bytes): a connection of the user for whom the most \
                 waits is cut off"
            );
        }
        true
    }

    /// What waits in all.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Without connections that have been signalled to end.
    fn is_full(&self) -> bool {
        self.bytes()
            .saturating_sub(self.0.ending.load(Ordering::Relaxed))
            >= self.0.bounds.all
    }

    /// Outside the lock, which the last to drop an account takes.
    fn all_accounts(&self) -> Vec<Arc<Account>> {
        self.accounts().values().filter_map(Weak::upgrade).collect()
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Reader, Weak<Account>>> {
        self.0
            .accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
