//! The parts that no store is needed for.

use std::time::Duration;

use actix::{Handler, Message};
use tokio::time::Instant;

use super::fallback::{InMemoryFallback, blocked};
use super::rate_limiter::RateLimiter;
use super::stores::{Count, Take};
use super::{Limit, LimiterOptions, LimiterStoreChoice, LoginLimiter, Verdict, take};
use crate::database::{Database, DatabaseOptions};
use gom_runtime::supervision::Context;

const LIMIT: Limit = Limit {
    points: 3,
    duration: Duration::from_secs(60),
    block_duration: Duration::from_secs(600),
};

#[derive(Message)]
#[rtype(result = "()")]
struct Break;

impl Handler<Break> for RateLimiter {
    type Result = ();

    fn handle(&mut self, _: Break, _: &mut Context<Self>) {
        panic!("broken on purpose");
    }
}

fn in_memory() -> LoginLimiter {
    let config = "host=127.0.0.1 port=1 user=nobody".parse().unwrap();
    let database = Database::start(DatabaseOptions::new(config)).unwrap();
    let options = LimiterOptions {
        consecutive: LIMIT,
        slow: LIMIT,
        account: LIMIT,
        right: LIMIT,
        store: LimiterStoreChoice::Memory,
    };
    LoginLimiter::start(options, &database).unwrap()
}

#[actix::test]
async fn a_limiter_that_panicked_is_restarted_and_serves_requests_meanwhile() {
    let limiter = in_memory();
    for broken in 1..4 {
        let address = limiter.limiter.wait().await.unwrap();
        assert!(
            address.send(Break).await.is_err(),
            "the message that it handled is lost"
        );
        let verdict = limiter.reserve(None, "192.0.2.1").await;
        assert!(matches!(verdict, Verdict::Admitted(_)), "{verdict:?}");
        assert_eq!(limiter.restarts().panicked, broken);
    }
}

fn one() -> [Take; 1] {
    [take("slow", "a", LIMIT)]
}

fn counted(consumed: u32) -> Count {
    Count {
        consumed,
        left: Duration::from_secs(60),
        busy: false,
    }
}

#[tokio::test]
async fn memory_goes_on_where_the_store_stopped() {
    let (mut fallback, now, key) = (
        InMemoryFallback::default(),
        Instant::now(),
        one()[0].key.clone(),
    );
    assert_eq!(fallback.claim(&key, now), 0);
    fallback.follow(&key, 0, counted(2), now);
    let counts = fallback.reserve(&one(), now).unwrap();
    assert_eq!((counts[0].consumed, blocked(&one(), &counts)), (3, None));
    let counts = fallback.reserve(&one(), now).unwrap();
    assert_eq!(blocked(&one(), &counts), Some(LIMIT.block_duration));
}

#[tokio::test]
async fn what_memory_counted_is_handed_over_once() {
    let (mut fallback, now, key) = (
        InMemoryFallback::default(),
        Instant::now(),
        one()[0].key.clone(),
    );
    fallback.reserve(&one(), now).unwrap();
    fallback.reserve(&one(), now).unwrap();
    let claimed = fallback.claim(&key, now);
    assert_eq!((claimed, fallback.claim(&key, now)), (2, 0));
    // On its way it still counts for those whom the store does not answer.
    assert_eq!(fallback.reserve(&one(), now).unwrap()[0].consumed, 3);
    fallback.lost(&key, claimed);
    assert_eq!(fallback.claim(&key, now), 3);
    fallback.follow(&key, 3, counted(4), now);
    assert_eq!(fallback.claim(&key, now), 0);
    assert_eq!(fallback.reserve(&one(), now).unwrap()[0].consumed, 5);
}

#[tokio::test]
async fn a_late_answer_of_the_store_forgives_nothing() {
    let (mut fallback, now, key) = (
        InMemoryFallback::default(),
        Instant::now(),
        one()[0].key.clone(),
    );
    // Two attempts that the store does not answer, while a third one's answer is on its way.
    fallback.reserve(&one(), now).unwrap();
    fallback.reserve(&one(), now).unwrap();
    assert_eq!(fallback.follow(&key, 0, counted(2), now).consumed, 4);
}

#[tokio::test]
async fn what_has_ended_is_forgotten() {
    let (mut fallback, now, key) = (
        InMemoryFallback::default(),
        Instant::now(),
        one()[0].key.clone(),
    );
    fallback.reserve(&one(), now).unwrap();
    let later = now + LIMIT.duration;
    assert_eq!(fallback.claim(&key, later), 0);
    assert!(!fallback.give_back(&key, later));
    assert_eq!(fallback.reserve(&one(), later).unwrap()[0].consumed, 1);
}
