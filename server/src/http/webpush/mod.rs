//! `/webpush`: browsers tell where push messages for their users go, and take it back. One file for each endpoint.

mod key;
mod ledger;
mod renew;
mod renewals;
mod subscribe;
mod subscription;
mod unsubscribe;

use std::time::{SystemTime, UNIX_EPOCH};

use gom_actors::push::{Device, DevicesError};
use gom_telemetry::metrics::Route;
use serde_json::Value;

use super::State;
use super::endpoint::Endpoint;
use super::rest_error::RestError;

pub use self::renewals::Renewals;

/// Of a subscription that will not do.
const OTHER_KEY: &str = "was made for another key: unsubscribe at the push service, and subscribe for that of /webpush/key";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/webpush/key")
            .get(key::handle, key::operation())
            .kept_from_caches()
            .labelled(Route::Webpush),
        Endpoint::at("/webpush/subscribe")
            .post(subscribe::handle, subscribe::operation())
            .kept_from_caches()
            .labelled(Route::Webpush),
        Endpoint::at("/webpush/renew")
            .post(renew::handle, renew::operation())
            .kept_from_caches()
            .labelled(Route::Webpush),
        Endpoint::at("/webpush/unsubscribe")
            .post(unsubscribe::handle, unsubscribe::operation())
            .kept_from_caches()
            .labelled(Route::Webpush),
        Endpoint::at("/webpush/graphql")
            .post(ledger::handle, ledger::operation())
            .kept_from_caches()
            .labelled(Route::Ledger),
    ]
}

/// What the operations' schemas refer to.
pub fn schemas() -> Value {
    subscription::schemas()
}

/// Whether notifications can reach this device.
///
/// # Errors
/// Why not.
fn admit(state: &State, device: &Device) -> Result<(), String> {
    // Milliseconds since 1970.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    if device.expires.is_some_and(|expires| expires <= now) {
        return Err("expirationTime has passed".to_owned());
    }
    state
        .push
        .allows(&device.endpoint)
        .map_err(|reason| reason.to_string())
}

/// There is no answer about a device.
pub fn unanswered(error: &DevicesError) -> RestError {
    // Why is the operator's business: it may name hosts.
    tracing::warn!(cause = %error, "there is no answer about a device");
    RestError::unavailable("Devices are not available at the moment; try again", None)
}
