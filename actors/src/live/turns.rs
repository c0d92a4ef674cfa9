//! Turns for work that several do at the same time: a bounded number, given to users in rotation, so that one with many
//! waiting subscribers delays another by one turn at most.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use futures::FutureExt;
use futures::future::select_all;
use tokio::sync::oneshot;

use gom_runtime::owner::Owner;

/// Owners for whom a turn is requested at once, by those who need only one.
const ASKED: usize = 16;

#[derive(Clone)]
pub(super) struct Turns(Rc<RefCell<State>>);

struct State {
    free: usize,
    /// Who waits, in the order in which they are served: each has a queue.
    rotation: VecDeque<Owner>,
    queues: HashMap<Owner, VecDeque<oneshot::Sender<Turn>>>,
}

/// Given back when it is dropped.
pub(super) struct Turn(Option<Turns>);

impl Turns {
    pub fn new(free: usize) -> Self {
        let (rotation, queues) = (VecDeque::new(), HashMap::new());
        Turns(Rc::new(RefCell::new(State {
            free,
            rotation,
            queues,
        })))
    }

    /// Waits for a turn.
    pub async fn take(&self, owner: &Owner) -> Turn {
        loop {
            let given = {
                let mut state = self.0.borrow_mut();
                if state.free > 0 {
                    state.free -= 1;
                    return Turn(Some(self.clone()));
                }
                let (give, given) = oneshot::channel();
                let State {
                    rotation, queues, ..
                } = &mut *state;
                let queue = queues.entry(owner.clone()).or_default();
                if queue.is_empty() {
                    rotation.push_back(owner.clone());
                }
                queue.push_back(give);
                given
            };
            // The other end is only dropped with all turns.
            if let Ok(turn) = given.await {
                return turn;
            }
        }
    }

    /// Waits for a turn of one of several, of many only some.
    pub async fn take_any(&self, owners: &[Owner]) -> Turn {
        let takes = owners
            .iter()
            .take(ASKED)
            .map(|owner| self.take(owner).boxed_local());
        let takes: Vec<_> = takes.collect();
        if takes.is_empty() {
            return self.take(&Owner::Service).await;
        }
        select_all(takes).await.0
    }

    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut state = self.0.borrow_mut();
        loop {
            let owner = state.rotation.pop_front()?;
            let (waiting, more) = match state.queues.get_mut(&owner) {
                Some(queue) => {
                    // Those who have gone away cost their owner no place.
                    queue.retain(|waiting| !waiting.is_closed());
                    (queue.pop_front(), !queue.is_empty())
                }
                None => (None, false),
            };
            if more {
                state.rotation.push_back(owner);
            } else {
                state.queues.remove(&owner);
            }
            if waiting.is_some() {
                return waiting;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        while let Some(waiting) = turns.next() {
            match waiting.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // It has gone away: the next one. Not by the turn's own drop, which would come back here.
                Err(mut turn) => turn.0 = None,
            }
        }
        turns.0.borrow_mut().free += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn a_user_with_one_waiting_subscriber_comes_before_the_rest_of_another_s() {
        let turns = Turns::new(1);
        let order = Rc::new(RefCell::new(Vec::new()));
        let held = turns.take(&Owner::Service).await;
        let mut tasks = Vec::new();
        for name in ["a", "a", "a", "a", "b", "gone"] {
            let (turns, order) = (turns.clone(), Rc::clone(&order));
            let task = actix::spawn(async move {
                let _turn = turns.take(&Owner::User(name.into())).await;
                order.borrow_mut().push(name);
            });
            tokio::task::yield_now().await;
            tasks.push(task);
        }
        let gone = tasks.pop().unwrap();
        gone.abort();
        let _ = gone.await;
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.borrow(), ["a", "b", "a", "a", "a"]);
        assert_eq!(turns.0.borrow().free, 1);
        assert!(turns.0.borrow().queues.is_empty() && turns.0.borrow().rotation.is_empty());
    }
}
