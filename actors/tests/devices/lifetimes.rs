//! How devices go on in another subscription, and end with a session or with their user.

use gom_actors::push::{Change, Device, Renewal};

use crate::{Kind, Place, by, device, everywhere, keys, listed, within};

everywhere!(
    a_renewed_subscription_is_of_the_same_user_and_session,
    a_renewal_needs_the_old_keys,
    renewing_again_after_a_lost_answer_changes_nothing,
    a_late_renewal_leaves_a_device_to_the_user_who_has_logged_in_since,
    a_renewal_and_a_login_at_the_same_time_leave_the_device_to_the_login,
    a_renewed_device_takes_the_room_of_the_old_one,
    the_devices_of_a_session_are_forgotten_and_no_others,
    forgetting_all_devices_of_a_user_includes_those_renewed_meanwhile,
    one_device_is_forgotten_by_its_fingerprint,
    the_list_of_devices_contains_no_secret,
);

fn endpoint(device: &Device) -> String {
    device.endpoint.as_str().to_owned()
}

async fn a_renewed_subscription_is_of_the_same_user_and_session(kind: Kind) {
    let place = Place::of(kind).await;
    let devices = &place.devices;
    let (old, new, other) = (device("old"), device("new"), device("other"));
    devices.subscribe(&within("ana", "s1"), &old).await.unwrap();
    devices.subscribe(&by("eva"), &other).await.unwrap();
    assert_eq!(
        devices.renew(&old, &new).await,
        Ok(Renewal::Replaced(Change::Added))
    );
    assert_eq!(
        listed(devices, &["ana", "eva"]).await,
        ["ana new", "eva other"]
    );
    let found = devices
        .registered(&[endpoint(&old), endpoint(&new)])
        .await
        .unwrap();
    assert_eq!(found[0], None);
    assert_eq!(found[1].as_ref().unwrap().device, new);
    // The same endpoint with other keys, and one that somebody else had.
    let rekeyed = Device {
        keys: keys(),
        ..new.clone()
    };
    assert_eq!(
        devices.renew(&new, &rekeyed).await,
        Ok(Renewal::Replaced(Change::Renewed))
    );
    assert_eq!(
        devices.renew(&rekeyed, &rekeyed).await,
        Ok(Renewal::Replaced(Change::Unchanged))
    );
    let reused = Device {
        keys: keys(),
        ..other
    };
    assert_eq!(
        devices.renew(&rekeyed, &reused).await,
        Ok(Renewal::Replaced(Change::Moved))
    );
    assert_eq!(listed(devices, &["ana", "eva"]).await, ["ana other"]);
    assert_eq!(devices.forget_session("ana", "s1").await, Ok(1));
    assert!(listed(devices, &["ana"]).await.is_empty());
}

async fn a_renewal_needs_the_old_keys(kind: Kind) {
    let place = Place::of(kind).await;
    let (old, new) = (device("old"), device("new"));
    place.devices.subscribe(&by("ana"), &old).await.unwrap();
    let half = gom_actors::push::DeviceKeys::from_bytes(old.keys.p256dh(), &[0; 16]).unwrap();
    for wrong in [
        Device {
            keys: half,
            ..old.clone()
        },
        Device {
            keys: keys(),
            ..old.clone()
        },
        device("unknown"),
    ] {
        assert_eq!(
            place.devices.renew(&wrong, &new).await,
            Ok(Renewal::Unknown)
        );
    }
    assert_eq!(listed(&place.devices, &["ana"]).await, ["ana old"]);
}

async fn renewing_again_after_a_lost_answer_changes_nothing(kind: Kind) {
    let place = Place::of(kind).await;
    let (old, new) = (device("old"), device("new"));
    place.devices.subscribe(&by("ana"), &old).await.unwrap();
    for expected in [Renewal::Replaced(Change::Added), Renewal::Known] {
        assert_eq!(place.devices.renew(&old, &new).await, Ok(expected));
    }
    // The endpoint alone does not authorize a renewal.
    let guessed = Device {
        keys: keys(),
        ..new.clone()
    };
    assert_eq!(
        place.devices.renew(&old, &guessed).await,
        Ok(Renewal::Unknown)
    );
    assert_eq!(listed(&place.devices, &["ana"]).await, ["ana new"]);
}

async fn a_late_renewal_leaves_a_device_to_the_user_who_has_logged_in_since(kind: Kind) {
    let place = Place::of(kind).await;
    let devices = &place.devices;
    let (old, new) = (device("old"), device("new"));
    devices.subscribe(&within("ana", "s1"), &old).await.unwrap();
    devices.subscribe(&within("eva", "s2"), &new).await.unwrap();
    for _ in 0..2 {
        assert_eq!(devices.renew(&old, &new).await, Ok(Renewal::Known));
        assert_eq!(
            listed(devices, &["ana", "eva"]).await,
            ["eva new"],
            "the old one is of no use to anybody"
        );
    }
    let found = devices
        .registered(&[endpoint(&new)])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!((found.user.as_str(), &found.device), ("eva", &new));
    // It is of her session as well.
    assert_eq!(devices.forget_session("ana", "s1").await, Ok(0));
    assert_eq!(devices.forget_session("eva", "s2").await, Ok(1));
}

async fn a_renewal_and_a_login_at_the_same_time_leave_the_device_to_the_login(kind: Kind) {
    let place = Place::of(kind).await;
    let other = place.another().await;
    for round in 0..20 {
        let (old, new) = (
            device(&format!("old{round}")),
            device(&format!("new{round}")),
        );
        place.devices.subscribe(&by("ana"), &old).await.unwrap();
        let eva = by("eva");
        let (renewed, subscribed) =
            tokio::join!(place.devices.renew(&old, &new), other.subscribe(&eva, &new));
        // Whichever was the first, the other one meets it.
        let met = (renewed.unwrap(), subscribed.unwrap());
        let expected = [
            (Renewal::Known, Change::Added),
            (Renewal::Replaced(Change::Added), Change::Moved),
        ];
        assert!(expected.contains(&met), "round {round}: {met:?}");
        let found = place
            .devices
            .registered(&[endpoint(&new), endpoint(&old)])
            .await
            .unwrap();
        assert_eq!(
            found[0].as_ref().unwrap().user,
            "eva",
            "round {round}: {met:?}"
        );
        assert_eq!(found[1], None);
    }
}

async fn a_renewed_device_takes_the_room_of_the_old_one(kind: Kind) {
    let place = Place::with(kind, 2).await;
    let (old, new) = (device("old"), device("new"));
    for device in [&device("first"), &old] {
        place.devices.subscribe(&by("ana"), device).await.unwrap();
    }
    assert_eq!(
        place.devices.renew(&old, &new).await,
        Ok(Renewal::Replaced(Change::Added))
    );
    assert_eq!(
        listed(&place.devices, &["ana"]).await,
        ["ana first", "ana new"]
    );
}

async fn the_devices_of_a_session_are_forgotten_and_no_others(kind: Kind) {
    let place = Place::of(kind).await;
    let devices = &place.devices;
    let (phone, moved) = (device("phone"), device("moved"));
    for (by, device) in [
        (within("ana", "s1"), &phone),
        (within("ana", "s2"), &device("laptop")),
        (by("ana"), &device("inherited")),
        (within("eva", "s1"), &device("hers")),
        (within("ana", "s1"), &moved),
        // Subscribed again after another login: it is of the session that was the last to do so.
        (within("ana", "s2"), &moved),
    ] {
        devices.subscribe(&by, device).await.unwrap();
    }
    assert_eq!(devices.forget_session("ana", "s1").await, Ok(1));
    assert_eq!(devices.forget_session("ana", "s1").await, Ok(0));
    assert_eq!(
        listed(devices, &["ana", "eva"]).await,
        ["ana inherited", "ana laptop", "ana moved", "eva hers"]
    );
    assert_eq!(
        devices.registered(&[endpoint(&phone)]).await.unwrap(),
        [None]
    );
    assert_eq!(devices.forget_all("ana").await, Ok(3));
    assert_eq!(listed(devices, &["ana", "eva"]).await, ["eva hers"]);
}

async fn forgetting_all_devices_of_a_user_includes_those_renewed_meanwhile(kind: Kind) {
    let place = Place::of(kind).await;
    let nodes = [place.devices.clone(), place.another().await];
    for round in 0..10 {
        let chain: Vec<Device> = (0..6).map(|n| device(&format!("r{round}-{n}"))).collect();
        nodes[0].subscribe(&by("ana"), &chain[0]).await.unwrap();
        let renewing = async {
            for pair in chain.windows(2) {
                nodes[0].renew(&pair[0], &pair[1]).await.unwrap();
            }
        };
        let (forgotten, ()) = tokio::join!(nodes[1].forget_all("ana"), renewing);
        assert_eq!(forgotten, Ok(1));
        assert!(
            listed(&place.devices, &["ana"]).await.is_empty(),
            "round {round}"
        );
    }
}

async fn one_device_is_forgotten_by_its_fingerprint(kind: Kind) {
    let place = Place::of(kind).await;
    let (phone, laptop) = (device("phone"), device("laptop"));
    for device in [&phone, &laptop] {
        place.devices.subscribe(&by("ana"), device).await.unwrap();
    }
    let fingerprint = phone.endpoint.fingerprint();
    assert_eq!(
        place.devices.forget_one("eva", &fingerprint).await,
        Ok(false),
        "not hers"
    );
    assert_eq!(
        place.devices.forget_one("ana", &fingerprint).await,
        Ok(true)
    );
    assert_eq!(
        place.devices.forget_one("ana", &fingerprint).await,
        Ok(false)
    );
    assert_eq!(listed(&place.devices, &["ana"]).await, ["ana laptop"]);
}

async fn the_list_of_devices_contains_no_secret(kind: Kind) {
    let place = Place::of(kind).await;
    let secret = Device {
        expires: Some(8_640_000_000_000_000),
        ..device("secret")
    };
    place
        .devices
        .subscribe(&within("ana", "s1"), &secret)
        .await
        .unwrap();
    let list = place.devices.list("ana").await.unwrap();
    let shown = format!("{list:?}");
    assert!(
        !shown.contains("secret") && !shown.contains("send"),
        "{shown}"
    );
    let found = &list[0];
    assert_eq!(
        (list.len(), &found.fingerprint),
        (1, &secret.endpoint.fingerprint())
    );
    assert_eq!(found.origin, "https://push.example");
    assert_eq!(
        (found.session.as_deref(), found.vapid_key.as_deref()),
        (Some("s1"), Some("a key"))
    );
    assert!(found.subscribed.is_some() && found.expires.is_some());
    assert_eq!(place.devices.list("eva").await.unwrap(), []);
}
