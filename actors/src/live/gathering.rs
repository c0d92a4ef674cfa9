//! Where those meet who come back with the same subscription: after an outage very many do at once. Those
//! who come while others wait for a turn, or while these read a page, set off together.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use gom_engine::events::SubscriptionIdentity;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::catch_up::CatchUp;
use super::cohort::{Cohort, Traveller};
use super::groups::Interest;
use super::hub::{Core, Hub};
use super::turns::Turn;
use gom_runtime::owner::Owner;

/// How long the first waits for others.
const GATHERING: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Gatherings(RefCell<HashMap<Arc<SubscriptionIdentity>, Gathering>>);

/// Those who wait; as long as it is there, a task sees to them.
#[derive(Default)]
struct Gathering {
    waiting: Vec<Traveller>,
    /// Whose they are.
    owners: HashSet<Owner>,
    /// Those of them for whom no turn has been asked.
    fresh: Vec<Owner>,
    /// Signalled when somebody of another owner comes.
    news: Rc<Notify>,
}

impl Gathering {
    fn enter(&mut self, traveller: Traveller) {
        let owner = &traveller.arriving.owner;
        if self.owners.insert(owner.clone()) {
            self.fresh.push(owner.clone());
            self.news.notify_one();
        }
        self.waiting.push(traveller);
    }
}

impl Gatherings {
    /// Whether a task is needed that sees to them.
    fn enter(&self, identity: &Arc<SubscriptionIdentity>, traveller: Traveller) -> bool {
        match self.0.borrow_mut().entry(Arc::clone(identity)) {
            Entry::Occupied(mut there) => {
                there.get_mut().enter(traveller);
                false
            }
            Entry::Vacant(vacant) => {
                vacant.insert(Gathering::default()).enter(traveller);
                true
            }
        }
    }

    fn take(&self, identity: &SubscriptionIdentity) -> Vec<Traveller> {
        let mut gatherings = self.0.borrow_mut();
        let Some(gathering) = gatherings.get_mut(identity) else {
            return Vec::new();
        };
        gathering.owners.clear();
        gathering.fresh.clear();
        std::mem::take(&mut gathering.waiting)
    }

    /// Whether somebody has come meanwhile; else nobody waits, and there is no task any more.
    fn goes_on(&self, identity: &SubscriptionIdentity) -> bool {
        let mut gatherings = self.0.borrow_mut();
        let waits = gatherings
            .get(identity)
            .is_some_and(|gathering| !gathering.waiting.is_empty());
        if !waits {
            gatherings.remove(identity);
        }
        waits
    }

    /// Owners for whom no turn has been asked yet.
    fn fresh(&self, identity: &SubscriptionIdentity) -> Option<(Vec<Owner>, Rc<Notify>)> {
        let mut gatherings = self.0.borrow_mut();
        let gathering = gatherings.get_mut(identity)?;
        let fresh = std::mem::take(&mut gathering.fresh);
        Some((fresh, Rc::clone(&gathering.news)))
    }
}

impl Core {
    /// Brings a subscriber to where the hub is, together with equal ones.
    pub fn arrive(self: &Rc<Self>, hub: &Addr<Hub>, traveller: Traveller) {
        let identity = match &traveller.arriving.interest {
            Interest::Events(subscription) => Arc::clone(subscription.identity()),
            Interest::Touch(_) => {
                return CatchUp::new(self, hub, Cohort::new(vec![traveller])).spawn();
            }
        };
        if self.gatherings.enter(&identity, traveller) {
            let (core, hub) = (Rc::clone(self), hub.clone());
            // Not in the hub's own context, which stands still while it delivers: an answer that nobody takes holds up
            // all that follow it on a connection.
            actix::spawn(async move { core.gather(&hub, &identity).await });
        }
    }

    async fn gather(self: &Rc<Self>, hub: &Addr<Hub>, identity: &SubscriptionIdentity) {
        sleep(GATHERING).await;
        loop {
            let turn = self.turn_of_gathering(identity).await;
            let mut cohorts = Cohort::apart(self.gatherings.take(identity));
            // Those who have missed the least; those who come meanwhile have mostly missed as much.
            let nearest = cohorts.pop().unwrap_or_else(|| Cohort::new(Vec::new()));
            for cohort in cohorts {
                CatchUp::new(self, hub, cohort).spawn();
            }
            CatchUp::new(self, hub, nearest).set_off(turn).await;
            if !self.gatherings.goes_on(identity) {
                return;
            }
        }
    }

    /// The first turn that one of the owners has: all go with it.
    async fn turn_of_gathering(&self, identity: &SubscriptionIdentity) -> Turn {
        let mut turns = FuturesUnordered::new();
        loop {
            let Some((owners, news)) = self.gatherings.fresh(identity) else {
                return self.turns.take(&Owner::Service).await;
            };
            for owner in owners {
                turns.push(async move { self.turns.take(&owner).await });
            }
            tokio::select! {
                Some(turn) = turns.next() => return turn,
                () = news.notified() => {}
            }
        }
    }
}
