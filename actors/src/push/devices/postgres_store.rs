//! Devices in PostgreSQL, for a deployment without Redis. Each request is one statement, and so one transaction.

use futures::future::FutureExt;
use tokio_postgres::Row;

use super::Change;
use super::store::{Answer, DeviceStore, change};
use crate::database::Database;
use crate::pulse::Heart;
use crate::push::device::{Device, DeviceKeys, Endpoint, Registered};
use crate::twin::{Durability, Twin};

const SUBSCRIBE: usize = 0;
const KEYS: usize = 1;
const UNSUBSCRIBE: usize = 2;
const OF_USERS: usize = 3;
const REGISTERED: usize = 4;
const FORGET: usize = 5;
const STATEMENTS: &[&str] = &[
    "SELECT gom.subscribe_device($1, $2, $3, $4, $5, $6)",
    "SELECT p256dh, auth FROM gom.push_device WHERE endpoint = $1",
    "DELETE FROM gom.push_device WHERE endpoint = $1 AND p256dh = $2 AND auth = $3",
    "SELECT subject, endpoint FROM gom.push_device WHERE subject = ANY ($1::text[])
     AND (expires_ms IS NULL OR expires_ms > extract(epoch FROM clock_timestamp()) * 1000)",
    "SELECT endpoint, subject, p256dh, auth, expires_ms FROM unnest($1::text[]) WITH ORDINALITY AS asked (endpoint, place)
     LEFT JOIN gom.push_device USING (endpoint) ORDER BY asked.place",
    "DELETE FROM gom.push_device WHERE endpoint = $1",
];

pub(super) struct PostgresDevices {
    twin: Twin,
    per_user: i32,
}

impl PostgresDevices {
    pub fn new(database: &Database, per_user: usize) -> Self {
        PostgresDevices {
            // A browser subscribes once; what was answered must be there after a crash.
            twin: Twin::connect(database, Durability::Full, STATEMENTS),
            per_user: i32::try_from(per_user).unwrap_or(i32::MAX),
        }
    }
}

fn said(error: tokio_postgres::Error) -> String {
    format!("PostgreSQL: {error}")
}

fn keys(row: &Row, first: usize) -> Result<Option<DeviceKeys>, String> {
    let (p256dh, auth) = (row.try_get(first).map_err(said)?, row.try_get(first + 1).map_err(said)?);
    Ok(DeviceKeys::from_bytes(p256dh, auth).ok())
}

fn registered(row: &Row) -> Result<Option<Registered>, String> {
    let Some(user) = row.try_get(1).map_err(said)? else { return Ok(None) };
    let endpoint = Endpoint::parse(row.try_get(0).map_err(said)?).ok();
    let (keys, expires) = (keys(row, 2)?, row.try_get(4).map_err(said)?);
    let device = endpoint.zip(keys).map(|(endpoint, keys)| Device { endpoint, keys, expires });
    Ok(device.map(|device| Registered { device, user }))
}

impl DeviceStore for PostgresDevices {
    fn heart(&self) -> &Heart {
        self.twin.heart()
    }

    fn subscribe<'a>(&'a self, user: &'a str, device: &'a Device) -> Answer<'a, Change> {
        async move {
            let (p256dh, auth) = (device.keys.p256dh().as_slice(), device.keys.auth().as_slice());
            let endpoint = device.endpoint.as_str();
            let rows = self
                .twin
                .ask(SUBSCRIBE, &[&endpoint, &user, &p256dh, &auth, &device.expires, &self.per_user])
                .await?;
            let row = rows.first().ok_or_else(|| "PostgreSQL: it answers nonsense".to_owned())?;
            change(row.try_get::<_, i32>(0).map_err(said)?.into())
        }
        .boxed()
    }

    fn unsubscribe<'a>(&'a self, device: &'a Device) -> Answer<'a, bool> {
        async move {
            let endpoint = device.endpoint.as_str();
            let rows = self.twin.ask(KEYS, &[&endpoint]).await?;
            let Some(row) = rows.first() else { return Ok(false) };
            // Compared here, as PostgreSQL would not take the same time for all.
            if !keys(row, 0)?.is_some_and(|keys| keys.same(&device.keys)) {
                return Ok(false);
            }
            let (p256dh, auth) = (device.keys.p256dh().as_slice(), device.keys.auth().as_slice());
            // Removed by the first of two tries, or by somebody else meanwhile: it was there.
            self.twin.ask(UNSUBSCRIBE, &[&endpoint, &p256dh, &auth]).await.map(|_| true)
        }
        .boxed()
    }

    fn of_users<'a>(&'a self, users: &'a [String]) -> Answer<'a, Vec<(String, String)>> {
        async move {
            let rows = self.twin.ask(OF_USERS, &[&users]).await?;
            let pair = |row: &Row| Ok((row.try_get(0).map_err(said)?, row.try_get(1).map_err(said)?));
            rows.iter().map(pair).collect()
        }
        .boxed()
    }

    fn registered<'a>(&'a self, endpoints: &'a [String]) -> Answer<'a, Vec<Option<Registered>>> {
        async move {
            let rows = self.twin.ask(REGISTERED, &[&endpoints]).await?;
            rows.iter().map(registered).collect()
        }
        .boxed()
    }

    fn forget<'a>(&'a self, endpoint: &'a str) -> Answer<'a, ()> {
        async move { self.twin.ask(FORGET, &[&endpoint]).await.map(drop) }.boxed()
    }
}
