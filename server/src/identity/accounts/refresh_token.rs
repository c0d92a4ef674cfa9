//! Refresh tokens of accounts. They are signed, not stored: nothing has to be cleared away, and what ends one
//! (another version of the account) stands in the account's own row. They never leave the server.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gom_actors::secret::SecretText;
use serde::{Deserialize, Serialize};

use crate::identity::app_keys::{AppKeys, KeyUse};

/// What a refresh token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    pub username: String,
    /// Of the account, at its login.
    pub version: i64,
    /// Seconds since 1970.
    until: u64,
}

impl RefreshToken {
    pub fn of(username: &str, version: i64, until: SystemTime) -> Self {
        let until = until
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        RefreshToken {
            username: username.to_owned(),
            version,
            until,
        }
    }

    pub fn sign(&self, keys: &AppKeys) -> SecretText {
        // A structure of a text and two numbers is always JSON.
        let content = serde_json::to_vec(self).unwrap_or_default();
        let content = URL_SAFE_NO_PAD.encode(content);
        let signature =
            URL_SAFE_NO_PAD.encode(keys.sign(KeyUse::AccountRefresh, content.as_bytes()));
        SecretText::new(format!("{content}.{signature}"))
    }

    /// Nothing if it is not ours or has ended.
    pub fn read(token: &str, keys: &AppKeys, now: SystemTime) -> Option<Self> {
        let (content, signature) = token.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !keys.verify(KeyUse::AccountRefresh, content.as_bytes(), &signature) {
            return None;
        }
        let read: RefreshToken =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(content).ok()?).ok()?;
        let until = UNIX_EPOCH.checked_add(Duration::from_secs(read.until))?;
        (now < until).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    #[test]
    fn it_is_read_until_it_ends_and_only_unaltered() {
        let now = SystemTime::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let keys = AppKeys::new(&Secret::new("a key"), None);
        let token = RefreshToken::of("paletas", 3, later(60));
        let text = token.sign(&keys).into_exposed();
        assert_eq!(RefreshToken::read(&text, &keys, now), Some(token.clone()));
        assert_eq!(
            RefreshToken::read(&text, &keys, later(61)),
            None,
            "it has ended"
        );
        let other = RefreshToken::of("tacos", 3, later(60))
            .sign(&keys)
            .into_exposed();
        let mixed = format!(
            "{}.{}",
            other.split('.').next().unwrap(),
            text.split('.').nth(1).unwrap()
        );
        for altered in ["", ".", &text[1..], &text[..text.len() - 1], &mixed] {
            assert_eq!(RefreshToken::read(altered, &keys, now), None, "{altered}");
        }
        let replaced = AppKeys::new(&Secret::new("newer"), Some(&Secret::new("a key")));
        let renewed = RefreshToken::read(&text, &replaced, now)
            .unwrap()
            .sign(&replaced)
            .into_exposed();
        let again = AppKeys::new(&Secret::new("newest"), Some(&Secret::new("newer")));
        assert_eq!(RefreshToken::read(&text, &again, now), None);
        assert_eq!(RefreshToken::read(&renewed, &again, now), Some(token));
    }
}
