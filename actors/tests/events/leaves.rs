//! Rows that leave a subscription's filter or its viewer's sight, beside what queries find before and after each transaction: in
//! before and out after is one leave, whatever row was written, and a client that keeps a set of rows ends with what its query
//! finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use gom_engine::events::{EventMessage, MoveReader, NodeChange, Subscription};
use gom_test_support::TestDatabase;
use gom_test_support::dice::Dice;
use serde_json::{Value, json};

use crate::session::Session;
use crate::world::{Asked, NAMES, PER_MODEL, Viewer, World, id, literal, table};
use crate::{first_seed, log, number, oracle};

const WORLDS: u64 = 12;
const ROUNDS: usize = 6;
const SUBSCRIPTIONS: usize = 24;

/// What the subscriber receives of the changes of some transactions, asked a few changes at a time.
async fn received(
    client: &Session,
    world: &World,
    subscription: &Subscription,
    changes: &[NodeChange],
    together: usize,
) -> Vec<EventMessage> {
    let mut reader = MoveReader::new(subscription, changes);
    let concerned: Vec<&NodeChange> = changes
        .iter()
        .filter(|c| subscription.concerns(c))
        .collect();
    let mut received = Vec::new();
    for run in concerned.chunks(together) {
        let moved = match reader.statement(&world.planner, run) {
            None => Vec::new(),
            Some(statement) => client.rows(&statement).await,
        };
        let place = |row: &tokio_postgres::Row| usize::try_from(row.get::<_, i32>(0)).unwrap();
        let moved = moved.iter().map(|row| (place(row), row.get(1), row.get(2)));
        let moves = reader.assign(run, moved.collect()).unwrap();
        let events = moves.run(&world.planner, subscription, run);
        let payloads = world
            .planner
            .payloads(subscription, &events.changes())
            .unwrap();
        let payloads = client.rows(&payloads).await;
        let payloads = payloads.iter().map(|row| (place(row), row.get(1)));
        let messages = events.messages(payloads);
        received.extend(messages.into_iter().map(|placed| placed.message));
    }
    received
}

/// The changes that the index finds for the subscription.
async fn found_by_index(
    client: &Session,
    world: &World,
    subscription: &Subscription,
    changes: &[NodeChange],
) -> BTreeSet<String> {
    let Some(key) = subscription.key() else {
        return changes.iter().map(|change| change.id.clone()).collect();
    };
    let before = subscription.key_before().unwrap();
    assert_eq!(before.value, key.value);
    let of_model = crate::of_model(changes, subscription.model());
    let paths = [key.path, before.path];
    let statement = world.planner.probe(subscription.model(), &paths, &of_model);
    let found = client.rows(&statement).await;
    let hit = found
        .iter()
        .filter(|row| row.get::<_, &str>(2) == key.value);
    hit.map(|row| {
        of_model[usize::try_from(row.get::<_, i32>(0)).unwrap()]
            .id
            .clone()
    })
    .collect()
}

fn id_of(payload: &Value) -> String {
    let node = [&payload["node"], &payload["previousValues"]];
    let node = node.into_iter().find(|node| node.is_object()).unwrap();
    let id = &node["id"];
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

struct Case {
    asked: Asked,
    subscription: Subscription,
    /// It has no condition on changes.
    exact: bool,
}

/// A filter that other rows decide.
fn through_others(model: &str, dice: &mut Dice) -> Value {
    let name = *dice.pick(NAMES);
    let code = format!("c{}", dice.below(PER_MODEL));
    let filters = match model {
        "Thing" => vec![
            json!({ "crate": { "note": name } }),
            json!({ "parent": { "name": name } }),
            json!({ "labels_some": { "word": code } }),
            json!({ "children_some": { "color": "RED" } }),
            json!({ "likes_none": { "name": name } }),
            json!({ "crate": { "lid": { "name": name } } }),
        ],
        "Crate" => vec![
            json!({ "things_some": { "name": name } }),
            json!({ "lid": { "code": code } }),
            json!({ "things_every": { "color": "RED" } }),
        ],
        _ => vec![
            json!({ "things_some": { "crate": { "note": name } } }),
            json!({ "NOT": [{ "things_some": { "name": name } }] }),
        ],
    };
    json!({ "node": dice.pick(&filters).clone() })
}

fn some_cases(world: &World, dice: &mut Dice) -> Vec<Case> {
    let viewers = [world.some_viewer(dice), world.some_viewer(dice)];
    let mut cases = Vec::new();
    while cases.len() < SUBSCRIPTIONS {
        let (of_changes, limited) = (dice.chance(25), dice.chance(75));
        let role: Option<Viewer> = limited.then(|| dice.pick(&viewers).clone());
        let model = *dice.pick(&world.models());
        let everything = !of_changes && dice.chance(30);
        let filter = if everything {
            json!({})
        } else if !of_changes && dice.chance(50) {
            let name = &world.planner.physical().model.model(model).name;
            through_others(name, dice)
        } else {
            world.event_filter(model, of_changes, 2, dice)
        };
        let viewer = role.as_ref().map(|(role, sub)| (*role, sub.as_str()));
        let text = world.subscription_to(model);
        match world.compile_with_leaves(&text, &filter, viewer) {
            Ok(subscription) => cases.push(Case {
                asked: Asked {
                    model,
                    filter,
                    role,
                },
                subscription,
                exact: !of_changes,
            }),
            Err(error) => assert!(error.message.contains("ways"), "{error:?}"),
        }
    }
    cases
}

/// How often each of these was compared.
#[derive(Debug, Default)]
struct Tally {
    left: usize,
    left_by_others: usize,
    came: usize,
    came_by_others: usize,
    deleted: usize,
}

impl Tally {
    fn is_enough(&self) -> bool {
        self.left > 100
            && self.left_by_others > 40
            && self.came > 50
            // The rarest: two in five worlds.
            && self.came_by_others > 15
            && self.deleted > 20
    }
}

async fn found(client: &Session, world: &World, cases: &[Case]) -> Vec<BTreeSet<String>> {
    let mut all = Vec::with_capacity(cases.len());
    for case in cases {
        all.push(oracle::found(client, world, &case.asked).await);
    }
    all
}

/// A transaction that changes what rows are found by, of rows that others lead to as well.
fn some_writes(world: &World, dice: &mut Dice) -> String {
    if dice.chance(30) {
        return world.writes(dice);
    }
    let mut sql = "begin;\n".to_owned();
    for _ in 0..dice.between(1, 3) {
        let model = *dice.pick(&["Thing", "Thing", "Crate", "Label"]);
        let (this, some) = (table(model), literal(&id(model, dice.below(PER_MODEL))));
        let value = match (model, dice.below(3)) {
            ("Thing", 0) => format!("\"name\" = {}", literal(&json!(*dice.pick(NAMES)))),
            ("Thing", 1) => format!("\"color\" = '{}'", dice.pick(&["RED", "GREEN"])),
            ("Thing", _) => "\"code\" = null".to_owned(),
            ("Crate", 0) => "\"size\" = null".to_owned(),
            ("Crate", _) => format!("\"note\" = {}", literal(&json!(*dice.pick(NAMES)))),
            _ => format!("\"word\" = 'w' || {}", dice.below(1_000_000)),
        };
        let _ = writeln!(sql, "update {this} set {value} where \"id\" = {some};");
        // A unique value goes to another row.
        let (column, value) = match model {
            "Thing" => ("code", format!("'c{}'", dice.below(PER_MODEL))),
            "Crate" => ("size", dice.below(PER_MODEL).to_string()),
            _ => ("word", format!("'c{}'", dice.below(PER_MODEL))),
        };
        if dice.chance(50) {
            let _ = writeln!(
                sql,
                "update {this} set \"{column}\" = {value} where \"id\" = {some} \
                 and not exists (select from {this} where \"{column}\" = {value});"
            );
        }
    }
    if dice.chance(20) {
        sql.push_str(&world.write(dice));
    }
    sql + "commit;"
}

/// A transaction, and what each subscription's query finds before and after it.
struct Written {
    changes: Vec<NodeChange>,
    before: Vec<BTreeSet<String>>,
    after: Vec<BTreeSet<String>>,
    /// Something has been written since.
    late: bool,
}

impl Tally {
    async fn compare(
        &mut self,
        (client, world): (&Session, &World),
        case: &Case,
        (written, place): (&Written, usize),
        together: usize,
        context: &str,
    ) {
        let Written { changes, late, .. } = written;
        let (before, after) = (&written.before[place], &written.after[place]);
        let messages = received(client, world, &case.subscription, changes, together).await;
        let context = format!("{context}\n{:?}\n{messages:?}", case.asked);
        let mut left: Vec<String> = messages.iter().flat_map(|m| m.left.clone()).collect();
        left.sort();
        let payloads = messages.iter().filter_map(|m| m.payload.as_deref());
        let payloads: Vec<Value> = payloads
            .map(|payload| serde_json::from_str(payload).unwrap())
            .collect();
        let of_deletions = payloads.iter().filter(|p| p["mutation"] == "DELETED");
        let deleted: BTreeSet<String> = of_deletions.map(id_of).collect();
        let gone = before.difference(after);
        let expected: Vec<String> = gone.filter(|id| !deleted.contains(*id)).cloned().collect();
        assert_eq!(left, expected, "{context}");
        let own: BTreeSet<&str> = crate::of_model(changes, case.asked.model)
            .into_iter()
            .map(|change| change.id.as_str())
            .collect();
        let by_others = |id: &&String| !own.contains(id.as_str());
        self.left += left.len();
        self.left_by_others += left.iter().filter(by_others).count();
        self.deleted += deleted.len();
        let by_index = found_by_index(client, world, &case.subscription, changes).await;
        for id in left.iter().filter(|id| own.contains(id.as_str())) {
            assert!(by_index.contains(id), "{id} passed over\n{context}");
        }
        if !case.exact {
            return;
        }
        let mut events: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for payload in &payloads {
            events.entry(id_of(payload)).or_default().push(payload);
        }
        for (id, events) in &events {
            assert_eq!(events.len(), 1, "{id}\n{context}");
            assert!(!left.contains(id), "{id}\n{context}");
            let is_there = after.contains(id) || *late;
            assert!(
                is_there || before.contains(id) && deleted.contains(id),
                "{id}\n{context}"
            );
            assert!(
                own.contains(id.as_str()) || !before.contains(id),
                "{id}\n{context}"
            );
        }
        if *late {
            return;
        }
        for id in after.difference(before) {
            let event = events
                .get(id)
                .unwrap_or_else(|| panic!("{id} has come\n{context}"));
            self.came += 1;
            if by_others(&id) {
                self.came_by_others += 1;
                let model = world.planner.physical().model.model(case.asked.model);
                let all: Vec<&str> = model.fields.iter().map(|f| f.name.as_str()).collect();
                assert_eq!(event[0]["mutation"], "UPDATED", "{context}");
                assert_eq!(event[0]["updatedFields"], json!(all), "{context}");
            }
        }
    }
}

#[tokio::test]
async fn in_before_and_out_after_is_one_leave_and_nothing_else_is() {
    let first = first_seed();
    let test = TestDatabase::create().await;
    let mut client = Session::open(&test).await;
    let world = World::create(&mut client).await;
    let mut tally = Tally::default();
    for seed in first.. {
        let bound = if tally.is_enough() {
            WORLDS
        } else {
            8 * WORLDS
        };
        if seed - first >= number("PROPTEST_CASES").unwrap_or(bound) {
            break;
        }
        let dice = &mut Dice::new(seed);
        client.batch_execute(&world.fill(dice)).await.unwrap();
        let cases = some_cases(&world, dice);
        for _ in 0..ROUNDS {
            let sql = some_writes(&world, dice);
            let before = found(&client, &world, &cases).await;
            let changes = log::run(&client, &world, &sql).await;
            let after = found(&client, &world, &cases).await;
            // Leaves are of the moment of the change, whenever they are read.
            let late = dice.chance(30);
            let later = some_writes(&world, dice);
            if late {
                log::run(&client, &world, &later).await;
            }
            let written = Written {
                changes,
                before,
                after,
                late,
            };
            let context = format!("EVENTS_SEED={seed} late={late}\n{sql}\n{later}");
            for (place, case) in cases.iter().enumerate() {
                let together = dice.between(1, 12);
                let at = (&client, &world);
                tally
                    .compare(at, case, (&written, place), together, &context)
                    .await;
            }
        }
    }
    assert!(
        tally.is_enough() || number("PROPTEST_CASES").is_some(),
        "{tally:?}"
    );
}

#[tokio::test]
async fn a_client_that_keeps_a_set_ends_with_what_its_query_finds() {
    let first = first_seed();
    let test = TestDatabase::create().await;
    let mut client = Session::open(&test).await;
    let world = World::create(&mut client).await;
    for seed in first..first + number("PROPTEST_CASES").unwrap_or(WORLDS) {
        let dice = &mut Dice::new(seed);
        client.batch_execute(&world.fill(dice)).await.unwrap();
        let cases = some_cases(&world, dice);
        for case in cases.iter().filter(|case| case.exact) {
            let mut kept = oracle::found(&client, &world, &case.asked).await;
            let mut sequence = Vec::new();
            let mut script = String::new();
            for _ in 0..4 {
                let sql = some_writes(&world, dice);
                script.push_str(&sql);
                sequence.push(log::run(&client, &world, &sql).await);
                // Some are read at once, others when more has followed.
                if dice.chance(50) {
                    keep(&client, &world, case, &mut sequence, &mut kept, dice).await;
                }
            }
            keep(&client, &world, case, &mut sequence, &mut kept, dice).await;
            let now = oracle::found(&client, &world, &case.asked).await;
            assert_eq!(kept, now, "EVENTS_SEED={seed}\n{:?}\n{script}", case.asked);
        }
    }
}

#[tokio::test]
async fn a_row_that_has_left_and_is_gone_is_found_by_what_it_had() {
    let test = TestDatabase::create().await;
    let mut client = Session::open(&test).await;
    let world = World::create(&mut client).await;
    let things = table("Thing");
    let fill = format!("insert into {things} (id, name, code) values ('x', 'a', 'c1')");
    client.batch_execute(&fill).await.unwrap();
    let text = world.subscription_to(world.models()[0]);
    let filter = json!({ "node": { "code": "c1" } });
    let subscription = world.compile_with_leaves(&text, &filter, None).unwrap();
    let sql = format!("update {things} set code = null where id = 'x'");
    let changes = log::run(&client, &world, &sql).await;
    log::run(&client, &world, &format!("delete from {things}")).await;
    let found = found_by_index(&client, &world, &subscription, &changes).await;
    assert_eq!(found, BTreeSet::from(["x".to_owned()]));
    let received = received(&client, &world, &subscription, &changes, 1).await;
    assert_eq!(received[0].left, ["x"]);
}

#[tokio::test]
async fn ids_that_have_left_are_written_as_in_answers() {
    let test = TestDatabase::create().await;
    let world = World::create(&mut test.connect().await).await;
    let models = world.models();
    for (model, name, id, written) in [
        (models[0], "Thing", "x", json!("x")),
        (models[2], "Label", "7", json!(7)),
    ] {
        let text = world.subscription_to(model);
        let subscription = world.compile_with_leaves(&text, &json!({}), None).unwrap();
        let left = world.planner.left(&subscription, &[id.to_owned()]);
        let left: Value = serde_json::from_str(&left).unwrap();
        assert_eq!(left, json!([{ "type": name, "id": written }]));
    }
}

#[tokio::test]
async fn a_row_comes_in_even_if_its_own_change_is_hidden() {
    let test = TestDatabase::create().await;
    let mut client = Session::open(&test).await;
    let world = World::create(&mut client).await;
    let [things, crates, likes] = ["Thing", "Crate", "_Likes"].map(table);
    let some_crate = literal(&id("Crate", 0));
    let fill = format!(
        "insert into {crates} (id, note) values ({some_crate}, 'before');
         insert into {things} (id, name, \"crate\") values ('seen', 'a', {some_crate}), ('hidden', 'b', null);"
    );
    client.batch_execute(&fill).await.unwrap();
    let thing = world.models()[0];
    let filter = json!({ "node": { "crate": { "note": "after" } } });
    let text = world.subscription_to(thing);
    let subscription = world
        .compile_with_leaves(&text, &filter, Some(("named", "a")))
        .unwrap();
    let sql = format!(
        "begin; insert into {likes} (\"A\", \"B\") values ('seen', 'hidden'), ('hidden', 'seen');
         update {crates} set note = 'after'; commit"
    );
    let changes = log::run(&client, &world, &sql).await;
    let received = received(&client, &world, &subscription, &changes, 10).await;
    let payloads = received
        .iter()
        .filter_map(|message| message.payload.as_deref());
    let payloads: Vec<Value> = payloads
        .map(|payload| serde_json::from_str(payload).unwrap())
        .collect();
    assert_eq!(payloads.len(), 1, "{received:?}");
    assert_eq!(id_of(&payloads[0]), "seen");
    assert_eq!(
        payloads[0]["updatedFields"],
        json!([]),
        "nothing that it may know"
    );
}

/// What a client does with the messages of transactions.
async fn keep(
    client: &Session,
    world: &World,
    case: &Case,
    sequence: &mut Vec<Vec<NodeChange>>,
    kept: &mut BTreeSet<String>,
    dice: &mut Dice,
) {
    for changes in sequence.drain(..) {
        let together = dice.between(1, 12);
        for message in received(client, world, &case.subscription, &changes, together).await {
            if let Some(payload) = message.payload {
                let payload: Value = serde_json::from_str(&payload).unwrap();
                if payload["mutation"] == "DELETED" {
                    kept.remove(&id_of(&payload));
                } else {
                    kept.insert(id_of(&payload));
                }
            }
            for id in message.left {
                kept.remove(&id);
            }
        }
    }
}
