//! What the process reports about itself: metrics, spans and health. Knows no actors and no databases.
//!
//! - [`metrics`]: a fixed list of metrics, counted without locks, and their text for Prometheus;
//! - [`traces`]: spans for OpenTelemetry, which cost one look at a flag while nobody collects them;
//! - [`health`]: the condition of what works in the background, for `/readyz`;
//! - [`causes`]: errors of libraries with their causes, for the log.
//!
//! ```
//! use gom_telemetry::health::{Condition, HealthReporter};
//! use gom_telemetry::metrics::{DATABASE_RETRIES, Format, Retry, Work, expose};
//!
//! // The code that works counts, and reports its condition.
//! DATABASE_RETRIES.inc((Work::Read, Retry::Lost));
//! let reporter = HealthReporter::new();
//! reporter.report(Condition::Ready);
//!
//! // The code that serves `/metrics` and `/readyz` reads them.
//! let page = expose(Format::OpenMetrics, &[("version", "1.2.3".to_owned())]);
//! assert!(page.contains(r#"gom_database_retries_total{work="read",reason="lost"} 1"#));
//! assert_eq!(reporter.status().condition.name(), "ready");
//! ```

#![warn(missing_docs, unreachable_pub)]

pub mod causes;
pub mod health;
pub mod metrics;
pub mod traces;
