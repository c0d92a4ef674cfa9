//! Access tokens: how ours are made, the two halves, and what a browser can read of them.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::app_keys::SIGNATURE_BYTES;

/// What a browser keeps of a cookie, name and value together.
pub(super) const COOKIE_BYTES: usize = 4_096;
/// The cookie that the first half goes into.
pub(super) const COOKIE: &str = "session-token";

/// An access token in two halves. The first is for the browser, whose scripts read the payload with `atob`;
/// the second is kept in the session.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// `header.payload` in base64 without `-` and `_`, which `atob` does not know. Our own tokens have only
    /// letters and digits here; a foreign one may have `+` and `/`, so **percent-encode it in the cookie** (the
    /// client takes a bare `+` for a space). Fits into a cookie.
    pub head: String,
    /// The third part, as it was issued.
    pub signature: String,
}

impl AccessToken {
    /// Signs claims with HS256. The payload's text is plain ASCII without `>`, `?` and `~`: then its base64url
    /// has neither `-` nor `_`, and a script that takes each byte for a character reads accents all the same.
    ///
    /// # Errors
    /// If the first half does not fit into a cookie.
    pub(super) fn sign(
        claims: Map<String, Value>,
        sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
    ) -> Result<Self, TokenTooLarge> {
        let payload = escape(&Value::Object(claims).to_string());
        let head = format!("{HS256_HEADER}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(sign(head.as_bytes()));
        Self::fitting(head, signature)
    }

    /// Takes a token apart that somebody else signed; `None` if it is no signed token of three parts.
    ///
    /// # Errors
    /// If the first half does not fit into a cookie.
    pub(super) fn from_foreign(token: &str) -> Option<Result<Self, TokenTooLarge>> {
        let (head, signature) = token.rsplit_once('.')?;
        let (header, payload) = head.split_once('.')?;
        let plain = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        (plain(header) && plain(payload) && plain(signature))
            .then(|| Self::fitting(for_scripts(head), signature.to_owned()))
    }

    fn fitting(head: String, signature: String) -> Result<Self, TokenTooLarge> {
        // `+` and `/` take three bytes each in the cookie.
        let encoded = head.bytes().filter(|byte| b"+/".contains(byte)).count() * 2 + head.len();
        let bytes = encoded + COOKIE.len();
        if bytes > COOKIE_BYTES {
            Err(TokenTooLarge { bytes })
        } else {
            Ok(AccessToken { head, signature })
        }
    }
}

/// base64url as the base64 that `atob` reads.
fn for_scripts(head: &str) -> String {
    head.replace('-', "+").replace('_', "/")
}

/// What was signed, from what a script can read; what is base64url already stays so.
pub(super) fn as_signed(head: &str) -> String {
    head.replace('+', "-").replace('/', "_")
}

/// `{"alg":"HS256","typ":"JWT"}`
const HS256_HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// JSON text without any character beyond ASCII, control character, `>`, `?` or `~`. These stand in strings
/// only, where an escape means the same.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, ' '..='~') && !matches!(c, '>' | '?' | '~') {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// The claims that every token of ours has, after its own.
pub(super) fn with_times(
    mut claims: Map<String, Value>,
    (issuer, audience): (&str, &str),
    now: SystemTime,
    lifetime: Duration,
) -> Map<String, Value> {
    let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    claims.insert("token_use".into(), ACCESS.into());
    claims.insert("iat".into(), iat.into());
    claims.insert("exp".into(), iat.saturating_add(lifetime.as_secs()).into());
    claims.insert("aud".into(), audience.into());
    claims.insert("iss".into(), issuer.into());
    claims
}

/// What `token_use` says in an access token.
pub(super) const ACCESS: &str = "access";

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// The claims of the tokens of Gom's own accounts.
pub const ACCOUNT_CLAIMS: [&str; 8] = [
    "sub",
    "gty",
    "permissions",
    "token_use",
    "iat",
    "exp",
    "aud",
    "iss",
];
/// The token's first half does not fit into a cookie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "header and payload of the access token take {bytes} bytes as a cookie, and browsers keep no more than \
     {COOKIE_BYTES} with its name: give the user fewer permissions, or the token fewer claims"
)]
pub struct TokenTooLarge {
    /// Bytes of header and payload as the value of a cookie.
    pub bytes: usize,
}

/// A token is not accepted. Shown as clients of the original know it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was valid, and has ended.
    #[error("jwt expired")]
    Expired,
    /// It is not ours, was altered, or is for something else.
    #[error("{0}")]
    Invalid(String),
    /// The issuer's keys are unavailable: the token cannot be judged.
    #[error("the keys of the token's issuer are not available")]
    Unavailable,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sign(claims: Map<String, Value>) -> Result<AccessToken, TokenTooLarge> {
        AccessToken::sign(claims, |_| [7; SIGNATURE_BYTES])
    }

    fn claims(name: &str) -> Map<String, Value> {
        let Value::Object(claims) = json!({
            "sub": "an|id", "gty": "code", "name": name, "permissions": ["role:member"],
        }) else {
            unreachable!()
        };
        with_times(
            claims,
            ("issuer", "audience"),
            SystemTime::now(),
            Duration::from_secs(9),
        )
    }

    fn payload(token: &AccessToken) -> Vec<u8> {
        let (_, payload) = token.head.split_once('.').unwrap();
        // What `atob` gives: only the plain alphabet, without padding.
        base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(payload)
            .unwrap()
    }

    #[test]
    fn f13_the_payload_of_every_name_can_be_read_with_atob() {
        // At each of the three places that a byte may have in a group of base64.
        for padding in ["", "x", "xx"] {
            for name in [
                "aTacos 24/7?",
                "¿Qué tal?",
                "🌮 Tacos >~?",
                "Ñandú \u{7f}\u{0}\"\\",
                "日本",
            ] {
                let name = format!("{padding}{name}");
                let claims = claims(&name);
                let token = sign(claims.clone()).unwrap();
                assert!(
                    !token.head.contains(['-', '_', '+', '/']),
                    "{name}: {}",
                    token.head
                );
                // A byte is a character there.
                let latin1: String = payload(&token).into_iter().map(char::from).collect();
                assert_eq!(
                    serde_json::from_str::<Map<String, Value>>(&latin1).unwrap(),
                    claims,
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn f13_a_foreign_token_can_be_read_with_atob_and_is_what_was_signed() {
        let signed = format!(
            "{HS256_HEADER}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"sub":"¿>?~~~???"}"#)
        );
        assert!(signed.contains(['-', '_']));
        let token = AccessToken::from_foreign(&format!("{signed}.c2ln"))
            .unwrap()
            .unwrap();
        assert_eq!(payload(&token), r#"{"sub":"¿>?~~~???"}"#.as_bytes());
        assert_eq!(as_signed(&token.head), signed);
        assert_eq!(as_signed(&signed), signed);
        assert_eq!(token.signature, "c2ln");
    }

    #[test]
    fn only_three_parts_of_base64url_are_a_token() {
        for text in [
            "",
            "opaque",
            "a.b",
            "a.b.",
            "a..c",
            "a.b.c.d",
            "a.b=.c",
            "a.b\r\nSet-Cookie: x.c",
        ] {
            assert_eq!(AccessToken::from_foreign(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_token_that_a_browser_would_drop_is_an_error() {
        let of_length = |length| sign(claims(&"x".repeat(length)));
        assert!(of_length(2_000).is_ok());
        let error = of_length(4_000).unwrap_err();
        assert!(
            error.bytes > COOKIE_BYTES && error.to_string().contains("fewer permissions"),
            "{error}"
        );
    }

    #[test]
    fn nothing_shows_a_token() {
        let token = sign(claims("x")).unwrap();
        assert_eq!(format!("{token:?}"), "AccessToken(***)");
    }

    /// Else a login succeeds, and the browser gets 502.
    #[test]
    fn the_buffer_of_the_proxy_holds_the_headers_of_the_largest_login() {
        let proxy = include_str!("../../../docker/nginx.conf");
        let size = proxy.lines().find_map(|line| {
            line.trim()
                .strip_prefix("proxy_buffer_size ")?
                .strip_suffix("k;")
        });
        let bytes = size
            .expect("the buffer has a size")
            .parse::<usize>()
            .unwrap()
            * 1_024;
        // One cookie of the token; the names of sessions and devices, the CSRF token and all other headers have a page.
        assert!(bytes >= COOKIE_BYTES + 4_096, "{bytes}");
    }
}
