//! What subscribers are told of random changes on random rows in a real PostgreSQL: of the nodes that a query with the same
//! filter finds; nobody is passed over by the index;
//! and a node that was deleted is shown to those, and only to those, to whom it would have been shown before.
//!
//! `PROPTEST_CASES` asks for more worlds than the usual number. A failure names its seed, and `EVENTS_SEED` begins
//! with it.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

#[path = "../../../tests/visibility/dice.rs"]
mod dice;
mod log;
mod payloads;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use gom_engine::datamodel::ModelId;
use gom_engine::events::{Change, ChangeKind, Ghosts, Subscription, Transaction};
use gom_engine::plan::{Param, Statement};
use gom_test_support::TestDatabase;
use tokio_postgres::Client;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

use crate::dice::Dice;
use crate::world::{Asked, World};

const WORLDS: u64 = 60;
const SUBSCRIPTIONS: usize = 40;

/// A parameter as the server sends it: as text.
#[derive(Debug)]
struct Text(String);

impl ToSql for Text {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

async fn rows(client: &Client, statement: &Statement) -> Vec<tokio_postgres::Row> {
    let params: Vec<Text> = statement
        .params
        .iter()
        .map(|param| match param {
            Param::Text(text) => Text(text.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
    client
        .query(statement.sql.as_str(), &params)
        .await
        .unwrap_or_else(|error| panic!("{error:?}\n{}\n{:?}", statement.sql, statement.params))
}

/// What the subscriber is told of each change, by its place.
async fn told(
    client: &Client,
    world: &World,
    subscription: &Subscription,
    changes: &[&Change],
    ghosts: &Ghosts,
) -> BTreeMap<usize, String> {
    let statement = world.planner.payloads(subscription, changes, ghosts).unwrap();
    let rows = rows(client, &statement).await;
    rows.iter().map(|row| (usize::try_from(row.get::<_, i32>(0)).unwrap(), row.get(1))).collect()
}

/// The changes that the index finds for the subscription.
async fn found(
    client: &Client,
    world: &World,
    subscription: &Subscription,
    changes: &[&Change],
    ghosts: &Ghosts,
) -> BTreeSet<usize> {
    let Some(key) = subscription.key() else { return (0..changes.len()).collect() };
    let statement = world.planner.probe(subscription.model(), &[key.path], changes, ghosts);
    let rows = rows(client, &statement).await;
    let hit = rows.iter().filter(|row| row.get::<_, i32>(1) == 0 && row.get::<_, &str>(2) == key.value);
    hit.map(|row| usize::try_from(row.get::<_, i32>(0)).unwrap()).collect()
}

fn of_model(changes: &[Change], model: ModelId) -> Vec<&Change> {
    changes.iter().filter(|change| change.model == model).collect()
}

#[tokio::test]
async fn the_index_passes_nobody_over_and_the_deleted_are_shown_to_who_saw_them() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let first = asked("EVENTS_SEED").unwrap_or_else(|| now() * 1_000);
    let test = TestDatabase::create().await;
    let mut client = test.connect().await;
    let world = World::create(&mut client).await;
    let (mut indexed, mut delivered, mut departed, mut last) = (0, 0, 0, 0);
    for seed in first..first + asked("PROPTEST_CASES").unwrap_or(WORLDS) {
        let dice = &mut Dice::new(seed);
        client.batch_execute(&world.fill(dice)).await.unwrap();
        log::log(&client, &mut last).await;
        let ids = log::ids(&client, world.tables()).await;
        // Only where nothing but deletions happens is it plain what there was to be seen.
        let only_deletions = dice.chance(50);
        let subscriptions: Vec<(Asked, Subscription)> =
            (0..SUBSCRIPTIONS).map(|_| world.subscribe(!only_deletions, dice)).collect();
        let everything = world.everything(&ids);
        let mut seen = Vec::new();
        if only_deletions {
            for (asked, subscription) in &subscriptions {
                let nodes = of_model(&everything, subscription.model());
                let told = told(&client, &world, subscription, &nodes, &Ghosts::default()).await;
                let told: BTreeSet<String> = told.keys().map(|at| nodes[*at].id.clone()).collect();
                let answer = rows(&client, &world.query_of(asked)).await[0].get::<_, String>(0);
                let answer: Vec<serde_json::Value> = serde_json::from_str(&answer).unwrap();
                let text = |id: &serde_json::Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned);
                let found: BTreeSet<String> = answer.iter().map(|node| text(&node["id"])).collect();
                assert_eq!(told, found, "EVENTS_SEED={seed}\n{asked:?}");
                seen.push(told);
            }
        }
        let sql = if only_deletions { world.deletions(&ids, dice) } else { world.writes(&ids, dice) };
        client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
        let rows = log::log(&client, &mut last).await;
        let Transaction { changes, ghosts } = world.planner.changes(&rows, 0);
        for (i, (asked, subscription)) in subscriptions.iter().enumerate() {
            let context = format!("EVENTS_SEED={seed}\n{asked:?}\n{:?}\n{sql}", subscription.key());
            let of_model = of_model(&changes, subscription.model());
            let told = told(&client, &world, subscription, &of_model, &ghosts).await;
            let found = found(&client, &world, subscription, &of_model, &ghosts).await;
            for at in told.keys() {
                assert!(found.contains(at), "passed over: {:?}\n{context}", of_model[*at]);
                assert!(subscription.admits(of_model[*at]), "not admitted: {:?}\n{context}", of_model[*at]);
            }
            indexed += usize::from(subscription.key().is_some());
            delivered += told.len();
            if only_deletions {
                let gone = |at: &&usize| of_model[**at].kind == ChangeKind::Deleted;
                let told: BTreeSet<&str> = told.keys().filter(gone).map(|at| &*of_model[*at].id).collect();
                let gone =
                    of_model.iter().filter(|c| c.kind == ChangeKind::Deleted && seen[i].contains(&c.id));
                let expected: BTreeSet<&str> = gone.map(|change| &*change.id).collect();
                assert_eq!(told, expected, "{context}");
                departed += expected.len();
            }
        }
    }
    // Or nothing was tried.
    assert!(indexed > 100 && delivered > 100 && departed > 20, "{indexed} {delivered} {departed}");
}
