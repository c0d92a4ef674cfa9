//! Stage five: an operation becomes a plan: which rows are read or written, in which order.

mod context;
mod failure;
mod filter;
mod input_cost;
mod jobs;
mod missing;
mod program;
mod read;
mod rights;
mod watched;
mod write;

pub use crate::sql::{Param, Register, Statement};
pub use context::{PageLimits, Planner};
pub(crate) use context::{entries, items};
pub use failure::Rejection;
pub(crate) use filter::unexpected;
pub use input_cost::RuleCost;
pub use missing::{Completed, is_marked};
pub use program::*;
pub(crate) use read::{Reader, object};
pub use rights::{Access, Rights};
pub use write::{Amendments, Source};
