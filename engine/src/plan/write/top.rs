//! The top-level mutation fields.

use super::hold::with_isolated_conditions;
use super::node::{Values, writes_only_columns};
use super::{ValueSource, WriteHooks, Writer, row};
use crate::datamodel::ModelId;
use crate::error::{ApiError, ErrorKind};
use crate::plan::access::Access;
use crate::plan::context::{PageLimits, Planner};
use crate::plan::filter::{Unique, unexpected};
use crate::plan::program::{ANSWER, Expect, Program, Step};
use crate::plan::read::ReadPlanner;
use crate::request::{OperationKind, Selected, SelectedField, Value, Variables};
use crate::schema::{InputMeaning, OutputMeaning};
use crate::sql::write::{self, Lock, Returning};
use crate::sql::{self, Param, Shape};

impl Planner {
    /// The program that carries out a top-level mutation field.
    ///
    /// # Errors
    /// What the arguments alone forbid: 3007, 3020, 3032, 3033, 3036, 3040, 3045, and those of
    /// reading; and what the viewer may not do.
    pub fn mutation(
        &self,
        field: &SelectedField,
        variables: &Variables,
        limits: PageLimits,
        access: Access<'_>,
        source: &mut dyn ValueSource,
        amendments: WriteHooks,
    ) -> Result<Program, ApiError> {
        let Selected::Field(meaning) = field.meaning else {
            return Err(unexpected("root field"));
        };
        access.check_operation(OperationKind::Mutation, &field.name)?;
        let reader = ReadPlanner {
            planner: self,
            variables,
            limits,
            access,
            of_previous_rows: false,
        };
        let argument = |m| self.argument(field, m, variables).unwrap_or(Value::Null);
        let mut writer = Writer::new(self, access, limits, Self::written_model(meaning)?, source);
        writer.set = amendments.set;
        if !writer.set.is_empty() && matches!(meaning, OutputMeaning::UpdateMany(_)) {
            return Err(unexpected("amendment of many rows"));
        }
        if let Some(slot) = &amendments.slot {
            // Before anything is locked: another request with the same key may have to be waited for, and a repetition is
            // not to wait for the locks of writes that it does not carry out.
            let reused = Expect::Awaited(Box::new(key_reused()));
            writer.push_run(slot.claim(), Vec::new(), reused);
        }
        writer.steps.extend(amendments.before);
        let inputs = [
            InputMeaning::Data,
            InputMeaning::Create,
            InputMeaning::Update,
        ]
        .map(argument);
        if let Some(who) = amendments
            .writer
            .filter(|_| self.may_leave_a_job(meaning, &inputs))
        {
            writer.run(write::set_writer(who), Expect::Anything);
        }
        match meaning {
            OutputMeaning::Create(model) => {
                let shape = reader.shape_of(model, &field.selection)?;
                writer.create_top(model, &argument(InputMeaning::Data), &shape)?;
            }
            OutputMeaning::Update(model) => {
                let shape = reader.shape_of(model, &field.selection)?;
                let unique = self.unique(model, &argument(InputMeaning::Where), access)?;
                writer.update_by(&unique, &argument(InputMeaning::Data), &shape)?;
            }
            OutputMeaning::Upsert(model) => {
                let shape = reader.shape_of(model, &field.selection)?;
                let unique = self.unique(model, &argument(InputMeaning::Where), access)?;
                let (create, update) = (
                    argument(InputMeaning::Create),
                    argument(InputMeaning::Update),
                );
                let found = writer.register();
                let lock = |filter: &_| write::lock(self.physical(), model, filter);
                let elsewhere = writer.is_decided_elsewhere(model, None);
                writer.find_one(
                    elsewhere,
                    &writer.writable_row(&unique),
                    lock,
                    vec![found],
                    Expect::Anything,
                );
                let id = Param::Register(found);
                let then = writer.branch(|w| {
                    w.update_top(model, &id, &update)?;
                    w.answer_by_id(&id, &shape);
                    Ok(())
                })?;
                let otherwise = writer.branch(|w| w.create_top(model, &create, &shape))?;
                writer.choose(found, then, Some(otherwise));
            }
            OutputMeaning::Delete(model) => {
                let shape = reader.shape_of(model, &field.selection)?;
                let unique = self.unique(model, &argument(InputMeaning::Where), access)?;
                writer.delete_by(&unique, &shape)?;
            }
            OutputMeaning::UpdateMany(model) => {
                let filter = self.filter(model, Some(&argument(InputMeaning::Where)), access)?;
                let filter = filter.and(access.writable(model));
                let count = writer.update_many(
                    model,
                    &filter,
                    None,
                    Some(&argument(InputMeaning::Data)),
                )?;
                let statement = sql::batch_payload(
                    Param::Register(count),
                    &reader.aggregate(&field.selection)?,
                );
                writer.run_into(statement, vec![ANSWER], Expect::Anything);
            }
            OutputMeaning::DeleteMany(model) => {
                let filter = self.filter(model, Some(&argument(InputMeaning::Where)), access)?;
                let filter = filter.and(access.writable(model));
                let (ids, count) = writer.find_and_count(model, &filter, None, Lock::Update);
                let then = writer.branch(|w| w.delete_nodes(model, ids))?;
                writer.choose(ids, then, None);
                let statement = sql::batch_payload(
                    Param::Register(count),
                    &reader.aggregate(&field.selection)?,
                );
                writer.run_into(statement, vec![ANSWER], Expect::Anything);
            }
            _ => return Err(unexpected("mutation field")),
        }
        let mut program = writer.finish();
        if let Some(slot) = amendments.slot {
            program.steps.push(Step::Run {
                statement: slot.store(Param::Register(ANSWER)),
                fills: Vec::new(),
                expect: Expect::Anything,
            });
        }
        Ok(program)
    }
}

/// The error of a program whose idempotency key was used before: by another request, or by this one.
pub fn key_reused() -> ApiError {
    ApiError::new(
        ErrorKind::IdempotencyKeyReused,
        "The idempotency key came with another request before (another document, operation or variables, or by another \
         role or with other claims). This one has written nothing; the other may have. Send each request with a key of its own, \
         and repeat it unchanged; if only your role or claims have changed since, read before you use another key.",
    )
}

impl Writer<'_> {
    /// The columns that an update of the top-level row sets.
    fn top_values(&self, model: ModelId, data: &Value) -> Result<Values, ApiError> {
        let mut values = self.changed_values(model, data)?;
        for (field, text) in &self.set {
            values.retain(|(given, _)| given != field);
            values.push((*field, Param::Text(text.clone())));
        }
        Ok(values)
    }

    fn update_top(&mut self, model: ModelId, id: &Param, data: &Value) -> Result<(), ApiError> {
        let values = self.top_values(model, data)?;
        self.update_node_with(model, id, data, &values)
    }

    fn answer_by_id(&mut self, id: &Param, shape: &Shape<'_>) {
        let statement = sql::find_one(self.planner.physical(), &row(id), shape);
        self.run_into(statement, vec![ANSWER], Expect::Anything);
    }

    fn create_top(
        &mut self,
        model: ModelId,
        data: &Value,
        shape: &Shape<'_>,
    ) -> Result<(), ApiError> {
        let (id, answered) = self.create_and_answer(model, data, None, Some(shape))?;
        if !answered {
            self.answer_by_id(&id, shape);
        }
        Ok(())
    }

    /// Updates the row that the unique value names. Where columns are all that is written, the
    /// update itself gives the answer.
    fn update_by(
        &mut self,
        unique: &Unique,
        data: &Value,
        shape: &Shape<'_>,
    ) -> Result<(), ApiError> {
        let planner = self.planner;
        let (physical, model) = (planner.physical(), unique.model);
        let values = self.top_values(model, data)?;
        let missing = Box::new(planner.missing(unique, self.access));
        let own = self.writable_row(unique);
        if self.is_decided_elsewhere(model, None) {
            // The statements below see what was committed while this one waited.
            self.run(
                write::lock(physical, model, &with_isolated_conditions(&own)),
                Expect::Some(missing.clone()),
            );
        }
        let last = !self.matters(model, &values) && writes_only_columns(data, &[]);
        if !values.is_empty() && last && !shape.reads_model_again(model) {
            let update = write::update(physical, model, &own, None, &values, Returning::Row);
            let statement = sql::read_written(physical, update, shape, &[]);
            self.run_into(statement, vec![ANSWER], Expect::Found(missing));
            return Ok(());
        }
        let statement = if values.is_empty() {
            write::lock(physical, model, &own)
        } else {
            write::update(physical, model, &own, None, &values, Returning::Id)
        };
        let id = self.found(unique, statement, Expect::Some(missing));
        if values.is_empty() {
            self.log_update(model, &id);
        }
        self.touch_by(model, &values, &row(&id));
        self.update_rest(model, &id, data)?;
        self.answer_by_id(&id, shape);
        Ok(())
    }

    /// Runs a statement that returns the row's id; an id that the request names need not be waited
    /// for.
    fn found(
        &mut self,
        unique: &Unique,
        statement: crate::plan::Statement,
        expect: Expect,
    ) -> Param {
        if let Some(id) = self.named_id(unique) {
            self.run(statement, expect);
            return id;
        }
        let id = self.register();
        self.run_into(statement, vec![id], expect);
        Param::Register(id)
    }

    /// Deletes the row and answers with it as it was, its relations as they are afterwards.
    fn delete_by(&mut self, unique: &Unique, shape: &Shape<'_>) -> Result<(), ApiError> {
        let planner = self.planner;
        let physical = planner.physical();
        let model: ModelId = unique.model;
        let (id, ids, record) = (self.register(), self.register(), self.register());
        let missing = Expect::Some(Box::new(planner.missing(unique, self.access)));
        let lock = |filter: &_| write::lock(physical, model, filter);
        let elsewhere = self.is_decided_elsewhere(model, None);
        self.find_one(
            elsewhere,
            &self.writable_row(unique),
            lock,
            vec![id, ids],
            missing,
        );
        let before = sql::find_record(physical, model, &Param::Register(id));
        self.run_into(before, vec![record], Expect::Anything);
        self.delete_nodes(model, ids)?;
        let statement = sql::record(physical, Param::Register(record), shape);
        self.run_into(statement, vec![ANSWER], Expect::Anything);
        Ok(())
    }
}
