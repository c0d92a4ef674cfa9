//! Stage five: an operation becomes a plan: which rows are read or written, in which order.

mod program;

pub use program::*;
