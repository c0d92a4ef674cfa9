//! Clients that one request has for itself: for transactions and for what may be cancelled. Knows nothing of what is run on
//! them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::connector::{ConnectionPurpose, Connector, OpenError};
use super::error::RunError;
use super::health::Health;
use super::link::Link;
use super::share::{Asker, Share, Shares};
use gom_runtime::permits::{Permit, Permits};
use gom_telemetry::metrics::{DATABASE_LEASED, DATABASE_WAITING, GaugeGuard};

/// How long a cancelled statement may take to end before its connection is cut.
const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// When the server gives no more connections: how long until the same waiter requests one again.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(20);

/// The leased clients of one worker.
pub(super) struct LeasePool {
    connector: Arc<Connector>,
    health: watch::Receiver<Health>,
    /// One permit for each client that may exist. Fair: the longest waiter is next.
    permits: Permits,
    /// Half of the clients for each asker at most, so that others never wait for all of somebody's work.
    shares: Rc<Shares>,
    idle: RefCell<Vec<Idle>>,
    /// How many are lent out.
    lent: Cell<usize>,
    waiting: Permits,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// Why there is no lease.
pub(super) enum LeaseError {
    Refused(RunError),
    /// The server could not be reached, or has no room; somebody should look.
    Unopened(OpenError),
}

impl LeasePool {
    pub fn new(
        connector: Arc<Connector>,
        health: watch::Receiver<Health>,
        clients: usize,
        max_waiting: usize,
    ) -> Self {
        LeasePool {
            connector,
            health,
            permits: Permits::new(clients),
            shares: Shares::new((clients / 2).max(1)),
            idle: RefCell::default(),
            lent: Cell::new(0),
            waiting: Permits::new(max_waiting),
        }
    }

    /// A client of one's own, waited for until the deadline behind those who came before; of one asker, behind the
    /// asker's own work while that has its share.
    pub async fn lease(
        self: &Rc<Self>,
        asker: Option<Asker>,
        deadline: Instant,
    ) -> Result<Lease, LeaseError> {
        let share = match asker {
            Some(asker) => Some(
                self.share(asker, deadline)
                    .await
                    .map_err(LeaseError::Refused)?,
            ),
            None => None,
        };
        let permit = self.permit(deadline).await.map_err(LeaseError::Refused)?;
        loop {
            if let Some(link) = self.take_idle() {
                return Ok(self.lend(link, permit, share));
            }
            let generation = self.health.borrow().generation;
            let opened = timeout_at(
                deadline,
                self.connector.open(ConnectionPurpose::Leased, generation),
            )
            .await;
            match opened {
                Err(_) => return Err(LeaseError::Refused(RunError::Deadline)),
                Ok(Ok(link)) => return Ok(self.lend(link, permit, share)),
                // Others of this worker have theirs and will give them back.
                Ok(Err(error)) if error.no_room && self.lent.get() > 0 => {
                    if Instant::now() + NO_ROOM_PAUSE >= deadline {
                        return Err(LeaseError::Refused(RunError::overloaded()));
                    }
                    tokio::time::sleep(NO_ROOM_PAUSE).await;
                }
                Ok(Err(error)) => return Err(LeaseError::Unopened(error)),
            }
        }
    }

    /// A client if one can be had without waiting or connecting.
    pub fn lease_now(self: &Rc<Self>, asker: Option<Asker>) -> Option<Lease> {
        let share = match asker {
            Some(asker) => Some(self.shares.take_now(asker)?),
            None => None,
        };
        let permit = self.permits.try_acquire().ok()?;
        self.take_idle().map(|link| self.lend(link, permit, share))
    }

    async fn share(&self, asker: Asker, deadline: Instant) -> Result<Share, RunError> {
        if let Some(share) = self.shares.take_now(asker) {
            return Ok(share);
        }
        let _waiter = self.wait()?;
        self.shares
            .take(asker, deadline)
            .await
            .ok_or_else(RunError::overloaded)
    }

    fn wait(&self) -> Result<Waiter, RunError> {
        let permit = self.waiting.try_acquire();
        Ok(Waiter {
            _permit: permit.map_err(|_| RunError::overloaded())?,
            _counted: DATABASE_WAITING.guard(()),
        })
    }

    async fn permit(&self, deadline: Instant) -> Result<Permit, RunError> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let _waiter = self.wait()?;
        match timeout_at(deadline, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(RunError::overloaded()),
        }
    }

    /// The one used last: its statements and caches are warm, and the others grow old and are closed.
    fn take_idle(&self) -> Option<Link> {
        let generation = self.health.borrow().generation;
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { link, .. }) = idle.pop() {
            if !link.is_closed() && link.generation == generation {
                return Some(link);
            }
        }
        None
    }

    fn lend(self: &Rc<Self>, link: Link, permit: Permit, share: Option<Share>) -> Lease {
        self.lent.set(self.lent.get() + 1);
        Lease {
            link,
            permit: LeasePermit {
                pool: Rc::clone(self),
                _permit: permit,
                _share: share,
                _counted: DATABASE_LEASED.guard(()),
            },
        }
    }

    /// Closes the clients that were not needed for this long, or that belong to the server's earlier life.
    pub fn close_idle(&self, idle_for: Duration) {
        let (now, generation) = (Instant::now(), self.health.borrow().generation);
        self.idle.borrow_mut().retain(|Idle { link, since }| {
            link.generation == generation && now - *since < idle_for
        });
    }
}

/// One waiter, until it is dropped.
struct Waiter {
    _permit: Permit,
    _counted: GaugeGuard,
}

/// A client of one's own. Unless it is given back it is closed when dropped.
pub(super) struct Lease {
    pub link: Link,
    permit: LeasePermit,
}

/// The right to have one client; ends with the lease.
struct LeasePermit {
    pool: Rc<LeasePool>,
    _permit: Permit,
    _share: Option<Share>,
    _counted: GaugeGuard,
}

impl Drop for LeasePermit {
    fn drop(&mut self) {
        self.pool.lent.set(self.pool.lent.get() - 1);
    }
}

impl Lease {
    /// Gives the client to the next. Only when nothing is in flight on it and no transaction is open.
    pub fn give_back(self) {
        if !self.link.is_closed() {
            self.permit.pool.idle.borrow_mut().push(Idle {
                link: self.link,
                since: Instant::now(),
            });
        }
    }

    /// Stops what the client is doing and closes it. It is never used again: a cancel request may arrive
    /// late, and would then hit whatever runs next.
    pub fn abandon(self) {
        tokio::task::spawn_local(async move {
            // The permit is kept until the client is gone.
            let Lease {
                link,
                permit: _permit,
            } = self;
            let canceller = link.canceller();
            let _ = timeout(CANCEL_GRACE, canceller.cancel()).await;
            // Answered by whatever was in flight before, cancelled or not.
            let _ = timeout(CANCEL_GRACE, link.command("")).await;
            link.sever();
        });
    }
}
