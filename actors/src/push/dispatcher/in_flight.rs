//! The deliveries that are claimed and not recorded, and whether each is still this server's to send.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

pub(super) struct InFlight {
    /// How long after the start of its lease a delivery may be sent: after that another server may claim it soon.
    usable: Duration,
    /// Since when each is leased. Nothing: the lease was lost.
    leases: HashMap<String, Option<Instant>>,
}

impl InFlight {
    pub fn new(lease: Duration) -> Self {
        InFlight {
            usable: lease * 2 / 3,
            leases: HashMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.leases.len()
    }

    pub fn ids(&self) -> Vec<String> {
        self.leases.keys().cloned().collect()
    }

    /// Those whose leases are to be renewed.
    pub fn leased(&self) -> Vec<String> {
        let leased = self.leases.iter().filter(|(_, since)| since.is_some());
        leased.map(|(id, _)| id.clone()).collect()
    }

    /// Deliveries were claimed, not before this time.
    pub fn claimed(&mut self, ids: impl Iterator<Item = String>, at: Instant) {
        self.leases.extend(ids.map(|id| (id, Some(at))));
    }

    /// Of the leases that were to be renewed at this time these were; the others are lost. How many those are.
    pub fn renewed(&mut self, asked: &[String], renewed: &HashSet<String>, at: Instant) -> usize {
        let mut lost = 0;
        for id in asked {
            // It may have been recorded meanwhile, and claimed again.
            let Some(since) = self
                .leases
                .get_mut(id)
                .filter(|since| since.is_some_and(|since| since <= at))
            else {
                continue;
            };
            *since = renewed.contains(id).then_some(at);
            lost += usize::from(since.is_none());
        }
        lost
    }

    pub fn recorded(&mut self, id: &str) {
        self.leases.remove(id);
    }

    /// Whether nobody else can have it yet.
    pub fn is_ours(&self, id: &str, now: Instant) -> bool {
        let since = self.leases.get(id).copied().flatten();
        since.is_some_and(|since| now.saturating_duration_since(since) <= self.usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn names(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn claimed(ids: &[&str]) -> (InFlight, Instant) {
        let (mut in_flight, now) = (InFlight::new(LEASE), Instant::now());
        in_flight.claimed(names(ids).into_iter(), now);
        (in_flight, now)
    }

    #[test]
    fn what_has_lost_its_lease_is_not_sent() {
        let (mut in_flight, now) = claimed(&["kept", "lost"]);
        let renewed = HashSet::from(["kept".to_owned()]);
        assert_eq!(
            in_flight.renewed(&names(&["kept", "lost"]), &renewed, now),
            1
        );
        assert!(in_flight.is_ours("kept", now));
        assert!(!in_flight.is_ours("lost", now), "another server has it");
        // It stays in flight until its result is recorded, and is not asked for again.
        assert_eq!((in_flight.len(), in_flight.leased()), (2, names(&["kept"])));
        in_flight.recorded("lost");
        assert_eq!(in_flight.ids(), names(&["kept"]));
    }

    #[test]
    fn what_is_not_renewed_in_time_is_not_sent() {
        let (mut in_flight, now) = claimed(&["one"]);
        let late = now + LEASE * 3 / 4;
        assert!(!in_flight.is_ours("one", late));
        let one = names(&["one"]);
        assert_eq!(
            in_flight.renewed(&one, &one.iter().cloned().collect(), now + LEASE / 3),
            0
        );
        assert!(in_flight.is_ours("one", late));
        assert!(!in_flight.is_ours("unknown", now));
    }

    #[test]
    fn an_old_answer_does_not_end_a_lease_that_is_newer() {
        let (mut in_flight, now) = claimed(&["one"]);
        let later = now + LEASE / 3;
        in_flight.recorded("one");
        in_flight.claimed(names(&["one"]).into_iter(), later);
        assert_eq!(in_flight.renewed(&names(&["one"]), &HashSet::new(), now), 0);
        assert!(in_flight.is_ours("one", later));
    }
}
