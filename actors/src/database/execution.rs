//! One program on one connection: its statements pipelined, its registers filled, its expectations examined in order.
//! Knows neither the commit's deadline nor what becomes of the connection afterwards: that is `program.rs`.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;

use futures::future::{FutureExt, LocalBoxFuture, MaybeDone, maybe_done, try_join_all};
use gom_engine::error::ApiError;
use gom_engine::plan::{ANSWER, Expect, Param, Program, Register, Statement, Step, fill_marks};
use tokio::task::yield_now;

use super::error::{Failure, RunError};
use super::link::{Link, Outcome, Ready, fits};
use super::text::{JsonText, Parameter};

/// Statements that are sent or examined before the thread is left to others for once: a program may have thousands.
const MOVES_AT_ONCE: usize = 32;

/// Why a program was not carried out. Only [`ProgramError::OutcomeUnknown`] leaves open whether it was.
#[derive(Debug)]
pub(super) enum ProgramError {
    Failed(Failure),
    Unmet(Box<ApiError>),
    Deadline,
    OutcomeUnknown,
}

impl ProgramError {
    pub fn into_run_error(self) -> RunError {
        match self {
            ProgramError::Failed(failure) => failure.into_run_error(),
            ProgramError::Unmet(error) => RunError::Unmet(error),
            ProgramError::Deadline => RunError::Deadline,
            ProgramError::OutcomeUnknown => RunError::OutcomeUnknown,
        }
    }
}

impl From<Failure> for ProgramError {
    fn from(failure: Failure) -> Self {
        ProgramError::Failed(failure)
    }
}

/// A statement that was sent and whose answer was not examined yet.
struct InFlight<'p> {
    answer: MaybeDone<LocalBoxFuture<'p, Result<Outcome, Failure>>>,
    fills: &'p [Register],
    expect: &'p Expect,
    /// Not one of those around it.
    is_of_program: bool,
}

#[derive(Clone, Default)]
struct Cell {
    value: Option<JsonText>,
    /// How many statements in flight will fill it.
    pending: usize,
}

pub(super) struct Execution<'p> {
    link: &'p Link,
    program: &'p Program,
    registers: Vec<Cell>,
    in_flight: VecDeque<InFlight<'p>>,
    /// Statements that were sent or examined since this thread was left to others.
    moves: usize,
}

impl<'p> Execution<'p> {
    pub fn new(link: &'p Link, program: &'p Program) -> Self {
        let registers = vec![Cell::default(); program.registers.max(ANSWER.0 + 1)];
        Execution {
            link,
            program,
            registers,
            in_flight: VecDeque::new(),
            moves: 0,
        }
    }

    /// Everything but the commit; afterwards only statements that need no more than to succeed are in flight.
    pub async fn up_to_commit(&mut self) -> Result<(), ProgramError> {
        self.prepare(&self.program.steps).await?;
        self.send_command("begin").await;
        let mut open = vec![self.program.steps.iter()];
        while let Some(steps) = open.last_mut() {
            match steps.next() {
                None => {
                    open.pop();
                }
                Some(Step::Choose {
                    register,
                    then,
                    otherwise,
                }) => {
                    let branch = if self.value(*register).await?.is_some() {
                        then
                    } else {
                        otherwise
                    };
                    if let Err(failure) = self.prepare(branch).await {
                        return Err(self.cause_of(failure).await);
                    }
                    open.push(branch.iter());
                }
                Some(step) => self.take(step).await?,
            }
        }
        let last = self
            .in_flight
            .iter()
            .rposition(|sent| !matches!(sent.expect, Expect::Anything));
        for _ in 0..last.map_or(0, |last| last + 1) {
            self.settle_next().await?;
        }
        Ok(())
    }

    /// A statement that fails ahead of the commit turns the commit into a rollback.
    pub async fn commit(&mut self) -> Result<(), ProgramError> {
        self.send_command("commit").await;
        let mut failed = None;
        while !self.in_flight.is_empty() {
            // After the first failure the rest is only waited for, so that the client can be used again.
            if let Err(error) = self.settle_next().await {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Prepares what these steps run and was not prepared before, all at once. Branches come when chosen.
    pub async fn prepare(&mut self, steps: &'p [Step]) -> Result<(), Failure> {
        let link = self.link;
        let unprepared: HashSet<&str> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Run { statement, .. } => Some(statement.sql.as_str()),
                Step::Choose { .. } => None,
            })
            .filter(|sql| link.is_unprepared(sql))
            .collect();
        if unprepared.is_empty() {
            return Ok(());
        }
        // An answer that nobody reads would hold up the answers behind it.
        for sent in &mut self.in_flight {
            (&mut sent.answer).await;
        }
        try_join_all(unprepared.into_iter().map(|sql| link.prepare(sql))).await?;
        Ok(())
    }

    /// Sends one statement, after waiting for the registers that it needs. Waits for its answer only if it is to.
    pub async fn take(&mut self, step: &'p Step) -> Result<(), ProgramError> {
        let Step::Run {
            statement,
            fills,
            expect,
        } = step
        else {
            return Err(Failure::Fault("a choice is not a statement".to_owned()).into());
        };
        let parameters = self.parameters(statement).await?;
        let link = self.link;
        // Prepared with the others of its list, unless the list is longer than the cache.
        let ready = match link.ready(&statement.sql) {
            Some(ready) => ready,
            None => {
                for sent in &mut self.in_flight {
                    (&mut sent.answer).await;
                }
                match link.prepare(&statement.sql).await {
                    Ok(prepared) => Ready::Prepared(prepared),
                    Err(failure) => return Err(self.cause_of(failure).await),
                }
            }
        };
        fits(&ready, &parameters)?;
        let run = async move { link.run(&ready, parameters).await }.boxed_local();
        self.send(run, fills, expect, true).await;
        for register in fills {
            self.register(*register)?.pending += 1;
        }
        if matches!(expect, Expect::Awaited(_)) {
            self.settle_all().await?;
        }
        Ok(())
    }

    async fn send_command(&mut self, sql: &'static str) {
        let link = self.link;
        self.send(
            async move { link.command(sql).await }.boxed_local(),
            &[],
            &Expect::Anything,
            false,
        )
        .await;
    }

    /// Puts a statement on the wire: the client sends when a future is first polled, so it is polled once now.
    async fn send(
        &mut self,
        run: LocalBoxFuture<'p, Result<Outcome, Failure>>,
        fills: &'p [Register],
        expect: &'p Expect,
        is_of_program: bool,
    ) {
        self.let_others().await;
        let mut answer = maybe_done(run);
        let _ = futures::poll!(&mut answer);
        self.in_flight.push_back(InFlight {
            answer,
            fills,
            expect,
            is_of_program,
        });
    }

    /// Leaves the thread to others now and then.
    async fn let_others(&mut self) {
        self.moves += 1;
        if self.moves.is_multiple_of(MOVES_AT_ONCE) {
            yield_now().await;
        }
    }

    async fn parameters(
        &mut self,
        statement: &'p Statement,
    ) -> Result<Vec<Parameter<'p>>, ProgramError> {
        let mut parameters = Vec::with_capacity(statement.params.len());
        for param in &statement.params {
            parameters.push(match param {
                Param::Null => Parameter::Null,
                Param::Text(text) => Parameter::Borrowed(text),
                Param::Register(register) => self
                    .value(*register)
                    .await?
                    .map_or(Parameter::Null, Parameter::Cell),
            });
        }
        Ok(parameters)
    }

    /// The value of a register, waited for if it is still to come.
    async fn value(&mut self, register: Register) -> Result<Option<JsonText>, ProgramError> {
        loop {
            let cell = self.register(register)?;
            if cell.pending == 0 {
                return Ok(cell.value.clone());
            }
            self.settle_next().await?;
        }
    }

    fn register(&mut self, register: Register) -> Result<&mut Cell, Failure> {
        let wrong = || Failure::Fault(format!("the program has no register {}", register.0));
        self.registers.get_mut(register.0).ok_or_else(wrong)
    }

    /// Why a statement could not be prepared: a transaction that has failed prepares nothing, and what is in flight says
    /// what has failed.
    async fn cause_of(&mut self, failure: Failure) -> ProgramError {
        match self.settle_all().await {
            Ok(()) => failure.into(),
            Err(earlier) => earlier,
        }
    }

    pub async fn settle_all(&mut self) -> Result<(), ProgramError> {
        while !self.in_flight.is_empty() {
            self.settle_next().await?;
        }
        Ok(())
    }

    /// Waits for the oldest statement in flight, examines its answer and fills its registers.
    async fn settle_next(&mut self) -> Result<(), ProgramError> {
        let Some(mut sent) = self.in_flight.pop_front() else {
            return Err(Failure::Fault("a register is never filled".to_owned()).into());
        };
        self.let_others().await;
        (&mut sent.answer).await;
        // It is done, and its output is taken once.
        let Some(outcome) = Pin::new(&mut sent.answer).take_output() else {
            return Ok(());
        };
        let outcome = outcome.inspect_err(|failure| {
            if matches!(failure, Failure::Stale(_)) && sent.is_of_program {
                // Others of the program may be of the same tables, and it is retried only once.
                forget(self.link, &self.program.steps);
            }
        })?;
        for (column, register) in sent.fills.iter().enumerate() {
            let value = match &outcome.first {
                Some(row) => JsonText::of(row.clone(), column)?,
                None => None,
            };
            let cell = self.register(*register)?;
            cell.pending -= 1;
            cell.value = value;
        }
        match unmet(sent.expect, &outcome)? {
            Some(error) => Err(ProgramError::Unmet(Box::new(self.with_message(error)))),
            None => Ok(()),
        }
    }

    /// The error with the values of the registers that its message names.
    fn with_message(&self, mut error: ApiError) -> ApiError {
        let value_of = |register: Register| {
            let cell = self.registers.get(register.0)?;
            cell.value.as_ref().map(JsonText::as_str)
        };
        error.message = fill_marks(&error.message, value_of);
        error
    }

    pub fn answer(&mut self) -> Option<JsonText> {
        self.registers
            .get_mut(ANSWER.0)
            .and_then(|cell| cell.value.take())
    }
}

/// Has everything prepared again that the steps run.
fn forget(link: &Link, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Run { statement, .. } => link.forget(&statement.sql),
            Step::Choose {
                then, otherwise, ..
            } => {
                forget(link, then);
                forget(link, otherwise);
            }
        }
    }
}

/// The error of an expectation that does not hold.
fn unmet(expect: &Expect, outcome: &Outcome) -> Result<Option<ApiError>, Failure> {
    Ok(match expect {
        Expect::Anything => None,
        Expect::Some(error) | Expect::Awaited(error) | Expect::Found(error) => {
            (outcome.rows == 0).then(|| (**error).clone())
        }
        Expect::None(error) => (outcome.rows > 0).then(|| (**error).clone()),
        Expect::NoConflict if outcome.rows > 0 => return Err(Failure::overtaken()),
        Expect::NoConflict => None,
        Expect::Filled(columns) => {
            for (column, error) in columns {
                let filled = match &outcome.first {
                    Some(row) => JsonText::of(row.clone(), *column)?.is_some(),
                    None => false,
                };
                if !filled {
                    return Ok(Some(error.clone()));
                }
            }
            None
        }
    })
}
