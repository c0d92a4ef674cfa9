//! How the hub follows the log: page after page, each delivered whole or not at all.

use bytes::Bytes;
use tokio::time::Instant;

use super::super::behind::Behind;
use super::super::decide::{Decided, Piece, Wanted};
use super::super::groups::{GroupId, Interest};
use super::super::join::Progress;
use super::super::log::{LogState, Page};
use super::super::{Delivered, LiveError};
use super::Core;
use crate::database::StatementError;
use gom_runtime::crash::crash_point;

impl Core {
    pub async fn advance(&self, state: LogState) -> Result<(), StatementError> {
        self.oldest.set(state.oldest);
        let same = self.epoch.get() == Some(state.epoch);
        if !same || state.has_forgotten_after(self.place.get()) {
            return self.restart(state).await;
        }
        if state.head() <= self.place.get() {
            return self.stay(state).await;
        }
        if self.groups.borrow().is_idle() {
            self.move_to(state.epoch, state.head());
            self.counted.set((0, 0));
            return Ok(());
        }
        while self.place.get() != state.head() {
            crash_point("hub-advance");
            let Page {
                state: now,
                proof,
                pieces,
                next,
            } = self
                .decider
                .log
                .read(self.place.get(), state.position)
                .await?;
            if now.epoch != state.epoch || now.position < state.position {
                // Another database, or one that was restored: the feed finds out which.
                return Err(StatementError::Unavailable(
                    "the change log is not the one that it was".to_owned(),
                ));
            }
            if now.has_forgotten_after(self.place.get()) {
                // It was trimmed beneath us, perhaps in the middle of a transaction that comes in pages.
                return self.restart(now).await;
            }
            if proof.is_none() {
                return self.diverged(now).await;
            }
            let mut counted = self.counted.get();
            let pieces = self.decider.interpret(&pieces, &mut counted);
            self.distribute(&pieces, state.epoch).await?;
            self.counted.set(counted);
            self.move_to(state.epoch, next);
        }
        Ok(())
    }

    /// The feed has seen nothing that follows: the hub is there, or has looked later; or the log has lost where the hub is.
    async fn stay(&self, state: LogState) -> Result<(), StatementError> {
        let here = self.place.get();
        if state.head().is_same(here) {
            return Ok(());
        }
        let (now, proof) = self.decider.log.state(here).await?;
        if now.epoch == state.epoch && proof.is_none() && !now.has_forgotten_after(here) {
            return self.diverged(now).await;
        }
        Ok(())
    }

    /// The log does not have the stamp of where the hub is: another database answers, which has not got it, or one that was restored.
    async fn diverged(&self, now: LogState) -> Result<(), StatementError> {
        tracing::warn!(
            delivered = self.place.get().position,
            position = now.position,
            "the database does not have what was delivered last; subscribers that had it read again"
        );
        self.restart(now).await
    }

    /// Goes on from now. Members are of an epoch that is over, of a time that is forgotten, or have had what the log has lost.
    /// Those in the slow lane are judged by where they are themselves.
    async fn restart(&self, state: LogState) -> Result<(), StatementError> {
        self.epoch.set(Some(state.epoch));
        self.move_to(state.epoch, state.head());
        // The next transaction may have the position of one that was counted.
        self.counted.set((0, 0));
        let ids = self.groups.borrow().attached_ids();
        for id in ids {
            let is_touch = self
                .groups
                .borrow()
                .get(id)
                .is_some_and(|g| matches!(g.interest, Interest::Touch(_)));
            if is_touch {
                // A live query has no cursor: it is answered again, and has lost nothing.
                let cursor = state.head().cursor(state.epoch);
                self.deliver(
                    id,
                    vec![Delivered {
                        payload: Bytes::new(),
                        cursor,
                    }],
                )
                .await;
            } else {
                self.end(id, &LiveError::Resync).await;
            }
        }
        Ok(())
    }

    /// Delivers all of it or, if the database fails meanwhile, nothing: then it is done again. What takes longer than its
    /// user may is left to the slow lane.
    pub(super) async fn distribute(
        &self,
        pieces: &[Piece],
        epoch: u64,
    ) -> Result<(), StatementError> {
        let candidates = self.decider.candidates(&self.groups, pieces).await?;
        let wanted = {
            let groups = self.groups.borrow();
            let of_group = |(id, ats): (GroupId, _)| {
                let group = groups.get(id)?;
                let (interest, owner) = (group.interest.clone(), group.owner.clone());
                Some(Wanted {
                    id,
                    interest,
                    owner,
                    ats,
                    after: None,
                })
            };
            candidates.into_iter().filter_map(of_group).collect()
        };
        let decided = self
            .decider
            .of_groups(wanted, pieces, epoch, &self.budgets, &self.groups)
            .await?;
        self.decider.still_logged(pieces, epoch).await?;
        for (id, decided) in decided {
            match decided {
                Decided::Events(events) => self.deliver(id, events).await,
                Decided::Failed(reason) => self.end(id, &reason).await,
                Decided::Costly(until) => self.detach(id, epoch, until),
            }
        }
        Ok(())
    }

    /// Leaves a group to the slow lane, from where the hub is.
    pub(super) fn detach(&self, id: GroupId, epoch: u64, until: Instant) {
        let found = self
            .groups
            .borrow()
            .get(id)
            .map(|group| (group.interest.clone(), group.owner.clone()));
        let Some((interest, owner)) = found else {
            return;
        };
        self.groups.borrow_mut().detach(id);
        let at = Progress {
            epoch,
            place: self.place.get(),
            counted: self.counted.get(),
            after: None,
        };
        self.slow
            .enter(owner, Behind::level_with_the_hub(id, interest, at, until));
    }
}
