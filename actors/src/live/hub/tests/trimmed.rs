//! What the hub does when the log is trimmed beneath it, and what it reads and counts of it.

use gom_test_support::eventually;

use super::super::super::decide::Piece;
use super::super::super::join::{Join, Joined};
use super::*;

/// What a subscriber was given, and how its subscription ended.
#[derive(Default)]
pub(super) struct Inbox {
    pub events: RefCell<Vec<Cursor>>,
    pub ended: RefCell<Option<LiveError>>,
}

impl Sink for Inbox {
    fn event(&self, event: &Delivered) {
        self.events.borrow_mut().push(event.cursor);
    }

    fn ended(&self, reason: LiveError) {
        *self.ended.borrow_mut() = Some(reason);
    }
}

impl World {
    /// A member of the hub's group, which has had everything so far.
    pub(super) async fn subscribed(&self) -> Rc<Inbox> {
        let state = self.stamped().await;
        self.core().advance(state).await.unwrap();
        let inbox = Rc::new(Inbox::default());
        let arriving = self.member(1, Rc::clone(&inbox) as Rc<dyn Sink>);
        self.core().arriving.borrow_mut().remove(&arriving.member);
        self.core().groups.borrow_mut().add(
            arriving.member,
            arriving.interest,
            &arriving.owner,
            arriving.presence,
        );
        inbox
    }

    /// What the hub reads next.
    async fn read(&self, state: LogState) -> Vec<Piece> {
        let core = self.core();
        let page = core
            .decider
            .log
            .read(core.place.get(), state.position)
            .await
            .unwrap();
        core.decider
            .interpret(&page.pieces, &mut core.counted.get())
    }
}

#[actix::test]
async fn rows_trimmed_between_reading_the_log_and_the_payloads_end_in_a_resync_and_in_no_event() {
    for change in [
        r#"insert into "Fan" values ('b'), ('c')"#,
        r#"update "Fan" set id = 'd' where id = 'a'"#,
        // Its node is in the log alone.
        r#"delete from "Fan" where id = 'a'"#,
    ] {
        let world = World::new().await;
        world.run(r#"insert into "Fan" values ('a')"#).await;
        let inbox = world.subscribed().await;
        let (core, before) = (world.core(), world.core().place.get());
        world.run(change).await;
        let state = world.stamped().await;
        let pieces = world.read(state).await;
        world.run("select gom.trim_changes('0 s', 1000, 100)").await;

        let distributed = core.distribute(&pieces, state.epoch).await;
        assert!(
            matches!(distributed, Err(StatementError::Unavailable(_))),
            "{change}: {distributed:?}"
        );
        assert_eq!(core.place.get(), before, "{change}: the hub reads it again");
        core.advance(state).await.unwrap();
        eventually("the subscription's end", async || {
            inbox.ended.borrow().is_some()
        })
        .await;
        assert_eq!(*inbox.ended.borrow(), Some(LiveError::Resync), "{change}");
        assert_eq!(*inbox.events.borrow(), [], "{change}");
    }
}

#[actix::test]
async fn events_are_delivered_when_only_earlier_rows_are_trimmed_while_they_are_decided() {
    let world = World::new().await;
    world.run(r#"insert into "Fan" values ('a')"#).await;
    let inbox = world.subscribed().await;
    world.run(r#"delete from "Fan" where id = 'a'"#).await;
    let state = world.stamped().await;
    let pieces = world.read(state).await;
    world
        .run("select gom.trim_changes('1 hour', 1, 1000)")
        .await;
    assert_eq!(world.stamped().await.oldest, state.position - 1);

    let core = world.core();
    core.distribute(&pieces, state.epoch).await.unwrap();
    eventually("the event", async || !inbox.events.borrow().is_empty()).await;
    assert_eq!(*inbox.events.borrow(), [World::cursor(state, 0)]);
    assert_eq!(*inbox.ended.borrow(), None);
}

#[actix::test]
async fn a_last_page_that_was_trimmed_beneath_the_hub_is_a_restart() {
    let world = World::new().await;
    for i in 0..4 {
        world
            .run(&format!(r#"insert into "Fan" values ('{i}')"#))
            .await;
    }
    let logged = world.stamped().await;
    world
        .run("select gom.trim_changes('1 hour', 2, 1000)")
        .await;
    world.core().advance(logged).await.unwrap();
    assert!(!world.is_served(), "it has missed two of four");
    assert_eq!(world.core().place.get(), Place::after(logged.position));
}

#[actix::test]
async fn a_large_transaction_that_was_trimmed_between_two_pages_is_a_restart() {
    let world = World::new().await;
    world
        .run(r#"insert into "Fan" select i::text from generate_series(1, 5500) i"#)
        .await;
    let logged = world.stamped().await;
    let page = world
        .core()
        .decider
        .log
        .read(world.core().place.get(), logged.position)
        .await
        .unwrap();
    assert!(!page.next.is_whole(), "it has more than a page");
    world.core().move_to(logged.epoch, page.next);
    // Its very first step forgets all of it.
    world.run("select gom.trim_changes('0 s', 1000, 100)").await;
    world.core().advance(logged).await.unwrap();
    assert!(!world.is_served(), "the second page is gone");
}

#[actix::test]
async fn what_was_not_forgotten_is_delivered_also_while_the_log_is_trimmed() {
    let world = World::new().await;
    world.run(r#"insert into "Fan" values ('a')"#).await;
    let first = world.stamped().await;
    world.core().advance(first).await.unwrap();
    world
        .run(r#"insert into "Fan" select i::text from generate_series(1, 5500) i"#)
        .await;
    let logged = world.stamped().await;
    world
        .run("select gom.trim_changes('1 hour', 5500, 1000)")
        .await;
    world.core().advance(logged).await.unwrap();
    assert!(world.is_served());
    assert_eq!(world.core().place.get(), Place::after(logged.position));
    assert_eq!(world.core().counted.get(), (logged.position, 5_500));
}

#[actix::test]
async fn the_parts_of_a_transaction_are_counted_from_zero_in_a_new_epoch() {
    let world = World::new().await;
    world.run(r#"insert into "Fan" values ('a'), ('b')"#).await;
    let state = world.stamped().await;
    world.core().advance(state).await.unwrap();
    assert_eq!(world.core().counted.get(), (state.position, 2));
    world
        .core()
        .advance(LogState {
            epoch: state.epoch + 2,
            position: 0,
            nonce: 0,
            oldest: 0,
        })
        .await
        .unwrap();
    assert_eq!(
        world.core().counted.get(),
        (0, 0),
        "the next transaction may have the same position"
    );
}

#[actix::test]
async fn reading_goes_no_further_than_the_log() {
    let world = World::new().await;
    world.run(r#"insert into "Fan" values ('a')"#).await;
    let state = world.stamped().await;
    // The goal of an epoch that is over.
    let page = world
        .core()
        .decider
        .log
        .read(Place::after(0), state.position + 1_000)
        .await
        .unwrap();
    assert_eq!(page.next, Place::after(state.position));
    assert_eq!((page.state, page.pieces.len()), (state, 1));
    let page = world
        .core()
        .decider
        .log
        .read(page.next, state.position + 1_000)
        .await
        .unwrap();
    assert_eq!(
        (page.state, page.pieces.len()),
        (state, 0),
        "the state comes without rows too"
    );
}

#[actix::test]
async fn who_has_read_another_epoch_does_not_join() {
    let world = World::new().await;
    let state = world.stamped().await;
    world.core().advance(state).await.unwrap();
    let member = Member { worker: 0, slot: 1 };
    let place = state.head();
    for (epoch, joins) in [(state.epoch + 2, false), (state.epoch, true)] {
        world.core().arriving.borrow_mut().insert(member);
        let (interest, owner, presence) = (world.interest.clone(), Owner::Service, Presence::new());
        let arriving = Arriving {
            member,
            owner,
            interest,
            presence,
        };
        let at = Progress {
            epoch,
            place,
            counted: (0, 0),
            after: None,
        };
        let travellers = vec![Traveller { arriving, at }];
        let joined = world.core().join(Join { travellers }).await;
        assert_eq!(matches!(joined, Joined::Done), joins, "{joined:?}");
    }
    assert_eq!(
        world.core().place_in(state.epoch + 2),
        None,
        "nor is the hub's place its goal"
    );
}

#[actix::test]
async fn what_the_thread_does_for_others_is_not_charged_to_a_statement() {
    let world = World::new().await;
    let log = &world.core().decider.trusted;
    let statement = gom_engine::plan::Statement {
        sql: "select 1".to_owned(),
        params: Vec::new(),
    };
    log.rows(&statement).await.unwrap();
    let for_others = Duration::from_millis(500);
    let encoding = async {
        std::thread::sleep(for_others);
        world.core().history.thread.add(for_others);
    };
    let ((answer, took), ()) = futures::future::join(log.timed_rows(&statement), encoding).await;
    answer.unwrap();
    assert!(took < for_others, "{took:?}");
    // It is charged with what follows.
    let slow = gom_engine::plan::Statement {
        sql: "select pg_sleep(0.2)".to_owned(),
        params: Vec::new(),
    };
    let (answer, took) = log.timed_rows(&slow).await;
    answer.unwrap();
    assert!(took >= Duration::from_millis(200), "{took:?}");
}
