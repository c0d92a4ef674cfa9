//! The context of supervised actors: actix's own, but for its envelopes, which count the messages that wait.

use actix::dev::channel::AddressSender;
use actix::dev::{
    AsyncContextParts, ContextFut, ContextParts, Envelope, EnvelopeProxy, Mailbox, MessageResponse,
    ToEnvelope,
};
use actix::{
    Actor, ActorContext, ActorFuture, ActorState, Addr, AsyncContext, Handler, Message, SpawnHandle,
};
use tokio::sync::oneshot::Sender;

use super::SupervisedActor;
use gom_telemetry::metrics::{ACTOR_MAILBOX, GaugeGuard};

/// What a supervised actor runs in.
pub struct Context<A: Actor<Context = Context<A>>> {
    parts: ContextParts<A>,
    mailbox: Option<Mailbox<A>>,
}

impl<A: Actor<Context = Context<A>>> Context<A> {
    /// The context, and the way into its mailbox. `capacity`: how many messages may wait.
    pub(super) fn new(capacity: usize) -> (Self, AddressSender<A>) {
        let mut mailbox = Mailbox::default();
        mailbox.set_capacity(capacity);
        let producer = mailbox.sender_producer();
        let sender = producer.sender();
        let context = Context {
            parts: ContextParts::new(producer),
            mailbox: Some(mailbox),
        };
        (context, sender)
    }

    /// The actor's life.
    pub(super) fn into_future(mut self, actor: A) -> ContextFut<A, Self> {
        let mailbox = self.mailbox.take().unwrap_or_default();
        ContextFut::new(self, actor, mailbox)
    }
}

impl<A: Actor<Context = Self>> ActorContext for Context<A> {
    fn stop(&mut self) {
        self.parts.stop();
    }

    fn terminate(&mut self) {
        self.parts.terminate();
    }

    fn state(&self) -> ActorState {
        self.parts.state()
    }
}

impl<A: Actor<Context = Self>> AsyncContext<A> for Context<A> {
    fn address(&self) -> Addr<A> {
        self.parts.address()
    }

    fn spawn<F>(&mut self, future: F) -> SpawnHandle
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        self.parts.spawn(future)
    }

    fn wait<F>(&mut self, future: F)
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        self.parts.wait(future);
    }

    fn waiting(&self) -> bool {
        self.parts.waiting()
    }

    fn cancel_future(&mut self, handle: SpawnHandle) -> bool {
        self.parts.cancel_future(handle)
    }
}

impl<A: Actor<Context = Self>> AsyncContextParts<A> for Context<A> {
    fn parts(&mut self) -> &mut ContextParts<A> {
        &mut self.parts
    }
}

impl<A, M> ToEnvelope<A, M> for Context<A>
where
    A: SupervisedActor + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn pack(message: M, reply: Option<Sender<M::Result>>) -> Envelope<A> {
        let waiting = Some(ACTOR_MAILBOX.guard(A::KIND));
        Envelope::with_proxy(Box::new(QueuedMessage {
            message: Some(message),
            reply,
            waiting,
        }))
    }
}

/// A message in a mailbox. It counts as waiting until it is handled, or lost with the mailbox.
struct QueuedMessage<M: Message> {
    message: Option<M>,
    reply: Option<Sender<M::Result>>,
    waiting: Option<GaugeGuard>,
}

impl<A, M> EnvelopeProxy<A> for QueuedMessage<M>
where
    A: SupervisedActor + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn handle(&mut self, actor: &mut A, context: &mut A::Context) {
        self.waiting = None;
        // Unlike with actix, a message is handled even if nobody waits for its reply any more: what was accepted is done.
        let reply = self.reply.take();
        if let Some(message) = self.message.take() {
            let response = <A as Handler<M>>::handle(actor, message, context);
            response.handle(context, reply);
        }
    }
}
