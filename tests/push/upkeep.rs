//! Retention of the ledger and the jobs, in every deployment.

use crate::world::World;

const ORDER_JOB: &str = "insert into gom.job (subject, schema_name, node, created, dedup, created_at, due_at) \
    values ('order', 'default$default', 'o', true, 'o 1', now() - interval '2 days', now() - interval '2 days')";

/// A notification that was made so long ago and lives for a day, with deliveries of one state.
fn notification(
    id: &str,
    source: &str,
    age: &str,
    reported: bool,
    state: &str,
    deliveries: u32,
) -> String {
    let done = if reported { "now()" } else { "null" };
    format!(
        "insert into gom.notification (id, subject, source, kind, node, title, body, ttl_ms, urgency, created_at, \
         expires_at, settled_at, reported_at) values ('{id}', 'publication', '{source}', 'promotion', 'p', 't', 'b', 1, 'normal', \
         now() - interval '{age}', now() - interval '{age}' + interval '1 day', {done}, {done}); \
         insert into gom.delivery (id, notification, recipient, endpoint, origin, device, state, settled_at) \
         select '{id}x' || i, '{id}', 'nobody', 'https://push.example/' || i, 'https://push.example', 'd', '{state}', {done} \
         from generate_series(1, {deliveries}) i"
    )
}

#[actix_web::test]
async fn jobs_and_ledger_are_trimmed_without_keys_and_without_a_worker() {
    for (role, keys) in [("all", false), ("api", true)] {
        let mut world = World::open_as(role).await;
        if !keys {
            for variable in [
                "VAPID_PUBLIC_KEY",
                "VAPID_PRIVATE_KEY",
                "GOM__PUSH__VAPID__SUBJECT",
            ] {
                world.unset(variable);
            }
            world.restart().await;
        }
        world.seller("ana", &["bea"]).await;
        let promotion = world.promotion("ana").await;
        let (late, coming) = (
            world.publish(&promotion, 0).await,
            world.publish(&promotion, 172_800_000).await,
        );
        world.kill();
        let long_ago = format!(
            "update \"default$default\".\"Publication\" set \"publishAt\" = now() - interval '2 days' where uid = '{late}'; \
             update gom.job set due_at = now() - interval '2 days', created_at = now() - interval '2 days'"
        );
        world.tables.batch_execute(&long_ago).await.unwrap();
        world.tables.execute(ORDER_JOB, &[]).await.unwrap();
        let open = notification("open", "x", "2 days", false, "WAITING", 3);
        world.tables.batch_execute(&open).await.unwrap();
        let old = notification("old", "y", "40 days", true, "DELIVERED", 6_000);
        world.tables.batch_execute(&old).await.unwrap();
        world.serve("").await;
        world
            .until("select count(*) = 0 from gom.job where due_at < now() - interval '1 day'")
            .await;
        world
            .until("select bool_and(state = 'EXPIRED') and count(*) = 3 from gom.delivery")
            .await;
        world
            .until(
                "select bool_and(reported_at is not null) and count(*) = 1 from gom.notification",
            )
            .await;
        assert_eq!(world.publication(&late).await["status"], "FAILED", "{role}");
        assert_eq!(
            world.publication(&coming).await["status"],
            "WAITING",
            "{role}"
        );
        assert_eq!(world.service.count(), 0);
    }
}

#[actix_web::test]
async fn an_order_job_older_than_a_day_is_not_sent() {
    let mut world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    world.kill();
    world.tables.execute(ORDER_JOB, &[]).await.unwrap();
    // Somebody is about this one.
    let taken = "insert into gom.job (subject, schema_name, node, created, dedup, created_at, due_at, lease_until) \
        select subject, schema_name, node, created, 'o 2', created_at, due_at, now() + interval '1 hour' from gom.job";
    world.tables.execute(taken, &[]).await.unwrap();
    world.serve("").await;
    world
        .until("select count(*) = 1 and bool_and(dedup = 'o 2') from gom.job")
        .await;
    world.order("new", "ana", "bea").await.unwrap();
    world
        .until("select count(*) = 1 from gom.delivery where state = 'DELIVERED'")
        .await;
    assert_eq!(world.service.count(), 1);
}

#[actix_web::test]
async fn a_large_old_notification_is_deleted_in_steps_that_skip_locked_rows() {
    let mut world = World::open().await;
    world.kill();
    let old = notification("old", "y", "40 days", true, "DELIVERED", 12_000);
    world.tables.batch_execute(&old).await.unwrap();
    let held = world.connect().await;
    held.batch_execute("begin; select from gom.delivery where id = 'oldx77' for update")
        .await
        .unwrap();
    world.serve("").await;
    world.until("select count(*) = 1 from gom.delivery").await;
    assert_eq!(
        world
            .tables
            .query("select from gom.notification", &[])
            .await
            .unwrap()
            .len(),
        1
    );
    held.batch_execute("rollback").await.unwrap();
    world
        .until("select count(*) = 0 from gom.notification")
        .await;
}

#[actix_web::test]
async fn a_failing_report_does_not_delay_the_others() {
    let mut world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("bea", "/bea").await;
    let promotion = world.promotion("ana").await;
    world.kill();
    // More than are looked at in one go, and older than what comes; the status of theirs cannot be written.
    let stuck = format!(
        "insert into \"default$default\".\"Publication\" (uid, type, status, delay, \"publishAt\", \"createdAt\", \"updatedAt\", promotion) \
         select 'stuck' || i, 'NOTIFICATION', 'WAITING', 0, now() + interval '9 days', now(), now(), '{promotion}' from generate_series(1, 250) i; \
         insert into gom.notification (id, subject, source, kind, node, title, body, ttl_ms, urgency, created_at, expires_at, settled_at) \
         select 'stuck' || i, 'publication', 'stuck' || i, 'promotion', 'p', 't', 'b', 1, 'normal', now() - interval '1 hour', now(), now() \
         from generate_series(1, 250) i; \
         create function gom.refuse() returns trigger language plpgsql as $$ begin \
         if new.uid like 'stuck%' then raise 'not now' using errcode = '55P03'; end if; return new; end $$; \
         create trigger refuse before update on \"default$default\".\"Publication\" for each row execute function gom.refuse()"
    );
    world.tables.batch_execute(&stuck).await.unwrap();
    world.serve("").await;
    let published = world.publish(&promotion, 0).await;
    let delivered = format!(
        "select status = 'DELIVERED' from \"default$default\".\"Publication\" where uid = '{published}'"
    );
    world.until(&delivered).await;
    world
        .tables
        .batch_execute("drop function gom.refuse cascade")
        .await
        .unwrap();
    world
        .until("select bool_and(reported_at is not null) from gom.notification")
        .await;
}
