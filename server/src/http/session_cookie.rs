//! The value of the cookie `session-id`: a session's id, signed as Express signs cookies, so that nobody can
//! make the server look up ids that it did not give out. `s:<id>.<HMAC-SHA256 in base64 without padding>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use gom_actors::sessions::SessionId;

use crate::identity::{AppKeys, KeyUse};

pub fn seal(keys: &AppKeys, id: &SessionId) -> String {
    let signature = keys.sign(KeyUse::SessionCookie, id.as_str().as_bytes());
    format!("s:{}.{}", id.as_str(), STANDARD_NO_PAD.encode(signature))
}

/// The id, if we signed it.
pub fn open(keys: &AppKeys, value: &str) -> Option<SessionId> {
    let (id, signature) = value.strip_prefix("s:")?.rsplit_once('.')?;
    let signature = STANDARD_NO_PAD.decode(signature).ok()?;
    keys.verify(KeyUse::SessionCookie, id.as_bytes(), &signature)
        .then(|| SessionId::parse(id))?
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
    fn what_is_sealed_is_opened() {
        let id = SessionId::new();
        let value = seal(&keys(), &id);
        assert_eq!(open(&keys(), &value), Some(id));
        assert_eq!(value.len(), 2 + 32 + 1 + 43);
    }

    #[test]
    fn what_others_sealed_is_refused() {
        let id = SessionId::new();
        let other = AppKeys::new(&Secret::new("another key"), None);
        let value = seal(&keys(), &id);
        for forged in [
            &seal(&other, &id),
            &value[2..],
            &value.replace("s:", "j:"),
            &value[..value.len() - 1],
            &format!("{value}A"),
            &format!("s:{}.{}", SessionId::new().as_str(), &value[35..]),
            id.as_str(),
            "s:",
            "s:.",
            "",
        ] {
            assert_eq!(open(&keys(), forged), None, "{forged}");
        }
    }

    #[test]
    fn what_the_key_before_sealed_is_opened() {
        let id = SessionId::new();
        let newer = AppKeys::new(&Secret::new("a newer key"), Some(&Secret::new("a key")));
        assert_eq!(open(&newer, &seal(&keys(), &id)), Some(id));
    }

    proptest! {
        #[test]
        fn no_value_is_a_panic(value in "(s:)?\\PC*") {
            prop_assert_eq!(open(&keys(), &value), None);
        }
    }
}
