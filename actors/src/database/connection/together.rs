//! Statements that are read in one snapshot, on a client of their own. Those of the same text are one statement, with the
//! parameters of each as a row.

use std::collections::HashMap;

use futures::future::join_all;
use gom_engine::plan::Statement;
use gom_engine::sql::together;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::Type;

use super::super::error::{Failure, RunError};
use super::super::link::Link;
use super::super::messages::Answers;
use super::super::text::JsonText;
use super::Worker;
use gom_runtime::supervision::Reply;
use gom_telemetry::metrics::LIVE_FALLBACKS;

/// Executions that one statement stands for at most.
const MOST_TOGETHER: usize = 100;

/// Times that statements are read in one snapshot before each is read for itself.
const SNAPSHOT_ATTEMPTS: u32 = 2;

type Found = Option<JsonText>;

impl Worker {
    /// In one snapshot; each for itself if that fails.
    pub(super) async fn read_together(
        &self,
        statements: &[Statement],
        deadline: Instant,
        reply: &mut Reply<Answers>,
    ) -> Answers {
        // Tables that have changed are known the second time.
        for _ in 0..SNAPSHOT_ATTEMPTS {
            if statements.len() < 2 {
                break;
            }
            match self.snapshot(statements, deadline, reply).await? {
                Ok(found) => return Ok(found.into_iter().map(Ok).collect()),
                Err(Failure::Stale(_) | Failure::Conflict(_) | Failure::Lost(_)) => {}
                // One of them fails: it would again.
                Err(_) => break,
            }
        }
        if statements.len() > 1 {
            LIVE_FALLBACKS.inc(());
        }
        let mut answers = Vec::with_capacity(statements.len());
        for statement in statements {
            match self.read(statement, true, None, deadline, reply).await {
                // Nor will the others be answered.
                Err(
                    error @ (RunError::Deadline
                    | RunError::Unavailable { .. }
                    | RunError::Overloaded { .. }),
                ) => return Err(error),
                answer => answers.push(answer),
            }
        }
        Ok(answers)
    }

    async fn snapshot(
        &self,
        statements: &[Statement],
        deadline: Instant,
        reply: &mut Reply<Answers>,
    ) -> Result<Result<Vec<Option<JsonText>>, Failure>, RunError> {
        let lease = self.lease_to_read(None, deadline, reply).await?;
        let read = tokio::select! {
            read = timeout_at(deadline, snapshot(&lease.link, statements)) => read.ok(),
            () = reply.closed() => None,
        };
        match read {
            Some(Ok(found)) => {
                lease.give_back();
                Ok(found)
            }
            Some(Err(failure)) => {
                lease.abandon();
                Ok(Err(failure))
            }
            None => {
                lease.abandon();
                Err(RunError::Deadline)
            }
        }
    }
}

/// The answers of all, as of one moment, or why there are none.
///
/// # Errors
/// If a transaction may still be open on the connection.
async fn snapshot(
    link: &Link,
    statements: &[Statement],
) -> Result<Result<Vec<Found>, Failure>, Failure> {
    link.command("begin isolation level repeatable read, read only")
        .await?;
    let read = read_all(link, statements).await;
    // What was only read is not lost by a rollback.
    link.command("rollback").await?;
    Ok(read)
}

async fn read_all(link: &Link, statements: &[Statement]) -> Result<Vec<Found>, Failure> {
    let mut by_text: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, statement) in statements.iter().enumerate() {
        by_text.entry(&statement.sql).or_default().push(place);
    }
    let groups = by_text
        .values()
        .flat_map(|places| places.chunks(MOST_TOGETHER));
    let answered = join_all(groups.map(|places| read_group(link, statements, places))).await;
    let mut found = vec![None; statements.len()];
    for group in answered {
        for (place, answer) in group? {
            found[place] = answer;
        }
    }
    Ok(found)
}

/// The answers of statements of one text, by their places.
async fn read_group(
    link: &Link,
    statements: &[Statement],
    places: &[usize],
) -> Result<Vec<(usize, Found)>, Failure> {
    if let Some(one) = as_one(link, statements, places).await? {
        let mut found = Vec::with_capacity(places.len());
        for row in link.rows(&one).await? {
            let place = JsonText::of(row.clone(), 0)?.and_then(|place| place.as_str().parse().ok());
            let place = place.and_then(|place: usize| places.get(place.checked_sub(1)?));
            let place =
                place.ok_or_else(|| Failure::Fault("a row has no place among its own".into()))?;
            found.push((*place, JsonText::of(row, 1)?));
        }
        return Ok(found);
    }
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        found.push((*place, link.ask(&statements[*place]).await?));
    }
    Ok(found)
}

/// One statement for all of these, if there are several and it can be made.
async fn as_one(
    link: &Link,
    statements: &[Statement],
    places: &[usize],
) -> Result<Option<Statement>, Failure> {
    let [first, _, ..] = places else {
        return Ok(None);
    };
    let sql = &statements[*first].sql;
    let Some(types) = link.parameter_types(sql).await? else {
        return Ok(None);
    };
    let types: Vec<String> = types.iter().map(name_of).collect();
    let lists: Vec<&[_]> = places
        .iter()
        .map(|place| statements[*place].params.as_slice())
        .collect();
    Ok(together(sql, &types, &lists))
}

fn name_of(ty: &Type) -> String {
    let quoted = gom_engine::sql::quoted;
    format!("{}.{}", quoted(ty.schema()), quoted(ty.name()))
}
