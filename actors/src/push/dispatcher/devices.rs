//! What the dispatcher is asked about devices. Each request is a task of its own: the actor itself never waits.

use actix::{Handler, Message};
use tokio::sync::oneshot;

use super::PushDispatcher;
use crate::push::device::Device;
use crate::push::devices::{Change, Devices, DevicesError, Subscriber};

/// The way back for an answer.
pub(in crate::push) type Reply<T> = oneshot::Sender<Result<T, DevicesError>>;

/// A user has a device.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::push) struct Subscribe {
    pub by: Subscriber,
    pub device: Device,
    pub reply: Reply<Change>,
}

/// One subscription of a browser's was replaced by another.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::push) struct Renew {
    pub old: Device,
    pub new: Device,
    pub reply: Reply<Option<Change>>,
}

/// A device is to be told nothing any more; whether it was known.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::push) struct Unsubscribe {
    pub device: Device,
    pub reply: Reply<bool>,
}

/// The devices of a user's session are to be told nothing any more; how many there were.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::push) struct ForgetSession {
    pub user: String,
    pub session: String,
    pub reply: Reply<u64>,
}

impl Handler<Subscribe> for PushDispatcher {
    type Result = ();

    fn handle(&mut self, Subscribe { by, device, reply }: Subscribe, _: &mut Self::Context) {
        self.ask(reply, async move |devices| devices.subscribe(&by, &device).await);
    }
}

impl Handler<Renew> for PushDispatcher {
    type Result = ();

    fn handle(&mut self, Renew { old, new, reply }: Renew, _: &mut Self::Context) {
        self.ask(reply, async move |devices| devices.renew(&old, &new).await);
    }
}

impl Handler<Unsubscribe> for PushDispatcher {
    type Result = ();

    fn handle(&mut self, Unsubscribe { device, reply }: Unsubscribe, _: &mut Self::Context) {
        self.ask(reply, async move |devices| devices.unsubscribe(&device).await);
    }
}

impl Handler<ForgetSession> for PushDispatcher {
    type Result = ();

    fn handle(&mut self, ForgetSession { user, session, reply }: ForgetSession, _: &mut Self::Context) {
        self.ask(reply, async move |devices| devices.forget_session(&user, &session).await);
    }
}

impl PushDispatcher {
    fn ask<T: 'static>(
        &self,
        reply: Reply<T>,
        request: impl AsyncFnOnce(Devices) -> Result<T, DevicesError> + 'static,
    ) {
        let devices = self.parts.devices.clone();
        actix::spawn(async move {
            // Whoever asked may have gone.
            let _ = reply.send(request(devices).await);
        });
    }
}
