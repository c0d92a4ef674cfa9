//! Two databases that differ only in values that the viewer does not see: its events must not differ.

use std::collections::BTreeSet;
use std::fmt::Write;

use gom_engine::events::{NodeChange, Subscription};
use gom_test_support::TestDatabase;
use serde_json::{Value, json};

use crate::oracle::Moment;
use crate::session::Session;
use crate::world::{Viewer, World, literal, table};
use gom_test_support::dice::Dice;

const PAIRS: u64 = 40;
const SUBSCRIPTIONS: usize = 10;

/// Gives every row that the viewer does not see values of its own. No rule reads them.
async fn hide(client: &Session, world: &World, viewer: &Viewer, secrets: [&str; 3]) -> Moment {
    let viewer = Some(viewer.clone());
    let seen = Moment::look(client, world, std::iter::once(&viewer)).await;
    let everything = Moment::look(client, world, std::iter::once(&None)).await;
    let mut sql = String::new();
    for model in world.models() {
        let of = world.planner.physical().model.model(model);
        let ids: BTreeSet<&String> = seen.of(&viewer, model).keys().collect();
        for (place, id) in everything
            .of(&None, model)
            .keys()
            .filter(|id| !ids.contains(id))
            .enumerate()
        {
            let (id, secret) = (
                literal(&json!(id)),
                literal(&json!(secrets[place % secrets.len()])),
            );
            match of.name.as_str() {
                "Thing" => {
                    let (things, tags) = (table("Thing"), table("Thing_tags"));
                    writeln!(
                        sql,
                        "update {things} set \"text\" = {secret} where \"id\" = {id};"
                    )
                    .unwrap();
                    writeln!(
                        sql,
                        "update {tags} set \"value\" = {secret} where \"nodeId\" = {id};"
                    )
                    .unwrap();
                }
                "Crate" => {
                    let crates = table("Crate");
                    writeln!(
                        sql,
                        "update {crates} set \"note\" = {secret} where \"id\" = {id};"
                    )
                    .unwrap();
                }
                _ => {}
            }
        }
    }
    client.batch_execute(&sql).await.unwrap();
    seen
}

/// What all rows are given in the end.
fn reveal() -> String {
    let (things, crates, tags) = (table("Thing"), table("Crate"), table("Thing_tags"));
    format!(
        "update {things} set \"text\" = 'same'; update {crates} set \"note\" = 'same'; delete from {tags};\n\
         insert into {tags} select \"id\", 1000, 'same' from {things};\n"
    )
}

async fn delivered(
    client: &Session,
    world: &World,
    subscription: &Subscription,
    changes: &[NodeChange],
) -> Vec<String> {
    let changes = crate::of_model(changes, subscription.model());
    let mut payloads: Vec<String> = crate::delivered(client, world, subscription, &changes)
        .await
        .into_values()
        .collect();
    // One statement writes its rows in the order in which they lie in the table, which is another in each database; the
    // events of one node keep theirs.
    payloads.sort_by_key(|payload| id_of(payload));
    payloads
}

/// The id of the node that an event is about.
fn id_of(payload: &str) -> String {
    let payload: Value = serde_json::from_str(payload).unwrap();
    let node = [&payload["node"], &payload["previousValues"]];
    let id = node.into_iter().find(|node| node.is_object());
    id.map(|node| node["id"].to_string()).unwrap_or_default()
}

#[tokio::test]
async fn events_do_not_depend_on_hidden_values() {
    let first = crate::first_seed();
    let tests = [TestDatabase::create().await, TestDatabase::create().await];
    let mut clients = [
        Session::open(&tests[0]).await,
        Session::open(&tests[1]).await,
    ];
    let world = World::create(&mut clients[0]).await;
    World::create(&mut clients[1]).await;
    // One of the secrets is what is written later: to write it is a change in one world and none in the other.
    let secrets = [
        ["SECRET one", "same", "SECRET"],
        ["SECRET two", "SECRET", "same"],
    ];
    let (mut compared, mut events) = (0, 0);
    for seed in first..first + crate::number("PROPTEST_CASES").unwrap_or(PAIRS) {
        let dice = &mut Dice::new(seed);
        let viewer = world.some_viewer(dice);
        let fill = world.fill(dice);
        // Rules read names: the values written to them are the same in both worlds.
        let (writes, more) = (world.writes(dice), world.writes(dice));
        let inner = |sql: &str| sql.replace("begin;\n", "").replace("commit;", "");
        let together = dice.chance(50);
        let subscriptions: Vec<_> = (0..SUBSCRIPTIONS)
            .map(|_| world.subscribe(dice.chance(50), Some(viewer.clone()), dice))
            .collect();
        let mut streams = Vec::new();
        for (client, secrets) in clients.iter().zip(secrets) {
            client.batch_execute(&fill).await.unwrap();
            hide(client, &world, &viewer, secrets).await;
            // Either what is hidden comes to be seen when it has become the same, or in a later transaction, after which a
            // subscriber comes back.
            let mut read = Vec::new();
            let changes = if together {
                let sql = format!("begin;\n{}{}commit;", inner(&writes), reveal());
                crate::log::run(client, &world, &sql).await
            } else {
                let changes = crate::log::run(
                    client,
                    &world,
                    &format!("begin;\n{}commit;", inner(&writes)),
                )
                .await;
                let sql = format!("begin;\n{}{}commit;", reveal(), inner(&more));
                crate::log::run(client, &world, &sql).await;
                changes
            };
            for (_, subscription) in &subscriptions {
                read.push(delivered(client, &world, subscription, &changes).await);
            }
            streams.push(read);
        }
        for (i, (asked, _)) in subscriptions.iter().enumerate() {
            let context = format!("EVENTS_SEED={seed} {viewer:?}\n{asked:?}\n{writes}{more}");
            assert_eq!(streams[0][i], streams[1][i], "{context}");
            for payload in streams[0][i].iter().chain(&streams[1][i]) {
                assert!(!payload.contains("SECRET"), "{payload}\n{context}");
                let payload: Value = serde_json::from_str(payload).unwrap();
                events += usize::from(payload["mutation"].is_string());
            }
            compared += 1;
        }
    }
    assert!(
        compared > 0 && (events > 50 || crate::number("PROPTEST_CASES").is_some()),
        "{events}"
    );
}
