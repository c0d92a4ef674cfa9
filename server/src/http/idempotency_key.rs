//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a string of structured fields, `"8e03978e-…"`, or the
//! same without quotes, as most clients send it.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName};

use super::State;
use super::viewer::session_of;
use crate::graphql::{HeaderKey, IDEMPOTENCY_KEY, Request};
use crate::identity::Viewer;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// What is longer is no key, and is not kept.
const MAX_BYTES: usize = 300;

/// Gives each request the header's key, and those with a key the session with which it ends.
pub fn assign(requests: &mut [Request], request: &HttpRequest, state: &State, viewer: &Viewer) {
    let of_header = match of(request.headers()) {
        HeaderKey::Missing => HeaderKey::Missing,
        _ if requests.len() > 1 => HeaderKey::OfBatch,
        key => key,
    };
    let has_key = |request: &Request| {
        of_header != HeaderKey::Missing || request.extensions.get(IDEMPOTENCY_KEY).is_some()
    };
    if !requests.iter().any(has_key) {
        return;
    }
    let session = viewer
        .user()
        .and_then(|_| session_of(request, &state.auth))
        .map(|id| id.handle());
    for request in requests {
        request.header_key = of_header.clone();
        request.session.clone_from(&session);
    }
}

fn of(headers: &HeaderMap) -> HeaderKey {
    let mut values = headers.get_all(HEADER);
    let Some(value) = values.next() else {
        return HeaderKey::Missing;
    };
    let text = value.to_str().ok().map(str::trim);
    match text.filter(|text| text.len() <= MAX_BYTES && values.next().is_none()) {
        None => HeaderKey::Malformed,
        Some(text) => match text.strip_prefix('"') {
            None => HeaderKey::Given(text.to_owned()),
            Some(quoted) => unquoted(quoted).map_or(HeaderKey::Malformed, HeaderKey::Given),
        },
    }
}

/// What stands before the closing quote, which is the last character; `\` stands before a quote or a backslash (RFC 9651).
fn unquoted(text: &str) -> Option<String> {
    let mut key = String::with_capacity(text.len());
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '"' => return rest.next().is_none().then_some(key),
            '\\' => key.push(rest.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(values: &[&str]) -> HeaderKey {
        let request = values.iter().fold(TestRequest::post(), |request, value| {
            request.append_header((HEADER, *value))
        });
        of(request.to_http_request().headers())
    }

    #[test]
    fn a_key_comes_with_quotes_or_without() {
        let given = |key: &str| HeaderKey::Given(key.to_owned());
        assert_eq!(read(&[]), HeaderKey::Missing);
        for (value, expected) in [
            ("8e03978e-40d5", given("8e03978e-40d5")),
            (" a ", given("a")),
            (r#""8e03978e-40d5""#, given("8e03978e-40d5")),
            (r#""a\"b\\c""#, given(r#"a"b\c"#)),
            ("", given("")),
        ] {
            assert_eq!(read(&[value]), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_string_is_malformed() {
        let long = "x".repeat(MAX_BYTES + 1);
        for values in [
            &["a", "b"][..],
            &[r#""a"#],
            &[r#""a\b""#],
            &[r#""a"b"#],
            &[r#""a";p=1"#],
            &[&long],
        ] {
            assert_eq!(read(values), HeaderKey::Malformed, "{values:?}");
        }
    }
}
