//! A thousand wrong guesses, in waves: as many pass as there are points, and not one more.

use futures::future::join_all;
use gom_actors::limiter::{LoginLimiter, Verdict};

use crate::{Kind, Place, limit};

const GUESSES: usize = 1000;
/// So many at once. All of them at once would have to be answered within the patience of one.
const WAVE: usize = 100;

/// How many of the guesses were admitted; none may be left without a verdict.
pub async fn guess(limiters: &[LoginLimiter], user: Option<&str>, address: &str) -> usize {
    let mut admitted = 0;
    for _ in 0..GUESSES / WAVE {
        let wave = (0..WAVE).map(|number| limiters[number % limiters.len()].reserve(user, address));
        let verdicts = join_all(wave).await;
        assert!(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Overloaded)));
        admitted += verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Admitted(_))).count();
    }
    admitted
}

async fn storm(kind: Kind) {
    let place = Place::with(kind, |options| options.slow = limit(50, 60_000, 60_000)).await;
    assert_eq!(guess(std::slice::from_ref(&place.limiter), Some("ana"), "192.0.2.1").await, 3);
    // The address paid for those three only.
    assert_eq!(guess(std::slice::from_ref(&place.limiter), None, "192.0.2.1").await, 47);
    assert_eq!(place.limiter.insured(), 0);
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
    let place = Place::of(kind).await;
    let nodes = [place.limiter.clone(), place.another().await];
    assert_eq!(guess(&nodes, Some("ana"), "192.0.2.1").await, 3);
    assert_eq!(nodes[0].insured() + nodes[1].insured(), 0);
}

#[actix::test]
async fn a_storm_on_redis_from_two_nodes() {
    two_nodes(Kind::Redis).await;
}

#[actix::test]
async fn a_storm_on_postgresql_from_two_nodes() {
    two_nodes(Kind::Postgres).await;
}
