//! Servers that are killed: every device is notified of every committed order, a confirmed delivery is not sent again, and
//! orders that were rolled back notify nobody.

use std::collections::HashMap;
use std::time::Duration;

use crate::world::{World, topic};

/// The devices of each party.
const SELLER: [&str; 2] = ["/ana/1", "/ana/2"];
const CUSTOMER: [&str; 2] = ["/bea/1", "/bea/2"];

async fn open() -> World {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    for (user, paths) in [("ana", SELLER), ("bea", CUSTOMER)] {
        for path in paths {
            world.device(user, path).await;
        }
    }
    world
}

/// How often each device has received each delivery that the ledger records as delivered.
async fn recorded(world: &World) -> HashMap<(String, String), usize> {
    let sql = "select n.node, substring(d.endpoint from 'https://[^/]*(.*)') from gom.delivery d \
               join gom.notification n on n.id = d.notification where d.state = 'DELIVERED'";
    let rows = world.tables.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| {
            let (order, path): (String, String) = (row.get(0), row.get(1));
            let count = world.notifications_of(&path, &order, "create");
            ((order, path), count)
        })
        .collect()
}

/// How many messages were on their way when the server died: each may be sent once more.
pub async fn in_flight(world: &World) -> usize {
    let sql = "select count(*) from gom.delivery where state = 'SENDING'";
    usize::try_from(
        world
            .tables
            .query_one(sql, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
    )
    .unwrap()
}

/// Checks that every device was notified of every existing order and of no other; returns the number of orders.
async fn all_notified(world: &World) -> usize {
    world.quiet().await;
    let rows = world
        .tables
        .query("select uid from \"default$default\".\"Order\"", &[])
        .await
        .unwrap();
    let orders: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    for order in &orders {
        for path in SELLER.iter().chain(&CUSTOMER) {
            assert!(
                world.notifications_of(path, order, "create") >= 1,
                "{path} was not notified of {order}"
            );
        }
    }
    let topics: Vec<String> = orders.iter().map(|order| topic(order, "create")).collect();
    for request in world.service.received() {
        let topic = request.header("topic").unwrap().to_owned();
        assert!(
            topics.contains(&topic),
            "a device was notified of an order that does not exist"
        );
    }
    orders.len()
}

/// Nothing was sent twice but what was on its way when the server died.
fn sent_twice_at_most(world: &World, orders: usize, doubtful: usize) {
    let sent = world.service.count() as usize;
    let messages = orders * (SELLER.len() + CUSTOMER.len());
    assert!(
        sent <= messages + doubtful,
        "{sent} sent for {messages} messages, {doubtful} were on their way"
    );
}

#[actix_web::test]
async fn committed_orders_notify_every_device_wherever_the_server_is_killed() {
    let mut world = open().await;
    let (mut number, mut doubtful) = (0, 0);
    for place in [
        "committed:3",
        "job-leased",
        "job-composed",
        "job-expanded",
        "intended",
        "sent",
        "sent:3",
        "unrecorded",
        "recorded",
    ] {
        world.kill();
        world.serve(place).await;
        for _ in 0..3 {
            number += 1;
            // Without an answer it may have been written or not; either is right.
            let _ = world.order(&format!("order-{number}"), "ana", "bea").await;
        }
        // Rolled back: its seller is not there.
        let _ = world.order(&format!("nobody-{number}"), "zoe", "bea").await;
        assert!(world.dies().await, "the server has not come to '{place}'");
        let confirmed = recorded(&world).await;
        doubtful += in_flight(&world).await;
        world.restart().await;
        world.quiet().await;
        for ((order, path), times) in confirmed {
            let now = world.notifications_of(&path, &order, "create");
            assert_eq!(
                now, times,
                "{place}: {path} had confirmed {order} and received it again"
            );
        }
    }
    let orders = all_notified(&world).await;
    assert!(orders >= 8, "{orders} orders were written");
    sent_twice_at_most(&world, orders, doubtful);
}

#[actix_web::test]
async fn committed_orders_notify_every_device_whenever_the_server_is_killed() {
    let mut world = open().await;
    let (mut again, mut doubtful) = (0, 0);
    for round in 0..6_u32 {
        // Different moments of the same work, some before and some after its end.
        let moment = Duration::from_millis(u64::from(round) * 23 % 97);
        for number in 0..5 {
            let _ = world
                .order(&format!("order-{round}-{number}"), "ana", "bea")
                .await;
        }
        tokio::time::sleep(moment).await;
        world.kill();
        let confirmed = recorded(&world).await;
        doubtful += in_flight(&world).await;
        world.serve("").await;
        world.quiet().await;
        for ((order, path), times) in confirmed {
            again += world.notifications_of(&path, &order, "create") - times;
        }
    }
    assert_eq!(again, 0, "confirmed deliveries were sent again");
    assert_eq!(all_notified(&world).await, 30);
    sent_twice_at_most(&world, 30, doubtful);
}
