//! F10: no subscription makes the server knock at a door of its own network.

use std::net::IpAddr;
use std::sync::Arc;

use gom_actors::push::{Outcome, PushEndpoint, Unreachable};
use gom_test_support::Behaviour;

use crate::world::{Everywhere, Receiver, World, message};

fn refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { status: None, reason } if *reason == Unreachable::Inside.to_string())
}

#[tokio::test]
async fn f10_addresses_inside_are_not_connected_to() {
    let world = World::with(true, |options| options.inside.clear());
    let port = world.service.port();
    for host in [
        "localhost",
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0",
    ] {
        let url = format!("https://{host}:{port}/push/one");
        let device = Receiver::new().device(&url);
        assert_eq!(
            world.sender.allows(&device.endpoint),
            Err(Unreachable::Inside),
            "{host}"
        );
        let outcome = world.sender.send(&device, &message("{}")).await;
        assert!(refused(&outcome), "{host}: {outcome:?}");
    }
    assert_eq!(world.service.connections(), 0);
}

#[tokio::test]
async fn f10_names_of_inside_addresses_are_answered_like_unknown_names() {
    for address in [
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "169.254.169.254",
        "::ffff:127.0.0.1",
        "fd00:ec2::254",
    ] {
        let address: IpAddr = address.parse().unwrap();
        let world = World::with(true, |options| {
            options.inside.clear();
            options.names = Arc::new(Everywhere(vec![address], 0));
        });
        let device = Receiver::new().device(&format!(
            "https://push.test:{}/push/one",
            world.service.port()
        ));
        assert_eq!(
            world.sender.allows(&device.endpoint),
            Ok(()),
            "nothing is known of the name yet"
        );
        let outcome = world.sender.send(&device, &message("{}")).await;
        let nowhere = World::with(true, |options| {
            options.names = Arc::new(Everywhere(vec![], 0))
        });
        assert_eq!(
            outcome,
            nowhere.sender.send(&device, &message("{}")).await,
            "{address}"
        );
        let Outcome::Later {
            status: None,
            reason,
            ..
        } = outcome
        else {
            panic!("{address}: {outcome:?}")
        };
        assert_eq!(reason, "the push service cannot be reached", "{address}");
        assert_eq!(world.service.connections(), 0);
    }
}

#[tokio::test]
async fn f10_only_port_443_is_connected_to() {
    let world = World::with(true, |options| options.any_port = false);
    let device = world.device("/push/one");
    assert_eq!(
        world.sender.allows(&device.endpoint),
        Err(Unreachable::Port)
    );
    let outcome = world.sender.send(&device, &message("{}")).await;
    assert!(
        matches!(outcome, Outcome::Refused { status: None, .. }),
        "{outcome:?}"
    );
    assert_eq!(world.service.connections(), 0);
}

#[tokio::test]
async fn f10_only_permitted_addresses_of_a_name_are_used() {
    // The first is inside and not granted; it would be tried first.
    let addresses = ["10.1.2.3", "127.0.0.1"].map(|address| address.parse().unwrap());
    let world = World::with(true, |options| {
        options.names = Arc::new(Everywhere(addresses.to_vec(), 0))
    });
    let device = Receiver::new().device(&format!(
        "https://push.test:{}/push/one",
        world.service.port()
    ));
    let outcome = world.sender.send(&device, &message("{}")).await;
    assert_eq!(outcome, Outcome::Delivered { status: 201 });
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let world = World::new();
    let target = world.service.endpoint("/secret/inside");
    for status in [301, 302, 303, 307, 308] {
        let path = format!("/moved/{status}");
        world.service.script(
            &path,
            [Behaviour::answer(status, &[("location", &target)], "")],
        );
        let outcome = world
            .sender
            .send(&world.device(&path), &message("{}"))
            .await;
        assert!(
            matches!(outcome, Outcome::Refused { status: Some(s), .. } if s == status),
            "{outcome:?}"
        );
    }
    assert_eq!(world.service.count(), 5);
    assert!(world.service.received_at("/secret/inside").is_empty());
}

#[tokio::test]
async fn only_allowed_hosts_are_sent_to() {
    let world = World::with(true, |options| {
        options.allowed_hosts = vec!["*.push.test".into()];
        options.names = Everywhere::local(0);
    });
    let port = world.service.port();
    let send = async |host: &str| {
        let device = Receiver::new().device(&format!("https://{host}:{port}/push/one"));
        world.sender.send(&device, &message("{}")).await
    };
    assert_eq!(
        send("eu.push.test").await,
        Outcome::Delivered { status: 201 }
    );
    for host in ["push.test", "localhost", "127.0.0.1"] {
        let endpoint = PushEndpoint::parse(&format!("https://{host}:{port}/push/one")).unwrap();
        assert_eq!(world.sender.allows(&endpoint), Err(Unreachable::NotAllowed));
        assert!(matches!(
            send(host).await,
            Outcome::Refused { status: None, .. }
        ));
    }
    assert_eq!(world.service.count(), 1);
}
