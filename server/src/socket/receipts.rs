//! What a client has received, in a protocol that does not tell: a client answers each ping after all that was sent before it.
//! Pure.

use std::str;

/// The pings of one socket that ask for a receipt. `T`: what is received.
#[derive(Debug)]
pub(super) struct Receipts<T> {
    /// Of the last ping that asked.
    number: u64,
    awaited: Option<T>,
}

impl<T> Default for Receipts<T> {
    fn default() -> Self {
        Receipts {
            number: 0,
            awaited: None,
        }
    }
}

impl<T> Receipts<T> {
    /// Whether an answer is awaited: then nothing else is asked.
    pub fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    /// All of this was sent before the ping with [`Receipts::payload`], which is to follow.
    pub fn ask(&mut self, of: T) {
        self.number += 1;
        self.awaited = Some(of);
    }

    /// What every ping of the socket has in it: of several that come together a client may answer only the last (RFC 6455,
    /// section 5.5.3).
    pub fn payload(&self) -> String {
        if self.number == 0 {
            String::new()
        } else {
            self.number.to_string()
        }
    }

    /// What is received for certain, now that this was answered.
    pub fn answered(&mut self, payload: &[u8]) -> Option<T> {
        let number: u64 = str::from_utf8(payload).ok()?.parse().ok()?;
        if number == self.number {
            self.awaited.take()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_last_ping_is_a_receipt_and_only_once() {
        let mut receipts = Receipts::default();
        assert_eq!(
            (receipts.payload().as_str(), receipts.answered(b"")),
            ("", None)
        );
        assert_eq!(receipts.answered(b"0"), None);
        receipts.ask("one");
        assert!(receipts.is_awaited());
        for other in [&b""[..], b"2", b"-1", b"\xff", b"99999999999999999999999"] {
            assert_eq!(receipts.answered(other), None, "{other:?}");
        }
        assert_eq!(receipts.answered(b"1"), Some("one"));
        assert_eq!(receipts.answered(b"1"), None);
        assert!(!receipts.is_awaited());
        receipts.ask("two");
        assert_eq!(
            receipts.answered(b"1"),
            None,
            "of an earlier ping, which was sent twice"
        );
        assert_eq!(
            receipts.answered(receipts.payload().clone().as_bytes()),
            Some("two")
        );
    }
}
