//! Attempts are reserved and settled of the same few people and addresses from two nodes at once: nobody waits for a lock in a
//! circle, and in the end as many points are gone as attempts were wrong.

use std::collections::BTreeMap;

use futures::StreamExt;
use gom_actors::limiter::{LoginLimiter, Verdict};
use gom_test_support::eventually;
use tokio_postgres::NoTls;

use crate::{Kind, Place, limit};
use gom_test_support::dice::Dice;

const ATTEMPTS: usize = 600;
const AT_ONCE: usize = 40;
const PEOPLE: [&str; 3] = ["ana", "bea", "eva"];
const ADDRESSES: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
/// A store that does not answer in time, as on a machine that stands still, is no part of this: then it begins again.
const TRIES: usize = 5;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn first_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    asked("LIMITER_SEED").unwrap_or(now.as_secs() * 1_000)
}

/// One attempt: whose, from where, and whether it is right.
type Attempt = (usize, &'static str, &'static str, bool);

fn attempts(dice: &mut Dice) -> Vec<Attempt> {
    let count = asked("PROPTEST_CASES").map_or(ATTEMPTS, |cases| ATTEMPTS.max(cases as usize));
    let attempt = |_| {
        (
            dice.below(2),
            *dice.pick(&PEOPLE),
            *dice.pick(&ADDRESSES),
            dice.chance(50),
        )
    };
    (0..count).map(attempt).collect()
}

/// Whether all were admitted by the store.
async fn made(nodes: &[LoginLimiter; 2], attempts: &[Attempt]) -> bool {
    let one = async |(node, person, address, right): &Attempt| {
        let limiter: &LoginLimiter = &nodes[*node];
        match limiter.reserve(Some(person), address).await {
            Verdict::Admitted(reservation) if *right => limiter.refund(reservation).await,
            Verdict::Admitted(reservation) => drop(reservation),
            _ => return false,
        }
        true
    };
    let admitted: Vec<bool> = futures::stream::iter(attempts)
        .map(one)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    admitted.into_iter().all(|admitted| admitted)
        && nodes.iter().all(|node| node.fallback_attempts() == 0)
}

/// How many points of each address are gone: it has that many fewer than another one.
async fn points_left(node: &LoginLimiter, address: &str, most: usize) -> usize {
    let mut left = 0;
    while left <= most && matches!(node.reserve(None, address).await, Verdict::Admitted(_)) {
        left += 1;
    }
    left
}

async fn mixed(kind: Kind) {
    let first = first_seed();
    for seed in first..first + TRIES as u64 {
        println!("LIMITER_SEED={seed}");
        let attempts = attempts(&mut Dice::new(seed));
        let points = attempts.len() as u32 + 10;
        let place = Place::with(kind, |options| {
            options.consecutive = limit(points, 600_000, 600_000);
            options.slow = limit(points, 600_000, 600_000);
            options.account = limit(points, 600_000, 0);
            options.right = limit(points, 600_000, 0);
        })
        .await;
        if let Some(postgres) = &place.postgres {
            // Else nobody waits for as long as it takes to find out.
            let sooner = format!(
                "alter database \"{}\" set deadlock_timeout = '20ms'",
                postgres.name()
            );
            let (admin, connection) = postgres.admin_config().connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            admin.batch_execute(&sooner).await.unwrap();
        }
        let nodes = [place.another().await, place.another().await];
        let in_time = made(&nodes, &attempts).await;
        let mut wrong: BTreeMap<&str, usize> = BTreeMap::new();
        attempts
            .iter()
            .filter(|attempt| !attempt.3)
            .for_each(|attempt| *wrong.entry(attempt.2).or_default() += 1);
        let mut left = BTreeMap::new();
        for address in ADDRESSES {
            left.insert(
                address,
                points_left(&nodes[0], address, points as usize).await,
            );
        }
        let fallback: u64 = nodes.iter().map(LoginLimiter::fallback_attempts).sum();
        if let Some(postgres) = &place.postgres {
            let client = postgres.connect().await;
            // What has happened to a connection is reported when it ends.
            drop((nodes, place.limiter, place.database));
            let others = "select count(*) from pg_stat_activity where datname = current_database() \
                          and backend_type = 'client backend' and pid <> pg_backend_pid()";
            eventually("all connections have ended", async || {
                client
                    .query_one(others, &[])
                    .await
                    .unwrap()
                    .get::<_, i64>(0)
                    == 0
            })
            .await;
            let deadlocks =
                "select deadlocks from pg_stat_database where datname = current_database()";
            let deadlocks: i64 = client.query_one(deadlocks, &[]).await.unwrap().get(0);
            assert_eq!(deadlocks, 0, "LIMITER_SEED={seed}");
        }
        if in_time && fallback == 0 {
            for (address, left) in left {
                assert_eq!(
                    left + wrong[address],
                    points as usize,
                    "LIMITER_SEED={seed}: {address}"
                );
            }
            return;
        }
    }
    panic!("the store did not answer in time, {TRIES} times");
}

#[actix::test]
async fn attempts_of_two_nodes_do_not_block_each_other_and_add_up_in_redis() {
    mixed(Kind::Redis).await;
}

#[actix::test]
async fn attempts_of_two_nodes_do_not_block_each_other_and_add_up_in_postgresql() {
    mixed(Kind::Postgres).await;
}
