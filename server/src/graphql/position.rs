//! Positions of answers in the change log: the cursor that an answer carries, and the one whose state a query must not precede.
//! Free for requests that ask for neither.

use std::time::Duration;

use gom_actors::database::LocalDatabase;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::Cursor;
use gom_engine::plan::{ANSWER, Expect, Param, Program, Statement, Step};
use gom_engine::request::OperationKind;
use gom_runtime::backoff::Backoff;
use tokio::time::{Instant, sleep};

use super::failure::{api_error, not_deployed};
use super::{AFTER, AnswerCursor, Api, CursorEntry, Request, malformed};

/// Pauses between looks for a position that the database has not given yet.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

const STAMP: &str =
    "select json_build_array(epoch, position, nonce, true)::text from gom.stamp_log()";
/// `$1`, `$2`: a position and its nonce.
const STATE: &str = "select json_build_array(f.epoch, f.position, gom.nonce_of(f.position), \
     gom.prove_stamp($1::bigint, $2::bigint) is not null)::text from gom.feed f";

/// What a request asks about positions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    wants_cursor: bool,
    writes: bool,
    after: Option<Cursor>,
}

impl Asked {
    /// # Errors
    /// An entry that is malformed, or that does not belong to such an operation.
    pub fn of(api: &Api, request: &Request, kind: OperationKind) -> Result<Self, ApiError> {
        let extensions = &request.extensions;
        if extensions.is_empty() {
            return Ok(Asked::default());
        }
        let wants_cursor = match extensions.cursor()? {
            CursorEntry::Absent => false,
            CursorEntry::Wanted => true,
            CursorEntry::Resume(_) => return Err(without_cursor()),
        };
        let writes = kind == OperationKind::Mutation;
        let after = match extensions.text(AFTER)? {
            None => None,
            Some(_) if writes => {
                return Err(malformed(AFTER, "only queries can read after a cursor"));
            }
            Some(text) => {
                let opened = api.engine.cursors.open(text);
                Some(opened.map_err(|error| malformed(AFTER, &error.to_string()))?)
            }
        };
        Ok(Asked {
            wants_cursor,
            writes,
            after,
        })
    }

    /// Whether the answer has its position.
    pub fn wants_cursor(self) -> bool {
        self.wants_cursor
    }

    /// Whether the answer must not be of an earlier state than one that is given.
    pub fn is_after(self) -> bool {
        self.after.is_some()
    }

    /// Waits until the state that was asked for is there.
    ///
    /// # Errors
    /// If it does not come by the deadline, or never will.
    pub async fn reached(
        self,
        api: &Api,
        database: &LocalDatabase,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        match self.after {
            Some(after) => reach(api, database, after, deadline).await,
            None => Ok(()),
        }
    }

    /// To be awaited before anything is read: the state that was asked for is there. Gives the cursor of a read.
    ///
    /// # Errors
    /// If it does not come by the deadline, or never will.
    pub async fn before(
        self,
        api: &Api,
        database: &LocalDatabase,
        deadline: Instant,
    ) -> Result<Option<Cursor>, ApiError> {
        self.reached(api, database, deadline).await?;
        if !self.wants_cursor || self.writes {
            return Ok(None);
        }
        // All up to the head is committed, and will be seen by a statement that begins later.
        match api.live.live().head() {
            Some(head) => Ok(Some(head)),
            None => {
                let state = state(api, database, Cursor::after(0, 0), deadline).await?;
                Ok(Some(state.head))
            }
        }
    }

    /// What the answer says of a write that may still be carried out.
    pub fn unknown(self) -> AnswerCursor {
        if self.wants_cursor {
            AnswerCursor::Unknown
        } else {
            AnswerCursor::None
        }
    }

    /// What the answer says. To be awaited when all has been written.
    pub async fn after(
        self,
        api: &Api,
        database: &LocalDatabase,
        read: Option<Cursor>,
        deadline: Instant,
    ) -> AnswerCursor {
        if !self.wants_cursor {
            return AnswerCursor::None;
        }
        let cursor = match read {
            Some(cursor) => Ok(cursor),
            None => stamp(api, database, deadline).await,
        };
        match cursor {
            Ok(cursor) => AnswerCursor::At(api.engine.cursors.seal(cursor)),
            // It is done: that must be answered all the same.
            Err(error) => {
                tracing::warn!(
                    cause = error.message,
                    "the position of a write is not known"
                );
                AnswerCursor::Unknown
            }
        }
    }
}

/// To ignore a cursor would be to promise what it stands for.
pub(super) fn without_cursor() -> ApiError {
    let message = "Only subscriptions go on after a cursor: queries, live ones too, and mutations take none. A query that must \
                   not read an earlier state has it as extensions.after";
    ApiError::new(ErrorKind::BadUserInput, message)
}

/// Waits until what is read includes a position.
async fn reach(
    api: &Api,
    database: &LocalDatabase,
    after: Cursor,
    deadline: Instant,
) -> Result<(), ApiError> {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let state = state(api, database, after, deadline).await?;
        if state.has_stamp && after.may_be_of(state.head.epoch) {
            return Ok(());
        }
        if state.head.position >= after.position || !after.may_be_of(state.head.epoch) {
            let message = "extensions.after: this database does not have the state of the cursor, or cannot tell any more: read without it";
            return Err(ApiError::new(ErrorKind::ResyncRequired, message));
        }
        let pause = backoff.next_delay();
        if Instant::now() + pause >= deadline {
            let message = "extensions.after: the state of the cursor has not been reached before the deadline. Try again.";
            return Err(ApiError::new(ErrorKind::Unavailable, message));
        }
        sleep(pause).await;
    }
}

/// Where the change log of the database stands.
struct LogState {
    head: Cursor,
    /// Whether it has the stamp that was asked for.
    has_stamp: bool,
}

async fn state(
    api: &Api,
    database: &LocalDatabase,
    of: Cursor,
    deadline: Instant,
) -> Result<LogState, ApiError> {
    if let Some(error) = not_deployed(api) {
        return Err(error);
    }
    let stamp = [of.position, of.nonce].map(|number| Param::Text(number.cast_signed().to_string()));
    let statement = Statement {
        sql: STATE.to_owned(),
        params: stamp.into(),
    };
    let read = database.read(statement, deadline).await;
    let read = read.map_err(|error| api_error(&api.engine.planner, error))?;
    log_state(read.as_ref().map(|text| text.as_str()))
}

/// Gives positions to all that is committed; the last of them.
async fn stamp(api: &Api, database: &LocalDatabase, deadline: Instant) -> Result<Cursor, ApiError> {
    let stamp = Step::Run {
        statement: Statement {
            sql: STAMP.to_owned(),
            params: Vec::new(),
        },
        fills: vec![ANSWER],
        expect: Expect::Anything,
    };
    let program = Program {
        steps: vec![stamp],
        registers: 1,
    };
    let stamped = database.transact(program, deadline).await;
    let stamped = stamped.map_err(|error| api_error(&api.engine.planner, error))?;
    Ok(log_state(stamped.as_ref().map(|text| text.as_str()))?.head)
}

fn log_state(state: Option<&str>) -> Result<LogState, ApiError> {
    let state = state.and_then(|state| serde_json::from_str::<(u64, u64, i64, bool)>(state).ok());
    let (epoch, position, nonce, has_stamp) = state
        .ok_or_else(|| ApiError::new(ErrorKind::Internal, "the change log has no position"))?;
    let head = Cursor {
        nonce: nonce.cast_unsigned(),
        ..Cursor::after(epoch, position)
    };
    Ok(LogState { head, has_stamp })
}
