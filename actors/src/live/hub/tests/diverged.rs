//! The log has lost stamps that were delivered, and gives their positions again: a standby was promoted that had not got them, or
//! a snapshot restored.

use gom_test_support::eventually;
use tokio::time::Instant;

use super::super::super::behind::Behind;
use super::super::super::catch_up::{Step, Way};
use super::super::super::cohort::Traveller;
use super::super::super::join::{Join, Joined};
use super::trimmed::Inbox;
use super::*;

/// How far the log of a world has come: one change, and one more.
struct Two {
    kept: LogState,
    lost: LogState,
}

impl World {
    async fn logged(&self, name: &str) -> LogState {
        self.run(&format!(r#"insert into "Fan" values ('{name}')"#))
            .await;
        self.stamped().await
    }

    /// The hub has delivered two changes.
    async fn delivered_two(&self) -> Two {
        let kept = self.logged("kept").await;
        self.core().advance(kept).await.unwrap();
        let lost = self.logged("lost").await;
        self.core().advance(lost).await.unwrap();
        Two { kept, lost }
    }

    /// The log has nothing any more that follows.
    async fn lose_after(&self, state: LogState) {
        let position = state.position;
        self.run(&format!(
            r#"delete from "Fan" where id <> 'kept';
               delete from gom.stamp where position > {position};
               delete from gom.change where sequence > (select max(last_sequence) from gom.stamp);
               update gom.feed set position = {position}, seen = (select max(last_sequence) from gom.stamp)"#
        ))
        .await;
    }

    /// A member on its way from a cursor as a client sends it.
    fn arriving(&self, worker: u64, from: LogState) -> (Arriving, Cursor, Rc<Inbox>) {
        let inbox = Rc::new(Inbox::default());
        let arriving = self.member(worker, Rc::clone(&inbox) as Rc<dyn Sink>);
        let from = Cursor {
            epoch: 0,
            ..from.head().cursor(from.epoch)
        };
        (arriving, from, inbox)
    }
}

async fn ended(inbox: &Inbox) {
    eventually("the subscription's end", async || {
        inbox.ended.borrow().is_some()
    })
    .await;
    assert_eq!(*inbox.ended.borrow(), Some(LiveError::Resync));
}

#[actix::test]
async fn members_that_have_had_what_is_lost_are_ended_when_its_position_is_given_again() {
    let world = World::new().await;
    let inbox = world.subscribed().await;
    let Two { kept, lost } = world.delivered_two().await;
    world.lose_after(kept).await;
    world.logged("new").await;
    let now = world.logged("newer").await;
    assert!(now.position > lost.position && now.epoch == lost.epoch);
    world.core().advance(now).await.unwrap();
    ended(&inbox).await;
    assert_eq!(inbox.events.borrow().len(), 2);
    assert!(world.core().place.get().is_same(now.head()));
}

#[actix::test]
async fn members_that_have_had_what_is_lost_are_ended_also_if_nothing_follows() {
    for again in [false, true] {
        let world = World::new().await;
        let inbox = world.subscribed().await;
        let Two { kept, lost } = world.delivered_two().await;
        world.lose_after(kept).await;
        let now = if again {
            world.logged("new").await
        } else {
            world.stamped().await
        };
        assert_eq!(now.position == lost.position, again);
        world.core().advance(now).await.unwrap();
        ended(&inbox).await;
    }
}

#[actix::test]
async fn a_look_that_is_older_than_what_was_delivered_is_no_loss() {
    let world = World::new().await;
    let inbox = world.subscribed().await;
    let Two { kept, lost } = world.delivered_two().await;
    world.core().advance(kept).await.unwrap();
    assert!(world.is_served() && inbox.ended.borrow().is_none());
    assert!(world.core().place.get().is_same(lost.head()));
}

#[actix::test]
async fn who_comes_with_a_cursor_is_judged_by_its_own_stamp() {
    let world = World::new().await;
    let Two { kept, lost } = world.delivered_two().await;
    world.lose_after(kept).await;
    world.logged("new").await;
    let now = world.logged("newer").await;
    world.core().advance(now).await.unwrap();
    let (arriving, from, _inbox) = world.arriving(1, kept);
    let mut way = world.alone(arriving, from);
    let Step::Events { events, next, .. } =
        way.read(Progress::from(from), now.head()).await.unwrap()
    else {
        panic!("it goes on")
    };
    assert_eq!(events.len(), 2);
    assert_eq!(next, now.head());
    way.go(Way::Again).await.unwrap();

    let (arriving, from, inbox) = world.arriving(2, lost);
    world.alone(arriving, from).go(Way::Again).await.unwrap();
    ended(&inbox).await;
}

#[actix::test]
async fn those_whose_last_page_the_log_has_lost_are_sent_back_each() {
    let world = World::new().await;
    let Two { kept, lost } = world.delivered_two().await;
    let inboxes: [Rc<Inbox>; 3] = Default::default();
    let mut travellers: Vec<Traveller> = Vec::new();
    for (worker, inbox) in (1..).zip(&inboxes) {
        let arriving = world.member(worker, Rc::clone(inbox) as Rc<dyn Sink>);
        travellers.push(Traveller::new(arriving, kept.head().cursor(kept.epoch)));
    }
    let stayed = travellers[2].clone();
    let hub = world.other.get().unwrap();
    let mut way = CatchUp::new(world.core(), &hub, Cohort::new(travellers));
    let read = way.read(stayed.at, lost.head()).await.unwrap();
    let Step::Events {
        events,
        next,
        counted,
        last,
        ..
    } = read
    else {
        panic!("it has an event")
    };
    assert!(next.is_same(lost.head()), "{next:?}");
    // All but one have read it, when the log loses it.
    way.cohort
        .retain(|one| one.arriving.member != stayed.arriving.member);
    way.cohort.advance(&events, next, counted, last);
    let at_next = way.cohort.at_least().into_iter().chain([stayed]);
    way.cohort = Cohort::new(at_next.collect());
    world.lose_after(kept).await;
    let now = world.logged("new").await;
    assert_eq!(now.position, lost.position);
    world.core().advance(now).await.unwrap();
    way.go(Way::Again).await.unwrap();
    let [first, second, third] = inboxes;
    for inbox in [first, second] {
        ended(&inbox).await;
        assert_eq!(*inbox.events.borrow(), []);
    }
    eventually("the event that it has not had", async || {
        third.events.borrow().len() == 1
    })
    .await;
    assert_eq!(*third.ended.borrow(), None);
}

#[actix::test]
async fn one_that_is_further_than_the_hub_waits_for_it() {
    let world = World::new().await;
    let kept = world.logged("kept").await;
    world.core().advance(kept).await.unwrap();
    let lost = world.logged("lost").await;
    let at = Progress::from(lost.head().cursor(lost.epoch));
    for (is_lost, worker) in [(false, 1), (true, 2)] {
        if is_lost {
            world.lose_after(kept).await;
            world.logged("new").await;
        }
        let (arriving, ..) = world.arriving(worker, lost);
        let travellers = vec![Traveller { arriving, at }];
        let joined = world.core().join(Join { travellers }).await;
        // If that is lost, it finds out itself: it proves where it is before each step.
        assert!(matches!(joined, Joined::NotYet), "{joined:?}");
    }
}

#[actix::test]
async fn equal_groups_of_the_slow_lane_that_share_a_place_are_judged_each_by_its_own() {
    let world = World::new().await;
    let Two { kept, lost } = world.delivered_two().await;
    let core = world.core();
    let inboxes = [kept, lost].map(|state| {
        let worker = state.position;
        let (arriving, _, inbox) = world.arriving(worker, state);
        core.arriving.borrow_mut().remove(&arriving.member);
        let Arriving {
            member,
            owner,
            interest,
            presence,
        } = arriving;
        let id = core
            .groups
            .borrow_mut()
            .add_detached(member, interest.clone(), &owner, presence);
        let at = Progress::from(state.head().cursor(state.epoch));
        let until = Instant::now() + Duration::from_secs(3_600);
        core.slow.enter(owner, Behind::new(id, interest, at, until));
        inbox
    });
    world.lose_after(kept).await;
    world.logged("new").await;
    let now = world.logged("newer").await;
    core.advance(now).await.unwrap();
    let hub = world.other.get().unwrap().downgrade();
    assert!(core.slow.round(core, &hub).await);
    let [before, past] = inboxes;
    ended(&past).await;
    assert_eq!(*past.events.borrow(), []);
    eventually("both events", async || before.events.borrow().len() == 2).await;
    assert_eq!(*before.ended.borrow(), None);
}

#[actix::test]
async fn pages_that_end_between_transactions_are_proved_by_the_one_before() {
    let world = World::new().await;
    let beginning = world.stamped().await;
    for transaction in 0..3 {
        world
            .run(&format!(
                r#"insert into "Fan" select '{transaction}-' || i from generate_series(1, 3000) i"#
            ))
            .await;
    }
    let logged = world.stamped().await;
    let log = &world.core().decider.log;
    let first = log.read(beginning.head(), logged.position).await.unwrap();
    assert_eq!(first.next, Place::after(beginning.position + 1));
    let (_, proof) = log.state(first.next).await.unwrap();
    assert_eq!(proof, Some(first.next.nonce));
    world.core().advance(logged).await.unwrap();
    assert!(world.is_served() && world.core().place.get().is_same(logged.head()));
}
