//! What holds wherever devices are kept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gom_actors::push::{Change, Device, MAX_ENDPOINT_BYTES, PushEndpoint, Registered};

use crate::{Kind, Place, by, device, everywhere, keys, listed};

everywhere!(
    subscribing_again_changes_nothing,
    a_user_has_several_devices_and_others_have_others,
    a_device_moves_from_one_user_to_another,
    unsubscribing_needs_the_keys,
    a_forgotten_device_is_deleted,
    the_oldest_device_is_replaced_at_the_limit,
    an_expired_device_is_sent_nothing,
    the_longest_endpoint_and_unusual_users_are_stored,
    devices_are_returned_in_the_requested_order,
    many_at_once_on_two_nodes_leave_one_owner_and_no_more_than_the_limit,
);

async fn subscribing_again_changes_nothing(kind: Kind) {
    let place = Place::of(kind).await;
    let mut one = device("one");
    assert_eq!(
        place.devices.subscribe(&by("ana"), &one).await,
        Ok(Change::Added)
    );
    assert_eq!(
        place.devices.subscribe(&by("ana"), &one).await,
        Ok(Change::Unchanged)
    );
    assert_eq!(
        place.another().await.subscribe(&by("ana"), &one).await,
        Ok(Change::Unchanged)
    );
    assert_eq!(listed(&place.devices, &["ana"]).await, ["ana one"]);
    one.expires = Some(in_milliseconds(3_600_000));
    assert_eq!(
        place.devices.subscribe(&by("ana"), &one).await,
        Ok(Change::Renewed)
    );
    one.keys = keys();
    assert_eq!(
        place.devices.subscribe(&by("ana"), &one).await,
        Ok(Change::Renewed)
    );
    assert_eq!(
        place.devices.subscribe(&by("ana"), &one).await,
        Ok(Change::Unchanged)
    );
    one.expires = None;
    assert_eq!(
        place.devices.subscribe(&by("ana"), &one).await,
        Ok(Change::Renewed)
    );
    let found = place
        .another()
        .await
        .registered(&[one.endpoint.as_str().to_owned()])
        .await
        .unwrap();
    assert_eq!(
        found,
        [Some(Registered {
            device: one,
            user: "ana".to_owned()
        })]
    );
}

async fn a_user_has_several_devices_and_others_have_others(kind: Kind) {
    let place = Place::of(kind).await;
    for (user, name) in [("ana", "phone"), ("ana", "laptop"), ("eva", "tablet")] {
        assert_eq!(
            place.devices.subscribe(&by(user), &device(name)).await,
            Ok(Change::Added)
        );
    }
    let devices = &place.devices;
    assert_eq!(listed(devices, &["ana"]).await, ["ana laptop", "ana phone"]);
    assert_eq!(
        listed(devices, &["eva", "nobody", "ana"]).await,
        ["ana laptop", "ana phone", "eva tablet"]
    );
    assert!(listed(devices, &[]).await.is_empty());
    assert!(
        listed(devices, &["nobody", "an", "ana ", "*"])
            .await
            .is_empty()
    );
}

async fn a_device_moves_from_one_user_to_another(kind: Kind) {
    let place = Place::of(kind).await;
    let shared = device("shared");
    place.devices.subscribe(&by("ana"), &shared).await.unwrap();
    place
        .devices
        .subscribe(&by("ana"), &device("own"))
        .await
        .unwrap();
    assert_eq!(
        place.devices.subscribe(&by("eva"), &shared).await,
        Ok(Change::Moved)
    );
    assert_eq!(
        listed(&place.devices, &["ana", "eva"]).await,
        ["ana own", "eva shared"]
    );
    let found = place
        .devices
        .registered(&[shared.endpoint.as_str().to_owned()])
        .await
        .unwrap();
    assert_eq!(found[0].as_ref().unwrap().user, "eva");
    assert_eq!(
        place.devices.subscribe(&by("ana"), &shared).await,
        Ok(Change::Moved)
    );
    assert_eq!(
        listed(&place.devices, &["ana", "eva"]).await,
        ["ana own", "ana shared"]
    );
}

async fn unsubscribing_needs_the_keys(kind: Kind) {
    let place = Place::of(kind).await;
    let own = device("own");
    place.devices.subscribe(&by("ana"), &own).await.unwrap();
    let mut half = own.clone();
    half.keys = gom_actors::push::DeviceKeys::from_bytes(own.keys.p256dh(), &[0; 16]).unwrap();
    let other = Device {
        keys: keys(),
        ..own.clone()
    };
    for wrong in [&half, &other, &device("unknown")] {
        assert_eq!(place.devices.unsubscribe(wrong).await, Ok(false));
    }
    assert_eq!(listed(&place.devices, &["ana"]).await, ["ana own"]);
    // Its expiration is not read.
    let later = Device {
        expires: Some(1),
        ..own.clone()
    };
    assert_eq!(place.devices.unsubscribe(&later).await, Ok(true));
    assert_eq!(place.devices.unsubscribe(&own).await, Ok(false));
    assert!(listed(&place.devices, &["ana"]).await.is_empty());
    assert_eq!(
        place.devices.subscribe(&by("ana"), &own).await,
        Ok(Change::Added)
    );
}

async fn a_forgotten_device_is_deleted(kind: Kind) {
    let place = Place::of(kind).await;
    let (gone, kept) = (device("gone"), device("kept"));
    for device in [&gone, &kept] {
        place.devices.subscribe(&by("ana"), device).await.unwrap();
    }
    let endpoints = [
        gone.endpoint.as_str().to_owned(),
        kept.endpoint.as_str().to_owned(),
    ];
    for _ in 0..2 {
        place.devices.forget(&endpoints[0]).await.unwrap();
        assert_eq!(listed(&place.devices, &["ana"]).await, ["ana kept"]);
    }
    let found = place.devices.registered(&endpoints).await.unwrap();
    assert_eq!(
        found.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, true]
    );
}

async fn the_oldest_device_is_replaced_at_the_limit(kind: Kind) {
    let place = Place::with(kind, 3).await;
    let all: Vec<Device> = ["a", "b", "c", "d", "e"].map(device).into();
    // Later by at least a millisecond, the resolution of the stores.
    let subscribe = async |user: &str, device: &Device| {
        tokio::time::sleep(Duration::from_millis(3)).await;
        place.devices.subscribe(&by(user), device).await.unwrap()
    };
    for device in &all[..3] {
        subscribe("ana", device).await;
    }
    subscribe("eva", &all[4]).await;
    // The first was seen again: the second is the oldest.
    assert_eq!(subscribe("ana", &all[0]).await, Change::Unchanged);
    assert_eq!(subscribe("ana", &all[3]).await, Change::Added);
    assert_eq!(
        listed(&place.devices, &["ana", "eva"]).await,
        ["ana a", "ana c", "ana d", "eva e"]
    );
    // One that moves in needs room as well.
    assert_eq!(subscribe("ana", &all[4]).await, Change::Moved);
    assert_eq!(
        listed(&place.devices, &["ana", "eva"]).await,
        ["ana a", "ana d", "ana e"]
    );
    assert_eq!(place.devices.unsubscribe(&all[1]).await, Ok(false));
    // A smaller limit is kept from the next device on.
    let smaller = Place {
        options: gom_actors::push::DevicesOptions {
            per_user: 1,
            ..place.options.clone()
        },
        ..place
    };
    assert_eq!(
        smaller.another().await.subscribe(&by("ana"), &all[0]).await,
        Ok(Change::Unchanged)
    );
    assert_eq!(listed(&smaller.devices, &["ana"]).await, ["ana a"]);
}

async fn an_expired_device_is_sent_nothing(kind: Kind) {
    let place = Place::of(kind).await;
    let with_end = |name: &str, milliseconds| Device {
        expires: Some(in_milliseconds(milliseconds)),
        ..device(name)
    };
    let (soon, later) = (with_end("soon", 2_000), with_end("later", 3_600_000));
    let devices = &place.devices;
    for device in [
        &soon,
        &later,
        &Device {
            expires: Some(8_640_000_000_000_000),
            ..device("never")
        },
    ] {
        devices.subscribe(&by("ana"), device).await.unwrap();
    }
    assert_eq!(
        listed(devices, &["ana"]).await,
        ["ana later", "ana never", "ana soon"]
    );
    tokio::time::sleep(Duration::from_millis(2_050)).await;
    assert_eq!(listed(devices, &["ana"]).await, ["ana later", "ana never"]);
    let found = devices
        .registered(&[later.endpoint.as_str().to_owned()])
        .await
        .unwrap();
    assert_eq!(found[0].as_ref().unwrap().device, later);
    // It is removed at last.
    devices
        .subscribe(&by("eva"), &device("other"))
        .await
        .unwrap();
    assert_eq!(
        devices
            .registered(&[soon.endpoint.as_str().to_owned()])
            .await
            .unwrap(),
        [None]
    );
    // A device whose end is taken back has none.
    let endless = Device {
        expires: None,
        ..with_end("soon", 1)
    };
    devices
        .subscribe(
            &by("ana"),
            &Device {
                expires: Some(in_milliseconds(1_000)),
                ..endless.clone()
            },
        )
        .await
        .unwrap();
    devices.subscribe(&by("ana"), &endless).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(
        listed(devices, &["ana"]).await,
        ["ana later", "ana never", "ana soon"]
    );
}

async fn the_longest_endpoint_and_unusual_users_are_stored(kind: Kind) {
    let place = Place::of(kind).await;
    let user = "auth0|%:subs \u{1f32e}\n'\"\\ {user}";
    // Nothing that could be compressed.
    let mut text = "https://push.example/".to_owned();
    while text.len() < MAX_ENDPOINT_BYTES {
        text.push_str(&device("").keys.same(&keys()).to_string());
        text.push_str(&uuid::Uuid::new_v4().to_string());
    }
    text.truncate(MAX_ENDPOINT_BYTES);
    let long = Device {
        endpoint: PushEndpoint::parse(&text).unwrap(),
        ..device("")
    };
    assert_eq!(
        place.devices.subscribe(&by(user), &long).await,
        Ok(Change::Added)
    );
    let found = place.devices.of_users(&[user.to_owned()]).await.unwrap();
    assert_eq!(found, [(user.to_owned(), long.endpoint.clone())]);
    assert_eq!(
        place.devices.subscribe(&by("ana"), &long).await,
        Ok(Change::Moved)
    );
    assert!(
        place
            .devices
            .of_users(&[user.to_owned()])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(place.devices.unsubscribe(&long).await, Ok(true));
}

async fn devices_are_returned_in_the_requested_order(kind: Kind) {
    let place = Place::of(kind).await;
    let (names, users): (Vec<_>, Vec<_>) = (0..1_200)
        .map(|n| (format!("d{n}"), format!("u{n}")))
        .unzip();
    let one_key = keys();
    let all: Vec<Device> = names
        .iter()
        .map(|name| Device {
            keys: one_key.clone(),
            ..device(name)
        })
        .collect();
    for (chunk, users) in all.chunks(100).zip(users.chunks(100)) {
        let each = chunk
            .iter()
            .zip(users)
            .map(|(device, user)| async { place.devices.subscribe(&by(user), device).await });
        for change in futures::future::join_all(each).await {
            assert_eq!(change, Ok(Change::Added));
        }
    }
    let mut endpoints: Vec<String> = all
        .iter()
        .rev()
        .map(|device| device.endpoint.as_str().to_owned())
        .collect();
    endpoints.insert(600, "https://push.example/unknown".to_owned());
    let found = place.devices.registered(&endpoints).await.unwrap();
    assert_eq!(found.len(), 1_201);
    for (place, found) in found.iter().enumerate() {
        let expected = (place != 600).then_some(endpoints[place].as_str());
        assert_eq!(
            found.as_ref().map(|found| found.device.endpoint.as_str()),
            expected
        );
    }
    assert!(place.devices.registered(&[]).await.unwrap().is_empty());
    let mut of_all = place.devices.of_users(&users).await.unwrap();
    assert_eq!(of_all.len(), 1_200);
    of_all.sort_by_key(|(user, _)| user[1..].parse::<usize>().unwrap());
    assert!(
        of_all
            .iter()
            .zip(&all)
            .all(|((_, endpoint), device)| *endpoint == device.endpoint)
    );
}

async fn many_at_once_on_two_nodes_leave_one_owner_and_no_more_than_the_limit(kind: Kind) {
    let place = Place::with(kind, 5).await;
    let nodes = [place.devices.clone(), place.another().await];
    let devices: Vec<Device> = (0..8).map(|n| device(&format!("d{n}"))).collect();
    let users = ["ana", "eva"];
    let one = |n: usize| {
        let (node, user, device) = (&nodes[n % 2], users[(n / 2) % 2], &devices[(n * 7) % 8]);
        async move {
            if n.is_multiple_of(11) {
                node.unsubscribe(device).await.map(drop)
            } else {
                node.subscribe(&by(user), device).await.map(drop)
            }
        }
    };
    // Two waves: those that wait for each other's rows have to be answered within the patience of one.
    for wave in [0..80, 80..160] {
        for answer in futures::future::join_all(wave.map(one)).await {
            assert_eq!(answer, Ok(()));
        }
    }
    let all = listed(&place.devices, &users).await;
    let mut names: Vec<&str> = all
        .iter()
        .filter_map(|pair| pair.split(' ').nth(1))
        .collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before, "a device has two owners: {all:?}");
    for user in users {
        assert!(listed(&place.devices, &[user]).await.len() <= 5, "{all:?}");
    }
    for found in &all {
        let (user, name) = found.split_once(' ').unwrap();
        let endpoint = format!("https://push.example/send/{name}");
        let registered = place
            .devices
            .registered(&[endpoint])
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        assert_eq!(registered.user, user);
    }
}

fn in_milliseconds(milliseconds: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    i64::try_from(now).unwrap() + milliseconds
}
