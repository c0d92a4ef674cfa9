//! Browsers subscribe and unsubscribe their users' devices for push messages, over real sockets.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod devices;
mod ledger;
mod refusals;
mod renewal;

use gom_test_support::browser::{Browser, Reply};
use gom_test_support::place::{Place, Stores};
use reqwest::Method;
use serde_json::{Value, json};

/// Keys of two browsers.
const KEYS: [(&str, &str); 2] = [
    (
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "BTBZMqHH6r4Tts7J_aSIgg",
    ),
    (
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
        "AAAAAAAAAAAAAAAAAAAAAA",
    ),
];

/// Settings with keys of one's own: push is on.
pub fn vapid<'a>(public: &'a str, private: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("push.vapid.public_key", public),
        ("push.vapid.private_key", private),
        ("push.vapid.subject", "mailto:ops@gom.example"),
    ]
}

/// A subscription as a browser's page sends it.
pub fn subscription(name: &str, keys: usize) -> Value {
    let (p256dh, auth) = KEYS[keys];
    json!({
        "endpoint": format!("https://push.example/send/{name}"),
        "expirationTime": null,
        "keys": { "p256dh": p256dh, "auth": auth },
    })
}

pub async fn subscribe(browser: &mut Browser, subscription: &Value) -> Reply {
    browser
        .send(
            Method::POST,
            "/webpush/subscribe",
            Some(subscription.clone()),
        )
        .await
}

pub async fn unsubscribe(browser: &mut Browser, subscription: &Value) -> Reply {
    browser
        .send(
            Method::POST,
            "/webpush/unsubscribe",
            Some(subscription.clone()),
        )
        .await
}

pub async fn renew(browser: &mut Browser, old: &Value, new: &Value) -> Reply {
    browser
        .send(
            Method::POST,
            "/webpush/renew",
            Some(json!({ "old": old, "new": new })),
        )
        .await
}

/// The devices in the store, as `user name`, sorted.
pub async fn stored(place: &Place) -> Vec<String> {
    let mut found: Vec<String> = match &place.redis {
        Some(redis) => {
            use redis::Commands;
            let client =
                redis::Client::open(format!("redis://127.0.0.1:{}/1", redis.port())).unwrap();
            let mut redis = client.get_connection().unwrap();
            let keys: Vec<String> = redis.keys("sub:*").unwrap();
            let user = |key: &String| redis.hget::<_, _, String>(key, "user").unwrap();
            let users: Vec<String> = keys.iter().map(user).collect();
            users
                .iter()
                .zip(&keys)
                .map(|(user, key)| format!("{user} {}", name(key)))
                .collect()
        }
        None => {
            let client = place.database.connect().await;
            let query = "SELECT subject, endpoint FROM gom.push_device";
            let rows = client.query(query, &[]).await.unwrap();
            rows.iter()
                .map(|row| format!("{} {}", row.get::<_, &str>(0), name(row.get(1))))
                .collect()
        }
    };
    found.sort();
    found
}

fn name(endpoint: &str) -> &str {
    endpoint.rsplit('/').next().unwrap()
}

/// Each of the functions, as a test of each store.
#[macro_export]
macro_rules! everywhere {
    ($($name:ident),+ $(,)?) => {
        mod redis {
            $(#[actix_web::test] async fn $name() { super::$name($crate::Stores::Redis).await; })+
        }
        mod twins {
            $(#[actix_web::test] async fn $name() { super::$name($crate::Stores::Postgres).await; })+
        }
    };
}
