//! Cursors as clients get them: sealed, for a position counts the transactions of everybody.

use std::fmt::Write;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use gom_engine::events::{Cursor, CursorError};

use super::app_keys::{AppKeys, KeyUse, SIGNATURE_BYTES};
use super::kept_secret::SecretError;
use crate::settings::{Secret, Settings};

/// Nonce, position and part. Earlier versions wrote the epoch in place of the nonce: they take a nonce for an epoch that is
/// over, and have the client read again.
const PLAIN_BYTES: usize = 8 + 8 + 4;
const TAG_BYTES: usize = 8;
/// Every nonce has this bit, and no epoch has.
const IS_NONCE: u64 = 1 << 63;

/// Seals cursors and opens them, the same on all nodes with the same `app_key`.
///
/// A tag is made of the cursor, and of the tag what hides the cursor (a synthetic IV, as in RFC 5297): equal cursors have
/// equal texts, different ones have nothing in common, and a text that was made up is none.
#[derive(Debug, Clone)]
pub struct Cursors {
    /// Shared: they are large.
    keys: Arc<AppKeys>,
}

impl Cursors {
    /// With these keys; nodes with equal keys open each other's cursors.
    pub fn new(keys: AppKeys) -> Self {
        Cursors {
            keys: Arc::new(keys),
        }
    }

    /// With keys that nobody else has.
    pub(crate) fn alone() -> Self {
        Cursors::new(AppKeys::new(
            &Secret::new(uuid::Uuid::new_v4().to_string()),
            None,
        ))
    }

    /// With the keys of the settings.
    ///
    /// # Errors
    /// As [`AppKeys::obtain`].
    pub fn obtain(settings: &Settings) -> Result<Self, SecretError> {
        AppKeys::obtain(settings).map(Cursors::new)
    }

    /// The text that a client receives.
    pub fn seal(&self, cursor: Cursor) -> String {
        let mut plain = [0; PLAIN_BYTES];
        let first = match cursor.nonce {
            0 => cursor.epoch,
            nonce => nonce,
        };
        plain[..8].copy_from_slice(&first.to_be_bytes());
        plain[8..16].copy_from_slice(&position_and_step(cursor).to_be_bytes());
        plain[16..].copy_from_slice(&cursor.part.to_be_bytes());
        let tag = &self.keys.sign(KeyUse::Cursor, &plain)[..TAG_BYTES];
        let hidden = masked(&plain, &self.keys.sign(KeyUse::CursorMask, tag));
        let mut text = String::with_capacity(2 * (TAG_BYTES + PLAIN_BYTES));
        for byte in tag.iter().chain(&hidden) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// What was sealed, with the key in use or the previous one. A cursor as it was written before cursors were sealed is one
    /// of which nothing is known.
    ///
    /// # Errors
    /// A text that is no cursor.
    pub fn open(&self, text: &str) -> Result<Cursor, CursorError> {
        let Some(sealed) = bytes(text) else {
            // No database has this epoch.
            return text.parse::<Cursor>().map(|_| Cursor::after(0, 0));
        };
        let (tag, hidden) = sealed.split_at(TAG_BYTES);
        for mask in self.keys.signatures(KeyUse::CursorMask, tag) {
            let plain = masked(hidden, &mask);
            let mut tags = self.keys.signatures(KeyUse::Cursor, &plain);
            if tags.any(|made| verify_slices_are_equal(&made[..TAG_BYTES], tag).is_ok()) {
                return Ok(cursor(&plain));
            }
        }
        Err(CursorError)
    }
}

fn masked(bytes: &[u8], mask: &[u8; SIGNATURE_BYTES]) -> [u8; PLAIN_BYTES] {
    let mut out = [0; PLAIN_BYTES];
    for (out, (byte, mask)) in out.iter_mut().zip(bytes.iter().zip(mask)) {
        *out = byte ^ mask;
    }
    out
}

fn cursor(plain: &[u8; PLAIN_BYTES]) -> Cursor {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let part = u32::try_from(number(&plain[16..])).unwrap_or(Cursor::WHOLE);
    let (position, step) = (number(&plain[8..16]), number(&plain[8..10]));
    let step = u16::try_from(step)
        .ok()
        .and_then(|step| step.checked_sub(1))
        .filter(|step| *step < MAX_STEP);
    let first = number(&plain[..8]);
    // With a nonce, the epoch is not written: a position of an epoch that is over has no stamp with this nonce any more.
    let (epoch, nonce) = if first & IS_NONCE == 0 {
        (first, 0)
    } else {
        (0, first)
    };
    Cursor {
        epoch,
        position: if step.is_some() {
            position & MAX_POSITION
        } else {
            position
        },
        part,
        step: step.unwrap_or(Cursor::ALL),
        nonce,
    }
}

/// A position that no log reaches. A step is in the bits above it, plus one: a server that knows no steps takes such a cursor
/// for one from the future, of which nothing is known.
const MAX_POSITION: u64 = (1 << 48) - 1;
/// There are far fewer steps in a change.
const MAX_STEP: u16 = 1 << 14;

fn position_and_step(cursor: Cursor) -> u64 {
    if cursor.step == Cursor::ALL || cursor.position > MAX_POSITION {
        cursor.whole_change().position
    } else {
        cursor.position | (u64::from(cursor.step) + 1) << 48
    }
}

fn bytes(text: &str) -> Option<[u8; TAG_BYTES + PLAIN_BYTES]> {
    let mut bytes = [0; TAG_BYTES + PLAIN_BYTES];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors(current: &str, previous: Option<&str>) -> Cursors {
        Cursors::new(AppKeys::new(
            &Secret::new(current),
            previous.map(Secret::new).as_ref(),
        ))
    }

    #[test]
    fn a_sealed_cursor_is_opened_by_every_node_and_by_nobody_else() {
        let (one, other) = (cursors("a key", None), cursors("a key", None));
        for cursor in [
            Cursor::after_change(0xab, 1, 0),
            Cursor {
                nonce: IS_NONCE | 0xab,
                ..Cursor::after_change(0, 1, 0)
            },
            Cursor {
                nonce: u64::MAX,
                ..Cursor::after(0, u64::MAX)
            },
            Cursor {
                step: 0,
                ..Cursor::after_change(0xab, 1, 7)
            },
            Cursor {
                step: 999,
                nonce: IS_NONCE | 7,
                ..Cursor::after_change(0, 1 << 40, 7)
            },
        ] {
            assert_eq!(other.open(&one.seal(cursor)), Ok(cursor));
            assert_eq!(one.seal(cursor), other.seal(cursor));
            assert_eq!(
                cursors("newer", Some("a key")).open(&one.seal(cursor)),
                Ok(cursor)
            );
            assert_eq!(
                cursors("another", None).open(&one.seal(cursor)),
                Err(CursorError)
            );
        }
    }

    #[test]
    fn a_server_that_knows_no_steps_takes_one_for_a_cursor_from_the_future() {
        let step = Cursor {
            step: 0,
            ..Cursor::after_change(1, 7, 3)
        };
        assert!(position_and_step(step) > MAX_POSITION);
        assert_eq!(position_and_step(Cursor::after_change(1, 7, 3)), 7);
    }

    #[test]
    fn a_cursor_of_an_earlier_version_has_its_epoch_and_no_nonce() {
        let cursors = cursors("a key", None);
        // 48 bits, as `gom.new_epoch()` makes them.
        let earlier = Cursor::after(0xffff_ffff_ffff, 12);
        assert_eq!(cursors.open(&cursors.seal(earlier)), Ok(earlier));
    }

    #[test]
    fn a_server_of_an_earlier_version_takes_a_nonce_for_an_epoch_that_no_database_has() {
        let cursors = cursors("a key", None);
        let sealed = cursors.seal(Cursor {
            nonce: IS_NONCE | 5,
            ..Cursor::after(3, 12)
        });
        // The length that it opens, and what it reads as the epoch.
        let sealed = bytes(&sealed).unwrap();
        let (tag, hidden) = sealed.split_at(TAG_BYTES);
        let mask = cursors.keys.signatures(KeyUse::CursorMask, tag).next();
        let plain = masked(hidden, &mask.unwrap());
        let epoch = u64::from_be_bytes(plain[..8].try_into().unwrap());
        assert!(epoch >= 1 << 48, "{epoch:x}");
    }

    #[test]
    fn cursors_do_not_count() {
        let cursors = cursors("a key", None);
        let sealed = |position| {
            cursors.seal(Cursor {
                nonce: IS_NONCE | 7,
                ..Cursor::after_change(1, position, 0)
            })
        };
        let texts: Vec<String> = (0..200).map(sealed).collect();
        assert!(!texts.is_sorted() && texts.iter().all(|text| text.len() == texts[0].len()));
        // Of two that follow each other about half of the bits differ.
        for pair in texts.windows(2) {
            let [one, other] = [&pair[0], &pair[1]].map(|text| bytes(text).unwrap_or_default());
            let differing: u32 = one
                .iter()
                .zip(other)
                .map(|(a, b)| (a ^ b).count_ones())
                .sum();
            assert!((60..165).contains(&differing), "{pair:?}");
        }
    }

    #[test]
    fn what_was_made_up_is_refused_and_what_was_plain_is_not_known() {
        let cursors = cursors("a key", None);
        let sealed = cursors.seal(Cursor::after(7, 7));
        let mut altered = sealed.clone().into_bytes();
        altered[20] ^= 1;
        let altered = String::from_utf8_lossy(&altered).into_owned();
        for bad in [
            "",
            "malformed",
            &sealed[1..],
            &altered,
            &"0".repeat(sealed.len()),
            "é",
        ] {
            assert_eq!(cursors.open(bad), Err(CursorError), "{bad}");
        }
        assert_eq!(cursors.open("9f3a01c2d4e7-1b2-0"), Ok(Cursor::after(0, 0)));
    }
}
