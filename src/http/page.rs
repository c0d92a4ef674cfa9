//! Pages for people: who asks for one, and by what it is bound.

use actix_web::http::header::{self, HeaderMap, HeaderValue};

/// The headers of every page, under its content security policy. `vary`: what else its address answers by.
pub fn bind(headers: &mut HeaderMap, policy: HeaderValue, vary: &'static str) {
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::VARY, vary),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether a page is asked for: by name, and no less than any kind of answer that the API gives. Browsers name it when
/// they open an address; scripts and clients do not.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let mut page: f32 = 0.0;
    let mut other: f32 = 0.0;
    for value in headers.get_all(header::ACCEPT).filter_map(|value| value.to_str().ok()) {
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts
                .filter_map(|parameter| parameter.strip_prefix("q=").or(parameter.strip_prefix("Q=")))
                .find_map(|quality| quality.parse::<f32>().ok())
                .unwrap_or(1.0);
            match name.as_str() {
                "text/html" | "application/xhtml+xml" => page = page.max(quality),
                "application/json" | "application/graphql-response+json" | "text/event-stream" => {
                    other = other.max(quality);
                }
                _ => {}
            }
        }
    }
    page > 0.0 && page >= other
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_page_must_be_named() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", true),
            ("text/html", true),
            ("Text/HTML; q=0.5", true),
            ("text/html;q=0", false),
            ("*/*", false),
            ("text/*", false),
            ("", false),
            ("application/json", false),
            ("application/json, text/html", true),
            ("application/json, text/html;q=0.9", false),
            ("application/graphql-response+json, text/html;q=0.1", false),
            ("text/event-stream, text/html;q=0.5", false),
        ] {
            let request = TestRequest::default().insert_header((header::ACCEPT, accept)).to_http_request();
            assert_eq!(wants_page(request.headers()), expected, "{accept}");
        }
        assert!(!wants_page(TestRequest::default().to_http_request().headers()));
    }
}
