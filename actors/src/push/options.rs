//! The dispatcher's options.

use std::time::Duration;

/// What the dispatcher is given.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// Whether jobs are carried out here; else devices are kept, and what is to be sent waits for another process.
    pub dispatches: bool,
    /// The schema of the tables whose changes cause notifications.
    pub schema: String,
    /// How long what a server has taken is its own, unless it renews it. After a crash others go on then.
    pub lease: Duration,
    /// How often it looks by itself for what is due, and for jobs.
    pub poll: Duration,
    /// How often it looks for jobs by itself.
    pub poll_jobs: Duration,
    /// The most messages in flight at a time, in all and to one push service. An eighth is kept for urgent ones.
    pub concurrency: usize,
    /// The most messages in flight to one push service.
    pub per_origin: usize,
    /// The pause before the second attempt; it grows fourfold with each, up to an hour.
    pub retry: Duration,
    /// A message is given up after so many attempts of which no result is known.
    pub attempts: u32,
    /// How long the ledger is kept.
    pub keep_for: Duration,
}
