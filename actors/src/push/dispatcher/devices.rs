//! Requests about devices. Each is a task of its own: the actor itself never waits.

use std::rc::Rc;
use std::time::Duration;

use actix::{Handler, Message};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::PushDispatcher;
use crate::push::device::{Device, Endpoint};
use crate::push::devices::{Change, Devices, DevicesError, Renewed, Subscriber};
use crate::push::ledger::Ledger;

/// How long the answer to a renewal waits for what is queued for the old device.
const READDRESS_TIMEOUT: Duration = Duration::from_millis(500);

/// Where the answer goes.
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
    pub reply: Reply<Renewed>,
}

/// A device gets no more messages; whether it was known.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::push) struct Unsubscribe {
    pub device: Device,
    pub reply: Reply<bool>,
}

/// The devices of a user's session get no more messages; how many there were.
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
        self.ask(reply, async move |devices| {
            devices.subscribe(&by, &device).await
        });
    }
}

impl Handler<Renew> for PushDispatcher {
    type Result = ();

    fn handle(&mut self, Renew { old, new, reply }: Renew, _: &mut Self::Context) {
        let ledger = Rc::clone(&self.observer);
        self.ask(reply, async move |devices| {
            let renewed = devices.renew(&old, &new).await?;
            if let Renewed::Replaced(_) = renewed
                && old.endpoint != new.endpoint
            {
                readdress(&ledger, &old.endpoint, &new.endpoint).await;
            }
            Ok(renewed)
        });
    }
}

impl Handler<Unsubscribe> for PushDispatcher {
    type Result = ();

    fn handle(&mut self, Unsubscribe { device, reply }: Unsubscribe, _: &mut Self::Context) {
        self.ask(reply, async move |devices| {
            devices.unsubscribe(&device).await
        });
    }
}

impl Handler<ForgetSession> for PushDispatcher {
    type Result = ();

    fn handle(
        &mut self,
        ForgetSession {
            user,
            session,
            reply,
        }: ForgetSession,
        _: &mut Self::Context,
    ) {
        self.ask(reply, async move |devices| {
            devices.forget_session(&user, &session).await
        });
    }
}

/// What waits for the old device goes to the new one. Should this not come about (the database is away, the process dies),
/// it ends as `GONE`: the renewal itself is done, and is not undone.
async fn readdress(ledger: &Ledger, old: &Endpoint, new: &Endpoint) {
    let reason = match timeout(READDRESS_TIMEOUT, ledger.readdress(old, new)).await {
        Ok(Ok(0)) => return,
        Ok(Ok(deliveries)) => {
            let [old, new] = [old, new].map(Endpoint::fingerprint);
            return tracing::debug!(
                old,
                new,
                deliveries,
                "what waited for a device goes to its new subscription"
            );
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(
        device = old.fingerprint(),
        cause = reason,
        "what waited for a renewed device may be lost"
    );
}

impl PushDispatcher {
    fn ask<T: 'static>(
        &self,
        reply: Reply<T>,
        request: impl AsyncFnOnce(Devices) -> Result<T, DevicesError> + 'static,
    ) {
        let devices = self.parts.devices.clone();
        actix::spawn(async move {
            // The requester may have gone.
            let _ = reply.send(request(devices).await);
        });
    }
}
