//! The keys that are derived from `app_key`: one for each use, so that nothing signed for one purpose is ever
//! accepted for another.

use std::fmt;

use aws_lc_rs::{hkdf, hmac};

use super::kept_secret::{SecretError, kept_in};
use super::service_secret::obtain_service_secret;
use crate::settings::{Secret, Settings};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// The signature of the cookie `session-id`.
    SessionCookie,
    /// The CSRF token.
    Csrf,
    /// Access tokens of our own accounts.
    AccountToken,
    /// Refresh tokens of our own accounts.
    AccountRefresh,
    /// The cookie `device`.
    Device,
    /// The check of cursors.
    Cursor,
    /// What hides them.
    CursorMask,
}

impl KeyUse {
    const ALL: [KeyUse; 7] = [
        KeyUse::SessionCookie,
        KeyUse::Csrf,
        KeyUse::AccountToken,
        KeyUse::AccountRefresh,
        KeyUse::Device,
        KeyUse::Cursor,
        KeyUse::CursorMask,
    ];

    /// Whether a key of the server's own has the label.
    pub(super) fn has_label(label: &str) -> bool {
        Self::ALL
            .iter()
            .any(|key_use| key_use.label() == label.as_bytes())
    }

    /// Never change one: what was signed with its key would be refused.
    fn label(self) -> &'static [u8] {
        match self {
            KeyUse::SessionCookie => b"gom session cookie v1",
            KeyUse::Csrf => b"gom csrf token v1",
            KeyUse::AccountToken => b"gom account access token v1",
            KeyUse::AccountRefresh => b"gom account refresh token v1",
            KeyUse::Device => b"gom device cookie v1",
            KeyUse::Cursor => b"gom cursor v1",
            KeyUse::CursorMask => b"gom cursor mask v1",
        }
    }
}

/// Bytes of a signature: HMAC-SHA256.
pub const SIGNATURE_BYTES: usize = 32;

/// One key for each use, and one for each label of an application. Signs with the current key, and accepts what that
/// one or the previous one signed, so that keys change without logging anybody out.
#[derive(Clone)]
pub struct AppKeys {
    current: Derived,
    previous: Option<Derived>,
}

/// The keys that come of one secret.
#[derive(Clone)]
struct Derived {
    extracted: hkdf::Prk,
    keys: [hmac::Key; KeyUse::ALL.len()],
}

/// The key of an application's label.
#[derive(Clone)]
pub struct LabelledKey {
    current: hmac::Key,
    previous: Option<hmac::Key>,
}

impl AppKeys {
    /// The keys of the settings: from `app_key`; without it, from a key that is made at first start and kept
    /// beside the private database; with a database of one's own, from the service secret, which is the same on
    /// all nodes and whose holders may do everything anyway.
    ///
    /// # Errors
    /// If there is nothing to derive them from, or the file cannot be read or written.
    pub fn obtain(settings: &Settings) -> Result<Self, SecretError> {
        let secret = match (&settings.app_key, &settings.database.url) {
            (Some(key), _) => key.clone(),
            (None, Some(_)) => obtain_service_secret(settings)?,
            (None, None) => kept_in(&settings.embedded.data_dir, "app.key", "APP_KEY")?,
        };
        Ok(AppKeys::new(&secret, settings.app_key_previous.as_ref()))
    }

    /// Derives the keys of all uses from the secret in use, and from the one before it.
    pub fn new(current: &Secret, previous: Option<&Secret>) -> Self {
        AppKeys {
            current: Derived::from_secret(current),
            previous: previous.map(Derived::from_secret),
        }
    }

    /// The signature of a message.
    pub(crate) fn sign(&self, key_use: KeyUse, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        signature(&self.current.keys[key_use as usize], message)
    }

    /// The signatures of a message with the key in use and, where there is one, the previous key.
    pub(crate) fn signatures(
        &self,
        key_use: KeyUse,
        message: &[u8],
    ) -> impl Iterator<Item = [u8; SIGNATURE_BYTES]> {
        let previous = self
            .previous
            .as_ref()
            .map(|previous| signature(&previous.keys[key_use as usize], message));
        std::iter::once(self.sign(key_use, message)).chain(previous)
    }

    /// Whether the message was signed for this use, with the key in use or the one before. Takes as long for a
    /// wrong signature whatever is wrong with it.
    pub(crate) fn verify(&self, key_use: KeyUse, message: &[u8], signature: &[u8]) -> bool {
        self.key(key_use).verify(message, signature)
    }

    fn key(&self, key_use: KeyUse) -> KeyRef<'_> {
        let index = key_use as usize;
        KeyRef {
            current: &self.current.keys[index],
            previous: self.previous.as_ref().map(|previous| &previous.keys[index]),
        }
    }

    /// The key of a label, which must be none of the server's own ([`super::check_kinds`]).
    pub(crate) fn labelled(&self, label: &str) -> LabelledKey {
        LabelledKey {
            current: expand(&self.current.extracted, label.as_bytes()),
            previous: self
                .previous
                .as_ref()
                .map(|previous| expand(&previous.extracted, label.as_bytes())),
        }
    }
}

impl LabelledKey {
    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        signature(&self.current, message)
    }

    /// As [`AppKeys::verify`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = KeyRef {
            current: &self.current,
            previous: self.previous.as_ref(),
        };
        key.verify(message, signature)
    }
}

impl fmt::Debug for LabelledKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LabelledKey(***)")
    }
}

/// The current key, and the previous one where there is one.
struct KeyRef<'a> {
    current: &'a hmac::Key,
    previous: Option<&'a hmac::Key>,
}

impl KeyRef<'_> {
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(self.current, message, signature).is_ok()
            || self
                .previous
                .is_some_and(|key| hmac::verify(key, message, signature).is_ok())
    }
}

impl fmt::Debug for AppKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKeys(***)")
    }
}

fn signature(key: &hmac::Key, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
    let tag = hmac::sign(key, message);
    let mut signature = [0; SIGNATURE_BYTES];
    signature.copy_from_slice(tag.as_ref());
    signature
}

impl Derived {
    /// HKDF-SHA256 (RFC 5869) with a label for each use.
    fn from_secret(secret: &Secret) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"gom application key");
        let extracted = salt.extract(secret.expose().as_bytes());
        Derived {
            keys: KeyUse::ALL.map(|key_use| expand(&extracted, key_use.label())),
            extracted,
        }
    }
}

fn expand(extracted: &hkdf::Prk, label: &[u8]) -> hmac::Key {
    let label = [label];
    let expanded = extracted.expand(&label, hmac::HMAC_SHA256);
    // Fails for an output of more than 255 hashes; this is one.
    hmac::Key::from(expanded.expect("HKDF gives 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(current: &str, previous: Option<&str>) -> AppKeys {
        AppKeys::new(&Secret::new(current), previous.map(Secret::new).as_ref())
    }

    #[test]
    fn f08_what_is_signed_for_one_use_is_refused_for_every_other() {
        let keys = keys("a key", Some("an older key"));
        for signed_for in KeyUse::ALL {
            let signature = keys.sign(signed_for, b"message");
            for used_for in KeyUse::ALL {
                assert_eq!(
                    keys.verify(used_for, b"message", &signature),
                    signed_for == used_for
                );
            }
            assert!(!keys.labelled("a label").verify(b"message", &signature));
        }
        let signature = keys.labelled("a label").sign(b"message");
        assert!(keys.labelled("a label").verify(b"message", &signature));
        assert!(!keys.labelled("another").verify(b"message", &signature));
        for used_for in KeyUse::ALL {
            assert!(!keys.verify(used_for, b"message", &signature));
        }
    }

    #[test]
    fn a_labelled_key_that_was_replaced_is_accepted_until_it_is_replaced_again() {
        let signature = keys("first", None).labelled("l").sign(b"message");
        let accepts = |keys: &AppKeys| keys.labelled("l").verify(b"message", &signature);
        assert!(accepts(&keys("second", Some("first"))));
        assert!(!accepts(&keys("third", Some("second"))));
        assert!(!accepts(&keys("second", None)));
    }

    #[test]
    fn a_key_that_was_replaced_is_accepted_until_it_is_replaced_again() {
        let signature = keys("first", None).sign(KeyUse::Csrf, b"message");
        assert!(keys("second", Some("first")).verify(KeyUse::Csrf, b"message", &signature));
        assert!(!keys("third", Some("second")).verify(KeyUse::Csrf, b"message", &signature));
        assert!(!keys("second", None).verify(KeyUse::Csrf, b"message", &signature));
        let newer = keys("second", Some("first")).sign(KeyUse::Csrf, b"message");
        assert!(
            keys("second", None).verify(KeyUse::Csrf, b"message", &newer),
            "signed with the newer one"
        );
    }

    #[test]
    fn an_altered_message_or_signature_is_refused() {
        let keys = keys("a key", None);
        let signature = keys.sign(KeyUse::SessionCookie, b"message");
        assert!(!keys.verify(KeyUse::SessionCookie, b"massage", &signature));
        assert!(!keys.verify(KeyUse::SessionCookie, b"message", &signature[..31]));
        assert!(!keys.verify(KeyUse::SessionCookie, b"message", &[]));
    }

    #[test]
    fn nothing_shows_a_key() {
        let keys = keys("hunter2", None);
        assert_eq!(format!("{keys:?}"), "AppKeys(***)");
        assert_eq!(format!("{:?}", keys.labelled("l")), "LabelledKey(***)");
    }
}
