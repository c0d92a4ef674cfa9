//! The demo shop in a database of its own, and its API in process on behalf of any viewer.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gom_actors::database::{Database, DatabaseOptions};
use gom_engine::error::ApiError;
use gom_server::application::Application;
use gom_server::deployment::{Deployed, Deployer};
use gom_server::graphql::{self, Admission, Answer, Api, Data, Engine, EngineOptions, Request};
use gom_server::identity::{User, Viewer};
use gom_server::policy;
use gom_server::settings::{self, Inputs, Purpose, Settings};
use gom_server::stop::Stop;
use gom_shop::customer_subject;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::TestDatabase;

pub const PALETAS: &str = "auth0|demo-paletas";
pub const TACOS: &str = "auth0|demo-tacos";

pub struct Shop {
    pub api: Api,
    /// Reads and writes the tables without the API.
    pub tables: Client,
    schema: String,
    database: TestDatabase,
}

/// `data` and the errors.
#[derive(Debug)]
pub struct Response {
    pub data: Value,
    pub errors: Vec<ApiError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Deploys {
    Nothing,
    Datamodel,
    WithDemo,
}

impl Shop {
    pub async fn open() -> Shop {
        let test_database = TestDatabase::create().await;
        let settings = settings(&test_database.url());
        Shop::serve(test_database, settings, Deploys::WithDemo).await
    }

    /// Serves another datamodel and policy, without rows.
    pub async fn open_other(datamodel: &str, policy: &str) -> Shop {
        let test_database = TestDatabase::create().await;
        Shop::serve_other(test_database, datamodel, policy, Deploys::Datamodel).await
    }

    /// Serves another datamodel and policy on tables that these statements make, in a database without Gom's own.
    pub async fn open_as_it_is(datamodel: &str, policy: &str, tables: &str) -> Shop {
        let test_database = TestDatabase::create().await;
        let schema = settings(&test_database.url()).database.schema;
        let in_schema =
            format!("create schema \"{schema}\"; set search_path = \"{schema}\"; {tables}");
        let client = test_database.connect().await;
        client.batch_execute(&in_schema).await.unwrap();
        Shop::serve_other(test_database, datamodel, policy, Deploys::Nothing).await
    }

    async fn serve_other(
        test_database: TestDatabase,
        datamodel: &str,
        policy: &str,
        deploys: Deploys,
    ) -> Shop {
        let file = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        let (datamodel, policy) = (file(datamodel), file(policy));
        let settings = settings_with(
            &test_database.url(),
            &[
                ("datamodel.file", datamodel.path().to_str().unwrap()),
                ("policy.file", policy.path().to_str().unwrap()),
            ],
        );
        Shop::serve(test_database, settings, deploys).await
    }

    async fn serve(test_database: TestDatabase, settings: Settings, deploys: Deploys) -> Shop {
        let demo = deploys == Deploys::WithDemo;
        let application: &dyn Application = &gom_shop::Shop;
        let read = application.read_datamodel(&settings).unwrap();
        let engine = Engine::new(read.model.clone(), &EngineOptions::of(&settings)).unwrap();
        let policy = application
            .load_policy(&settings, &read.model, &engine.schema)
            .unwrap();
        let write_rules = application.write_rules(&read.model, &engine.schema, &settings);
        let engine = Arc::new(engine.with_policy(policy, write_rules));
        let database =
            Database::start(DatabaseOptions::from_url(&test_database.url()).unwrap()).unwrap();
        let deployer = Deployer {
            database: database.clone(),
            datamodel: read,
            schema: settings.database.schema.clone(),
            deployed: Deployed::default(),
            apply: deploys != Deploys::Nothing,
            physical: Some(engine.planner.shared_physical()),
            demo: demo.then(|| application.seed_data(&settings)).flatten(),
            stop: Stop::never(),
        };
        let deployed = deployer.deployed.clone();
        assert!(deployer.try_now().await.unwrap());
        let tables = test_database.connect().await;
        tables
            .batch_execute(&format!(
                "set search_path = \"{}\"",
                settings.database.schema
            ))
            .await
            .unwrap();
        let live = gom_server::server::live(&settings, &database, &engine)
            .await
            .unwrap()
            .local();
        let api = Api {
            engine,
            database: database.local(),
            live,
            push: None,
            deployed,
            admission: Admission::default(),
        };
        Shop {
            api,
            tables,
            schema: settings.database.schema.clone(),
            database: test_database,
        }
    }

    pub async fn ask(&self, viewer: &Viewer, text: &str, variables: Value) -> Response {
        let request = Request {
            text: text.to_owned(),
            variables: variables.as_object().cloned().unwrap_or_default(),
            ..Request::default()
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let answer = graphql::execute(&self.api, request, viewer.clone(), false, deadline)
            .await
            .unwrap();
        response(answer)
    }

    /// Executes a request while another transaction is open. That one commits as soon as the request waits for its locks; a
    /// request that does not wait finishes first.
    pub async fn ask_beside(
        &self,
        open: &str,
        viewer: &Viewer,
        text: &str,
        variables: Value,
    ) -> Response {
        self.ask_between(open, "", viewer, text, variables).await
    }

    /// As [`Shop::ask_beside`]; the other transaction executes `then` before it commits.
    pub async fn ask_between(
        &self,
        open: &str,
        then: &str,
        viewer: &Viewer,
        text: &str,
        variables: Value,
    ) -> Response {
        let other = self.database.connect().await;
        other
            .batch_execute(&format!(
                "set search_path = \"{}\"; begin; {open}",
                self.schema
            ))
            .await
            .unwrap();
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        let waits = async {
            while self.count(waiting).await == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let asked = self.ask(viewer, text, variables);
        tokio::pin!(asked);
        let early = tokio::select! {
            response = &mut asked => Some(response),
            () = waits => None,
        };
        other
            .batch_execute(&format!("{then}; commit"))
            .await
            .unwrap();
        match early {
            Some(response) => response,
            None => asked.await,
        }
    }

    /// The only value of a statement's only row, as text.
    pub async fn text(&self, sql: &str) -> Option<String> {
        self.tables.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Without variables; fails if there are errors.
    pub async fn read(&self, viewer: &Viewer, text: &str) -> Value {
        let response = self.ask(viewer, text, json!({})).await;
        assert!(response.errors.is_empty(), "{text}: {response:?}");
        response.data
    }

    /// Another connection.
    pub async fn connect(&self) -> Client {
        self.database.connect().await
    }

    /// How many rows a statement counts.
    pub async fn count(&self, sql: &str) -> i64 {
        self.tables.query_one(sql, &[]).await.unwrap().get(0)
    }
}

impl Response {
    /// `extensions.code` of the only error.
    pub fn code(&self) -> &str {
        assert_eq!(self.errors.len(), 1, "{self:?}");
        self.errors[0].kind.code()
    }
}

/// A seller with the policy's permissions for sellers.
pub fn seller(subject: &str) -> Viewer {
    user("seller", subject)
}

/// A customer of PALETAS by its row's id.
pub fn customer(uid: &str) -> Viewer {
    customer_of(PALETAS, uid)
}

/// A customer who has logged in to a seller's shop.
pub fn customer_of(seller: &str, uid: &str) -> Viewer {
    let claims = json!({ "sub": uid, "seller": seller, "permissions": permissions("customer") });
    holder_of(customer_subject(uid, seller), &claims)
}

fn permissions(role: &str) -> Vec<String> {
    let (_, source) = policy::read(
        &settings("postgres://unused@localhost/unused"),
        gom_shop::Shop.built_in().as_ref(),
    )
    .unwrap()
    .unwrap();
    source.roles[role].permissions.clone()
}

fn user(role: &str, subject: &str) -> Viewer {
    holder(subject, permissions(role))
}

/// A user whose token has these permissions.
pub fn holder(subject: &str, permissions: Vec<String>) -> Viewer {
    holder_of(
        subject.to_owned(),
        &json!({ "sub": subject, "permissions": permissions }),
    )
}

fn holder_of(subject: String, claims: &Value) -> Viewer {
    let expires = SystemTime::now() + Duration::from_secs(3_600);
    let permissions = serde_json::from_value(claims["permissions"].clone()).unwrap();
    let claims = claims.as_object().cloned().unwrap();
    Viewer::User(Arc::new(User::new(subject, permissions, claims, expires)))
}

pub fn settings(url: &str) -> Settings {
    settings_with(url, &[])
}

fn settings_with(url: &str, others: &[(&'static str, &str)]) -> Settings {
    let arguments = [
        ("database.url", url),
        ("service.secret", "the tests' service secret, long enough"),
    ]
    .iter()
    .chain(others)
    .map(|(key, value)| (*key, "the test", (*value).to_owned()))
    .collect();
    let inputs = Inputs {
        keys: gom_shop::KEYS,
        purpose: Purpose::Tool,
        variables: Default::default(),
        directory: None,
        arguments,
    };
    settings::load(&inputs)
        .unwrap_or_else(|error| panic!("{error}"))
        .settings
}

fn response(answer: Answer) -> Response {
    let data = match answer.data {
        Data::Refused | Data::Null | Data::NullAfterWrite => Value::Null,
        Data::Fields(fields) => fields
            .iter()
            .map(|(key, fragment)| {
                (
                    key.clone(),
                    serde_json::from_slice(fragment.as_bytes()).unwrap(),
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
    };
    Response {
        data,
        errors: answer.errors,
    }
}
