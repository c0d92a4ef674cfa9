//! Mutations become programs: the statements of one transaction, in the order that Prisma keeps.
//!
//! Ids are made here, so that most statements need no answer of an earlier one; values that the
//! database makes go through registers.

mod delete;
mod hold;
mod insertions;
mod links;
mod nested;
mod node;
mod permitted;
mod reach;
mod top;
mod touched;
mod value_size;

use self::insertions::PendingInsert;
use self::links::Parent;
use self::touched::TouchedRows;
use super::access::Access;
use super::context::{PageLimits, Planner};
use super::program::{Expect, Program, Step};
use crate::datamodel::{FieldId, ModelId};
use crate::error::ApiError;
use crate::sql::idempotency::AnswerSlot;
use crate::sql::{Filter, Param, Register, Statement};

pub use self::top::key_reused;

/// The source of new ids, times and codes: they come from outside, so that the engine is pure.
pub trait ValueSource {
    /// A new `ID`: 25 characters, ascending within a process.
    fn cuid(&mut self) -> String;
    /// A random UUID, lower case.
    fn uuid(&mut self) -> String;
    /// The time of this write, UTC, as PostgreSQL reads it (`2026-11-23T01:02:03.004`).
    fn now(&mut self) -> String;
    /// So many random letters and digits.
    fn code(&mut self, characters: usize) -> String;
}

/// Steps and values that the application adds to a top-level mutation.
#[derive(Debug, Default)]
pub struct WriteHooks {
    /// Run first, in the same transaction.
    pub before: Vec<Step>,
    /// Columns of the row that is created or updated, in place of the input's values.
    pub set: Vec<(FieldId, String)>,
    /// The writer, for the jobs of watched models.
    pub writer: Option<String>,
    /// Where the answer is stored in the same transaction, of a request with an idempotency key.
    pub slot: Option<AnswerSlot>,
}

/// The steps of a branch, and what they touch.
struct Branch {
    steps: Vec<Step>,
    touched: Vec<TouchedRows>,
}

/// A program under construction.
pub(super) struct Writer<'a> {
    planner: &'a Planner,
    access: Access<'a>,
    limits: PageLimits,
    /// The model that the top-level field is about.
    top: ModelId,
    source: &'a mut dyn ValueSource,
    now: String,
    /// [`WriteHooks::set`], until the top-level row is written.
    set: Vec<(FieldId, String)>,
    touched: Vec<TouchedRows>,
    /// The rows in whose data the current writes are nested, outermost first, each with the
    /// relation field that leads on.
    enclosing: Vec<Parent>,
    /// The model of the rows that are being deleted: refusals name it, whatever else stands in the
    /// way.
    deleted: Option<ModelId>,
    steps: Vec<Step>,
    /// Insertions that come after the steps.
    pending: Vec<PendingInsert<'a>>,
    registers: usize,
}

impl<'a> Writer<'a> {
    fn new(
        planner: &'a Planner,
        access: Access<'a>,
        limits: PageLimits,
        top: ModelId,
        source: &'a mut dyn ValueSource,
    ) -> Self {
        let now = source.now();
        Writer {
            planner,
            access,
            limits,
            top,
            source,
            now,
            set: Vec::new(),
            touched: Vec::new(),
            enclosing: Vec::new(),
            deleted: None,
            steps: Vec::new(),
            pending: Vec::new(),
            // The first register is the answer's.
            registers: 1,
        }
    }

    fn finish(mut self) -> Program {
        self.flush();
        let touched = std::mem::take(&mut self.touched);
        self.check_touched(touched);
        Program {
            steps: self.steps,
            registers: self.registers,
        }
    }

    fn register(&mut self) -> Register {
        self.registers += 1;
        Register(self.registers - 1)
    }

    fn run(&mut self, statement: Statement, expect: Expect) {
        self.run_into(statement, Vec::new(), expect);
    }

    fn run_into(&mut self, statement: Statement, fills: Vec<Register>, expect: Expect) {
        self.flush();
        self.push_run(statement, fills, expect);
    }

    fn push_run(&mut self, statement: Statement, fills: Vec<Register>, expect: Expect) {
        self.steps.push(Step::Run {
            statement,
            fills,
            expect,
        });
    }

    /// Ends the program with an error, after whatever comes before it has found no other.
    fn fail(&mut self, error: ApiError) {
        let never = Statement {
            sql: "select 1 where false".into(),
            params: Vec::new(),
        };
        self.run(never, Expect::Some(Box::new(error)));
    }

    /// Plans a branch apart.
    fn branch(
        &mut self,
        plan: impl FnOnce(&mut Self) -> Result<(), ApiError>,
    ) -> Result<Branch, ApiError> {
        self.flush();
        let outer = (
            std::mem::take(&mut self.steps),
            std::mem::take(&mut self.touched),
        );
        let planned = plan(self);
        self.flush();
        let steps = std::mem::replace(&mut self.steps, outer.0);
        let touched = std::mem::replace(&mut self.touched, outer.1);
        planned.map(|()| Branch { steps, touched })
    }

    /// Goes on with one branch if the register holds a value, else with the other. What the branch
    /// not taken touches is not looked at.
    fn choose(&mut self, register: Register, then: Branch, otherwise: Option<Branch>) {
        let (other_steps, other_touched) =
            otherwise.map_or_else(Default::default, |b| (b.steps, b.touched));
        if !then.touched.is_empty() || !other_touched.is_empty() {
            let (then, otherwise) = (then.touched, other_touched);
            self.touched.push(TouchedRows::Either {
                register,
                then,
                otherwise,
            });
        }
        self.steps.push(Step::Choose {
            register,
            then: then.steps,
            otherwise: other_steps,
        });
    }
}

/// The row with this id.
fn row(id: &Param) -> Filter {
    Filter::IdIs(id.clone())
}

/// The rows of a register that holds an array of ids.
fn rows(ids: Register) -> Filter {
    Filter::IdIn(Param::Register(ids))
}
