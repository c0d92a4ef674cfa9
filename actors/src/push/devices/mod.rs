//! Whose devices there are. Knows neither what is sent to them nor how.

mod adoption;
mod postgres_store;
mod redis_store;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use self::postgres_store::PostgresDevices;
use self::redis_store::RedisDevices;
use self::store::{DeviceStore, Listed, Which};
use super::device::{Device, PushEndpoint, Registered};
use crate::database::Database;
use crate::redis::{RedisOptions, RedisOptionsError};
use gom_runtime::permits::Permits;
use gom_telemetry::health::HealthStatus;

/// Requests of the process that may wait for the store at once; the next is refused as overload.
const MAX_IN_FLIGHT: usize = 1_024;
/// Users, or endpoints, of one request to the store: as many as it answers within the time that it has.
const CHUNK: usize = 500;
/// For how long devices of another VAPID key are only left out, counted from the start of the process: a wrong pair that was
/// deployed by mistake costs no subscription if it is put right by then.
pub const OTHER_KEYS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Where devices are kept, and how many.
#[derive(Debug, Clone)]
pub struct DevicesOptions {
    /// Where they are kept.
    pub store: DeviceStoreChoice,
    /// Of one user. One more, and the one that was subscribed the longest time ago is forgotten: a browser subscribes again
    /// with every login, so that it is the one least used.
    pub per_user: usize,
    /// The fingerprint of the VAPID key for which browsers subscribe ([`super::VapidKeys::fingerprint`]). Nothing: push is off.
    pub vapid_key: Option<String>,
    /// How long after the start devices of another key are forgotten when they are met, and not only left out.
    pub other_keys_kept: Duration,
    /// Under which name an earlier server has left a user's devices in Redis, where that was another name.
    pub earlier_name: EarlierName,
}

/// The name by which an earlier server knew a user, given today's. Nothing: the same, or none.
pub type EarlierName = fn(&str) -> Option<&str>;

/// Who subscribes a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The user's subject.
    pub user: String,
    /// The handle of the session: when that is closed, its devices are forgotten.
    pub session: Option<String>,
}

/// What may be shown of a device. Neither its endpoint nor its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSummary {
    /// As the ledger names it.
    pub fingerprint: String,
    /// The push service.
    pub origin: String,
    /// When it was subscribed last. Unknown of what an earlier server has left.
    pub subscribed: Option<SystemTime>,
    /// When the push service ends the subscription, if it has said so.
    pub expires: Option<SystemTime>,
    /// The handle of the session that subscribed it.
    pub session: Option<String>,
    /// The fingerprint of the VAPID key for which it was subscribed.
    pub vapid_key: Option<String>,
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
    /// Nothing: it was subscribed for another VAPID key, so that no push service takes our messages for it. The browser has to
    /// unsubscribe at its push service and subscribe for ours.
    OtherKey,
}

/// What renewing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The new device has taken the place of the old one; what that changed for the new one.
    Replaced(Change),
    /// The new one was known, and stays as it is: from an earlier try, or another user has subscribed it since.
    Known,
    /// Nothing: the new one was subscribed for another VAPID key, see [`Change::OtherKey`].
    Refused,
    /// Nothing: neither is known.
    Unknown,
}

/// Why there is no answer about devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DevicesError {
    /// Too many requests wait for the store; nothing was requested of it.
    #[error("too many requests are waiting for the device store")]
    Overloaded,
    /// The store does not answer, or refuses.
    #[error("devices are not available: {reason}")]
    Unavailable {
        /// What the store has answered, for operators.
        reason: String,
    },
}

/// The devices of all users. Cloning is cheap. Each request to the store has an answer or a refusal within 550 ms.
#[derive(Clone)]
pub struct Devices {
    store: Arc<dyn DeviceStore>,
    in_flight: Permits,
    other_keys: Arc<OtherKeys>,
}

/// How devices of another VAPID key are dealt with.
struct OtherKeys {
    forgotten_from: Option<Instant>,
    reported: AtomicBool,
}

impl Devices {
    /// Connects on this thread's runtime. Returns at once, whether or not the store is there.
    ///
    /// # Errors
    /// If the options for Redis make no sense.
    pub fn start(options: DevicesOptions, database: &Database) -> Result<Self, RedisOptionsError> {
        let (per_user, vapid) = (options.per_user.max(1), options.vapid_key.as_deref());
        let store: Arc<dyn DeviceStore> = match &options.store {
            DeviceStoreChoice::Redis(redis) => Arc::new(RedisDevices::new(
                redis,
                per_user,
                vapid,
                options.earlier_name,
            )?),
            DeviceStoreChoice::Postgres => {
                Arc::new(PostgresDevices::new(database, per_user, vapid))
            }
        };
        let forgotten_from = Instant::now().checked_add(options.other_keys_kept);
        let other_keys = OtherKeys {
            forgotten_from,
            reported: AtomicBool::new(false),
        };
        Ok(Devices {
            store,
            in_flight: Permits::new(MAX_IN_FLIGHT),
            other_keys: Arc::new(other_keys),
        })
    }

    /// How the store is doing.
    pub fn status(&self) -> HealthStatus {
        self.store.reporter().status()
    }

    /// From now on the user has this device and nobody else. Doing it again changes nothing.
    ///
    /// # Errors
    /// If the store does not answer, or too much is waiting for it.
    pub async fn subscribe(
        &self,
        by: &Subscriber,
        device: &Device,
    ) -> Result<Change, DevicesError> {
        self.ask(self.store.subscribe(by, device)).await
    }

    /// The browser has another subscription in the place of an old one, which its keys prove: the new device is the old one's
    /// user's, and of the same session; it stays another user's who has subscribed it since.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn renew(&self, old: &Device, new: &Device) -> Result<Renewal, DevicesError> {
        let renewed = self.ask(self.store.renew(old, new)).await?;
        let again = renewed == Renewal::Unknown && self.ask(self.store.holds(new)).await?;
        Ok(if again { Renewal::Known } else { renewed })
    }

    /// Forgets a device of any user, if its keys are these: only the device, and what it has given them to, has them. Whether
    /// it was there.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn unsubscribe(&self, device: &Device) -> Result<bool, DevicesError> {
        self.ask(self.store.unsubscribe(device)).await
    }

    /// Who of these has which devices. Those that have expired, or were subscribed for another VAPID key, are left out.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn of_users(
        &self,
        users: &[String],
    ) -> Result<Vec<(String, PushEndpoint)>, DevicesError> {
        let (mut found, mut others) = (Vec::new(), Vec::new());
        for users in users.chunks(CHUNK) {
            for device in self.ask(self.store.of_users(users)).await? {
                if device.other_key {
                    others.push(device.endpoint);
                } else if let Ok(endpoint) = PushEndpoint::parse(&device.endpoint) {
                    // What others have written may be no endpoint for us.
                    found.push((device.user, endpoint));
                }
            }
        }
        if !others.is_empty() {
            self.leave_out(&others).await;
        }
        Ok(found)
    }

    /// Devices of another VAPID key: for some time they are kept, then they are forgotten.
    async fn leave_out(&self, endpoints: &[String]) {
        if self
            .other_keys
            .forgotten_from
            .is_none_or(|from| Instant::now() < from)
        {
            if !self.other_keys.reported.swap(true, Ordering::Relaxed) {
                let devices = endpoints.len();
                tracing::warn!(
                    devices,
                    "devices that were subscribed for another VAPID key are left out, and forgotten after a day of this process; \
                     is the key pair the right one?"
                );
            }
            return;
        }
        let mut forgotten = 0;
        for endpoints in endpoints.chunks(CHUNK) {
            match self.ask(self.store.forget_others(endpoints)).await {
                Ok(count) => forgotten += count,
                // The next look-up meets them again.
                Err(error) => {
                    tracing::debug!(cause = %error, "devices of another VAPID key are still known");
                    break;
                }
            }
        }
        tracing::info!(
            devices = forgotten,
            "devices that were subscribed for another VAPID key are forgotten"
        );
    }

    /// What may be shown of a user's devices, the one subscribed last first.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn list(&self, user: &str) -> Result<Vec<DeviceSummary>, DevicesError> {
        let mut listed = self.ask(self.store.list(user)).await?;
        listed.sort_by(|a, b| {
            b.seen_ms
                .cmp(&a.seen_ms)
                .then_with(|| a.endpoint.cmp(&b.endpoint))
        });
        Ok(listed.into_iter().filter_map(summary).collect())
    }

    /// Forgets all devices of a user; how many there were.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn forget_all(&self, user: &str) -> Result<u64, DevicesError> {
        self.ask(self.store.forget_of(user, Which::All)).await
    }

    /// Forgets the devices that a user has subscribed in the session with this handle; how many there were.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn forget_session(&self, user: &str, session: &str) -> Result<u64, DevicesError> {
        self.ask(self.store.forget_of(user, Which::OfSession(session)))
            .await
    }

    /// Forgets the user's device with this fingerprint; whether there was one.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn forget_one(&self, user: &str, fingerprint: &str) -> Result<bool, DevicesError> {
        let listed = self.ask(self.store.list(user)).await?;
        let named = |listed: &Listed| {
            PushEndpoint::parse(&listed.endpoint)
                .is_ok_and(|endpoint| endpoint.fingerprint() == fingerprint)
        };
        let Some(device) = listed.into_iter().find(named) else {
            return Ok(false);
        };
        Ok(self
            .ask(self.store.forget_of(user, Which::At(&device.endpoint)))
            .await?
            > 0)
    }

    /// The devices with these endpoints, in their order; nothing for what is not there or cannot be used.
    ///
    /// # Errors
    /// As for [`Devices::subscribe`].
    pub async fn registered(
        &self,
        endpoints: &[String],
    ) -> Result<Vec<Option<Registered>>, DevicesError> {
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

    async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, String>>,
    ) -> Result<T, DevicesError> {
        let permit = self.in_flight.try_acquire();
        let _permit = permit.map_err(|_| DevicesError::Overloaded)?;
        request
            .await
            .map_err(|reason| DevicesError::Unavailable { reason })
    }
}

/// Nothing if what was found is no device for us.
fn summary(listed: Listed) -> Option<DeviceSummary> {
    let time = |milliseconds: i64| {
        UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(milliseconds).ok()?))
    };
    let endpoint = PushEndpoint::parse(&listed.endpoint).ok()?;
    Some(DeviceSummary {
        fingerprint: endpoint.fingerprint(),
        origin: endpoint.origin().to_owned(),
        subscribed: listed.seen_ms.and_then(time),
        expires: listed.expires_ms.and_then(time),
        session: listed.session,
        vapid_key: listed.vapid,
    })
}
