//! The handle of a supervised actor: its current address, and requests to it.
//!
//! In actix each clone of an address has a slot of its own in the mailbox, so that who clones one for each message never finds
//! it full. A handle therefore sends over one sender for all its clones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::dev::channel::AddressSender;
use actix::dev::{SendError, ToEnvelope};
use actix::{Actor, Addr, Handler, Message};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::SupervisedActor;
use gom_telemetry::metrics::ACTOR_REFUSED;

/// How long a request waits for an actor that is being restarted.
const RESTART_TIMEOUT: Duration = Duration::from_millis(300);

/// Why an actor did not reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// As many messages wait as may. Nothing was done.
    #[error("the actor's mailbox is full")]
    Full,
    /// The actor is being restarted, or its thread has ended. Nothing was done.
    #[error("the actor is being restarted")]
    Restarting,
    /// The actor ended before it replied. What was to be done may have been done or not.
    #[error("the actor ended before it replied")]
    Lost,
    /// There was no reply by the deadline. What was to be done may have been done, may be done yet, or not.
    #[error("the actor did not reply in time")]
    Timeout,
}

/// Puts a message into a mailbox, if there is room; counts those for which there is none. The bound is that of this clone of
/// the address: hold one, and do not clone it for each message ([`Supervised::post`] does that).
///
/// # Errors
/// The message, if the mailbox is full or its actor has ended.
pub fn post<A, M>(address: &Addr<A>, message: M) -> Result<(), SendError<M>>
where
    A: SupervisedActor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    address.try_send(message).inspect_err(|error| {
        refused::<A, M>(error);
    })
}

/// What a message that no mailbox took is answered with; counts it if its mailbox was full.
fn refused<A: SupervisedActor, M>(error: &SendError<M>) -> AskError {
    match error {
        SendError::Full(_) => {
            ACTOR_REFUSED.inc(A::KIND);
            AskError::Full
        }
        SendError::Closed(_) => AskError::Restarting,
    }
}

/// How often an actor was restarted, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restarts {
    /// A handler or a future of the actor panicked.
    pub panicked: u64,
    /// The actor stopped itself.
    pub stopped: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) panicked: AtomicU64,
    pub(super) stopped: AtomicU64,
}

/// A supervised actor. Cloning is cheap; the actor lives until the last clone is gone.
pub struct Supervised<A: Actor> {
    sender: watch::Receiver<Option<AddressSender<A>>>,
    counts: Arc<Counts>,
}

impl<A: Actor> Clone for Supervised<A> {
    fn clone(&self) -> Self {
        Supervised {
            sender: self.sender.clone(),
            counts: Arc::clone(&self.counts),
        }
    }
}

impl<A: Actor> Supervised<A> {
    pub(super) fn new(
        sender: watch::Receiver<Option<AddressSender<A>>>,
        counts: Arc<Counts>,
    ) -> Self {
        Supervised { sender, counts }
    }

    /// The address, or nothing while the actor is being restarted.
    pub fn get(&self) -> Option<Addr<A>> {
        self.sender.borrow().as_ref().map(address)
    }

    /// Waits until the actor has an address; nothing if its thread has ended.
    pub async fn wait(&self) -> Option<Addr<A>> {
        let mut sender = self.sender.clone();
        let running = sender.wait_for(Option::is_some).await.ok()?;
        running.as_ref().map(address)
    }

    /// Waits until the address is another one than this: that of the next actor, or none while it is restarted. Nothing if
    /// its thread has ended.
    pub async fn other_than(&self, known: Option<&Addr<A>>) -> Option<Option<Addr<A>>> {
        let mut sender = self.sender.clone();
        let changed = sender.wait_for(|now| now.as_ref().map(address).as_ref() != known);
        let now = changed.await.ok()?;
        Some(now.as_ref().map(address))
    }

    /// How often the actor was restarted.
    pub fn restarts(&self) -> Restarts {
        Restarts {
            panicked: self.counts.panicked.load(Ordering::Relaxed),
            stopped: self.counts.stopped.load(Ordering::Relaxed),
        }
    }
}

impl<A: SupervisedActor> Supervised<A> {
    /// Sends a request and waits for the reply for as long as the actor takes. A full mailbox is an answer at once; an actor
    /// that is being restarted is waited for, up to 300 ms.
    ///
    /// A request that was accepted is handled even if this future is dropped.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask<M>(&self, message: M) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let restarted = Instant::now() + RESTART_TIMEOUT;
        let reply = self.deliver(message, restarted).await?;
        reply.await.map_err(|_| AskError::Lost)
    }

    /// As [`Supervised::ask`], with the reply by the deadline.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask_by<M>(&self, message: M, deadline: Instant) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let restarted = (Instant::now() + RESTART_TIMEOUT).min(deadline);
        let reply = self.deliver(message, restarted).await?;
        match timeout_at(deadline, reply).await {
            Ok(reply) => reply.map_err(|_| AskError::Lost),
            Err(_) => Err(AskError::Timeout),
        }
    }

    /// As [`Supervised::ask`], but does not wait for an actor that is being restarted.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask_now<M>(&self, message: M) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        match self.send(message) {
            Ok(reply) => reply.await.map_err(|_| AskError::Lost),
            Err(error) => Err(refused::<A, M>(&error)),
        }
    }

    /// Sends a message without a reply, if the actor is there and its mailbox has room.
    ///
    /// # Errors
    /// [`AskError::Full`] or [`AskError::Restarting`].
    pub fn post<M>(&self, message: M) -> Result<(), AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let sender = self.sender.borrow();
        let sender = sender.as_ref().ok_or(AskError::Restarting)?;
        let posted = sender.try_send(message, true);
        posted.map_err(|error| refused::<A, M>(&error))
    }

    /// Puts the message into the mailbox, at the latest of an actor that has been restarted by then.
    async fn deliver<M>(
        &self,
        message: M,
        restarted: Instant,
    ) -> Result<oneshot::Receiver<M::Result>, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let message = match self.send(message) {
            Ok(reply) => return Ok(reply),
            Err(SendError::Closed(message)) => message,
            Err(full) => return Err(refused::<A, M>(&full)),
        };
        let mut sender = self.sender.clone();
        let running = sender.wait_for(|now| now.as_ref().is_some_and(AddressSender::connected));
        // What the channel lends is given back before `send` borrows from it: a thread that held both while the actor's own
        // wanted to write would never get the second.
        let is_running = matches!(timeout_at(restarted, running).await, Ok(Ok(_)));
        if !is_running {
            return Err(AskError::Restarting);
        }
        self.send(message).map_err(|error| refused::<A, M>(&error))
    }

    fn send<M>(&self, message: M) -> Result<oneshot::Receiver<M::Result>, SendError<M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        match &*self.sender.borrow() {
            Some(sender) => sender.send(message),
            None => Err(SendError::Closed(message)),
        }
    }
}

fn address<A: Actor>(sender: &AddressSender<A>) -> Addr<A> {
    Addr::new(sender.clone())
}
