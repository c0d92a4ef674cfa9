//! Random filters, orders and pages on random rows: what the compiled statements find in a real PostgreSQL
//! is what a naive evaluator finds in memory. On a datamodel of our own, and on some of chance.
//!
//! `PROPTEST_CASES` asks for more than the usual number. A failure names its seed, and `FILTERS_SEED` begins with it.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod evaluator;
mod random_filters;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use gom_actors::database::{Database, DatabaseOptions, LocalDatabase};
use gom_actors::migrations::{self, Deployment};
use gom_engine::datamodel::{self, DataModel, FieldKind, RelationStorage, ScalarType};
use gom_engine::error::ErrorKind;
use gom_engine::plan::{Access, PageLimits, Planner};
use gom_engine::request::{RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{OutputMeaning, Schema, SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions, TOO_MANY};
use gom_test_support::TestDatabase;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::Value;
use tokio::time::Instant;

use crate::evaluator::Refused;
use crate::requests::{Request, Roots};
use gom_test_support::dice::Dice;
use gom_test_support::random::drafts::Draft;
use gom_test_support::random::world::World;

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

/// What only chance makes.
const DATAMODELS: u32 = 16;
const CASES_OF_EACH: u32 = 12;

#[test]
fn statements_find_what_the_oracle_computes() {
    let lab = Lab::open();
    let model = datamodel::parse("datamodel.prisma", DATAMODEL).unwrap();
    let cases = asked::<u32>("PROPTEST_CASES")
        .unwrap_or(CASES)
        .div_ceil(WORLDS);
    let first = first_seed();
    for number in 0..WORLDS {
        lab.compare(&model, DATAMODEL, first + u64::from(number), cases);
    }
}

#[test]
fn statements_find_what_the_oracle_computes_on_random_datamodels() {
    let lab = Lab::open();
    let cases =
        asked::<u32>("PROPTEST_CASES").map_or(CASES_OF_EACH, |cases| cases.div_ceil(DATAMODELS));
    let (first, mut seen, mut refused) = (first_seed(), Seen::default(), 0);
    for seed in first..first + u64::from(DATAMODELS) {
        let dice = &mut Dice::new(seed);
        let (text, model) = loop {
            let text = Draft::any(dice).text();
            // Some names of chance cannot stand beside each other.
            match datamodel::parse("datamodel.prisma", &text) {
                Ok(model) => break (text, model),
                Err(_) => refused += 1,
            }
        };
        seen.look_at(&model);
        lab.compare(&model, &text, seed, cases);
    }
    println!("{seen:?}, {refused} datamodels refused");
    seen.has_all();
}

/// How many there were of what the datamodels are made for.
#[derive(Debug, Default)]
struct Seen {
    uuids: usize,
    numbers: usize,
    tables: usize,
    columns: usize,
    lists: usize,
    jsons: usize,
    trees: usize,
    one_to_one: usize,
    single_in_tables: usize,
    left_out: usize,
}

impl Seen {
    fn look_at(&mut self, model: &DataModel) {
        for one in &model.models {
            let of = |scalar: ScalarType| one.id_field().kind == FieldKind::Scalar(scalar);
            self.uuids += usize::from(of(ScalarType::Uuid));
            self.numbers += usize::from(of(ScalarType::Int));
            self.tables += usize::from(one.name != one.table);
            let fields = || one.fields.iter().filter(|field| field.relation().is_none());
            self.columns += fields().filter(|field| field.column != field.name).count();
            self.lists += fields().filter(|field| field.list).count();
            self.jsons += fields()
                .filter(|field| field.kind == FieldKind::Scalar(ScalarType::Json))
                .count();
        }
        for relation in &model.relations {
            let in_table = matches!(relation.storage, RelationStorage::Table { .. });
            self.trees += usize::from(relation.a.model == relation.b.model);
            self.one_to_one += usize::from(!relation.a.list && !relation.b.list);
            self.single_in_tables += usize::from(in_table && !(relation.a.list && relation.b.list));
            self.left_out += usize::from(relation.a.field.is_none() || relation.b.field.is_none());
        }
    }

    fn has_all(&self) {
        let Seen {
            uuids,
            numbers,
            tables,
            columns,
            lists,
            jsons,
            ..
        } = self;
        let Seen {
            trees,
            one_to_one,
            single_in_tables,
            left_out,
            ..
        } = self;
        let counts = [
            uuids,
            numbers,
            tables,
            columns,
            lists,
            jsons,
            trees,
            one_to_one,
            single_in_tables,
            left_out,
        ];
        assert!(counts.iter().all(|count| **count > 0), "{self:?}");
    }
}

fn asked<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn first_seed() -> u64 {
    asked("FILTERS_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        now.as_secs() * 1_000
    })
}

/// Makes the same choices for a seed.
fn runner(seed: u64, cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// A database, for worlds that have a schema each.
struct Lab {
    system: actix::SystemRunner,
    test: TestDatabase,
    database: LocalDatabase,
}

impl Lab {
    fn open() -> Lab {
        let system = actix::System::new();
        let test = system.block_on(TestDatabase::create());
        let database = system.block_on(async {
            let mut options = DatabaseOptions::new(test.config());
            options.workers = 1;
            let database = Database::start(options).unwrap();
            database.ready(later()).await.unwrap();
            database.local()
        });
        Lab {
            system,
            test,
            database,
        }
    }

    /// So many requests on rows of chance.
    fn compare(&self, model: &DataModel, text: &str, seed: u64, cases: u32) {
        println!("FILTERS_SEED={seed}");
        let mut runner = runner(seed, cases);
        let world = gom_test_support::random::world::worlds(model)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let schema = format!("world {seed}");
        let filled = world.insertion(&schema);
        self.system
            .block_on(fill(&self.test, model, text, &schema, &filled));
        let server = Server::new(model, &schema, self.database.clone());
        let result = runner.run(
            &requests::requests(&world, &server.roots(model)),
            |request| {
                let compared = self.system.block_on(server.compare(&world, &request));
                compared.map_err(TestCaseError::fail)
            },
        );
        if let Err(failure) = result {
            panic!("FILTERS_SEED={seed}\n{failure}\n{text}\nrows:\n{filled}");
        }
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn fill(test: &TestDatabase, model: &DataModel, text: &str, schema: &str, rows: &str) {
    let mut client = test.connect().await;
    let deployment = Deployment::new(model, text, schema);
    migrations::apply(&mut client, &deployment, &|_| {})
        .await
        .unwrap();
    client
        .batch_execute(rows)
        .await
        .unwrap_or_else(|error| panic!("{error:?}\n{rows}"));
}

/// What stands between a document and its answer.
struct Server {
    schema: Arc<Schema>,
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
        let requests = Requests::new(
            Arc::clone(&schema),
            Box::new(validate),
            RequestOptions::default(),
        );
        Server {
            schema,
            requests,
            planner,
            database,
        }
    }

    fn roots(&self, model: &DataModel) -> Vec<Roots> {
        let fields = &self.schema.object(self.schema.query).fields;
        let name = |meaning: OutputMeaning| {
            let found = fields.iter().find(|(_, field)| field.meaning == meaning);
            found.map(|(name, _)| name.clone()).unwrap()
        };
        let of_model = |id| Roots {
            list: name(OutputMeaning::FindMany(id)),
            connection: name(OutputMeaning::Connection(id)),
        };
        model.model_ids().map(of_model).collect()
    }

    /// Says how what the server answers differs from what the evaluator does, if it does.
    async fn compare(&self, world: &World, request: &Request) -> Result<(), String> {
        let text = request.document(world);
        let given = request.variables();
        let shown = format!("{text}\nvariables: {}", Value::Object(given.clone()));
        let prepared = self
            .requests
            .prepare(&text, None, &RequestLimits::UNLIMITED);
        let prepared = prepared.map_err(|errors| format!("{errors:?}\n{shown}"))?;
        let variables = self.requests.coerce(&prepared.operation, &given);
        let variables = variables.map_err(|error| format!("{error}\n{shown}"))?;
        let expected = evaluator::answers(world, request);
        for (field, expected) in prepared.operation.fields.iter().zip(expected) {
            let limits = PageLimits {
                page_size: request.page_size.map(|size| i64::try_from(size).unwrap()),
                ..PageLimits::default()
            };
            let statement = match (
                self.planner.query(field, &variables, limits, Access::Full),
                expected,
            ) {
                (Ok(statement), Ok(expected)) => (statement, expected),
                (Err(error), Err(Refused::NullFilter)) if error.code == Some(3033) => continue,
                (Err(error), Err(Refused::PageTooLarge))
                    if error.kind == ErrorKind::LimitExceeded =>
                {
                    continue;
                }
                (planned, expected) => {
                    return Err(format!("{planned:?} for {expected:?}\n{shown}"));
                }
            };
            let (statement, expected) = statement;
            let run = format!("{shown}\n{}\n{:?}", statement.sql, statement.params);
            let answer = self.database.read(statement, later()).await;
            let answer = answer.map_err(|error| format!("{error:?}\n{run}"))?;
            let answer =
                answer.map(|text| serde_json::from_slice::<Value>(text.as_bytes()).unwrap());
            let answer = answer.map(without_refused_edges);
            if answer.as_ref().map(with_floats) != Some(with_floats(&expected)) {
                let answer = answer.unwrap_or_default();
                return Err(format!(
                    "PostgreSQL: {answer}\nevaluator:  {expected}\n{run}"
                ));
            }
        }
        Ok(())
    }
}

/// One number may be written in several ways.
fn with_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.iter().map(with_floats).collect(),
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), with_floats(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// A connection whose edges are too many is refused as a whole once its answer is checked.
fn without_refused_edges(answer: Value) -> Value {
    let mark: Value = serde_json::from_str(TOO_MANY).unwrap();
    match &answer {
        Value::Object(parts) if parts.values().any(|part| *part == mark) => mark,
        _ => answer,
    }
}
