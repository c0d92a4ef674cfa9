//! The cookie `device`: that somebody logged in to an account from this browser. Attempts to log in from such a browser
//! are counted for themselves, so that nobody who guesses at the account from elsewhere shuts its owner out. It opens
//! nothing: the password is asked for as ever. `<random>.<HMAC-SHA256 of it and the account>`, both in base64url.

use actix_web::HttpRequest;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::cookies;
use crate::identity::{AppKeys, KeyUse};

pub const DEVICE: &str = "device";
/// Browsers keep no cookie longer.
pub const MAX_AGE: std::time::Duration = std::time::Duration::from_secs(400 * 24 * 3600);
const NAME_BYTES: usize = 16;

/// A value for a browser from which `account` was logged in to.
pub fn seal(keys: &AppKeys, account: &str) -> String {
    let mut name = [0; NAME_BYTES];
    // aws-lc ends the process by itself if the system has no random bytes.
    rand::fill(&mut name).expect("random bytes");
    let name = URL_SAFE_NO_PAD.encode(name);
    let signature = keys.sign(KeyUse::Device, message(&name, account).as_bytes());
    format!("{name}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The device's name in the cookie of that name, if `account` was logged in to from it.
pub fn name_of(
    keys: &AppKeys,
    request: &HttpRequest,
    cookie: &str,
    account: &str,
) -> Option<String> {
    cookies::values(request.headers(), cookie).find_map(|value| open(keys, &value, account))
}

fn open(keys: &AppKeys, value: &str, account: &str) -> Option<String> {
    let (name, signature) = value.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    keys.verify(
        KeyUse::Device,
        message(name, account).as_bytes(),
        &signature,
    )
    .then(|| name.to_owned())
}

/// Neither part holds a blank.
fn message(name: &str, account: &str) -> String {
    format!("{name} {account}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    #[test]
    fn a_device_is_known_to_its_own_account_only() {
        let keys = AppKeys::new(&Secret::new("a key"), None);
        let value = seal(&keys, "ana");
        let name = value.split_once('.').unwrap().0;
        assert_eq!(open(&keys, &value, "ana").as_deref(), Some(name));
        assert_eq!(open(&keys, &value, "ben"), None);
        assert_ne!(
            seal(&keys, "ana"),
            value,
            "each login gets a name of its own"
        );
        let others = AppKeys::new(&Secret::new("another key"), None);
        for forged in [
            &seal(&others, "ana"),
            name,
            "",
            ".",
            &format!("x{value}"),
            &format!("{value}A"),
        ] {
            assert_eq!(open(&keys, forged, "ana"), None, "{forged}");
        }
    }
}
