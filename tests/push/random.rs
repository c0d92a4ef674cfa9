//! Two servers, of which one dies again and again, devices that change hands, and a push service that delays, refuses and
//! breaks off at random: what a device shows of an order at last is the order's last state, and no device receives another
//! user's notices.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gom_test_support::dice::Dice;
use gom_test_support::{Behaviour, Received};
use serde_json::Value;
use tokio::time::sleep;

use crate::topics::rename;
use crate::world::{World, shown};

const SELLERS: [&str; 2] = ["ana", "eva"];
const ORDERS_EACH: usize = 3;
/// One of each seller's, one of a customer's, and one that goes from seller to seller.
const MOVING: &str = "/moving";
const DEVICES: [(&str, &str); 4] = [
    ("ana", "/ana"),
    ("eva", "/eva"),
    ("bea", "/bea"),
    ("ana", MOVING),
];
/// Where the server dies; what follows a colon is how often it gets past.
const PLACES: [&str; 7] = [
    "job-leased",
    "job-composed",
    "job-expanded",
    "intended",
    "sent:2",
    "unrecorded",
    "recorded:2",
];
/// A message that was on its way when its device changed hands arrives within this time, which is `push.timeout`.
const ON_ITS_WAY: Duration = Duration::from_millis(1_500);

/// What the push service answers to one message.
fn answer(dice: &mut Dice) -> Behaviour {
    match dice.below(10) {
        0 => Behaviour::status(503),
        1 => Behaviour::status(500),
        2 => Behaviour::Reset,
        3 => Behaviour::answer(429, &[("retry-after", "1")], ""),
        4..=6 => Behaviour::Slow(Duration::from_millis(dice.below(200) as u64)),
        _ => Behaviour::status(201),
    }
}

/// The order that a message is about, and its text.
fn order_of(request: &Received) -> (String, String) {
    let shown: Value = shown(request);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let node = text(&shown["data"]["uid"]);
    assert_eq!(
        text(&shown["tag"]),
        format!("order:{node}"),
        "what replaces it on the screen"
    );
    (node, text(&shown["body"]))
}

async fn give(world: &World, owner: &str) -> SystemTime {
    let sql = "update gom.push_device set subject = $2 where endpoint = $1";
    world
        .tables
        .execute(sql, &[&world.service.endpoint(MOVING), &owner])
        .await
        .unwrap();
    SystemTime::now()
}

#[actix_web::test]
async fn recipients_see_the_last_state_of_an_order_last() {
    let seed: u64 = std::env::var("GOM_SEED").map_or_else(
        |_| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64
        },
        |seed| seed.parse().unwrap(),
    );
    println!("GOM_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut world = World::open_where(&[("GOM__PUSH__RETRY", "50")]).await;
    world.also("worker").await;
    world.seller("ana", &["bea"]).await;
    world.seller("eva", &["zoe"]).await;
    for (user, path) in DEVICES {
        world.device(user, path).await;
        let answers: Vec<Behaviour> = (0..60).map(|_| answer(&mut dice)).collect();
        world
            .service
            .script(path, answers.into_iter().chain([Behaviour::status(201)]));
    }
    let name = |seller: &str, number: usize| format!("{seller}-{number}");
    let mut orders = Vec::new();
    for (seller, customer) in [("ana", "bea"), ("eva", "zoe")] {
        for number in 0..ORDERS_EACH {
            let order = name(seller, number);
            world.order(&order, seller, customer).await.unwrap();
            orders.push(order);
        }
    }
    // Since when the device that moves is whose.
    let mut owners = vec![(SystemTime::UNIX_EPOCH, "ana")];
    for round in 0..5_usize {
        let place = *dice.pick(&PLACES);
        println!("round {round}: the server dies at {place}");
        world.restart_at(place).await;
        for write in 0..12 {
            let order = dice.pick(&orders);
            // Without an answer it may have been written or not: the last state is the one in the table.
            rename(&world, order, &format!("name {round}.{write}")).await;
            sleep(Duration::from_millis(dice.below(60) as u64)).await;
        }
        let owner = SELLERS[(round + 1) % 2];
        owners.push((give(&world, owner).await, owner));
        world.restart().await;
    }
    for order in &orders {
        rename(&world, order, &format!("last {order}")).await;
    }
    sleep(Duration::from_secs(1)).await;
    // The service recovers and hours go by: what has failed often would be tried that much later, and a server that has been
    // refused often would wait as long before it asks again.
    for (_, path) in DEVICES {
        world.service.script(path, [Behaviour::status(201)]);
    }
    world.restart().await;
    let passes = "with hour as (update gom.delivery set due_at = now() where state = 'WAITING')
        select count(*) from gom.delivery where settled_at is null";
    for _ in 0..100 {
        sleep(Duration::from_millis(300)).await;
        if world
            .tables
            .query_one(passes, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 0
        {
            break;
        }
    }
    world.quiet().await;

    let rows = world
        .tables
        .query("select uid, name from \"default$default\".\"Order\"", &[])
        .await
        .unwrap();
    let states: HashMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(states.len(), orders.len());
    let moved_to = owners.last().unwrap().1;
    for (user, path) in DEVICES {
        let received: Vec<Received> = world.service.received_at(path);
        let taken = || {
            received
                .iter()
                .filter(|request| request.status == Some(201))
        };
        let last: HashMap<String, String> = taken().map(order_of).collect();
        let owner = if path == MOVING { moved_to } else { user };
        let of = if owner == "bea" { "ana" } else { owner };
        for number in 0..ORDERS_EACH {
            let order = name(of, number);
            assert_eq!(
                states[&order],
                format!("last {order}"),
                "the last write was carried out"
            );
            // Its news, if that was composed after all of the updates.
            let name = &states[&order];
            let expected = [
                format!("{name} ha sido actualizado"),
                format!("Tienes un nuevo pedido: {name}"),
            ];
            let found = last.get(&order);
            assert!(
                found.is_some_and(|found| expected.contains(found)),
                "{path} {order}: {found:?} GOM_SEED={seed}"
            );
        }
        for request in &received {
            let (order, body) = order_of(request);
            let seller = order.split('-').next().unwrap();
            let (from, to) = (request.at - ON_ITS_WAY, request.at);
            // Until the next one has it.
            let mut times = owners
                .iter()
                .zip(owners.iter().skip(1).map(|next| Some(next.0)).chain([None]));
            let was_theirs = times.any(|((since, owner), until)| {
                *owner == seller && *since <= to && until.is_none_or(|until| until >= from)
            });
            assert!(
                if path == MOVING {
                    was_theirs
                } else {
                    of == seller
                },
                "{path} was notified of {order}, {body}, and is not its seller's GOM_SEED={seed}"
            );
        }
    }
    let others = "select count(*) from gom.delivery where state not in ('DELIVERED', 'SUPERSEDED')
        and not (state = 'GONE' and endpoint = $1)";
    let others: i64 = world
        .tables
        .query_one(others, &[&world.service.endpoint(MOVING)])
        .await
        .unwrap()
        .get(0);
    assert_eq!(others, 0, "{:?} GOM_SEED={seed}", world.ledger().await);
}
