//! A query that is planned once and answered many times, for all who would be given the same bytes.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use gom_actors::database::{JsonText, LocalDatabase, RunError};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{Param, Statement};
use gom_engine::request::{Selected, Variables};
use tokio::time::Instant;

use super::fields::{Execution, misplanned};
use crate::graphql::api::{Api, Introspected};
use crate::graphql::context::{Ahead, Context, Plan};
use crate::graphql::offload::Head;
use crate::graphql::{Answer, api_error};

/// Two are equal if what they execute is equal: the statements with their parameters, and all that makes an answer of what these
/// return. So the rights of their viewers are in it, and nobody is shown what a statement of his own would not have returned.
pub(in crate::graphql) struct LiveQuery {
    context: Arc<Context>,
    /// By the places of the fields, whether there is a statement for it; nothing of fields that are not asked for, or that the schema
    /// answers.
    plans: Vec<Option<Result<(), ApiError>>>,
    introspected: Option<Result<Arc<Introspected>, ApiError>>,
    /// Those of the plans, in their order.
    pub statements: Arc<[Statement]>,
    /// Of the variables and the parameters, which may be long: classes are found under a lock.
    hash: u64,
}

impl LiveQuery {
    /// Plans a query. What is returned with it keeps the user's next large operation from being planned.
    ///
    /// # Errors
    /// If no thread is free by the deadline. What is wrong with a field is part of the answer.
    pub async fn plan(
        api: &Api,
        context: Context,
        is_large: bool,
        deadline: Instant,
    ) -> Result<(Self, Head), ApiError> {
        let context = Arc::new(context);
        let (mut ahead, head) = Ahead::make(api, &context, is_large, deadline).await?;
        let mut plan = |(place, field)| {
            let ahead = ahead.plans.get_mut(place).and_then(Option::take);
            match ahead.unwrap_or_else(|| context.plan(&api.engine, (place, field), None)) {
                Ok(Plan::Read(statement)) => Ok(statement),
                Ok(Plan::Write(_)) => Err(misplanned()),
                Err(error) => Err(error),
            }
        };
        let fields = context.prepared.operation.fields.iter().enumerate();
        let mut statements = Vec::new();
        let plans = fields
            .map(|(place, field)| {
                let is_read = matches!(field.meaning, Selected::Field(_));
                let is_asked_for = is_read && field.inclusion.holds(&context.variables);
                let planned = is_asked_for.then(|| plan((place, field)))?;
                Some(planned.map(|statement| statements.push(statement)))
            })
            .collect();
        let introspected = ahead.introspected.take();
        let query = LiveQuery {
            hash: hash_of(&context.variables, &statements),
            context,
            plans,
            introspected,
            statements: statements.into(),
        };
        Ok((query, head))
    }

    /// How long its statements may take.
    pub fn patience(&self, api: &Api) -> Duration {
        api.engine.limits_of(&self.context.viewer).deadline
    }

    /// The answer that a client is given, from what the statements have returned, in their order; or why nothing was read.
    pub async fn answer(
        &self,
        api: &Api,
        database: &LocalDatabase,
        found: Result<Vec<Result<Option<JsonText>, RunError>>, RunError>,
    ) -> Answer {
        let mut found = match found {
            Ok(found) => found.into_iter(),
            Err(error) => return Answer::refused(vec![api_error(&api.engine.planner, error)]),
        };
        let ahead = Ahead {
            introspected: self.introspected.clone(),
            ..Ahead::default()
        };
        let execution = Execution {
            api,
            database: database.clone(),
            context: &self.context,
            ahead: RefCell::new(ahead),
            root: api.engine.schema.query,
            deadline: Instant::now(),
        };
        let mut parts = Vec::new();
        for (place, field) in execution.fields() {
            let part = if let Some(part) = execution.of_schema(field) {
                Some(part)
            } else {
                let missing = || ApiError::new(ErrorKind::Internal, "a field was not read");
                match self.plans.get(place).and_then(Option::as_ref) {
                    Some(Ok(_)) => {
                        let found = found.next();
                        if let Some(error) = execution.undeployed() {
                            Some(execution.failed(field, error))
                        } else if let Some(found) = found {
                            execution.read_part(field, found)
                        } else {
                            Some(execution.failed(field, missing()))
                        }
                    }
                    Some(Err(error)) => Some(execution.failed(field, error.clone())),
                    None => Some(execution.failed(field, missing())),
                }
            };
            parts.push((field, part));
        }
        execution.of_parts(stream::iter(parts)).await
    }
}

impl PartialEq for LiveQuery {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (&*self.context, &*other.context);
        // The address is of one document and one operation of it for as long as either is kept.
        Arc::ptr_eq(&one.prepared, &two.prepared)
            && one.variables == two.variables
            && one.limits == two.limits
            // May look at the schema, where others may not.
            && one.viewer.is_service() == two.viewer.is_service()
            // Decides how a hidden row is reported.
            && one.access().is_limited() == two.access().is_limited()
            && self.plans == other.plans
            && self.statements == other.statements
    }
}

impl Eq for LiveQuery {}

impl Hash for LiveQuery {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.context.prepared).hash(state);
        self.hash.hash(state);
    }
}

/// Viewers differ in parameters.
fn hash_of(variables: &Variables, statements: &[Statement]) -> u64 {
    let mut state = DefaultHasher::new();
    variables.hash(&mut state);
    for param in statements.iter().flat_map(|one| &one.params) {
        match param {
            Param::Text(text) => text.hash(&mut state),
            Param::Null | Param::Register(_) => 0_u8.hash(&mut state),
        }
    }
    state.finish()
}
