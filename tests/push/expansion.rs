//! Publications for more customers than fit into one statement: expanded in steps, whatever happens between them.

use std::time::{Duration, Instant};

use crate::crash::in_flight;
use crate::world::World;

/// Two whole steps and a part of a third.
const CUSTOMERS: i32 = 2_500;
/// The customers who have devices: some of each step, the first and the last among them.
const REACHED: [i32; 6] = [1, 500, 1_000, 1_001, 1_999, CUSTOMERS];

/// The path of a customer's device.
fn path(customer: i32) -> String {
    format!("/many/{customer}")
}

impl World {
    /// A seller with so many customers that a publication takes several steps.
    async fn seller_of_many(&self) {
        self.seller("ana", &[]).await;
        let insert = format!(
            "with new as (insert into \"default$default\".\"Bp\" (uid, name1, \"createdAt\", \"updatedAt\") \
             select 'm' || lpad(i::text, 6, '0'), 'N', now(), now() from generate_series(1, {CUSTOMERS}) i returning uid) \
             insert into \"default$default\".\"_CustomerOf\" (\"A\", \"B\") \
             select new.uid, seller.uid from new, \"default$default\".\"User\" seller"
        );
        self.tables.batch_execute(&insert).await.unwrap();
        for customer in REACHED {
            self.device(&format!("m{customer:06}"), &path(customer))
                .await;
        }
    }

    /// Waits until a query returns true.
    pub async fn until(&self, query: &str) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while !self
            .tables
            .query_one(query, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            assert!(Instant::now() < deadline, "never true: {query}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[actix_web::test]
async fn each_customer_is_notified_once_wherever_the_server_is_killed_between_two_steps() {
    let mut world = World::open().await;
    world.seller_of_many().await;
    let (mut times, mut doubtful, mut published) = (0, 0, Vec::new());
    for place in [
        "job-leased",
        "job-composed",
        "expansion-begun",
        "job-composed:2",
        "expansion-step",
        "job-composed:3",
        "expansion-ended",
    ] {
        world.kill();
        world.serve(place).await;
        let promotion = world.promotion("ana").await;
        published.push(world.publish(&promotion, 0).await);
        times += 1;
        assert!(world.dies().await, "the server has not come to '{place}'");
        doubtful += in_flight(&world).await;
        world.serve("").await;
        world.quiet().await;
        for customer in REACHED {
            let received = world.service.received_at(&path(customer)).len();
            assert!(
                received >= times,
                "{place}: customer {customer} received {received} notifications of {times} publications"
            );
        }
    }
    let sent = world.service.count() as usize;
    assert!(
        sent <= times * REACHED.len() + doubtful,
        "{sent} sent, {doubtful} were on their way"
    );
    for uid in published {
        assert_eq!(world.publication(&uid).await["status"], "DELIVERED");
    }
}

#[actix_web::test]
async fn the_first_devices_are_notified_at_once_and_settlement_waits_for_the_last_step() {
    let mut world = World::open().await;
    world.seller_of_many().await;
    world.restart_at("expansion-begun").await;
    let promotion = world.promotion("ana").await;
    let published = world.publish(&promotion, 0).await;
    assert!(world.dies().await);
    // The next step is far away.
    world
        .tables
        .execute(
            "update gom.job set due_at = now() + interval '1 hour', lease_until = null",
            &[],
        )
        .await
        .unwrap();
    world.serve("").await;
    world
        .until("select count(*) = 3 and bool_and(state = 'DELIVERED') from gom.delivery")
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.publication(&published).await["status"], "WAITING");
    // No server, one of an earlier version neither, removes a job that has recipients left.
    let refused = world
        .tables
        .execute("delete from gom.job", &[])
        .await
        .unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "23503", "{refused}");
    let refused = world
        .tables
        .execute("update gom.notification set settled_at = now()", &[])
        .await
        .unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "23514", "{refused}");

    world
        .tables
        .execute("update gom.job set due_at = now()", &[])
        .await
        .unwrap();
    world.quiet().await;
    for customer in REACHED {
        assert_eq!(
            world.service.received_at(&path(customer)).len(),
            1,
            "{customer}"
        );
    }
    assert_eq!(world.publication(&published).await["status"], "DELIVERED");
}

#[actix_web::test]
async fn a_publication_cancelled_halfway_goes_no_further() {
    let mut world = World::open().await;
    world.seller_of_many().await;
    world.restart_at("expansion-begun").await;
    let promotion = world.promotion("ana").await;
    let published = world.publish(&promotion, 0).await;
    assert!(world.dies().await);
    let called_off =
        "update \"default$default\".\"Publication\" set status = 'FAILED' where uid = $1";
    world
        .tables
        .execute(called_off, &[&published])
        .await
        .unwrap();
    world.serve("").await;
    world.quiet().await;
    let received: Vec<i32> = REACHED
        .into_iter()
        .filter(|customer| !world.service.received_at(&path(*customer)).is_empty())
        .collect();
    assert_eq!(
        received,
        REACHED[..3],
        "those of the first step, who were written already"
    );
    assert_eq!(world.publication(&published).await["status"], "FAILED");
}

#[actix_web::test]
async fn an_order_does_not_wait_for_a_publication_that_takes_long_to_compose() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    let promotion = world.promotion("ana").await;
    world.publish(&promotion, 60 * 60 * 1_000).await;
    world
        .until("select count(*) = 1 from gom.job where due_at > now() + interval '50 minutes'")
        .await;
    // Promotions cannot be read for a while, in which the publication's time comes.
    let held = world.connect().await;
    held.batch_execute(
        "begin; lock table \"default$default\".\"Promotion\" in access exclusive mode",
    )
    .await
    .unwrap();
    let time = "update \"default$default\".\"Publication\" set \"publishAt\" = now()";
    world.tables.execute(time, &[]).await.unwrap();
    world
        .until("select count(*) > 0 from gom.job where subject = 'publication' and lease_until > now()")
        .await;
    let leased = "select concat_ws(' ', leased_by, attempts, last_error) from gom.job where subject = 'publication'";
    let before: String = world.tables.query_one(leased, &[]).await.unwrap().get(0);
    world.order("o1", "ana", "bea").await.unwrap();
    world
        .until("select count(*) > 0 from gom.delivery where state = 'DELIVERED'")
        .await;
    let after: String = world.tables.query_one(leased, &[]).await.unwrap().get(0);
    assert_eq!(before, after, "the order waited for the publication");
    held.batch_execute("rollback").await.unwrap();
    world.quiet().await;
}

#[actix_web::test]
async fn the_lease_of_a_job_is_renewed_while_other_statements_of_the_ledger_wait() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/slow/1000").await;
    let promotion = world.promotion("ana").await;
    world.publish(&promotion, 60 * 60 * 1_000).await;
    world
        .until("select count(*) = 1 from gom.job where due_at > now() + interval '50 minutes'")
        .await;
    // The result of a delivery cannot be written, and the publication not be composed.
    world.order("o1", "ana", "bea").await.unwrap();
    world
        .until("select count(*) = 1 from gom.delivery where state = 'SENDING'")
        .await;
    let held = world.connect().await;
    let hold = "begin; select from gom.delivery for update; \
        lock table \"default$default\".\"Promotion\" in access exclusive mode";
    held.batch_execute(hold).await.unwrap();
    let time = "update \"default$default\".\"Publication\" set \"publishAt\" = now()";
    world.tables.execute(time, &[]).await.unwrap();
    world
        .until("select count(*) > 0 from gom.job where subject = 'publication' and lease_until > now()")
        .await;
    let blocked = "select coalesce(min(query_start)::text, '') from pg_stat_activity \
        where wait_event_type = 'Lock' and query like '%gom.delivery%' and datname = current_database()";
    world.until(&format!("select ({blocked}) <> ''")).await;
    let read = async |query: &str| {
        world
            .tables
            .query_one(query, &[])
            .await
            .unwrap()
            .get::<_, String>(0)
    };
    let since = read(blocked).await;
    let lease = read("select lease_until::text from gom.job where subject = 'publication'").await;
    world
        .until(&format!(
            "select coalesce(lease_until > '{lease}'::timestamptz, true) from gom.job where subject = 'publication'"
        ))
        .await;
    assert_eq!(
        read(blocked).await,
        since,
        "the lease waited for the result of a delivery"
    );
    held.batch_execute("rollback").await.unwrap();
    world.quiet().await;
}

#[actix_web::test]
async fn a_job_whose_statement_fails_records_why_and_is_retried() {
    let world = World::open().await;
    world.seller("ana", &["bea"]).await;
    world.device("ana", "/ana").await;
    let refusing =
        "create function gom.refuse() returns trigger language plpgsql as $$ begin raise 'no room'; end $$;
        create trigger refuse before insert on gom.delivery execute function gom.refuse()";
    world.tables.batch_execute(refusing).await.unwrap();
    world.order("o1", "ana", "bea").await.unwrap();
    world
        .until("select count(*) = 1 from gom.job where last_error like '%no room%' and lease_until is null")
        .await;
    world
        .tables
        .batch_execute("drop function gom.refuse cascade")
        .await
        .unwrap();
    world.quiet().await;
    assert_eq!(world.notifications_of("/ana", "o1", "create"), 1);
}
