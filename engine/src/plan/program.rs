//! The engine's output for the connection to PostgreSQL: statements with parameters, and for a
//! mutation the order in which they run. Plain data, without GraphQL, models or policies.

use crate::error::ApiError;
use crate::sql::{Register, Statement};

/// The answer of a program: JSON text.
pub const ANSWER: Register = Register(0);

/// One top-level mutation field: runs in one transaction. Nothing is committed unless every
/// expectation holds. The answer is then in [`ANSWER`]; a null there reads as `null`.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// How many registers the steps use.
    pub registers: usize,
}

/// One step of a program.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Sends a statement. Every column of its first row (text, or null without a row) goes to the
    /// register at the same place in `fills`. Later statements may be sent before this one has
    /// answered, unless they need one of its registers.
    Run {
        /// The statement, with the registers that it reads among its parameters.
        statement: Statement,
        /// The registers that the columns of the first row fill.
        fills: Vec<Register>,
        /// What must be true of the answer.
        expect: Expect,
    },
    /// Goes on with `then` if the register holds a value, with `otherwise` if it holds null.
    Choose {
        /// The register that decides.
        register: Register,
        /// The steps if it holds a value.
        then: Vec<Step>,
        /// The steps if it holds null.
        otherwise: Vec<Step>,
    },
}

/// What must be true of a statement's answer; if not, the program fails with the error and is
/// rolled back. The error's message may hold marks of registers, which [`fill_marks`] replaces.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// Every answer will do.
    Anything,
    /// At least one row came back or was changed.
    Some(Box<ApiError>),
    /// As `Some`, and the answer is waited for before the next statement is sent: those after it are not to wait for locks,
    /// or to take any, in a program that this one ends.
    Awaited(Box<ApiError>),
    /// As `Some`, of a statement that has changed nothing when no row came back: alone in its
    /// program, it runs without a transaction around it and so saves a round trip.
    Found(Box<ApiError>),
    /// No row came back or was changed.
    None(Box<ApiError>),
    /// No row came back. One is what another transaction has committed since the program began: it
    /// is rolled back and repeated, as after a serialization failure.
    NoConflict,
    /// Each named column (by position) of the first row holds a value; the first that does not
    /// decides. Without a row no column holds one.
    Filled(Vec<(usize, ApiError)>),
}

/// Stands in an error's message for what a register will hold; see [`fill_marks`].
pub fn register_mark(register: Register) -> String {
    format!("\u{1}{}\u{2}", register.0)
}

/// Replaces the marks in the message of an unmet expectation by what the registers hold.
pub fn fill_marks<'a>(message: &str, value_of: impl Fn(Register) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, marked)) = rest.split_once('\u{1}') {
        out.push_str(before);
        let Some((number, after)) = marked.split_once('\u{2}') else {
            rest = marked;
            break;
        };
        out.push_str(
            number
                .parse()
                .ok()
                .and_then(|n| value_of(Register(n)))
                .unwrap_or_default(),
        );
        rest = after;
    }
    out.push_str(rest);
    out
}
