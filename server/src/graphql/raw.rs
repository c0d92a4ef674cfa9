//! `executeRaw`: any SQL, for the service role only. It runs on a connection of its own, within the
//! request's deadline, and is answered with the rows as JSON objects or the number of changed rows.

use gom_actors::database::{Database, RunError};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::Planner;
use serde_json::{Map, Value as Json};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::failure::api_error;

/// The answer as JSON text.
pub(super) async fn execute(
    planner: &Planner,
    database: &Database,
    sql: &str,
    deadline: Instant,
) -> Result<String, ApiError> {
    let work = async {
        let client = database
            .lend()
            .await
            .map_err(|error| api_error(planner, error))?;
        let left = deadline
            .saturating_duration_since(Instant::now())
            .as_millis()
            .max(1);
        // A number of our own; so that what the deadline cuts off ends in the database too.
        let limit = format!("set statement_timeout = {left}");
        client.batch_execute(&limit).await.map_err(rejected)?;
        run(&client, sql).await.map_err(rejected)
    };
    // What was sent may be a write, and may have been carried out.
    timeout_at(deadline, work)
        .await
        .unwrap_or_else(|_| Err(api_error(planner, RunError::OutcomeUnknown)))
}

async fn run(client: &Client, sql: &str) -> Result<String, Error> {
    let prepared = client.prepare(sql).await?;
    if prepared.columns().is_empty() {
        return Ok(client.execute(&prepared, &[]).await?.to_string());
    }
    // What can stand in `with` is turned into JSON by the database, with its types.
    let inner = sql.trim_end().trim_end_matches(';');
    let wrapped =
        format!("with rows as ({inner}\n) select coalesce(json_agg(rows.*), '[]')::text from rows");
    if let Ok(statement) = client.prepare(&wrapped).await {
        return client
            .query_one(&statement, &[])
            .await
            .map(|row| row.get(0));
    }
    // `show`, `explain` and their like: as text.
    let rows: Vec<Json> = client
        .simple_query(sql)
        .await?
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let cell = |i: usize| row.get(i).map_or(Json::Null, Json::from);
                let columns = row.columns().iter().enumerate();
                Some(Json::Object(
                    columns
                        .map(|(i, c)| (c.name().to_owned(), cell(i)))
                        .collect::<Map<_, _>>(),
                ))
            }
            _ => None,
        })
        .collect();
    Ok(Json::from(rows).to_string())
}

/// The service is shown the database's own words.
fn rejected(error: Error) -> ApiError {
    match error.as_db_error() {
        Some(report) => ApiError::new(ErrorKind::Execution, report.message()),
        None => ApiError::new(
            ErrorKind::OutcomeUnknown,
            "The connection to the database was lost: the statement may have been carried out or not.",
        ),
    }
}
