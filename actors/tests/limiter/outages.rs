//! The store goes away in the middle of an attack. No attempt is free, and everybody has an answer in time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use gom_actors::limiter::{LimiterStoreChoice, LoginLimiter, Verdict};
use gom_actors::redis::RedisOptions;
use gom_test_support::{TestRedis, eventually};
use tokio::time::Instant;

use crate::{Kind, Place, admitted, blocked, limit, started, usual};

/// What each call is promised is 600 ms, and two seconds more where it waits for attempts in flight; the rest is the time in
/// which a busy machine does not run us.
const PROMISE: Duration = Duration::from_secs(4);

#[derive(Default)]
struct Seen {
    admitted: Cell<usize>,
    blocked: Cell<usize>,
    latest: Cell<Duration>,
    waits: RefCell<Vec<Duration>>,
}

async fn attempt(limiter: LoginLimiter, user: Option<&'static str>, seen: Rc<Seen>) {
    let began = Instant::now();
    let verdict = limiter.reserve(user, "192.0.2.1").await;
    seen.latest.set(seen.latest.get().max(began.elapsed()));
    match verdict {
        Verdict::Admitted(_) => seen.admitted.set(seen.admitted.get() + 1),
        Verdict::Blocked { retry_after } => {
            seen.blocked.set(seen.blocked.get() + 1);
            seen.waits.borrow_mut().push(retry_after);
        }
        Verdict::Overloaded => panic!("overloaded"),
    }
}

/// A thousand guesses, spread over a moment, in the middle of which the server is taken away. Fewer pass before
/// than there are points, so that the memory has to go on with the right count.
async fn attacked(points: u32, take_away: impl Fn(&mut TestRedis)) -> (Place, Rc<Seen>) {
    let mut place = Place::with(Kind::Redis, |options| {
        options.consecutive = limit(points, 60_000, 60_000);
        options.slow = limit(5000, 60_000, 60_000);
    })
    .await;
    let mut redis = place.redis.take().unwrap();
    admitted(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
    let seen = Rc::new(Seen::default());
    let mut guesses = Vec::new();
    for number in 0..1000 {
        if number == 500 {
            take_away(&mut redis);
        }
        guesses.push(actix::spawn(attempt(
            place.limiter.clone(),
            Some("ana"),
            Rc::clone(&seen),
        )));
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for guess in guesses {
        guess.await.unwrap();
    }
    place.redis = Some(redis);
    (place, seen)
}

fn all_paid(place: &Place, seen: &Seen, points: usize) {
    assert_eq!(seen.admitted.get() + seen.blocked.get(), 1000);
    assert!(
        seen.latest.get() < PROMISE,
        "an answer after {:?}",
        seen.latest.get()
    );
    assert!(
        place.limiter.fallback_attempts() > 0,
        "the store was there all the time"
    );
    assert_eq!(
        seen.admitted.get() + 1,
        points,
        "admitted with the first one"
    );
}

#[actix::test]
async fn with_redis_killed_in_the_middle_no_attempt_is_free() {
    let (place, seen) = attacked(700, TestRedis::kill).await;
    all_paid(&place, &seen, 700);
}

#[actix::test]
async fn with_redis_frozen_in_the_middle_no_attempt_is_free() {
    let (place, seen) = attacked(700, |redis| redis.freeze()).await;
    all_paid(&place, &seen, 700);
}

#[actix::test]
async fn a_user_blocked_before_an_outage_stays_blocked_without_redis() {
    let (place, seen) = attacked(3, TestRedis::kill).await;
    all_paid(&place, &seen, 3);
    assert!(
        seen.waits
            .borrow()
            .iter()
            .all(|wait| *wait > Duration::from_secs(50))
    );
}

#[actix::test]
async fn attempts_counted_in_memory_are_written_to_redis_when_it_returns() {
    let mut place = Place::with(Kind::Redis, |options| {
        options.slow = limit(6, 60_000, 60_000)
    })
    .await;
    let mut redis = place.redis.take().unwrap();
    for _ in 0..2 {
        admitted(place.limiter.reserve(None, "192.0.2.1").await);
    }
    redis.kill();
    for _ in 0..2 {
        admitted(place.limiter.reserve(None, "192.0.2.1").await);
    }
    redis.restart();
    let fallback = place.limiter.fallback_attempts();
    // Others' attempts find out that the store is back.
    let mut others = 0;
    eventually("Redis is found again", async || {
        others += 1;
        let before = place.limiter.fallback_attempts();
        admitted(
            place
                .limiter
                .reserve(None, &format!("2001:db8::{others}"))
                .await,
        );
        place.limiter.fallback_attempts() == before
    })
    .await;
    assert!(fallback >= 2);
    // Two in Redis, two from memory, this one: another node sees all five.
    admitted(place.limiter.reserve(None, "192.0.2.1").await);
    let another = place.another().await;
    admitted(another.reserve(None, "192.0.2.1").await);
    blocked(another.reserve(None, "192.0.2.1").await);
}

#[actix::test]
async fn a_success_during_an_outage_is_given_back_in_memory() {
    let mut place = Place::of(Kind::Redis).await;
    let mut redis = place.redis.take().unwrap();
    admitted(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
    redis.kill();
    for _ in 0..20 {
        let reservation = admitted(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
        place.limiter.refund(reservation).await;
    }
}

/// A server that was never there, and one whose packets go nowhere.
#[actix::test]
async fn without_redis_from_the_start_memory_counts() {
    for options in [
        RedisOptions::new("127.0.0.1", 1),
        RedisOptions::new("192.0.2.254", 6379),
    ] {
        let options = usual(LimiterStoreChoice::Redis(options));
        let limiter = LoginLimiter::start(options, &started(None)).unwrap();
        for _ in 0..3 {
            let began = Instant::now();
            admitted(limiter.reserve(Some("ana"), "192.0.2.1").await);
            assert!(began.elapsed() < PROMISE, "{:?}", began.elapsed());
        }
        blocked(limiter.reserve(Some("ana"), "192.0.2.1").await);
        assert_eq!(limiter.fallback_attempts(), 4);
    }
}
