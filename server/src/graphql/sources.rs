//! Where new ids and the time of writes come from.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use gom_engine::plan;

/// Bits of [`LAST_ID`] that count within a millisecond: a million ids.
const COUNT_BITS: u32 = 20;
/// How far the time of writes may run ahead of the clock, in milliseconds.
const LEAD: i64 = 50;

/// The last id's millisecond and count.
static LAST_ID: AtomicU64 = AtomicU64::new(0);
/// The last write's millisecond.
static LAST_WRITE: AtomicI64 = AtomicI64::new(0);
/// Tells this process's ids from those of others.
static PROCESS: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::new();
    base36(&mut text, uuid::Uuid::new_v4().as_u128() as u64, 4);
    text
});

/// The system's clock and random source, behind counters that only go up.
#[derive(Debug, Default)]
pub struct Sources;

impl plan::ValueSource for Sources {
    /// `c`, 8 digits of time, 4 of a count, 4 of the process, 8 random, in base 36. Of one process, a later id
    /// is always greater, byte by byte: rows without another order come in the order in which they were made.
    fn cuid(&mut self) -> String {
        let now = u64::try_from(milliseconds()).unwrap_or_default() << COUNT_BITS;
        let next = |last: u64| Some(now.max(last + 1));
        // The closure always gives a value, so that both arms hold the previous one.
        let (Ok(last) | Err(last)) =
            LAST_ID.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let id = now.max(last + 1);
        let mut text = String::with_capacity(25);
        text.push('c');
        base36(&mut text, id >> COUNT_BITS, 8);
        base36(&mut text, id & ((1 << COUNT_BITS) - 1), 4);
        text.push_str(&PROCESS);
        base36(&mut text, uuid::Uuid::new_v4().as_u128() as u64, 8);
        text
    }

    fn uuid(&mut self) -> String {
        uuid::Uuid::new_v4().to_string()
    }

    fn code(&mut self, characters: usize) -> String {
        const LETTERS: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(characters);
        while text.len() < characters {
            // Of each byte six bits count; values without a letter are drawn again, so that all are equally likely.
            for byte in uuid::Uuid::new_v4().as_bytes().iter().take(6) {
                if let Some(letter) = LETTERS
                    .get(usize::from(byte & 0x3f))
                    .filter(|_| text.len() < characters)
                {
                    text.push(char::from(*letter));
                }
            }
        }
        text
    }

    /// Later than the last write's, so that an update shows in `updatedAt` and rows made one after the other
    /// can be distinguished; but never more than `LEAD` ahead of the clock, which many writes would be.
    fn now(&mut self) -> String {
        let clock = milliseconds();
        let next = |last: i64| clock.max((last + 1).min(clock + LEAD)).max(last);
        let (Ok(last) | Err(last)) =
            LAST_WRITE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            });
        let time = DateTime::from_timestamp_millis(next(last)).unwrap_or_default();
        time.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
    }
}

fn milliseconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The last `digits` digits of `number`.
fn base36(out: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = (number / 36_u64.pow(place)) % 36;
        let digit = char::from_digit(u32::try_from(digit).unwrap_or_default(), 36).unwrap_or('0');
        // Writing to a string cannot fail.
        let _ = out.write_char(digit);
    }
}

#[cfg(test)]
mod tests {
    use gom_engine::plan::ValueSource as _;

    use super::*;

    #[test]
    fn ids_are_of_fixed_length_and_only_go_up() {
        let ids: Vec<String> = (0..10_000).map(|_| Sources.cuid()).collect();
        assert!(ids.iter().all(|id| id.len() == 25 && id.starts_with('c')));
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn codes_have_the_length_and_the_letters_that_a_url_takes() {
        let codes: std::collections::HashSet<String> =
            (0..10_000).map(|_| Sources.code(10)).collect();
        assert_eq!(codes.len(), 10_000);
        assert!(
            codes
                .iter()
                .all(|code| code.len() == 10 && code.bytes().all(|b| b.is_ascii_alphanumeric()))
        );
        let seen: std::collections::HashSet<u8> =
            codes.iter().flat_map(|code| code.bytes()).collect();
        assert_eq!(seen.len(), 62);
    }

    #[test]
    fn two_writes_differ_in_time_and_many_do_not_run_ahead() {
        let (first, second) = (Sources.now(), Sources.now());
        assert!(first < second, "{first} {second}");
        assert_eq!(first.len(), "2026-11-23T01:02:03.004".len());
        let many: Vec<String> = (0..10_000).map(|_| Sources.now()).collect();
        assert!(many.is_sorted());
        let last =
            chrono::NaiveDateTime::parse_from_str(many.last().unwrap(), "%Y-%m-%dT%H:%M:%S%.3f")
                .unwrap();
        assert!(last.and_utc().timestamp_millis() <= milliseconds() + LEAD);
    }
}
