//! Bounds for each reader and in all, and who is ended where they are reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn user(name: &str) -> Reader {
    Reader::User(name.into())
}

fn waiting() -> Waiting {
    Waiting::new(WaitingBounds {
        service: 400,
        user: 100,
        all: 300,
    })
}

fn hold(waiting: &Waiting, name: &str, bytes: usize) -> Holding {
    waiting.account(&user(name)).hold(bytes, &Arc::default())
}

#[test]
fn bytes_count_for_their_reader_and_in_all_until_they_are_read_or_dropped() {
    let waiting = waiting();
    let holding = hold(&waiting, "ana", 60);
    let elsewhere = waiting.account(&user("ana")).charge(40);
    assert_eq!(waiting.admit(&user("ana")), Err(Full::Reader));
    assert_eq!(
        (waiting.admit(&user("bea")), waiting.admit(&Reader::Service)),
        (Ok(()), Ok(()))
    );
    holding.release(1);
    assert_eq!((waiting.admit(&user("ana")), waiting.bytes()), (Ok(()), 99));
    let (batch, share) = (waiting.charge(50), waiting.account(&user("ana")).share(50));
    assert_eq!(
        (waiting.admit(&user("ana")), waiting.bytes()),
        (Err(Full::Reader), 149)
    );
    drop((holding, elsewhere, batch, share));
    assert_eq!(waiting.bytes(), 0);
    assert!(
        waiting.accounts().is_empty(),
        "nothing is left of who has gone"
    );
}

#[test]
fn where_too_much_waits_in_all_the_greatest_is_ended_for_others() {
    let waiting = waiting();
    let service = waiting.account(&Reader::Service).hold(120, &Arc::default());
    let ana = [hold(&waiting, "ana", 31), hold(&waiting, "ana", 60)];
    let bea = hold(&waiting, "bea", 88);
    assert_eq!(waiting.admit(&user("eva")), Ok(()));
    bea.add(1);
    let ended = || {
        (
            service.is_ended(),
            ana[0].is_ended(),
            ana[1].is_ended(),
            bea.is_ended(),
        )
    };
    assert_eq!(
        waiting.admit(&Reader::Service),
        Err(Full::All),
        "nobody is ended for who holds most"
    );
    assert_eq!(ended(), (false, false, false, false));
    assert_eq!(
        (waiting.admit(&user("eva")), waiting.admit(&user("eva"))),
        (Ok(()), Ok(()))
    );
    assert_eq!(
        ended(),
        (true, false, false, false),
        "no more than makes room"
    );
    // It has not gone yet, and what it is still given does not end others.
    service.add(1_000);
    assert!(waiting.make_room() && !bea.is_ended());
    let _more = waiting.charge(120);
    assert!(waiting.make_room());
    assert_eq!(
        ended(),
        (true, false, true, false),
        "of the user with the most, the greatest"
    );
    drop(service);
    assert!(!waiting.is_full());
}

#[test]
fn nobody_is_ended_for_a_greater_one_who_has_nothing_that_could_end() {
    let waiting = waiting();
    let _events = (
        waiting.charge(280),
        waiting.account(&user("ana")).share(280),
    );
    let bea = hold(&waiting, "bea", 20);
    assert!(!waiting.make_room() && !bea.is_ended());
    assert_eq!(waiting.admit(&user("eva")), Err(Full::All));
}

#[test]
fn the_count_is_exact_however_many_threads_hold_and_end() {
    let waiting = Waiting::new(WaitingBounds {
        service: 400,
        user: 100,
        all: 100,
    });
    let ended = AtomicUsize::new(0);
    // So that one thread alone comes to the bound, wherever the others are.
    let waits = hold(&waiting, "carla", 20);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (waiting, ended) = (&waiting, &ended);
            scope.spawn(move || {
                for round in 0..2_000 {
                    let holding = hold(waiting, ["ana", "bea"][n % 2], round % 90);
                    let _ = waiting.admit(&user("eva"));
                    holding.add(7);
                    holding.release(round % 11);
                    ended.fetch_add(usize::from(holding.is_ended()), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(ended.into_inner() > 0, "some are ended");
    drop(waits);
    assert_eq!(
        (waiting.bytes(), waiting.0.ending.load(Ordering::Relaxed)),
        (0, 0)
    );
    assert!(waiting.accounts().is_empty());
}
