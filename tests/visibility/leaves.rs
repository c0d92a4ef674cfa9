//! Subscriptions that ask for leaves, of random models, filters and viewers: after every random transaction each is sent exactly
//! which rows have left its set and which came in, at once and when it resumes later, and nothing of rows that its viewer could
//! not see. What must be sent is decided by rows in memory: see `reports`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use gom_actors::live::Room;
use gom_engine::datamodel::{ModelId, RelationStorage};
use gom_engine::error::ApiError;
use gom_engine::events::Cursor;
use gom_engine::schema::OutputMeaning;
use gom_server::graphql::{Next, Outlet, Running};
use gom_test_support::dice::Dice;
use gom_test_support::random::world::World;
use gom_test_support::{TestDatabase, eventually};
use serde_json::{Map, Value, json};
use tokio_postgres::Client;

use crate::live::{Kind, SHOP, WILD, past};
use crate::reports::{Counted, Moment, Report, Set, Transition};
use crate::requests::{Asker, field_of};
use crate::server::{Policies, Server};
use crate::sight::Person;
use crate::writes::Author;
use crate::{database, documents, first_seed};

/// Subscriptions that go on at the same time.
const SUBSCRIPTIONS: usize = 14;
/// Times that rows are written while they go on.
const WRITES: usize = 10;
const KEY: &str = "it";

/// All that a subscription was sent, by position.
#[derive(Default)]
struct Screen {
    reported: RefCell<Vec<(u64, Report)>>,
    model: String,
    id: String,
}

impl Outlet for Screen {
    fn request_id(&self) -> &'static str {
        "leaves"
    }

    fn next(&self, next: Next) {
        let message: Value = serde_json::from_slice(&next.payload).unwrap();
        assert!(message.get("errors").is_none(), "{message}");
        let position = next.cursor.unwrap().position;
        let mut reported = self.reported.borrow_mut();
        let left = message["extensions"]["left"].as_array().unwrap();
        for row in left {
            assert_eq!(row["type"], self.model, "{message}");
            let id = row["id"].as_str().unwrap().to_owned();
            reported.push((position, Report::Left(id)));
        }
        let payload = &message["data"][KEY];
        if !payload.is_null() {
            let row = ["node", "previousValues"].map(|of| payload[of][&self.id].as_str());
            let id = row[0].or(row[1]).expect("an event names its row");
            let (id, payload) = (id.to_owned(), payload.clone());
            reported.push((position, Report::Event { id, payload }));
        }
    }

    fn room(&self) -> Option<Room> {
        None
    }

    fn end(&self, error: ApiError) {
        panic!("a subscription has ended: {error:?}");
    }
}

struct Subscription {
    person: Person,
    set: Set,
    text: String,
    variables: Map<String, Value>,
    screen: Rc<Screen>,
    /// What it must show: at first, and after each transaction.
    moments: Vec<Moment>,
    running: Option<Running>,
}

impl Subscription {
    /// Most of what is asked at random holds for no row, or is refused.
    async fn any(
        server: &Server,
        kind: &Kind,
        world: &World,
        from: Cursor,
        dice: &mut Dice,
    ) -> Subscription {
        for turn in 0.. {
            let person = (kind.person)(world, dice);
            let sight = person.sight(&server.policy, world);
            let set = Self::set(server, world, dice);
            let definition = world.model.model(set.model);
            let moment = set.at(world, &sight);
            if !sight.names(set.model, definition.id) || (turn < 20 && !moment.divides()) {
                continue;
            }
            let mut filter = json!({ "node": set.filter });
            if let Some(kinds) = &set.kinds {
                filter["mutation_in"] = json!(kinds);
            }
            let columns = definition.field_ids().filter(|field| {
                definition.field(*field).is_column() && sight.names(set.model, *field)
            });
            let names: Vec<&str> = columns
                .map(|field| definition.field(field).name.as_str())
                .collect();
            let (schema, names) = (server.schema(), names.join(" "));
            let field = field_of(
                schema,
                schema.subscription,
                OutputMeaning::Subscribe(set.model),
            );
            let text = format!(
                "subscription($filter: {}SubscriptionWhereInput) {{ {KEY}: {field}(where: $filter) {{ \
                 mutation updatedFields node {{ {names} }} previousValues {{ {names} }} }} }}",
                definition.name
            );
            let admitted = sight.admits(&world.model, set.model, &set.filter);
            let mut subscription = Subscription {
                person,
                set,
                text,
                variables: Map::from_iter([("filter".to_owned(), filter)]),
                screen: Rc::default(),
                moments: vec![moment],
                running: None,
            };
            match subscription.resume(server, from).await {
                Ok(()) => {
                    assert!(admitted, "{subscription}: names what it may not");
                    return subscription;
                }
                Err(code) if code == "FORBIDDEN" => assert!(!admitted, "{subscription}"),
                // More ways through other rows than there may be.
                Err(code) => assert_eq!(code, "BAD_USER_INPUT", "{subscription}"),
            }
        }
        unreachable!()
    }

    fn set(server: &Server, world: &World, dice: &mut Dice) -> Set {
        let mut asker = Asker::new(world, server.schema(), dice);
        let model = asker.model();
        let filter = match asker.dice.chance(20) {
            true => json!({}),
            false => asker.filter(model, 2),
        };
        let kinds: [&[&'static str]; 4] = [
            &["CREATED", "UPDATED"],
            &["UPDATED", "DELETED"],
            &["DELETED"],
            &[],
        ];
        let some = dice.chance(20);
        Set {
            model,
            filter,
            kinds: some.then(|| dice.pick(&kinds).to_vec()),
        }
    }

    /// Starts after a cursor, with nothing on its screen; or says with which code it is refused.
    async fn resume(&mut self, server: &Server, from: Cursor) -> Result<(), String> {
        let definition = server.model.model(self.set.model);
        self.screen = Rc::new(Screen {
            model: definition.name.clone(),
            id: definition.id_field().name.clone(),
            ..Screen::default()
        });
        let (text, variables) = (self.text.clone(), self.variables.clone());
        let running = server
            .start_leaves(&self.person, text, variables, from, self.screen.clone())
            .await?;
        self.running = Some(running);
        Ok(())
    }

    /// Keeps what it must show of a world.
    fn remember(&mut self, server: &Server, world: &World) {
        let sight = self.person.sight(&server.policy, world);
        self.moments.push(self.set.at(world, &sight));
    }

    /// Compares what it was sent of transactions with the moments around them, the first of which is the `since`th.
    fn check(
        &self,
        server: &Server,
        since: usize,
        transitions: &[Transition],
    ) -> Result<Counted, String> {
        let reported = self.screen.reported.borrow();
        let last = transitions.last().unwrap().up_to;
        if let Some((position, reported)) = reported.iter().find(|(position, _)| *position > last) {
            return Err(format!(
                "reported at {position}, where nothing is: {reported:?}"
            ));
        }
        let mut counted = Counted::default();
        for (turn, transition) in transitions.iter().enumerate().skip(since) {
            let of = |(position, reported): &(u64, Report)| {
                let fits = transition.after < *position && *position <= transition.up_to;
                fits.then(|| reported.clone())
            };
            let reported: Vec<Report> = reported.iter().filter_map(of).collect();
            let (before, later) = (&self.moments[turn], &self.moments[turn + 1..]);
            counted += self
                .set
                .check(&server.model, before, later, &reported)
                .map_err(|found| format!("{found}\nby {}\nsent {reported:?}", transition.what))?;
        }
        Ok(counted)
    }
}

impl std::fmt::Display for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let variables = Value::Object(self.variables.clone());
        write!(f, "{:?}\n{}\n{variables}", self.person, self.text)
    }
}

/// The end of the log, after everything that is committed.
async fn head(client: &Client) -> Cursor {
    let stamp = "select epoch, position, nonce from gom.stamp_log()";
    let row = client.query_one(stamp, &[]).await.unwrap();
    let number = |column| row.get::<_, i64>(column).cast_unsigned();
    Cursor {
        nonce: number(2),
        ..Cursor::after(number(0), number(1))
    }
}

/// All of them have been served up to a position.
async fn served(server: &Server, subscriptions: &[Subscription], position: u64) {
    server.wake();
    for one in subscriptions {
        let running = one.running.as_ref().unwrap();
        eventually(&format!("served: {one}"), async || {
            let reached = running.position(None).unwrap().await;
            reached.is_some_and(|reached| reached.position >= position)
        })
        .await;
    }
}

/// A statement that ties a row to another partner: most rules and many filters go by that.
fn tie(schema: &str, world: &World, dice: &mut Dice) -> Option<String> {
    let relation = dice.pick(&world.model.relations);
    let RelationStorage::Inline { side, column } = &relation.storage else {
        return None;
    };
    let [own, other] = [*side, side.other()].map(|side| relation.end(side).model);
    let mut one_of = |model: ModelId| {
        let rows = world.rows[model.0].len();
        (rows > 0).then(|| {
            world
                .id(model, dice.below(rows))
                .as_str()
                .unwrap()
                .to_owned()
        })
    };
    let (row, partner) = (one_of(own)?, one_of(other)?);
    let (table, id) = (
        &world.model.model(own).table,
        &world.model.model(own).id_field().column,
    );
    Some(format!(
        "update \"{schema}\".\"{table}\" set \"{column}\" = '{partner}' where \"{id}\" = '{row}'"
    ))
}

/// One transaction: a mutation, or statements of SQL. Says what it was.
async fn transact(
    server: &Server,
    client: &Client,
    kind: &Kind,
    world: &World,
    fresh: &mut usize,
    dice: &mut Dice,
) -> String {
    if dice.chance(40) {
        let operations: Vec<String> = server.policy.operations.mutation.keys().cloned().collect();
        let author = (kind.person)(world, dice);
        let sight = author.sight(&server.policy, world);
        let mut asker = Asker::new(world, server.schema(), dice);
        let write = Author::new(&mut asker, &sight, fresh).write(&operations);
        let (text, variables) = write.document(&asker);
        let shown = format!("{author:?} {text} {}", Value::Object(variables.clone()));
        server.ask(&author, text, variables).await;
        return shown;
    }
    let mut statements = Vec::new();
    client.batch_execute("begin").await.unwrap();
    for _ in 0..dice.between(1, 5) {
        let sql = match dice.chance(50) {
            true => tie(&server.schema_name, world, dice),
            false => past(&server.schema_name, world, dice),
        };
        let Some(sql) = sql else { continue };
        client.batch_execute("savepoint one").await.unwrap();
        match client.batch_execute(&sql).await {
            Ok(()) => statements.push(sql),
            // Refused by a constraint.
            Err(_) => client.batch_execute("rollback to one").await.unwrap(),
        }
    }
    client.batch_execute("commit").await.unwrap();
    statements.join("; ")
}

#[actix_web::test]
async fn leaves_of_the_shop_are_those_of_the_rows() {
    let test = TestDatabase::create().await;
    let server = Server::start(&test, Policies::Wide).await;
    holds(&test, &server, &SHOP).await;
}

#[actix_web::test]
async fn leaves_over_every_kind_of_relation_are_those_of_the_rows() {
    let test = TestDatabase::create().await;
    let server = Server::start_wild(&test).await;
    holds(&test, &server, &WILD).await;
}

async fn holds(test: &TestDatabase, server: &Server, kind: &Kind) {
    let client = test.connect().await;
    let (began, mut counted, mut resumed) = (Instant::now(), Counted::default(), 0);
    let worlds = (documents() / 20).div_ceil(WRITES) as u64;
    let first = first_seed();
    for seed in first..first + worlds {
        let dice = &mut Dice::new(seed);
        let rows = (kind.rows)(server, dice);
        database::fill(&client, &server.schema_name, &rows).await;
        // The rows that SQL takes are those of the seed.
        client.batch_execute("select setseed(0.5)").await.unwrap();
        let mut world = database::read(&client, &server.schema_name, &server.model).await;
        let begins = head(&client).await;
        let mut subscriptions = Vec::new();
        for _ in 0..SUBSCRIPTIONS {
            subscriptions.push(Subscription::any(server, kind, &world, begins, dice).await);
        }
        let (mut transitions, mut position, mut fresh) = (Vec::new(), begins.position, 0);
        for _ in 0..WRITES {
            let checked = transitions.len();
            // Some follow each other before anything is sent.
            for _ in 0..if dice.chance(30) { 3 } else { 1 } {
                let what = transact(server, &client, kind, &world, &mut fresh, dice).await;
                let up_to = head(&client).await.position;
                transitions.push(Transition {
                    after: position,
                    up_to,
                    what,
                });
                position = up_to;
                world = database::read(&client, &server.schema_name, &server.model).await;
                for one in &mut subscriptions {
                    one.remember(server, &world);
                }
            }
            served(server, &subscriptions, position).await;
            for one in &subscriptions {
                counted += one
                    .check(server, checked, &transitions)
                    .unwrap_or_else(|found| panic!("VISIBILITY_SEED={seed}, {one}\n{found}"));
            }
        }
        // Nothing has come late; and subscribers that were away are sent the same.
        for one in &mut subscriptions {
            one.check(server, 0, &transitions)
                .unwrap_or_else(|found| panic!("VISIBILITY_SEED={seed}, late: {one}\n{found}"));
            one.resume(server, begins).await.unwrap();
        }
        served(server, &subscriptions, position).await;
        for one in &subscriptions {
            let reported = one
                .check(server, 0, &transitions)
                .unwrap_or_else(|found| panic!("VISIBILITY_SEED={seed}, resumed: {one}\n{found}"));
            resumed += reported.left;
        }
    }
    println!(
        "  {counted:?}, {resumed} leaves when resumed, in {:?}",
        began.elapsed()
    );
    let Counted { left, came, .. } = counted;
    assert!(
        left > 0 && came > 0 && left + came > worlds as usize,
        "writes move too few rows"
    );
    assert_eq!(resumed, left, "leaves of who resumes are the same");
}
