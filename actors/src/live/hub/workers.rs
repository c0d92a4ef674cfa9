//! What the hub sends to workers, and what becomes of the subscribers of one that takes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::dev::SendError;
use actix::{Handler, Message};
use tokio::time::timeout;

use super::super::groups::{GroupId, Member};
use super::super::local::{Deliver, Drained, Ended, GivenUp, LocalHub};
use super::super::{Delivered, LiveError};
use super::Core;
use gom_runtime::supervision::post;

/// How long a worker's mailbox may stay full before its subscribers are given up.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Core {
    /// Publishes how many members there are, by which the feed knows whether anybody listens.
    pub fn count(&self) {
        if self.alive.get() {
            let arriving = self.arriving.borrow().len();
            self.shared.arriving.store(arriving, Ordering::Relaxed);
            self.shared
                .members
                .store(self.groups.borrow().members() + arriving, Ordering::Relaxed);
        }
    }

    /// Hands events to all members of a group.
    pub async fn deliver(&self, id: GroupId, events: Vec<Delivered>) {
        if events.is_empty() {
            return;
        }
        let events: Arc<[_]> = events.into();
        let slots = self.groups.borrow_mut().slots(id);
        for (worker, slots) in slots {
            self.send(
                worker,
                Deliver {
                    slots,
                    events: Arc::clone(&events),
                    from: 0,
                },
            )
            .await;
        }
    }

    /// To a worker; if it takes nothing for too long, its subscribers are given up: they come back with their cursors.
    pub async fn send<M>(&self, worker: u64, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        LocalHub: Handler<M>,
    {
        let Some(outlet) = self.workers.borrow().get(&worker).cloned() else {
            return;
        };
        let message = match post(&outlet, message) {
            Ok(()) => return,
            Err(SendError::Full(message) | SendError::Closed(message)) => message,
        };
        if !matches!(timeout(TIMEOUT, outlet.send(message)).await, Ok(Ok(()))) {
            self.give_up(worker);
        }
    }

    /// Waits until the client of one of these members of a worker has read what was delivered to it. A client that reads
    /// nothing is disconnected, which ends this.
    pub async fn drained(&self, worker: u64, slots: Arc<[u64]>) {
        let outlet = self.workers.borrow().get(&worker).cloned();
        if let Some(outlet) = outlet {
            // A worker that has ended has no members.
            let _ = outlet.send(Drained { slots }).await;
        }
    }

    fn give_up(&self, worker: u64) {
        tracing::warn!(
            worker,
            "a worker takes no events; its subscribers are given up"
        );
        let arriving: Vec<Member> = self
            .arriving
            .borrow()
            .iter()
            .filter(|member| member.worker == worker)
            .copied()
            .collect();
        let members = self.groups.borrow_mut().of_worker(worker);
        for member in members.into_iter().chain(arriving) {
            self.remove(member);
        }
        if let Some(outlet) = self.workers.borrow_mut().remove(&worker) {
            // However long it takes: its subscribers must hear of it, to come back.
            let given_up = outlet.send(GivenUp);
            actix::spawn(async move {
                let _ = given_up.await;
            });
        }
    }

    pub async fn end(&self, id: GroupId, reason: &LiveError) {
        let members = self.groups.borrow_mut().dissolve(id);
        self.count();
        let mut of_worker: HashMap<u64, Vec<u64>> = HashMap::new();
        for member in members {
            of_worker
                .entry(member.worker)
                .or_default()
                .push(member.slot);
        }
        for (worker, slots) in of_worker {
            self.send(
                worker,
                Ended {
                    slots,
                    reason: reason.clone(),
                },
            )
            .await;
        }
    }

    /// Ends a member that has not arrived.
    pub async fn end_arriving(&self, member: Member, reason: LiveError) {
        if self.arriving.borrow_mut().remove(&member) {
            self.count();
            self.send(
                member.worker,
                Ended {
                    slots: vec![member.slot],
                    reason,
                },
            )
            .await;
        }
    }

    pub fn remove(&self, member: Member) {
        if self.groups.borrow_mut().remove(member) || self.arriving.borrow_mut().remove(&member) {
            self.count();
        }
    }
}
