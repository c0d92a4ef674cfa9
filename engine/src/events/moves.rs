//! Rows that join or leave the set of a subscription that reports leaves: which changes are asked,
//! which of them each row is reported with, and the messages that come of it.
//!
//! A row is moved by a transaction, and reported with one change of it: its own, if it has one,
//! else the first of those that it depends on.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde_json::{Value as Json, json};

use super::{ChangeKind, Cursor, NodeChange, Subscription, UpdateCause};
use crate::datamodel::{FieldKind, ModelId, ScalarType};
use crate::plan::{Planner, Statement};
use crate::sql::{self, MovingChanges};

/// Rows that one change may move. Who shows more of them has to read them again.
pub const MAX_MOVED: usize = 1_000;

/// One change moves more rows than [`MAX_MOVED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one change moves more than {MAX_MOVED} rows into or out of a subscription")]
pub struct TooManyMoved;

/// What a subscriber receives of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventMessage {
    /// As the statement of [`Planner::payloads`] gives it.
    pub payload: Option<String>,
    /// The ids of the rows that have left.
    pub left: Vec<String>,
}

impl From<String> for EventMessage {
    fn from(payload: String) -> Self {
        EventMessage {
            payload: Some(payload),
            left: Vec::new(),
        }
    }
}

/// A message, and which of the changes it is of.
#[derive(Debug, PartialEq, Eq)]
pub struct PlacedMessage {
    /// The place of the change.
    pub ordinal: usize,
    /// As in [`Cursor::step`].
    pub step: u16,
    /// What is sent.
    pub message: EventMessage,
}

/// Of some transactions, what has to be known to report each row once.
#[derive(Debug)]
pub struct MoveReader<'a> {
    subscription: &'a Subscription,
    /// The nodes of the subscription's model that have changes of their own, by position.
    own: HashSet<(u64, &'a str)>,
    /// Positions at which other rows may move some.
    moving: HashSet<u64>,
    /// Rows that were reported with a change of another row.
    settled: HashSet<(u64, String)>,
}

/// What some changes did to the set, by their place among these.
#[derive(Debug, Default)]
pub struct Moves {
    own: BTreeMap<usize, bool>,
    left: BTreeMap<usize, Vec<String>>,
    came: BTreeMap<usize, Vec<String>>,
}

/// The changes of which payloads are to be read.
#[derive(Debug)]
pub struct EventRun<'a> {
    changes: Vec<Cow<'a, NodeChange>>,
    /// Of each: its place among the changes, and its step if it is another row's.
    places: Vec<(usize, Option<u16>)>,
    left: BTreeMap<usize, Vec<String>>,
    /// Of deleted rows that leave, unless their deletion is an event.
    deleted: BTreeMap<usize, String>,
}

impl<'a> MoveReader<'a> {
    /// `all`: every change of the transactions of which some are asked, as far as they were read.
    pub fn new(
        subscription: &'a Subscription,
        all: impl IntoIterator<Item = &'a NodeChange>,
    ) -> Self {
        let (mut own, mut moving) = (HashSet::new(), HashSet::new());
        for change in all {
            if change.model == subscription.model() {
                own.insert((change.position, change.id.as_str()));
            }
            if subscription.moves_others(change) {
                moving.insert(change.position);
            }
        }
        MoveReader {
            subscription,
            own,
            moving,
            settled: HashSet::new(),
        }
    }

    /// The statement that finds the rows that the changes moved, as rows `(ordinal, id, came)`, an
    /// int, a text and a boolean. `None`: they cannot have moved any.
    pub fn statement(&self, planner: &Planner, changes: &[&NodeChange]) -> Option<Statement> {
        let membership = self.subscription.membership()?;
        let model = self.subscription.model();
        let mut own = Rows::default();
        let mut others: Vec<(ModelId, Rows)> = Vec::new();
        let (mut since, mut ids) = (u64::MAX, Vec::new());
        for (ordinal, change) in changes.iter().enumerate() {
            if change.model == model
                && (membership.is_decided_by_own(change) || self.moving.contains(&change.position))
            {
                own.push(ordinal, change);
                ids.push(change.id.as_str());
                since = since.min(change.position);
            }
            if let Some(dependency) = membership.paths_to(change) {
                let known = others.iter().position(|(of, _)| *of == dependency.model);
                let known = known.unwrap_or_else(|| {
                    others.push((dependency.model, Rows::default()));
                    others.len() - 1
                });
                others[known].1.push(ordinal, change);
                since = since.min(change.position);
            }
        }
        if own.0.is_empty() && others.is_empty() {
            return None;
        }
        // The same statement, whatever changed first.
        others.sort_by_key(|(of, _)| of.0);
        let others = others.into_iter().filter_map(|(of, rows)| {
            let dependency = membership.others.iter().find(|other| other.model == of)?;
            Some((of, dependency.paths.as_slice(), rows.closed()))
        });
        let changes = MovingChanges {
            own: (!own.0.is_empty()).then(|| own.closed()),
            others: others.collect(),
            since,
            ids,
        };
        let physical = planner.physical();
        Some(sql::moves(
            physical,
            model,
            &membership.filter,
            &changes,
            MAX_MOVED + 1,
        ))
    }

    /// Assigns each moved row to one change, given the rows of the statement. Changes have to come
    /// in their order.
    ///
    /// # Errors
    /// If one change moved too many.
    pub fn assign(
        &mut self,
        changes: &[&NodeChange],
        mut rows: Vec<(usize, String, bool)>,
    ) -> Result<Moves, TooManyMoved> {
        rows.sort();
        let mut moves = Moves::default();
        let (mut last, mut count) = (None, 0);
        for (ordinal, id, came) in rows {
            count = if last == Some(ordinal) { count + 1 } else { 1 };
            last = Some(ordinal);
            if count > MAX_MOVED {
                return Err(TooManyMoved);
            }
            let Some(change) = changes.get(ordinal) else {
                continue;
            };
            if change.model == self.subscription.model() && change.id == id {
                moves.own.insert(ordinal, came);
                continue;
            }
            if self.own.contains(&(change.position, id.as_str()))
                || !self.settled.insert((change.position, id.clone()))
            {
                continue;
            }
            let of = if came {
                &mut moves.came
            } else {
                &mut moves.left
            };
            of.entry(ordinal).or_default().push(id);
        }
        Ok(moves)
    }
}

/// A JSON array of changes.
#[derive(Default)]
struct Rows(String);

impl Rows {
    fn push(&mut self, ordinal: usize, change: &NodeChange) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        let one = json!({ "o": ordinal, "a": change.position, "i": change.id });
        self.0.push_str(&one.to_string());
    }

    fn closed(self) -> String {
        self.0 + "]"
    }
}

impl Moves {
    /// The changes of which payloads are to be read: those that the subscription admits, without
    /// those by which their rows left; and for each row that another one's change let in, an update
    /// of all its fields.
    pub fn run<'a>(
        self,
        planner: &Planner,
        subscription: &Subscription,
        changes: &[&'a NodeChange],
    ) -> EventRun<'a> {
        let Moves {
            own,
            mut left,
            came,
        } = self;
        let mut run = EventRun {
            changes: Vec::with_capacity(changes.len()),
            places: Vec::with_capacity(changes.len()),
            left: BTreeMap::new(),
            deleted: BTreeMap::new(),
        };
        for (ordinal, change) in changes.iter().enumerate() {
            for (step, id) in (0..).zip(came.get(&ordinal).into_iter().flatten()) {
                let update = moved_in(planner, subscription.model(), id, change);
                if subscription.admits(&update) {
                    run.changes.push(Cow::Owned(update));
                    run.places.push((ordinal, Some(step)));
                }
            }
            let moved = own.get(&ordinal);
            match (moved, change.kind) {
                (Some(false), ChangeKind::Deleted) => {
                    run.deleted.insert(ordinal, change.id.clone());
                }
                (Some(false), _) => {
                    left.entry(ordinal).or_default().push(change.id.clone());
                    continue;
                }
                _ => {}
            }
            if !subscription.admits(change) {
                continue;
            }
            let mut change = Cow::Borrowed(*change);
            // It is due even if the viewer may not know what of it has changed.
            if moved == Some(&true)
                && matches!(change.cause, UpdateCause::Parts | UpdateCause::Written)
                && change.kind == ChangeKind::Updated
            {
                change.to_mut().cause = UpdateCause::Asked;
            }
            run.changes.push(change);
            run.places.push((ordinal, None));
        }
        run.left = left;
        run
    }
}

/// The update by which a row joins the set because another one has changed.
fn moved_in(planner: &Planner, model: ModelId, id: &str, by: &NodeChange) -> NodeChange {
    NodeChange {
        model,
        id: id.to_owned(),
        kind: ChangeKind::Updated,
        position: by.position,
        updated: planner.model().model(model).field_ids().collect(),
        links: Vec::new(),
        cause: UpdateCause::Replaced,
        old: None,
        lists: Vec::new(),
        part: by.part,
    }
}

impl EventRun<'_> {
    /// In the order in which the statement of [`Planner::payloads`] numbers them.
    pub fn changes(&self) -> Vec<&NodeChange> {
        self.changes.iter().map(AsRef::as_ref).collect()
    }

    /// The messages of the changes, in order, given the payloads of [`EventRun::changes`]. Of one
    /// change: rows that came, what happened to its own row, and with that or alone what left.
    pub fn messages(
        mut self,
        payloads: impl IntoIterator<Item = (usize, String)>,
    ) -> Vec<PlacedMessage> {
        let mut found: BTreeMap<usize, BTreeMap<u16, EventMessage>> = BTreeMap::new();
        for (place, payload) in payloads {
            let Some((ordinal, step)) = self.places.get(place) else {
                continue;
            };
            if step.is_none() {
                self.deleted.remove(ordinal);
            }
            let of_change = found.entry(*ordinal).or_default();
            of_change.insert(step.unwrap_or(Cursor::ALL), payload.into());
        }
        for (ordinal, id) in self.deleted {
            self.left.entry(ordinal).or_default().push(id);
        }
        for (ordinal, mut left) in self.left {
            left.sort_unstable();
            let of_change = found.entry(ordinal).or_default();
            of_change.entry(Cursor::ALL).or_default().left = left;
        }
        let mut messages = Vec::new();
        for (ordinal, of_change) in found {
            let of_change = of_change.into_iter();
            messages.extend(of_change.map(|(step, message)| PlacedMessage {
                ordinal,
                step,
                message,
            }));
        }
        messages
    }
}

impl Planner {
    /// `[{"type": …, "id": …}]`: rows that left, as a subscriber receives them.
    pub fn left(&self, subscription: &Subscription, ids: &[String]) -> String {
        let model = self.model().model(subscription.model());
        let is_number = matches!(
            model.field(model.id).kind,
            FieldKind::Scalar(ScalarType::Int)
        );
        let left = ids.iter().map(|id| {
            let number = id.parse::<i64>().ok().filter(|_| is_number);
            let id = number.map_or_else(|| Json::from(id.as_str()), Json::from);
            json!({ "type": model.name, "id": id })
        });
        Json::from_iter(left).to_string()
    }
}
