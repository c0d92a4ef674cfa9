//! Random filters, orders and pages on random rows: what the compiled statements find in a real PostgreSQL
//! is what a naive evaluator finds in memory. `PROPTEST_CASES` asks for more than the usual number.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod evaluator;
mod requests;
mod rows;
mod world;

use std::sync::Arc;
use std::time::Duration;

use gom_actors::database::{Database, DatabaseOptions, LocalDatabase};
use gom_actors::migrations::{self, Deployment};
use gom_engine::datamodel::{self, DataModel};
use gom_engine::error::ErrorKind;
use gom_engine::plan::{Access, PageLimits, Planner};
use gom_engine::request::{Limits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions, TOO_MANY};
use gom_test_support::TestDatabase;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use tokio::time::Instant;

use crate::evaluator::Refused;
use crate::requests::Request;
use crate::world::World;

/// Columns are called like the rows of our own statements, and like the columns that these add.
/// Every scalar type, nullable and required, and every kind of relation in every kind of storage.
const DATAMODEL: &str = r#"
    enum Color { RED GREEN BLUE }

    type Item {
      id: ID! @id
      name: String!
      text: String @db(name: "t2")
      code: String @unique
      int: Int @db(name: "gom_i")
      float: Float
      flag: Boolean
      time: DateTime
      rank: Int!
      color: Color
      uuid: UUID
      json: Json
      parent: Item @relation(name: "Tree", link: INLINE)
      children: [Item] @relation(name: "Tree")
      likes: [Item] @relation(name: "Likes", link: TABLE)
      likedBy: [Item] @relation(name: "Likes")
      box: Box @relation(name: "InBox", link: INLINE)
      lidOf: Box @relation(name: "Lid")
      labels: [Label] @relation(name: "Labelled", link: TABLE)
      owner: Label @relation(name: "Owns", link: TABLE)
    }

    type Box {
      id: UUID! @id
      note: String @db(name: "t4")
      t2: Int
      t5: String
      size: Int @unique
      items: [Item] @relation(name: "InBox")
      lid: Item @relation(name: "Lid", link: INLINE)
    }

    type Label {
      id: Int! @id(strategy: SEQUENCE)
      word: String!
      since: DateTime @db(name: "page")
      t1: String
      items: [Item] @relation(name: "Labelled")
      owned: [Item] @relation(name: "Owns")
      seal: Label @relation(name: "Seal", link: TABLE)
      sealOf: Label @relation(name: "Seal")
    }
"#;
const WORLDS: u32 = 4;
const CASES: u32 = 300;

#[test]
fn statements_find_what_the_rules_say() {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(CASES).div_ceil(WORLDS);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let model = datamodel::parse("datamodel.prisma", DATAMODEL).unwrap();
    let system = actix::System::new();
    let test = system.block_on(TestDatabase::create());
    let database = system.block_on(async {
        let mut options = DatabaseOptions::new(test.config());
        options.workers = 1;
        let database = Database::start(options).unwrap();
        database.ready(later()).await.unwrap();
        database.local()
    });
    for number in 0..WORLDS {
        let world = world::worlds(&model).new_tree(&mut runner).unwrap().current();
        let schema = format!("world {number}");
        let filled = world.insertion(&schema);
        system.block_on(fill(&test, &model, &schema, &filled));
        let server = Server::new(&model, &schema, database.clone());
        let result = runner.run(&requests::requests(&world), |request| {
            let compared = system.block_on(server.compare(&world, &request));
            compared.map_err(TestCaseError::fail)
        });
        if let Err(failure) = result {
            panic!("{failure}\nrows:\n{filled}");
        }
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn fill(test: &TestDatabase, model: &DataModel, schema: &str, rows: &str) {
    let mut client = test.connect().await;
    let deployment = Deployment::new(model, DATAMODEL, schema);
    migrations::apply(&mut client, &deployment, &|_| {}).await.unwrap();
    client.batch_execute(rows).await.unwrap_or_else(|error| panic!("{error:?}\n{rows}"));
}

/// What stands between a document and its answer.
struct Server {
    requests: Requests,
    planner: Planner,
    database: LocalDatabase,
}

impl Server {
    fn new(model: &DataModel, schema_name: &str, database: LocalDatabase) -> Server {
        let schema = Arc::new(generate(model, SchemaOptions::default()));
        let served = Served::new(&schema).unwrap();
        let physical = Physical::new(model.clone(), &PhysicalOptions::in_schema(schema_name));
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        Server { requests, planner, database }
    }

    /// Says how what the server answers differs from what the evaluator does, if it does.
    async fn compare(&self, world: &World, request: &Request) -> Result<(), String> {
        let text = request.document(world);
        let given = request.variables();
        let shown = format!("{text}\nvariables: {}", Value::Object(given.clone()));
        let prepared = self.requests.prepare(&text, None, &Limits::UNLIMITED);
        let prepared = prepared.map_err(|errors| format!("{errors:?}\n{shown}"))?;
        let variables = self.requests.coerce(&prepared.operation, &given);
        let variables = variables.map_err(|error| format!("{error}\n{shown}"))?;
        let expected = evaluator::answers(world, request);
        for (field, expected) in prepared.operation.fields.iter().zip(expected) {
            let limits = PageLimits {
                page_size: request.page_size.map(|size| i64::try_from(size).unwrap()),
                ..PageLimits::default()
            };
            let statement = match (self.planner.query(field, &variables, limits, Access::Full), expected) {
                (Ok(statement), Ok(expected)) => (statement, expected),
                (Err(error), Err(Refused::NullFilter)) if error.code == Some(3033) => continue,
                (Err(error), Err(Refused::PageTooLarge)) if error.kind == ErrorKind::LimitExceeded => {
                    continue;
                }
                (planned, expected) => return Err(format!("{planned:?} for {expected:?}\n{shown}")),
            };
            let (statement, expected) = statement;
            let run = format!("{shown}\n{}\n{:?}", statement.sql, statement.params);
            let answer = self.database.read(statement, later()).await;
            let answer = answer.map_err(|error| format!("{error:?}\n{run}"))?;
            let answer = answer.map(|text| serde_json::from_slice::<Value>(text.as_bytes()).unwrap());
            let answer = answer.map(without_refused_edges);
            if answer.as_ref() != Some(&expected) {
                let answer = answer.unwrap_or_default();
                return Err(format!("PostgreSQL: {answer}\nevaluator:  {expected}\n{run}"));
            }
        }
        Ok(())
    }
}

/// A connection whose edges are too many is refused as a whole once its answer is looked into.
fn without_refused_edges(answer: Value) -> Value {
    let mark: Value = serde_json::from_str(TOO_MANY).unwrap();
    match &answer {
        Value::Object(parts) if parts.values().any(|part| *part == mark) => mark,
        _ => answer,
    }
}
