//! The change log as it is read: stamped, transaction by transaction. Knows nothing of who wants what.

use std::time::Duration;

use gom_engine::events::{LogKind, LogRow};
use gom_engine::plan::{Param, Statement};
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::database::{Database, DedicatedConnection, StatementError, ThreadWork};

/// Rows of the log that are read at once. A transaction with more comes in pieces.
const PAGE: usize = 5_000;
/// Transactions that are expected to fit a page.
const CLOSE: u64 = 1_000;

const OPEN: &str = "select epoch, position, oldest from gom.open_feed()";
const EXISTS: &str = "select to_regclass('gom.feed') is not null";
const STATE: &str = "select epoch, position, oldest from gom.feed";
const STAMP: &str = "select gom.stamp_changes()";
const TRIM: &str =
    "select gom.trim_changes($1::bigint * interval '1 millisecond', $2::bigint, $3::int)";
/// `$1`, `$2`: the place that was read up to; `$3`: the last position to be read. OFFSET keeps it one look into the index for
/// each transaction: a join would read the whole log. The state is of the same snapshot as the rows, and comes without rows too.
const READ: &str = "select f.epoch, f.position, f.oldest, p.* from gom.feed f left join lateral (\
     select s.position as stamped, c.sequence, c.table_name, c.kind, c.node, c.partner, c.columns, c.old, c.links \
     from gom.stamp s cross join lateral (select c.sequence, c.table_name, c.kind::text, c.node, c.partner, c.columns, \
     c.old::text, c.links::text from gom.change c where c.sequence between s.first_sequence and s.last_sequence and \
     c.transaction = s.transaction and (s.position > $1::bigint or c.sequence > $2::bigint) and c.schema_name = $4 \
     order by c.sequence offset 0) c where s.position >= $1::bigint and s.position <= $3::bigint \
     order by s.position, c.sequence limit $5::int) p on true order by p.stamped, p.sequence";
const STAMP_LEFT_BEHIND: &str = "select gom.stamp_left_behind($1::bool)";
const BEGIN_EPOCH: &str = "select gom.begin_epoch($1::bigint, $2::bigint)";

/// What the log says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogState {
    pub epoch: u64,
    /// Of the last transaction that has one.
    pub position: u64,
    /// Of the last transaction that is not kept any more; 0: none.
    pub oldest: u64,
}

impl LogState {
    /// Whether something that follows the place is not kept any more.
    pub fn has_forgotten_after(self, place: Place) -> bool {
        place < Place::after(self.oldest)
    }
}

/// Up to where the log has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub position: u64,
    /// The last row of the transaction at that position.
    sequence: i64,
}

impl Place {
    pub const fn after(position: u64) -> Self {
        Place {
            position,
            sequence: i64::MAX,
        }
    }

    /// Whether the transaction at that position has been read to its end.
    pub fn is_whole(self) -> bool {
        self == Place::after(self.position)
    }

    /// Whether what lies between this place and one that follows may fit a page: each transaction has a row or more, and
    /// mostly several.
    pub fn is_close_to(self, later: Place) -> bool {
        later.position.saturating_sub(self.position) <= CLOSE
    }

    /// Before the first row of the transaction at that position.
    pub const fn before(position: u64) -> Self {
        Place {
            position,
            sequence: 0,
        }
    }
}

/// Rows of one transaction: all of them, or a part of very many.
pub(super) struct LogPiece {
    pub position: u64,
    pub rows: Vec<LogRow>,
}

/// What was read at once, and where the log stood when it was.
pub(super) struct Page {
    pub state: LogState,
    pub pieces: Vec<LogPiece>,
    /// Up to where was read.
    pub next: Place,
}

/// The log of one schema, on a connection of its own.
pub(super) struct Log {
    connection: DedicatedConnection,
    schema: String,
    thread: ThreadWork,
}

impl Log {
    /// `limit`: how long a statement may take, where others wait for it.
    pub fn new(database: &Database, schema: &str, limit: Option<Duration>) -> Self {
        Log::beside(database, schema, limit, ThreadWork::default())
    }

    /// The same on a thread that does other work, with which no statement is charged.
    pub fn beside(
        database: &Database,
        schema: &str,
        limit: Option<Duration>,
        thread: ThreadWork,
    ) -> Self {
        let connection = DedicatedConnection::beside(database, limit, thread.clone());
        Log {
            connection,
            schema: schema.to_owned(),
            thread,
        }
    }

    /// Sees to it that positions of a database that was restored are not taken for its earlier life's.
    pub async fn open(&self) -> Result<LogState, StatementError> {
        self.state_by(OPEN).await
    }

    /// Whether the database has a change log.
    pub async fn exists(&self) -> Result<bool, StatementError> {
        let rows = self.connection.rows(&statement(EXISTS, [])).await?;
        let row = rows.first().ok_or_else(|| unexpected("no answer"))?;
        row.try_get(0)
            .map_err(|error| unexpected(&error.to_string()))
    }

    pub async fn state(&self) -> Result<LogState, StatementError> {
        self.state_by(STATE).await
    }

    async fn state_by(&self, sql: &str) -> Result<LogState, StatementError> {
        let rows = self.connection.rows(&statement(sql, [])).await?;
        log_state(rows.first())
    }

    /// Gives positions to what was committed; the last one.
    pub async fn stamp(&self) -> Result<u64, StatementError> {
        let rows = self.connection.rows(&statement(STAMP, [])).await?;
        let row = rows.first().ok_or_else(|| unexpected("no position"))?;
        Ok(number(row, 0)?.cast_unsigned())
    }

    /// Gives positions to committed changes that were passed over; how many. `exact`: compares change by change.
    pub async fn stamp_left_behind(&self, exact: bool) -> Result<u64, StatementError> {
        let rows = self
            .connection
            .rows(&statement(STAMP_LEFT_BEHIND, [exact.to_string()]))
            .await?;
        let row = rows.first().ok_or_else(|| unexpected("no number"))?;
        Ok(number(row, 0)?.cast_unsigned())
    }

    /// Forgets about `step` of the changes that are too old or too many; how many.
    pub async fn trim(
        &self,
        age: Duration,
        changes: u64,
        step: u32,
    ) -> Result<u64, StatementError> {
        let params = [
            age.as_millis().to_string(),
            changes.to_string(),
            step.to_string(),
        ];
        let rows = self.connection.rows(&statement(TRIM, params)).await?;
        let removed = rows.first().map(|row| row.try_get::<_, i32>(0)).transpose();
        Ok(u64::from(
            removed
                .map_err(|e| unexpected(&e.to_string()))?
                .unwrap_or(0)
                .cast_unsigned(),
        ))
    }

    /// Begins a new epoch if the log still is of this one and stands before a position that it has given before.
    pub async fn begin_epoch(&self, lost: u64, position: u64) -> Result<(), StatementError> {
        let params = [lost.to_string(), position.to_string()];
        self.connection
            .rows(&statement(BEGIN_EPOCH, params))
            .await
            .map(drop)
    }

    /// What follows a place up to a position, in order. If nothing is left, the next place is the position's end, or the log's
    /// end if that comes first. Whether anything was forgotten in between, the page's state says.
    pub async fn read(&self, after: Place, upto: u64) -> Result<Page, StatementError> {
        let params = [
            after.position.to_string(),
            after.sequence.to_string(),
            upto.to_string(),
            self.schema.clone(),
            PAGE.to_string(),
        ];
        let rows = self.connection.rows(&statement(READ, params)).await?;
        let began = Instant::now();
        let page = page(&rows, after, upto);
        self.thread.add(began.elapsed());
        page
    }

    /// As [`Log::rows`], and how long the connection was busy with it.
    pub async fn timed_rows(
        &self,
        statement: &Statement,
    ) -> (Result<Vec<Row>, StatementError>, Duration) {
        self.connection.timed_rows(statement).await
    }

    /// Runs a statement of the engine's on the same connection.
    pub async fn rows(&self, statement: &Statement) -> Result<Vec<Row>, StatementError> {
        self.connection.rows(statement).await
    }
}

fn page(rows: &[Row], after: Place, upto: u64) -> Result<Page, StatementError> {
    let state = log_state(rows.first())?;
    let mut place = after;
    let mut pieces: Vec<LogPiece> = Vec::new();
    let mut count = 0;
    for row in rows {
        let Some(position) = optional_number(row, 3)? else {
            break;
        };
        count += 1;
        let position = position.cast_unsigned();
        place = Place {
            position,
            sequence: number(row, 4)?,
        };
        let Some(row) = log_row(row)? else { continue };
        match pieces.last_mut() {
            Some(piece) if piece.position == position => piece.rows.push(row),
            _ => pieces.push(LogPiece {
                position,
                rows: vec![row],
            }),
        }
    }
    if count < PAGE {
        return Ok(Page {
            state,
            pieces,
            next: Place::after(upto.min(state.position)),
        });
    }
    // A reader must find a transaction in the same pieces wherever it begins: the last one of a page is left to the next,
    // unless it fills the page.
    if pieces.len() > 1
        && let Some(cut) = pieces.pop()
    {
        place = Place::after(cut.position - 1);
    }
    Ok(Page {
        state,
        pieces,
        next: place,
    })
}

/// Nothing for what only a newer version writes.
fn log_row(row: &Row) -> Result<Option<LogRow>, StatementError> {
    let text = |column: usize| {
        row.try_get::<_, Option<String>>(column)
            .map_err(|error| unexpected(&error.to_string()))
    };
    let required = |column: usize| text(column)?.ok_or_else(|| unexpected("a null"));
    let Some(kind) = required(6)?.chars().next().and_then(LogKind::of) else {
        return Ok(None);
    };
    let columns: Option<Vec<String>> = row
        .try_get(9)
        .map_err(|error| unexpected(&error.to_string()))?;
    Ok(Some(LogRow {
        table: required(5)?,
        kind,
        node: required(7)?,
        partner: text(8)?,
        columns: columns.unwrap_or_default(),
        old: text(10)?,
        links: text(11)?,
    }))
}

fn log_state(row: Option<&Row>) -> Result<LogState, StatementError> {
    let row = row.ok_or_else(|| unexpected("no state"))?;
    Ok(LogState {
        epoch: number(row, 0)?.cast_unsigned(),
        position: number(row, 1)?.cast_unsigned(),
        oldest: number(row, 2)?.cast_unsigned(),
    })
}

fn number(row: &Row, column: usize) -> Result<i64, StatementError> {
    row.try_get(column)
        .map_err(|error| unexpected(&error.to_string()))
}

fn optional_number(row: &Row, column: usize) -> Result<Option<i64>, StatementError> {
    row.try_get(column)
        .map_err(|error| unexpected(&error.to_string()))
}

fn unexpected(what: &str) -> StatementError {
    StatementError::Rejected(format!(
        "the change log has {what} that this program does not expect"
    ))
}

fn statement<const N: usize>(sql: &str, params: [String; N]) -> Statement {
    Statement {
        sql: sql.to_owned(),
        params: params.into_iter().map(Param::Text).collect(),
    }
}
