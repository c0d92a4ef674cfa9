//! Subscribers that read the log together: none of them holds up or ends the others.

use gom_test_support::eventually;
use tokio::time::Instant;

use super::super::super::catch_up::Way;
use super::super::super::join::{Join, Joined};
use super::trimmed::Inbox;
use super::*;

const TIMEOUT: Duration = Duration::from_secs(20);

fn user(name: &str) -> Owner {
    Owner::User(name.into())
}

impl World {
    /// One of a user's, on a worker of its own, that has had everything up to a state of the log.
    fn traveller(&self, worker: u64, owner: Owner, had: LogState, sink: Rc<dyn Sink>) -> Traveller {
        let arriving = Arriving {
            owner,
            ..self.member(worker, sink)
        };
        Traveller::new(arriving, had.head().cursor(had.epoch))
    }

    /// Two users with equal subscriptions who lack the last event of the hub.
    async fn two_travellers(&self, owners: [Owner; 2]) -> ([Rc<Inbox>; 2], Vec<Traveller>) {
        let had = self.stamped().await;
        self.run(r#"insert into "Fan" values ('a')"#).await;
        let logged = self.stamped().await;
        self.core().move_to(logged.epoch, logged.head());
        let inboxes: [Rc<Inbox>; 2] = Default::default();
        let travellers = (1..)
            .zip(owners)
            .zip(&inboxes)
            .map(|((worker, owner), inbox)| {
                self.traveller(worker, owner, had, Rc::clone(inbox) as Rc<dyn Sink>)
            });
        let travellers = travellers.collect();
        (inboxes, travellers)
    }
}

#[actix::test]
async fn those_who_join_wait_only_if_nobody_of_them_can_pay() {
    for owners in [["poor", "rich"], ["rich", "poor"], ["poor", "poor"]] {
        let world = World::new().await;
        let core = world.core();
        let poor = user("poor");
        core.budgets
            .charge(&poor, Duration::from_millis(900), Instant::now());
        assert!(!core.budgets.may_join(&poor, Instant::now()));
        let (inboxes, travellers) = world.two_travellers(owners.map(user)).await;
        let members: Vec<Member> = travellers.iter().map(|one| one.arriving.member).collect();
        let joined = core.join(Join { travellers }).await;
        let one_can = owners.contains(&"rich");
        for (member, inbox) in members.into_iter().zip(inboxes) {
            assert_eq!(core.is_arriving(member), !one_can, "{owners:?}");
            let is_member = core.groups.borrow().group_of(member).is_some();
            assert_eq!(is_member, one_can, "{owners:?}");
            if one_can {
                eventually("the event", async || inbox.events.borrow().len() == 1).await;
            }
            assert_eq!(*inbox.ended.borrow(), None, "{owners:?}");
        }
        let expected = match joined {
            Joined::Done => one_can,
            Joined::Exhausted => !one_can,
            _ => false,
        };
        assert!(expected, "{owners:?}: {joined:?}");
    }
}

#[actix::test]
async fn the_one_that_pays_too_much_is_penalized_and_no_other_and_all_get_their_events() {
    let world = World::new().await;
    let core = world.core();
    let (inboxes, travellers) = world.two_travellers(["a", "b"].map(user)).await;
    // Longer than a user may take.
    world
        .run(
            r#"alter table "Fan" rename to fans;
               create view "Fan" as select * from fans where pg_sleep(30)::text = ''"#,
        )
        .await;
    let joined = core.join(Join { travellers }).await;
    assert!(matches!(joined, Joined::Done), "{joined:?}");
    let penalized = |name: &str| core.budgets.penalized_until(&user(name), Instant::now());
    assert!(penalized("a").is_some() && penalized("b").is_none());
    assert!(core.arriving.borrow().is_empty());
    world
        .run(r#"create or replace view "Fan" as select * from fans"#)
        .await;
    let hub = world.other.get().unwrap().downgrade();
    eventually("the event of each", async || {
        core.slow.round(core, &hub).await;
        inboxes.iter().all(|inbox| inbox.events.borrow().len() == 1)
    })
    .await;
    assert!(inboxes.iter().all(|inbox| inbox.ended.borrow().is_none()));
}

#[actix::test]
async fn the_last_of_a_chain_that_does_not_read_holds_up_none_of_those_before_it() {
    const EACH: usize = 3_000;
    let world = World::new().await;
    let mut states = vec![world.stamped().await];
    // No page has more than one of them.
    for transaction in 0..3 {
        let insert = format!(
            r#"insert into "Fan" select '{transaction}-' || i from generate_series(1, {EACH}) i"#
        );
        world.run(&insert).await;
        states.push(world.stamped().await);
    }
    let core = world.core();
    core.move_to(states[3].epoch, states[3].head());
    let shut = Rc::new(Shut::default());
    let inboxes: [Rc<Inbox>; 3] = Default::default();
    let last = Rc::clone(&shut) as Rc<dyn Sink>;
    let mut travellers = vec![world.traveller(1, user("last"), states[0], last)];
    for (place, inbox) in inboxes.iter().enumerate() {
        let worker = 2 + u64::try_from(place).unwrap();
        let sink = Rc::clone(inbox) as Rc<dyn Sink>;
        let owner = user(&place.to_string());
        travellers.push(world.traveller(worker, owner, states[place], sink));
    }
    let hub = world.other.get().unwrap();
    let mut way = CatchUp::new(core, &hub, Cohort::new(travellers));
    let gone = timeout(TIMEOUT, way.go(Way::Again)).await;
    gone.expect("nobody waits for the last").unwrap();
    let is_whole = |events: &[Cursor], missed: usize| {
        events.len() == missed * EACH && events.is_sorted_by(|one, next| one < next)
    };
    for (inbox, missed) in inboxes.iter().zip([3, 2, 1]) {
        eventually("all that one has missed", async || {
            is_whole(&inbox.events.borrow(), missed)
        })
        .await;
        assert_eq!(*inbox.ended.borrow(), None);
    }
    assert_eq!(shut.parts.borrow().len(), 1);
    // It goes on once it reads.
    shut.open();
    eventually("all that the last has missed", async || {
        shut.parts.borrow().len() == 3 * EACH
    })
    .await;
    let expected: Vec<u32> = (0..3).flat_map(|_| 0..3_000).collect();
    assert_eq!(*shut.parts.borrow(), expected);
}
