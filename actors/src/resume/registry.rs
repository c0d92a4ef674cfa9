//! What one server holds of the subscriptions whose positions it keeps: up to where each was received, and what of that the
//! database does not have yet. Pure.

use std::collections::HashMap;

use gom_engine::events::Cursor;
use serde_json::{Value, json};

use super::{Digest, RowId};

/// Strays that are kept until they are written; others are forgotten when their server is.
const MAX_STRAYS: usize = 256;

/// How a subscription has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its connection was lost, or the server has closed it: its client may come back.
    Lost,
    /// Its client wants it no more.
    Ended,
}

struct Row {
    key: Digest,
    session: Digest,
    /// All up to it has been received; nothing until the database has a row.
    received: Option<Cursor>,
    /// As the database has it.
    stored: Option<Cursor>,
    /// Another connection has changed its row.
    disturbed: bool,
    /// Since it was found so, its client has answered.
    back: bool,
    end: Option<End>,
}

impl Row {
    fn is_changed(&self) -> bool {
        self.received.is_some() && (self.received != self.stored || self.back || self.end.is_some())
    }
}

#[derive(Default)]
pub(super) struct Registry {
    rows: HashMap<RowId, Row>,
    /// Rows that the database may have, of beginnings whose answer was lost.
    strays: Vec<RowId>,
}

/// What is written at once.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    keep: Vec<(RowId, Digest, Digest, Cursor)>,
    back: Vec<RowId>,
    lost: Vec<RowId>,
    ended: Vec<RowId>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of rows that it is about; those that are lost may count twice.
    pub fn len(&self) -> usize {
        self.keep.len() + self.lost.len() + self.ended.len()
    }

    /// As `gom.keep_resume_positions` takes it.
    pub fn to_json(&self) -> Value {
        let keep = self.keep.iter().map(|(id, key, session, cursor)| {
            // The table has no steps: of a change that was received in part, all is sent again. If that is the first of its
            // transaction, the log says what the nonce of the one before is, if it has this one's.
            let whole = cursor.whole_change();
            let next = (whole.position != cursor.position).then(|| cursor.nonce.cast_signed());
            json!({
                "id": id, "key": key.hex(), "session": session.hex(), "epoch": whole.epoch.cast_signed(),
                "position": whole.position.cast_signed(), "part": whole.part, "nonce": whole.nonce.cast_signed(),
                "next": next,
            })
        });
        let keep: Vec<Value> = keep.collect();
        json!({ "keep": keep, "back": self.back, "lost": self.lost, "ended": self.ended })
    }
}

impl Registry {
    /// A subscription is about to begin. Its row is written by the statement that reads where it goes on.
    pub fn enter(&mut self, id: RowId, key: Digest, session: Digest) {
        let row = Row {
            key,
            session,
            received: None,
            stored: None,
            disturbed: false,
            back: false,
            end: None,
        };
        self.rows.insert(id, row);
    }

    /// The database has its row.
    pub fn begun(&mut self, id: RowId, at: Cursor) {
        if let Some(row) = self.rows.get_mut(&id) {
            (row.received, row.stored) = (Some(at), Some(at));
        }
    }

    /// There is no row of it.
    pub fn remove(&mut self, id: RowId) {
        self.rows.remove(&id);
    }

    /// There may be a row of it or not.
    pub fn remove_stray(&mut self, id: RowId) {
        self.rows.remove(&id);
        if self.strays.len() < MAX_STRAYS {
            self.strays.push(id);
        }
    }

    /// Others may have taken this server for dead meanwhile, and its rows' places: all are written once more.
    pub fn write_all(&mut self) {
        self.rows.values_mut().for_each(|row| row.stored = None);
    }

    /// Whether clients are to be pinged.
    pub fn has_disturbed(&self) -> bool {
        self.rows.values().any(|row| row.disturbed)
    }

    /// Its client has answered, after everything up to the cursor. `undisturbed`: it was asked after the row was found changed
    /// by another connection.
    pub fn received(&mut self, id: RowId, upto: Cursor, undisturbed: bool) {
        if let Some(row) = self.rows.get_mut(&id)
            && row.received.is_some()
        {
            // Of a cursor that was sealed meanwhile the epoch is not known: it is the one that the row has.
            let known = row.received.map_or(0, |at| at.epoch);
            row.received = Some(Cursor {
                epoch: if upto.epoch == 0 { known } else { upto.epoch },
                ..upto
            });
            row.back |= undisturbed && row.disturbed;
        }
    }

    pub fn end(&mut self, id: RowId, end: End) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.end = Some(end);
        }
    }

    pub fn is_disturbed(&self, id: RowId) -> bool {
        self.rows.get(&id).is_some_and(|row| row.disturbed)
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.strays.is_empty()
    }

    /// Whether something is over that the database still has.
    pub fn has_ended(&self) -> bool {
        self.rows
            .values()
            .any(|row| row.end.is_some() && row.received.is_some())
    }

    /// What the database does not have, of so many rows at most.
    pub fn batch(&self, most: usize) -> Batch {
        let mut batch = Batch {
            lost: self.strays.clone(),
            ..Batch::default()
        };
        let changed = |ended: bool| {
            self.rows
                .iter()
                .filter(move |(_, row)| row.is_changed() && row.end.is_some() == ended)
        };
        // What has ended first: beginnings wait for that.
        for (id, row) in changed(true).chain(changed(false)).take(most) {
            if row.end == Some(End::Ended) {
                batch.ended.push(*id);
                continue;
            }
            if let Some(received) = row
                .received
                .filter(|_| row.received != row.stored || row.back)
            {
                batch.keep.push((*id, row.key, row.session, received));
            }
            if row.back {
                batch.back.push(*id);
            }
            if row.end == Some(End::Lost) {
                batch.lost.push(*id);
            }
        }
        batch
    }

    /// It is written; these rows were changed by other connections.
    pub fn written(&mut self, batch: &Batch, disturbed: &[RowId]) {
        for id in batch.lost.iter().chain(&batch.ended) {
            self.rows.remove(id);
        }
        self.strays.retain(|id| !batch.lost.contains(id));
        for (id, _, _, cursor) in &batch.keep {
            if let Some(row) = self.rows.get_mut(id) {
                row.stored = Some(*cursor);
            }
        }
        for id in &batch.back {
            if let Some(row) = self.rows.get_mut(id) {
                (row.back, row.disturbed) = (false, false);
            }
        }
        for id in disturbed {
            match self.rows.get_mut(id) {
                Some(row) => row.disturbed = true,
                // Of a beginning that is not of this server.
                None if self.strays.len() < MAX_STRAYS => self.strays.push(*id),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RowId = 7;

    fn registry() -> Registry {
        let mut registry = Registry::default();
        registry.enter(ID, Digest::of([b"key"]), Digest::of([b"session"]));
        registry
    }

    fn kept(batch: &Batch) -> Vec<u64> {
        batch
            .keep
            .iter()
            .map(|(.., cursor)| cursor.position)
            .collect()
    }

    #[test]
    fn what_was_received_is_written_once_and_again_if_it_was_not_written() {
        let mut registry = registry();
        registry.begun(ID, Cursor::after(1, 4));
        assert_eq!(
            registry.batch(10),
            Batch::default(),
            "the row is there already"
        );
        registry.received(ID, Cursor::after(1, 5), false);
        let batch = registry.batch(10);
        assert_eq!(kept(&batch), [5]);
        assert_eq!(kept(&registry.batch(10)), [5], "it was not written");
        registry.received(ID, Cursor::after(1, 6), false);
        registry.written(&batch, &[]);
        let batch = registry.batch(10);
        assert_eq!(kept(&batch), [6], "received meanwhile");
        registry.written(&batch, &[]);
        assert_eq!(registry.batch(10), Batch::default());
    }

    #[test]
    fn one_that_ends_before_its_row_is_there_is_written_afterwards() {
        for (end, lost) in [(End::Lost, true), (End::Ended, false)] {
            let mut registry = registry();
            registry.end(ID, end);
            assert_eq!(registry.batch(10), Batch::default());
            assert!(!registry.has_ended());
            registry.begun(ID, Cursor::after(1, 4));
            assert!(registry.has_ended());
            let batch = registry.batch(10);
            let wanted: (&[RowId], &[RowId]) = if lost { (&[ID], &[]) } else { (&[], &[ID]) };
            assert_eq!((batch.lost.as_slice(), batch.ended.as_slice()), wanted);
            registry.written(&batch, &[]);
            assert!(registry.is_empty());
        }
        let mut registry = registry();
        registry.end(ID, End::Lost);
        registry.remove(ID);
        assert!(registry.is_empty(), "there was no row");
    }

    #[test]
    fn the_last_position_of_a_lost_one_is_written_with_its_end_and_that_of_an_ended_one_is_not() {
        for end in [End::Lost, End::Ended] {
            let mut registry = registry();
            registry.begun(ID, Cursor::after(1, 4));
            registry.received(ID, Cursor::after(1, 9), false);
            registry.end(ID, end);
            assert_eq!(
                kept(&registry.batch(10)),
                if end == End::Lost { vec![9] } else { vec![] }
            );
        }
    }

    #[test]
    fn a_row_that_another_connection_has_changed_is_written_again_only_when_its_client_has_answered_since()
     {
        let mut registry = registry();
        registry.begun(ID, Cursor::after(1, 4));
        registry.written(&Batch::default(), &[ID]);
        assert!(registry.is_disturbed(ID));
        registry.received(ID, Cursor::after(1, 5), false);
        let batch = registry.batch(10);
        assert_eq!(
            (kept(&batch), batch.back.len()),
            (vec![5], 0),
            "it was called before"
        );
        registry.written(&batch, &[ID]);
        registry.received(ID, Cursor::after(1, 5), true);
        let batch = registry.batch(10);
        assert_eq!((kept(&batch), batch.back.as_slice()), (vec![5], &[ID][..]));
        registry.written(&batch, &[]);
        assert!(!registry.is_disturbed(ID));
        assert_eq!(registry.batch(10), Batch::default());
    }

    #[test]
    fn a_batch_is_bounded_and_the_rest_follows() {
        let mut registry = Registry::default();
        for id in 0..25 {
            registry.enter(id, Digest::of([b"key"]), Digest::of([b"session"]));
            registry.begun(id, Cursor::after(1, 1));
            registry.received(id, Cursor::after(1, 2), false);
        }
        let mut counts = Vec::new();
        loop {
            let batch = registry.batch(10);
            if batch == Batch::default() {
                break;
            }
            counts.push(batch.keep.len());
            registry.written(&batch, &[]);
        }
        assert_eq!(counts, [10, 10, 5]);
    }
}
