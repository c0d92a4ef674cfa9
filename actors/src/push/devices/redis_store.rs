//! Devices in Redis: each a hash `sub:<endpoint>`, and for each user a set `user:<id>:subs` of endpoints.
//!
//! Fields of a hash: `user`, `p256dh`, `auth` (base64url), `expirationTime` (milliseconds since 1970; empty: none), `seen` (when
//! it was subscribed last). Subscriptions that an earlier server has left are read as well: without `user` (the sets say whose
//! they are), with the keys as JSON in `keys` or in `keys.p256dh` and `keys.auth`, with `null` for no end, and with `sub:`
//! before the endpoint in the sets. They take our form when they are subscribed again.

use std::collections::HashMap;

use futures::future::FutureExt;
use redis::{Script, cmd, pipe};
use serde::Deserialize;

use super::Change;
use super::store::{Answer, DeviceStore};
use crate::pulse::Heart;
use crate::push::device::{Device, DeviceKeys, Endpoint, Registered};
use crate::redis::{Redis, RedisOptions, RedisOptionsError};

const DATABASE: u8 = 1;

/// KEYS: the device. ARGV: its endpoint, and `p256dh`, `auth` and `keys` as they were read. Whether it was removed.
const UNSUBSCRIBE: &str = "
    local found = redis.call('hmget', KEYS[1], 'user', ARGV[2], ARGV[4])
    if found[2] ~= ARGV[3] or found[3] ~= ARGV[5] then return 0 end
    if found[1] then redis.call('srem', 'user:' .. found[1] .. ':subs', ARGV[1], KEYS[1]) end
    return redis.call('del', KEYS[1])";

/// KEYS: the device. ARGV: its endpoint.
const FORGET: &str = "
    local user = redis.call('hget', KEYS[1], 'user')
    if user then redis.call('srem', 'user:' .. user .. ':subs', ARGV[1], KEYS[1]) end
    return redis.call('del', KEYS[1])";

pub(super) struct RedisDevices {
    redis: Redis,
    per_user: usize,
    subscribe: Script,
    unsubscribe: Script,
    of_users: Script,
    forget: Script,
}

impl RedisDevices {
    pub fn new(options: &RedisOptions, per_user: usize) -> Result<Self, RedisOptionsError> {
        Ok(RedisDevices {
            redis: Redis::connect(options, DATABASE)?,
            per_user,
            subscribe: Script::new(include_str!("subscribe.lua")),
            unsubscribe: Script::new(UNSUBSCRIBE),
            of_users: Script::new(include_str!("of_users.lua")),
            forget: Script::new(FORGET),
        })
    }
}

fn device_key(endpoint: &str) -> String {
    format!("sub:{endpoint}")
}

fn set_key(user: &str) -> String {
    format!("user:{user}:subs")
}

/// A hash as it was found.
struct Record(HashMap<String, String>);

/// Two fields of a hash that hold the keys, with their values.
struct KeyFields<'a>([(&'a str, &'a str); 2]);

impl Record {
    fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn key_fields(&self) -> Option<KeyFields<'_>> {
        for [p256dh, auth] in [["p256dh", "auth"], ["keys.p256dh", "keys.auth"], ["keys", "keys"]] {
            if let (Some(first), Some(second)) = (self.field(p256dh), self.field(auth)) {
                return Some(KeyFields([(p256dh, first), (auth, second)]));
            }
        }
        None
    }

    fn keys(&self) -> Option<DeviceKeys> {
        #[derive(Deserialize)]
        struct Keys {
            p256dh: String,
            auth: String,
        }
        let KeyFields([(name, p256dh), (_, auth)]) = self.key_fields()?;
        if name == "keys" {
            let keys: Keys = serde_json::from_str(p256dh).ok()?;
            return DeviceKeys::parse(&keys.p256dh, &keys.auth).ok();
        }
        DeviceKeys::parse(p256dh, auth).ok()
    }

    fn registered(&self, endpoint: &str) -> Option<Registered> {
        let user = self.field("user")?.to_owned();
        let expires = self.field("expirationTime").and_then(|text| text.parse().ok());
        let endpoint = Endpoint::parse(endpoint).ok()?;
        Some(Registered { device: Device { endpoint, keys: self.keys()?, expires }, user })
    }
}

impl DeviceStore for RedisDevices {
    fn heart(&self) -> &Heart {
        self.redis.heart()
    }

    fn subscribe<'a>(&'a self, user: &'a str, device: &'a Device) -> Answer<'a, Change> {
        async move {
            let endpoint = device.endpoint.as_str();
            let mut invocation = self.subscribe.key(device_key(endpoint));
            invocation.key(set_key(user)).arg(endpoint).arg(user);
            invocation.arg(device.keys.p256dh_text()).arg(device.keys.auth_text());
            invocation.arg(device.expires.map(|expires| expires.to_string()).unwrap_or_default());
            invocation.arg(self.per_user);
            super::store::change(self.redis.ask(&invocation).await?)
        }
        .boxed()
    }

    fn unsubscribe<'a>(&'a self, device: &'a Device) -> Answer<'a, bool> {
        async move {
            let endpoint = device.endpoint.as_str();
            let mut reading = cmd("HGETALL");
            let record = Record(self.redis.ask(&*reading.arg(device_key(endpoint))).await?);
            let same = record.keys().is_some_and(|keys| keys.same(&device.keys));
            let Some(KeyFields([first, second])) = record.key_fields().filter(|_| same) else {
                return Ok(false);
            };
            let mut invocation = self.unsubscribe.key(device_key(endpoint));
            invocation.arg(endpoint).arg(first.0).arg(first.1).arg(second.0).arg(second.1);
            // Removed by the first of two tries, or by somebody else meanwhile: it was there.
            self.redis.ask::<i64>(&invocation).await.map(|_| true)
        }
        .boxed()
    }

    fn of_users<'a>(&'a self, users: &'a [String]) -> Answer<'a, Vec<(String, String)>> {
        async move {
            let mut invocation = self.of_users.prepare_invoke();
            for user in users {
                invocation.key(set_key(user)).arg(user);
            }
            let flat: Vec<String> = self.redis.ask(&invocation).await?;
            let mut found = Vec::with_capacity(flat.len() / 2);
            let mut flat = flat.into_iter();
            while let (Some(place), Some(endpoint)) = (flat.next(), flat.next()) {
                let user = place.parse().ok().and_then(|place: usize| users.get(place));
                let user = user.ok_or_else(|| "Redis: it answers nonsense".to_owned())?;
                found.push((user.clone(), endpoint));
            }
            Ok(found)
        }
        .boxed()
    }

    fn registered<'a>(&'a self, endpoints: &'a [String]) -> Answer<'a, Vec<Option<Registered>>> {
        async move {
            if endpoints.is_empty() {
                return Ok(Vec::new());
            }
            let mut request = pipe();
            for endpoint in endpoints {
                request.cmd("HGETALL").arg(device_key(endpoint));
            }
            let records: Vec<HashMap<String, String>> = self.redis.ask(&request).await?;
            if records.len() != endpoints.len() {
                return Err("Redis: it answers nonsense".to_owned());
            }
            let pairs = records.into_iter().zip(endpoints);
            Ok(pairs.map(|(record, endpoint)| Record(record).registered(endpoint)).collect())
        }
        .boxed()
    }

    fn forget<'a>(&'a self, endpoint: &'a str) -> Answer<'a, ()> {
        async move {
            let mut invocation = self.forget.key(device_key(endpoint));
            self.redis.ask::<i64>(&*invocation.arg(endpoint)).await.map(drop)
        }
        .boxed()
    }
}
