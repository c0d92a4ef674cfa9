//! The headers by which a client that sends no `extensions`, of a GET above all, asks for the position of an answer.

use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponseBuilder};
use serde_json::Value;

use crate::graphql::{AFTER, AnswerCursor, CURSOR, Extensions};

/// Of a request, `true`: the answer is to have a cursor. Of an answer: the cursor.
pub const GOM_CURSOR: HeaderName = HeaderName::from_static("gom-cursor");
/// As `extensions.after`.
pub const GOM_AFTER: HeaderName = HeaderName::from_static("gom-after");

/// Enters the headers into the extensions of the request's only operation. Whether they ask for a cursor.
///
/// # Errors
/// What is wrong with them.
pub fn read(request: &HttpRequest, operations: &mut [&mut Extensions]) -> Result<bool, String> {
    let value = |name: &HeaderName| {
        let value = request.headers().get(name)?;
        // What is no text is no cursor either, and refused as one that is malformed.
        Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
    };
    let (wanted, after) = (value(&GOM_CURSOR), value(&GOM_AFTER));
    if wanted.is_none() && after.is_none() {
        return Ok(false);
    }
    let [extensions] = operations else {
        return Err(format!(
            "The headers {GOM_CURSOR} and {GOM_AFTER} are for one operation: of a list, give each its own extensions"
        ));
    };
    if let Some(after) = after {
        let after = Value::String(after);
        if extensions.get(AFTER).is_some_and(|given| *given != after) {
            return Err(format!(
                "The header {GOM_AFTER} and extensions.{AFTER} differ: send one of them"
            ));
        }
        extensions.set(AFTER, after);
    }
    match wanted.as_deref() {
        None => Ok(false),
        Some("true") => {
            if extensions.get(CURSOR).is_some_and(|given| *given != true) {
                return Err(format!(
                    "The header {GOM_CURSOR} and extensions.{CURSOR} differ: send one of them"
                ));
            }
            extensions.set(CURSOR, Value::Bool(true));
            Ok(true)
        }
        Some(_) => Err(format!("The header {GOM_CURSOR} must be `true`")),
    }
}

/// Gives the cursor to who has asked for it by the header; none, if it is not known.
pub fn write(response: &mut HttpResponseBuilder, cursor: &AnswerCursor) {
    if let AnswerCursor::At(cursor) = cursor {
        response.insert_header((GOM_CURSOR, cursor.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    fn entered(headers: &[(&str, &str)], extensions: Value) -> Result<(bool, Value), String> {
        let mut request = TestRequest::default();
        for header in headers {
            request = request.insert_header(*header);
        }
        let mut extensions = Extensions::new(extensions.as_object().cloned().unwrap_or_default());
        let wanted = read(&request.to_http_request(), &mut [&mut extensions])?;
        Ok((wanted, Value::Object(extensions.entries().clone())))
    }

    #[test]
    fn headers_are_extensions() {
        assert_eq!(entered(&[], json!({})), Ok((false, json!({}))));
        assert_eq!(
            entered(&[("gom-cursor", "true"), ("gom-after", " ab ")], json!({})),
            Ok((true, json!({ "cursor": true, "after": "ab" })))
        );
        assert_eq!(
            entered(
                &[("gom-after", "ab")],
                json!({ "after": "ab", "cursor": true })
            ),
            Ok((false, json!({ "cursor": true, "after": "ab" })))
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (headers, extensions) in [
            (("gom-cursor", "yes"), json!({})),
            (("gom-cursor", "true"), json!({ "cursor": "ab" })),
            (("gom-after", "ab"), json!({ "after": "cd" })),
        ] {
            assert!(entered(&[headers], extensions).is_err(), "{headers:?}");
        }
        let request = TestRequest::default().insert_header(("gom-after", "ab"));
        let (mut one, mut other) = (Extensions::default(), Extensions::default());
        let refused = read(&request.to_http_request(), &mut [&mut one, &mut other]);
        assert!(refused.is_err_and(|reason| reason.contains("one operation")));
    }
}
