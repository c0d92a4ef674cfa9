//! What is read from a log that is another one than the feed has reported, or that was trimmed beyond what is requested.

use super::super::super::catch_up::Step;
use super::*;

const TIMEOUT: Duration = Duration::from_secs(20);

#[actix::test]
async fn nothing_is_delivered_of_a_log_that_is_another_one_than_the_feed_has_seen() {
    let world = World::new().await;
    let core = world.core();
    world.run(r#"insert into "Fan" values ('before')"#).await;
    let before = world.stamped().await;
    core.advance(before).await.unwrap();
    world.run(r#"insert into "Fan" values ('a')"#).await;
    let logged = world.stamped().await;
    // Restored, or switched over to a replica that lacks the last transactions, between the feed's look and the hub's.
    for (change, undo) in [
        (
            "update gom.feed set epoch = epoch + 2",
            "update gom.feed set epoch = epoch - 2",
        ),
        (
            "update gom.feed set position = position - 1",
            "update gom.feed set position = position + 1",
        ),
    ] {
        world.run(change).await;
        let advanced = timeout(TIMEOUT, core.advance(logged))
            .await
            .expect("it does not wait for positions that nobody gives");
        assert!(
            matches!(advanced, Err(StatementError::Unavailable(_))),
            "{change}: {advanced:?}"
        );
        assert_eq!(core.place.get(), Place::after(before.position), "{change}");
        assert!(
            world.is_served(),
            "{change}: the feed finds out, and the next look tells"
        );
        world.run(undo).await;
    }
    core.advance(logged).await.unwrap();
    assert_eq!(core.place.get(), Place::after(logged.position));
    assert!(world.is_served());
}

#[actix::test]
async fn a_member_that_catches_up_finds_out_what_was_trimmed_between_its_look_and_its_reading() {
    let world = World::new().await;
    let beginning = world.stamped().await;
    for i in 0..4 {
        world
            .run(&format!(r#"insert into "Fan" values ('{i}')"#))
            .await;
    }
    let logged = world.stamped().await;
    let arriving = world.member(0, Rc::new(Shut::default()));
    let from = Cursor::after(beginning.epoch, beginning.position);
    let way = world.alone(arriving, from);
    let read = async |at| way.read(at, Place::after(logged.position)).await.unwrap();
    let Step::Events { events, .. } = read(Progress::from(from)).await else {
        panic!("it has events")
    };
    assert_eq!(events.len(), 4);

    let of_another = Progress {
        epoch: logged.epoch + 2,
        ..Progress::from(from)
    };
    assert!(
        matches!(read(of_another).await, Step::Forgotten),
        "positions of another epoch mean nothing"
    );
    world
        .run("select gom.trim_changes('1 hour', 2, 1000)")
        .await;
    assert!(
        matches!(read(Progress::from(from)).await, Step::Forgotten),
        "two of four are gone"
    );
    let later = Progress::from(Cursor::after(logged.epoch, logged.position - 2));
    let Step::Events { events, .. } = read(later).await else {
        panic!("these are there")
    };
    assert_eq!(events.len(), 2);
}
