//! Requests about devices. Each is a task of its own: the actor itself never waits.

use std::rc::Rc;
use std::time::Duration;

use actix::{Handler, Message, ResponseFuture};
use tokio::time::timeout;

use super::PushDispatcher;
use crate::push::device::{Device, PushEndpoint};
use crate::push::devices::{Change, DevicesError, Renewal, Subscriber};
use crate::push::ledger::Ledger;

/// How long the answer to a renewal waits for what is queued for the old device.
const READDRESS_TIMEOUT: Duration = Duration::from_millis(500);

/// A user has a device.
#[derive(Message)]
#[rtype(result = "Result<Change, DevicesError>")]
pub(in crate::push) struct Subscribe {
    pub by: Subscriber,
    pub device: Device,
}

/// One subscription of a browser's was replaced by another.
#[derive(Message)]
#[rtype(result = "Result<Renewal, DevicesError>")]
pub(in crate::push) struct Renew {
    pub old: Device,
    pub new: Device,
}

/// A device gets no more messages; whether it was known.
#[derive(Message)]
#[rtype(result = "Result<bool, DevicesError>")]
pub(in crate::push) struct Unsubscribe {
    pub device: Device,
}

/// The devices of a user's session get no more messages; how many there were.
#[derive(Message)]
#[rtype(result = "Result<u64, DevicesError>")]
pub(in crate::push) struct ForgetSession {
    pub user: String,
    pub session: String,
}

impl Handler<Subscribe> for PushDispatcher {
    type Result = ResponseFuture<Result<Change, DevicesError>>;

    fn handle(
        &mut self,
        Subscribe { by, device }: Subscribe,
        _: &mut Self::Context,
    ) -> Self::Result {
        let devices = self.parts.devices.clone();
        Box::pin(async move { devices.subscribe(&by, &device).await })
    }
}

impl Handler<Renew> for PushDispatcher {
    type Result = ResponseFuture<Result<Renewal, DevicesError>>;

    fn handle(&mut self, Renew { old, new }: Renew, _: &mut Self::Context) -> Self::Result {
        let (devices, ledger) = (self.parts.devices.clone(), Rc::clone(&self.observer));
        Box::pin(async move {
            let renewed = devices.renew(&old, &new).await?;
            if let Renewal::Replaced(_) = renewed
                && old.endpoint != new.endpoint
            {
                readdress(&ledger, &old.endpoint, &new.endpoint).await;
            }
            Ok(renewed)
        })
    }
}

impl Handler<Unsubscribe> for PushDispatcher {
    type Result = ResponseFuture<Result<bool, DevicesError>>;

    fn handle(
        &mut self,
        Unsubscribe { device }: Unsubscribe,
        _: &mut Self::Context,
    ) -> Self::Result {
        let devices = self.parts.devices.clone();
        Box::pin(async move { devices.unsubscribe(&device).await })
    }
}

impl Handler<ForgetSession> for PushDispatcher {
    type Result = ResponseFuture<Result<u64, DevicesError>>;

    fn handle(&mut self, forget: ForgetSession, _: &mut Self::Context) -> Self::Result {
        let devices = self.parts.devices.clone();
        Box::pin(async move { devices.forget_session(&forget.user, &forget.session).await })
    }
}

/// What waits for the old device goes to the new one. Should this not come about (the database is away, the process dies),
/// it ends as `GONE`: the renewal itself is done, and is not undone.
async fn readdress(ledger: &Ledger, old: &PushEndpoint, new: &PushEndpoint) {
    let reason = match timeout(READDRESS_TIMEOUT, ledger.readdress(old, new)).await {
        Ok(Ok(0)) => return,
        Ok(Ok(deliveries)) => {
            let [old, new] = [old, new].map(PushEndpoint::fingerprint);
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
