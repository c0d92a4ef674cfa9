//! How a subscriber becomes a member: at once, or after it has read the log up to where the hub is.

use std::rc::Rc;

use actix::Addr;

use super::super::LiveError;
use super::super::cohort::{Arriving, Traveller};
use super::super::groups::Interest;
use super::super::local::Noted;
use super::{Core, Hub, Subscribe};
use crate::database::StatementError;

impl Core {
    /// The first subscriber may come before the feed has reported anything.
    pub async fn known_epoch(&self) -> Result<u64, StatementError> {
        if let Some(epoch) = self.epoch.get() {
            return Ok(epoch);
        }
        let (state, _) = self.decider.log.state(self.place.get()).await?;
        self.epoch.set(Some(state.epoch));
        self.move_to(state.epoch, state.head());
        Ok(state.epoch)
    }

    /// Lets a member in at once, if it wants what comes from now on; else a task brings it here.
    pub async fn subscribe(self: Rc<Self>, subscribe: Subscribe, hub: Addr<Hub>) {
        let Subscribe {
            member,
            outlet,
            owner,
            interest,
            from,
            presence,
        } = subscribe;
        self.workers.borrow_mut().insert(member.worker, outlet);
        self.arriving.borrow_mut().insert(member);
        self.count();
        if let Err(error) = self.known_epoch().await {
            let reason = match error {
                StatementError::Rejected(cause) => {
                    tracing::warn!(cause, "the change log cannot be opened");
                    LiveError::Unlogged
                }
                error => LiveError::Unavailable(error.to_string()),
            };
            self.end_arriving(member, reason).await;
            return;
        }
        if let Some(from) = from {
            let arriving = Arriving {
                member,
                owner,
                interest,
                presence,
            };
            return self.arrive(&hub, Traveller::new(arriving, from));
        }
        if self.groups.borrow().is_idle() {
            // Nobody has listened, so nobody has looked: what was committed before is none of its business.
            match self.decider.log.stamp().await {
                Ok(state) => {
                    self.epoch.set(Some(state.epoch));
                    self.move_to(state.epoch, state.head());
                    self.counted.set((0, 0));
                }
                Err(error) => {
                    self.end_arriving(member, LiveError::Unavailable(error.to_string()))
                        .await;
                    return;
                }
            }
        }
        let Some(after) = self.whole() else {
            let reason = LiveError::Unavailable("the change log is being opened".to_owned());
            self.end_arriving(member, reason).await;
            return;
        };
        let slot = member.slot;
        if matches!(interest, Interest::Events(_)) && !self.place.get().is_whole() {
            // A large transaction has been delivered in part, which this one must not miss: it reads all of it by itself.
            self.send(member.worker, Noted { slot, after }).await;
            let arriving = Arriving {
                member,
                owner,
                interest,
                presence,
            };
            return self.arrive(&hub, Traveller::new(arriving, after));
        }
        self.arriving.borrow_mut().remove(&member);
        self.groups
            .borrow_mut()
            .add(member, interest, &owner, presence);
        self.count();
        self.send(member.worker, Noted { slot, after }).await;
    }
}
