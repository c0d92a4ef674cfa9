//! From a request to its answer: prepare, coerce, plan, run, complete. Reads of one operation run side by
//! side; writes one after the other, each field in its own transaction, as Prisma did.

mod fields;
mod once;
mod part;
mod shared;

use std::cell::{Cell, RefCell};
use std::sync::{Arc, LazyLock};

use gom_actors::database::{Asker, Behalf};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{AnswerSlot, Rights};
use gom_engine::request::{OperationKind, PreparedOperation, Selected};
use gom_engine::schema::OutputMeaning;
use gom_telemetry::metrics;
use gom_telemetry::traces::{self, Begun, KeyValue, SpanKind, SpanRef, Status};
use tokio::time::Instant;

use self::fields::Execution;
pub(super) use self::shared::LiveQuery;
use super::api::Api;
use super::context::{Ahead, Context, coerce, prepare};
use super::idempotency::unusable;
use super::live::{without_leaves, without_patches};
use super::{Answer, Request, position};
use crate::identity::Viewer;
use crate::telemetry::{kind_of, observe_operation, outcome_of, plain_name};

/// What is counted of a request that is not a query where only queries are wanted.
static NOT_A_QUERY: LazyLock<ApiError> =
    LazyLock::new(|| ApiError::new(ErrorKind::BadUserInput, "not a query"));

/// Answers a client's request: [`execute`], counted. `kind` is set as soon as it is known, so that the caller that catches a panic
/// knows it.
pub async fn serve(
    api: &Api,
    request: impl Into<Arc<Request>>,
    viewer: Viewer,
    only_queries: bool,
    deadline: Instant,
    kind: &Cell<metrics::Operation>,
) -> Option<Answer> {
    let (began, request) = (Instant::now(), request.into());
    let name = traces::is_on().then(|| {
        request
            .operation_name
            .as_deref()
            .and_then(plain_name)
            .map(str::to_owned)
    });
    // Of one answer there are no differences, whatever the operation is.
    if let Err(error) = without_patches(&request) {
        observe_operation(kind.get(), std::slice::from_ref(&error), began.elapsed());
        return Some(Answer::refused(vec![error]));
    }
    let begun = traces::begin(|| Begun {
        name: "operation".into(),
        kind: SpanKind::Internal,
        attributes: Vec::new(),
        parent: None,
    });
    let executing = execute_part(api, request, viewer, only_queries, deadline, kind);
    let end = |answer: &Option<Answer>, span: SpanRef<'_>| {
        conclude(kind.get(), name.flatten(), errors_of(answer), &span);
    };
    let answer = traces::within(begun, executing, end).await;
    observe_operation(kind.get(), errors_of(&answer), began.elapsed());
    answer
}

fn errors_of(answer: &Option<Answer>) -> &[ApiError] {
    answer
        .as_ref()
        .map_or(std::slice::from_ref(&*NOT_A_QUERY), |answer| &answer.errors)
}

fn conclude(
    kind: metrics::Operation,
    name: Option<String>,
    errors: &[ApiError],
    span: &SpanRef<'_>,
) {
    span.set_attribute(KeyValue::new("graphql.operation.type", kind.as_str()));
    span.set_attribute(KeyValue::new("gom.outcome", outcome_of(errors).as_str()));
    match name {
        Some(name) => {
            span.update_name(format!("{} {name}", kind.as_str()));
            span.set_attribute(KeyValue::new("graphql.operation.name", name));
        }
        None => span.update_name(kind.as_str()),
    }
    if errors.iter().any(|error| error.kind == ErrorKind::Internal) {
        span.set_status(Status::error("internal error"));
    }
}

/// Answers a request by the deadline; `None` if it is not a query and only queries are wanted.
pub async fn execute(
    api: &Api,
    request: impl Into<Arc<Request>>,
    viewer: Viewer,
    only_queries: bool,
    deadline: Instant,
) -> Option<Answer> {
    let kind = Cell::new(metrics::Operation::Unknown);
    execute_part(api, request.into(), viewer, only_queries, deadline, &kind).await
}

async fn execute_part(
    api: &Api,
    request: Arc<Request>,
    viewer: Viewer,
    only_queries: bool,
    deadline: Instant,
    kind: &Cell<metrics::Operation>,
) -> Option<Answer> {
    let rights = match api.engine.rights(&viewer) {
        Ok(rights) => rights,
        Err(error) => return Some(Answer::refused(vec![error])),
    };
    let is_large = request.is_large();
    let prepared = match prepare(api, &request, &viewer, is_large, deadline).await {
        Ok(prepared) => prepared,
        Err(errors) => return Some(Answer::refused(errors)),
    };
    kind.set(kind_of(&prepared));
    let operation = &prepared.operation;
    let schema = &api.engine.schema;
    let root = match operation.kind {
        OperationKind::Query => schema.query,
        _ if only_queries => return None,
        OperationKind::Mutation => schema.mutation,
        OperationKind::Subscription => {
            let message = "A subscription needs a transport that can carry more than one answer";
            return Some(Answer::refused(vec![ApiError::new(
                ErrorKind::BadUserInput,
                message,
            )]));
        }
    };
    if let Err(error) = without_leaves(&request) {
        return Some(Answer::refused(vec![error]));
    }
    let asked = match position::Asked::of(api, &request, operation.kind) {
        Ok(asked) => asked,
        Err(error) => return Some(Answer::refused(vec![error])),
    };
    let slot = match slot(api, &request, &prepared, &viewer, rights.as_deref()) {
        Ok(slot) => slot,
        Err(error) => return Some(Answer::refused(vec![error])),
    };
    let variables = match coerce(
        api,
        &prepared,
        &request,
        &viewer,
        rights.as_ref(),
        is_large,
        deadline,
    )
    .await
    {
        Ok(variables) => variables,
        Err(error) => return Some(Answer::refused(vec![error])),
    };
    let mut key_turn = None;
    if let Some(slot) = &slot {
        let (whose, is_bounded) = ((&*slot.viewer, &*slot.key), !viewer.is_service());
        let turn = api.engine.key_turns.take(whose, is_bounded, deadline);
        match turn.await {
            Ok(turn) => key_turn = Some(turn),
            Err(error) => return Some(Answer::refused(vec![error])),
        }
    }
    let limits = api.engine.limits_of(&viewer).page;
    let context = Context {
        request,
        prepared: Arc::clone(&prepared),
        variables,
        limits,
        viewer,
        rights,
        slot,
    };
    let context = Arc::new(context);
    let (ahead, head) = match Ahead::make(api, &context, is_large, deadline).await {
        Ok(made) => made,
        Err(error) => return Some(Answer::refused(vec![error])),
    };
    let viewer = &context.viewer;
    let behalf = match api.engine.turn(viewer, deadline).await {
        Ok(turn) => turn.zip(viewer.user()),
        Err(error) => return Some(Answer::refused(vec![error])),
    };
    drop(head);
    if let Err(error) = api.admission.check(viewer) {
        return Some(Answer::refused(vec![error]));
    }
    // A user's transaction keeps both turns to its end, also if nobody waits for it any more.
    let behalf = behalf.map(|(turn, user)| {
        let kept = Arc::new((turn, key_turn.take()));
        Behalf::of(Asker::named(&user.subject), kept)
    });
    let database = api.database.on_behalf_of(behalf);
    let known = match asked.before(api, &database, deadline).await {
        Ok(known) => known,
        Err(error) => return Some(Answer::refused(vec![error])),
    };
    let execution = Execution {
        api,
        database,
        context: &context,
        ahead: RefCell::new(ahead),
        root,
        deadline,
    };
    let mut answer = if operation.kind == OperationKind::Query {
        execution.query().await
    } else {
        execution.mutation().await
    };
    if answer
        .errors
        .iter()
        .any(|error| error.kind == ErrorKind::OutcomeUnknown)
    {
        // Its commit may come after any position that is known now.
        answer.cursor = asked.unknown();
    } else if !answer.is_refused() {
        answer.cursor = asked.after(api, &execution.database, known, deadline).await;
    }
    Some(answer)
}

/// Where a mutation's answers are stored, if it came with an idempotency key.
///
/// # Errors
/// If a key was given that cannot be used.
fn slot(
    api: &Api,
    request: &Request,
    prepared: &PreparedOperation,
    viewer: &Viewer,
    rights: Option<&Rights>,
) -> Result<Option<AnswerSlot>, ApiError> {
    let operation = &prepared.operation;
    if operation.kind != OperationKind::Mutation {
        request.refuse_key()?;
        return Ok(None);
    }
    let slot = api.engine.slot(request, viewer, rights)?;
    let raw = Selected::Field(OutputMeaning::ExecuteRaw);
    if slot.is_some() && operation.fields.iter().any(|field| field.meaning == raw) {
        return Err(unusable(
            "executeRaw has a connection of its own, whose transactions store no answers",
        ));
    }
    Ok(slot)
}
