//! What is trimmed from the log while events are decided.

use gom_actors::live::{LiveError, Owner};
use gom_test_support::eventually;

use crate::world::{World, connect, options, subscribe};

const WAITING: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

#[actix::test]
async fn an_event_whose_later_rows_are_trimmed_while_it_is_decided_is_not_lost_silently() {
    let world = World::create().await;
    world.order(1, Some("s")).await;
    let live = world.live(options());
    let local = live.local();
    // A row is shown as of its change by what the log has of later ones.
    let (inbox, _ticket) = subscribe(&local, &Owner::Service, world.orders_with_shops(0)).await;
    let blocking = connect(&world.database).await;
    let watching = connect(&world.database).await;
    blocking.batch_execute("begin; lock table \"Shop\" in access exclusive mode").await.unwrap();
    world.client.execute("update \"Order\" set n = 5 where id = 'o1'", &[]).await.unwrap();
    live.wake();
    eventually("the statement that decides the event waits for the lock", async || {
        watching.query_one(WAITING, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;

    // Later rows come, and are gone again with all that the log has.
    world.client.execute("delete from \"Order\" where id = 'o1'", &[]).await.unwrap();
    world
        .client
        .batch_execute("select gom.stamp_changes(); select gom.trim_changes('0 s', 0, 1000)")
        .await
        .unwrap();
    let left: i64 = watching.query_one("select count(*) from gom.change", &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "the log is empty");
    blocking.batch_execute("commit").await.unwrap();

    world.client.execute("insert into \"Order\" (id, n, shop) values ('o7', 7, 's')", &[]).await.unwrap();
    live.wake();
    eventually("an end, or what comes next", async || inbox.is_over() || inbox.got().contains(&7)).await;
    let ended = inbox.ended.borrow().clone();
    assert!(
        inbox.got().starts_with(&[5]) || ended == Some(LiveError::Resync),
        "{:?}, {ended:?}",
        inbox.got()
    );
}
