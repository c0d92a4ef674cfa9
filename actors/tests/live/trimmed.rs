//! What is trimmed from the log, while events are decided and otherwise.

use std::time::Duration;

use gom_actors::live::{LiveError, LiveOptions, Owner};
use gom_test_support::eventually;
use serde_json::json;

use crate::world::{World, connect, options, subscribe};

const WAITING: &str = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

/// As if the shop had been renamed, and that had been stamped and trimmed again with all before it.
const RENAMED_AND_TRIMMED: &str = "
    update \"Shop\" set name = 'Flan';
    delete from gom.change;
    update gom.feed set oldest = position;
    commit";

/// An order is the subscriber's by the shop's name at that time, which the log contains as long as it has the renaming.
#[actix::test]
async fn an_event_that_is_decided_by_what_was_trimmed_meanwhile_is_not_lost_silently() {
    let world = World::create().await;
    world.order(1, Some("s")).await;
    let live = world.live(options());
    let local = live.local();
    let text =
        "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) { node { n } } }";
    let of_tacos = world.interest(text, &json!({ "node": { "shop": { "name": "Tacos" } } }));
    let (inbox, _ticket) = subscribe(&local, &Owner::Service, of_tacos).await;
    let (other, _other) = subscribe(&local, &Owner::Service, world.orders()).await;
    let blocking = connect(&world.database).await;
    let watching = connect(&world.database).await;
    blocking
        .batch_execute("begin; lock table \"Shop\" in access exclusive mode")
        .await
        .unwrap();
    world
        .client
        .execute("update \"Order\" set n = 5", &[])
        .await
        .unwrap();
    live.wake();
    eventually(
        "the statement that decides the event waits for the lock",
        async || {
            watching
                .query_one(WAITING, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 1
        },
    )
    .await;
    blocking.batch_execute(RENAMED_AND_TRIMMED).await.unwrap();

    world
        .client
        .execute("update \"Order\" set n = 7", &[])
        .await
        .unwrap();
    live.wake();
    eventually("what comes next, or an end", async || {
        other.is_over() || other.got().contains(&7)
    })
    .await;
    let ended = inbox.ended.borrow().clone();
    assert!(
        inbox.got().contains(&5) || ended == Some(LiveError::Resync),
        "{:?}, {ended:?}",
        inbox.got()
    );
}

#[actix::test]
async fn a_server_begins_partitions_of_the_log_and_drops_what_is_old_with_its_own() {
    let world = World::create().await;
    world.order(1, Some("s")).await;
    let live = world.live(LiveOptions {
        keep_for: Duration::from_secs(1),
        ..options()
    });
    let (inbox, _ticket) = subscribe(&live.local(), &Owner::Service, world.orders()).await;
    let client = connect(&world.database).await;
    let number = async |sql: &str| {
        let row = client.query_one(sql, &[]).await.unwrap();
        row.get::<_, i64>(0)
    };
    let begun = "select count(*) from gom.log_partitions() where low > 0";
    eventually("a partition is begun", async || number(begun).await > 0).await;
    let kept = "select count(*) from gom.change";
    eventually("the old changes are gone", async || number(kept).await == 0).await;
    assert!(number("select oldest from gom.feed").await > 0);
    world.order(2, Some("s")).await;
    eventually("the event", async || inbox.got().contains(&2)).await;
    assert!(number("select max(sequence) from gom.change").await > 1 << 36);
}

/// A dump holds a partition that is forgotten: its changes are not deleted one by one in place of it.
#[actix::test]
async fn what_is_forgotten_waits_a_while_for_readers_of_its_partition() {
    let world = World::create().await;
    world.order(1, Some("s")).await;
    let client = connect(&world.database).await;
    for step in ["closing", "checked", "rotated"] {
        let rotate = "select gom.rotate_log(0, '1 hour', 0)";
        let row = client.query_one(rotate, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), step);
    }
    let dump = connect(&world.database).await;
    dump.batch_execute("begin; select from gom.change_0")
        .await
        .unwrap();
    // It goes last in the same look.
    let key = "insert into gom.idempotency_key (viewer, key, request, created_at) values ('v', 'k', 'r', now() - interval '2 days')";
    client.batch_execute(key).await.unwrap();
    let number = async |sql: &str| {
        let row = client.query_one(sql, &[]).await.unwrap();
        row.get::<_, i64>(0)
    };
    let kept = number("select count(*) from gom.change_0").await;
    assert!(kept > 0);
    let _live = world.live(LiveOptions {
        keep_for: Duration::from_secs(1),
        ..options()
    });
    eventually("the first look is over", async || {
        number("select count(*) from gom.idempotency_key").await == 0
    })
    .await;
    assert!(number("select oldest from gom.feed").await > 0);
    assert_eq!(number("select count(*) from gom.change_0").await, kept);
}
