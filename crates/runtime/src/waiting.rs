//! Bytes that wait for clients to read them, of all protocols and all workers: counted for the user whom they are for, and in
//! all. A user for whom too much waits is answered no more; where too much waits in all, the connection that holds most is
//! ended, of the user for whom the most waits. So no user who does not read takes the memory, or the answers, of others.
//! In the same way, by a count of its own, requests are bounded that users make the server hold.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::owner::Owner;

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
    /// For all, and for nobody more than for this reader.
    All,
}

/// All that waits in this process. Cloning is cheap.
#[derive(Clone)]
pub struct Waiting(Arc<Shared>);

struct Shared {
    bounds: WaitingBounds,
    bytes: AtomicUsize,
    /// Of connections that are told to end, and have not yet.
    ending: AtomicUsize,
    accounts: Mutex<HashMap<Reader, Weak<Account>>>,
}

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
    /// It is told to end.
    over: bool,
    told: Arc<Notify>,
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

impl Waiting {
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

    /// The reader's account, the same for as long as anybody holds it.
    pub fn account(&self, reader: &Reader) -> Arc<Account> {
        let mut accounts = self.accounts();
        if let Some(account) = accounts.get(reader).and_then(Weak::upgrade) {
            return account;
        }
        let account = Arc::new(Account {
            reader: reader.clone(),
            waiting: self.clone(),
            bytes: AtomicUsize::new(0),
            connections: Mutex::default(),
        });
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
        Charge {
            waiting: self.clone(),
            account: None,
            in_all: true,
            bytes,
        }
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

    /// Without what has been told to end.
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

impl Account {
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

    pub fn bound(&self) -> usize {
        let bounds = self.waiting.0.bounds;
        if self.reader == Reader::Service {
            bounds.service
        } else {
            bounds.user
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Counts what waits in a connection, which is told when it is to end.
    pub fn hold(self: &Arc<Self>, bytes: usize, told: &Arc<Notify>) -> Holding {
        let number = {
            let mut connections = self.connections();
            let number = connections.next;
            connections.next += 1;
            let connection = Connection {
                bytes: 0,
                over: false,
                told: Arc::clone(told),
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

    /// Without what has been told to end.
    fn lasting(&self) -> usize {
        self.bytes().saturating_sub(self.connections().ending)
    }

    fn end_greatest(&self) -> bool {
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
        greatest.told.notify_one();
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
        // Somebody may have opened another meanwhile.
        if accounts
            .get(&self.reader)
            .is_some_and(|account| account.strong_count() == 0)
        {
            accounts.remove(&self.reader);
        }
    }
}

impl Holding {
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

    pub fn add(&self, bytes: usize) {
        self.change(|before| before + bytes);
    }

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
    pub fn bytes(&self) -> usize {
        self.bytes
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Reader {
        Reader::User(name.into())
    }

    fn waiting() -> Waiting {
        Waiting::new(WaitingBounds {
            service: 400,
            user: 100,
            all: 300,
        })
    }

    fn hold(waiting: &Waiting, name: &str, bytes: usize) -> Holding {
        waiting.account(&user(name)).hold(bytes, &Arc::default())
    }

    #[test]
    fn bytes_count_for_their_reader_and_in_all_until_they_are_read_or_dropped() {
        let waiting = waiting();
        let holding = hold(&waiting, "ana", 60);
        let elsewhere = waiting.account(&user("ana")).charge(40);
        assert_eq!(waiting.admit(&user("ana")), Err(Full::Reader));
        assert_eq!(
            (waiting.admit(&user("bea")), waiting.admit(&Reader::Service)),
            (Ok(()), Ok(()))
        );
        holding.release(1);
        assert_eq!((waiting.admit(&user("ana")), waiting.bytes()), (Ok(()), 99));
        let (batch, share) = (waiting.charge(50), waiting.account(&user("ana")).share(50));
        assert_eq!(
            (waiting.admit(&user("ana")), waiting.bytes()),
            (Err(Full::Reader), 149)
        );
        drop((holding, elsewhere, batch, share));
        assert_eq!(waiting.bytes(), 0);
        assert!(
            waiting.accounts().is_empty(),
            "nothing is left of who has gone"
        );
    }

    #[test]
    fn where_too_much_waits_in_all_the_greatest_is_ended_for_others() {
        let waiting = waiting();
        let service = waiting.account(&Reader::Service).hold(120, &Arc::default());
        let ana = [hold(&waiting, "ana", 31), hold(&waiting, "ana", 60)];
        let bea = hold(&waiting, "bea", 88);
        assert_eq!(waiting.admit(&user("eva")), Ok(()));
        bea.add(1);
        let ended = || {
            (
                service.is_ended(),
                ana[0].is_ended(),
                ana[1].is_ended(),
                bea.is_ended(),
            )
        };
        assert_eq!(
            waiting.admit(&Reader::Service),
            Err(Full::All),
            "nobody is ended for who holds most"
        );
        assert_eq!(ended(), (false, false, false, false));
        assert_eq!(
            (waiting.admit(&user("eva")), waiting.admit(&user("eva"))),
            (Ok(()), Ok(()))
        );
        assert_eq!(
            ended(),
            (true, false, false, false),
            "no more than makes room"
        );
        // It has not gone yet, and what it is still given does not end others.
        service.add(1_000);
        assert!(waiting.make_room() && !bea.is_ended());
        let _more = waiting.charge(120);
        assert!(waiting.make_room());
        assert_eq!(
            ended(),
            (true, false, true, false),
            "of the user with the most, the greatest"
        );
        drop(service);
        assert!(!waiting.is_full());
    }

    #[test]
    fn nobody_is_ended_for_a_greater_one_who_has_nothing_that_could_end() {
        let waiting = waiting();
        let _events = (
            waiting.charge(280),
            waiting.account(&user("ana")).share(280),
        );
        let bea = hold(&waiting, "bea", 20);
        assert!(!waiting.make_room() && !bea.is_ended());
        assert_eq!(waiting.admit(&user("eva")), Err(Full::All));
    }

    #[test]
    fn the_count_is_exact_however_many_threads_hold_and_end() {
        let waiting = Waiting::new(WaitingBounds {
            service: 400,
            user: 100,
            all: 100,
        });
        let ended = AtomicUsize::new(0);
        // So that one thread alone comes to the bound, wherever the others are.
        let waits = hold(&waiting, "carla", 20);
        std::thread::scope(|scope| {
            for n in 0..4 {
                let (waiting, ended) = (&waiting, &ended);
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let holding = hold(waiting, ["ana", "bea"][n % 2], round % 90);
                        let _ = waiting.admit(&user("eva"));
                        holding.add(7);
                        holding.release(round % 11);
                        ended.fetch_add(usize::from(holding.is_ended()), Ordering::Relaxed);
                    }
                });
            }
        });
        assert!(ended.into_inner() > 0, "some are ended");
        drop(waits);
        assert_eq!(
            (waiting.bytes(), waiting.0.ending.load(Ordering::Relaxed)),
            (0, 0)
        );
        assert!(waiting.accounts().is_empty());
    }
}
