//! What the server shows of itself to those who operate it: metrics, and traces.

mod observe;
mod traces;

pub(crate) use observe::{kind_of, observe_operation, outcome_of, plain_name};
pub(crate) use traces::parent_of;
pub use traces::{Traces, TracesError};
