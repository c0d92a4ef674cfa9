//! Stage five: an operation becomes a plan: which rows are read or written, in which order.

mod context;
mod failure;
mod filter;
mod missing;
mod program;
mod read;
mod rights;
mod watched;
mod write;

pub use context::{PageLimits, Planner};
pub use failure::Rejection;
pub use missing::{Completed, is_marked};
pub use program::*;
pub use rights::{Access, Rights};
pub use write::{Amendments, Source};
