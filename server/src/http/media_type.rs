//! The media types of requests' bodies, and the two of GraphQL answers with which one a request prefers.

use std::cmp::Reverse;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpMessage, HttpRequest};

use crate::graphql::{Answer, write_answer, write_refusal};

/// Whether the body is a text that is read as it comes: not compressed, and in no other encoding than UTF-8, the only one that
/// JSON has (RFC 8259, section 8.1).
pub fn is_plain_text(request: &HttpRequest) -> bool {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING);
    let mime = request.mime_type().ok().flatten();
    let charset = mime.as_ref().and_then(|mime| mime.get_param("charset"));
    encodings.all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
        && charset.is_none_or(|charset| charset == "utf-8" || charset == "us-ascii")
}

const JSON: &str = "application/json";
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";
const EVENT_STREAM: &str = "text/event-stream";

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

    /// Writes an answer as the type has it: the newer one has no `data` where nothing was carried out (section 6.4.2), the
    /// older one keeps `"data":null`, which is Prisma's shape.
    pub fn write(self, out: &mut Vec<u8>, answer: &Answer, id: &str) {
        if self == MediaType::GraphqlResponse && answer.is_refused() {
            write_refusal(out, &answer.errors, id);
        } else {
            write_answer(out, answer, id);
        }
    }

    /// The newer type only where it is named and not liked less than the older one: clients that accept
    /// anything were written before it.
    pub fn preferred(request: &HttpRequest) -> Self {
        let headers = request.headers();
        match (rank(headers, GRAPHQL_RESPONSE), rank(headers, JSON)) {
            (Some(_), None) => MediaType::GraphqlResponse,
            (Some(graphql), Some(json)) if graphql > json => MediaType::GraphqlResponse,
            _ => MediaType::Json,
        }
    }
}

/// Whether a request wants its answer as events rather than as JSON: many clients name both, for what a server may do.
pub fn prefers_events(headers: &HeaderMap) -> bool {
    let Some(events) = rank(headers, EVENT_STREAM) else {
        return false;
    };
    // What is not named, but covered, is preferred by its quality only.
    let covered = [rank(headers, "application/*"), rank(headers, "*/*")];
    [rank(headers, JSON), rank(headers, GRAPHQL_RESPONSE)]
        .into_iter()
        .flatten()
        .all(|json| events > json)
        && covered.into_iter().flatten().all(|any| events.0 >= any.0)
}

/// How much a media range is liked that `Accept` names: its quality, then its place, the first being the best. Nothing if it is
/// not named, or refused by `q=0`.
fn rank(headers: &HeaderMap, range: &str) -> Option<(f32, Reverse<usize>)> {
    let lines = headers
        .get_all(header::ACCEPT)
        .filter_map(|value| value.to_str().ok());
    let ranges = lines.flat_map(|value| value.split(',')).enumerate();
    ranges
        .filter_map(|(place, named)| {
            let mut parts = named.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let quality = parts
                .filter_map(|parameter| {
                    parameter
                        .strip_prefix("q=")
                        .or_else(|| parameter.strip_prefix("Q="))
                })
                .find_map(|quality| quality.parse::<f32>().ok())
                .unwrap_or(1.0);
            (name.eq_ignore_ascii_case(range) && quality > 0.0).then_some((quality, Reverse(place)))
        })
        .next()
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
            let request = TestRequest::default()
                .insert_header((name, value))
                .to_http_request();
            assert_eq!(is_plain_text(&request), expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_newer_type_must_be_asked_for() {
        for (accept, expected) in [
            ("*/*", MediaType::Json),
            ("*/*, application/json", MediaType::Json),
            (
                "application/graphql-response+json",
                MediaType::GraphqlResponse,
            ),
            (
                "application/graphql-response+json, application/json;q=0.9",
                MediaType::GraphqlResponse,
            ),
            (
                "application/graphql-response+json, application/json",
                MediaType::GraphqlResponse,
            ),
            (
                "application/json, application/graphql-response+json",
                MediaType::Json,
            ),
            (
                "application/json;q=0.5, application/graphql-response+json",
                MediaType::GraphqlResponse,
            ),
            ("application/graphql-response+json;q=0", MediaType::Json),
            ("text/html", MediaType::Json),
            ("", MediaType::Json),
        ] {
            let request = TestRequest::default()
                .insert_header((header::ACCEPT, accept))
                .to_http_request();
            assert_eq!(MediaType::preferred(&request), expected, "{accept}");
        }
        assert_eq!(
            MediaType::preferred(&TestRequest::default().to_http_request()),
            MediaType::Json
        );
    }

    fn accepts(accept: &str) -> (bool, MediaType) {
        let request = TestRequest::default()
            .insert_header((header::ACCEPT, accept))
            .to_http_request();
        (
            prefers_events(request.headers()),
            MediaType::preferred(&request),
        )
    }

    /// What the clients send: urql, Apollo and graphql-request as read in the packages named (tests/sockets/npm/clients.js asks with the
    /// first two); Relay leaves it to the application.
    #[test]
    fn the_clients_that_there_are_get_what_they_can_read() {
        for (client, accept, events) in [
            (
                "@urql/core 6.0.3, queries and mutations",
                "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
                false,
            ),
            (
                "@urql/core 6.0.3, subscriptions by fetch",
                "text/event-stream, multipart/mixed",
                true,
            ),
            (
                "@apollo/client 4.3.8",
                "application/graphql-response+json,application/json;q=0.9",
                false,
            ),
            ("@apollo/client 3", "*/*", false),
            (
                "@apollo/client, multipart subscriptions",
                "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json",
                false,
            ),
            (
                "relay-runtime, with the fetch of its guide",
                "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
                false,
            ),
            (
                "graphql-request 7.4.0",
                "application/graphql-response+json, application/json",
                false,
            ),
            ("graphql-sse 2", "text/event-stream", true),
            ("EventSource", "text/event-stream", true),
            ("fetch, curl", "*/*", false),
            (
                "a browser's address line",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                false,
            ),
        ] {
            assert_eq!(accepts(accept).0, events, "{client}");
        }
    }

    #[test]
    fn events_are_chosen_by_quality_then_by_order() {
        for (accept, events) in [
            ("text/event-stream, application/json", true),
            ("application/json, text/event-stream", false),
            ("application/json;q=0.9, text/event-stream", true),
            ("text/event-stream;q=0.5, application/json;q=0.4", true),
            (
                "text/event-stream;q=0.4, application/graphql-response+json;q=0.5",
                false,
            ),
            ("text/event-stream;q=0", false),
            ("text/event-stream, */*", true),
            ("*/*, text/event-stream", true),
            ("*/*, text/event-stream;q=0.5", false),
            ("TEXT/Event-Stream; charset=utf-8", true),
            ("application/json;q=0, text/event-stream;q=0.1", true),
            ("text/event-streams", false),
            ("", false),
        ] {
            assert_eq!(accepts(accept).0, events, "{accept}");
        }
    }
}
