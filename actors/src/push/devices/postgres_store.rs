//! Devices in PostgreSQL, for a deployment without Redis. Each request is one statement, and so one transaction.

use futures::future::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::store::{Answer, DeviceStore, Found, Listed, Which, change, renewed};
use super::{Change, Renewal, Subscriber};
use crate::database::Database;
use crate::postgres_store_client::{Durability, PostgresStoreClient};
use crate::push::device::{Device, DeviceKeys, PushEndpoint, Registered};
use gom_telemetry::health::HealthReporter;

const SUBSCRIBE: usize = 0;
const KEYS: usize = 1;
const UNSUBSCRIBE: usize = 2;
const OF_USERS: usize = 3;
const REGISTERED: usize = 4;
const FORGET: usize = 5;
const RENEW: usize = 6;
const LIST: usize = 7;
const FORGET_OF: usize = 8;
const FORGET_OTHERS: usize = 9;
const STATEMENTS: &[&str] = &[
    "SELECT gom.subscribe_device($1, $2, $3, $4, $5, $6, $7, $8)::bigint",
    "SELECT p256dh, auth FROM gom.push_device WHERE endpoint = $1",
    "DELETE FROM gom.push_device WHERE endpoint = $1 AND p256dh = $2 AND auth = $3",
    "SELECT subject, endpoint, coalesce(vapid_key <> $2, false) FROM gom.push_device WHERE subject = ANY ($1::text[])
     AND (expires_ms IS NULL OR expires_ms > extract(epoch FROM clock_timestamp()) * 1000)",
    "SELECT asked.endpoint, subject, p256dh, auth, expires_ms FROM unnest($1::text[]) WITH ORDINALITY AS asked (endpoint, place)
     LEFT JOIN gom.push_device AS d ON d.endpoint = asked.endpoint AND (d.vapid_key = $2) IS NOT FALSE ORDER BY asked.place",
    "DELETE FROM gom.push_device WHERE endpoint = $1",
    "SELECT gom.renew_device($1, $2, $3, $4, $5, $6, $7, $8, $9)::bigint",
    "SELECT endpoint, (extract(epoch FROM seen_at) * 1000)::bigint, expires_ms, session, vapid_key FROM gom.push_device
     WHERE subject = $1 AND (expires_ms IS NULL OR expires_ms > extract(epoch FROM clock_timestamp()) * 1000)",
    "SELECT gom.forget_devices($1, $2, $3)",
    "DELETE FROM gom.push_device WHERE endpoint = ANY ($1::text[]) AND vapid_key <> $2 RETURNING 1",
];

pub(super) struct PostgresDevices {
    twin: PostgresStoreClient,
    per_user: i32,
    /// The fingerprint of the VAPID key. Nothing: push is off.
    vapid: Option<String>,
}

impl PostgresDevices {
    pub fn new(database: &Database, per_user: usize, vapid: Option<&str>) -> Self {
        PostgresDevices {
            // A browser subscribes once; what was answered must be there after a crash.
            twin: PostgresStoreClient::connect(database, Durability::Full, STATEMENTS),
            per_user: i32::try_from(per_user).unwrap_or(i32::MAX),
            vapid: vapid.map(str::to_owned),
        }
    }

    /// The number that a statement with one row gives.
    fn number(rows: &[Row]) -> Result<i64, String> {
        let row = rows
            .first()
            .ok_or_else(|| "PostgreSQL: it sent an unexpected response".to_owned())?;
        row.try_get(0).map_err(said)
    }
}

fn said(error: tokio_postgres::Error) -> String {
    format!("PostgreSQL: {error}")
}

fn keys(row: &Row, first: usize) -> Result<Option<DeviceKeys>, String> {
    let (p256dh, auth) = (
        row.try_get(first).map_err(said)?,
        row.try_get(first + 1).map_err(said)?,
    );
    Ok(DeviceKeys::from_bytes(p256dh, auth).ok())
}

fn found(row: &Row) -> Result<Found, tokio_postgres::Error> {
    Ok(Found {
        user: row.try_get(0)?,
        endpoint: row.try_get(1)?,
        other_key: row.try_get(2)?,
    })
}

fn listed(row: &Row) -> Result<Listed, tokio_postgres::Error> {
    Ok(Listed {
        endpoint: row.try_get(0)?,
        seen_ms: row.try_get(1)?,
        expires_ms: row.try_get(2)?,
        session: row.try_get(3)?,
        vapid: row.try_get(4)?,
    })
}

fn registered(row: &Row) -> Result<Option<Registered>, String> {
    let Some(user) = row.try_get(1).map_err(said)? else {
        return Ok(None);
    };
    let endpoint = PushEndpoint::parse(row.try_get(0).map_err(said)?).ok();
    let (keys, expires) = (keys(row, 2)?, row.try_get(4).map_err(said)?);
    let device = endpoint.zip(keys).map(|(endpoint, keys)| Device {
        endpoint,
        keys,
        expires,
    });
    Ok(device.map(|device| Registered { device, user }))
}

impl DeviceStore for PostgresDevices {
    fn reporter(&self) -> &HealthReporter {
        self.twin.reporter()
    }

    fn subscribe<'a>(&'a self, by: &'a Subscriber, device: &'a Device) -> Answer<'a, Change> {
        async move {
            let (p256dh, auth) = (
                device.keys.p256dh().as_slice(),
                device.keys.auth().as_slice(),
            );
            let endpoint = device.endpoint.as_str();
            let (user, session, vapid) = (&by.user, &by.session, &self.vapid);
            let parameters: [&(dyn ToSql + Sync); 8] = [
                &endpoint,
                user,
                &p256dh,
                &auth,
                &device.expires,
                &self.per_user,
                session,
                vapid,
            ];
            change(Self::number(&self.twin.ask(SUBSCRIBE, &parameters).await?)?)
        }
        .boxed()
    }

    fn renew<'a>(&'a self, old: &'a Device, new: &'a Device) -> Answer<'a, Renewal> {
        async move {
            if !self.holds(old).await? {
                return Ok(Renewal::Unknown);
            }
            let keys = |device: &'a Device| {
                (
                    device.keys.p256dh().as_slice(),
                    device.keys.auth().as_slice(),
                )
            };
            let (old_endpoint, (old_p256dh, old_auth)) = (old.endpoint.as_str(), keys(old));
            let (endpoint, (p256dh, auth)) = (new.endpoint.as_str(), keys(new));
            let parameters: [&(dyn ToSql + Sync); 9] = [
                &old_endpoint,
                &old_p256dh,
                &old_auth,
                &endpoint,
                &p256dh,
                &auth,
                &new.expires,
                &self.per_user,
                &self.vapid,
            ];
            renewed(Self::number(&self.twin.ask(RENEW, &parameters).await?)?)
        }
        .boxed()
    }

    fn holds<'a>(&'a self, device: &'a Device) -> Answer<'a, bool> {
        async move {
            let rows = self.twin.ask(KEYS, &[&device.endpoint.as_str()]).await?;
            let Some(row) = rows.first() else {
                return Ok(false);
            };
            // Compared here, as PostgreSQL would not take the same time for all.
            Ok(keys(row, 0)?.is_some_and(|keys| keys.same(&device.keys)))
        }
        .boxed()
    }

    fn unsubscribe<'a>(&'a self, device: &'a Device) -> Answer<'a, bool> {
        async move {
            if !self.holds(device).await? {
                return Ok(false);
            }
            let endpoint = device.endpoint.as_str();
            let (p256dh, auth) = (
                device.keys.p256dh().as_slice(),
                device.keys.auth().as_slice(),
            );
            // Removed by the first of two tries, or by somebody else meanwhile: it was there.
            self.twin
                .ask(UNSUBSCRIBE, &[&endpoint, &p256dh, &auth])
                .await
                .map(|_| true)
        }
        .boxed()
    }

    fn of_users<'a>(&'a self, users: &'a [String]) -> Answer<'a, Vec<Found>> {
        async move {
            let rows = self.twin.ask(OF_USERS, &[&users, &self.vapid]).await?;
            rows.iter().map(|row| found(row).map_err(said)).collect()
        }
        .boxed()
    }

    fn list<'a>(&'a self, user: &'a str) -> Answer<'a, Vec<Listed>> {
        async move {
            let rows = self.twin.ask(LIST, &[&user]).await?;
            rows.iter().map(|row| listed(row).map_err(said)).collect()
        }
        .boxed()
    }

    fn registered<'a>(&'a self, endpoints: &'a [String]) -> Answer<'a, Vec<Option<Registered>>> {
        async move {
            let rows = self
                .twin
                .ask(REGISTERED, &[&endpoints, &self.vapid])
                .await?;
            rows.iter().map(registered).collect()
        }
        .boxed()
    }

    fn forget<'a>(&'a self, endpoint: &'a str) -> Answer<'a, ()> {
        async move { self.twin.ask(FORGET, &[&endpoint]).await.map(drop) }.boxed()
    }

    fn forget_of<'a>(&'a self, user: &'a str, which: Which<'a>) -> Answer<'a, u64> {
        async move {
            let (session, endpoint) = which.parts();
            let rows = self
                .twin
                .ask(FORGET_OF, &[&user, &session, &endpoint])
                .await?;
            Ok(Self::number(&rows)?.unsigned_abs())
        }
        .boxed()
    }

    fn forget_others<'a>(&'a self, endpoints: &'a [String]) -> Answer<'a, u64> {
        async move {
            let rows = self
                .twin
                .ask(FORGET_OTHERS, &[&endpoints, &self.vapid])
                .await?;
            u64::try_from(rows.len()).map_err(|error| error.to_string())
        }
        .boxed()
    }
}
