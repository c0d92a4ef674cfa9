//! Answers of the GraphQL API as bytes: PostgreSQL's JSON is copied in, unparsed. Decides nothing, only writes.

use std::io::Write as _;

use gom_engine::error::{ApiError, ErrorKind, PathSegment};

use super::{Answer, AnswerCursor, Data};

/// Room for the parts of an answer that are not fragments or errors.
const FRAME: usize = 64;
/// A guess at an error's length.
const ERROR: usize = 256;

/// `{"data":…,"errors":[…],"extensions":{"cursor":…}}`, without `errors` where there are none, and without `extensions` where no
/// cursor was asked for.
/// `id` is the request's, by which errors are found in the log.
pub fn write_answer(out: &mut Vec<u8>, answer: &Answer, id: &str) {
    write_answer_at(out, answer, &answer.cursor, id);
}

/// The same with another cursor than the answer's.
pub(super) fn write_answer_at(out: &mut Vec<u8>, answer: &Answer, cursor: &AnswerCursor, id: &str) {
    out.extend_from_slice(b"{\"data\":");
    write_data(out, &answer.data);
    write_rest(out, &answer.errors, cursor, id);
    out.push(b'}');
}

/// The value of `data`.
pub fn write_data(out: &mut Vec<u8>, data: &Data) {
    let Data::Fields(fields) = data else {
        out.extend_from_slice(b"null");
        return;
    };
    let fragments: usize = fields
        .iter()
        .map(|(key, fragment)| key.len() + fragment.as_bytes().len() + 4)
        .sum();
    out.reserve(FRAME + fragments);
    out.push(b'{');
    for (i, (key, fragment)) in fields.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        // A GraphQL name needs no escaping.
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(fragment.as_bytes());
    }
    out.push(b'}');
}

/// What follows the data of an answer: its errors and its cursor, where it has them. `,"errors":[…],"extensions":{…}`.
pub fn write_rest(out: &mut Vec<u8>, errors: &[ApiError], cursor: &AnswerCursor, id: &str) {
    out.reserve(FRAME + errors.len() * ERROR);
    if !errors.is_empty() {
        out.extend_from_slice(b",\"errors\":");
        write_errors(out, errors, id);
    }
    match cursor {
        AnswerCursor::None => {}
        AnswerCursor::Unknown => out.extend_from_slice(b",\"extensions\":{\"cursor\":null}"),
        AnswerCursor::At(cursor) => write_display(
            out,
            format_args!(",\"extensions\":{{\"cursor\":\"{cursor}\"}}"),
        ),
    }
}

/// `{"errors":[…]}`: nothing was carried out, and GraphQL over HTTP has no `data` then.
pub fn write_refusal(out: &mut Vec<u8>, errors: &[ApiError], id: &str) {
    out.reserve(FRAME + errors.len() * ERROR);
    out.extend_from_slice(b"{\"errors\":");
    write_errors(out, errors, id);
    out.push(b'}');
}

/// One event of a subscription: `{"data":…,"extensions":{"cursor":"…"}}`. `data`: nothing where null has spread to the
/// whole.
pub fn write_event(
    data: Option<&str>,
    errors: &[ApiError],
    cursor: &str,
    left: Option<&str>,
) -> Vec<u8> {
    let data = data.unwrap_or("null");
    let left_bytes = left.map_or(0, str::len);
    let mut out = Vec::with_capacity(FRAME + data.len() + errors.len() * ERROR + left_bytes);
    out.extend_from_slice(b"{\"data\":");
    out.extend_from_slice(data.as_bytes());
    if !errors.is_empty() {
        out.extend_from_slice(b",\"errors\":");
        write_errors(&mut out, errors, cursor);
    }
    write_display(
        &mut out,
        format_args!(",\"extensions\":{{\"cursor\":\"{cursor}\""),
    );
    if let Some(left) = left {
        out.extend_from_slice(b",\"left\":");
        out.extend_from_slice(left.as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

/// `[{"message":…},…]`
pub fn write_errors(out: &mut Vec<u8>, errors: &[ApiError], id: &str) {
    out.push(b'[');
    for (i, error) in errors.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_error(out, error, id);
    }
    out.push(b']');
}

/// Prisma's keys (`code` at the top level) and `extensions.code`. An internal error shows the request's id
/// instead of its cause.
fn write_error(out: &mut Vec<u8>, error: &ApiError, id: &str) {
    out.extend_from_slice(b"{\"message\":");
    if error.kind == ErrorKind::Internal {
        write_string(
            out,
            &format!(
                "Whoops. Looks like an internal server error. Search your server logs for request ID: {id}"
            ),
        );
    } else {
        write_string(out, &error.message);
    }
    if let Some(code) = error.code {
        write_display(out, format_args!(",\"code\":{code}"));
    }
    out.extend_from_slice(b",\"requestId\":");
    write_string(out, id);
    if !error.path.is_empty() {
        out.extend_from_slice(b",\"path\":[");
        for (i, segment) in error.path.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            match segment {
                PathSegment::Key(key) => write_string(out, key),
                PathSegment::Index(index) => write_display(out, format_args!("{index}")),
            }
        }
        out.push(b']');
    }
    if !error.locations.is_empty() {
        out.extend_from_slice(b",\"locations\":[");
        for (i, at) in error.locations.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_display(
                out,
                format_args!("{{\"line\":{},\"column\":{}}}", at.line, at.column),
            );
        }
        out.push(b']');
    }
    out.extend_from_slice(b",\"extensions\":{\"code\":");
    write_string(out, error.kind.code());
    out.extend_from_slice(b"}}");
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text can be written to memory");
}

fn write_display(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("numbers can be written to memory");
}

#[cfg(test)]
mod tests {
    use gom_engine::error::Position;
    use serde_json::json;

    use super::*;
    use crate::graphql::Fragment;

    fn written(answer: &Answer) -> String {
        let mut out = Vec::new();
        write_answer(&mut out, answer, "r-1");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fragments_are_copied_as_they_are() {
        let answer = Answer {
            data: Data::Fields(vec![
                ("a".into(), Fragment::Text(r#"{"amount" : 1.50}"#.into())),
                ("b".into(), Fragment::Null),
            ]),
            errors: vec![],
            cursor: AnswerCursor::None,
        };
        assert_eq!(
            written(&answer),
            r#"{"data":{"a":{"amount" : 1.50},"b":null}}"#
        );
    }

    #[test]
    fn a_cursor_follows_the_data() {
        let with = |cursor| {
            written(&Answer {
                data: Data::Fields(vec![("a".into(), Fragment::Null)]),
                errors: vec![],
                cursor,
            })
        };
        assert_eq!(
            with(AnswerCursor::At("ab".into())),
            r#"{"data":{"a":null},"extensions":{"cursor":"ab"}}"#
        );
        assert_eq!(
            with(AnswerCursor::Unknown),
            r#"{"data":{"a":null},"extensions":{"cursor":null}}"#
        );
    }

    #[test]
    fn an_error_has_every_part_and_is_escaped() {
        let error = ApiError::numbered(3039, "No Node with value \"a\\\u{1}\n\u{2028}\" found.")
            .at(Position { line: 2, column: 3 })
            .with_path(vec![
                PathSegment::Key("updateX".into()),
                PathSegment::Index(1),
            ]);
        let answer = Answer {
            data: Data::Fields(vec![("updateX".into(), Fragment::Null)]),
            errors: vec![error, ApiError::new(ErrorKind::Forbidden, "no")],
            cursor: AnswerCursor::None,
        };
        let parsed: serde_json::Value = serde_json::from_str(&written(&answer)).unwrap();
        assert_eq!(
            parsed,
            json!({
                "data": { "updateX": null },
                "errors": [{
                    "message": "No Node with value \"a\\\u{1}\n\u{2028}\" found.", "code": 3039, "requestId": "r-1",
                    "path": ["updateX", 1], "locations": [{ "line": 2, "column": 3 }],
                    "extensions": { "code": "GRAPHQL_EXECUTION_ERROR" },
                }, {
                    "message": "no", "requestId": "r-1", "extensions": { "code": "FORBIDDEN" },
                }],
            })
        );
    }

    #[test]
    fn an_internal_error_shows_the_id_and_not_the_cause() {
        let answer = Answer::refused(vec![ApiError::new(
            ErrorKind::Internal,
            "column \"secret\" is missing",
        )]);
        let text = written(&answer);
        assert!(text.starts_with("{\"data\":null,"), "{text}");
        assert!(
            text.contains("logs for request ID: r-1") && !text.contains("secret"),
            "{text}"
        );
    }
}
