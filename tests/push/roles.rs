//! Processes that share the work, side by side and one after the other.

use std::time::{Duration, Instant};

use gom_test_support::TestRedis;

use crate::world::{AUTH, P256DH, World};

#[tokio::test]
async fn what_is_written_through_an_api_process_reaches_the_device_through_a_worker() {
    let mut world = World::open_as("api").await;
    world.seller("seller", &["customer"]).await;
    world.device("seller", "/phone").await;
    world.order("first", "seller", "customer").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let waiting: i64 = world
        .tables
        .query_one("select count(*) from gom.job", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        (waiting, world.service.received_at("/phone").len()),
        (1, 0),
        "it waits for a worker"
    );

    world.also("worker").await;
    world.quiet().await;
    assert_eq!(
        world.notifications_of("/phone", "first", "create"),
        1,
        "{:?}",
        world.ledger().await
    );
    world.order("second", "seller", "customer").await.unwrap();
    world.quiet().await;
    assert_eq!(world.notifications_of("/phone", "second", "create"), 1);
    assert_eq!(
        world.service.received_at("/phone").len(),
        2,
        "nothing twice"
    );
}

/// Of a worker that waited for its next poll, at most every third order would be found in time.
#[tokio::test]
async fn a_commit_of_an_api_process_wakes_a_worker() {
    let redis = TestRedis::start();
    let port = redis.port().to_string();
    let settings = [("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", port.as_str())];
    orders_arrive_in_time(&settings, Some(&redis)).await;
}

/// Without Redis nothing wakes it: it polls for jobs every 50 ms, however seldom it polls for all else.
#[tokio::test]
async fn a_worker_without_redis_polls_for_jobs() {
    orders_arrive_in_time(&[], None).await;
}

async fn orders_arrive_in_time(settings: &[(&'static str, &str)], redis: Option<&TestRedis>) {
    let mut world = World::open_as("api").await;
    for (variable, value) in settings {
        world.set(variable, value);
    }
    world.set("GOM__PUSH__POLL_INTERVAL", "60000");
    world.restart().await;
    world.seller("seller", &["customer"]).await;
    device(&world, redis).await;
    world.also("worker").await;
    // The first poll at its start does not count.
    world.order("first", "seller", "customer").await.unwrap();
    let arrived = async |count| {
        let arrived =
            tokio::time::timeout(Duration::from_secs(20), world.service.wait_for(count)).await;
        arrived.expect("the order waits for the worker's next look");
    };
    arrived(1).await;
    for number in 0..5_u64 {
        let order = format!("next-{number}");
        world.order(&order, "seller", "customer").await.unwrap();
        arrived(2 + number).await;
        assert_eq!(world.notifications_of("/phone", &order, "create"), 1);
    }
}

/// The seller's, where devices are kept.
async fn device(world: &World, redis: Option<&TestRedis>) {
    use redis::Commands;
    let Some(redis) = redis else {
        return world.device("seller", "/phone").await;
    };
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/1", redis.port())).unwrap();
    let mut devices = client.get_connection().unwrap();
    let endpoint = world.service.endpoint("/phone");
    let fields = [
        ("user", "seller"),
        ("p256dh", P256DH),
        ("auth", AUTH),
        ("expirationTime", ""),
        ("seen", "0"),
    ];
    let () = devices
        .hset_multiple(format!("sub:{endpoint}"), &fields)
        .unwrap();
    let () = devices.sadd("user:seller:subs", endpoint).unwrap();
}

/// The next server does not wait for the lease of a stopped one.
#[tokio::test]
async fn a_server_that_stops_leaves_no_lease() {
    let mut world = World::open().await;
    world.set("GOM__PUSH__LEASE", "60000");
    world.seller("seller", &["customer"]).await;
    world.device("seller", "/phone").await;
    for round in 0..8_u64 {
        world.restart().await;
        let orders: Vec<String> = (0..12).map(|number| format!("o{round}x{number}")).collect();
        let written = orders
            .iter()
            .map(|order| world.order(order, "seller", "customer"));
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
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    for order in (0..8).flat_map(|round| (0..12).map(move |number| format!("o{round}x{number}"))) {
        assert_eq!(
            world.notifications_of("/phone", &order, "create"),
            1,
            "{order}"
        );
    }
}
