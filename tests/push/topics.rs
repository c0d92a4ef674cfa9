//! Messages that replace each other: the last thing that a device shows of an order is its last state.

use std::time::Duration;

use gom_test_support::Behaviour;
use serde_json::json;

use crate::world::{World, shown, topic};

const RENAME: &str = "mutation($uid: ID!, $name: String!) { updateOrder(where: { uid: $uid }, data: { name: $name }) { uid } }";

pub async fn rename(world: &World, order: &str, name: &str) {
    let _ = world
        .try_ask(RENAME, json!({ "uid": order, "name": name }))
        .await;
}

/// The body that a device shows of an order's updates once everything has arrived.
fn last_shown(world: &World, path: &str, order: &str) -> Option<String> {
    let topic = topic(order, "update");
    let mut received = world.service.received_at(path).into_iter();
    let last = received
        .rfind(|request| request.status == Some(201) && request.header("topic") == Some(&topic))?;
    Some(shown(&last)["body"].as_str().unwrap().to_owned())
}

#[actix_web::test]
async fn an_update_that_could_not_be_sent_is_not_sent_after_a_newer_one() {
    let world = World::open_where(&[("GOM__PUSH__RETRY", "1500")]).await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    world.order("o", "ana", "bea").await.unwrap();
    world.quiet().await;
    world
        .service
        .script("/ana", [Behaviour::status(503), Behaviour::status(201)]);
    rename(&world, "o", "VIEJO").await;
    world
        .until("select count(*) >= 1 from gom.delivery where status = 503")
        .await;
    rename(&world, "o", "NUEVO").await;
    world.quiet().await;
    assert_eq!(
        last_shown(&world, "/ana", "o").unwrap(),
        "NUEVO ha sido actualizado"
    );
    let states =
        "select n.body, d.state, v.state, v.\"supersededBy\" = (select id from gom.notification
          where body like 'NUEVO%') from gom.delivery d
        join gom.notification n on n.id = d.notification join gom.\"Delivery\" v on v.id = d.id
        where n.operation = 'update' order by n.body";
    let rows = world.tables.query(states, &[]).await.unwrap();
    let states: Vec<(String, String, String, Option<bool>)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect();
    let row = |text: &str, state: &str, read: &str, superseded| {
        (
            format!("{text} ha sido actualizado"),
            state.to_owned(),
            read.to_owned(),
            superseded,
        )
    };
    // Clients of the ledger that lack the state SUPERSEDED read it as EXPIRED.
    let newer = row("NUEVO", "DELIVERED", "DELIVERED", None);
    assert_eq!(
        states,
        [newer, row("VIEJO", "SUPERSEDED", "EXPIRED", Some(true))]
    );
}

#[actix_web::test]
async fn messages_of_one_topic_follow_each_other_to_a_device() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    world.order("o", "ana", "bea").await.unwrap();
    world.quiet().await;
    world.service.script(
        "/ana",
        [
            Behaviour::Slow(Duration::from_millis(400)),
            Behaviour::status(201),
        ],
    );
    rename(&world, "o", "VIEJO").await;
    world
        .until("select count(*) >= 1 from gom.delivery where state = 'SENDING'")
        .await;
    rename(&world, "o", "NUEVO").await;
    world.quiet().await;
    // The slow one is noted when it is answered: side by side, it would be the last.
    assert_eq!(
        last_shown(&world, "/ana", "o").unwrap(),
        "NUEVO ha sido actualizado"
    );
    assert_eq!(world.notifications_of("/ana", "o", "update"), 2);
}

/// As when the older one was composed slowly, and written after the newer one had failed.
#[actix_web::test]
async fn a_failed_message_supersedes_no_older_one() {
    let world = World::open().await;
    let ends = ["FAILED", "GONE", "EXPIRED"];
    let sql = "with n as (insert into gom.notification
          (id, subject, source, kind, node, title, body, ttl_ms, urgency, expires_at, topic, position)
        select kind, 'order', 'o', 'order', 'o', kind, 'b', 1000000, 'high', now() + interval '1 hour', 't', place
          from (values ('older', 1), ('newer', 2)) v (kind, place) returning id, position)
      insert into gom.delivery (id, notification, recipient, endpoint, origin, device, rank, topic, position, ordering_key, state, settled_at)
      select n.id || ends.state, n.id, 'ana', $1::text || ends.state, $2, $1::text || ends.state, 0, 't', n.position, 'order:o',
        case n.id when 'older' then 'WAITING' else ends.state end, case n.id when 'newer' then now() end
      from n, unnest($3::text[]) ends (state)";
    for end in ends {
        world.device("ana", &format!("/ana/{end}")).await;
    }
    let (endpoints, service) = (world.service.endpoint("/ana/"), world.service.base_url());
    world
        .tables
        .execute(sql, &[&endpoints, &service, &ends.as_slice()])
        .await
        .unwrap();
    world
        .until(
            "select count(*) = 3 from gom.delivery where notification = 'older' and settled_at is not null",
        )
        .await;
    let delivered =
        "select count(*) from gom.delivery where notification = 'older' and state = 'DELIVERED'";
    let delivered: i64 = world.tables.query_one(delivered, &[]).await.unwrap().get(0);
    assert_eq!(delivered, 3, "{:?}", world.ledger().await);
}

/// The news of an order has another topic than its updates, and the same place on the screen.
#[actix_web::test]
async fn a_new_order_is_sent_before_its_updates_and_they_do_not_wait_for_its_retry() {
    let world = World::open_where(&[("GOM__PUSH__RETRY", "120000")]).await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    world
        .service
        .script("/ana", [Behaviour::status(503), Behaviour::status(201)]);
    world.order("o", "ana", "bea").await.unwrap();
    world
        .until("select count(*) = 1 from gom.delivery where status = 503 and state = 'WAITING'")
        .await;
    rename(&world, "o", "NUEVO").await;
    world.quiet().await;
    let received: Vec<_> = world
        .service
        .received_at("/ana")
        .iter()
        .map(|request| {
            (
                request.status.unwrap(),
                shown(request)["data"]["operation"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            )
        })
        .collect();
    let received: Vec<_> = received
        .iter()
        .map(|(status, operation)| (*status, operation.as_str()))
        .collect();
    assert_eq!(
        received,
        [(503, "create"), (201, "create"), (201, "update")]
    );
    assert_eq!(
        last_shown(&world, "/ana", "o").unwrap(),
        "NUEVO ha sido actualizado"
    );
}

/// As when the news was composed slowly, and written after the update had been sent.
#[actix_web::test]
async fn a_new_order_is_not_sent_after_its_update() {
    let world = World::open().await;
    world.device("ana", "/ana").await;
    let sql = "with n as (insert into gom.notification
        (id, subject, source, kind, node, operation, title, body, ttl_ms, urgency, expires_at, topic, position)
        select name, 'order', name, 'order', 'o', name, name, 'b', 1000000, 'high', now() + interval '1 hour', name, place
          from (values ('create', 1), ('update', 2)) v (name, place) returning id, position)
      insert into gom.delivery (id, notification, recipient, endpoint, origin, device, rank, topic, position, ordering_key, state, settled_at)
      select n.id, n.id, 'ana', $1::text, $2, 'x', 0, n.id, n.position, 'order:o',
        case n.id when 'update' then 'DELIVERED' else 'WAITING' end, case n.id when 'update' then now() end from n";
    let (endpoint, service) = (world.service.endpoint("/ana"), world.service.base_url());
    world
        .tables
        .execute(sql, &[&endpoint, &service])
        .await
        .unwrap();
    world.quiet().await;
    let sql = "select state, superseded_by from gom.delivery where id = 'create'";
    let row = world.tables.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("SUPERSEDED", "update"));
    assert_eq!(world.service.count(), 0);
}
