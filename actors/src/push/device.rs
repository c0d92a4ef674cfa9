//! A device as its browser describes it: where messages for it go, and the keys with which they are encrypted. Whatever has
//! one of these types has been checked.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

/// Bytes of the longest endpoint. Those of today's push services have less than 500.
pub const MAX_ENDPOINT_BYTES: usize = 2_048;
/// An uncompressed point on P-256: a mark and two coordinates.
pub const P256DH_BYTES: usize = 65;
const UNCOMPRESSED: u8 = 4;
/// The secret that only the browser and we know.
pub const AUTH_BYTES: usize = 16;
/// Base64 of the longer of them, with padding.
const MAX_KEY_BYTES: usize = 88;
/// Of the digest, in a fingerprint.
const FINGERPRINT_BYTES: usize = 16;

/// Where a push service takes messages for one device. Anyone who has it can send there: it is never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushEndpoint {
    text: String,
    origin: String,
    host: String,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is longer than [`MAX_ENDPOINT_BYTES`].
    #[error("must be shorter than or equal to {MAX_ENDPOINT_BYTES} characters")]
    TooLong,
    /// It is no URL.
    #[error("must be a URL")]
    Malformed,
    /// Its scheme is not `https`.
    #[error("must begin with https://")]
    NotHttps,
    /// It contains a user name or a password.
    #[error("must not contain a user name or a password")]
    UserInfo,
    /// It contains a fragment.
    #[error("must not contain a fragment")]
    Fragment,
}

impl PushEndpoint {
    /// Checks a URL as the browser wrote it. Whether its host may be connected to is another question.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        if text.len() > MAX_ENDPOINT_BYTES {
            return Err(EndpointError::TooLong);
        }
        // The parser would mend what follows: then two of us might understand one text differently.
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        {
            return Err(EndpointError::Malformed);
        }
        let rest = text
            .strip_prefix("https://")
            .ok_or(EndpointError::NotHttps)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() {
            return Err(EndpointError::Malformed);
        }
        if authority.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        if text.contains('#') {
            return Err(EndpointError::Fragment);
        }
        let url = Url::parse(text).map_err(|_| EndpointError::Malformed)?;
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(EndpointError::Malformed)?
            .to_owned();
        Ok(PushEndpoint {
            origin: url.origin().ascii_serialization(),
            host,
            text: text.to_owned(),
        })
    }

    /// As the browser wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `https://host`, with the port if it is not 443: what VAPID calls the audience.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// As it is looked up or connected to: in lower case, without the port; addresses in their usual form, IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Names the device where the endpoint itself must not be seen: in the log and in the ledger.
    pub fn fingerprint(&self) -> String {
        let digest = digest(&SHA256, self.text.as_bytes());
        URL_SAFE_NO_PAD.encode(&digest.as_ref()[..FINGERPRINT_BYTES])
    }
}

impl fmt::Debug for PushEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushEndpoint({}/…)", self.origin)
    }
}

/// The keys of a subscription: the browser's public key and the secret that it shares with us.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKeys {
    p256dh: [u8; P256DH_BYTES],
    auth: [u8; AUTH_BYTES],
}

/// Why two texts are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The browser's public key.
    #[error("must be an uncompressed point on P-256: {P256DH_BYTES} bytes in base64url")]
    P256dh,
    /// The browser's authentication secret.
    #[error("must be {AUTH_BYTES} bytes in base64url")]
    Auth,
}

impl DeviceKeys {
    /// Both are base64url as the specification has it, or plain base64 as some browsers once sent; padded or not.
    ///
    /// # Errors
    /// Which of them is wrong.
    pub fn parse(p256dh: &str, auth: &str) -> Result<Self, KeysError> {
        let p256dh = decode(p256dh).ok_or(KeysError::P256dh)?;
        let auth = decode(auth).ok_or(KeysError::Auth)?;
        Self::from_bytes(&p256dh, &auth)
    }

    /// # Errors
    /// Which of them is wrong.
    pub fn from_bytes(p256dh: &[u8], auth: &[u8]) -> Result<Self, KeysError> {
        let p256dh: [u8; P256DH_BYTES] = p256dh.try_into().map_err(|_| KeysError::P256dh)?;
        let auth = auth.try_into().map_err(|_| KeysError::Auth)?;
        // Of the forms that a point may have, subscriptions have this one.
        if p256dh[0] != UNCOMPRESSED {
            return Err(KeysError::P256dh);
        }
        // It looks whether the point lies on the curve: a point elsewhere would tell something of the sender's key.
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, p256dh).map_err(|_| KeysError::P256dh)?;
        Ok(DeviceKeys { p256dh, auth })
    }

    /// The browser's public key.
    pub fn p256dh(&self) -> &[u8; P256DH_BYTES] {
        &self.p256dh
    }

    /// The shared secret.
    pub fn auth(&self) -> &[u8; AUTH_BYTES] {
        &self.auth
    }

    pub(super) fn p256dh_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.p256dh)
    }

    pub(super) fn auth_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.auth)
    }

    /// Whether they are the same. Takes as long for wrong ones as for right ones.
    pub fn same(&self, other: &Self) -> bool {
        let (p256dh, auth) = (
            verify_slices_are_equal(&self.p256dh, &other.p256dh),
            verify_slices_are_equal(&self.auth, &other.auth),
        );
        p256dh.is_ok() & auth.is_ok()
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKeys(***)")
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_KEY_BYTES {
        return None;
    }
    let plain = text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    URL_SAFE_NO_PAD.decode(plain).ok()
}

/// A subscription, as a browser has it from its push service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Where the push service takes messages for it.
    pub endpoint: PushEndpoint,
    /// What messages to it are encrypted with.
    pub keys: DeviceKeys,
    /// Milliseconds since 1970, if the push service has set an end (`expirationTime`).
    pub expires: Option<i64>,
}

/// A device that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its subscription.
    pub device: Device,
    /// The claim `sub` of its user.
    pub user: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The receiver of RFC 8291's example.
    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    #[test]
    fn endpoints_are_https_urls_and_nothing_else() {
        for (text, expected) in [
            (
                "https://push.example/send/abc",
                Ok(("https://push.example", "push.example")),
            ),
            (
                "https://push.example",
                Ok(("https://push.example", "push.example")),
            ),
            (
                "https://Push.Example:8443/a?b=c",
                Ok(("https://push.example:8443", "push.example")),
            ),
            (
                "https://push.example:443/a",
                Ok(("https://push.example", "push.example")),
            ),
            ("https://[::1]:8443/a", Ok(("https://[::1]:8443", "[::1]"))),
            ("https://0x7f.1/a", Ok(("https://127.0.0.1", "127.0.0.1"))),
            (
                "https://push.example/a@b",
                Ok(("https://push.example", "push.example")),
            ),
            ("http://push.example/a", Err(EndpointError::NotHttps)),
            ("HTTPS://push.example/a", Err(EndpointError::NotHttps)),
            ("ftp://push.example", Err(EndpointError::NotHttps)),
            ("", Err(EndpointError::NotHttps)),
            ("https://", Err(EndpointError::Malformed)),
            ("https:///push.example", Err(EndpointError::Malformed)),
            ("https://push.example:99999/", Err(EndpointError::Malformed)),
            ("https://push.example/a b", Err(EndpointError::Malformed)),
            ("https://push.example\\a", Err(EndpointError::Malformed)),
            ("https://push.example/\n", Err(EndpointError::Malformed)),
            ("https://pusch.example/ä", Err(EndpointError::Malformed)),
            ("https://[::1/a", Err(EndpointError::Malformed)),
            ("https://user@push.example/a", Err(EndpointError::UserInfo)),
            ("https://@push.example/a", Err(EndpointError::UserInfo)),
            ("https://a:b@push.example/a", Err(EndpointError::UserInfo)),
            ("https://push.example/a#", Err(EndpointError::Fragment)),
        ] {
            let endpoint = PushEndpoint::parse(text);
            let parts = endpoint
                .as_ref()
                .map(|endpoint| (endpoint.origin(), endpoint.host()));
            assert_eq!(parts.map_err(|error| *error), expected, "{text}");
        }
        let long = |length: usize| format!("https://push.example/{}", "a".repeat(length - 21));
        assert!(PushEndpoint::parse(&long(MAX_ENDPOINT_BYTES)).is_ok());
        assert_eq!(
            PushEndpoint::parse(&long(MAX_ENDPOINT_BYTES + 1)),
            Err(EndpointError::TooLong)
        );
    }

    #[test]
    fn keys_are_taken_in_each_spelling_and_must_be_a_point_and_a_secret() {
        let keys = DeviceKeys::parse(P256DH, AUTH).unwrap();
        let plain = |text: &str| text.replace('-', "+").replace('_', "/");
        for (p256dh, auth) in [
            (format!("{P256DH}="), format!("{AUTH}==")),
            (plain(P256DH), plain(&format!("{AUTH}=="))),
        ] {
            assert!(DeviceKeys::parse(&p256dh, &auth).unwrap().same(&keys));
        }
        assert_eq!(
            (keys.p256dh_text(), keys.auth_text()),
            (P256DH.to_owned(), AUTH.to_owned())
        );
        let off_curve = format!("{}5", &P256DH[..P256DH.len() - 1]);
        for p256dh in [
            "",
            "!",
            &P256DH[2..],
            &off_curve,
            &"A".repeat(87),
            &P256DH.repeat(100),
        ] {
            assert_eq!(
                DeviceKeys::parse(p256dh, AUTH),
                Err(KeysError::P256dh),
                "{p256dh}"
            );
        }
        // Compressed and hybrid forms are no P-256 keys of a subscription.
        let mut bytes = *keys.p256dh();
        bytes[0] = 6;
        assert_eq!(
            DeviceKeys::from_bytes(&bytes, keys.auth()),
            Err(KeysError::P256dh)
        );
        for auth in ["", "BTBZMqHH6r4Tts7J_aSIg", &format!("{AUTH}AA")] {
            assert_eq!(
                DeviceKeys::parse(P256DH, auth),
                Err(KeysError::Auth),
                "{auth}"
            );
        }
    }

    #[test]
    fn keys_are_the_same_only_if_both_are() {
        let keys = DeviceKeys::parse(P256DH, AUTH).unwrap();
        let mut other = keys.clone();
        other.auth[15] ^= 1;
        assert!(keys.same(&keys.clone()) && !keys.same(&other));
        let mut other = keys.clone();
        other.p256dh[64] ^= 1;
        assert!(!keys.same(&other));
    }

    #[test]
    fn nothing_of_a_device_is_shown_but_its_origin() {
        let device = Device {
            endpoint: PushEndpoint::parse("https://push.example/a-secret").unwrap(),
            keys: DeviceKeys::parse(P256DH, AUTH).unwrap(),
            expires: None,
        };
        let shown = format!("{device:?}");
        assert!(shown.contains("https://push.example/"), "{shown}");
        assert!(
            !shown.contains("secret") && !shown.contains("BCVx") && !shown.contains("37, 113"),
            "{shown}"
        );
        let fingerprint = device.endpoint.fingerprint();
        assert_eq!(fingerprint.len(), 22);
        assert_ne!(
            fingerprint,
            PushEndpoint::parse("https://push.example/another")
                .unwrap()
                .fingerprint()
        );
    }
}
