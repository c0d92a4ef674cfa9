//! Whose devices there are. Knows neither what is sent to them nor how.

mod postgres_store;
mod redis_store;
mod store;

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::postgres_store::PostgresDevices;
use self::redis_store::RedisDevices;
use self::store::DeviceStore;
use super::device::{Device, Endpoint, Registered};
use crate::database::Database;
use crate::pulse::Pulse;
use crate::redis::{RedisOptions, RedisOptionsError};

/// Requests of the process that may wait for the store at once; the next is refused as overload.
const MOST_IN_HAND: usize = 1_024;
/// Users, or endpoints, of one request to the store: as many as it answers within the time that it has.
const CHUNK: usize = 500;

/// Where devices are kept, and how many.
#[derive(Debug, Clone)]
pub struct DevicesOptions {
    pub store: DeviceStoreChoice,
    /// Of one user. One more, and the one that was subscribed the longest time ago is forgotten: a browser subscribes anew
    /// with every login, so that it is the one least used.
    pub per_user: usize,
}

/// Where devices are kept.
#[derive(Debug, Clone)]
pub enum DeviceStoreChoice {
    /// In its database 1: a hash `sub:<endpoint>` for each, and a set `user:<id>:subs`.
    Redis(RedisOptions),
    /// In the table `gom.push_device`.
    Postgres,
}

/// What subscribing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not known.
    Added,
    /// The user had it, with these keys and this end.
    Unchanged,
    /// The user had it, with other keys or another end.
    Renewed,
    /// Another user had it.
    Moved,
}

/// Why there is no answer about devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DevicesError {
    #[error("too many requests are waiting for the device store")]
    Overloaded,
    #[error("devices are not available: {reason}")]
    Unavailable { reason: String },
}

/// The devices of all users. Cloning is cheap. Each request to the store has an answer or a refusal within 550 ms.
#[derive(Clone)]
pub struct Devices {
    store: Arc<dyn DeviceStore>,
    room: Arc<Semaphore>,
}

impl Devices {
    /// Connects on this thread's runtime. Returns at once, whether or not the store is there.
    ///
    /// # Errors
    /// If the options for Redis make no sense.
    pub fn start(options: DevicesOptions, database: &Database) -> Result<Self, RedisOptionsError> {
        let per_user = options.per_user.max(1);
        let store: Arc<dyn DeviceStore> = match &options.store {
            DeviceStoreChoice::Redis(redis) => Arc::new(RedisDevices::new(redis, per_user)?),
            DeviceStoreChoice::Postgres => Arc::new(PostgresDevices::new(database, per_user)),
        };
        Ok(Devices { store, room: Arc::new(Semaphore::new(MOST_IN_HAND)) })
    }

    /// How the store is doing.
    pub fn pulse(&self) -> Pulse {
        self.store.heart().pulse()
    }

    /// From now on the user has this device and nobody else. Doing it again changes nothing.
    ///
    /// # Errors
    /// If the store does not answer, or too much is waiting for it.
    pub async fn subscribe(&self, user: &str, device: &Device) -> Result<Change, DevicesError> {
        self.ask(self.store.subscribe(user, device)).await
    }

    /// Forgets a device, whoever has it, if its keys are these: whoever knows them is the device or was told by it. Whether
    /// it was there.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn unsubscribe(&self, device: &Device) -> Result<bool, DevicesError> {
        self.ask(self.store.unsubscribe(device)).await
    }

    /// Who of these has which devices. Those that have expired are left out.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn of_users(&self, users: &[String]) -> Result<Vec<(String, Endpoint)>, DevicesError> {
        let mut found = Vec::new();
        for users in users.chunks(CHUNK) {
            for (user, endpoint) in self.ask(self.store.of_users(users)).await? {
                // What others have written may be no endpoint for us.
                if let Ok(endpoint) = Endpoint::parse(&endpoint) {
                    found.push((user, endpoint));
                }
            }
        }
        Ok(found)
    }

    /// The devices with these endpoints, in their order; nothing for what is not there or cannot be used.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn registered(&self, endpoints: &[String]) -> Result<Vec<Option<Registered>>, DevicesError> {
        let mut found = Vec::with_capacity(endpoints.len());
        for endpoints in endpoints.chunks(CHUNK) {
            found.extend(self.ask(self.store.registered(endpoints)).await?);
        }
        Ok(found)
    }

    /// The push service does not know the device any more.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn forget(&self, endpoint: &str) -> Result<(), DevicesError> {
        self.ask(self.store.forget(endpoint)).await
    }

    async fn ask<T>(&self, request: impl Future<Output = Result<T, String>>) -> Result<T, DevicesError> {
        let _place = self.room.try_acquire().map_err(|_| DevicesError::Overloaded)?;
        request.await.map_err(|reason| DevicesError::Unavailable { reason })
    }
}
