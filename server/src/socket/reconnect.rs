//! When clients come back that lose a server together: how the server spreads the ends of its connections, and the delays that
//! it suggests. Knows no connection and reads no clock.

use std::time::Duration;

/// The delay before a reconnection that clients are given as a range: long enough to spread 10,000 clients over seconds, short
/// enough for a page that shows changes.
pub const MIN_DELAY: Duration = Duration::from_millis(500);
/// See [`MIN_DELAY`].
pub const MAX_DELAY: Duration = Duration::from_millis(2_500);

/// Each connection adds so much to the time over which its worker ends all of them: a few are ended at once, as a restart on a
/// developer's machine has to be quick.
const EACH: Duration = Duration::from_millis(5);

/// A delay for one client, in milliseconds: for clients that are given one number and add no jitter of their own.
pub fn retry_delay() -> u64 {
    fastrand::u64(milliseconds(MIN_DELAY)..=milliseconds(MAX_DELAY))
}

/// As protocols write it.
pub fn milliseconds(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

/// When each of so many connections is ended, after now, in ascending order: one at a random moment of each of equal parts of
/// the time. The last is ended before `longest`.
pub fn moments(connections: usize, longest: Duration) -> impl Iterator<Item = Duration> {
    let count = u32::try_from(connections).unwrap_or(u32::MAX).max(1);
    let part = EACH.saturating_mul(count).min(longest) / count;
    (0..count)
        .take(connections)
        .map(move |n| part.saturating_mul(n) + part.mul_f64(fastrand::f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn many_connections_end_evenly_over_the_time_and_a_few_at_once() {
        let many: Vec<Duration> = moments(10_000, LONGEST).collect();
        assert_eq!(many.len(), 10_000);
        assert!(many.is_sorted(), "in ascending order");
        assert!(many.last().is_some_and(|last| *last <= LONGEST));
        for second in 0..5 {
            let within = |moment: &&Duration| moment.as_secs() == second;
            let ended = many.iter().filter(within).count();
            assert!(
                ended.abs_diff(2_000) <= 1,
                "{ended} in second {second}: a part each"
            );
        }
        assert!(moments(3, LONGEST).all(|moment| moment <= 3 * EACH));
        assert_eq!(moments(0, LONGEST).count(), 0);
        assert!(moments(7, Duration::ZERO).all(|moment| moment.is_zero()));
    }

    #[test]
    fn delays_are_within_their_range_and_differ() {
        let delays: Vec<u64> = (0..100).map(|_| retry_delay()).collect();
        let range = milliseconds(MIN_DELAY)..=milliseconds(MAX_DELAY);
        assert!(delays.iter().all(|delay| range.contains(delay)));
        assert!(delays.iter().any(|delay| *delay != delays[0]));
    }
}
