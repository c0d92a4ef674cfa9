//! From pieces of the log to the events of groups: which changes may concern whom, by the index; then one statement
//! for each group decides and reads.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use gom_engine::datamodel::ModelId;
use gom_engine::events::{ChangeKind, Cursor, EventMessage, NodeChange, Path, Subscription};
use gom_engine::plan::{Planner, Statement};
use tokio::time::Instant;
use tokio_postgres::Row;

use super::budget::{Budgets, Meter};
use super::columns::{ordinal, text, unasked, unexpected};
use super::groups::{GroupId, Groups, Interest};
use super::log::{Log, LogPiece, Place};
use super::{Delivered, Encode, LiveError};
use crate::database::{StatementError, ThreadWork};
use gom_runtime::crash::crash_point;
use gom_runtime::owner::Owner;

/// Statements that are on their way at once.
const PIPELINED: usize = 64;
/// Changes after which others of the thread have their turn.
const YIELD_EVERY: usize = 200;
/// Who has less time left than this has none.
const LEAST: Duration = Duration::from_millis(1);
/// Changes that one statement decides: more would take it longer than one may.
pub(super) const TOGETHER: usize = 200;

/// What events are made with.
pub(super) struct Decider {
    /// For reading the log and for the index, as long as it takes.
    pub log: Log,
    /// For statements of groups, with a bound on each: others wait for it.
    pub groups: Log,
    /// The same for the groups of the service, which have longer. Connected once there is such a group.
    pub trusted: Log,
    pub planner: Planner,
    pub encode: Arc<Encode>,
    /// Of the thread, on which others decide as well.
    pub thread: ThreadWork,
}

/// A transaction's changes, or a part of very many.
pub(super) struct Piece {
    pub position: u64,
    pub nonce: u64,
    pub changes: Vec<NodeChange>,
}

/// How many changes of a transaction that comes in pieces were counted: its position, and they.
pub(super) type Counted = (u64, u32);

/// A change: which piece, and which of its changes.
pub(super) type At = (usize, usize);

/// A group that changes may concern.
pub(super) struct Wanted {
    pub id: GroupId,
    pub interest: Interest,
    pub owner: Owner,
    pub ats: Vec<At>,
    /// Of one that reads the log by itself: what it has had.
    pub after: Option<Cursor>,
}

/// Changes of some pieces, for a subscriber that has had what is up to a cursor.
#[derive(Clone, Copy)]
pub(super) struct Changes<'a> {
    pub pieces: &'a [Piece],
    pub ats: &'a [At],
    pub epoch: u64,
    pub after: Option<Cursor>,
}

/// What a group gets of some changes.
pub(super) enum Decided {
    Events(Vec<Delivered>),
    /// It takes longer than its owner's budget: the slow lane decides it, until then at least.
    Costly(Instant),
    Failed(LiveError),
}

impl Decider {
    /// Interprets pieces that follow each other.
    pub fn interpret(&self, pieces: &[LogPiece], counted: &mut Counted) -> Vec<Piece> {
        let began = Instant::now();
        let mut interpreted = Vec::with_capacity(pieces.len());
        for LogPiece {
            position,
            nonce,
            rows,
        } in pieces
        {
            if counted.0 != *position {
                *counted = (*position, 0);
            }
            let changes = self.planner.changes(rows, *position, counted.1);
            counted.1 += u32::try_from(changes.len()).unwrap_or(u32::MAX);
            interpreted.push(Piece {
                position: *position,
                nonce: *nonce,
                changes,
            });
        }
        self.thread.add(began.elapsed());
        interpreted
    }

    /// The changes that may concern each group.
    pub async fn candidates(
        &self,
        groups: &RefCell<Groups>,
        pieces: &[Piece],
    ) -> Result<Vec<(GroupId, Vec<At>)>, StatementError> {
        let mut of_model: BTreeMap<ModelId, Vec<At>> = BTreeMap::new();
        for (i, piece) in pieces.iter().enumerate() {
            for (j, change) in piece.changes.iter().enumerate() {
                if groups.borrow().concerns(change.model) {
                    of_model.entry(change.model).or_default().push((i, j));
                }
            }
        }
        let mut found: BTreeMap<GroupId, BTreeSet<At>> = BTreeMap::new();
        let mut updated: Vec<GroupId> = Vec::new();
        for (place, (i, j)) in of_model.values().flatten().enumerate() {
            updated.extend(groups.borrow().of_update(&pieces[*i].changes[*j]));
            // Several fields lead to one group.
            updated.sort_unstable();
            updated.dedup();
            for id in updated.drain(..) {
                found.entry(id).or_default().insert((*i, *j));
            }
            if place % YIELD_EVERY == YIELD_EVERY - 1 {
                tokio::task::yield_now().await;
            }
        }
        for (model, ats) in of_model {
            let paths = groups.borrow().paths(model);
            for id in groups.borrow().of_all(model) {
                found.entry(*id).or_default().extend(ats.iter().copied());
            }
            if paths.is_empty() {
                continue;
            }
            // What was before is read from the log since the change, and only where it is needed: a live query shows what is now,
            // so that a row which has stayed where it was leads to it by what is now, or by its next change.
            let each_decides = groups.borrow().reports_leaves(model);
            let (now, was): (Vec<Path>, Vec<Path>) =
                paths.iter().copied().partition(|path| !path.is_before());
            let (moved, unmoved): (Vec<At>, Vec<At>) = ats.iter().copied().partition(|(i, j)| {
                let change = &pieces[*i].changes[*j];
                change.kind == ChangeKind::Updated
                    && (each_decides
                        || was
                            .iter()
                            .any(|path| change.updated.contains(&path.first())))
            });
            let all = [now.as_slice(), &was].concat();
            for (paths, ats) in [(&now, &unmoved), (&all, &moved)] {
                if paths.is_empty() || ats.is_empty() {
                    continue;
                }
                let values = match self.values(model, paths, pieces, ats).await {
                    Ok(values) => values,
                    Err(error) => {
                        // Without the index every group is asked, so that only those suffer whose fault it is.
                        own_fault(error)?;
                        for id in groups.borrow().of_model(model) {
                            found.entry(id).or_default().extend(ats.iter().copied());
                        }
                        continue;
                    }
                };
                for (at, path, value) in values {
                    let Some(path) = paths.get(path) else {
                        return Err(unexpected("a path that was not asked for"));
                    };
                    for id in groups.borrow().of_value(model, *path, &value) {
                        found.entry(*id).or_default().insert(at);
                    }
                }
            }
        }
        Ok(found
            .into_iter()
            .map(|(id, ats)| (id, ats.into_iter().collect()))
            .collect())
    }

    /// The values on each path of each change.
    async fn values(
        &self,
        model: ModelId,
        paths: &[Path],
        pieces: &[Piece],
        ats: &[At],
    ) -> Result<Vec<(At, usize, String)>, StatementError> {
        let runs = runs(ats);
        let rows = runs.iter().map(|run| async {
            let statement = self.planner.probe(model, paths, &changes(pieces, run));
            let rows = self.log.rows(&statement).await?;
            rows.iter()
                .map(|row| Ok((*at(run, row)?, ordinal(row, 1)?, text(row, 2)?)))
                .collect()
        });
        let found: Vec<Vec<_>> = stream::iter(rows).buffered(PIPELINED).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Those of the changes that the interest's own conditions admit without a look at the database, after a cursor.
    pub fn admitted(
        interest: &Interest,
        pieces: &[Piece],
        ats: &[At],
        epoch: u64,
        after: Option<Cursor>,
    ) -> Vec<At> {
        let Interest::Events(subscription) = interest else {
            return ats.to_vec();
        };
        let admitted = |at: &&At| {
            let change = &pieces[at.0].changes[at.1];
            subscription.concerns(change)
                && after.is_none_or(|after| cursor(pieces, **at, epoch) > after)
        };
        ats.iter().filter(admitted).copied().collect()
    }

    /// What a group gets of changes that were admitted. [`StatementError::Slow`] as soon as it has taken more than the meter allows.
    pub async fn events(
        &self,
        interest: &Interest,
        pieces: &[Piece],
        ats: &[At],
        (epoch, after): (u64, Option<Cursor>),
        meter: &Meter,
    ) -> Result<Vec<Delivered>, StatementError> {
        let subscription = match interest {
            Interest::Events(subscription) if subscription.reports_leaves() => {
                let changes = Changes {
                    pieces,
                    ats,
                    epoch,
                    after,
                };
                return self.events_with_leaves(subscription, changes, meter).await;
            }
            Interest::Events(subscription) => subscription,
            Interest::Touch(_) => {
                let touch = |at: &At| Delivered {
                    payload: Bytes::new(),
                    cursor: cursor(pieces, *at, epoch),
                };
                return Ok(ats.last().map(touch).into_iter().collect());
            }
        };
        let mut found = Vec::with_capacity(ats.len());
        for run in runs(ats) {
            if meter.is_over() {
                return Err(meter.exceeded());
            }
            let changes = changes(pieces, &run);
            for (place, payload) in self.payloads(subscription, &changes, meter).await? {
                let at = run.get(place).ok_or_else(unasked)?;
                let (cursor, message) = (cursor(pieces, *at, epoch), payload.into());
                found.push(self.encoded(subscription, &message, cursor, meter));
            }
        }
        found.sort_by_key(|event| event.cursor);
        Ok(found)
    }

    pub(super) fn encoded(
        &self,
        subscription: &Subscription,
        message: &EventMessage,
        cursor: Cursor,
        meter: &Meter,
    ) -> Delivered {
        crash_point("event-encode");
        let began = Instant::now();
        let payload = (self.encode)(subscription, message, cursor);
        self.took_here(meter, began.elapsed());
        Delivered { payload, cursor }
    }

    /// The payloads of changes, by their place.
    pub(super) async fn payloads(
        &self,
        subscription: &Subscription,
        changes: &[&NodeChange],
        meter: &Meter,
    ) -> Result<Vec<(usize, String)>, StatementError> {
        let began = Instant::now();
        let statement = self.planner.payloads(subscription, changes);
        self.took_here(meter, began.elapsed());
        let statement = statement.map_err(|error| StatementError::Rejected(error.to_string()))?;
        let rows = self.rows_of_group(&statement, meter).await?;
        rows.iter()
            .map(|row| Ok((ordinal(row, 0)?, text(row, 1)?)))
            .collect()
    }

    pub(super) async fn rows_of_group(
        &self,
        statement: &Statement,
        meter: &Meter,
    ) -> Result<Vec<Row>, StatementError> {
        let log = if meter.of_service {
            &self.trusted
        } else {
            &self.groups
        };
        let (rows, took) = log.timed_rows(statement).await;
        meter.add(took);
        rows
    }

    /// Something was done on this thread for one group, while the statements of others may have been answered: those of
    /// the hub, of the slow lane and of those who catch up.
    pub(super) fn took_here(&self, meter: &Meter, took: Duration) {
        meter.add(took);
        self.thread.add(took);
    }

    /// Every change of the pieces, for whom no index is asked.
    pub fn all(pieces: &[Piece]) -> Vec<At> {
        let of_piece = |(i, piece): (usize, &Piece)| (0..piece.changes.len()).map(move |j| (i, j));
        pieces.iter().enumerate().flat_map(of_piece).collect()
    }

    /// The events of several groups, each in order. Owners are decided side by side and take turns on the connection: the
    /// groups of one user follow each other, so that what one of them takes is known before the next. Groups that nobody
    /// wants any more when it is their turn are left out.
    pub async fn of_groups(
        &self,
        wanted: Vec<Wanted>,
        pieces: &[Piece],
        epoch: u64,
        budgets: &Budgets,
        groups: &RefCell<Groups>,
    ) -> Result<Vec<(GroupId, Decided)>, StatementError> {
        let mut of_users: HashMap<Owner, Vec<Wanted>> = HashMap::new();
        let mut queues = Vec::new();
        for one in wanted {
            match one.owner {
                Owner::Service => queues.push(vec![one]),
                Owner::User(_) => of_users.entry(one.owner.clone()).or_default().push(one),
            }
        }
        queues.extend(of_users.into_values());
        let decided = queues.iter().map(|queue| async move {
            let mut decided = Vec::with_capacity(queue.len());
            for one in queue {
                if groups.borrow().is_wanted(one.id) {
                    decided.push((one.id, self.decide(one, pieces, epoch, budgets).await?));
                }
            }
            Ok(decided)
        });
        let decided: Vec<Vec<_>> = stream::iter(decided)
            .buffer_unordered(PIPELINED)
            .try_collect()
            .await?;
        Ok(decided.into_iter().flatten().collect())
    }

    /// To be called between deciding events and delivering them: statements show rows as of their change by later rows of the
    /// log, which may have been trimmed after the pieces were read.
    ///
    /// # Errors
    /// [`StatementError::Unavailable`], if the log does not keep all of it any more, or is another one: the next read finds that out.
    pub async fn still_logged(&self, pieces: &[Piece], epoch: u64) -> Result<(), StatementError> {
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return Ok(());
        };
        let last = Place::after(last.position).with(last.nonce);
        let (state, proof) = self.log.state(last).await?;
        if state.epoch == epoch && state.oldest < first.position && proof.is_some() {
            return Ok(());
        }
        Err(trimmed())
    }

    /// What a group gets, within what its owner may take.
    pub async fn decide(
        &self,
        Wanted {
            interest,
            owner,
            ats,
            after,
            ..
        }: &Wanted,
        pieces: &[Piece],
        epoch: u64,
        budgets: &Budgets,
    ) -> Result<Decided, StatementError> {
        let ats = Self::admitted(interest, pieces, ats, epoch, *after);
        if ats.is_empty() {
            return Ok(Decided::Events(Vec::new()));
        }
        let allowance = match interest {
            Interest::Events(_) => budgets.left(owner, Instant::now()),
            Interest::Touch(_) => Duration::MAX,
        };
        if allowance < LEAST {
            return Ok(Decided::Costly(budgets.penalize(owner, Instant::now())));
        }
        let meter = Meter::new(allowance, owner);
        let events = self.events(interest, pieces, &ats, (epoch, *after), &meter);
        let events = events.await;
        budgets.charge(owner, meter.spent(), Instant::now());
        match events {
            Ok(events) => Ok(Decided::Events(events)),
            // At once: the next of its groups must not try.
            Err(StatementError::Slow(_)) => {
                Ok(Decided::Costly(budgets.penalize(owner, Instant::now())))
            }
            Err(error) => own_fault(error).map(Decided::Failed),
        }
    }
}

/// What is to be delivered was decided by what the log does not keep any more.
pub(super) fn trimmed() -> StatementError {
    StatementError::Unavailable("the change log was trimmed while events were read".to_owned())
}

pub(super) fn cursor(pieces: &[Piece], at: At, epoch: u64) -> Cursor {
    let piece = &pieces[at.0];
    let part = piece.changes[at.1].part;
    Cursor {
        nonce: piece.nonce,
        ..Cursor::after_change(epoch, piece.position, part)
    }
}

/// The cursor of the last of some changes.
pub(super) fn last_cursor(pieces: &[Piece], ats: &[At], epoch: u64) -> Option<Cursor> {
    ats.last().map(|at| cursor(pieces, *at, epoch))
}

/// Why one group cannot be served; others need not suffer for it.
///
/// # Errors
/// What is not the group's fault.
pub(super) fn own_fault(error: StatementError) -> Result<LiveError, StatementError> {
    match error {
        StatementError::Rejected(cause) => {
            tracing::error!(cause, "a subscription cannot be decided");
            Ok(LiveError::Failed(
                "the subscription cannot be decided".to_owned(),
            ))
        }
        // It may be the machine's fault: a client that reconnects with its cursor misses nothing.
        StatementError::Slow(_) => Ok(LiveError::Unavailable(
            "reading an event took too long".to_owned(),
        )),
        StatementError::Excessive(_) => Ok(LiveError::TooManyMoved),
        StatementError::Unavailable(_) => Err(error),
    }
}

/// Changes that are asked for together, in order.
pub(super) fn runs(ats: &[At]) -> Vec<Vec<At>> {
    ats.chunks(TOGETHER).map(<[At]>::to_vec).collect()
}

pub(super) fn changes<'a>(pieces: &'a [Piece], run: &[At]) -> Vec<&'a NodeChange> {
    run.iter().map(|at| &pieces[at.0].changes[at.1]).collect()
}

fn at<'a>(run: &'a [At], row: &Row) -> Result<&'a At, StatementError> {
    run.get(ordinal(row, 0)?).ok_or_else(unasked)
}
