//! How the statements of the hub are planned.

use gom_test_support::eventually;

use super::super::super::log::{number, statement};
use super::*;

/// Of the statements that a connection has prepared: how often a plan of their own was made, and how often one was used again.
const COUNTS: &str =
    "select sum(custom_plans)::bigint, sum(generic_plans)::bigint from pg_prepared_statements";

#[actix::test]
async fn statements_for_subscribers_are_planned_once_whatever_is_asked() {
    const EVENTS: i64 = 8;
    let world = World::new().await;
    let inbox = world.subscribed().await;
    let core = world.core();
    for n in 0..EVENTS {
        world
            .run(&format!(r#"insert into "Fan" values ('{n}')"#))
            .await;
        core.advance(world.stamped().await).await.unwrap();
    }
    eventually("all events", async || inbox.events.borrow().len() == 8).await;
    // Reads the log; reads the events of the service's groups.
    for log in [&core.decider.log, &core.decider.trusted] {
        let counts = log.rows(&statement(COUNTS, [])).await.unwrap();
        let (custom, generic) = (
            number(&counts[0], 0).unwrap(),
            number(&counts[0], 1).unwrap(),
        );
        assert_eq!(custom, 0);
        assert!(generic >= EVENTS, "{generic}");
    }
}
