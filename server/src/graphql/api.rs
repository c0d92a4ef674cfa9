//! What operations run on: the engine for a datamodel, shared by the whole process, and each worker's way to
//! the database.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Variables;
use gom_actors::database::LocalDatabase;
use gom_actors::live::LocalLive;
use gom_actors::push::Push;
use gom_engine::datamodel::DataModel;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{Access, PageLimits, Planner, Rights};
use gom_engine::policy::{Permissions, Policy};
use gom_engine::request::{
    self, PreparedOperation, RequestLimits, RequestOptions, Requests, VariableId,
};
use gom_engine::schema::{Schema, SchemaError, SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use gom_runtime::waiting::Waiting;
use gom_telemetry::metrics::{DOCUMENT_LOOKUPS, Lookup};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::idempotency::KeyOptions;
use super::key_turns::KeyTurns;
use super::live::{Classes, LiveCost, kept_answers};
use super::offload::{Head, Offload};
use super::turns::{Turn, TurnLimits, Turns};
use super::write_rules::WriteRules;
use crate::deployment::Deployed;
use crate::identity::{Cursors, User, Viewer};
use crate::settings::{self, Settings};

/// Memory for the answers to introspection, in bytes. One of a whole schema has about half a megabyte and
/// takes tens of milliseconds to make.
const INTROSPECTION_BYTES: u64 = 4 * 1024 * 1024;

/// What policies call the user's [`User::subject`], beside the token's claims.
pub const SUBJECT: &str = "subject";

/// One worker's API.
#[derive(Clone)]
pub struct Api {
    /// Compiles operations on the served datamodel.
    pub engine: Arc<Engine>,
    /// Where statements run: the worker's own connections.
    pub database: LocalDatabase,
    /// What subscriptions and live queries are registered with.
    pub live: LocalLive,
    /// Woken after writes that may leave jobs.
    pub push: Option<Push>,
    /// Until this is done, every operation is refused.
    pub deployed: Deployed,
    /// Refuses operations of viewers for whom too much waits.
    pub admission: Admission,
}

/// Whether one more answer may be made for a viewer, of whom earlier ones may wait to be read. Asked again when an
/// operation's turn has come: while it waited for it, others were answered.
#[derive(Clone)]
pub struct Admission(Arc<Check>);

type Check = dyn Fn(&Viewer) -> Result<(), ApiError> + Send + Sync;

impl Admission {
    pub(crate) fn by(
        check: impl Fn(&Viewer) -> Result<(), ApiError> + Send + Sync + 'static,
    ) -> Self {
        Admission(Arc::new(check))
    }

    /// # Errors
    /// If too much waits. Nothing has been done then.
    pub(crate) fn check(&self, viewer: &Viewer) -> Result<(), ApiError> {
        (self.0)(viewer)
    }
}

/// Without a bound: answers go nowhere where they could wait.
impl Default for Admission {
    fn default() -> Self {
        Admission::by(|_| Ok(()))
    }
}

/// A datamodel, ready to be served.
pub struct Engine {
    /// What the datamodel became.
    pub schema: Arc<Schema>,
    /// Makes statements of operations.
    pub planner: Planner,
    /// Makes operations of documents and variables.
    pub requests: Requests,
    served: Arc<Served>,
    /// For everyone but the service role, which is always answered.
    introspection: bool,
    introspected: Cache<Introspection, Arc<Introspected>, Bytes>,
    service_limits: CallerLimits,
    user_limits: CallerLimits,
    turns: Turns,
    pub(super) key_turns: KeyTurns,
    /// Threads for requests that would block a worker.
    pub offload: Offload,
    /// Answers of live queries, kept for the next difference.
    pub(super) kept: Waiting,
    /// Live queries that are answered together.
    pub(super) classes: Arc<Classes>,
    /// Without one, only the service role has access.
    policy: Option<Arc<Policy>>,
    write_rules: Option<Box<dyn WriteRules>>,
    /// How clients get cursors of events.
    pub(crate) cursors: Cursors,
    /// Without, mutations take no idempotency keys.
    pub(super) keys: Option<KeyOptions>,
}

/// What an engine is built with, beside the datamodel.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub(crate) physical: PhysicalOptions,
    pub(crate) execute_raw: bool,
    pub(crate) introspection: bool,
    pub(crate) cache_bytes: u64,
    pub(crate) service_limits: settings::Limits,
    /// What a user may ask for.
    pub user_limits: settings::Limits,
    pub(crate) turns: TurnLimits,
    /// How idempotency keys are kept, if they are.
    pub(crate) keys: Option<KeyOptions>,
}

impl EngineOptions {
    /// The options that the settings give.
    pub fn of(settings: &Settings) -> Self {
        EngineOptions {
            physical: PhysicalOptions::in_schema(&settings.database.schema),
            execute_raw: settings.graphql.execute_raw,
            introspection: settings.graphql.introspection,
            cache_bytes: settings.cache.document_bytes as u64,
            service_limits: settings.limits.service.clone(),
            user_limits: settings.limits.everyone.clone(),
            turns: TurnLimits {
                in_flight: settings.limits.in_flight_per_user,
                busy_in_flight: settings.limits.busy_in_flight_per_user,
                waiting: settings.limits.waiting_per_user,
            },
            keys: KeyOptions::of(&settings.idempotency),
        }
    }
}

/// What a caller may ask for, as the parts of an execution take it.
#[derive(Debug, Clone)]
pub struct CallerLimits {
    /// Limits of a document and its variables.
    pub request: RequestLimits,
    /// Limits of an answer's rows and bytes.
    pub page: PageLimits,
    /// How long an operation may take, with its waits.
    pub deadline: Duration,
}

impl CallerLimits {
    fn new(section: &'static str, limits: &settings::Limits) -> Self {
        CallerLimits {
            request: RequestLimits {
                section,
                query_bytes: Some(limits.query_bytes),
                tokens: Some(limits.tokens),
                depth: Some(limits.depth),
                aliases: Some(limits.aliases),
                fields: Some(limits.fields),
                complexity: Some(limits.complexity),
                root_fields: Some(limits.root_fields),
                filter_conditions: Some(limits.filter_conditions),
                filter_depth: Some(limits.filter_depth),
                filter_relations: Some(limits.filter_relations),
                filter_bytes: Some(limits.filter_bytes),
                nested_writes: Some(limits.nested_writes),
            },
            page: PageLimits {
                section,
                page_size: i64::try_from(limits.page_size).ok(),
                answer_bytes: i64::try_from(limits.answer_bytes).ok(),
                text_bytes: Some(limits.text_bytes),
            },
            deadline: limits.deadline,
        }
    }
}

fn looked_up(found: bool) {
    DOCUMENT_LOOKUPS.inc(if found { Lookup::Hit } else { Lookup::Miss });
}

impl Engine {
    /// Takes some tens of milliseconds: once for each start.
    ///
    /// # Errors
    /// If the datamodel's names clash in the API.
    pub fn new(datamodel: DataModel, options: &EngineOptions) -> Result<Self, SchemaError> {
        let schema = Arc::new(generate(
            &datamodel,
            SchemaOptions {
                execute_raw: options.execute_raw,
            },
        ));
        let served = Arc::new(Served::new(&schema)?);
        let physical = Arc::new(Physical::new(datamodel, &options.physical));
        let validate = {
            let served = Arc::clone(&served);
            Box::new(move |document: &_, name: Option<&str>| served.validate(document, name))
        };
        let request_options = RequestOptions {
            cache_bytes: options.cache_bytes,
            looked_up,
            ..RequestOptions::default()
        };
        Ok(Engine {
            planner: Planner::new(physical, Arc::clone(&schema)),
            requests: Requests::new(Arc::clone(&schema), validate, request_options),
            schema,
            served,
            introspection: options.introspection,
            introspected: Cache::with_weighter(64, INTROSPECTION_BYTES, Bytes),
            service_limits: CallerLimits::new("limits.service", &options.service_limits),
            user_limits: CallerLimits::new("limits", &options.user_limits),
            turns: Turns::new(options.turns),
            key_turns: KeyTurns::new(options.turns.waiting),
            kept: kept_answers(),
            offload: Offload::default(),
            classes: Arc::default(),
            policy: None,
            write_rules: None,
            cursors: Cursors::alone(),
            keys: options.keys,
        })
    }

    /// Seals cursors with keys that other nodes have as well; else with one of its own.
    pub(crate) fn seal_cursors(&mut self, cursors: Cursors) {
        self.cursors = cursors;
    }

    /// Gives users access, by a policy that was checked against this schema, and by an application's rules for their
    /// writes.
    #[must_use]
    pub fn with_policy(
        self,
        policy: Option<Policy>,
        write_rules: Option<Box<dyn WriteRules>>,
    ) -> Self {
        Engine {
            policy: policy.map(Arc::new),
            write_rules,
            ..self
        }
    }

    /// What live queries have cost so far.
    pub fn live_cost(&self) -> LiveCost {
        self.classes.cost()
    }

    /// The policy that gives users access; without one, only the service role has it.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_deref()
    }

    pub(super) fn write_rules(&self) -> Option<&dyn WriteRules> {
        self.write_rules.as_deref()
    }

    /// What a viewer may see and do; `None` is everything.
    ///
    /// # Errors
    /// If there is no policy, or it has no place for the user.
    pub(crate) fn rights(&self, viewer: &Viewer) -> Result<Option<Arc<Rights>>, ApiError> {
        let Viewer::User(user) = viewer else {
            return Ok(None);
        };
        let policy = self.policy.as_ref().ok_or_else(|| {
            let message =
                "There is no policy for this datamodel: only the service role has access (policy.file)";
            ApiError::new(ErrorKind::Forbidden, message)
        })?;
        let permissions =
            |user: &User| Permissions::of(user.permissions.iter().map(String::as_str));
        let rights = user.rights(|user| {
            let mut claims = user.claims.clone();
            // Not the token's word: it tells the kind of the user, which `sub` does not.
            claims.insert(SUBJECT.to_owned(), user.subject.clone().into());
            self.planner.rights(policy, permissions(user), &claims)
        })?;
        Ok(Some(Arc::clone(rights)))
    }

    pub(super) fn user_limits(&self) -> &CallerLimits {
        &self.user_limits
    }

    /// The limits of the service role, or those of users.
    pub fn limits_of(&self, viewer: &Viewer) -> &CallerLimits {
        match viewer {
            Viewer::Service => &self.service_limits,
            Viewer::User(_) => &self.user_limits,
        }
    }

    /// The viewer's turn, which lasts until it is dropped; the service role needs none.
    ///
    /// # Errors
    /// If it does not come by the deadline, or too many operations of the viewer wait already.
    pub(super) async fn turn(
        &self,
        viewer: &Viewer,
        deadline: Instant,
    ) -> Result<Option<Turn>, ApiError> {
        match viewer {
            Viewer::Service => Ok(None),
            Viewer::User(user) => self.turns.take(&user.subject, deadline).await.map(Some),
        }
    }

    /// Does a part of the work on a request: where that may take long, not on this thread.
    ///
    /// # Errors
    /// If its turn does not come by the deadline.
    pub(super) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        is_large: bool,
        viewer: &Viewer,
        deadline: Instant,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        self.work_ahead(is_large, viewer, deadline, work)
            .await
            .map(|(done, _)| done)
    }

    /// Like [`work`](Self::work), for what then waits for the operation's turn: with what keeps the user's next such work
    /// from being begun.
    ///
    /// # Errors
    /// Those of [`work`](Self::work).
    pub(super) async fn work_ahead<T: Send + 'static>(
        self: &Arc<Self>,
        is_large: bool,
        viewer: &Viewer,
        deadline: Instant,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<(T, Head), ApiError> {
        if !is_large {
            return Ok((work(self), Head::default()));
        }
        let engine = Arc::clone(self);
        let user = viewer.user().map(|user| user.subject.as_str());
        self.offload
            .run_at_head(user, deadline, move || work(&engine))
            .await
    }

    /// The variables' values, if the document's filters and nested writes with them are within the viewer's limits.
    ///
    /// # Errors
    /// The first value that is not of its variable's type, or the first limit that is exceeded.
    pub(super) fn coerce(
        &self,
        prepared: &PreparedOperation,
        request: &super::Request,
        viewer: &Viewer,
        rights: Option<&Rights>,
    ) -> Result<request::Variables, ApiError> {
        let variables = self
            .requests
            .coerce(&prepared.operation, &request.variables)?;
        let access = rights.map_or(Access::Full, Access::Limited);
        let input = self.planner.measure_input(prepared, &variables, access);
        self.limits_of(viewer)
            .request
            .check_input(&input, &prepared.measures)?;
        Ok(variables)
    }

    /// The answers to the fields `__schema` and `__type` of an operation, by key.
    ///
    /// # Errors
    /// If the viewer may not look at the schema, or a name or argument is wrong.
    pub(super) fn introspect(
        &self,
        prepared: &PreparedOperation,
        request: &super::Request,
        variables: &request::Variables,
        viewer: &Viewer,
    ) -> Result<Arc<Introspected>, ApiError> {
        if !self.introspection && !viewer.is_service() {
            return Err(ApiError::new(
                ErrorKind::Forbidden,
                "Introspection is off here (graphql.introspection)",
            ));
        }
        let internal = |cause: &str| ApiError::new(ErrorKind::Internal, cause);
        let document = prepared
            .document
            .clone()
            .ok_or_else(|| internal("a document was not kept"))?;
        // Only what the text alone decides is worth keeping.
        let key = prepared
            .operation
            .variables
            .is_empty()
            .then(|| Introspection {
                text: request.text.clone(),
                operation_name: request.operation_name.clone(),
            });
        if let Some(found) = key.as_ref().and_then(|key| self.introspected.get(key)) {
            return Ok(found);
        }
        let variables = Variables::from_json(Value::Object(simple_values(prepared, variables)));
        let name = request
            .operation_name
            .as_deref()
            .filter(|name| !name.is_empty());
        let response = self.served.introspect(document, name, variables);
        if let Some(error) = response.errors.into_iter().next() {
            return Err(ApiError::new(ErrorKind::BadUserInput, error.message));
        }
        let async_graphql::Value::Object(answers) = response.data else {
            return Err(internal("introspection answers no object"));
        };
        let text = |value: &_| serde_json::to_string(value).map(Arc::from);
        let answers: Introspected = answers
            .iter()
            .map(|(key, value)| Ok((key.to_string(), text(value)?)))
            .collect::<Result<_, serde_json::Error>>()
            .map_err(|error| internal(&error.to_string()))?;
        let answers = Arc::new(answers);
        if let Some(key) = key {
            self.introspected.insert(key, Arc::clone(&answers));
        }
        Ok(answers)
    }
}

/// The variables that introspection can use, defaults filled in: async-graphql forgets those in `@skip` and
/// `@include`.
fn simple_values(
    prepared: &PreparedOperation,
    variables: &request::Variables,
) -> Map<String, Value> {
    let definitions = prepared.operation.variables.iter().enumerate();
    definitions
        .filter_map(|(position, definition)| {
            let value = match variables.get(VariableId(position))? {
                request::Value::Null => Value::Null,
                request::Value::Boolean(flag) => Value::Bool(*flag),
                request::Value::Text(text) => Value::String(text.clone()),
                // No argument of introspection takes another.
                _ => return None,
            };
            Some((definition.name.clone(), value))
        })
        .collect()
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Introspection {
    text: String,
    operation_name: Option<String>,
}

/// JSON text by key of the answer.
pub(super) type Introspected = HashMap<String, Arc<str>>;

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Introspection, Arc<Introspected>> for Bytes {
    fn weight(&self, key: &Introspection, answers: &Arc<Introspected>) -> u64 {
        let answers: usize = answers
            .iter()
            .map(|(key, text)| key.len() + text.len() + 64)
            .sum();
        (key.text.len() + answers + 128) as u64
    }
}
