//! The pauses between attempts.

use std::time::Duration;

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The pause after so many attempts, from `first` on fourfold each time, with up to a fifth more so that those who
/// failed together do not come back together. `dice` is any number.
pub(super) fn pause(first: Duration, attempts: u32, dice: u64) -> Duration {
    let factor = 4_u32.saturating_pow(attempts.saturating_sub(1));
    let pause = first.saturating_mul(factor).min(LONGEST);
    let part = u32::try_from(dice % 1_000).unwrap_or_default();
    pause + pause / 5 * part / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_fourfold_up_to_an_hour() {
        let seconds = |attempts| pause(Duration::from_secs(5), attempts, 0).as_secs();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 7, 100].map(seconds),
            [5, 20, 80, 320, 1_280, 3_600, 3_600, 3_600]
        );
    }

    #[test]
    fn nobody_comes_back_early_and_nobody_much_later() {
        for dice in 0..2_000 {
            let pause = pause(Duration::from_secs(5), 1, dice);
            assert!(
                (Duration::from_secs(5)..=Duration::from_secs(6)).contains(&pause),
                "{pause:?}"
            );
        }
    }
}
