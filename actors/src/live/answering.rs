//! Answers of live queries, one at a time for each user of a node: many costly ones of one user take no more than one
//! connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use gom_runtime::owner::Owner;

#[derive(Clone, Default)]
pub(super) struct Answering(Arc<Mutex<HashMap<Owner, Arc<Semaphore>>>>);

/// Held while a live query is answered.
pub struct AnswerTurn {
    /// Nothing for the service.
    owner: Option<Owner>,
    /// Nothing while it is waited for.
    permit: Option<OwnedSemaphorePermit>,
    answering: Answering,
}

impl Answering {
    fn of_owner(&self) -> MutexGuard<'_, HashMap<Owner, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn turn(&self, owner: &Owner) -> AnswerTurn {
        let mut turn = AnswerTurn {
            owner: None,
            permit: None,
            answering: self.clone(),
        };
        if matches!(owner, Owner::User(_)) {
            let one = || Arc::new(Semaphore::new(1));
            let semaphore = Arc::clone(self.of_owner().entry(owner.clone()).or_insert_with(one));
            // Also who gives up waiting leaves nothing behind.
            turn.owner = Some(owner.clone());
            // Never closed.
            turn.permit = semaphore.acquire_owned().await.ok();
        }
        turn
    }
}

impl Drop for AnswerTurn {
    fn drop(&mut self) {
        let Some(owner) = self.owner.take() else {
            return;
        };
        drop(self.permit.take());
        let mut of_owner = self.answering.of_owner();
        // Anyone who waits for it holds it as well.
        if of_owner
            .get(&owner)
            .is_some_and(|semaphore| Arc::strong_count(semaphore) == 1)
        {
            of_owner.remove(&owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[actix::test]
    async fn a_user_s_live_queries_are_answered_one_after_the_other_and_beside_those_of_others() {
        let answering = Answering::default();
        let (a, b) = (Owner::User("a".into()), Owner::User("b".into()));
        let first = answering.turn(&a).await;
        assert!(answering.turn(&a).now_or_never().is_none());
        assert!(answering.turn(&b).now_or_never().is_some());
        assert!(answering.turn(&Owner::Service).now_or_never().is_some());
        let waits = answering.turn(&a).now_or_never();
        drop(first);
        drop(waits);
        assert!(answering.turn(&a).now_or_never().is_some());
        assert!(answering.of_owner().is_empty());
    }
}
