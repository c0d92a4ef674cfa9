//! Counters in this process's memory: they go on where the store stopped. While it answers, they follow its counts;
//! when it does not, they count by themselves, and hand what they counted to the store when it is back. So an
//! attempt is never free, and the change from one to the other admits no more than either would alone.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::stores::{Count, Take};

/// Counters in memory (about 150 bytes each). More than this many addresses and users at once are not people who mistype.
const MAX_COUNTERS: usize = 100_000;

#[derive(Debug, Clone, Copy)]
struct Counter {
    /// The store's last count.
    seen: u32,
    /// Counted here, and not in the store.
    owed: u32,
    /// Of what was counted here: on its way to the store.
    claimed: u32,
    ends: Instant,
}

impl Counter {
    fn total(&self) -> u32 {
        self.seen
            .saturating_add(self.owed)
            .saturating_add(self.claimed)
    }
}

#[derive(Debug, Default)]
pub(super) struct InMemoryFallback {
    counters: HashMap<String, Counter>,
}

/// There is no room for another counter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for another counter")]
pub(super) struct FallbackFullError;

impl InMemoryFallback {
    /// How many points of this counter the store lacks. They are on their way from now on: what becomes of them is reported
    /// by `follow` or `lost`.
    pub fn claim(&mut self, key: &str, now: Instant) -> u32 {
        let Some(counter) = self
            .counters
            .get_mut(key)
            .filter(|counter| counter.ends > now)
        else {
            return 0;
        };
        let claimed = std::mem::take(&mut counter.owed);
        counter.claimed += claimed;
        claimed
    }

    /// The store has counted: its count, with what it still lacks.
    pub fn follow(&mut self, key: &str, claimed: u32, count: Count, now: Instant) -> Count {
        let ends = now + count.left;
        match self.counters.get_mut(key) {
            Some(counter) => {
                counter.claimed = counter.claimed.saturating_sub(claimed);
                counter.seen = count.consumed;
                if counter.ends <= now || counter.owed == 0 {
                    counter.owed = 0;
                    counter.ends = ends;
                } else {
                    counter.ends = counter.ends.max(ends);
                }
                Count {
                    consumed: count.consumed.saturating_add(counter.owed),
                    left: counter.ends - now,
                    busy: count.busy,
                }
            }
            None => {
                if self.counters.len() < MAX_COUNTERS {
                    let counter = Counter {
                        seen: count.consumed,
                        owed: 0,
                        claimed: 0,
                        ends,
                    };
                    self.counters.insert(key.to_owned(), counter);
                }
                count
            }
        }
    }

    /// The store did not answer: what was on its way is (perhaps) not there.
    pub fn lost(&mut self, key: &str, claimed: u32) {
        if let Some(counter) = self.counters.get_mut(key) {
            counter.claimed = counter.claimed.saturating_sub(claimed);
            counter.owed += claimed;
        }
    }

    /// Takes one point from each, by the same rules as the stores.
    pub fn reserve(
        &mut self,
        takes: &[Take],
        now: Instant,
    ) -> Result<Vec<Count>, FallbackFullError> {
        if self.counters.len() + takes.len() > MAX_COUNTERS {
            self.sweep(now);
            if self.counters.len() + takes.len() > MAX_COUNTERS {
                return Err(FallbackFullError);
            }
        }
        let mut counts: Vec<Count> = takes.iter().map(|take| self.take(take, now)).collect();
        if takes
            .iter()
            .zip(&counts)
            .any(|(take, count)| count.consumed > take.limit.points)
        {
            for (take, count) in takes
                .iter()
                .zip(&mut counts)
                .filter(|(take, count)| !count.blocks(take))
            {
                self.give_back(&take.key, now);
                count.consumed -= 1;
            }
        }
        Ok(counts)
    }

    fn take(&mut self, take: &Take, now: Instant) -> Count {
        let fresh = Counter {
            seen: 0,
            owed: 0,
            claimed: 0,
            ends: now + take.window(),
        };
        let counter = self.counters.entry(take.key.clone()).or_insert(fresh);
        if counter.ends <= now {
            *counter = fresh;
        }
        counter.owed += 1;
        let consumed = counter.total();
        let over = consumed > take.limit.points;
        let busy = over && consumed - take.in_flight.min(consumed) <= take.limit.points;
        // Blocked by this attempt, not by an earlier one.
        if !busy && consumed == take.limit.points.saturating_add(1) && !take.block().is_zero() {
            counter.ends = now + take.block();
        }
        Count {
            consumed,
            left: counter.ends - now,
            busy,
        }
    }

    /// Gives a point back; whether that is all, because the store never counted it.
    pub fn give_back(&mut self, key: &str, now: Instant) -> bool {
        let Some(counter) = self
            .counters
            .get_mut(key)
            .filter(|counter| counter.ends > now)
        else {
            return false;
        };
        if counter.owed > 0 {
            counter.owed -= 1;
            return true;
        }
        counter.seen = counter.seen.saturating_sub(1);
        false
    }

    pub fn reset(&mut self, key: &str) {
        self.counters.remove(key);
    }

    /// Removes counters that have ended.
    pub fn sweep(&mut self, now: Instant) {
        self.counters.retain(|_, counter| counter.ends > now);
        if self.counters.capacity() > 4 * self.counters.len().max(1024) {
            self.counters.shrink_to_fit();
        }
    }
}

/// How long the blocked ones of the counters are blocked; nothing if none is.
pub(super) fn blocked(takes: &[Take], counts: &[Count]) -> Option<Duration> {
    let blocking = takes
        .iter()
        .zip(counts)
        .filter(|(take, count)| count.blocks(take));
    blocking.map(|(_, count)| count.left).max()
}
