//! Random writes on a datamodel that has every kind of relation. A model on rows in memory says what must be done and what then
//! is there, to the last link; of what it leaves open, the write has done nothing that it must not.

use std::collections::BTreeMap;
use std::time::Instant;

use gom_test_support::TestDatabase;
use serde_json::{Value, json};

use crate::effects::{self, Became, State};
use crate::model::{self, Outcome, Rules};
use crate::requests::Asker;
use crate::server::Server;
use crate::sight::Person;
use crate::writes::Author;
use crate::{database, documents, first_seed, kind, must, shops};
use gom_test_support::dice::Dice;
use gom_test_support::random::world::World;

/// Documents that share their rows.
const PER_WORLD: usize = 20;

/// Rows of two viewers, most of them of the first.
pub fn rows(server: &Server, dice: &mut Dice) -> World {
    let mut world = shops::shops(&server.model, dice);
    let owners = |name: &str| name.ends_with("Owner");
    for (relation, links) in server.model.relations.iter().zip(&mut world.links) {
        if owners(&relation.name) {
            // `User` stands at end B: it is the last in the alphabet.
            let count = world.rows[relation.a.model.0].len();
            *links = (0..count)
                .map(|row| (row, usize::from(dice.chance(20))))
                .collect();
        }
    }
    world
}

pub fn member(world: &World, dice: &mut Dice) -> Person {
    let users = world.model.model_named("User").unwrap();
    let name = world.model.model(users).field_named("name").unwrap();
    let row = usize::from(dice.chance(15));
    let sub = world.rows[users.0]
        .get(row)
        .and_then(|cells| cells[name.0].as_str())
        .unwrap_or("nobody");
    Person {
        role: "member".into(),
        sub: sub.to_owned(),
        seller: String::new(),
    }
}

#[actix_web::test]
async fn what_must_be_written_is_written_and_nothing_else_is() {
    let test = TestDatabase::create().await;
    let server = Server::start_wild(&test).await;
    let client = test.connect().await;
    // Without those who own everything nothing would be left to write.
    let of_users = |name: &&String| !name.ends_with("User") && !name.ends_with("Users");
    let operations: Vec<String> = server
        .policy
        .operations
        .mutation
        .keys()
        .filter(of_users)
        .cloned()
        .collect();
    let kept = server.kept_fields();
    let (begun, mut shares) = (Instant::now(), BTreeMap::<&str, [usize; 3]>::new());
    let mut reasons = BTreeMap::<&str, usize>::new();
    let worlds = (documents() / 2).div_ceil(PER_WORLD) as u64;
    let first = first_seed();
    for seed in first..first + worlds {
        let dice = &mut Dice::new(seed);
        database::fill(&client, &server.schema_name, &rows(&server, dice)).await;
        let mut world = database::read(&client, &server.schema_name, &server.model).await;
        let mut fresh = 0;
        for _ in 0..PER_WORLD {
            let person = member(&world, dice);
            let sight = person.sight(&server.policy, &world);
            let mut asker = Asker::new(&world, server.schema(), dice);
            let mut author = Author::new(&mut asker, &sight, &mut fresh);
            author.owner = Some(json!({ "name": person.sub }));
            let write = author.write(&operations);
            let (text, variables) = write.document(&asker);
            let shown = format!(
                "VISIBILITY_SEED={seed}, {person:?}\n{text}\n{}",
                Value::Object(variables.clone())
            );
            let rules = Rules {
                see: &|world| person.sight(&server.policy, world),
                kept: &kept,
            };
            let outcome = model::outcome(&world, &rules, &write);
            let answered = server.ask(&person, text, variables).await;
            let changed = database::read(&client, &server.schema_name, &server.model).await;
            let after = State {
                sight: person.sight(&server.policy, &changed),
                world: changed,
            };
            let before = State { world, sight };
            let became =
                effects::check(server.schema(), &person, &before, &after, &write, &answered)
                    .and_then(|became| agrees(&outcome, became, &before, &after, &kept))
                    .unwrap_or_else(|found| {
                        panic!(
                            "{found}\n{shown}\n{:?}\n{}",
                            answered.messages, answered.data
                        )
                    });
            let mut counted = vec![kind(&write)];
            must::verbs(&Value::Object(write.arguments.clone()), &mut counted);
            let column = match outcome {
                Outcome::Done(_) => 0,
                Outcome::Fails(_) => 1,
                Outcome::Open(reason) => {
                    *reasons.entry(reason).or_default() += 1;
                    2
                }
            };
            counted
                .into_iter()
                .for_each(|of| shares.entry(of).or_default()[column] += 1);
            assert!(column != 0 || became == Became::Done);
            world = after.world;
        }
    }
    let shown: Vec<String> = shares
        .iter()
        .map(|(of, [must, fail, open])| {
            format!("{of} {must} must be done, {fail} must fail, {open} open")
        })
        .collect();
    println!(
        "  {:?}: {}; open for {reasons:?}",
        begun.elapsed(),
        shown.join("; ")
    );
    for (of, [must, fail, open]) in shares
        .iter()
        .filter(|(_, counts)| counts.iter().sum::<usize>() >= 100)
    {
        assert!(
            must * 50 > must + fail + open,
            "{of}: {must} of {} had to be done",
            must + fail + open
        );
    }
}

/// Whether the write has the outcome that the model requires.
pub fn agrees(
    outcome: &Outcome,
    became: Became,
    before: &State,
    after: &State,
    kept: &model::Kept,
) -> Result<Became, String> {
    match (outcome, became) {
        (Outcome::Open(_), _) | (Outcome::Fails(_), Became::Refused) => Ok(became),
        (Outcome::Done(should), Became::Done) => {
            match model::difference(&before.world, should, &after.world, kept) {
                None => Ok(became),
                Some(difference) => Err(format!("done, but not what it says: {difference}")),
            }
        }
        (Outcome::Done(_), Became::Refused) => Err("refused, though all is the viewer's".into()),
        (Outcome::Fails(reason), Became::Done) => Err(format!("done, though {reason}")),
    }
}

/// Two cases that chance seldom makes.
#[actix_web::test]
async fn links_that_a_row_rule_reads_are_checked_before_and_after_a_disconnect() {
    const ROWS: &str = r#"
        insert into "User" ("id", "name") values ('me', 'me'), ('you', 'you');
        insert into "Member" ("id", "owner") values ('m', 'you');
        insert into "Crew" ("id", "name", "owner", "chief") values ('a', 'a', 'me', 'm'), ('b', 'b', 'me', null);
        insert into "Task" ("id", "owner") values ('t', 'me');
        insert into "Desk" ("id", "owner") values ('d', 'you');
        insert into "_Seats" ("A", "B") values ('d', 't');"#;
    let test = TestDatabase::create().await;
    let server = Server::start_wild(&test).await;
    let client = test.connect().await;
    let path = format!("set search_path = \"{}\"; {ROWS}", server.schema_name);
    client.batch_execute(&path).await.unwrap();
    let me = Person {
        role: "member".into(),
        sub: "me".into(),
        seller: String::new(),
    };
    // Seen as a chief only: the old crew has lost it by then, the new one has it.
    let moves = r#"mutation { updateCrew(where: {id: "b"}, data: {chief: {connect: {id: "m"}}}) { chief { id } } }"#;
    let moved = server.ask(&me, moves.into(), serde_json::Map::new()).await;
    assert_eq!(
        moved.data,
        json!({ "updateCrew": { "chief": { "id": "m" } } }),
        "{:?}",
        moved.messages
    );
    // Writable by the own task alone, which is no reason to leave it to nobody.
    let leaves =
        r#"mutation { updateTask(where: {id: "t"}, data: {desk: {disconnect: true}}) { id } }"#;
    let left = server.ask(&me, leaves.into(), serde_json::Map::new()).await;
    assert_eq!(
        left.errors.first().map(|(code, _)| code.as_str()),
        Some("FORBIDDEN"),
        "{:?}",
        left.messages
    );
}

#[actix_web::test]
async fn a_write_that_would_delete_the_row_in_whose_data_it_stands_is_refused() {
    const ROWS: &str = r#"
        insert into "User" ("id", "name") values ('me', 'me');
        insert into "Member" ("id", "owner") values ('m', 'me'), ('n', 'me');
        insert into "_Friends" ("A", "B") values ('m', 'm'), ('m', 'n'), ('n', 'm');"#;
    let test = TestDatabase::create().await;
    let server = Server::start_wild(&test).await;
    let client = test.connect().await;
    let path = format!("set search_path = \"{}\"; {ROWS}", server.schema_name);
    client.batch_execute(&path).await.unwrap();
    let me = Person {
        role: "member".into(),
        sub: "me".into(),
        seller: String::new(),
    };
    for (field, answer) in [
        (
            r#"updateMember(where: {id: "m"}, data: {friends: {deleteMany: {}}})"#,
            json!({ "f": null }),
        ),
        // The answer of an upsert may not be null.
        (
            r#"upsertMember(where: {id: "m"}, create: {}, update: {open: true, friends: {deleteMany: {}}})"#,
            Value::Null,
        ),
        (
            r#"updateMember(where: {id: "m"}, data: {friends: {delete: {id: "m"}, connect: {id: "n"}}})"#,
            json!({ "f": null }),
        ),
        // From further below, and a row below.
        (
            r#"updateMember(where: {id: "m"}, data: {friends: {update: {where: {id: "n"}, data: {friends: {delete: {id: "m"}}}}}})"#,
            json!({ "f": null }),
        ),
        (
            r#"updateMember(where: {id: "m"}, data: {friends: {update: {where: {id: "n"}, data: {friends: {update: {
                where: {id: "m"}, data: {friends: {delete: {id: "n"}}}}}}}}})"#,
            json!({ "f": null }),
        ),
    ] {
        let answered = server
            .ask(
                &me,
                format!("mutation {{ f: {field} {{ id }} }}"),
                serde_json::Map::new(),
            )
            .await;
        let message = "The write would delete the Member in whose data it stands; nothing was written. Delete it by a \
                       mutation of its own.";
        assert_eq!(answered.messages, [message], "{field}");
        assert_eq!(
            answered.errors,
            [("GRAPHQL_EXECUTION_ERROR".to_owned(), "f".to_owned())],
            "{field}"
        );
        assert_eq!(answered.data, answer, "{field}");
        let left = client
            .query_one(r#"select count(*) from "Member" where "open" is null"#, &[])
            .await
            .unwrap();
        assert_eq!(left.get::<_, i64>(0), 2, "nothing was written: {field}");
    }
    // Its friends may go, and it may go as somebody's friend.
    for (field, answer) in [
        (
            r#"updateMember(where: {id: "m"}, data: {friends: {deleteMany: {id: "n"}}})"#,
            json!({ "f": { "id": "m" } }),
        ),
        (
            r#"deleteMember(where: {id: "m"})"#,
            json!({ "f": { "id": "m" } }),
        ),
    ] {
        let answered = server
            .ask(
                &me,
                format!("mutation {{ f: {field} {{ id }} }}"),
                serde_json::Map::new(),
            )
            .await;
        assert_eq!(
            (answered.data, answered.messages.len()),
            (answer, 0),
            "{field}"
        );
    }
}
