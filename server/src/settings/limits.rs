//! What callers may ask for.

use std::time::Duration;

use serde::Deserialize;

use super::milliseconds;

/// The limits of everyone, and those of the service role.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AllLimits {
    #[serde(flatten)]
    pub everyone: Limits,
    pub service: Limits,
    pub in_flight_per_user: usize,
    pub busy_in_flight_per_user: usize,
    pub waiting_per_user: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Limits {
    pub body_bytes: usize,
    pub query_bytes: u64,
    pub tokens: u64,
    pub depth: u64,
    pub aliases: u64,
    pub fields: u64,
    pub root_fields: u64,
    pub complexity: u64,
    pub filter_conditions: u64,
    pub filter_depth: u64,
    pub filter_relations: u64,
    pub filter_bytes: u64,
    pub nested_writes: u64,
    pub page_size: u64,
    pub answer_bytes: u64,
    pub text_bytes: u64,
    /// Of one user's requests that are held.
    pub request_bytes: usize,
    /// Of what waits for one user's clients.
    pub waiting_bytes: usize,
    pub batch: usize,
    #[serde(deserialize_with = "milliseconds")]
    pub deadline: Duration,
}
