//! Live queries of random documents: after every random write each shows what the same query answers when it is asked again. One
//! that a change does not wake, though it must, never shows the new answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use gom_engine::datamodel::{ModelId, RelationStorage};
use gom_engine::error::ApiError;
use gom_server::graphql::{Next, Outlet, Running};
use gom_test_support::dice::Dice;
use gom_test_support::random::world::World;
use gom_test_support::{TestDatabase, eventually};
use serde_json::{Map, Value};
use tokio_postgres::Client;

use crate::requests::{Asker, Document};
use crate::server::{Policies, Server};
use crate::sight::Person;
use crate::wild;
use crate::writes::Author;
use crate::{database, documents, first_seed, shops};

/// Live queries that go on at the same time.
const QUERIES: usize = 12;
/// Times that rows are written while they go on.
const WRITES: usize = 10;
/// Statements past the API each time: most of the API's writes are refused.
const SQL_WRITES: usize = 4;

/// The last answer of a live query.
#[derive(Default)]
pub struct Screen {
    last: RefCell<Value>,
    /// The one that it began with.
    first: RefCell<Option<Value>>,
}

impl Screen {
    /// What is shown now; null before the first answer.
    pub fn data(&self) -> Value {
        self.last.borrow()["data"].clone()
    }

    pub fn first(&self) -> Value {
        self.first.borrow().clone().unwrap_or_default()
    }
}

impl Outlet for Screen {
    fn request_id(&self) -> &'static str {
        "live"
    }

    fn next(&self, next: Next) {
        let answer: Value = serde_json::from_slice(&next.payload).unwrap();
        self.first.borrow_mut().get_or_insert(answer.clone());
        *self.last.borrow_mut() = answer;
    }

    fn room(&self) -> Option<gom_actors::live::Room> {
        None
    }

    fn end(&self, error: ApiError) {
        panic!("a live query has ended: {error:?}");
    }
}

struct LiveQuery {
    person: Person,
    text: String,
    variables: Map<String, Value>,
    screen: Rc<Screen>,
    _running: Running,
}

impl LiveQuery {
    /// The same document for somebody, or for the same person once more.
    async fn once_more(&self, server: &Server, person: Person) -> LiveQuery {
        let (text, variables) = (self.text.clone(), self.variables.clone());
        LiveQuery::of(server, person, text, variables).await
    }

    async fn start(server: &Server, person: Person, world: &World, dice: &mut Dice) -> LiveQuery {
        // Most of what is asked at random finds nothing.
        let (mut text, mut variables) = (String::new(), Map::new());
        for _ in 0..20 {
            let fields = Asker::new(world, server.schema(), dice).query();
            (text, variables) = Document::of("query", world, &fields);
            let answered = server.ask(&person, text.clone(), variables.clone()).await;
            if answered.data.to_string().len() > 60 {
                break;
            }
        }
        LiveQuery::of(server, person, text, variables).await
    }

    async fn of(
        server: &Server,
        person: Person,
        text: String,
        variables: Map<String, Value>,
    ) -> LiveQuery {
        let screen = Rc::new(Screen::default());
        let live = text.replacen(" {", " @live {", 1);
        let running = server
            .start_live(&person, live, variables.clone(), screen.clone())
            .await;
        LiveQuery {
            person,
            text,
            variables,
            screen,
            _running: running,
        }
    }

    /// What it must show: the data, and the codes of errors by place.
    async fn answer(&self, server: &Server) -> (Value, Vec<(String, String)>) {
        let answered = server
            .ask(&self.person, self.text.clone(), self.variables.clone())
            .await;
        (answered.data, sorted(answered.errors))
    }

    fn shown(&self) -> (Value, Vec<(String, String)>) {
        let shown = self.screen.last.borrow();
        let errors = shown["errors"].as_array().into_iter().flatten();
        let place = |error: &Value| {
            let path = error["path"].as_array().into_iter().flatten();
            let path = path.map(|segment| match segment {
                Value::String(key) => key.clone(),
                index => index.to_string(),
            });
            let code = error["extensions"]["code"].as_str().unwrap();
            (code.to_owned(), path.collect::<Vec<_>>().join("."))
        };
        (shown["data"].clone(), sorted(errors.map(place).collect()))
    }
}

fn sorted(mut errors: Vec<(String, String)>) -> Vec<(String, String)> {
    errors.sort();
    errors
}

/// How rows and viewers are made up.
pub struct Kind {
    pub rows: fn(&Server, &mut Dice) -> World,
    pub person: fn(&World, &mut Dice) -> Person,
}

pub const SHOP: Kind = Kind {
    rows: |server, dice| shops::shops(&server.model, dice),
    person: Person::any,
};
/// Of the datamodel with every kind of relation.
pub const WILD: Kind = Kind {
    rows: wild::rows,
    person: wild::member,
};

/// One statement of SQL, which constraints may refuse: a row takes a value, or a partner, of another row; goes; or a link does, or
/// comes. Nothing, where the model has nothing to write.
pub fn past(schema: &str, world: &World, dice: &mut Dice) -> Option<String> {
    let model = &world.model.models[dice.below(world.model.models.len())];
    let (table, id) = (
        format!("\"{schema}\".\"{}\"", model.table),
        format!("\"{}\"", model.id_field().column),
    );
    let some =
        |what: &str, of: &str| format!("(select {what} from {of} order by random() limit 1)");
    let inline = world.model.relations.iter().filter_map(|relation| {
        let RelationStorage::Inline { side, column } = &relation.storage else {
            return None;
        };
        (world.model.model(relation.end(*side).model).table == model.table).then_some(column)
    });
    let scalars = model
        .fields
        .iter()
        .enumerate()
        .filter_map(|(place, field)| {
            let is_scalar = field.is_column() && field.relation().is_none() && place != model.id.0;
            is_scalar.then_some(&field.column)
        });
    let columns: Vec<&String> = inline.chain(scalars).collect();
    let links: Vec<_> = world
        .model
        .relations
        .iter()
        .filter_map(|relation| match &relation.storage {
            RelationStorage::Table {
                table,
                a_column,
                b_column,
                ..
            } => Some((relation, table, a_column, b_column)),
            RelationStorage::Inline { .. } => None,
        })
        .collect();
    Some(match dice.below(8) {
        0 => format!("delete from {table} where {id} = {}", some(&id, &table)),
        1 | 2 if !links.is_empty() => {
            let (relation, links, a, b) = *dice.pick(&links);
            let links = format!("\"{schema}\".\"{links}\"");
            if dice.chance(50) {
                format!("delete from {links} where ctid = {}", some("ctid", &links))
            } else {
                let end = |model: ModelId| {
                    let model = world.model.model(model);
                    let id = format!("\"{}\"", model.id_field().column);
                    some(&id, &format!("\"{schema}\".\"{}\"", model.table))
                };
                let (from, to) = (end(relation.a.model), end(relation.b.model));
                format!("insert into {links} (\"{a}\", \"{b}\") values ({from}, {to})")
            }
        }
        _ if !columns.is_empty() => {
            let column = format!("\"{}\"", dice.pick(&columns));
            let (value, row) = (some(&column, &table), some(&id, &table));
            format!("update {table} set {column} = {value} where {id} = {row}")
        }
        _ => return None,
    })
}

async fn write_past(client: &Client, schema: &str, world: &World, dice: &mut Dice) {
    let Some(sql) = past(schema, world, dice) else {
        return;
    };
    if let Err(error) = client.batch_execute(&sql).await {
        let code = error.code().map(|code| code.code().to_owned());
        // Of constraints.
        assert!(
            code.is_some_and(|code| code.starts_with("23")),
            "{sql}: {error:?}"
        );
    }
}

#[actix_web::test]
async fn live_queries_of_the_shop_show_what_their_query_answers() {
    let test = TestDatabase::create().await;
    let server = Server::start(&test, Policies::Wide).await;
    holds(&test, &server, &SHOP).await;
}

#[actix_web::test]
async fn live_queries_over_every_kind_of_relation_show_what_their_query_answers() {
    let test = TestDatabase::create().await;
    let server = Server::start_wild(&test).await;
    holds(&test, &server, &WILD).await;
}

async fn holds(test: &TestDatabase, server: &Server, kind: &Kind) {
    let client = test.connect().await;
    let operations: Vec<String> = server.policy.operations.mutation.keys().cloned().collect();
    let (began, mut checked, mut changed) = (Instant::now(), 0, 0);
    let worlds = (documents() / 8).div_ceil(WRITES) as u64;
    let first = first_seed();
    for seed in first..first + worlds {
        let dice = &mut Dice::new(seed);
        database::fill(&client, &server.schema_name, &(kind.rows)(server, dice)).await;
        let mut world = database::read(&client, &server.schema_name, &server.model).await;
        let mut queries = Vec::new();
        for _ in 0..QUERIES {
            let person = (kind.person)(&world, dice);
            let query = LiveQuery::start(server, person.clone(), &world, dice).await;
            // Answered together with it, or not: by the rights of each.
            if dice.chance(30) {
                queries.push(query.once_more(server, person).await);
            }
            if dice.chance(60) {
                let other = (kind.person)(&world, dice);
                queries.push(query.once_more(server, other).await);
            }
            queries.push(query);
        }
        let mut before = Vec::new();
        for query in &queries {
            before.push(query.answer(server).await);
        }
        let mut fresh = 0;
        for write in 0..=WRITES {
            // The first time nothing is written: all have their first answer.
            if write > 0 {
                let author = (kind.person)(&world, dice);
                let sight = author.sight(&server.policy, &world);
                let mut asker = Asker::new(&world, server.schema(), dice);
                let write = Author::new(&mut asker, &sight, &mut fresh).write(&operations);
                let (text, variables) = write.document(&asker);
                server.ask(&author, text, variables).await;
                for _ in 0..SQL_WRITES {
                    write_past(&client, &server.schema_name, &world, dice).await;
                }
                server.wake();
                world = database::read(&client, &server.schema_name, &server.model).await;
            }
            for (query, before) in queries.iter().zip(&mut before) {
                let expected = query.answer(server).await;
                let what = format!(
                    "VISIBILITY_SEED={seed}, write {write}: {:?} {}\n{}\nmust show {expected:?}",
                    query.person,
                    query.text,
                    Value::Object(query.variables.clone())
                );
                eventually(&what, async || query.shown() == expected).await;
                checked += 1;
                changed += usize::from(*before != expected);
                *before = expected;
            }
        }
    }
    println!(
        "  {checked} times a live query showed its answer, {changed} times another one than before, in {:?}",
        began.elapsed()
    );
    assert!(changed * 100 > checked, "writes change too little");
}
