//! Refusals of a push service for one device, for all, or for this server; and what waits meanwhile.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gom_test_support::Behaviour;

use crate::world::World;

const HOUR: u64 = 3_600;

async fn count(world: &World, condition: &str) -> i64 {
    let sql = format!("select count(*) from gom.delivery where {condition}");
    world.tables.query_one(&sql, &[]).await.unwrap().get(0)
}

#[actix_web::test]
async fn messages_wait_while_a_push_service_refuses_the_servers_keys_and_are_sent_afterwards() {
    let world = World::open().await;
    world.seller("ana", &["bea", "cid"]).await;
    let devices = [("ana", "/ana"), ("bea", "/bea"), ("cid", "/cid")];
    for (user, path) in devices {
        world.device(user, path).await;
        world
            .service
            .script(path, [Behaviour::status(401), Behaviour::status(403)]);
    }
    world.order("o1", "ana", "bea").await.unwrap();
    world.order("o2", "ana", "cid").await.unwrap();
    let begun = Instant::now();
    while world.readiness().await["push"]["refusedBy"] != 1 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{}",
            world.readiness().await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let readiness = world.readiness().await;
    assert_eq!(
        readiness["status"], "ready",
        "a stranger's host could say the same: {readiness}"
    );
    let doctor = world.run(&["doctor"]);
    assert!(
        doctor.contains("does not accept who this server says it is"),
        "{doctor}"
    );
    world.service.wait_for(6).await;
    assert_eq!(
        count(&world, "state not in ('WAITING', 'SENDING')").await,
        0,
        "{:?}",
        world.ledger().await
    );

    for (_, path) in devices {
        world.service.script(path, [Behaviour::status(201)]);
    }
    world.quiet().await;
    assert_eq!(
        count(&world, "state = 'DELIVERED'").await,
        4,
        "{:?}",
        world.ledger().await
    );
    assert_eq!(world.readiness().await["push"]["refusedBy"], 0);
    let received = world.service.received();
    let refused: Vec<_> = received
        .iter()
        .filter(|request| request.status != Some(201))
        .collect();
    let tokens: HashSet<_> = refused
        .iter()
        .map(|request| request.header("authorization"))
        .collect();
    assert!(tokens.len() > 1, "what was refused is not offered again");
}

#[actix_web::test]
async fn a_rate_limit_for_one_device_does_not_pause_its_push_service() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.service.script("/bea", [Behaviour::retry_after(HOUR)]);
    world.device("bea", "/bea").await;
    world.order("o1", "ana", "bea").await.unwrap();
    world
        .until("select count(*) >= 1 from gom.delivery where status = 429")
        .await;
    world.device("ana", "/ana").await;
    world.order("o2", "ana", "bea").await.unwrap();
    world
        .until("select count(*) >= 1 from gom.delivery where state = 'DELIVERED'")
        .await;
    assert_eq!(world.notifications_of("/ana", "o2", "create"), 1);
    world
        .until("select count(*) >= 1 from gom.delivery where reason like '%fewer messages for this device'")
        .await;
    assert_eq!(
        world.service.received_at("/bea").len(),
        1,
        "it is not asked again before its time"
    );
}

#[actix_web::test]
async fn after_a_pause_one_message_probes_a_device_first() {
    const ORDERS: usize = 8;
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    world.service.script("/ana", [Behaviour::retry_after(1)]);
    let orders: Vec<String> = (0..ORDERS).map(|number| format!("o{number}")).collect();
    let written = orders.iter().map(|order| world.order(order, "ana", "bea"));
    futures::future::join_all(written).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let posts = world.service.received_at("/ana").len();
    assert!(
        posts <= ORDERS + 5,
        "{posts} attempts in some four seconds, of which each begins with one"
    );
    world.service.script("/ana", [Behaviour::status(201)]);
    world.quiet().await;
    for order in &orders {
        assert!(
            world.notifications_of("/ana", order, "create") >= 1,
            "{:?}",
            world.ledger().await
        );
    }
}

#[actix_web::test]
async fn a_new_message_is_sent_while_another_push_service_is_paused() {
    let world = World::open_where(&[("GOM__PUSH__POLL_INTERVAL", "30000")]).await;
    world.seller("ana", &["bea"]).await;
    world.service.script(
        "/away",
        [Behaviour::answer(503, &[("retry-after", "3600")], "")],
    );
    world.device_at("bea", &world.elsewhere("/away")).await;
    world.order("o1", "ana", "bea").await.unwrap();
    world
        .until("select count(*) >= 1 from gom.delivery where status = 503")
        .await;
    world.device("ana", "/ana").await;
    let begun = Instant::now();
    for order in ["o2", "o3", "o4"] {
        world.order(order, "ana", "bea").await.unwrap();
        while world.notifications_of("/ana", order, "create") == 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it waits for the next look"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(world.service.received_at("/away").len(), 1);
}

#[actix_web::test]
async fn a_message_is_retried_until_it_expires() {
    let world = World::open_where(&[("GOM__PUSH__ATTEMPTS", "2"), ("GOM__PUSH__RETRY", "1")]).await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    let failures = (0..7).map(|number| Behaviour::status(if number % 2 == 0 { 500 } else { 503 }));
    world
        .service
        .script("/ana", failures.chain([Behaviour::status(201)]));
    world.order("o", "ana", "bea").await.unwrap();
    world.quiet().await;
    assert_eq!(world.ledger().await, ["/ana DELIVERED 8 201"]);
}

#[actix_web::test]
async fn a_message_that_crashes_servers_is_given_up() {
    let settings = [
        ("GOM__PUSH__ATTEMPTS", "1"),
        ("GOM__PUSH__LEASE", "1000"),
        ("GOM__PUSH__TIMEOUT", "300"),
    ];
    let mut world = World::open_where(&settings).await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    world.kill();
    world.serve("sent").await;
    let _ = world.order("o", "ana", "bea").await;
    for _ in 0..2 {
        assert!(world.dies().await);
        world.kill();
        let again = count(&world, "lost = 1").await == 0;
        world.serve(if again { "sent" } else { "" }).await;
        if !again {
            break;
        }
    }
    world.quiet().await;
    assert_eq!(
        count(&world, "state = 'FAILED' and lost = 2").await,
        1,
        "{:?}",
        world.ledger().await
    );
    assert_eq!(world.notifications_of("/ana", "o", "create"), 2);
}

#[actix_web::test]
async fn a_device_that_is_unsubscribed_while_its_message_waits_is_not_sent_it() {
    let world = World::open_where(&[("GOM__PUSH__PER_ORIGIN", "1")]).await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/slow/1000/ana").await;
    world.device("bea", "/slow/1000/bea").await;
    world.order("o", "ana", "bea").await.unwrap();
    world
        .until("select count(*) >= 1 from gom.delivery where state = 'SENDING'")
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world
        .tables
        .execute("delete from gom.push_device", &[])
        .await
        .unwrap();
    world.quiet().await;
    let states = "select string_agg(state, ' ' order by state) from gom.delivery";
    let states: String = world.tables.query_one(states, &[]).await.unwrap().get(0);
    assert_eq!(
        (states.as_str(), world.service.count()),
        ("DELIVERED GONE", 1)
    );
}
