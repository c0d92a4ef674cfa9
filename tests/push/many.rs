//! Many devices: what concerns one person is not held up by what concerns all, and memory does not grow with their number.

use gom_test_support::Received;

use crate::world::{World, topic};

const DEVICES: i32 = 20_000;
/// Written one after the other while the publication is sent.
const ORDERS: usize = 5;
/// So many messages of the publication may arrive between the commit of an order and its message: those in flight, and what
/// the claims take until the order is composed. If it waited for its turn, it would be most of them.
const DEVICES_BEFORE: usize = DEVICES as usize / 10;
/// Of an endpoint, in bytes: where all deliveries were in memory at once, they would take more than the bound below.
const ENDPOINT: usize = 1_500;
/// The server's memory may grow by so much, in KiB. The endpoints alone are 30,000, and each is in memory several times.
const BOUND: u64 = 80 * 1_024;

#[actix_web::test]
async fn orders_overtake_a_large_publication_and_each_device_is_notified_once() {
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
    let first = usize::try_from(world.service.count()).unwrap();
    world.publish(&promotion, 0).await;
    world
        .until("select count(*) > 2000 from gom.delivery")
        .await;
    let orders: Vec<String> = (0..ORDERS)
        .map(|number| format!("middle-{number}"))
        .collect();
    let mut written = Vec::new();
    for order in &orders {
        world.order(order, "ana", "bea").await.unwrap();
        written.push(usize::try_from(world.service.count()).unwrap());
        world
            .until(&format!(
                "select count(*) = 2 from gom.delivery d join gom.notification n on n.id = d.notification \
             where n.node = '{order}' and d.state = 'DELIVERED'"
            ))
            .await;
    }
    let open = "select count(*) > 0 from gom.delivery where state = 'WAITING'";
    assert!(
        world
            .tables
            .query_one(open, &[])
            .await
            .unwrap()
            .get::<_, bool>(0),
        "the backlog goes on"
    );
    world
        .until("select expanding is null from gom.notification where kind = 'promotion'")
        .await;
    // As long as it comes nearer to its end.
    let left = async || {
        let left = "select count(*) from gom.delivery where state in ('WAITING', 'SENDING')";
        world
            .tables
            .query_one(left, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    loop {
        let before = left().await;
        if before == 0 {
            break;
        }
        world
            .until(&format!(
                "select count(*) < {before} from gom.delivery where state in ('WAITING', 'SENDING')"
            ))
            .await;
    }

    let received = world.service.received();
    for (order, written) in orders.iter().zip(written) {
        for path in ["/ana", "/bea"] {
            let topic = topic(order, "create");
            let of_order = |request: &Received| {
                request.path == path && request.header("topic") == Some(&topic)
            };
            let places: Vec<usize> = (0..received.len())
                .filter(|place| of_order(&received[*place]))
                .collect();
            assert_eq!(places.len(), 1, "{path} is sent {order} once");
            let before = places[0] - written;
            assert!(
                before < DEVICES_BEFORE,
                "{before} messages of the backlog came before {order}"
            );
            let behind = received.len() - places[0];
            assert!(
                behind > ORDERS * 2,
                "{order} waited for the end of the backlog"
            );
        }
    }
    // What the first order came to is before all that.
    let mut backlog: Vec<&str> = received[first..]
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    backlog.retain(|path| path.starts_with("/slow/"));
    let sent = backlog.len();
    backlog.sort_unstable();
    backlog.dedup();
    assert_eq!(
        (sent, backlog.len()),
        (DEVICES as usize, DEVICES as usize),
        "each device once"
    );
    let states = "select string_agg(distinct state, ' '), count(*) from gom.delivery";
    let states = world.tables.query_one(states, &[]).await.unwrap();
    let all = i64::from(DEVICES) + 1 + 2 * (ORDERS as i64 + 1);
    assert_eq!(
        (states.get(0), states.get(1)),
        ("DELIVERED", all),
        "every customer's device, and both parties' of each order"
    );
    let grown = world.peak() - before;
    println!("memory grew by {grown} KiB");
    assert!(grown < BOUND, "memory grew by {grown} KiB");
}
