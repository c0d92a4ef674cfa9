//! The root fields of an operation: reads side by side, writes one after the other.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use gom_actors::database::{JsonText, LocalDatabase, RunError};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::is_marked;
use gom_engine::request::{Selected, SelectedField};
use gom_engine::schema::{ObjectId, OutputMeaning, TypeRef};
use gom_engine::sql::ANSWER_TOO_LARGE;
use tokio::time::Instant;

use super::part::{Part, add, answer, located};
use crate::graphql::api::{Api, Introspected};
use crate::graphql::clock::database_time;
use crate::graphql::context::{Ahead, Context, Plan, RootField};
use crate::graphql::failure::{api_error, may_be_repeated_with_key, not_deployed};
use crate::graphql::{Answer, AnswerCursor, Data, Fragment, raw};

/// Root fields of a query that are read at once. Enough to keep a worker's shared clients busy; of an answer that turns
/// out too large, no more than this has been made.
const READS_IN_FLIGHT: usize = 4;

/// What all fields of an operation share.
pub(super) struct Execution<'a> {
    pub(super) api: &'a Api,
    /// On the viewer's behalf.
    pub(super) database: LocalDatabase,
    pub(super) context: &'a Context,
    pub(super) ahead: RefCell<Ahead>,
    pub(super) root: ObjectId,
    pub(super) deadline: Instant,
}

impl Execution<'_> {
    pub(super) fn fields(&self) -> impl Iterator<Item = RootField<'_>> {
        let Context {
            prepared,
            variables,
            ..
        } = self.context;
        let fields = prepared.operation.fields.iter().enumerate();
        fields.filter(|(_, field)| field.inclusion.holds(variables))
    }

    /// What a field is read or written by: made before, or now.
    pub(super) async fn plan(&self, (place, field): RootField<'_>) -> Result<Plan, ApiError> {
        let ahead = self
            .ahead
            .borrow_mut()
            .plans
            .get_mut(place)
            .and_then(Option::take);
        if let Some(plan) = ahead {
            return plan;
        }
        let engine = &self.api.engine;
        let now = match self.context.needs_time(engine, field) {
            true => Some(database_time(&self.database, &engine.planner, self.deadline).await?),
            false => None,
        };
        self.context.plan(engine, (place, field), now)
    }

    pub(super) async fn query(&self) -> Answer {
        let reads = self
            .fields()
            .map(|field| async move { (field.1, self.read(field).await) });
        self.of_parts(stream::iter(reads).buffered(READS_IN_FLIGHT))
            .await
    }

    /// The answer of a query, from each field's part: nothing of one that is too large.
    pub(super) async fn of_parts<'f>(
        &self,
        parts: impl Stream<Item = (&'f SelectedField, Option<Part>)>,
    ) -> Answer {
        let mut data = Some(Vec::new());
        let mut errors = Vec::new();
        let mut bytes = 0;
        let mut parts = pin!(parts);
        while let Some((field, part)) = parts.next().await {
            bytes += part.as_ref().map_or(0, Part::bytes);
            match part.filter(|_| !self.is_too_large(bytes)) {
                Some(part) => add(&mut data, &mut errors, field, part),
                // The rest is given up.
                None => {
                    return answer(
                        None,
                        vec![located(field, self.context.limits.answer_too_large())],
                    );
                }
            }
        }
        answer(data, errors)
    }

    fn is_too_large(&self, bytes: usize) -> bool {
        self.context
            .limits
            .answer_bytes
            .is_some_and(|limit| i64::try_from(bytes).is_ok_and(|bytes| bytes > limit))
    }

    pub(super) async fn mutation(&self) -> Answer {
        let mut data = Some(Vec::new());
        let mut errors = Vec::new();
        let mut written = false;
        let mut bytes = 0;
        for (place, field) in self.fields() {
            let mut part = self.write((place, field)).await;
            if let Selected::Field(meaning) = field.meaning {
                // Also after an error: it may have been written.
                self.api.live.live().wake();
                if let Some(push) = self
                    .api
                    .push
                    .as_ref()
                    .filter(|_| self.api.engine.planner.watches(meaning))
                {
                    push.wake();
                }
            }
            if !written && part.has_reused_key() {
                return Answer::refused(part.refusal());
            }
            let field_written = part.written;
            bytes += part.bytes();
            if self.is_too_large(bytes) {
                bytes -= part.bytes();
                let mut error = self.context.limits.answer_too_large();
                if field_written {
                    error.message.push_str(" It was written.");
                }
                part = self.failed(field, error);
            }
            // The rest would be carried out and not shown. After what is written, it is all the same: no repetition would get
            // beyond that field either.
            let ends = part.fragment.is_none() && !field_written;
            add(&mut data, &mut errors, field, part);
            written |= field_written;
            if ends {
                break;
            }
        }
        match data {
            None if written => Answer {
                data: Data::NullAfterWrite,
                errors,
                cursor: AnswerCursor::None,
            },
            data => answer(data, errors),
        }
    }

    /// Nothing where the answer is too large.
    async fn read(&self, root: RootField<'_>) -> Option<Part> {
        let (_, field) = root;
        if let Some(part) = self.of_schema(field) {
            return Some(part);
        }
        if let Some(error) = self.undeployed() {
            return Some(self.failed(field, error));
        }
        let found = match self.plan(root).await {
            Ok(Plan::Read(statement)) => self.database.read(statement, self.deadline).await,
            Ok(Plan::Write(_)) => return Some(self.failed(field, misplanned())),
            Err(error) => return Some(self.failed(field, error)),
        };
        self.read_part(field, found)
    }

    /// Nothing where the answer is too large.
    pub(super) fn read_part(
        &self,
        field: &SelectedField,
        found: Result<Option<JsonText>, RunError>,
    ) -> Option<Part> {
        match found {
            Ok(found) => Some(self.found(field, found)),
            Err(error) if is_too_large(&error) => None,
            Err(error) => Some(self.failed(field, api_error(&self.api.engine.planner, error))),
        }
    }

    async fn write(&self, root: RootField<'_>) -> Part {
        let (place, field) = root;
        if let Some(part) = self.of_schema(field) {
            return part;
        }
        let slot = self.context.slot_of(place);
        if let Some(mut error) = self.undeployed() {
            if slot.is_some() {
                error = may_be_repeated_with_key(error);
            }
            return self.failed(field, error);
        }
        if field.meaning == Selected::Field(OutputMeaning::ExecuteRaw) {
            return match self.raw(field).await {
                Ok(text) => Part {
                    fragment: Some(Fragment::Text(text)),
                    errors: Vec::new(),
                    written: true,
                },
                Err(error) => self.failed(field, error),
            };
        }
        if let Some(slot) = slot {
            return self.write_once(root, &slot).await;
        }
        match self.plan(root).await {
            Ok(Plan::Write(program)) => {
                let found = self.database.transact(program, self.deadline).await;
                self.written(field, found)
            }
            Ok(Plan::Read(_)) => self.failed(field, misplanned()),
            Err(error) => self.failed(field, error),
        }
    }

    /// What became of a field's transaction.
    pub(super) fn written(
        &self,
        field: &SelectedField,
        found: Result<Option<JsonText>, RunError>,
    ) -> Part {
        match found {
            Ok(found) => self.found(field, found).of_write(),
            Err(error) if is_too_large(&error) => {
                let mut error = self.context.limits.answer_too_large();
                error.message.push_str(" Nothing was written.");
                self.failed(field, error)
            }
            Err(error) => self.failed(field, api_error(&self.api.engine.planner, error)),
        }
    }

    async fn raw(&self, field: &SelectedField) -> Result<String, ApiError> {
        if !self.context.viewer.is_service() {
            return Err(ApiError::new(
                ErrorKind::Forbidden,
                "Only the service role may execute raw statements",
            ));
        }
        let planner = &self.api.engine.planner;
        let sql = planner.raw_query(field, &self.context.variables)?;
        raw::execute(planner, self.api.database.database(), &sql, self.deadline).await
    }

    pub(super) fn undeployed(&self) -> Option<ApiError> {
        not_deployed(self.api)
    }

    /// The fields that the schema answers: `__typename`, `__schema`, `__type`.
    pub(super) fn of_schema(&self, field: &SelectedField) -> Option<Part> {
        let engine = &self.api.engine;
        match field.meaning {
            Selected::Field(_) => None,
            Selected::Typename => {
                let name = &engine.schema.object(self.root).name;
                Some(Part {
                    fragment: Some(Fragment::Text(format!("\"{name}\""))),
                    ..Part::default()
                })
            }
            Selected::Introspection => Some(match self.introspected() {
                Ok(answers) => {
                    let text = answers.get(&field.key);
                    let fragment =
                        text.map_or(Fragment::Null, |text| Fragment::Shared(Arc::clone(text)));
                    Part {
                        fragment: Some(fragment),
                        ..Part::default()
                    }
                }
                Err(error) => self.failed(field, error),
            }),
        }
    }

    fn introspected(&self) -> Result<Arc<Introspected>, ApiError> {
        let made = self.ahead.borrow().introspected.clone();
        made.unwrap_or_else(|| {
            Err(ApiError::new(
                ErrorKind::Internal,
                "nothing was introspected",
            ))
        })
    }

    pub(super) fn found(&self, field: &SelectedField, found: Option<JsonText>) -> Part {
        let Some(text) = found else {
            if self.is_required(field) {
                return self.failed(
                    field,
                    ApiError::new(ErrorKind::Internal, "a required field has no answer"),
                );
            }
            return Part {
                fragment: Some(Fragment::Null),
                ..Part::default()
            };
        };
        if !is_marked(text.as_str()) {
            return Part {
                fragment: Some(Fragment::Database(text)),
                ..Part::default()
            };
        }
        self.completed(field, text.as_str())
    }

    /// An answer with marks.
    pub(super) fn completed(&self, field: &SelectedField, text: &str) -> Part {
        let engine = &self.api.engine;
        let root = &engine.schema.object(self.root).name;
        let context = self.context;
        let (access, variables) = (context.access(), &context.variables);
        let completed =
            engine
                .planner
                .complete(root, field, variables, context.limits, access, text);
        let errors = completed
            .errors
            .into_iter()
            .map(|error| located(field, error))
            .collect();
        Part {
            fragment: completed.answer.map(Fragment::Text),
            errors,
            ..Part::default()
        }
    }

    pub(super) fn failed(&self, field: &SelectedField, error: ApiError) -> Part {
        let fragment = (!self.is_required(field)).then_some(Fragment::Null);
        Part {
            fragment,
            errors: vec![located(field, error)],
            ..Part::default()
        }
    }

    fn is_required(&self, field: &SelectedField) -> bool {
        let root = self.api.engine.schema.object(self.root);
        root.fields
            .get(&field.name)
            .is_none_or(|field| matches!(field.ty, TypeRef::NonNull(_)))
    }
}

pub(super) fn misplanned() -> ApiError {
    ApiError::new(
        ErrorKind::Internal,
        "a field has the plan of another kind of operation",
    )
}

/// Whether PostgreSQL has ended a statement for the size of its answer.
fn is_too_large(error: &RunError) -> bool {
    matches!(error, RunError::Rejected(report) if report.sqlstate == ANSWER_TOO_LARGE)
}
