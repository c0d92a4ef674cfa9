//! What each thing that a push service can do becomes.

use std::time::{Duration, Instant, SystemTime};

use gom_actors::push::{Message, Outcome};
use gom_test_support::{Behaviour, PushService};

use crate::world::{World, message};

/// Whatever is in the way: users read it.
const UNREACHED: &str = "the push service cannot be reached";

async fn outcome(world: &World, path: &str, behaviour: Behaviour) -> Outcome {
    world.service.script(path, [behaviour]);
    world.sender.send(&world.device(path), &message("{}")).await
}

#[tokio::test]
async fn a_message_arrives_with_its_headers() {
    for http2 in [true, false] {
        let world = World::with(http2, |_| {});
        let outcome = world
            .sender
            .send(&world.device("/push/one"), &message("hello"))
            .await;
        assert_eq!(outcome, Outcome::Delivered { status: 201 });
        let received = world.service.received_at("/push/one");
        assert_eq!(received.len(), 1);
        let header = |name| received[0].header(name);
        assert_eq!(header("ttl"), Some("3600"));
        assert_eq!(header("urgency"), Some("high"));
        assert_eq!(header("topic"), Some("order-1"));
        assert_eq!(header("content-encoding"), Some("aes128gcm"));
        assert_eq!(header("content-type"), Some("application/octet-stream"));
        assert!(header("authorization").is_some_and(|text| text.starts_with("vapid t=ey")));
        assert_eq!(header("cookie"), None);
        // Salt, record size, length of the key, the key: RFC 8188 and 8291.
        let body = &received[0].body;
        assert_eq!((body[20], body[21]), (65, 4));
        assert!(!body.windows(5).any(|part| part == b"hello"));
    }
}

#[tokio::test]
async fn every_http_status_maps_to_an_outcome() {
    let world = World::new();
    for status in [200, 201, 202, 204] {
        let it = outcome(
            &world,
            &format!("/good/{status}"),
            Behaviour::status(status),
        )
        .await;
        assert_eq!(it, Outcome::Delivered { status });
    }
    for status in [404, 410] {
        let it = outcome(
            &world,
            &format!("/gone/{status}"),
            Behaviour::status(status),
        )
        .await;
        assert_eq!(it, Outcome::Gone { status });
    }
    assert_eq!(
        outcome(&world, "/large", Behaviour::Limit(50)).await,
        Outcome::TooLarge
    );
    for status in [406, 408, 500, 502, 503] {
        let it = outcome(
            &world,
            &format!("/later/{status}"),
            Behaviour::status(status),
        )
        .await;
        assert!(
            matches!(it, Outcome::Later { status: Some(s), retry_after: None, .. } if s == status),
            "{it:?}"
        );
    }
    let refusal = Behaviour::answer(403, &[], "the token's key\r\nis not the subscription's");
    assert_eq!(
        outcome(&world, "/unauthorized", refusal).await,
        Outcome::Unauthorized {
            status: 403,
            reason: "403 Forbidden: the token's key is not the subscription's".into()
        }
    );
    let refusal = Behaviour::answer(400, &[], "no such\r\nheader");
    assert_eq!(
        outcome(&world, "/refused", refusal).await,
        Outcome::Refused {
            status: Some(400),
            reason: "400 Bad Request: no such header".into()
        }
    );
}

#[tokio::test]
async fn retry_after_of_a_push_service_is_returned() {
    let world = World::new();
    let Outcome::Later {
        status: Some(429),
        retry_after,
        ..
    } = outcome(&world, "/seconds", Behaviour::retry_after(17)).await
    else {
        panic!("later")
    };
    assert_eq!(retry_after, Some(Duration::from_secs(17)));
    let date = Behaviour::retry_at(SystemTime::now() + Duration::from_secs(100));
    let Outcome::Later {
        status: Some(429),
        retry_after,
        ..
    } = outcome(&world, "/date", date).await
    else {
        panic!("later")
    };
    let seconds = retry_after.unwrap().as_secs();
    assert!((95..=100).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_message_without_an_answer_is_retried_later() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    for http2 in [true, false] {
        let world = World::with(http2, |options| options.timeout = TIMEOUT);
        for (path, behaviour) in [
            ("/hang/x", Behaviour::Hang),
            ("/slow/x", Behaviour::Slow(TIMEOUT * 2)),
            ("/reset/x", Behaviour::Reset),
            ("/garbage/x", Behaviour::Garbage),
        ] {
            let begun = Instant::now();
            let it = outcome(&world, path, behaviour).await;
            let Outcome::Later {
                status: None,
                retry_after: None,
                reason,
            } = it
            else {
                panic!("{path}: {it:?}")
            };
            assert_eq!(reason, UNREACHED, "{path}");
            assert!(begun.elapsed() < TIMEOUT + Duration::from_secs(5), "{path}");
            // The next message is not hurt.
            let next = world
                .sender
                .send(&world.device("/push/next"), &message("{}"))
                .await;
            assert_eq!(next, Outcome::Delivered { status: 201 }, "after {path}");
        }
        let slow = outcome(&world, "/slow/y", Behaviour::Slow(TIMEOUT / 4)).await;
        assert_eq!(slow, Outcome::Delivered { status: 201 });
    }
}

#[tokio::test]
async fn an_unreachable_push_service_is_retried_later() {
    let world = World::new();
    let device = world.device("/push/secret");
    drop(world.service);
    let it = world.sender.send(&device, &message("{}")).await;
    let Outcome::Later {
        status: None,
        reason,
        ..
    } = it
    else {
        panic!("{it:?}")
    };
    assert_eq!(reason, UNREACHED);
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused() {
    let other = PushService::start();
    let world = World::with(true, |options| {
        options.ca_file = Some(other.ca_file().to_owned())
    });
    let it = world
        .sender
        .send(&world.device("/push/one"), &message("{}"))
        .await;
    let Outcome::Later {
        status: None,
        reason,
        ..
    } = it
    else {
        panic!("{it:?}")
    };
    assert_eq!(reason, UNREACHED);
    assert_eq!(world.service.count(), 0);
}

#[tokio::test]
async fn connections_are_reused() {
    for http2 in [true, false] {
        let world = World::with(http2, |_| {});
        for number in 0..50 {
            // Answers with and without a text.
            let path = if number % 2 == 0 {
                "/push/x".to_owned()
            } else {
                "/status/500/x".to_owned()
            };
            world
                .sender
                .send(&world.device(&path), &message("{}"))
                .await;
        }
        assert_eq!(
            (world.service.count(), world.service.connections()),
            (50, 1)
        );
    }
}

#[tokio::test]
async fn an_endless_answer_is_abandoned() {
    let world = World::with(false, |_| {});
    let endless = Behaviour::answer(400, &[], &"no ".repeat(1_000_000));
    let Outcome::Refused {
        status: Some(400),
        reason,
    } = outcome(&world, "/long", endless).await
    else {
        panic!("refused")
    };
    assert!(reason.len() < 300, "{}", reason.len());
}

#[tokio::test]
async fn invalid_messages_are_not_sent() {
    let world = World::new();
    let device = world.device("/push/one");
    let limit = world.sender.limit();
    assert_eq!(limit, 3_052);
    assert_eq!(
        world
            .sender
            .send(&device, &message(vec![b'x'; limit + 1]))
            .await,
        Outcome::TooLarge
    );
    for topic in ["", "with space", "ünlike", &"x".repeat(33)] {
        let message = Message {
            topic: Some(topic.to_owned()),
            ..message("{}")
        };
        let it = world.sender.send(&device, &message).await;
        assert!(
            matches!(it, Outcome::Refused { status: None, .. }),
            "{topic}: {it:?}"
        );
    }
    assert_eq!(world.service.count(), 0);
    assert_eq!(
        world
            .sender
            .send(&device, &message(vec![b'x'; limit]))
            .await,
        Outcome::Delivered { status: 201 }
    );
}
