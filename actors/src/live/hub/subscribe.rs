//! How a subscriber becomes a member: at once, or after it has read the log up to where the hub is.

use std::rc::Rc;

use actix::Addr;
use gom_engine::events::Cursor;

use super::super::LiveError;
use super::super::catch_up::{Arriving, catch_up};
use super::super::groups::Interest;
use super::super::local::Noted;
use super::super::log::Place;
use super::{Core, Hub, Subscribe};
use crate::database::StatementError;

impl Core {
    /// The first subscriber may come before the feed has reported anything.
    pub async fn known_epoch(&self) -> Result<u64, StatementError> {
        if let Some(epoch) = self.epoch.get() {
            return Ok(epoch);
        }
        let state = self.decider.log.open().await?;
        self.epoch.set(Some(state.epoch));
        self.move_to(state.epoch, Place::after(state.position));
        Ok(state.epoch)
    }

    /// Lets a member in at once, if it wants what comes from now on; else gives the task that brings it here.
    pub async fn subscribe(
        self: Rc<Self>,
        subscribe: Subscribe,
        hub: Addr<Hub>,
    ) -> Option<impl Future<Output = ()>> {
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
        let epoch = match self.known_epoch().await {
            Ok(epoch) => epoch,
            Err(error) => {
                let reason = match error {
                    StatementError::Rejected(cause) => {
                        tracing::warn!(cause, "the change log cannot be opened");
                        LiveError::Unlogged
                    }
                    error => LiveError::Unavailable(error.to_string()),
                };
                self.end_arriving(member, reason).await;
                return None;
            }
        };
        if let Some(from) = from {
            return Some(catch_up(
                self,
                hub,
                Arriving {
                    member,
                    owner,
                    interest,
                    presence,
                },
                from,
            ));
        }
        if self.groups.borrow().is_idle() {
            // Nobody has listened, so nobody has looked: what was committed before is none of its business.
            match self.decider.log.stamp().await {
                Ok(position) => {
                    self.shared.furthest.reached(epoch, position);
                    self.move_to(epoch, Place::after(position.max(self.place.get().position)));
                }
                Err(error) => {
                    self.end_arriving(member, LiveError::Unavailable(error.to_string()))
                        .await;
                    return None;
                }
            }
        }
        let place = self.place.get();
        let noted = |position| Noted {
            slot: member.slot,
            after: Cursor::after(epoch, position),
        };
        if matches!(interest, Interest::Events(_)) && !place.is_whole() {
            // A large transaction has been delivered in part, which this one must not miss: it reads all of it by itself.
            let noted = noted(place.position.saturating_sub(1));
            let from = noted.after;
            self.send(member.worker, noted).await;
            return Some(catch_up(
                self,
                hub,
                Arriving {
                    member,
                    owner,
                    interest,
                    presence,
                },
                from,
            ));
        }
        self.arriving.borrow_mut().remove(&member);
        self.groups
            .borrow_mut()
            .add(member, interest, &owner, presence);
        self.count();
        self.send(member.worker, noted(place.position)).await;
        None
    }
}
