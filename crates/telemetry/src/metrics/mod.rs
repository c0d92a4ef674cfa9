//! What the process counts and measures of itself, for Prometheus. The numbers are the process's: all servers in one process
//! share them.
//!
//! [`Metric`] lists what there is. To count costs one atomic addition on memory that few threads share: no lock, no
//! hash, no text. Labels are closed enums, so that no input of a user's can become one;
//! an application registers a few texts for routes at start.

mod application_routes;
mod exposition;
mod handles;
mod instant;
mod labels;
mod metric;
#[cfg(test)]
mod page;
mod process;
mod slots;

pub use application_routes::MAX_APPLICATION_ROUTES;
pub use exposition::{Format, expose};
pub use handles::{Counter, Gauge, GaugeGuard, Histogram, Reading, Timer};
pub use instant::AtomicInstant;
pub use labels::*;
pub use metric::*;
pub use process::read_process;
