//! The events that subscribers receive of random changes on random rows in a real PostgreSQL, beside what queries find before
//! and after each transaction: of the nodes that the same query finds, with the values that the viewer saw before, as soon as the
//! change is there and after another one has followed; nobody is passed over by the index; and nothing depends on what is
//! hidden.
//!
//! `PROPTEST_CASES` asks for more worlds than the usual number. A failure names its seed, and `EVENTS_SEED` begins
//! with it.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod leaves;
mod log;
mod oracle;
mod payloads;
mod session;
mod two_worlds;
mod world;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use gom_engine::datamodel::ModelId;
use gom_engine::events::{NodeChange, Subscription, UpdateCause};
use gom_test_support::TestDatabase;
use serde_json::Value;

use crate::oracle::{Moment, Oracle};
use crate::session::Session;
use crate::world::{Asked, World};
use gom_test_support::dice::Dice;

const WORLDS: u64 = 30;
const SUBSCRIPTIONS: usize = 24;

/// The event that the subscriber receives of each change, by its place.
async fn delivered(
    client: &Session,
    world: &World,
    subscription: &Subscription,
    changes: &[&NodeChange],
) -> BTreeMap<usize, String> {
    let statement = world.planner.payloads(subscription, changes).unwrap();
    let rows = client.rows(&statement).await;
    rows.iter()
        .map(|row| (usize::try_from(row.get::<_, i32>(0)).unwrap(), row.get(1)))
        .collect()
}

/// The changes that the index finds for the subscription.
async fn found(
    client: &Session,
    world: &World,
    subscription: &Subscription,
    changes: &[&NodeChange],
) -> BTreeSet<usize> {
    let Some(key) = subscription.key() else {
        return (0..changes.len()).collect();
    };
    let statement = world
        .planner
        .probe(subscription.model(), &[key.path], changes);
    let rows = client.rows(&statement).await;
    let hit = rows
        .iter()
        .filter(|row| row.get::<_, i32>(1) == 0 && row.get::<_, &str>(2) == key.value);
    hit.map(|row| usize::try_from(row.get::<_, i32>(0)).unwrap())
        .collect()
}

fn of_model(changes: &[NodeChange], model: ModelId) -> Vec<&NodeChange> {
    changes
        .iter()
        .filter(|change| change.model == model)
        .collect()
}

fn first_seed() -> u64 {
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    number("EVENTS_SEED").unwrap_or_else(|| now() * 1_000)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whether the event is read when something has followed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reading {
    Live,
    Late,
}

/// What was tried, or nothing was.
#[derive(Debug, Default)]
struct Tally {
    indexed: usize,
    delivered: usize,
    late: usize,
    departed: usize,
    moved_in: usize,
    withheld: usize,
}

impl Tally {
    /// Whether enough of each kind was compared for the comparison to mean something.
    fn is_enough(&self) -> bool {
        let Tally {
            indexed,
            delivered,
            late,
            departed,
            moved_in,
            withheld,
        } = *self;
        indexed > 100
            && delivered > 200
            && late > 50
            && departed > 20
            && moved_in > 0
            && withheld > 10
    }

    /// Compares the delivered events with the oracle's.
    #[allow(clippy::too_many_arguments)]
    async fn compare(
        &mut self,
        client: &Session,
        subscription: &Subscription,
        exact: bool,
        oracle: &Oracle<'_>,
        changes: &[NodeChange],
        reading: Reading,
        context: &str,
    ) {
        let of_model = of_model(changes, subscription.model());
        let delivered = delivered(client, oracle.world, subscription, &of_model).await;
        let found = found(client, oracle.world, subscription, &of_model).await;
        for at in delivered.keys() {
            assert!(
                found.contains(at),
                "passed over: {:?}\n{context}",
                of_model[*at]
            );
            assert!(
                subscription.admits(of_model[*at]),
                "not admitted: {:?}\n{context}",
                of_model[*at]
            );
        }
        self.indexed += usize::from(subscription.key().is_some());
        if !exact {
            return;
        }
        for (at, change) in of_model.iter().enumerate() {
            let context = format!("{reading:?} {change:?}\n{context}");
            let payload: Option<Value> = delivered
                .get(&at)
                .map(|payload| serde_json::from_str(payload).unwrap());
            let expected = oracle.of(change);
            assert_eq!(
                payload.is_some(),
                expected.is_some(),
                "{payload:?} {expected:?}\n{context}"
            );
            let (Some(payload), Some((names, previous))) = (payload, expected) else {
                self.withheld += usize::from(oracle.found_now.contains(&change.id));
                continue;
            };
            assert_eq!(payload["updatedFields"], names, "{context}");
            let full = oracle.asked.role.is_none();
            self.delivered += 1;
            self.late += usize::from(reading == Reading::Late);
            self.departed += usize::from(payload["mutation"] == "DELETED");
            self.moved_in += usize::from(payload["mutation"] == "UPDATED" && previous.is_null());
            if reading == Reading::Live {
                assert_eq!(payload["previousValues"], previous, "{context}");
            } else if !(full && change.cause == UpdateCause::Parts) {
                // Lists and, for the service role, rows without a change have their values of that time.
                let scalars = |value: &Value| {
                    let mut value = value.clone();
                    let lists = value
                        .as_object_mut()
                        .map(|row| [row.remove("tags"), row.remove("times")]);
                    (value, lists.is_some())
                };
                assert_eq!(
                    scalars(&payload["previousValues"]),
                    scalars(&previous),
                    "{context}"
                );
            }
        }
    }
}

#[tokio::test]
async fn events_agree_with_queries_before_and_after_the_change() {
    let first = first_seed();
    let test = TestDatabase::create().await;
    let mut client = Session::open(&test).await;
    let world = World::create(&mut client).await;
    let mut tally = Tally::default();
    for seed in first.. {
        // Some events are rare: worlds are added until each has occurred often enough, up to a bound.
        let wanted = number("PROPTEST_CASES");
        let bound = wanted.unwrap_or(if tally.is_enough() {
            WORLDS
        } else {
            4 * WORLDS
        });
        if seed - first >= bound {
            break;
        }
        let dice = &mut Dice::new(seed);
        client.batch_execute(&world.fill(dice)).await.unwrap();
        let viewers = [
            world.some_viewer(dice),
            world.some_viewer(dice),
            world.some_viewer(dice),
        ];
        let subscriptions: Vec<(bool, Asked, Subscription)> = (0..SUBSCRIPTIONS)
            .map(|_| {
                let (of_changes, limited) = (dice.chance(25), dice.chance(75));
                let viewer = limited.then(|| dice.pick(&viewers).clone());
                let (asked, subscription) = world.subscribe(of_changes, viewer, dice);
                (!of_changes, asked, subscription)
            })
            .collect();
        let roles = || subscriptions.iter().map(|(_, asked, _)| &asked.role);
        let found = async || {
            let mut found = Vec::new();
            for (exact, asked, _) in &subscriptions {
                found.push(if *exact {
                    oracle::found(&client, &world, asked).await
                } else {
                    BTreeSet::new()
                });
            }
            found
        };
        let (sql, later) = (world.writes(dice), world.writes(dice));
        let before = Moment::look(&client, &world, roles()).await;
        let found_before = found().await;
        let changes = log::run(&client, &world, &sql).await;
        let after = Moment::look(&client, &world, roles()).await;
        let found_after = found().await;
        let context = |asked: &Asked, subscription: &Subscription| {
            format!(
                "EVENTS_SEED={seed}\n{asked:?}\n{:?}\n{sql}\n{later}",
                subscription.key()
            )
        };
        for (i, (exact, asked, subscription)) in subscriptions.iter().enumerate() {
            let oracle = Oracle {
                world: &world,
                asked,
                before: &before,
                after: &after,
                found_before: &found_before[i],
                found_now: &found_after[i],
            };
            let context = context(asked, subscription);
            tally
                .compare(
                    &client,
                    subscription,
                    *exact,
                    &oracle,
                    &changes,
                    Reading::Live,
                    &context,
                )
                .await;
        }
        // Whether what follows has a position must not matter.
        if dice.chance(50) {
            client
                .batch_execute(&later)
                .await
                .unwrap_or_else(|error| panic!("{error:?}\n{later}"));
        } else {
            log::run(&client, &world, &later).await;
        }
        let found_now = found().await;
        for (i, (exact, asked, subscription)) in subscriptions.iter().enumerate() {
            let oracle = Oracle {
                world: &world,
                asked,
                before: &before,
                after: &after,
                found_before: &found_before[i],
                found_now: &found_now[i],
            };
            let context = context(asked, subscription);
            tally
                .compare(
                    &client,
                    subscription,
                    *exact,
                    &oracle,
                    &changes,
                    Reading::Late,
                    &context,
                )
                .await;
        }
    }
    assert!(
        tally.is_enough() || number("PROPTEST_CASES").is_some(),
        "{tally:?}"
    );
}
