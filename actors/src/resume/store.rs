//! What reads and writes the positions: one connection of its own, opened when the first subscription begins, and one statement
//! for all that has changed within an interval. Nobody waits for it but those that begin.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gom_engine::events::Cursor;
use gom_engine::plan::{Param, Statement};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_postgres::Row;

use super::{Beginning, RESUME_INTERVAL, ResumeError, ResumeOptions, RowId, Shared};
use crate::database::{Database, DedicatedConnection, StatementError};
use gom_runtime::permits::Permits;

/// A statement that takes longer is given up, and its work repeated at the next interval.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);
/// Rows that one statement writes at most.
const MAX_ROWS: usize = 2_000;
const MIN_ROWS: usize = 50;
/// How often a server that holds positions writes a heartbeat: a third of the time after which others take it for dead.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(800);
/// After so long without a write, others may have taken this server for dead.
const MAX_SILENCE: Duration = Duration::from_secs(2);
/// Statements that follow each other when much has changed; the rest is written at the next interval.
const MAX_ROUNDS: usize = 4;
/// Beginnings that query the database at once.
const MAX_BEGINNINGS: usize = 64;
/// Between two removals of expired positions.
const FORGET_INTERVAL: Duration = Duration::from_secs(30);

const RESUME: &str = "select from_epoch, from_position, from_part, at_epoch, at_position, at_part, at_nonce \
     from gom.resume_subscription_at($1::bigint, decode($2, 'hex'), decode($3, 'hex'), $4::bigint, $5::bigint, $6::int)";
const KEEP: &str = "select gom.keep_resume_positions($1::bigint, $2::jsonb)";
const FORGET: &str = "select gom.forget_resume_positions($1::bigint)";

pub(super) struct Keeper {
    connection: DedicatedConnection,
    options: ResumeOptions,
    /// Of this process.
    node: i64,
    shared: Weak<Shared>,
    /// One batch at a time.
    writing: Mutex<Wrote>,
    /// Beginnings at once.
    beginnings: Permits,
    /// That every beginning is refused was logged.
    logged: Cell<bool>,
    /// Something ended while positions were being written.
    again: Cell<bool>,
}

/// Why positions are written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Interval,
    /// A subscription has ended, and what begins waits for that.
    Ended,
}

struct Wrote {
    last: Option<Instant>,
    complained: bool,
    /// Rows of the next statement; fewer after one that took too long.
    together: usize,
}

impl Keeper {
    pub fn new(database: &Database, options: ResumeOptions, shared: Weak<Shared>) -> Self {
        let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
        let connection = DedicatedConnection::new(database, Some(STATEMENT_TIMEOUT));
        Keeper {
            connection,
            options,
            node: high.cast_signed(),
            shared,
            writing: Mutex::new(Wrote {
                last: None,
                complained: false,
                together: MAX_ROWS,
            }),
            beginnings: Permits::new(MAX_BEGINNINGS),
            logged: Cell::default(),
            again: Cell::default(),
        }
    }

    /// Runs until the last handle is gone.
    pub async fn run(self, mut asked: mpsc::Receiver<Beginning>, ended: Arc<Notify>) {
        let keeper = Rc::new(self);
        // Nothing is done, and no connection opened, before there is a subscription.
        let Some(first) = asked.recv().await else {
            return;
        };
        actix::spawn(Rc::clone(&keeper).begin(first));
        let mut ticks = interval(RESUME_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut used, mut forgot) = (Instant::now(), Instant::now());
        loop {
            // Holds nothing that would keep this from ending with the last handle.
            tokio::select! {
                beginning = asked.recv() => {
                    let Some(beginning) = beginning else { return };
                    actix::spawn(Rc::clone(&keeper).begin(beginning));
                }
                () = ended.notified() => keeper.write_soon(),
                _ = ticks.tick() => {
                    keeper.write_soon();
                    let Some(shared) = keeper.shared.upgrade() else { return };
                    if !shared.registry().is_empty() {
                        used = Instant::now();
                    }
                    // For as long as there may be something.
                    let recently = used.elapsed() < twice(keeper.options.remember_for);
                    if recently && forgot.elapsed() > FORGET_INTERVAL {
                        forgot = Instant::now();
                        actix::spawn(Rc::clone(&keeper).forget());
                    }
                }
            }
        }
    }

    /// Beside beginnings, which do not wait for it.
    fn write_soon(self: &Rc<Self>) {
        if self.writing.try_lock().is_err() {
            self.again.set(true);
            return;
        }
        let keeper = Rc::clone(self);
        actix::spawn(async move {
            let Some(shared) = keeper.shared.upgrade() else {
                return;
            };
            keeper.write(&shared, Why::Interval).await;
            if keeper.again.take() {
                keeper.write(&shared, Why::Ended).await;
            }
        });
    }

    async fn begin(self: Rc<Self>, beginning: Beginning) {
        let Ok(_permit) = self.beginnings.acquire().await else {
            return;
        };
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let Beginning {
            id,
            key,
            session,
            answer,
        } = beginning;
        // The request has been dropped: its client comes back, and requests again.
        if answer.is_closed() {
            shared.registry().remove(id);
            return;
        }
        // What has just ended here is no place to go on from, or is a better one.
        if shared.registry().has_ended() {
            self.write(&shared, Why::Ended).await;
        }
        if answer.is_closed() {
            shared.registry().remove(id);
            return;
        }
        let params = [
            id.to_string(),
            key.hex(),
            session.hex(),
            self.node.to_string(),
            self.options.remember_for.as_millis().to_string(),
            self.options.most_of_session.to_string(),
        ];
        let resumed = self
            .connection
            .rows_unless_missing(&statement(RESUME, params))
            .await
            .and_then(|found| match found {
                Ok(rows) => resumed(&rows).map(Ok),
                Err(report) => Ok(Err(report)),
            });
        let from = match resumed {
            Ok(Ok((from, at))) => {
                shared.registry().begun(id, at);
                Ok(from)
            }
            Ok(Err(report)) => {
                shared.registry().remove(id);
                if !self.logged.replace(true) {
                    tracing::warn!(
                        cause = %report,
                        "subscriptions of clients without cursors are not remembered: Gom's own tables are of an earlier version"
                    );
                }
                Ok(None)
            }
            Err(error) => {
                if matches!(error, StatementError::Rejected(_)) && !self.logged.replace(true) {
                    tracing::warn!(cause = %error, "where subscriptions of clients without cursors go on cannot be read");
                }
                shared.registry().remove_stray(id);
                Err(ResumeError(error.to_string()))
            }
        };
        // A subscription that has ended meanwhile has left the registry.
        let _ = answer.send(from);
    }

    async fn write(&self, shared: &Arc<Shared>, why: Why) {
        let mut wrote = self.writing.lock().await;
        // Another has written it meanwhile.
        if why == Why::Ended && !shared.registry().has_ended() {
            return;
        }
        if wrote.last.is_some_and(|last| last.elapsed() > MAX_SILENCE) {
            shared.registry().write_all();
        }
        for _ in 0..MAX_ROUNDS {
            let together = wrote.together;
            let (batch, is_quiet) = {
                let registry = shared.registry();
                if registry.is_empty() {
                    return;
                }
                let batch = registry.batch(together);
                let is_quiet = batch.is_empty() && !registry.has_disturbed();
                (batch, is_quiet)
            };
            if is_quiet
                && wrote
                    .last
                    .is_some_and(|last| last.elapsed() < HEARTBEAT_INTERVAL)
            {
                return;
            }
            let params = [self.node.to_string(), batch.to_json().to_string()];
            let written = self.connection.rows(&statement(KEEP, params)).await;
            match written.and_then(|rows| ids(&rows)) {
                Ok(disturbed) => {
                    shared.registry().written(&batch, &disturbed);
                    wrote.last = Some(Instant::now());
                    wrote.complained = false;
                    if batch.len() < together {
                        wrote.together = MAX_ROWS.min(together * 2);
                    }
                }
                Err(error) => {
                    if matches!(error, StatementError::Slow(_)) {
                        wrote.together = (together / 2).max(MIN_ROWS);
                    }
                    if !wrote.complained {
                        tracing::warn!(cause = %error, "positions of subscriptions were not written; the server retries");
                        wrote.complained = true;
                    }
                    return;
                }
            }
            if batch.len() < together {
                return;
            }
        }
    }

    async fn forget(self: Rc<Self>) {
        let params = [self.options.remember_for.as_millis().to_string()];
        if let Err(error) = self.connection.rows(&statement(FORGET, params)).await {
            tracing::debug!(cause = %error, "expired positions were not removed; the server retries");
        }
    }
}

fn twice(time: Duration) -> Duration {
    time * 2 + FORGET_INTERVAL
}

/// After which cursor it goes on, and what its row has.
fn resumed(rows: &[Row]) -> Result<(Option<Cursor>, Cursor), StatementError> {
    let row = rows.first().ok_or_else(|| unexpected("no row"))?;
    let number = |at: usize| {
        row.try_get::<_, Option<i64>>(at)
            .map_err(|error| unexpected(&error.to_string()))
    };
    // Where it goes on, its row is there too.
    let nonce = number(6)?.unwrap_or(0).cast_unsigned();
    let cursor = |column| {
        let (Some(epoch), Some(position), Some(part)) =
            (number(column)?, number(column + 1)?, number(column + 2)?)
        else {
            return Ok(None);
        };
        let part = u32::try_from(part).unwrap_or(Cursor::WHOLE);
        let (epoch, position) = (epoch.cast_unsigned(), position.cast_unsigned());
        Ok(Some(Cursor {
            nonce,
            ..Cursor::after_change(epoch, position, part)
        }))
    };
    Ok((
        cursor(0)?,
        cursor(3)?.ok_or_else(|| unexpected("no position"))?,
    ))
}

fn ids(rows: &[Row]) -> Result<Vec<RowId>, StatementError> {
    rows.iter()
        .map(|row| {
            row.try_get(0)
                .map_err(|error| unexpected(&error.to_string()))
        })
        .collect()
}

fn unexpected(what: &str) -> StatementError {
    StatementError::Rejected(format!(
        "positions have {what} that this program does not expect"
    ))
}

fn statement<const N: usize>(sql: &str, params: [String; N]) -> Statement {
    Statement {
        sql: sql.to_owned(),
        params: params.into_iter().map(Param::Text).collect(),
    }
}
