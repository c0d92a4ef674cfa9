//! Pages for people: who asks for one, and by what it is bound.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};

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

/// Sends browsers to the address without a slash at its end: links on pages are relative, since a proxy may put a prefix in
/// front. For everybody else the slash makes no difference.
pub async fn without_slash<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let path = request.path();
    let name = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let asked = matches!(*request.method(), Method::GET | Method::HEAD);
    if asked && path.ends_with('/') && !name.is_empty() && wants_page(request.headers()) {
        let up = "../".repeat(path.len() - path.trim_end_matches('/').len());
        let query = request
            .uri()
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let location = (header::LOCATION, format!("{up}{name}{query}"));
        let answer = HttpResponse::PermanentRedirect()
            .insert_header(location)
            .finish();
        return Ok(request.into_response(answer).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Whether a page is asked for: by name, and no less than any kind of answer that the API gives. Browsers name it when
/// they open an address; scripts and clients do not.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let mut page: f32 = 0.0;
    let mut other: f32 = 0.0;
    for value in headers
        .get_all(header::ACCEPT)
        .filter_map(|value| value.to_str().ok())
    {
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts
                .filter_map(|parameter| {
                    parameter
                        .strip_prefix("q=")
                        .or(parameter.strip_prefix("Q="))
                })
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
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
                true,
            ),
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
            let request = TestRequest::default()
                .insert_header((header::ACCEPT, accept))
                .to_http_request();
            assert_eq!(wants_page(request.headers()), expected, "{accept}");
        }
        assert!(!wants_page(
            TestRequest::default().to_http_request().headers()
        ));
    }
}
