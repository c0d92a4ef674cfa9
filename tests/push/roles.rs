//! Processes that share the work, side by side and one after the other.

use std::time::{Duration, Instant};

use gom_test_support::TestRedis;

use crate::world::World;

#[tokio::test]
async fn what_is_written_through_an_api_process_reaches_the_device_through_a_worker() {
    let mut world = World::open_as("api").await;
    world.seller("seller", &["customer"]).await;
    world.device("seller", "/phone").await;
    world.order("first", "seller", "customer").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let waiting: i64 = world.tables.query_one("select count(*) from gom.job", &[]).await.unwrap().get(0);
    assert_eq!((waiting, world.service.received_at("/phone").len()), (1, 0), "it waits for a worker");

    world.also("worker").await;
    world.quiet().await;
    assert_eq!(world.told_of("/phone", "first", "create"), 1, "{:?}", world.ledger().await);
    world.order("second", "seller", "customer").await.unwrap();
    world.quiet().await;
    assert_eq!(world.told_of("/phone", "second", "create"), 1);
    assert_eq!(world.service.received_at("/phone").len(), 2, "nothing twice");
}

/// A worker that waited for its next look would find the order after a minute.
#[tokio::test]
async fn a_worker_is_woken_by_what_an_api_process_commits() {
    for redis in [None, Some(TestRedis::start())] {
        let mut world = World::open_as("api").await;
        if let Some(redis) = &redis {
            world.set("REDIS_HOST", "127.0.0.1");
            world.set("REDIS_PORT", &redis.port().to_string());
        }
        world.set("GOM__PUSH__POLL_INTERVAL", "60000");
        world.restart().await;
        world.seller("seller", &["customer"]).await;
        world.also("worker").await;
        // The first look at its start is none of ours.
        world.order("first", "seller", "customer").await.unwrap();
        world.until("select count(*) = 1 from gom.notification").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        for number in 0..5 {
            world.order(&format!("next-{number}"), "seller", "customer").await.unwrap();
            let composed = format!("select count(*) = {} from gom.notification", number + 2);
            world.until(&composed).await;
        }
    }
}

/// Whoever comes next need not wait for a lease that was left behind.
#[tokio::test]
async fn a_server_that_stops_leaves_no_lease() {
    let mut world = World::open().await;
    world.set("GOM__PUSH__LEASE", "60000");
    world.seller("seller", &["customer"]).await;
    world.device("seller", "/phone").await;
    for round in 0..8_u64 {
        world.restart().await;
        let orders: Vec<String> = (0..12).map(|number| format!("o{round}x{number}")).collect();
        let written = orders.iter().map(|order| world.order(order, "seller", "customer"));
        futures::future::join_all(written).await;
        tokio::time::sleep(Duration::from_millis(7 * round)).await;
        world.stop();
        let leased = "select (select count(*) from gom.job where lease_until > now())
            + (select count(*) from gom.delivery where state = 'SENDING')";
        let left: i64 = world.tables.query_one(leased, &[]).await.unwrap().get(0);
        assert_eq!(left, 0, "round {round}");
    }
    world.serve("").await;
    let begun = Instant::now();
    world.quiet().await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    for order in (0..8).flat_map(|round| (0..12).map(move |number| format!("o{round}x{number}"))) {
        assert_eq!(world.told_of("/phone", &order, "create"), 1, "{order}");
    }
}
