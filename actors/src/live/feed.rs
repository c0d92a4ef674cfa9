//! The `ChangeFeed`: has what was committed stamped, has the hub advance to it, and has the log kept in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, AsyncContext, Handler, Message, WrapFuture};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::hub::{Advance, Hub};
use super::log::{Log, LogState};
use super::{LiveOptions, Shared, upkeep};
use crate::database::{Database, StatementError};
use gom_runtime::supervision::{Context, Supervised, SupervisedActor};
use gom_telemetry::health::Condition;
use gom_telemetry::metrics::{ActorKind, FEED_STAMPED};

/// Looks while nobody listens: only so that the log is in order and can be trimmed.
const IDLE: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
/// What millions of rows take that were written at once: nobody else waits for it.
const LIMIT: Duration = Duration::from_secs(300);

/// Something was committed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Wake;

pub(super) struct ChangeFeed {
    options: Arc<LiveOptions>,
    database: Database,
    hub: Supervised<Hub>,
    shared: Arc<Shared>,
    woken: Arc<Notify>,
}

impl ChangeFeed {
    pub fn new(
        options: Arc<LiveOptions>,
        database: &Database,
        hub: Supervised<Hub>,
        shared: Arc<Shared>,
    ) -> Self {
        ChangeFeed {
            options,
            database: database.clone(),
            hub,
            shared,
            woken: Arc::new(Notify::new()),
        }
    }
}

impl SupervisedActor for ChangeFeed {
    const KIND: ActorKind = ActorKind::ChangeFeed;
}

impl Actor for ChangeFeed {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let follow = Follow {
            log: Log::new(&self.database, &self.options.schema, Some(LIMIT)),
            options: Arc::clone(&self.options),
            hub: self.hub.clone(),
            shared: Arc::clone(&self.shared),
            woken: Arc::clone(&self.woken),
        };
        ctx.spawn(async move { follow.run().await }.into_actor(self));
        // Each has a connection of its own: the one need not wait for the other.
        let log = || Log::new(&self.database, &self.options.schema, Some(LIMIT));
        ctx.spawn(upkeep::trim(log(), Arc::clone(&self.options)).into_actor(self));
        ctx.spawn(upkeep::search(log()).into_actor(self));
    }
}

impl Handler<Wake> for ChangeFeed {
    type Result = ();

    fn handle(&mut self, _: Wake, _: &mut Self::Context) {
        self.woken.notify_one();
    }
}

struct Follow {
    log: Log,
    options: Arc<LiveOptions>,
    hub: Supervised<Hub>,
    shared: Arc<Shared>,
    woken: Arc<Notify>,
}

impl Follow {
    async fn run(&self) {
        let mut complained = false;
        loop {
            let (error, condition) = match self.log.open().await {
                Ok(()) => match self.follow(&mut complained).await {
                    Ok(never) => match never {},
                    Err(error) => (error, Condition::Down),
                },
                // The database is there: perhaps it has no change log.
                Err(error @ StatementError::Rejected(_)) => match self.log.exists().await {
                    Ok(false) => (error, Condition::Off),
                    _ => (error, Condition::Down),
                },
                Err(error) => (error, Condition::Down),
            };
            self.shared.reporter.report(condition);
            if !complained {
                tracing::warn!(cause = %error, "changes cannot be followed; retrying");
                complained = true;
            }
            sleep(PAUSE_AFTER_FAILURE).await;
        }
    }

    /// Follows the log until something fails. Whether it still is the log that the hub has followed, the hub finds out.
    async fn follow(
        &self,
        complained: &mut bool,
    ) -> Result<std::convert::Infallible, StatementError> {
        let mut looked = Instant::now();
        loop {
            // Before the look: a commit during it sends another.
            self.shared.waking.store(false, Ordering::Release);
            let state = self.log.stamp().await?;
            self.shared.looked.set_now();
            FEED_STAMPED.set((), state.position);
            if looked.elapsed() >= IDLE {
                // Perhaps the connection is another one, to another database.
                self.log.open().await?;
                looked = Instant::now();
            }
            self.advance_hub(state).await?;
            self.shared.reporter.report(Condition::Ready);
            *complained = false;
            let listened = self.shared.members.load(Ordering::Relaxed) > 0;
            let pause = if listened { self.options.poll } else { IDLE };
            let _ = timeout(pause, self.woken.notified()).await;
        }
    }

    /// Waits until the hub has delivered, so that it is never behind by more than one message.
    async fn advance_hub(&self, state: LogState) -> Result<(), StatementError> {
        let unavailable = || StatementError::Unavailable("the hub is restarting".to_owned());
        if self
            .shared
            .head
            .borrow()
            .is_some_and(|head| head.position < state.position)
        {
            self.shared.behind.set_once();
        }
        // Waits for room in the mailbox: the feed has nothing else to do meanwhile.
        let hub = self.hub.wait().await.ok_or_else(unavailable)?;
        let advanced = hub.send(Advance(state)).await;
        advanced.map_err(|_| unavailable())??;
        self.shared.behind.clear();
        Ok(())
    }
}
