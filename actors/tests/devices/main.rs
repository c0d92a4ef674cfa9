//! Devices: one suite over both stores, what earlier servers have left, and stores that go away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod inherited;
mod lifetimes;
mod other_keys;
mod outages;
mod rules;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand;
use gom_actors::database::{Database, DatabaseOptions};
use std::time::Duration;

use gom_actors::push::{
    Device, DeviceKeys, DeviceStoreChoice, Devices, DevicesOptions, OTHER_KEYS_KEPT, PushEndpoint,
    Subscriber,
};
use gom_test_support::{TestDatabase, TestRedis, eventually};

/// Where devices are kept, in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Postgres,
}

/// Each of the functions, as a test of each store.
#[macro_export]
macro_rules! everywhere {
    ($($name:ident),+ $(,)?) => {
        mod redis { $(#[actix::test] async fn $name() { super::$name($crate::Kind::Redis).await; })+ }
        mod postgres { $(#[actix::test] async fn $name() { super::$name($crate::Kind::Postgres).await; })+ }
    };
}

/// Devices with a store of their own.
pub struct Place {
    pub devices: Devices,
    pub database: Database,
    pub redis: Option<TestRedis>,
    pub postgres: Option<TestDatabase>,
    options: DevicesOptions,
}

impl Place {
    pub async fn of(kind: Kind) -> Place {
        Place::with(kind, 20).await
    }

    pub async fn with(kind: Kind, per_user: usize) -> Place {
        let redis = (kind == Kind::Redis).then(TestRedis::start);
        let postgres = if kind == Kind::Postgres {
            Some(TestDatabase::with_own_tables().await)
        } else {
            None
        };
        let store = match &redis {
            Some(redis) => DeviceStoreChoice::Redis(redis.options()),
            None => DeviceStoreChoice::Postgres,
        };
        let options = DevicesOptions {
            store,
            per_user,
            vapid_key: Some("a key".to_owned()),
            other_keys_kept: OTHER_KEYS_KEPT,
            earlier_name: |user| user.strip_prefix("new-"),
        };
        let database = started(postgres.as_ref());
        let devices = connected(Devices::start(options.clone(), &database).unwrap()).await;
        Place {
            devices,
            database,
            redis,
            postgres,
            options,
        }
    }

    /// As on another node: nothing is shared but the store.
    pub async fn another(&self) -> Devices {
        connected(Devices::start(self.options.clone(), &self.database).unwrap()).await
    }
}

impl Place {
    /// A node with another VAPID key, or none, that forgets devices of others after so long.
    pub async fn with_key(&self, key: Option<&str>, kept: Duration) -> Devices {
        let vapid_key = key.map(str::to_owned);
        let options = DevicesOptions {
            vapid_key,
            other_keys_kept: kept,
            ..self.options.clone()
        };
        connected(Devices::start(options, &self.database).unwrap()).await
    }
}

/// A user, in no session that is known.
pub fn by(user: &str) -> Subscriber {
    Subscriber {
        user: user.to_owned(),
        session: None,
    }
}

/// A user in a session.
pub fn within(user: &str, session: &str) -> Subscriber {
    Subscriber {
        session: Some(session.to_owned()),
        ..by(user)
    }
}

/// Waits until the store is there.
pub async fn connected(devices: Devices) -> Devices {
    eventually("the store is connected", async || {
        devices.of_users(&["nobody".to_owned()]).await.is_ok()
    })
    .await;
    devices
}

/// With Redis nobody needs the database: the address is nobody's.
pub fn started(postgres: Option<&TestDatabase>) -> Database {
    let config = match postgres {
        Some(postgres) => postgres.config(),
        None => "host=127.0.0.1 port=1 user=nobody".parse().unwrap(),
    };
    Database::start(DatabaseOptions::new(config)).unwrap()
}

/// Keys as a browser makes them.
pub fn keys() -> DeviceKeys {
    let pair = PrivateKey::generate(&ECDH_P256).unwrap();
    let mut auth = [0; 16];
    rand::fill(&mut auth).unwrap();
    DeviceKeys::from_bytes(pair.compute_public_key().unwrap().as_ref(), &auth).unwrap()
}

/// A new device, with the name in its endpoint.
pub fn device(name: &str) -> Device {
    let endpoint = PushEndpoint::parse(&format!("https://push.example/send/{name}")).unwrap();
    Device {
        endpoint,
        keys: keys(),
        expires: None,
    }
}

/// Endpoints of users' devices as `user name`, sorted.
pub async fn listed(devices: &Devices, users: &[&str]) -> Vec<String> {
    let users: Vec<String> = users.iter().map(|user| (*user).to_owned()).collect();
    let found = devices.of_users(&users).await.unwrap();
    let mut found: Vec<String> = found
        .iter()
        .map(|(user, endpoint)| format!("{user} {}", endpoint.as_str().rsplit('/').next().unwrap()))
        .collect();
    found.sort();
    found
}
