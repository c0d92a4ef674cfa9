//! The API as the edge calls it, with viewers made by hand.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gom_actors::database::{Database, DatabaseOptions};
use gom_engine::datamodel::{DataModel, FieldId, Model};
use gom_engine::error::{ErrorKind, PathSegment};
use gom_engine::events::Cursor;
use gom_engine::policy::{OneOrMany, Policy, PolicySource};
use gom_engine::schema::{ObjectId, Schema};
use gom_server::application::Application;
use gom_server::deployment::{Deployed, Deployer};
use gom_server::graphql::{
    Admission, Answer, Api, Data, Engine, EngineOptions, Extensions, Outlet, Request, Running,
    Started, execute, start,
};
use gom_server::settings::{self, Inputs, Purpose};
use gom_server::stop::Stop;
use gom_test_support::TestDatabase;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::model::Kept;
use crate::sight::Person;

/// Which operations there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policies {
    /// Those of Gom's policy.
    Own,
    /// All, with nested writes of everything in everything: the rules of rows and fields stay.
    Wide,
}

pub struct Server {
    pub model: DataModel,
    pub policy: PolicySource,
    pub schema_name: String,
    pub api: Api,
}

pub struct Answered {
    pub data: Value,
    /// Code and path of each.
    pub errors: Vec<(String, String)>,
    /// For who reads of a failure.
    pub messages: Vec<String>,
}

impl Server {
    pub async fn start(test: &TestDatabase, policies: Policies) -> Server {
        Self::serve(test, policies, &[]).await
    }

    /// Of the lab: see its datamodel.
    pub async fn start_lab(test: &TestDatabase) -> Server {
        let file = |name: &str| format!("{}/tests/fixtures/lab/{name}", env!("CARGO_MANIFEST_DIR"));
        let files = [
            ("datamodel.file", file("datamodel.prisma")),
            ("policy.file", file("policy.toml")),
        ];
        Self::serve(test, Policies::Own, &files).await
    }

    /// Of the wild datamodel, with all operations.
    pub async fn start_wild(test: &TestDatabase) -> Server {
        let file =
            |name: &str| format!("{}/tests/fixtures/wild/{name}", env!("CARGO_MANIFEST_DIR"));
        let files = [
            ("datamodel.file", file("datamodel.prisma")),
            ("policy.file", file("policy.toml")),
        ];
        Self::serve(test, Policies::Wide, &files).await
    }

    async fn serve(
        test: &TestDatabase,
        policies: Policies,
        files: &[(&'static str, String)],
    ) -> Server {
        let arguments: Vec<(&'static str, &'static str, String)> = [
            ("database.url", test.url()),
            ("database.deploy", "true".into()),
            (
                "service.secret",
                "the tests' service secret, long enough".into(),
            ),
            ("limits.aliases", "10000".into()),
            ("limits.fields", "100000".into()),
            ("limits.filter_conditions", "10000".into()),
            ("limits.filter_depth", "64".into()),
            ("limits.filter_relations", "10000".into()),
            ("limits.deadline", "30000".into()),
        ]
        .iter()
        .chain(files)
        .map(|(key, value)| (*key, "the test", value.clone()))
        .collect();
        let inputs = Inputs {
            keys: gom_shop::KEYS,
            purpose: Purpose::Serve,
            variables: BTreeMap::new(),
            directory: None,
            arguments,
        };
        let settings = settings::load(&inputs)
            .unwrap_or_else(|error| panic!("{error}"))
            .settings;
        let application: &dyn Application = &gom_shop::Shop;
        let datamodel = application.read_datamodel(&settings).unwrap();
        let model = datamodel.model.clone();
        let mut options = EngineOptions::of(&settings);
        // Some documents of chance are beyond what any setting allows.
        options.user_limits.complexity = u64::MAX;
        let engine = Engine::new(model.clone(), &options).unwrap();
        let (_, mut source) = gom_server::policy::read(&settings, application.built_in().as_ref())
            .unwrap()
            .unwrap();
        // Values that each owner has are kept beside the rows, which are all that the evaluator knows.
        source
            .roles
            .values_mut()
            .for_each(|role| role.own_values.clear());
        if policies == Policies::Wide {
            widen(&mut source, &model, &engine.schema);
        }
        let policy = Policy::new(&source, &model, &engine.schema)
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        let write_rules = application.write_rules(&model, &engine.schema, &settings);
        let engine = engine.with_policy(Some(policy), write_rules);

        let mut options = DatabaseOptions::new(test.config());
        options.workers = if files.is_empty() { 1 } else { 4 };
        let database = Database::start(options).unwrap();
        let deployer = Deployer {
            database: database.clone(),
            datamodel,
            schema: settings.database.schema.clone(),
            deployed: Deployed::default(),
            apply: true,
            physical: Some(engine.planner.shared_physical()),
            demo: None,
            stop: Stop::never(),
        };
        let deployed = deployer.deployed.clone();
        assert!(deployer.try_now().await.unwrap());
        let live = gom_server::server::live(&settings, &database, &engine)
            .await
            .unwrap()
            .local();
        let api = Api {
            engine: Arc::new(engine),
            database: database.local(),
            live,
            push: None,
            deployed,
            admission: Admission::default(),
        };
        Server {
            model,
            policy: source,
            schema_name: settings.database.schema.clone(),
            api,
        }
    }

    /// The fields that Gom writes itself, whatever an input says.
    pub fn kept_fields(&self) -> Kept {
        let PolicySource {
            stamps, generated, ..
        } = &self.policy;
        let names = |model: &str, field: &str| {
            stamps.create.contains_key(field)
                || stamps.update.contains_key(field)
                || generated.contains_key(&format!("{model}.{field}"))
        };
        let of_model = |model: &Model| {
            let fields = model.fields.iter().enumerate();
            let kept = fields.filter(|(_, field)| names(&model.name, &field.name));
            kept.map(|(field, _)| FieldId(field)).collect::<Vec<_>>()
        };
        let model = &self.model;
        let kept = |id| {
            of_model(model.model(id))
                .into_iter()
                .map(move |field| (id, field))
        };
        model.model_ids().flat_map(kept).collect()
    }

    pub fn schema(&self) -> &Schema {
        &self.api.engine.schema
    }

    /// Something was written past the API.
    pub fn wake(&self) {
        self.api.live.live().wake();
    }

    /// Starts a subscription that reports leaves, after a cursor; or says with which code it is refused.
    pub async fn start_leaves(
        &self,
        person: &Person,
        text: String,
        variables: Map<String, Value>,
        from: Cursor,
        outlet: Rc<dyn Outlet>,
    ) -> Result<Running, String> {
        let request = Request {
            text,
            variables,
            extensions: Extensions::new([("leaves".to_owned(), true.into())]),
            ..Request::default()
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        let (viewer, from) = (person.viewer(), Some(from));
        match start(&self.api, request, viewer, from, true, deadline, outlet).await {
            Started::Running(running) => Ok(running),
            Started::Answered(answer) => Err(answer.errors[0].kind.code().to_owned()),
        }
    }

    /// Starts a live query.
    pub async fn start_live(
        &self,
        person: &Person,
        text: String,
        variables: Map<String, Value>,
        outlet: Rc<dyn Outlet>,
    ) -> Running {
        let request = Request {
            text,
            variables,
            ..Request::default()
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        let viewer = person.viewer();
        match start(&self.api, request, viewer, None, true, deadline, outlet).await {
            Started::Running(running) => running,
            Started::Answered(answer) => panic!("{answer:?}"),
        }
    }

    pub async fn ask(
        &self,
        person: &Person,
        text: String,
        variables: Map<String, Value>,
    ) -> Answered {
        let request = Request {
            text,
            variables,
            ..Request::default()
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        let Answer { data, errors, .. } =
            execute(&self.api, request.clone(), person.viewer(), false, deadline)
                .await
                .unwrap();
        let data = match data {
            Data::Fields(fields) => fields
                .iter()
                .map(|(key, fragment)| {
                    (
                        key.clone(),
                        serde_json::from_slice(fragment.as_bytes()).unwrap(),
                    )
                })
                .collect::<Map<_, _>>()
                .into(),
            Data::Null | Data::NullAfterWrite => Value::Null,
            Data::Refused => panic!("{errors:?}\n{request:?}"),
        };
        // Its message is for the log alone.
        let faults = errors
            .iter()
            .filter(|error| error.kind == ErrorKind::Internal);
        faults.for_each(|fault| println!("{}", fault.message));
        let messages = errors
            .iter()
            .map(|error| error.message.to_string())
            .collect();
        let errors = errors
            .iter()
            .map(|error| (error.kind.code().to_owned(), path(&error.path)));
        Answered {
            data,
            errors: errors.collect(),
            messages,
        }
    }
}

fn path(segments: &[PathSegment]) -> String {
    let texts: Vec<String> = segments
        .iter()
        .map(|segment| match segment {
            PathSegment::Key(key) => key.clone(),
            PathSegment::Index(index) => index.to_string(),
        })
        .collect();
    texts.join(".")
}

fn widen(source: &mut PolicySource, model: &DataModel, schema: &Schema) {
    source.operations.query = all(schema, schema.query);
    source.operations.mutation = all(schema, schema.mutation);
    source.operations.subscription = all(schema, schema.subscription);
    let names = || model.models.iter().map(|model| model.name.clone());
    source.parts = names().map(|name| (name, names().collect())).collect();
}

fn all<C: FromIterator<(String, OneOrMany)>>(schema: &Schema, root: ObjectId) -> C {
    let names = schema
        .object(root)
        .fields
        .keys()
        .filter(|name| *name != "executeRaw" && *name != "node");
    names
        .map(|name| (name.clone(), OneOrMany::One("do:it".to_owned())))
        .collect()
}
