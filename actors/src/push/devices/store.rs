//! What is asked of the place where devices are kept. A request is carried out as a whole or not at all, does no harm when it
//! is carried out twice, and its answer (or why there is none) comes within 550 ms.

use futures::future::BoxFuture;

use super::{Change, Renewal, Subscriber};
use crate::push::device::{Device, Registered};
use gom_telemetry::health::HealthReporter;

pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, String>>;

pub(super) trait DeviceStore: Send + Sync {
    /// How the connection to it is doing.
    fn reporter(&self) -> &HealthReporter;

    /// The user has the device, and nobody else. Of more devices than one user may have, those subscribed the longest time
    /// ago go.
    fn subscribe<'a>(&'a self, by: &'a Subscriber, device: &'a Device) -> Answer<'a, Change>;

    /// The new device takes the place of the old one, whose keys have to be the same: of its user, and its session. If
    /// another user has the new one by now, with these keys, it stays that user's, and the old one is forgotten.
    fn renew<'a>(&'a self, old: &'a Device, new: &'a Device) -> Answer<'a, Renewal>;

    /// Whether there is this device, with the same keys.
    fn holds<'a>(&'a self, device: &'a Device) -> Answer<'a, bool>;

    /// Forgets the device if its keys are the same; whether it did.
    fn unsubscribe<'a>(&'a self, device: &'a Device) -> Answer<'a, bool>;

    /// Each device of these users that has not expired.
    fn of_users<'a>(&'a self, users: &'a [String]) -> Answer<'a, Vec<Found>>;

    /// What may be shown of a user's devices, and their endpoints.
    fn list<'a>(&'a self, user: &'a str) -> Answer<'a, Vec<Listed>>;

    /// In the order of the endpoints. Devices of another VAPID key are left out.
    fn registered<'a>(&'a self, endpoints: &'a [String]) -> Answer<'a, Vec<Option<Registered>>>;

    fn forget<'a>(&'a self, endpoint: &'a str) -> Answer<'a, ()>;

    /// Forgets devices of a user; how many there were.
    fn forget_of<'a>(&'a self, user: &'a str, which: Which<'a>) -> Answer<'a, u64>;

    /// Forgets those of these devices that were subscribed for another VAPID key; how many there were.
    fn forget_others<'a>(&'a self, endpoints: &'a [String]) -> Answer<'a, u64>;
}

/// A device in a look-up.
pub(super) struct Found {
    pub user: String,
    pub endpoint: String,
    /// It was subscribed for another VAPID key: no push service takes messages of ours for it.
    pub other_key: bool,
}

/// A device of a user. Times in milliseconds since 1970.
pub(super) struct Listed {
    pub endpoint: String,
    pub seen_ms: Option<i64>,
    pub expires_ms: Option<i64>,
    pub session: Option<String>,
    pub vapid: Option<String>,
}

/// Which of a user's devices.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    All,
    /// Those that were subscribed last in the session with this handle.
    OfSession(&'a str),
    /// The one with this endpoint.
    At(&'a str),
}

impl<'a> Which<'a> {
    /// The session and the endpoint that they must have.
    pub fn parts(self) -> (Option<&'a str>, Option<&'a str>) {
        match self {
            Which::All => (None, None),
            Which::OfSession(handle) => (Some(handle), None),
            Which::At(endpoint) => (None, Some(endpoint)),
        }
    }
}

/// What both stores answer to `renew`.
pub(super) fn renewed(code: i64) -> Result<Renewal, String> {
    match code {
        -1 => Ok(Renewal::Unknown),
        4 => Ok(Renewal::Refused),
        5 => Ok(Renewal::Known),
        code => change(code).map(Renewal::Replaced),
    }
}

/// What both stores answer to `subscribe`.
pub(super) fn change(code: i64) -> Result<Change, String> {
    match code {
        0 => Ok(Change::Added),
        1 => Ok(Change::Unchanged),
        2 => Ok(Change::Renewed),
        3 => Ok(Change::Moved),
        4 => Ok(Change::OtherKey),
        _ => Err("it sent an unexpected response".to_owned()),
    }
}
