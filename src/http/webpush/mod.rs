//! `/webpush`: browsers tell where push messages for their users go, and take it back. One file for each endpoint.

mod key;
mod ledger;
mod subscribe;
mod subscription;
mod unsubscribe;

use gom_actors::push::DevicesError;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::rest_error::RestError;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/webpush/key").get(key::handle, key::operation()).kept_from_caches(),
        Endpoint::at("/webpush/subscribe").post(subscribe::handle, subscribe::operation()).kept_from_caches(),
        Endpoint::at("/webpush/unsubscribe")
            .post(unsubscribe::handle, unsubscribe::operation())
            .kept_from_caches(),
        Endpoint::at("/webpush/graphql").post(ledger::handle, ledger::operation()).kept_from_caches(),
    ]
}

/// What the operations' schemas refer to.
pub fn schemas() -> Value {
    subscription::schemas()
}

/// There is no answer about a device.
fn unanswered(error: &DevicesError) -> RestError {
    // Why is the operator's business: it may name hosts.
    tracing::warn!(cause = %error, "there is no answer about a device");
    RestError::unavailable("Devices are not available at the moment; try again", None)
}
