//! Devices in Redis: each a hash `sub:<endpoint>`, and for each user a set `user:<id>:subs` of endpoints.
//!
//! Fields of a hash: `user`, `p256dh`, `auth` (base64url), `expirationTime` (milliseconds since 1970; empty: none), `seen` (when
//! it was subscribed last), `session` (the handle of the session that did), `vapid` (the fingerprint of the VAPID key for which).
//! Subscriptions that an earlier server has left are read as well: without `user` (the sets say whose
//! they are: `adoption.rs`), with the keys as JSON in `keys` or in `keys.p256dh` and `keys.auth`, with `null` for no end, and with `sub:`
//! before the endpoint in the sets. They take our form when they are subscribed again. Those under a user's earlier name are
//! given to the user who is looked up first of those who had it.

use std::collections::HashMap;

use futures::future::FutureExt;
use redis::{Script, cmd, pipe};
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::adoption::adopt;
use super::store::{self, Answer, DeviceStore, Found, Listed, Which};
use super::{Change, EarlierName, Renewal, Subscriber};
use crate::push::device::{Device, DeviceKeys, PushEndpoint, Registered};
use crate::redis::{Redis, RedisOptions, RedisOptionsError};
use gom_telemetry::health::HealthReporter;

const DATABASE: u8 = 1;

/// KEYS: the device. ARGV: its endpoint, and `p256dh`, `auth` and `keys` as they were read. Whether it was removed.
const UNSUBSCRIBE: &str = "
    local found = redis.call('hmget', KEYS[1], 'user', ARGV[2], ARGV[4])
    if found[2] ~= ARGV[3] or found[3] ~= ARGV[5] then return 0 end
    if found[1] then redis.call('srem', 'user:' .. found[1] .. ':subs', ARGV[1], KEYS[1]) end
    return redis.call('del', KEYS[1])";

const SUBSCRIBE: &str = "
    local new = { endpoint = ARGV[1], user = ARGV[2], p256dh = ARGV[3], auth = ARGV[4], ends = ARGV[5], session = ARGV[6],
      vapid = ARGV[7] }
    return subscribe(new, tonumber(ARGV[8]))";

/// KEYS: devices. ARGV: their endpoints, and the fingerprint of the VAPID key. Removes those of another key; how many.
const FORGET_OTHERS: &str = "
    local vapid, forgotten = ARGV[#KEYS + 1], 0
    for i, device in ipairs(KEYS) do
      local found = redis.call('hmget', device, 'user', 'vapid')
      if (found[2] or '') ~= '' and found[2] ~= vapid then
        if found[1] then redis.call('srem', 'user:' .. found[1] .. ':subs', ARGV[i], device) end
        forgotten = forgotten + redis.call('del', device)
      end
    end
    return forgotten";

/// KEYS: the device. ARGV: its endpoint.
const FORGET: &str = "
    local user = redis.call('hget', KEYS[1], 'user')
    if user then redis.call('srem', 'user:' .. user .. ':subs', ARGV[1], KEYS[1]) end
    return redis.call('del', KEYS[1])";

pub(super) struct RedisDevices {
    redis: Redis,
    per_user: usize,
    /// The fingerprint of the VAPID key; empty: push is off.
    vapid: String,
    earlier_name: EarlierName,
    /// Whether devices of an earlier server have been given their users.
    adopted: OnceCell<()>,
    subscribe: Script,
    renew: Script,
    unsubscribe: Script,
    of_users: Script,
    forget: Script,
    forget_of: Script,
    forget_others: Script,
}

impl RedisDevices {
    pub fn new(
        options: &RedisOptions,
        per_user: usize,
        vapid: Option<&str>,
        earlier_name: EarlierName,
    ) -> Result<Self, RedisOptionsError> {
        let subscribing =
            |rest: &str| Script::new(&format!("{}\n{rest}", include_str!("subscribe.lua")));
        Ok(RedisDevices {
            redis: Redis::connect(options, DATABASE)?,
            per_user,
            vapid: vapid.unwrap_or_default().to_owned(),
            earlier_name,
            adopted: OnceCell::new(),
            subscribe: subscribing(SUBSCRIBE),
            renew: subscribing(include_str!("renew.lua")),
            unsubscribe: Script::new(UNSUBSCRIBE),
            of_users: Script::new(include_str!("of_users.lua")),
            forget: Script::new(FORGET),
            forget_of: Script::new(include_str!("forget.lua")),
            forget_others: Script::new(FORGET_OTHERS),
        })
    }
}

fn device_key(endpoint: &str) -> String {
    format!("sub:{endpoint}")
}

fn ends(device: &Device) -> String {
    device
        .expires
        .map(|expires| expires.to_string())
        .unwrap_or_default()
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
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    fn key_fields(&self) -> Option<KeyFields<'_>> {
        for [p256dh, auth] in [
            ["p256dh", "auth"],
            ["keys.p256dh", "keys.auth"],
            ["keys", "keys"],
        ] {
            if let (Some(first), Some(second)) = (self.field(p256dh), self.field(auth)) {
                return Some(KeyFields([(p256dh, first), (auth, second)]));
            }
        }
        None
    }

    /// Where its keys are, if they are these.
    fn proved(&self, keys: &DeviceKeys) -> Option<KeyFields<'_>> {
        self.keys()
            .filter(|own| own.same(keys))
            .and_then(|_| self.key_fields())
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

    /// Nothing as well if it was subscribed for another VAPID key.
    fn registered(&self, endpoint: &str, vapid: &str) -> Option<Registered> {
        if !vapid.is_empty() && self.field("vapid").is_some_and(|of| of != vapid) {
            return None;
        }
        let user = self.field("user")?.to_owned();
        let expires = self
            .field("expirationTime")
            .and_then(|text| text.parse().ok());
        let endpoint = PushEndpoint::parse(endpoint).ok()?;
        Some(Registered {
            device: Device {
                endpoint,
                keys: self.keys()?,
                expires,
            },
            user,
        })
    }
}

impl RedisDevices {
    async fn record(&self, endpoint: &PushEndpoint) -> Result<Record, String> {
        let mut reading = cmd("HGETALL");
        Ok(Record(
            self.redis
                .ask(&*reading.arg(device_key(endpoint.as_str())))
                .await?,
        ))
    }
}

impl DeviceStore for RedisDevices {
    fn reporter(&self) -> &HealthReporter {
        self.redis.reporter()
    }

    fn subscribe<'a>(&'a self, by: &'a Subscriber, device: &'a Device) -> Answer<'a, Change> {
        async move {
            let endpoint = device.endpoint.as_str();
            let mut invocation = self.subscribe.key(device_key(endpoint));
            invocation
                .key(set_key(&by.user))
                .arg(endpoint)
                .arg(&by.user);
            invocation
                .arg(device.keys.p256dh_text())
                .arg(device.keys.auth_text())
                .arg(ends(device));
            invocation
                .arg(by.session.as_deref().unwrap_or_default())
                .arg(&self.vapid)
                .arg(self.per_user);
            store::change(self.redis.ask(&invocation).await?)
        }
        .boxed()
    }

    fn renew<'a>(&'a self, old: &'a Device, new: &'a Device) -> Answer<'a, Renewal> {
        async move {
            let record = self.record(&old.endpoint).await?;
            let Some(KeyFields([first, second])) = record.proved(&old.keys) else {
                return Ok(Renewal::Unknown);
            };
            let (old, endpoint) = (old.endpoint.as_str(), new.endpoint.as_str());
            let mut invocation = self.renew.key(device_key(old));
            invocation.key(device_key(endpoint)).arg(old);
            invocation
                .arg(first.0)
                .arg(first.1)
                .arg(second.0)
                .arg(second.1);
            invocation
                .arg(endpoint)
                .arg(new.keys.p256dh_text())
                .arg(new.keys.auth_text())
                .arg(ends(new));
            invocation.arg(&self.vapid).arg(self.per_user);
            store::renewed(self.redis.ask(&invocation).await?)
        }
        .boxed()
    }

    fn holds<'a>(&'a self, device: &'a Device) -> Answer<'a, bool> {
        async move {
            Ok(self
                .record(&device.endpoint)
                .await?
                .proved(&device.keys)
                .is_some())
        }
        .boxed()
    }

    fn unsubscribe<'a>(&'a self, device: &'a Device) -> Answer<'a, bool> {
        async move {
            let endpoint = device.endpoint.as_str();
            let record = self.record(&device.endpoint).await?;
            let Some(KeyFields([first, second])) = record.proved(&device.keys) else {
                return Ok(false);
            };
            let mut invocation = self.unsubscribe.key(device_key(endpoint));
            invocation
                .arg(endpoint)
                .arg(first.0)
                .arg(first.1)
                .arg(second.0)
                .arg(second.1);
            // Removed by the first of two tries, or by somebody else meanwhile: it was there.
            self.redis.ask::<i64>(&invocation).await.map(|_| true)
        }
        .boxed()
    }

    fn of_users<'a>(&'a self, users: &'a [String]) -> Answer<'a, Vec<Found>> {
        async move {
            self.adopted.get_or_try_init(|| adopt(&self.redis)).await?;
            let mut invocation = self.of_users.prepare_invoke();
            for user in users {
                invocation.key(set_key(user)).arg(user);
            }
            invocation.arg(&self.vapid);
            for user in users {
                invocation.arg((self.earlier_name)(user).unwrap_or_default());
            }
            let flat: Vec<String> = self.redis.ask(&invocation).await?;
            let mut found = Vec::with_capacity(flat.len() / 3);
            let mut flat = flat.into_iter();
            while let (Some(place), Some(endpoint), Some(other)) =
                (flat.next(), flat.next(), flat.next())
            {
                let user = place.parse().ok().and_then(|place: usize| users.get(place));
                let user =
                    user.ok_or_else(|| "Redis: it sent an unexpected response".to_owned())?;
                found.push(Found {
                    user: user.clone(),
                    endpoint,
                    other_key: other == "1",
                });
            }
            Ok(found)
        }
        .boxed()
    }

    fn list<'a>(&'a self, user: &'a str) -> Answer<'a, Vec<Listed>> {
        async move {
            let found = self
                .of_users(std::slice::from_ref(&user.to_owned()))
                .await?;
            if found.is_empty() {
                return Ok(Vec::new());
            }
            let mut request = pipe();
            for found in &found {
                request.cmd("HGETALL").arg(device_key(&found.endpoint));
            }
            let records: Vec<HashMap<String, String>> = self.redis.ask(&request).await?;
            let listed = records
                .into_iter()
                .map(Record)
                .zip(found)
                .filter(|(record, _)| !record.0.is_empty());
            let listed = listed.map(|(record, found)| Listed {
                endpoint: found.endpoint,
                seen_ms: record.field("seen").and_then(|text| text.parse().ok()),
                expires_ms: record
                    .field("expirationTime")
                    .and_then(|text| text.parse().ok()),
                session: record.field("session").map(str::to_owned),
                vapid: record.field("vapid").map(str::to_owned),
            });
            Ok(listed.collect())
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
                return Err("Redis: it sent an unexpected response".to_owned());
            }
            let pairs = records.into_iter().zip(endpoints);
            Ok(pairs
                .map(|(record, endpoint)| Record(record).registered(endpoint, &self.vapid))
                .collect())
        }
        .boxed()
    }

    fn forget<'a>(&'a self, endpoint: &'a str) -> Answer<'a, ()> {
        async move {
            let mut invocation = self.forget.key(device_key(endpoint));
            self.redis
                .ask::<i64>(&*invocation.arg(endpoint))
                .await
                .map(drop)
        }
        .boxed()
    }

    fn forget_of<'a>(&'a self, user: &'a str, which: Which<'a>) -> Answer<'a, u64> {
        async move {
            if (self.earlier_name)(user).is_some() {
                // What stands under the earlier name becomes the user's, and is forgotten with the rest.
                self.of_users(std::slice::from_ref(&user.to_owned()))
                    .await?;
            }
            let (session, endpoint) = which.parts();
            let mut invocation = self.forget_of.key(set_key(user));
            invocation
                .arg(user)
                .arg(session.unwrap_or_default())
                .arg(endpoint.unwrap_or_default());
            self.redis.ask(&invocation).await
        }
        .boxed()
    }

    fn forget_others<'a>(&'a self, endpoints: &'a [String]) -> Answer<'a, u64> {
        async move {
            if self.vapid.is_empty() || endpoints.is_empty() {
                return Ok(0);
            }
            let mut invocation = self.forget_others.prepare_invoke();
            for endpoint in endpoints {
                invocation.key(device_key(endpoint)).arg(endpoint);
            }
            self.redis.ask(&*invocation.arg(&self.vapid)).await
        }
        .boxed()
    }
}
