//! Where the numbers are: every series has a place in a table, and every thread adds to one of a few such tables.
//! A reader sums them up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::metric::SLOTS;

/// So many threads add without disturbing each other.
const SHARDS: usize = 16;

/// Apart from its neighbours by what processors fetch at once.
#[repr(align(128))]
struct Shard([AtomicU64; SLOTS]);

static TABLE: [Shard; SHARDS] = [const { Shard([const { AtomicU64::new(0) }; SLOTS]) }; SHARDS];

thread_local! {
    static MINE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

/// Adds to this thread's part; a negative number in two's complement takes away.
#[inline]
pub(super) fn add(slot: usize, amount: u64) {
    // A thread that ends may still count.
    let shard = MINE.try_with(|shard| *shard).unwrap_or(0);
    TABLE[shard].0[slot].fetch_add(amount, Ordering::Relaxed);
}

/// The sum of all threads' parts.
pub(super) fn sum(slot: usize) -> u64 {
    TABLE.iter().fold(0, |sum, shard| {
        sum.wrapping_add(shard.0[slot].load(Ordering::Relaxed))
    })
}

/// What is set, not added to, stands in one place. 0 is unset.
pub(super) fn set(slot: usize, value: u64) {
    TABLE[0].0[slot].store(value, Ordering::Relaxed);
}

pub(super) fn get(slot: usize) -> u64 {
    TABLE[0].0[slot].load(Ordering::Relaxed)
}
