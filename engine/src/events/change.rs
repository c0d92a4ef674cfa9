//! Rows of the change log, as the triggers write them, and the changes of nodes that they amount
//! to.

use std::sync::Arc;

use crate::datamodel::{FieldId, ModelId};

/// One row of `gom.change`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// The changed table, without its schema.
    pub table: String,
    /// What was done to the row.
    pub kind: LogKind,
    /// The node's id; in a relation table the id at end A; in a list's table the node's.
    pub node: String,
    /// In a relation table the id at end B.
    pub partner: Option<String>,
    /// `Updated`: the columns whose values differ.
    pub columns: Vec<String>,
    /// `Updated`, `Deleted`: the row as it was, as PostgreSQL's JSON object by column
    /// (`to_jsonb(old)`). `Unlisted`: `{"position": …, "value": …}`.
    pub old: Option<String>,
    /// `Created`, `Updated` of tables with links in their own columns: those columns' new values,
    /// as a JSON object by column. `Listed`: `{"position": …}`.
    pub links: Option<String>,
}

/// What was done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogKind {
    /// `C`: a node's row was created.
    Created,
    /// `U`: it was updated, whether or not a value differs.
    Updated,
    /// `D`
    Deleted,
    /// `T`: the API updated a node of which no column was written.
    Touched,
    /// `L`: a row of a relation table was created.
    Linked,
    /// `R`: a row of a relation table was deleted.
    Unlinked,
    /// `A`: a value of a scalar list was added.
    Listed,
    /// `V`: a value of a scalar list was removed.
    Unlisted,
}

impl LogKind {
    /// As the log holds it.
    pub fn of(letter: char) -> Option<Self> {
        Some(match letter {
            'C' => LogKind::Created,
            'U' => LogKind::Updated,
            'D' => LogKind::Deleted,
            'T' => LogKind::Touched,
            'L' => LogKind::Linked,
            'R' => LogKind::Unlinked,
            'A' => LogKind::Listed,
            'V' => LogKind::Unlisted,
            _ => return None,
        })
    }
}

/// The kind of an event: the API's `MutationType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// The node exists since this transaction.
    Created,
    /// The node, its lists or its links were written.
    Updated,
    /// The node does not exist any more.
    Deleted,
}

impl ChangeKind {
    /// As the API names it.
    pub fn name(self) -> &'static str {
        match self {
            ChangeKind::Created => "CREATED",
            ChangeKind::Updated => "UPDATED",
            ChangeKind::Deleted => "DELETED",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [
            ChangeKind::Created,
            ChangeKind::Updated,
            ChangeKind::Deleted,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// What a transaction did to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeChange {
    /// The node's model.
    pub model: ModelId,
    /// The node's id, as text.
    pub id: String,
    /// What was done to the node, all in all.
    pub kind: ChangeKind,
    /// Of the transaction, in the log.
    pub position: u64,
    /// `Updated`: in the datamodel's order.
    pub updated: Vec<FieldId>,
    /// `Updated`: the links that changed, in the order of their fields and partners.
    pub links: Vec<LinkChange>,
    /// `Updated`: why there is an event, whether or not it names a field.
    pub cause: UpdateCause,
    /// The row as it was before the transaction, as JSON by column. Of an update `None`, if nothing
    /// of the row itself was written.
    pub old: Option<Arc<str>>,
    /// The scalar lists that changed: the rows `{"position": …, "value": …}` that were removed, as
    /// a JSON array.
    pub lists: Vec<(FieldId, String)>,
    /// Its place among the changes of its transaction.
    pub part: u32,
}

/// What was done to a node that was there before and is there after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpdateCause {
    /// Only links or lists changed.
    Parts,
    /// Its row was updated, whether or not a value differs.
    Written,
    /// The API updated it, and wrote no column.
    Asked,
    /// It was deleted and created again: which values differ is not in the log.
    Replaced,
}

/// A link that came or went, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkChange {
    /// The node's relation field.
    pub field: FieldId,
    /// The partner's id, as text.
    pub partner: String,
    /// Whether the transaction made the link.
    pub came: bool,
    /// Whether the transaction removed the link.
    pub went: bool,
}
