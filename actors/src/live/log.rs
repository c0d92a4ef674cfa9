//! The change log as it is read: stamped, transaction by transaction. Knows nothing of who wants what.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use gom_engine::events::{Cursor, LogKind, LogRow};
use gom_engine::plan::{Param, Statement};
use gom_engine::sql::idempotency;
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::database::{Database, DedicatedConnection, StatementError, ThreadWork};

/// Rows of the log that are read at once. A transaction with more comes in pieces.
const PAGE: usize = 5_000;
/// Transactions that are expected to fit a page.
const CLOSE: u64 = 1_000;

const OPEN: &str = "select gom.open_log()";
const EXISTS: &str = "select to_regclass('gom.feed') is not null";
/// `$1`, `$2`: a place's position and nonce.
const STATE: &str = "select f.epoch, f.position, gom.nonce_of(f.position), f.oldest, \
     gom.prove_stamp($1::bigint, $2::bigint) from gom.feed f";
/// `$1`, `$2`: positions and their nonces.
const LOST: &str = "select c.position, c.nonce from unnest($1::bigint[], $2::bigint[]) as c(position, nonce) \
     where gom.prove_stamp(c.position, c.nonce) is null and c.position > (select oldest from gom.feed)";
/// The same parameters. A row for each stamp, or one if there are none.
const PROVE: &str = "select f.epoch, f.position, gom.nonce_of(f.position), f.oldest, c.position, c.nonce, \
     gom.prove_stamp(c.position, c.nonce) from gom.feed f \
     left join unnest($1::bigint[], $2::bigint[]) as c(position, nonce) on true";
const STAMP: &str = "select epoch, position, nonce, oldest from gom.stamp_log()";
const TRIM: &str =
    "select gom.trim_changes($1::bigint * interval '1 millisecond', $2::bigint, $3::int)";
/// `$1`, `$2`, `$6`: the place that was read up to, and its nonce; `$3`: the last position to be read. OFFSET keeps it one look
/// into the index for each transaction: a join would read the whole log. The state is of the same snapshot as the rows, and
/// comes without rows too.
const READ: &str = "with feed as materialized (select f.epoch, f.position, gom.nonce_of(f.position), f.oldest, \
     gom.prove_stamp($1::bigint, $6::bigint), gom.nonce_of(least(f.position, $3::bigint)) from gom.feed f) \
     select f.*, p.* from feed f left join lateral (\
     select s.position as stamped, s.nonce, c.sequence, c.table_name, c.kind, c.node, c.partner, c.columns, c.old, c.links \
     from gom.stamp s cross join lateral (select c.sequence, c.table_name, c.kind::text, c.node, c.partner, c.columns, \
     c.old::text, c.links::text from gom.change c where c.sequence between s.first_sequence and s.last_sequence and \
     c.transaction = s.transaction and (s.position > $1::bigint or c.sequence > $2::bigint) and c.schema_name = $4 \
     order by c.sequence offset 0) c where s.position >= $1::bigint and s.position <= $3::bigint \
     order by s.position, c.sequence limit $5::int) p on true order by p.stamped, p.sequence";
const STAMP_LEFT_BEHIND: &str = "select gom.stamp_left_behind($1::bool)";

/// What the log says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogState {
    pub epoch: u64,
    /// Of the last transaction that has one.
    pub position: u64,
    /// Of the stamp at that position.
    pub nonce: u64,
    /// Of the last transaction that is not kept any more; 0: none.
    pub oldest: u64,
}

impl LogState {
    /// After the last transaction that has a position.
    pub fn head(self) -> Place {
        Place::after(self.position).with(self.nonce)
    }

    /// Whether something that follows the place is not kept any more.
    pub fn has_forgotten_after(self, place: Place) -> bool {
        place < Place::after(self.oldest)
    }
}

/// A position, and its nonce; 0: not known.
pub(super) type Stamp = (u64, u64);

/// Up to where the log has been read. Compared by where it is; whether two are of one log, their nonces say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub position: u64,
    /// The last row of the transaction at that position.
    sequence: i64,
    /// Of the stamp at that position; 0: not known.
    pub nonce: u64,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.position, self.sequence).cmp(&(other.position, other.sequence))
    }
}

impl Place {
    pub const fn after(position: u64) -> Self {
        Place {
            position,
            sequence: i64::MAX,
            nonce: 0,
        }
    }

    pub const fn with(self, nonce: u64) -> Self {
        Place { nonce, ..self }
    }

    /// The same place of the same log.
    pub fn is_same(self, other: Place) -> bool {
        self == other && self.nonce == other.nonce
    }

    /// The cursor of a whole transaction.
    pub fn cursor(self, epoch: u64) -> Cursor {
        Cursor {
            nonce: self.nonce,
            ..Cursor::after(epoch, self.position)
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
            nonce: 0,
        }
    }
}

/// Rows of one transaction: all of them, or a part of very many.
pub(super) struct LogPiece {
    pub position: u64,
    pub nonce: u64,
    pub rows: Vec<LogRow>,
}

/// What was read at once, and where the log stood when it was.
pub(super) struct Page {
    pub state: LogState,
    /// The nonce of the place after which was read; nothing if this log does not have its stamp.
    pub proof: Option<u64>,
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
    /// For stamping and upkeep. `limit`: how long a statement may take, where others wait for it.
    pub fn new(database: &Database, schema: &str, limit: Option<Duration>) -> Self {
        let connection = DedicatedConnection::new(database, limit);
        Log::on(connection, schema, ThreadWork::default())
    }

    /// For reading, on a thread that does other work, with which no statement is charged. Each statement is planned once: that
    /// takes several times as long as running it, and longer with each partition of the log (ADR 54).
    pub fn beside(
        database: &Database,
        schema: &str,
        limit: Option<Duration>,
        thread: ThreadWork,
    ) -> Self {
        let connection = DedicatedConnection::beside(database, limit, thread.clone());
        Log::on(connection.planned_once(), schema, thread)
    }

    fn on(connection: DedicatedConnection, schema: &str, thread: ThreadWork) -> Self {
        Log {
            connection,
            schema: schema.to_owned(),
            thread,
        }
    }

    /// Sees to it that numbers of transactions of another database are not taken for this one's.
    pub async fn open(&self) -> Result<(), StatementError> {
        self.connection.rows(&statement(OPEN, [])).await.map(drop)
    }

    /// Whether the database has a change log.
    pub async fn exists(&self) -> Result<bool, StatementError> {
        let rows = self.connection.rows(&statement(EXISTS, [])).await?;
        let row = rows.first().ok_or_else(|| unexpected("no answer"))?;
        row.try_get(0)
            .map_err(|error| unexpected(&error.to_string()))
    }

    /// Where the log stands, and the nonce of a place, if the log has its stamp. A place without a nonce is proved for as long
    /// as the database is the same: its epoch is to be compared.
    pub async fn state(&self, place: Place) -> Result<(LogState, Option<u64>), StatementError> {
        let params = [place.position.cast_signed(), place.nonce.cast_signed()];
        let params = params.map(|number| number.to_string());
        let rows = self.connection.rows(&statement(STATE, params)).await?;
        Ok((log_state(rows.first())?, proof(rows.first(), 4)?))
    }

    /// Which of these stamps (positions and nonces) the log has not got.
    pub async fn lost(&self, stamps: &BTreeSet<Stamp>) -> Result<BTreeSet<Stamp>, StatementError> {
        if stamps.is_empty() {
            return Ok(BTreeSet::new());
        }
        let statement = statement(LOST, arrays(stamps));
        let rows = self.connection.rows(&statement).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    number(row, 0)?.cast_unsigned(),
                    number(row, 1)?.cast_unsigned(),
                ))
            })
            .collect()
    }

    /// Where the log stands, and the nonces of those of these stamps that it has got; as [`Log::state`].
    pub async fn prove(
        &self,
        stamps: &BTreeSet<Stamp>,
    ) -> Result<(LogState, HashMap<Stamp, u64>), StatementError> {
        let statement = statement(PROVE, arrays(stamps));
        let rows = self.connection.rows(&statement).await?;
        let mut proofs = HashMap::new();
        for row in &rows {
            if let (Some(position), Some(nonce), Some(proof)) = (
                optional_number(row, 4)?,
                optional_number(row, 5)?,
                optional_number(row, 6)?,
            ) {
                let stamp = (position.cast_unsigned(), nonce.cast_unsigned());
                proofs.insert(stamp, proof.cast_unsigned());
            }
        }
        Ok((log_state(rows.first())?, proofs))
    }

    /// Gives positions to what was committed. Where the log stands then.
    pub async fn stamp(&self) -> Result<LogState, StatementError> {
        let rows = self.connection.rows(&statement(STAMP, [])).await?;
        log_state(rows.first())
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

    /// Removes about `step` of the idempotency keys that are too old; how many.
    pub async fn forget_keys(&self, age: Duration, step: u32) -> Result<u64, StatementError> {
        let statement = idempotency::forget_older(age.as_millis(), step);
        let rows = self.connection.rows(&statement).await?;
        let removed = rows
            .first()
            .map(|row| row.try_get::<_, &str>(0))
            .transpose();
        let removed = removed.map_err(|error| unexpected(&error.to_string()))?;
        Ok(removed
            .and_then(|count| count.parse().ok())
            .unwrap_or_default())
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
            after.nonce.cast_signed().to_string(),
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

/// Positions and nonces, as arrays of PostgreSQL.
fn arrays(stamps: &BTreeSet<Stamp>) -> [String; 2] {
    let array = |number: fn(&Stamp) -> u64| {
        let numbers: Vec<String> = stamps
            .iter()
            .map(|stamp| number(stamp).cast_signed().to_string())
            .collect();
        format!("{{{}}}", numbers.join(","))
    };
    [array(|stamp| stamp.0), array(|stamp| stamp.1)]
}

fn page(rows: &[Row], after: Place, upto: u64) -> Result<Page, StatementError> {
    let state = log_state(rows.first())?;
    let proof_of_place = proof(rows.first(), 4)?;
    let mut place = after;
    let mut pieces: Vec<LogPiece> = Vec::new();
    let mut count = 0;
    for row in rows {
        let Some(position) = optional_number(row, 6)? else {
            break;
        };
        count += 1;
        let (position, nonce) = (position.cast_unsigned(), number(row, 7)?.cast_unsigned());
        place = Place {
            position,
            sequence: number(row, 8)?,
            nonce,
        };
        let Some(row) = log_row(row)? else { continue };
        match pieces.last_mut() {
            Some(piece) if piece.position == position => piece.rows.push(row),
            _ => pieces.push(LogPiece {
                position,
                nonce,
                rows: vec![row],
            }),
        }
    }
    if count < PAGE {
        let nonce = proof(rows.first(), 5)?.unwrap_or(0);
        return Ok(Page {
            state,
            proof: proof_of_place,
            pieces,
            next: Place::after(upto.min(state.position)).with(nonce),
        });
    }
    // A reader must find a transaction in the same pieces wherever it begins: the last one of a page is left to the next,
    // unless it fills the page.
    if pieces.len() > 1 {
        pieces.pop();
        if let Some(last) = pieces.last() {
            place = Place::after(last.position).with(last.nonce);
        }
    }
    Ok(Page {
        state,
        proof: proof_of_place,
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
    let Some(kind) = required(10)?.chars().next().and_then(LogKind::of) else {
        return Ok(None);
    };
    let columns: Option<Vec<String>> = row
        .try_get(13)
        .map_err(|error| unexpected(&error.to_string()))?;
    Ok(Some(LogRow {
        table: required(9)?,
        kind,
        node: required(11)?,
        partner: text(12)?,
        columns: columns.unwrap_or_default(),
        old: text(14)?,
        links: text(15)?,
    }))
}

fn log_state(row: Option<&Row>) -> Result<LogState, StatementError> {
    let row = row.ok_or_else(|| unexpected("no state"))?;
    Ok(LogState {
        epoch: number(row, 0)?.cast_unsigned(),
        position: number(row, 1)?.cast_unsigned(),
        nonce: optional_number(row, 2)?.unwrap_or(0).cast_unsigned(),
        oldest: number(row, 3)?.cast_unsigned(),
    })
}

fn proof(row: Option<&Row>, column: usize) -> Result<Option<u64>, StatementError> {
    let row = row.ok_or_else(|| unexpected("no state"))?;
    Ok(optional_number(row, column)?.map(i64::cast_unsigned))
}

pub(super) fn number(row: &Row, column: usize) -> Result<i64, StatementError> {
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

pub(super) fn statement<const N: usize>(sql: &str, params: [String; N]) -> Statement {
    Statement {
        sql: sql.to_owned(),
        params: params.into_iter().map(Param::Text).collect(),
    }
}
