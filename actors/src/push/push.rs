//! The way to the dispatcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::device::{Device, PushEndpoint};
use super::devices::{Change, Devices, DevicesError, Renewal, Subscriber};
use super::dispatcher::{
    AskBacklog, ForgetSession, Parts, PushDispatcher, Renew, Shared, Subscribe, Unsubscribe,
};
use super::job::Composer;
use super::options::PushOptions;
use super::sender::{Sender, Unreachable};
use crate::database::Database;
use gom_runtime::own_thread::OwnThread;
use gom_runtime::supervision::{AskError, Restarts, Supervised, supervise};
use gom_telemetry::health::{HealthReporter, HealthStatus};
use gom_telemetry::metrics::{PUSH_DELIVERIES, PUSH_JOBS, PUSH_OLDEST, Queue};

const MAILBOX: usize = 1_024;

/// Makes the application's part in the dispatcher's thread.
/// Nothing, if no notification is ever sent.
pub type MakeComposer = dyn Fn() -> Option<Box<dyn Composer>> + Send + Sync;
/// Makes ids of at most 25 characters.
pub type MakeId = dyn Fn() -> String + Send + Sync;

/// Push notifications. Cloning is cheap; the dispatcher's thread ends with the last clone.
#[derive(Clone)]
pub struct Push {
    shared: Arc<Shared>,
    dispatcher: Supervised<PushDispatcher>,
    devices: Devices,
    /// Nothing: there are no keys.
    sender: Option<Sender>,
    _thread: Arc<OwnThread>,
}

impl Push {
    /// Starts the dispatcher in a thread of its own. Needs an actix system. Waits for nothing but the thread. Without a
    /// sender devices can be subscribed, and nothing is sent.
    pub async fn start(
        options: PushOptions,
        database: &Database,
        devices: Devices,
        sender: Option<Sender>,
        composer: Arc<MakeComposer>,
        ids: Arc<MakeId>,
    ) -> Option<Self> {
        let sends = options.dispatches && sender.is_some();
        let shared = Arc::new(Shared {
            woken: Notify::new(),
            heard: Notify::new(),
            stopping: watch::Sender::new(false),
            in_flight: watch::Sender::new(0),
            reporter: if sends {
                HealthReporter::new()
            } else {
                HealthReporter::off()
            },
            refusing: AtomicUsize::new(0),
        });
        let of_devices = devices.clone();
        let parts = Arc::new(Parts {
            options: Arc::new(options),
            database: database.clone(),
            devices,
            sender: sender.clone(),
            composer,
            ids,
            shared: Arc::clone(&shared),
        });
        let thread = OwnThread::start();
        let dispatching =
            move || supervise(MAILBOX, move || PushDispatcher::new(Arc::clone(&parts)));
        let dispatcher = thread.run(dispatching).await?;
        Some(Push {
            shared,
            dispatcher,
            devices: of_devices,
            sender,
            _thread: Arc::new(thread),
        })
    }

    /// What browsers subscribe for, in base64url; nothing if there are no keys.
    pub fn public_key(&self) -> Option<&str> {
        self.sender.as_ref().map(Sender::public_key)
    }

    /// Whether messages may be sent there, as far as the endpoint itself tells.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, endpoint: &PushEndpoint) -> Result<(), Unreachable> {
        self.sender
            .as_ref()
            .map_or(Ok(()), |sender| sender.allows(endpoint))
    }

    /// A job may have been committed.
    pub fn wake(&self) {
        self.shared.woken.notify_one();
    }

    /// What is called when other processes may have committed jobs. It does not keep the dispatcher's thread.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade() {
                shared.heard.notify_one();
            }
        }
    }

    /// A user has this device from now on.
    ///
    /// # Errors
    /// If the place where devices are kept does not answer, or there is too much to do.
    pub async fn subscribe(&self, by: Subscriber, device: Device) -> Result<Change, DevicesError> {
        self.ask(Subscribe { by, device }).await
    }

    /// A browser's subscription was replaced by another, see [`Devices::renew`]. What waits to be sent to the old one goes to
    /// the new one.
    ///
    /// # Errors
    /// As for [`Push::subscribe`].
    pub async fn renew(&self, old: Device, new: Device) -> Result<Renewal, DevicesError> {
        self.ask(Renew { old, new }).await
    }

    /// The devices that a user subscribed in the session with this handle get no more messages; how many there were.
    ///
    /// # Errors
    /// As for [`Push::subscribe`].
    pub async fn forget_session(&self, user: &str, session: &str) -> Result<u64, DevicesError> {
        let (user, session) = (user.to_owned(), session.to_owned());
        self.ask(ForgetSession { user, session }).await
    }

    /// This device gets no more messages; whether it was known.
    ///
    /// # Errors
    /// As for [`Push::subscribe`].
    pub async fn unsubscribe(&self, device: Device) -> Result<bool, DevicesError> {
        self.ask(Unsubscribe { device }).await
    }

    /// Claims nothing any more, and waits until what is in flight is sent and recorded, at most so long. What is left then
    /// is taken over by others when its lease ends.
    pub async fn drain(&self, most: Duration) {
        self.shared.stopping.send_replace(true);
        let mut in_flight = self.shared.in_flight.subscribe();
        if timeout(most, in_flight.wait_for(|count| *count == 0))
            .await
            .is_err()
        {
            tracing::warn!(
                left = *in_flight.borrow(),
                "deliveries are left to be taken over"
            );
        }
    }

    /// How the look at jobs is doing; off: nothing is sent from here.
    pub fn status(&self) -> HealthStatus {
        self.shared.reporter.status()
    }

    /// How many push services do not accept who this server says it is.
    pub fn refusing(&self) -> usize {
        self.shared.refusing.load(Ordering::Relaxed)
    }

    /// How the place where devices are kept is doing.
    pub fn devices_status(&self) -> HealthStatus {
        self.devices.status()
    }

    /// Brings up to date what the metrics say of what is to be done; what is not known in time is left out.
    pub async fn read_metrics(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let backlog = self.dispatcher.ask_by(AskBacklog, deadline).await;
        let backlog = backlog.ok().flatten();
        let Some(backlog) = backlog else {
            Queue::ALL.iter().for_each(|state| {
                PUSH_JOBS.forget(*state);
                PUSH_DELIVERIES.forget(*state);
            });
            return PUSH_OLDEST.forget(());
        };
        for (i, state) in [Queue::Due, Queue::Later, Queue::Leased]
            .into_iter()
            .enumerate()
        {
            PUSH_JOBS.set(state, backlog.jobs[i]);
            PUSH_DELIVERIES.set(state, backlog.deliveries[i]);
        }
        PUSH_OLDEST.set_duration((), backlog.oldest);
    }

    /// How often the dispatcher was restarted.
    pub fn restarts(&self) -> Restarts {
        self.dispatcher.restarts()
    }

    async fn ask<M, T>(&self, message: M) -> Result<T, DevicesError>
    where
        M: actix::Message<Result = Result<T, DevicesError>> + Send + 'static,
        T: Send + 'static,
        PushDispatcher: actix::Handler<M>,
    {
        match self.dispatcher.ask(message).await {
            Ok(answer) => answer,
            Err(AskError::Full) => Err(DevicesError::Overloaded),
            Err(_) => Err(DevicesError::Unavailable {
                reason: "the push dispatcher is restarting".to_owned(),
            }),
        }
    }
}
