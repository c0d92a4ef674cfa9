//! Tokens against cross-site request forgery: a page of another site can make a browser send our cookies, and
//! cannot read them to repeat one in a header. A token is signed together with the session's id, so that one
//! that was planted, or belongs to another session, is worth nothing; it is stored nowhere.
//!
//! `c<salt>-<HMAC-SHA256>`, both in base64url. The client reads the cookie through `JSON.parse` and takes `+`
//! for a space: the letter in front keeps it a text.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gom_actors::sessions::SessionId;

use crate::identity::{AppKeys, KeyUse};

const MARK: char = 'c';
/// Random bytes, so that the token differs each time it is sent, which hides it from attacks on compression.
const SALT_BYTES: usize = 9;
/// The salt in base64url.
const SALT_LENGTH: usize = 12;

/// A new token for a session.
pub fn token(keys: &AppKeys, id: &SessionId) -> String {
    let mut salt = [0; SALT_BYTES];
    // aws-lc ends the process by itself if the system has no random bytes.
    rand::fill(&mut salt).expect("random bytes");
    let salt = URL_SAFE_NO_PAD.encode(salt);
    let signature = keys.sign(KeyUse::Csrf, &message(id, &salt));
    format!("{MARK}{salt}-{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Whether a token was made for this session.
pub fn belongs(keys: &AppKeys, id: &SessionId, token: &str) -> bool {
    let Some((salt, rest)) = token
        .strip_prefix(MARK)
        .and_then(|rest| rest.split_at_checked(SALT_LENGTH))
    else {
        return false;
    };
    let signature = rest
        .strip_prefix('-')
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    signature.is_some_and(|signature| keys.verify(KeyUse::Csrf, &message(id, salt), &signature))
}

/// A session's id has no dot: no two pairs make the same message.
fn message(id: &SessionId, salt: &str) -> Vec<u8> {
    [id.as_str(), ".", salt].concat().into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::Secret;

    fn keys() -> AppKeys {
        AppKeys::new(&Secret::new("a key"), None)
    }

    #[test]
    fn a_token_belongs_to_its_session_only() {
        let (id, other) = (SessionId::new(), SessionId::new());
        let made = token(&keys(), &id);
        assert!(belongs(&keys(), &id, &made));
        assert!(!belongs(&keys(), &other, &made));
        assert!(!belongs(
            &AppKeys::new(&Secret::new("another key"), None),
            &id,
            &made
        ));
        assert!(belongs(
            &AppKeys::new(&Secret::new("b"), Some(&Secret::new("a key"))),
            &id,
            &made
        ));
        assert_ne!(made, token(&keys(), &id), "each is different");
        for altered in [
            "",
            "c",
            &made[1..],
            &made[..made.len() - 1],
            &made.replacen('c', "d", 1),
            &format!("{made}A"),
        ] {
            assert!(!belongs(&keys(), &id, altered), "{altered}");
        }
    }

    #[test]
    fn the_client_reads_it_unchanged() {
        for _ in 0..1_000 {
            let made = token(&keys(), &SessionId::new());
            assert!(
                made.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            );
            assert!(
                serde_json::from_str::<serde_json::Value>(&made).is_err(),
                "no JSON: {made}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_token_is_a_panic(text in "c?\\PC*") {
            prop_assert!(!belongs(&keys(), &SessionId::new(), &text));
        }
    }
}
