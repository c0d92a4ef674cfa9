//! From a request to the plans of its fields, on whichever thread. Asks no database.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gom_engine::error::ApiError;
use gom_engine::plan::{Access, AnswerSlot, PageLimits, Program, Rights, Statement, WriteHooks};
use gom_engine::request::{OperationKind, PreparedOperation, Selected, SelectedField, Variables};
use gom_engine::schema::OutputMeaning;
use tokio::time::Instant;

use super::Request;
use super::api::{Api, Engine, Introspected};
use super::offload::Head;
use super::sources::Sources;
use crate::identity::Viewer;

/// What is asked, and by whom: all that planning needs, on whichever thread.
pub(super) struct Context {
    pub request: Arc<Request>,
    pub prepared: Arc<PreparedOperation>,
    pub variables: Variables,
    pub limits: PageLimits,
    pub viewer: Viewer,
    /// What the viewer may see and do; `None`: everything.
    pub rights: Option<Arc<Rights>>,
    /// Where the answer of a mutation's first field is stored, if it came with an idempotency key.
    pub slot: Option<AnswerSlot>,
}

/// A field at the root of an operation, and its place there.
pub(super) type RootField<'a> = (usize, &'a SelectedField);

/// What a field is read or written by.
pub(super) enum Plan {
    Read(Statement),
    Write(Program),
}

type Plans = Vec<Option<Result<Plan, ApiError>>>;

/// What is made before an operation has its turn, because it may take long: an operation that waits for a thread keeps no turn from the
/// user's other operations, and what is refused then has done nothing.
#[derive(Default)]
pub(super) struct Ahead {
    /// Of a large operation.
    pub plans: Plans,
    pub introspected: Option<Result<Arc<Introspected>, ApiError>>,
}

impl Ahead {
    /// With what keeps the user's next large operation from being made ready, to be dropped when this one has its turn.
    ///
    /// # Errors
    /// If no thread is free by the deadline.
    pub async fn make(
        api: &Api,
        context: &Arc<Context>,
        is_large: bool,
        deadline: Instant,
    ) -> Result<(Self, Head), ApiError> {
        let introspects = |field: &SelectedField| {
            field.meaning == Selected::Introspection && field.inclusion.holds(&context.variables)
        };
        let introspects = context.prepared.operation.fields.iter().any(introspects);
        if !is_large && !introspects {
            return Ok(Default::default());
        }
        let of_thread = Arc::clone(context);
        let make = move |engine: &Engine| {
            let Context {
                prepared,
                request,
                variables,
                viewer,
                ..
            } = &*of_thread;
            Ahead {
                plans: if is_large {
                    of_thread.plans(engine)
                } else {
                    Vec::new()
                },
                introspected: introspects
                    .then(|| engine.introspect(prepared, request, variables, viewer)),
            }
        };
        api.engine
            .work_ahead(true, &context.viewer, deadline, make)
            .await
    }
}

/// Prepares a request's document.
///
/// # Errors
/// All that is wrong with it.
pub(super) async fn prepare(
    api: &Api,
    request: &Arc<Request>,
    viewer: &Viewer,
    is_large: bool,
    deadline: Instant,
) -> Result<Arc<PreparedOperation>, Vec<ApiError>> {
    let (request, by) = (Arc::clone(request), viewer.clone());
    let prepare = move |engine: &Engine| {
        let limits = &engine.limits_of(&by).request;
        engine
            .requests
            .prepare(&request.text, request.operation_name.as_deref(), limits)
    };
    api.engine
        .work(is_large, viewer, deadline, prepare)
        .await
        .map_err(|error| vec![error])?
}

/// The values of a request's variables.
///
/// # Errors
/// See [`Engine::coerce`].
pub(super) async fn coerce(
    api: &Api,
    prepared: &Arc<PreparedOperation>,
    request: &Arc<Request>,
    viewer: &Viewer,
    rights: Option<&Arc<Rights>>,
    is_large: bool,
    deadline: Instant,
) -> Result<Variables, ApiError> {
    let (prepared, request, by) = (Arc::clone(prepared), Arc::clone(request), viewer.clone());
    let rights = rights.cloned();
    let coerce = move |engine: &Engine| engine.coerce(&prepared, &request, &by, rights.as_deref());
    api.engine.work(is_large, viewer, deadline, coerce).await?
}

impl Context {
    pub fn access(&self) -> Access<'_> {
        self.rights.as_deref().map_or(Access::Full, Access::Limited)
    }

    /// Where the answer of a mutation's field is stored.
    pub fn slot_of(&self, place: usize) -> Option<AnswerSlot> {
        let slot = self.slot.clone()?;
        Some(AnswerSlot {
            field: place,
            ..slot
        })
    }

    /// What a field of the application's is read or written by. `now`: where it needs the time.
    pub fn plan(
        &self,
        engine: &Engine,
        (place, field): RootField<'_>,
        now: Option<DateTime<Utc>>,
    ) -> Result<Plan, ApiError> {
        match self.prepared.operation.kind {
            OperationKind::Mutation => self.program(engine, (place, field), now).map(Plan::Write),
            OperationKind::Query | OperationKind::Subscription => {
                self.statement(engine, field).map(Plan::Read)
            }
        }
    }

    /// The plans of all fields that have one, by their places. What needs the time is planned when it is carried out.
    fn plans(&self, engine: &Engine) -> Plans {
        let plan = |(place, field): RootField<'_>| {
            let has_plan = matches!(field.meaning, Selected::Field(meaning) if meaning != OutputMeaning::ExecuteRaw);
            let ahead = has_plan && !self.needs_time(engine, field);
            (ahead && field.inclusion.holds(&self.variables))
                .then(|| self.plan(engine, (place, field), None))
        };
        let fields = self.prepared.operation.fields.iter().enumerate();
        fields.map(plan).collect()
    }

    /// The statement that a query's field is read by.
    fn statement(&self, engine: &Engine, field: &SelectedField) -> Result<Statement, ApiError> {
        engine
            .planner
            .query(field, &self.variables, self.limits, self.access())
    }

    /// Whether a field is planned by the time at which it is carried out, by the clock that all nodes share.
    pub fn needs_time(&self, engine: &Engine, field: &SelectedField) -> bool {
        let rules = engine.write_rules().filter(|_| self.access().is_limited());
        rules.is_some_and(|rules| rules.needs_time(field))
    }

    /// The transaction of a mutation's field. Users' writes follow the application's rules.
    fn program(
        &self,
        engine: &Engine,
        (place, field): RootField<'_>,
        now: Option<DateTime<Utc>>,
    ) -> Result<Program, ApiError> {
        let access = self.access();
        let mut amendments = match engine.write_rules().filter(|_| access.is_limited()) {
            Some(rules) => rules.amend(&engine.planner, field, &self.variables, access, now)?,
            None => WriteHooks::default(),
        };
        amendments.writer = self.viewer.user().map(|user| user.subject.clone());
        amendments.slot = self.slot_of(place);
        engine.planner.mutation(
            field,
            &self.variables,
            self.limits,
            access,
            &mut Sources,
            amendments,
        )
    }
}
