//! The media types of requests' bodies, and the two of GraphQL answers with which one a request prefers.

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpMessage, HttpRequest};

/// Whether the body is a text that is read as it comes: not compressed, and in no other encoding than UTF-8, the only one that
/// JSON has (RFC 8259, section 8.1).
pub fn is_plain_text(request: &HttpRequest) -> bool {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING);
    let mime = request.mime_type().ok().flatten();
    let charset = mime.as_ref().and_then(|mime| mime.get_param("charset"));
    encodings.all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
        && charset.is_none_or(|charset| charset == "utf-8" || charset == "us-ascii")
}

/// How the answer is sent. The older type keeps status 200 for whatever is a GraphQL answer; the newer one
/// says by the status that a document was refused (GraphQL over HTTP, section 6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    Json,
    GraphqlResponse,
}

impl MediaType {
    pub fn content_type(self) -> &'static str {
        match self {
            MediaType::Json => "application/json; charset=utf-8",
            MediaType::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        }
    }

    /// The newer type only where it is named and not liked less than the older one: clients that accept
    /// anything were written before it.
    pub fn preferred(request: &HttpRequest) -> Self {
        Self::of_headers(request.headers())
    }

    fn of_headers(headers: &HeaderMap) -> Self {
        let mut json = None;
        let mut graphql = None;
        for value in headers.get_all(header::ACCEPT).filter_map(|value| value.to_str().ok()) {
            for (position, range) in value.split(',').enumerate() {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default();
                let quality = parts
                    .filter_map(|parameter| parameter.strip_prefix("q="))
                    .find_map(|quality| quality.parse::<f32>().ok())
                    .unwrap_or(1.0);
                // Of equals, the one named first.
                let rank = (quality, -i64::try_from(position).unwrap_or(i64::MAX));
                if name.eq_ignore_ascii_case("application/graphql-response+json") && quality > 0.0 {
                    graphql.get_or_insert(rank);
                } else if name.eq_ignore_ascii_case("application/json") && quality > 0.0 {
                    json.get_or_insert(rank);
                }
            }
        }
        match (graphql, json) {
            (Some(_), None) => MediaType::GraphqlResponse,
            (Some(graphql), Some(json)) if graphql > json => MediaType::GraphqlResponse,
            _ => MediaType::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_plain_utf_8_is_read() {
        for (name, value, expected) in [
            ("content-type", "application/json", true),
            ("content-type", "application/json; charset=UTF-8", true),
            ("content-type", "application/json; charset=\"utf-8\"", true),
            ("content-type", "application/json; charset=utf-16", false),
            ("content-type", "application/json; charset=latin1", false),
            ("content-type", "application/json;;", true),
            ("content-encoding", "identity", true),
            ("content-encoding", "gzip", false),
            ("content-encoding", "identity, br", false),
        ] {
            let request = TestRequest::default().insert_header((name, value)).to_http_request();
            assert_eq!(is_plain_text(&request), expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_newer_type_must_be_asked_for() {
        for (accept, expected) in [
            ("*/*", MediaType::Json),
            ("*/*, application/json", MediaType::Json),
            ("application/graphql-response+json", MediaType::GraphqlResponse),
            ("application/graphql-response+json, application/json;q=0.9", MediaType::GraphqlResponse),
            ("application/graphql-response+json, application/json", MediaType::GraphqlResponse),
            ("application/json, application/graphql-response+json", MediaType::Json),
            ("application/json;q=0.5, application/graphql-response+json", MediaType::GraphqlResponse),
            ("application/graphql-response+json;q=0", MediaType::Json),
            ("text/html", MediaType::Json),
            ("", MediaType::Json),
        ] {
            let request = TestRequest::default().insert_header((header::ACCEPT, accept)).to_http_request();
            assert_eq!(MediaType::preferred(&request), expected, "{accept}");
        }
        assert_eq!(MediaType::preferred(&TestRequest::default().to_http_request()), MediaType::Json);
    }
}
