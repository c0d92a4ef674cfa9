//! Stage five: an operation becomes a plan: which rows are read or written, in which order.

mod access;
mod context;
mod failure;
mod filter;
mod input_cost;
mod jobs;
mod missing;
mod program;
mod read;
mod rights;
mod rule_inputs;
mod write;

pub use crate::sql::idempotency::{AnswerSlot, StoredAnswer};
pub use crate::sql::{Param, Register, Statement};
pub use access::Access;
pub use context::{PageLimits, Planner};
pub(crate) use context::{entries, items};
pub use failure::Rejection;
pub(crate) use filter::unexpected;
pub use input_cost::RuleCost;
pub use missing::{Completed, is_marked};
pub use program::*;
pub(crate) use read::{ReadPlanner, object};
pub use rights::Rights;
pub use write::{ValueSource, WriteHooks, key_reused};
