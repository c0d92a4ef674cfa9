//! The types of sessions. Knows no store.

use std::fmt;
use std::time::SystemTime;

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::SecretText;

/// The id of a session, which only its owner's browser and the store have. `Debug` shows its first six
/// characters, enough to follow one through a log and too few to use it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(String);

impl SessionId {
    /// 192 random bits, as 32 characters of base64url.
    #[expect(clippy::new_without_default, reason = "two of them are never the same")]
    pub fn new() -> Self {
        let mut bytes = [0; 24];
        // aws-lc ends the process by itself if the system has no random bytes.
        rand::fill(&mut bytes).expect("random bytes");
        SessionId(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Nothing unless it is 16 to 128 letters, digits, `-` and `_`: no other text is an id.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        ((16..=128).contains(&text.len()) && text.bytes().all(plain))
            .then(|| SessionId(text.to_owned()))
    }

    /// The id's text, as the cookie has it before its signature. A secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// See [`SessionSummary::handle`].
    pub fn handle(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.0.as_bytes());
        digest
            .as_ref()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}…)", self.0.get(..6).unwrap_or(""))
    }
}

/// A session to be opened by a login.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The owner of the session: the token's `sub`.
    pub subject: String,
    /// The provider that checked the login and issued the token: `auth0`, `accounts` or `phone`.
    pub provider: String,
    /// The third part of the access token; the first two are the browser's.
    pub signature: String,
    /// What renews the access token; nothing if it is not renewed.
    pub refresh_token: Option<SecretText>,
}

/// A live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The owner of the session: the token's `sub`.
    pub subject: String,
    /// The provider that issued the token.
    pub provider: String,
    /// The third part of the current access token.
    pub signature: String,
    /// What renews the access token; nothing if it is not renewed.
    pub refresh_token: Option<SecretText>,
    /// In whole milliseconds.
    pub opened: SystemTime,
    /// After a refresh, while its grace period lasts.
    pub previous: Option<Previous>,
}

/// What the last refresh replaced. A request that set out with the old cookie is recognised by it, and gets the
/// new one, instead of being logged out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// The third part of the token that was replaced: of several refreshes that the browser has not received, of the first.
    /// Where it may have either of several, all of them, the newest first, with a space between.
    pub signature: String,
    /// `header.payload` of the token that replaced it.
    pub head: String,
    /// The end of the grace period, in whole milliseconds. While the browser has not received the refreshed half, the session's own end.
    pub until: SystemTime,
}

impl Previous {
    /// Of the tokens of which the browser may have a half.
    pub fn signatures(&self) -> impl Iterator<Item = &str> {
        self.signature.split(' ')
    }
}

/// A session as it may be shown to its owner and to an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    /// Distinguishes it and is worth nothing to a thief: the first 16 hexadecimal digits of the SHA-256 of its
    /// id. [`super::Sessions::close_by_handle`] takes it.
    pub handle: String,
    /// The provider that issued the token.
    pub provider: String,
    /// When the user logged in.
    pub opened: SystemTime,
    /// To a hundredth of the idle time.
    pub last_seen: SystemTime,
}
