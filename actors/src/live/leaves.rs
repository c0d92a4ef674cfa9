//! Events of subscriptions that report which rows leave: beside the payloads of changes, a statement decides which rows these
//! made join or leave, by the rows as they were before and after each transaction.

use gom_engine::events::{Cursor, MoveReader, Moves, NodeChange, Subscription};
use tokio::time::Instant;

use super::Delivered;
use super::budget::Meter;
use super::columns::{ordinal, text, unasked, unexpected};
use super::decide::{At, Changes, Decider, TOGETHER, changes, cursor, runs};
use crate::database::StatementError;

impl Decider {
    /// As [`Decider::events`].
    pub(super) async fn events_with_leaves(
        &self,
        subscription: &Subscription,
        asked: Changes<'_>,
        meter: &Meter,
    ) -> Result<Vec<Delivered>, StatementError> {
        let Changes {
            pieces,
            ats,
            epoch,
            after,
        } = asked;
        let (Some((first, _)), Some((last, _))) = (ats.first(), ats.last()) else {
            return Ok(Vec::new());
        };
        let began = Instant::now();
        // All of each transaction, as far as it was read.
        let bounds = pieces[*first].position..=pieces[*last].position;
        let read = pieces
            .iter()
            .filter(|piece| bounds.contains(&piece.position))
            .flat_map(|piece| &piece.changes);
        let mut reader = MoveReader::new(subscription, read);
        self.took_here(meter, began.elapsed());
        // Which rows have been reported already with changes of the transaction in which the subscriber stands.
        let earlier: Vec<At> = after.map_or_else(Vec::new, |after| {
            Self::all(pieces)
                .into_iter()
                .filter(|at| {
                    pieces[at.0].position == after.position
                        && cursor(pieces, *at, epoch) <= after
                        && subscription.moves_others(&pieces[at.0].changes[at.1])
                })
                .collect()
        });
        for run in runs(&earlier) {
            self.moves(&mut reader, &changes(pieces, &run), meter)
                .await?;
        }
        let mut found = Vec::with_capacity(ats.len());
        for run in runs(ats) {
            if meter.is_over() {
                return Err(meter.exceeded());
            }
            let changes = changes(pieces, &run);
            let moves = self.moves(&mut reader, &changes, meter).await?;
            let began = Instant::now();
            let events = moves.run(&self.planner, subscription, &changes);
            self.took_here(meter, began.elapsed());
            // One change may let in many rows.
            let mut payloads = Vec::new();
            for (chunk, of_events) in events.changes().chunks(TOGETHER).enumerate() {
                let read = self.payloads(subscription, of_events, meter).await?;
                let read = read.into_iter();
                payloads.extend(read.map(|(place, text)| (chunk * TOGETHER + place, text)));
            }
            for placed in events.messages(payloads) {
                let at = run.get(placed.ordinal).ok_or_else(unasked)?;
                let cursor = Cursor {
                    step: placed.step,
                    ..cursor(pieces, *at, epoch)
                };
                if after.is_none_or(|after| cursor > after) {
                    found.push(self.encoded(subscription, &placed.message, cursor, meter));
                }
            }
        }
        found.sort_by_key(|event| event.cursor);
        Ok(found)
    }

    /// The rows that changes made join or leave.
    async fn moves(
        &self,
        reader: &mut MoveReader<'_>,
        changes: &[&NodeChange],
        meter: &Meter,
    ) -> Result<Moves, StatementError> {
        let began = Instant::now();
        let statement = reader.statement(&self.planner, changes);
        self.took_here(meter, began.elapsed());
        let Some(statement) = statement else {
            return Ok(Moves::default());
        };
        let rows = self.rows_of_group(&statement, meter).await?;
        let rows = rows.iter().map(|row| {
            let came = row
                .try_get(2)
                .map_err(|error| unexpected(&error.to_string()))?;
            Ok((ordinal(row, 0)?, text(row, 1)?, came))
        });
        reader
            .assign(changes, rows.collect::<Result<_, StatementError>>()?)
            .map_err(|error| StatementError::Excessive(error.to_string()))
    }
}
