//! Subscriptions that an earlier server has left in Redis: hashes without their user, and keys in other places.

use gom_actors::push::{Change, Device};
use redis::Commands;

use crate::{Kind, Place, by, device, listed};

fn connect(place: &Place) -> redis::Connection {
    let port = place.redis.as_ref().unwrap().port();
    redis::Client::open(format!("redis://127.0.0.1:{port}/1"))
        .unwrap()
        .get_connection()
        .unwrap()
}

fn key(device: &Device) -> String {
    format!("sub:{}", device.endpoint.as_str())
}

/// Base64 of a device's keys, as browsers sent it.
fn texts(device: &Device) -> (String, String) {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    (encode(device.keys.p256dh()), encode(device.keys.auth()))
}

/// Each way in which a subscription may have been written.
fn leave(redis: &mut redis::Connection, user: &str) -> Vec<Device> {
    let devices: Vec<Device> = ["flat", "dotted", "json", "whole"].map(device).into();
    for (place, device) in devices.iter().enumerate() {
        let (p256dh, auth) = texts(device);
        let json = format!(r#"{{"p256dh":"{p256dh}","auth":"{auth}"}}"#);
        let endpoint = device.endpoint.as_str();
        let fields: Vec<(&str, &str)> = match place {
            0 => vec![("p256dh", &p256dh), ("auth", &auth)],
            1 => vec![
                ("endpoint", endpoint),
                ("keys.p256dh", &p256dh),
                ("keys.auth", &auth),
            ],
            2 => vec![("expirationTime", "null"), ("keys", &json)],
            _ => vec![
                ("endpoint", endpoint),
                ("expirationTime", "8640000000000000"),
                ("keys", &json),
            ],
        };
        redis
            .hset_multiple::<_, _, _, ()>(key(device), &fields)
            .unwrap();
        let member = if place % 2 == 0 {
            endpoint.to_owned()
        } else {
            key(device)
        };
        redis
            .sadd::<_, _, ()>(format!("user:{user}:subs"), member)
            .unwrap();
    }
    // Entries of the previous version are converted once.
    redis.del::<_, ()>("gom:adopted").unwrap();
    devices
}

/// All keys except the marks of finished conversions.
fn keys(redis: &mut redis::Connection) -> Vec<String> {
    let mut keys: Vec<String> = redis.keys("*").unwrap();
    keys.retain(|key| !key.starts_with("gom:"));
    keys
}

#[actix::test]
async fn devices_of_a_previous_version_are_notified_and_can_be_unsubscribed() {
    let place = Place::of(Kind::Redis).await;
    let mut redis = connect(&place);
    let left = leave(&mut redis, "ana");
    let place = Place {
        devices: place.another().await,
        ..place
    };
    assert_eq!(
        listed(&place.devices, &["ana", "eva"]).await,
        ["ana dotted", "ana flat", "ana json", "ana whole"]
    );
    let endpoints: Vec<String> = left
        .iter()
        .map(|device| device.endpoint.as_str().to_owned())
        .collect();
    let found = place.devices.registered(&endpoints).await.unwrap();
    for (found, left) in found.iter().zip(&left) {
        let found = found.as_ref().unwrap();
        assert!(
            found.user == "ana" && found.device.keys.same(&left.keys),
            "{left:?}"
        );
    }
    assert_eq!(
        found[3].as_ref().unwrap().device.expires,
        Some(8_640_000_000_000_000)
    );
    assert_eq!(found[2].as_ref().unwrap().device.expires, None);
    for device in &left {
        assert_eq!(
            place.devices.unsubscribe(&crate::device("flat")).await,
            Ok(false)
        );
        assert_eq!(place.devices.unsubscribe(device).await, Ok(true));
    }
    assert!(listed(&place.devices, &["ana"]).await.is_empty());
    assert!(keys(&mut redis).is_empty());
}

#[actix::test]
async fn an_inherited_device_can_be_unsubscribed_before_any_delivery() {
    let place = Place::of(Kind::Redis).await;
    let mut redis = connect(&place);
    for device in leave(&mut redis, "ana") {
        assert_eq!(place.devices.unsubscribe(&device).await, Ok(true));
    }
    assert!(listed(&place.devices, &["ana"]).await.is_empty());
    assert!(keys(&mut redis).is_empty());
}

#[actix::test]
async fn resubscribing_converts_an_inherited_device_and_may_change_its_user() {
    let place = Place::with(Kind::Redis, 4).await;
    let mut redis = connect(&place);
    let left = leave(&mut redis, "ana");
    let place = Place {
        devices: place.another().await,
        ..place
    };
    assert_eq!(
        place.devices.subscribe(&by("ana"), &left[0]).await,
        Ok(Change::Renewed)
    );
    assert_eq!(
        place.devices.subscribe(&by("ana"), &left[1]).await,
        Ok(Change::Renewed)
    );
    assert_eq!(
        place.devices.subscribe(&by("ana"), &left[1]).await,
        Ok(Change::Unchanged)
    );
    assert_eq!(listed(&place.devices, &["ana"]).await.len(), 4);
    assert_eq!(
        place.devices.subscribe(&by("eva"), &left[2]).await,
        Ok(Change::Moved)
    );
    assert_eq!(
        listed(&place.devices, &["eva", "ana"]).await,
        ["ana dotted", "ana flat", "ana whole", "eva json"]
    );
    let members: Vec<String> = redis.smembers("user:ana:subs").unwrap();
    assert_eq!(members.len(), 3, "{members:?}");
    // Of all that ana has, those that nobody has seen since make room first.
    for name in ["new", "newer"] {
        assert_eq!(
            place.devices.subscribe(&by("ana"), &device(name)).await,
            Ok(Change::Added)
        );
    }
    assert_eq!(
        listed(&place.devices, &["ana"]).await,
        ["ana dotted", "ana flat", "ana new", "ana newer"]
    );
}

#[actix::test]
async fn a_device_in_several_sets_is_sent_nothing_until_it_is_subscribed_again() {
    let place = Place::of(Kind::Redis).await;
    let mut redis = connect(&place);
    let left = leave(&mut redis, "ana");
    // A browser that both have used, and one that ana alone has.
    for (user, member) in [
        ("eva", left[0].endpoint.as_str().to_owned()),
        ("luz", key(&left[2])),
    ] {
        redis
            .sadd::<_, _, ()>(format!("user:{user}:subs"), member)
            .unwrap();
    }
    redis
        .set::<_, _, ()>("user:x:subs", "no set at all")
        .unwrap();
    let users = ["luz", "eva", "ana"];
    for devices in [place.another().await, place.another().await] {
        assert_eq!(listed(&devices, &users).await, ["ana dotted", "ana whole"]);
    }
    assert_eq!(
        place.devices.subscribe(&by("eva"), &left[0]).await,
        Ok(Change::Renewed)
    );
    assert_eq!(
        listed(&place.devices, &users).await,
        ["ana dotted", "ana whole", "eva flat"]
    );
    // The keys authorize its end nevertheless.
    assert_eq!(place.devices.unsubscribe(&left[2]).await, Ok(true));
}

#[actix::test]
async fn devices_under_a_users_earlier_subject_become_the_users() {
    let place = Place::of(Kind::Redis).await;
    let mut redis = connect(&place);
    let left = leave(&mut redis, "ana");
    redis
        .set::<_, _, ()>("user:eva:subs", "no set at all")
        .unwrap();
    let devices = place.another().await;
    assert_eq!(
        listed(&devices, &["new-luz", "new-eva"]).await,
        [""; 0],
        "nothing of others"
    );
    let names = [
        "new-ana dotted",
        "new-ana flat",
        "new-ana json",
        "new-ana whole",
    ];
    for _ in 0..2 {
        assert_eq!(listed(&devices, &["new-ana", "ana"]).await, names);
    }
    let endpoint = left[0].endpoint.as_str().to_owned();
    let found = devices.registered(&[endpoint]).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().user, "new-ana");
    assert_eq!(devices.unsubscribe(&left[1]).await, Ok(true));
    assert_eq!(
        listed(&devices, &["new-ana"]).await,
        ["new-ana flat", "new-ana json", "new-ana whole"]
    );
    assert_eq!(devices.forget_all("new-ana").await, Ok(3));
    redis.del::<_, ()>("user:eva:subs").unwrap();
    assert!(keys(&mut redis).is_empty());
}

#[actix::test]
async fn devices_under_an_earlier_subject_are_forgotten_with_the_users_own() {
    let place = Place::of(Kind::Redis).await;
    let mut redis = connect(&place);
    leave(&mut redis, "ana");
    let devices = place.another().await;
    assert_eq!(
        devices.subscribe(&by("new-ana"), &device("own")).await,
        Ok(Change::Added)
    );
    assert_eq!(devices.forget_all("new-ana").await, Ok(5));
    assert!(keys(&mut redis).is_empty());
}

#[actix::test]
async fn malformed_entries_are_skipped() {
    let place = Place::of(Kind::Redis).await;
    let mut redis = connect(&place);
    let good = device("good");
    place.devices.subscribe(&by("ana"), &good).await.unwrap();
    for (endpoint, p256dh) in [
        ("http://push.example/a", "x"),
        ("https://push.example/b", "x"),
        ("malformed", ""),
    ] {
        redis
            .hset_multiple::<_, _, _, ()>(
                format!("sub:{endpoint}"),
                &[("p256dh", p256dh), ("auth", "y")],
            )
            .unwrap();
        redis.sadd::<_, _, ()>("user:ana:subs", endpoint).unwrap();
    }
    redis
        .sadd::<_, _, ()>("user:ana:subs", "https://push.example/gone")
        .unwrap();
    redis.del::<_, ()>("gom:adopted").unwrap();
    let place = Place {
        devices: place.another().await,
        ..place
    };
    assert_eq!(
        listed(&place.devices, &["ana"]).await,
        ["ana b", "ana good"]
    );
    let endpoints = [
        "http://push.example/a",
        "https://push.example/b",
        good.endpoint.as_str(),
    ];
    let found = place
        .devices
        .registered(&endpoints.map(str::to_owned))
        .await
        .unwrap();
    assert_eq!(
        found.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, false, true]
    );
}
