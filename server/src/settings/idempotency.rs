//! How idempotency keys are kept.

use std::time::Duration;

use super::key::{COUNT, SIZE, milliseconds, section};

/// For how long keys are kept that came before they were switched off.
const A_DAY: Duration = Duration::from_secs(86_400);

section! {
    /// Idempotency keys: a mutation that is repeated with its key is carried out once, and answered alike.
    pub struct Idempotency at "idempotency." {
        /// For how long, at least, a key is kept after its first use. 0: mutations take no keys.
        pub keep_for: Duration = milliseconds(0, 31_536_000_000).default("86400000"),
        /// Size of the stored answers of one key. A mutation with a larger answer is carried out and answered; its
        /// repetition is answered with `LIMIT_EXCEEDED`, and writes nothing.
        pub answer_bytes: usize = SIZE.default("65536"),
        /// Keys of one user that are kept. A mutation with one more is refused with `LIMIT_EXCEEDED`. The service role
        /// has no such bound.
        pub keys_per_user: usize = COUNT.default("10000"),
    }
}

impl Idempotency {
    /// After which time keys are removed, whether or not new ones are taken.
    pub(crate) fn retention(&self) -> Duration {
        if self.keep_for.is_zero() {
            A_DAY
        } else {
            self.keep_for
        }
    }
}
