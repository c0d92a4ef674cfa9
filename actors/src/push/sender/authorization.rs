//! The header by which a push service knows us: a token for each service, signed again at half of its life.

use std::time::{Duration, SystemTime};

use quick_cache::sync::Cache;
use reqwest::header::HeaderValue;

use super::super::{Contact, VapidError, VapidKeys};

/// RFC 8292 allows a day; half of it leaves room for clocks that differ.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Services of which tokens are kept. There are a handful of real ones.
const KEPT: usize = 256;

pub(super) struct Authorizations {
    keys: VapidKeys,
    contact: Contact,
    tokens: Cache<String, Signed>,
}

#[derive(Clone)]
struct Signed {
    header: HeaderValue,
    at: SystemTime,
}

impl Authorizations {
    pub fn new(keys: VapidKeys, contact: Contact) -> Self {
        Authorizations {
            keys,
            contact,
            tokens: Cache::new(KEPT),
        }
    }

    pub fn public_key(&self) -> &str {
        self.keys.public_base64url()
    }

    /// The header for an origin. `now` may go back: a token from the future is not used.
    pub fn of(&self, origin: &str, now: SystemTime) -> Result<HeaderValue, VapidError> {
        if let Some(signed) = self.tokens.get(origin)
            && now
                .duration_since(signed.at)
                .is_ok_and(|age| age < LIFE / 2)
        {
            return Ok(signed.header);
        }
        let token = self.keys.token(origin, &self.contact, now + LIFE)?;
        let text = format!("vapid t={token}, k={}", self.keys.public_base64url());
        let mut header = HeaderValue::from_str(&text)
            .map_err(|_| VapidError::Crypto("the token is no header"))?;
        header.set_sensitive(true);
        self.tokens.insert(
            origin.to_owned(),
            Signed {
                header: header.clone(),
                at: now,
            },
        );
        Ok(header)
    }

    /// The next header for an origin is signed again: it has refused this one.
    pub fn forget(&self, origin: &str) {
        self.tokens.remove(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_kept_for_each_origin_until_half_of_their_life() {
        let contact = Contact::parse("mailto:ops@gom.example").unwrap();
        let authorizations = Authorizations::new(VapidKeys::generate().unwrap(), contact);
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let of = |origin: &str, seconds: i64| {
            let offset = Duration::from_secs(seconds.unsigned_abs());
            authorizations
                .of(
                    origin,
                    if seconds < 0 {
                        start - offset
                    } else {
                        start + offset
                    },
                )
                .unwrap()
        };
        let first = of("https://one.example", 0);
        assert_eq!(of("https://one.example", 6 * 3_600 - 1), first);
        assert_ne!(of("https://two.example", 0), first);
        let second = of("https://one.example", 6 * 3_600);
        assert_ne!(second, first);
        assert_ne!(
            of("https://one.example", -10),
            second,
            "the clock went back"
        );
        let third = of("https://one.example", 6 * 3_600);
        authorizations.forget("https://one.example");
        assert_ne!(
            of("https://one.example", 6 * 3_600 + 1),
            third,
            "it was refused"
        );
    }
}
