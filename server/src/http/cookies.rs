//! Cookies of a request, and lines of `Set-Cookie`. Knows no names of ours.
//!
//! Read by hand: actix-web refuses all cookies of a request that has one it does not understand, which may be
//! somebody else's. Read as bytes: one with a letter beyond ASCII hides no other.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::settings::SameSite;

/// How a cookie is kept by the browser. It is always for the whole site: `Path=/`, and the host that set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// `None`: until the browser is closed.
    pub max_age: Option<Duration>,
    /// Hidden from scripts.
    pub http_only: bool,
    /// Sent over TLS only (and to localhost).
    pub secure: bool,
    pub same_site: SameSite,
}

/// Every value that the request has for a name, decoded, in the order sent: there is more than one if somebody
/// set the same name for another path or for a domain above ours.
pub fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    headers
        .get_all(header::COOKIE)
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| {
            let mut parts = pair.trim_ascii().splitn(2, |byte| *byte == b'=');
            (parts.next() == Some(name.as_bytes())).then(|| parts.next())?
        })
        .filter_map(|value| std::str::from_utf8(value).ok())
        .filter_map(|value| decode(value.trim_matches('"')))
}

/// The line that sets a cookie. The value is encoded as `encodeURIComponent` does.
pub fn set(name: &str, value: &str, attributes: &Attributes) -> HeaderValue {
    let mut line = format!("{name}={}", encode(value));
    if let Some(age) = attributes.max_age {
        // Writing to a String does not fail.
        let _ = write!(line, "; Max-Age={}", age.as_secs());
    }
    line_end(line, attributes)
}

/// The line that makes the browser forget a cookie. It must name the same path as the line that set it.
pub fn expire(name: &str, attributes: &Attributes) -> HeaderValue {
    // Both, for browsers that know only one.
    line_end(
        format!("{name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        attributes,
    )
}

fn line_end(mut line: String, attributes: &Attributes) -> HeaderValue {
    line.push_str("; Path=/");
    if attributes.http_only {
        line.push_str("; HttpOnly");
    }
    if attributes.secure {
        line.push_str("; Secure");
    }
    line.push_str(match attributes.same_site {
        SameSite::Strict => "; SameSite=Strict",
        SameSite::Lax => "; SameSite=Lax",
        SameSite::None => "; SameSite=None",
    });
    HeaderValue::try_from(line)
        .expect("the name is ours, the value is encoded: all is visible ASCII")
}

/// What `encodeURIComponent` encodes.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// As JavaScript's `encodeURIComponent`.
fn encode(value: &str) -> Cow<'_, str> {
    utf8_percent_encode(value, ENCODED).into()
}

/// As JavaScript's `decodeURIComponent`; nothing where that throws. `percent-encoding` would take `%zz` as it stands.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains('%') {
        return Some(Cow::Borrowed(value));
    }
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&str], name: &str) -> Vec<String> {
        let mut request = TestRequest::default();
        for line in lines {
            request = request.append_header((header::COOKIE, *line));
        }
        values(request.to_http_request().headers(), name)
            .map(Cow::into_owned)
            .collect()
    }

    #[test]
    fn a_cookie_is_found_among_others_and_decoded() {
        for (lines, expected) in [
            (&["a=1"][..], &["1"][..]),
            (&["b=2; a=1; c=3"], &["1"]),
            (&["malformed; a=1"], &["1"]),
            (&["=x;a=1;;"], &["1"]),
            (&["a=s%3Ax.y%2B%2F%3D"], &["s:x.y+/="]),
            (&["a=x=y"], &["x=y"]),
            (&["a=\"1\""], &["1"]),
            (&["a=1; a=2", "a=3"], &["1", "2", "3"]),
            (&["aa=1; A=2; ba=3"], &[]),
            (&["a=%zz"], &[]),
            (&["a=%4"], &[]),
            (&["a=%ff"], &[]),
            (&["a="], &[""]),
        ] {
            assert_eq!(read(lines, "a"), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_value_is_encoded_as_scripts_do_it() {
        // `encodeURIComponent` of every character of ASCII that can be printed.
        let plain: String = (' '..='~').collect();
        assert_eq!(
            encode(&plain),
            "%20!%22%23%24%25%26'()*%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F%40ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_%60\
             abcdefghijklmnopqrstuvwxyz%7B%7C%7D~"
        );
        assert_eq!(encode("é\n"), "%C3%A9%0A");
    }

    #[test]
    fn attributes_are_written_out() {
        let attributes = Attributes {
            max_age: Some(Duration::from_millis(3_600_500)),
            http_only: true,
            secure: true,
            same_site: SameSite::Lax,
        };
        assert_eq!(
            set("id", "s:a+b", &attributes),
            "id=s%3Aa%2Bb; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=Lax"
        );
        let attributes = Attributes {
            max_age: None,
            http_only: false,
            secure: false,
            same_site: SameSite::Strict,
        };
        assert_eq!(set("id", "x", &attributes), "id=x; Path=/; SameSite=Strict");
        assert_eq!(
            expire(
                "id",
                &Attributes {
                    same_site: SameSite::None,
                    ..attributes
                }
            ),
            "id=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; SameSite=None"
        );
    }

    #[test]
    fn a_cookie_of_any_bytes_hides_no_other() {
        for byte in (0x20..=0xff_u8).filter(|byte| *byte != 0x7f && *byte != b';') {
            for line in [
                [b"visitante=Mar", &[byte][..], b"a; a=1; b=2"].concat(),
                [b"a=1; ", &[byte][..]].concat(),
                [b"x", &[byte][..], b"=; a=1"].concat(),
            ] {
                let value = HeaderValue::from_bytes(&line).unwrap();
                let request = TestRequest::default()
                    .append_header((header::COOKIE, value))
                    .to_http_request();
                let found: Vec<_> = values(request.headers(), "a").collect();
                assert_eq!(found, ["1"], "{byte:#x} {line:?}");
            }
        }
        let raw = HeaderValue::from_bytes(b"a=\xe9; a=2").unwrap();
        let request = TestRequest::default()
            .append_header((header::COOKIE, raw))
            .to_http_request();
        assert_eq!(
            values(request.headers(), "a").collect::<Vec<_>>(),
            ["2"],
            "one that is no text is none of ours"
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(value: String) {
            let encoded = encode(&value);
            prop_assert_eq!(decode(&encoded).map(Cow::into_owned), Some(value));
        }

        #[test]
        fn nothing_in_a_header_is_a_panic(line in prop::collection::vec(any::<u8>(), 0..100)) {
            let Ok(line) = HeaderValue::from_bytes(&line) else { return Ok(()) };
            let request = TestRequest::default().append_header((header::COOKIE, line)).to_http_request();
            values(request.headers(), "a").for_each(drop);
        }
    }
}
