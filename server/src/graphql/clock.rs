//! The time as the database has it. Where nodes share a rule about time, they share this clock: their own may be apart.

use chrono::{DateTime, Utc};
use gom_actors::database::LocalDatabase;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{Planner, Statement};
use tokio::time::Instant;

use super::failure::api_error;

const NOW: &str = "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint::text";

/// # Errors
/// If the database does not answer by the deadline.
pub(super) async fn database_time(
    database: &LocalDatabase,
    planner: &Planner,
    deadline: Instant,
) -> Result<DateTime<Utc>, ApiError> {
    let statement = Statement {
        sql: NOW.to_owned(),
        params: Vec::new(),
    };
    let found = database
        .read(statement, deadline)
        .await
        .map_err(|error| api_error(planner, error))?;
    let milliseconds = found.and_then(|text| text.as_str().parse().ok());
    milliseconds
        .and_then(DateTime::from_timestamp_millis)
        .ok_or_else(|| ApiError::new(ErrorKind::Internal, "the database has no time"))
}
