//! How many turns a user has, and for how long a busy one has fewer.

use std::cell::Cell;

use futures::future::join_all;

use super::*;

fn turns(in_flight: usize, busy_in_flight: usize, waiting: usize) -> Turns {
    Turns::new(TurnLimits {
        in_flight,
        busy_in_flight,
        waiting,
    })
}

fn within(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

/// Lets time pass: by tokio's timer, which stands still otherwise.
async fn pass(milliseconds: u64) {
    tokio::time::advance(Duration::from_millis(milliseconds)).await;
}

/// Takes so many turns at once, and gives them back after as long.
async fn run(turns: &Turns, user: &str, operations: usize, milliseconds: u64) {
    let all = join_all((0..operations).map(|_| turns.take(user, within(10_000)))).await;
    pass(milliseconds).await;
    assert!(all.iter().all(Result::is_ok));
}

fn remembered(turns: &Turns) -> usize {
    turns.0.open.lock().unwrap().lines.len()
}

#[actix_web::test]
async fn a_user_has_some_turns_at_once_some_wait_and_the_next_is_refused() {
    tokio::time::pause();
    let turns = turns(2, 2, 1);
    let first = turns.take("ana", within(10_000)).await.unwrap();
    let second = turns.take("ana", within(10_000)).await.unwrap();
    let waiting = turns.take("ana", within(10_000));
    let mut waiting = std::pin::pin!(waiting);
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    let refused = turns.take("ana", within(10_000)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooManyRequests);
    let expected = "A user may have 2 operations in flight (limits.in_flight_per_user) and 1 waiting \
                    (limits.waiting_per_user), 3 together; nothing was done. Try again.";
    assert_eq!(refused.message, expected);
    turns
        .take("eva", within(10_000))
        .await
        .expect("another's turns are another's");
    drop(first);
    let third = waiting.await.expect("the next turn");
    let late = turns.take("ana", within(1)).await.unwrap_err();
    assert!(late.message.contains("before the deadline"), "{late}");
    drop((second, third));
    assert_eq!(
        remembered(&turns),
        0,
        "nothing is kept of who has nothing in flight"
    );
}

/// How many more turns the user gets at once.
async fn at_once(turns: &Turns) -> usize {
    // A task that goes on and on gets nothing from tokio's semaphores.
    tokio::task::yield_now().await;
    let mut all: Vec<_> = (0..20)
        .map(|_| Box::pin(turns.take("ana", within(10_000))))
        .collect();
    let mut taken = Vec::new();
    for turn in &mut all {
        if let std::task::Poll::Ready(turn) = futures::poll!(turn.as_mut()) {
            taken.push(turn.unwrap());
        }
    }
    taken.len()
}

#[actix_web::test]
async fn who_keeps_the_database_busy_has_fewer_turns_until_that_is_forgotten() {
    tokio::time::pause();
    let turns = turns(8, 2, 32);
    assert_eq!(at_once(&turns).await, 2, "nothing is known of the user");
    run(&turns, "ana", 1, 60_000).await;
    assert_eq!(remembered(&turns), 0, "one after the other costs nothing");
    run(&turns, "ana", 2, 20).await;
    for most in 3..=8 {
        let found = at_once(&turns).await;
        assert!(found >= most, "nor do fast ones: {found} of {most}");
    }
    run(&turns, "ana", 8, 30).await;
    assert_eq!(
        at_once(&turns).await,
        8,
        "a page with some queries is not held up"
    );
    run(&turns, "ana", 3, 200).await;
    assert_eq!(at_once(&turns).await, 2);
    for _ in 0..1_000 {
        run(&turns, "ana", 1, 0).await;
    }
    assert_eq!(at_once(&turns).await, 2, "cheap ones do not make up for it");
    let error = {
        let _held = (
            turns.take("ana", within(1)).await.unwrap(),
            turns.take("ana", within(1)).await.unwrap(),
        );
        turns.take("ana", within(1)).await.unwrap_err()
    };
    let expected = "A user whose operations take long may have 2 in flight";
    assert!(error.message.starts_with(expected), "{error}");
    assert_eq!(remembered(&turns), 1, "also while nothing is in flight");
    pass(400).await;
    assert_eq!(
        at_once(&turns).await,
        2,
        "nobody gets all of them back at once"
    );
    assert!(at_once(&turns).await > 2);
    pass(10_000).await;
    run(&turns, "ana", 1, 0).await;
    assert_eq!(remembered(&turns), 0);
}

#[actix_web::test]
async fn who_has_begun_or_is_busy_is_refused_by_the_numbers_that_the_refusal_names() {
    tokio::time::pause();
    let turns = turns(8, 2, 4);
    for busy in [false, true] {
        let mut all: Vec<_> = (0..12)
            .map(|_| Box::pin(turns.take("ana", within(10_000))))
            .collect();
        let (mut in_flight, mut waiting) = (Vec::new(), 0);
        for turn in &mut all {
            match futures::poll!(turn.as_mut()) {
                std::task::Poll::Ready(turn) => in_flight.push(turn.unwrap()),
                std::task::Poll::Pending => waiting += 1,
            }
        }
        assert_eq!((in_flight.len(), waiting), (2, 10), "busy: {busy}");
        let refused = turns.take("ana", within(10_000)).await.unwrap_err();
        let expected = "A user may have 8 operations in flight (limits.in_flight_per_user) and 4 waiting \
                        (limits.waiting_per_user), 12 together; nothing was done. Try again.";
        assert_eq!(refused.message, expected, "busy: {busy}");
        drop((all, in_flight));
        run(&turns, "ana", 2, 1_000).await;
    }
}

#[actix_web::test]
async fn many_long_operations_side_by_side_are_remembered_for_longer_than_they_took() {
    tokio::time::pause();
    let turns = turns(8, 2, 32);
    let grow = async || {
        run(&turns, "ana", 2, 20).await;
        for _ in 0..8 {
            at_once(&turns).await;
        }
        assert_eq!(at_once(&turns).await, 8);
    };
    grow().await;
    run(&turns, "ana", 8, 10_000).await;
    // By their sum alone it would be forgotten by now.
    pass(200_000).await;
    for _ in 0..3 {
        assert_eq!(at_once(&turns).await, 2);
    }
    pass(100_000).await;
    grow().await;
    // A page that is slow once.
    run(&turns, "ana", 8, 900).await;
    pass(7_200).await;
    grow().await;
    // Two at once are what a busy user may have anyway.
    run(&turns, "ana", 2, 10_000).await;
    pass(20_000).await;
    grow().await;
}

#[actix_web::test]
async fn those_in_flight_go_on_and_what_was_done_is_forgotten_in_the_end() {
    tokio::time::pause();
    let turns = turns(8, 2, 32);
    let take = || turns.take("ana", within(3_600_000));
    let mut all = vec![take().await.unwrap()];
    for _ in 0..6 {
        drop(take().await);
    }
    all.extend(
        join_all((0..7).map(|_| take()))
            .await
            .into_iter()
            .map(Result::unwrap),
    );
    pass(3_600_000).await;
    let next = take();
    let mut next = std::pin::pin!(next);
    // One of them alone would be nothing.
    all.pop();
    all.pop();
    while all.len() > 1 {
        assert!(
            futures::poll!(next.as_mut()).is_pending(),
            "beside {}",
            all.len()
        );
        all.pop();
    }
    assert!(futures::poll!(next.as_mut()).is_ready(), "beside one");
    drop(all);
    pass(DEEPEST.as_millis() as u64 - 100).await;
    for expected in 2..=8 {
        assert!(at_once(&turns).await >= expected);
    }
}

#[actix_web::test]
async fn nothing_is_kept_of_a_crowd_that_has_gone() {
    tokio::time::pause();
    let turns = turns(8, 2, 32);
    for user in 0..10 * MANY {
        run(&turns, &user.to_string(), 2, 20).await;
    }
    assert!(remembered(&turns) <= 2 * MANY, "{}", remembered(&turns));
}

#[actix_web::test]
async fn never_more_are_in_flight_than_there_are_turns_and_who_gives_up_leaves_nothing() {
    tokio::time::pause();
    let turns = turns(3, 3, 1_000);
    let (now, most) = (Cell::new(0), Cell::new(0));
    let operation = async |patience| {
        let Ok(_turn) = turns.take("ana", within(patience)).await else {
            return;
        };
        now.set(now.get() + 1);
        most.set(most.get().max(now.get()));
        tokio::task::yield_now().await;
        now.set(now.get() - 1);
    };
    join_all((0..200).map(|n| operation(if n % 3 == 0 { 0 } else { 10_000 }))).await;
    assert_eq!((now.get(), most.get()), (0, 3));
    assert_eq!(remembered(&turns), 0);
}
