//! Devices that were subscribed for another pair of VAPID keys.

use std::time::Duration;

use gom_actors::push::{Change, Device, OTHER_KEYS_KEPT, Renewal};

use crate::{Kind, Place, by, device, everywhere, keys, listed};

everywhere!(
    devices_of_another_key_are_left_out_and_are_back_with_it,
    devices_of_another_key_are_forgotten_after_their_time,
    a_subscription_for_another_key_stays_what_it_is_until_the_browser_makes_a_new_one,
    without_a_key_all_devices_are_kept_as_they_are,
);

async fn devices_of_another_key_are_left_out_and_are_back_with_it(kind: Kind) {
    let place = Place::of(kind).await;
    let old = device("old");
    place.devices.subscribe(&by("ana"), &old).await.unwrap();
    let changed = place.with_key(Some("another key"), OTHER_KEYS_KEPT).await;
    changed.subscribe(&by("ana"), &device("new")).await.unwrap();
    let endpoints = [old.endpoint.as_str().to_owned()];
    for _ in 0..2 {
        assert_eq!(listed(&changed, &["ana"]).await, ["ana new"]);
        assert_eq!(
            changed.registered(&endpoints).await.unwrap(),
            [None],
            "queued before the change"
        );
    }
    assert_eq!(changed.list("ana").await.unwrap().len(), 2);
    // The change was a mistake, and was put right.
    assert_eq!(listed(&place.devices, &["ana"]).await, ["ana old"]);
    assert!(place.devices.registered(&endpoints).await.unwrap()[0].is_some());
}

async fn devices_of_another_key_are_forgotten_after_their_time(kind: Kind) {
    let place = Place::of(kind).await;
    for n in 0..3 {
        place
            .devices
            .subscribe(&by("ana"), &device(&format!("old{n}")))
            .await
            .unwrap();
    }
    let changed = place.with_key(Some("another key"), Duration::ZERO).await;
    changed.subscribe(&by("ana"), &device("new")).await.unwrap();
    assert_eq!(listed(&changed, &["ana"]).await, ["ana new"]);
    assert_eq!(changed.list("ana").await.unwrap().len(), 1);
    assert!(listed(&place.devices, &["ana"]).await.is_empty());
}

async fn a_subscription_for_another_key_stays_what_it_is_until_the_browser_makes_a_new_one(
    kind: Kind,
) {
    let place = Place::of(kind).await;
    let old = device("old");
    place.devices.subscribe(&by("ana"), &old).await.unwrap();
    let changed = place.with_key(Some("another key"), OTHER_KEYS_KEPT).await;
    assert_eq!(
        changed.subscribe(&by("ana"), &old).await,
        Ok(Change::OtherKey)
    );
    let current = device("current");
    changed.subscribe(&by("ana"), &current).await.unwrap();
    assert_eq!(changed.renew(&current, &old).await, Ok(Renewal::Refused));
    assert_eq!(listed(&changed, &["ana"]).await, ["ana current"]);
    // The push service gave the same endpoint to another subscription.
    let again = Device {
        keys: keys(),
        ..old.clone()
    };
    assert_eq!(
        changed.renew(&old, &again).await,
        Ok(Renewal::Replaced(Change::Renewed))
    );
    assert_eq!(listed(&changed, &["ana"]).await, ["ana current", "ana old"]);
}

async fn without_a_key_all_devices_are_kept_as_they_are(kind: Kind) {
    let place = Place::of(kind).await;
    let (one, two) = (device("one"), device("two"));
    place.devices.subscribe(&by("ana"), &one).await.unwrap();
    let off = place.with_key(None, Duration::ZERO).await;
    assert_eq!(off.subscribe(&by("ana"), &one).await, Ok(Change::Unchanged));
    off.subscribe(&by("ana"), &two).await.unwrap();
    assert_eq!(listed(&off, &["ana"]).await, ["ana one", "ana two"]);
    // The second is of no known key, and counts until one is known.
    let changed = place.with_key(Some("another key"), OTHER_KEYS_KEPT).await;
    assert_eq!(listed(&changed, &["ana"]).await, ["ana two"]);
    assert_eq!(
        changed.subscribe(&by("ana"), &two).await,
        Ok(Change::Unchanged)
    );
    assert_eq!(listed(&place.devices, &["ana"]).await, ["ana one"]);
}
