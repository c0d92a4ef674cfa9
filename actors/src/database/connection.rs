//! The `Connection`: one per worker thread. Owns the worker's clients, shared and leased, and runs what the
//! worker's requests send it. Each request is a task of its own, so that many are in flight at once; the actor
//! itself never waits.

mod together;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Handler, WrapFuture};
use gom_engine::plan::{Program, Statement};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connector::{ConnectionPurpose, Connector, OpenError};
use super::error::{Failure, RunError};
use super::execution::ProgramError;
use super::health::Health;
use super::lease::{Lease, LeaseError, LeasePool};
use super::messages::{Answer, Answers, Run, RunTogether, Suspect, Transact};
use super::options::DatabaseOptions;
use super::program::attempt;
use super::share::{Asker, Behalf};
use super::shared::{BEYOND_DOUBT, Shared, SharedClients, SlowStatements};
use super::supervisor::DatabaseSupervisor;
use super::text::JsonText;
use gom_runtime::backoff::Backoff;
use gom_runtime::permits::{Permit, Permits};
use gom_runtime::supervision::{Context, Deferred, Reply, Supervised, SupervisedActor};
use gom_telemetry::metrics::{
    ActorKind, DATABASE_IN_FLIGHT, DATABASE_RETRIES, GaugeGuard, Retry, Work,
};

/// A read whose connection is lost is sent again this often: it may have been only its own connection.
const READ_REPEATS: u32 = 2;
/// A program's last part of its time, kept for finding out what became of it: at most this, or a quarter.
const SETTLE: Duration = Duration::from_millis(250);
/// Between two attempts at a program.
const FIRST_DELAY: Duration = Duration::from_millis(6);
const MAX_DELAY: Duration = Duration::from_secs(1);
/// Between two attempts to open a shared client.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);
const CLOSE_IDLE_EVERY: Duration = Duration::from_secs(15);

pub(super) struct Connection {
    worker: Rc<Worker>,
}

struct Worker {
    options: Arc<DatabaseOptions>,
    connector: Arc<Connector>,
    supervisor: Supervised<DatabaseSupervisor>,
    health: watch::Receiver<Health>,
    shared: SharedClients,
    leases: Rc<LeasePool>,
    slow: SlowStatements,
    in_flight: Permits,
}

impl Connection {
    pub fn new(
        options: Arc<DatabaseOptions>,
        connector: Arc<Connector>,
        supervisor: Supervised<DatabaseSupervisor>,
        health: watch::Receiver<Health>,
    ) -> Self {
        let (shared, leased) = options.share();
        Connection::with((shared, leased), options, connector, supervisor, health)
    }

    /// One that has leased clients only: all `leased_per_worker`.
    pub fn without_shared(
        options: Arc<DatabaseOptions>,
        connector: Arc<Connector>,
        supervisor: Supervised<DatabaseSupervisor>,
        health: watch::Receiver<Health>,
    ) -> Self {
        let clients = (0, options.leased_per_worker);
        Connection::with(clients, options, connector, supervisor, health)
    }

    fn with(
        (shared, leased): (usize, usize),
        options: Arc<DatabaseOptions>,
        connector: Arc<Connector>,
        supervisor: Supervised<DatabaseSupervisor>,
        health: watch::Receiver<Health>,
    ) -> Self {
        let leases = LeasePool::new(
            Arc::clone(&connector),
            health.clone(),
            leased,
            options.max_waiting,
        );
        Connection {
            worker: Rc::new(Worker {
                shared: SharedClients::new(shared),
                leases: Rc::new(leases),
                slow: SlowStatements::new(options.slow_read),
                in_flight: Permits::new(options.max_in_flight),
                options,
                connector,
                supervisor,
                health,
            }),
        }
    }
}

impl SupervisedActor for Connection {
    const KIND: ActorKind = ActorKind::Connection;
}

impl Actor for Connection {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for place in 0..self.worker.shared.places() {
            ctx.spawn(keep_shared(Rc::clone(&self.worker), place).into_actor(self));
        }
        ctx.run_interval(CLOSE_IDLE_EVERY, |connection, _| {
            connection
                .worker
                .leases
                .close_idle(connection.worker.options.idle);
        });
    }
}

impl Connection {
    /// Replies with what the work gives, unless too much is in flight.
    fn reply<T: 'static>(
        &self,
        work: impl AsyncFnOnce(&Worker, &mut Reply<Result<T, RunError>>) -> Result<T, RunError>
        + 'static,
    ) -> Deferred<Result<T, RunError>> {
        let Some(in_flight) = InFlight::new(&self.worker) else {
            return Deferred::now(Err(RunError::overloaded()));
        };
        Deferred::new(move |mut reply| {
            actix::spawn(async move {
                let result = work(&in_flight.worker, &mut reply).await;
                drop(in_flight);
                reply.send(result);
            });
        })
    }
}

impl Handler<Run> for Connection {
    type Result = Deferred<Answer>;

    fn handle(&mut self, run: Run, _: &mut Self::Context) -> Self::Result {
        self.reply(async move |worker, reply| {
            let Run {
                statement,
                long,
                behalf,
                deadline,
            } = run;
            let asker = behalf.as_ref().map(Behalf::asker);
            worker.read(&statement, long, asker, deadline, reply).await
        })
    }
}

impl Handler<Transact> for Connection {
    type Result = Deferred<Answer>;

    fn handle(&mut self, transact: Transact, _: &mut Self::Context) -> Self::Result {
        self.reply(async move |worker, _| {
            let Transact {
                program,
                behalf,
                deadline,
            } = transact;
            let asker = behalf.as_ref().map(Behalf::asker);
            worker.transact(&program, asker, deadline).await
        })
    }
}

impl Handler<RunTogether> for Connection {
    type Result = Deferred<Answers>;

    fn handle(&mut self, run: RunTogether, _: &mut Self::Context) -> Self::Result {
        self.reply(async move |worker, reply| {
            let RunTogether {
                statements,
                deadline,
            } = run;
            worker.read_together(&statements, deadline, reply).await
        })
    }
}

/// One request in flight, until it is dropped.
struct InFlight {
    worker: Rc<Worker>,
    _permit: Permit,
    _counted: GaugeGuard,
}

impl InFlight {
    fn new(worker: &Rc<Worker>) -> Option<Self> {
        let permit = worker.in_flight.try_acquire().ok()?;
        Some(InFlight {
            worker: Rc::clone(worker),
            _permit: permit,
            _counted: DATABASE_IN_FLIGHT.guard(()),
        })
    }
}

/// Keeps one place of the shared clients filled while the database is there.
async fn keep_shared(worker: Rc<Worker>, place: usize) {
    let mut health = worker.health.clone();
    loop {
        let Ok(generation) = health
            .wait_for(|now| now.admits_reads().is_ok())
            .await
            .map(|now| now.generation)
        else {
            return;
        };
        match worker
            .connector
            .open(ConnectionPurpose::Shared, generation)
            .await
        {
            Ok(link) => {
                let shared = Rc::new(Shared::new(link));
                worker.shared.put(place, Some(Rc::clone(&shared)));
                tokio::select! {
                    () = shared.ended() => worker.suspect(false),
                    _ = health.wait_for(|now| now.generation != shared.generation()) => {}
                }
                worker.shared.put(place, None);
            }
            Err(error) => {
                worker.suspect(error.no_room);
                tokio::time::sleep(REOPEN_PAUSE).await;
            }
        }
    }
}

impl Worker {
    /// Has the supervisor look. Its mailbox may be full of the same.
    fn suspect(&self, no_room: bool) {
        let _ = self.supervisor.post(Suspect { no_room });
    }

    fn unopened(&self, error: OpenError) -> RunError {
        self.suspect(error.no_room);
        RunError::unavailable(error.reason)
    }

    async fn read<T>(
        &self,
        statement: &Statement,
        long: bool,
        asker: Option<Asker>,
        deadline: Instant,
        reply: &mut Reply<T>,
    ) -> Answer {
        let mut lost = 0;
        loop {
            if Instant::now() >= deadline {
                // Sent all the same, it would be given up at once, and with it the client that it was sent on.
                return Err(RunError::Deadline);
            }
            let result = if long || self.slow.contains(&statement.sql) {
                self.read_leased(statement, asker, deadline, reply).await?
            } else {
                self.read_shared(statement, asker, deadline, reply).await?
            };
            match result {
                Ok(answer) => return Ok(answer),
                Err(Failure::Lost(_)) if lost < READ_REPEATS => {
                    DATABASE_RETRIES.inc((Work::Read, Retry::Lost));
                    lost += 1;
                }
                Err(failure) => return Err(failure.into_run_error()),
            }
        }
    }

    async fn read_shared<T>(
        &self,
        statement: &Statement,
        asker: Option<Asker>,
        deadline: Instant,
        reply: &mut Reply<T>,
    ) -> Result<Result<Option<JsonText>, Failure>, RunError> {
        let (shared, held_up) = self.pick_shared(asker, deadline).await?;
        if held_up >= self.options.slow_read * BEYOND_DOUBT {
            // Overtake what is long, if that costs nobody anything.
            if let Some(lease) = self.leases.lease_now(asker) {
                return self.read_on(lease, statement, deadline, reply).await;
            }
        }
        let ran = shared.run(statement, asker, deadline).await;
        self.slow.observe(&statement.sql, ran.busy);
        ran.answer.ok_or(RunError::Deadline)
    }

    /// A shared client, waited for while the database is there.
    async fn pick_shared(
        &self,
        asker: Option<Asker>,
        deadline: Instant,
    ) -> Result<(Rc<Shared>, Duration), RunError> {
        let mut health = None;
        loop {
            let arrived = self.shared.arrived.notified();
            self.health.borrow().admits_reads()?;
            if let Some(picked) = self.shared.pick(Instant::now(), asker) {
                return Ok(picked);
            }
            let health = health.get_or_insert_with(|| self.health.clone());
            tokio::select! {
                () = arrived => {}
                _ = health.changed() => {}
                () = sleep_until(deadline) => return Err(RunError::Deadline),
            }
        }
    }

    async fn read_leased<T>(
        &self,
        statement: &Statement,
        asker: Option<Asker>,
        deadline: Instant,
        reply: &mut Reply<T>,
    ) -> Result<Result<Option<JsonText>, Failure>, RunError> {
        let lease = self.lease_to_read(asker, deadline, reply).await?;
        self.read_on(lease, statement, deadline, reply).await
    }

    async fn lease_to_read<T>(
        &self,
        asker: Option<Asker>,
        deadline: Instant,
        reply: &mut Reply<T>,
    ) -> Result<Lease, RunError> {
        self.health.borrow().admits_reads()?;
        let lease = tokio::select! {
            lease = self.leases.lease(asker, deadline) => lease,
            () = reply.closed() => return Err(RunError::Deadline),
        };
        lease.map_err(|error| match error {
            LeaseError::Refused(error) => error,
            LeaseError::Unopened(error) => self.unopened(error),
        })
    }

    /// Reads on a client of its own; cancels when the deadline comes or the requester goes away.
    async fn read_on<T>(
        &self,
        lease: Lease,
        statement: &Statement,
        deadline: Instant,
        reply: &mut Reply<T>,
    ) -> Result<Result<Option<JsonText>, Failure>, RunError> {
        let started = Instant::now();
        let result = tokio::select! {
            result = timeout_at(deadline, lease.link.ask(statement)) => result.ok(),
            () = reply.closed() => None,
        };
        self.slow.observe(&statement.sql, started.elapsed());
        let Some(result) = result else {
            lease.abandon();
            return Err(RunError::Deadline);
        };
        match result {
            Err(Failure::Lost(_) | Failure::Fault(_)) => lease.abandon(),
            _ => lease.give_back(),
        }
        Ok(result)
    }

    async fn transact(&self, program: &Program, asker: Option<Asker>, deadline: Instant) -> Answer {
        let left = deadline.saturating_duration_since(Instant::now());
        let cutoff = deadline - SETTLE.min(left / 4);
        let (mut prepared_again, mut discards) = (false, false);
        let (mut repeats, mut backoff) = (0, None);
        loop {
            self.health.borrow().admits_writes()?;
            let lease = match self.leases.lease(asker, cutoff).await {
                Ok(lease) => lease,
                Err(LeaseError::Refused(error)) => return Err(error),
                Err(LeaseError::Unopened(error)) => return Err(self.unopened(error)),
            };
            let lease = if discards {
                without_plans(lease, cutoff).await
            } else {
                Ok(lease)
            };
            let attempted = match lease {
                Ok(lease) => attempt(lease, program, cutoff, deadline).await,
                Err(error) => Err(error),
            };
            let error = match attempted {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match &error {
                // A change of the tables can do both: first the statement does not fit, then a function that it calls.
                ProgramError::Failed(failure @ Failure::Stale(_))
                    if !prepared_again || failure.is_of_a_function() && !discards =>
                {
                    (prepared_again, discards) = (true, failure.is_of_a_function());
                    DATABASE_RETRIES.inc((Work::Program, Retry::Stale));
                    continue;
                }
                ProgramError::Failed(Failure::Conflict(_)) if repeats < self.options.retries => {}
                // Nothing of it was committed: a lost connection is a reason to try on another.
                ProgramError::Failed(Failure::Lost(_)) if repeats < self.options.retries => {
                    self.suspect(false);
                }
                ProgramError::Failed(Failure::ReadOnly) => {
                    self.suspect(false);
                    return Err(error.into_run_error());
                }
                _ => return Err(error.into_run_error()),
            }
            let backoff = backoff.get_or_insert_with(|| Backoff::new(FIRST_DELAY, MAX_DELAY));
            let pause = backoff.next_delay();
            repeats += 1;
            if Instant::now() + pause >= cutoff {
                return Err(error.into_run_error());
            }
            let conflict = matches!(error, ProgramError::Failed(Failure::Conflict(_)));
            DATABASE_RETRIES.inc((
                Work::Program,
                if conflict {
                    Retry::Conflict
                } else {
                    Retry::Lost
                },
            ));
            tokio::time::sleep(pause).await;
        }
    }
}

/// The client with none of the plans that its connection has kept: the next use makes them, for the types of now.
async fn without_plans(lease: Lease, cutoff: Instant) -> Result<Lease, ProgramError> {
    match timeout_at(cutoff, lease.link.command("discard plans")).await {
        Ok(Ok(_)) => Ok(lease),
        Ok(Err(failure)) => {
            lease.abandon();
            Err(failure.into())
        }
        Err(_) => {
            lease.abandon();
            Err(ProgramError::Deadline)
        }
    }
}
