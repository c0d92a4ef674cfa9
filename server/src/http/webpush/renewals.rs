//! How often addresses may renew subscriptions: nobody is logged in there, and each try asks the store.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

const WINDOW: Duration = Duration::from_secs(60);
/// Networks whose tries are remembered. Of more, those that came last: the others begin again.
const NETWORKS: usize = 65_536;

/// Tries in the present minute, by network. Of this process: each counts for itself.
pub struct Renewals {
    per_minute: u32,
    began: Instant,
    /// The number of the minute in the upper half, the tries in it in the lower.
    tries: Cache<String, Arc<AtomicU64>>,
}

impl Renewals {
    pub fn new(per_minute: u32) -> Self {
        Renewals {
            per_minute,
            began: Instant::now(),
            tries: Cache::new(NETWORKS),
        }
    }

    /// Counts one try from an address in these networks, each with how many times the tries of an address it has.
    ///
    /// # Errors
    /// After how long there is room again.
    pub fn admit(&self, networks: &[(String, u32)], now: Instant) -> Result<(), Duration> {
        let age = now.saturating_duration_since(self.began);
        let minute = age.as_secs() / WINDOW.as_secs();
        for (network, times) in networks {
            let Ok(tries) = self
                .tries
                .get_or_insert_with(network, || Ok::<_, Infallible>(Arc::default()));
            let most = u64::from(self.per_minute.saturating_mul(*times));
            let counted = tries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| {
                let count = if value >> 32 == minute {
                    value & u64::from(u32::MAX)
                } else {
                    0
                };
                (count < most).then_some(minute << 32 | (count + 1))
            });
            if counted.is_err() {
                let past = Duration::from_secs(age.as_secs() % WINDOW.as_secs());
                return Err(WINDOW - past);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_tries_in_a_minute_and_wider_networks_a_multiple() {
        let renewals = Renewals::new(2);
        let at = |seconds| renewals.began + Duration::from_secs(seconds);
        let one = [("192.0.2.1".to_owned(), 1)];
        for _ in 0..2 {
            assert_eq!(renewals.admit(&one, at(10)), Ok(()));
        }
        assert_eq!(renewals.admit(&one, at(20)), Err(Duration::from_secs(40)));
        assert_eq!(
            renewals.admit(&[("192.0.2.2".to_owned(), 1)], at(20)),
            Ok(()),
            "another"
        );
        assert_eq!(renewals.admit(&one, at(60)), Ok(()), "the next minute");

        let within = |n: u32| {
            [
                (format!("2001:db8:0:{n:x}::/64"), 1),
                ("2001:db8::/56".to_owned(), 4),
            ]
        };
        for n in 0..8 {
            assert_eq!(renewals.admit(&within(n), at(130)), Ok(()), "{n}");
        }
        assert!(renewals.admit(&within(8), at(130)).is_err());
    }
}
