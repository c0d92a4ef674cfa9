//! What is asked of the place where devices are kept. A request is carried out as a whole or not at all, does no harm when it
//! is carried out twice, and its answer (or why there is none) comes within 550 ms.

use futures::future::BoxFuture;

use super::Change;
use crate::pulse::Heart;
use crate::push::device::{Device, Registered};

pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, String>>;

pub(super) trait DeviceStore: Send + Sync {
    /// How the connection to it is doing.
    fn heart(&self) -> &Heart;

    /// The user has the device, and nobody else. Of more devices than one user may have, those subscribed the longest time
    /// ago go.
    fn subscribe<'a>(&'a self, user: &'a str, device: &'a Device) -> Answer<'a, Change>;

    /// Forgets the device if its keys are the same; whether it did.
    fn unsubscribe<'a>(&'a self, device: &'a Device) -> Answer<'a, bool>;

    /// User and endpoint of each device of these users that has not expired.
    fn of_users<'a>(&'a self, users: &'a [String]) -> Answer<'a, Vec<(String, String)>>;

    /// In the order of the endpoints.
    fn registered<'a>(&'a self, endpoints: &'a [String]) -> Answer<'a, Vec<Option<Registered>>>;

    fn forget<'a>(&'a self, endpoint: &'a str) -> Answer<'a, ()>;
}

/// What both stores answer to `subscribe`.
pub(super) fn change(code: i64) -> Result<Change, String> {
    match code {
        0 => Ok(Change::Added),
        1 => Ok(Change::Unchanged),
        2 => Ok(Change::Renewed),
        3 => Ok(Change::Moved),
        _ => Err("it answers nonsense".to_owned()),
    }
}
