//! Many devices: what concerns one person is not held up by what concerns all, and memory does not grow with their number.

use std::time::Instant;

use crate::world::World;

const DEVICES: i32 = 20_000;
/// Of an endpoint, in bytes: where all deliveries were in memory at once, they would take more than the bound below.
const ENDPOINT: usize = 1_500;
/// The server's memory may grow by so much, in KiB. The endpoints alone are 30,000, and each is in memory several times.
const BOUND: u64 = 80 * 1_024;

#[actix_web::test]
async fn an_order_in_the_middle_of_a_large_publication_comes_first_and_memory_stays_flat() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("bea", "/bea").await;
    world.device("ana", "/ana").await;
    let customers = format!(
        "with new as (insert into \"default$default\".\"Bp\" (uid, name1, \"createdAt\", \"updatedAt\") \
         select 'm' || i, 'N', now(), now() from generate_series(1, {DEVICES}) i returning uid) \
         insert into \"default$default\".\"_CustomerOf\" (\"A\", \"B\") \
         select new.uid, seller.uid from new, \"default$default\".\"User\" seller"
    );
    world.tables.batch_execute(&customers).await.unwrap();
    // They answer after 50 ms.
    let base = world.service.endpoint("/slow/50/");
    let padding = "x".repeat(ENDPOINT - base.len() - 6);
    let devices = format!(
        "insert into gom.push_device (endpoint, subject, p256dh, auth, seen_at) \
         select '{base}' || i || '/{padding}', replace(subject, 'bea', 'm' || i), p256dh, auth, now() \
         from gom.push_device, generate_series(1, {DEVICES}) i where subject like 'customer:%'"
    );
    world.tables.batch_execute(&devices).await.unwrap();
    // Opens connections, and whatever else is made once.
    world.order("first", "ana", "bea").await.unwrap();
    world.quiet().await;
    let before = world.peak();

    let promotion = world.promotion("ana").await;
    world.publish(&promotion, 0).await;
    world.until("select count(*) > 2000 from gom.delivery").await;
    let expanding = "select count(*) > 0 from gom.notification where expanding is not null";
    assert!(world.tables.query_one(expanding, &[]).await.unwrap().get::<_, bool>(0), "it has only begun");
    let (sent, written) = (world.service.count(), Instant::now());
    world.order("middle", "ana", "bea").await.unwrap();
    world
        .until(
            "select count(*) = 2 from gom.delivery d join gom.notification n on n.id = d.notification \
             where n.node = 'middle' and d.state = 'DELIVERED'",
        )
        .await;
    let between = world.service.count() - sent;
    println!("the order was shown after {:?}; {between} messages were sent meanwhile", written.elapsed());
    assert!(between < DEVICES as u64 / 2, "{between} messages came first");
    world.until("select expanding is null from gom.notification where kind = 'promotion'").await;
    let all: i64 = world.tables.query_one("select count(*) from gom.delivery", &[]).await.unwrap().get(0);
    assert_eq!(all, i64::from(DEVICES) + 1 + 4, "every customer's device, and both parties' of two orders");
    let grown = world.peak() - before;
    println!("memory grew by {grown} KiB");
    assert!(grown < BOUND, "memory grew by {grown} KiB");
}
