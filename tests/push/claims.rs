//! In which order messages go, and how many at a time.

use std::time::{Duration, Instant};

use crate::world::World;

/// Few in flight, so that a backlog lasts.
const FEW: [(&str, &str); 2] = [
    ("GOM__PUSH__CONCURRENCY", "16"),
    ("GOM__PUSH__PER_ORIGIN", "16"),
];

#[actix_web::test]
async fn an_urgent_message_overtakes_five_thousand_older_ones() {
    let world = World::open_where(&FEW).await;
    world
        .backlog("n", &world.service.base_url(), "/slow/20/", 5_000)
        .await;
    world.service.wait_for(100).await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    // As the order's job makes it, at a moment that is known.
    let sql = "with n as (insert into gom.notification
          (id, subject, source, kind, node, title, body, ttl_ms, urgency, expires_at)
        values ('u', 'order', 'o', 'order', 'o', 't', 'b', 1000000, 'high', now() + interval '1 hour') returning id)
      insert into gom.delivery (id, notification, recipient, endpoint, origin, device, rank)
      select 'u', n.id, 'ana', $1, $2, 'ana', 0 from n";
    world
        .tables
        .execute(
            sql,
            &[&world.service.endpoint("/ana"), &world.service.base_url()],
        )
        .await
        .unwrap();
    let before = world.service.count();
    world
        .until("select count(*) >= 1 from gom.delivery where id = 'u' and state = 'DELIVERED'")
        .await;
    let received = world.service.received();
    let place = received
        .iter()
        .position(|request| request.path == "/ana")
        .unwrap() as u64;
    assert!(
        place <= before + 16,
        "message {place}, due when {before} had been sent"
    );
    let waiting = "select count(*) from gom.delivery where state = 'WAITING'";
    assert!(
        world
            .tables
            .query_one(waiting, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 1_000,
        "it passed nobody"
    );
}

/// Somebody holds a row that the statement about a publication's job needs, for longer than anybody waits here.
#[actix_web::test]
async fn orders_do_not_wait_while_a_publications_job_waits_for_a_row() {
    let world = World::open_where(&[("GOM__DATABASE__STATEMENT_TIMEOUT", "120000")]).await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    // Expanded in part, and too late for the rest: its job has only to be ended.
    let expired = "with job as (insert into gom.job (subject, schema_name, node, created, dedup, due_at)
          values ('publication', 'default$default', 'p', false, 'p', now() + interval '1 hour') returning id)
        insert into gom.notification (id, subject, source, kind, node, title, body, ttl_ms, urgency, expires_at, expanding, expanded_to)
        select 'n', 'publication', 'p', 'promotion', 'p', 't', 'b', 1, 'normal', now(), job.id, 'x' from job";
    world.tables.execute(expired, &[]).await.unwrap();
    let mut other = world.connect().await;
    let holding = other.transaction().await.unwrap();
    holding
        .execute(
            "select from gom.notification where id = 'n' for update",
            &[],
        )
        .await
        .unwrap();
    world
        .tables
        .execute("update gom.job set due_at = now()", &[])
        .await
        .unwrap();
    let waiting = "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    world.until(waiting).await;
    for order in ["o1", "o2", "o3"] {
        world.order(order, "ana", "bea").await.unwrap();
        let delivered = format!(
            "select count(*) = 1 from gom.delivery d join gom.notification n on n.id = d.notification
             where n.node = '{order}' and d.state = 'DELIVERED'"
        );
        world.until(&delivered).await;
    }
    assert!(
        world
            .tables
            .query_one(waiting, &[])
            .await
            .unwrap()
            .get::<_, bool>(0),
        "it has not waited for so long"
    );
    holding.rollback().await.unwrap();
    world.until("select count(*) = 0 from gom.job").await;
}

#[actix_web::test]
async fn an_order_is_sent_with_high_urgency() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    world.order("o", "ana", "bea").await.unwrap();
    world.quiet().await;
    let sql = "select d.rank, d.topic = n.topic and d.position = n.position from gom.delivery d
        join gom.notification n on n.id = d.notification";
    let row = world.tables.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i16>(0), row.get::<_, bool>(1)), (0, true));
}

#[actix_web::test]
async fn a_slow_push_service_stays_within_its_permits_and_delays_no_other() {
    let world = World::open_where(&[
        ("GOM__PUSH__CONCURRENCY", "64"),
        ("GOM__PUSH__PER_ORIGIN", "8"),
    ])
    .await;
    world
        .backlog("slow", &world.service.base_url(), "/slow/1000/", 500)
        .await;
    world.service.wait_for(1).await;
    world
        .backlog("fast", &world.elsewhere(""), "/fast/", 200)
        .await;
    let begun = Instant::now();
    let done =
        "select count(*) from gom.delivery where notification = 'fast' and state = 'DELIVERED'";
    let slow =
        "select count(*) from gom.delivery where notification = 'slow' and state = 'SENDING'";
    let mut most = 0;
    while world
        .tables
        .query_one(done, &[])
        .await
        .unwrap()
        .get::<_, i64>(0)
        < 200
    {
        most = most.max(
            world
                .tables
                .query_one(slow, &[])
                .await
                .unwrap()
                .get::<_, i64>(0),
        );
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the other service waits for the slow one"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What has been answered may not be recorded yet, in one batch or two.
    assert!(most <= 16, "{most} at once to a service with 8 places");
    let left =
        "select count(*) from gom.delivery where notification = 'slow' and state = 'WAITING'";
    assert!(
        world
            .tables
            .query_one(left, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 100
    );
}

#[actix_web::test]
async fn push_services_whose_retries_are_due_later_take_no_share() {
    let world = World::open_where(&[
        ("GOM__PUSH__CONCURRENCY", "64"),
        ("GOM__PUSH__PER_ORIGIN", "64"),
    ])
    .await;
    world
        .backlog("known", &world.service.base_url(), "/fast/", 1)
        .await;
    world
        .until("select count(*) >= 1 from gom.delivery where state = 'DELIVERED'")
        .await;
    let later = "insert into gom.delivery (id, notification, recipient, endpoint, origin, device, due_at)
        select 'later-' || i, 'known', 'reader', 'https://push-' || i || '.example/x', 'https://push-' || i || '.example',
        'later-' || i, now() + interval '1 hour' from generate_series(1, 100) i";
    world.tables.execute(later, &[]).await.unwrap();
    world
        .backlog("n", &world.service.base_url(), "/slow/20/", 1_000)
        .await;
    world
        .until("select count(*) >= 100 from gom.delivery where notification = 'n' and state = 'DELIVERED'")
        .await;
    // What one claim takes, it takes at one moment.
    let first = "select count(*) from gom.delivery where notification = 'n'
        and sent_at = (select min(sent_at) from gom.delivery where notification = 'n')";
    let first: i64 = world.tables.query_one(first, &[]).await.unwrap().get(0);
    // An eighth of 64 is kept for urgent ones.
    assert!((50..=56).contains(&first), "{first} with room for 56");
}

/// Statistics show the table as nearly empty, and the statements have been prepared while it was.
#[actix_web::test]
async fn a_first_backlog_is_read_by_what_is_taken_and_not_as_a_whole() {
    let world = World::open().await;
    world
        .tables
        .execute(
            "alter table gom.delivery set (autovacuum_enabled = off)",
            &[],
        )
        .await
        .unwrap();
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    for order in 0..15 {
        world
            .order(&format!("o{order}"), "ana", "bea")
            .await
            .unwrap();
        world.quiet().await;
    }
    world
        .tables
        .execute("analyze gom.delivery", &[])
        .await
        .unwrap();
    // In steps, as publications are expanded: what is not committed yet is read in vain.
    for step in 0..100 {
        world
            .backlog(
                &format!("n{step}"),
                &world.service.base_url(),
                &format!("/fast/{step}/"),
                1_000,
            )
            .await;
    }
    let (read_before, sent_before) = (rows_read(&world).await, world.service.count());
    // The ledger is put in order every ten seconds, which is one of the statements.
    tokio::time::sleep(Duration::from_secs(11)).await;
    world.service.wait_for(sent_before + 4_000).await;
    let (read, sent) = (
        rows_read(&world).await - read_before,
        world.service.count() - sent_before,
    );
    let each = read / i64::try_from(sent).unwrap();
    // Fewer than ten; of the whole backlog it would be more than a thousand.
    assert!(
        (1..100).contains(&each),
        "{read} rows read for {sent} messages"
    );
}

#[actix_web::test]
async fn an_update_does_not_read_the_settled_deliveries_of_its_order() {
    const UPDATES: i64 = 5;
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    world.order("o", "ana", "bea").await.unwrap();
    world.quiet().await;
    let old = "with notified as (select n.* from gom.notification n join gom.delivery d on d.notification = n.id),
      n as (insert into gom.notification (id, subject, source, kind, node, title, body, ttl_ms, urgency, topic, position,
          expires_at, settled_at, reported_at)
        select 'old' || i, subject, 'old' || i, kind, node, title, body, ttl_ms, urgency, 'updates', position - i,
          expires_at, now(), now() from notified, generate_series(1, 20000) i returning id, position)
      insert into gom.delivery (id, notification, recipient, endpoint, origin, device, rank, topic, position, ordering_key, state, settled_at)
      select n.id, n.id, d.recipient, d.endpoint, d.origin, d.device, d.rank, 'updates', n.position, d.ordering_key,
        'DELIVERED', now() from n, gom.delivery d";
    world.tables.execute(old, &[]).await.unwrap();
    let before = rows_read(&world).await;
    for update in 0..UPDATES {
        // Looking into the ledger would count as well.
        let sent = world.service.count();
        crate::topics::rename(&world, "o", &format!("name {update}")).await;
        world.service.wait_for(sent + 1).await;
        // What a connection has read is known a second after it has rested.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    assert_eq!(
        world.notifications_of("/ana", "o", "update") as i64,
        UPDATES
    );
    let each = (rows_read(&world).await - before) / UPDATES;
    assert!(
        (1..500).contains(&each),
        "{each} rows read for an update, of 20,000"
    );
}

/// Those that are there: dead ones, which a transaction anywhere may keep in the indexes, do not count.
async fn rows_read(world: &World) -> i64 {
    let sql = "select idx_tup_fetch + seq_tup_read from pg_stat_user_tables
        where relname = 'delivery' and schemaname = 'gom'";
    world.tables.query_one(sql, &[]).await.unwrap().get(0)
}
