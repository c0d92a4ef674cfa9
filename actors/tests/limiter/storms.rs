//! A thousand wrong guesses at once: as many pass as there are points, and not one more.

use futures::future::join_all;
use gom_actors::limiter::{LoginLimiter, Verdict};

use crate::{Kind, Place, limit};

const GUESSES: usize = 1000;
/// A store that does not answer in time, as on a machine that stands still, is no part of this: then it begins again.
const TRIES: usize = 5;

/// How many of the guesses were admitted; none may be left without a verdict.
pub async fn guess(limiters: &[LoginLimiter], user: Option<&str>, address: &str) -> usize {
    let guesses =
        (0..GUESSES).map(|number| limiters[number % limiters.len()].reserve(user, address));
    let verdicts = join_all(guesses).await;
    assert!(
        !verdicts
            .iter()
            .any(|verdict| matches!(verdict, Verdict::Overloaded))
    );
    verdicts
        .iter()
        .filter(|verdict| matches!(verdict, Verdict::Admitted(_)))
        .count()
}

async fn storm(kind: Kind) {
    for _ in 0..TRIES {
        let place = Place::with(kind, |options| options.slow = limit(50, 60_000, 60_000)).await;
        let limiter = std::slice::from_ref(&place.limiter);
        let of_user = guess(limiter, Some("ana"), "192.0.2.1").await;
        let of_address = guess(limiter, None, "192.0.2.1").await;
        if place.limiter.fallback_attempts() == 0 {
            // The address paid for those three only.
            assert_eq!((of_user, of_address), (3, 47));
            return;
        }
    }
    panic!("the store did not answer in time, {TRIES} times");
}

#[actix::test]
async fn a_storm_on_redis() {
    storm(Kind::Redis).await;
}

#[actix::test]
async fn a_storm_on_postgresql() {
    storm(Kind::Postgres).await;
}

#[actix::test]
async fn a_storm_in_memory() {
    storm(Kind::Memory).await;
}

/// The same from two nodes at once.
async fn two_nodes(kind: Kind) {
    for _ in 0..TRIES {
        let place = Place::of(kind).await;
        let nodes = [place.limiter.clone(), place.another().await];
        let admitted = guess(&nodes, Some("ana"), "192.0.2.1").await;
        if nodes[0].fallback_attempts() + nodes[1].fallback_attempts() == 0 {
            assert_eq!(admitted, 3);
            return;
        }
    }
    panic!("the store did not answer in time, {TRIES} times");
}

#[actix::test]
async fn a_storm_on_redis_from_two_nodes() {
    two_nodes(Kind::Redis).await;
}

#[actix::test]
async fn a_storm_on_postgresql_from_two_nodes() {
    two_nodes(Kind::Postgres).await;
}
