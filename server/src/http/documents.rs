//! From the bytes of a GraphQL request to the operations that it asks for. Looks into no document.

use std::future::ready;
use std::pin::Pin;

use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use async_graphql::{BatchRequest, ParseRequestError};
use async_graphql_actix_web::GraphQLBatchRequest;
use futures::Stream;
use futures::stream::once;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::graphql::{Extensions, Request};

/// What one request asks for.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and nearly always one"
)]
pub enum Asked {
    One(Request),
    /// To be answered by a list.
    Several(Vec<Request>),
}

const NO_REQUEST: &str = r#"The request cannot be read: it is no GraphQL request: send {"query": "…"}, where operationName may be a text, variables and extensions objects, and each stands once; or a list of such"#;

/// From a body, which async-graphql-actix-web reads.
///
/// # Errors
/// What is wrong with it.
pub async fn of_body(request: &HttpRequest, body: Bytes) -> Result<Asked, String> {
    check_list(&body)?;
    let whole: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> =
        Box::pin(once(ready(Ok(body))));
    let read = GraphQLBatchRequest::from_request(request, &mut whole.into()).await;
    read.map(|GraphQLBatchRequest(batch)| batch.into())
        .map_err(|error| unreadable(&error))
}

/// As [`of_body`], on a thread that knows no request: as async-graphql-actix-web does it.
///
/// # Errors
/// What is wrong with it.
pub fn of_large_body(body: &Bytes) -> Result<Asked, String> {
    check_list(body)?;
    let read = serde_json::from_slice::<BatchRequest>(body);
    read.map(Asked::from)
        .map_err(|error| unreadable(&ParseRequestError::InvalidRequest(Box::new(error))))
}

/// It would take a list of the values of one request, too, without their names.
fn check_list(body: &Bytes) -> Result<(), String> {
    if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice::<Vec<Map<String, Value>>>(body)
            .map_err(|error| unreadable(&error))?;
    }
    Ok(())
}

fn unreadable(error: &dyn std::fmt::Display) -> String {
    let error = error.to_string();
    // What is wrong with its shape, the crate does not say.
    if error.contains("untagged enum") {
        return NO_REQUEST.to_owned();
    }
    format!("The request cannot be read: {error}")
}

impl From<BatchRequest> for Asked {
    fn from(batch: BatchRequest) -> Self {
        match batch {
            BatchRequest::Single(single) => Asked::One(single.into()),
            BatchRequest::Batch(batch) => {
                Asked::Several(batch.into_iter().map(Request::from).collect())
            }
        }
    }
}

/// From the query part of an address.
///
/// # Errors
/// What is wrong with it.
pub fn of_query(query: &str) -> Result<Request, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Parameters {
        #[serde(default)]
        query: String,
        operation_name: Option<String>,
        variables: Option<String>,
        extensions: Option<String>,
    }
    let parameters = actix_web::web::Query::<Parameters>::from_query(query)
        .map_err(|error| format!("The request cannot be read: {error}"))?
        .into_inner();
    let object = |name: &str, text: Option<String>| match text.as_deref().map(serde_json::from_str)
    {
        None => Ok(Map::new()),
        Some(Ok(object)) => Ok(Option::<Map<_, _>>::unwrap_or_default(object)),
        Some(Err(error)) => Err(format!(
            "The parameter {name} must be a JSON object: {error}"
        )),
    };
    Ok(Request {
        text: parameters.query,
        operation_name: parameters.operation_name,
        variables: object("variables", parameters.variables)?,
        extensions: Extensions::new(object("extensions", parameters.extensions)?),
        ..Request::default()
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    fn request(text: &str) -> Request {
        Request {
            text: text.to_owned(),
            ..Request::default()
        }
    }

    async fn read(body: &str) -> Result<Asked, String> {
        let request = TestRequest::post()
            .insert_header(("content-type", "application/json"))
            .to_http_request();
        let body = Bytes::copy_from_slice(body.as_bytes());
        let read = of_body(&request, body.clone()).await;
        assert_eq!(of_large_body(&body), read, "whichever thread reads it");
        read
    }

    #[actix_web::test]
    async fn one_or_several_are_read() {
        let Value::Object(variables) = json!({ "a": [1, 2.5, null] }) else {
            unreachable!()
        };
        let full = Request {
            operation_name: Some("A".to_owned()),
            variables,
            ..request("{a}")
        };
        for (body, expected) in [
            (r#"{"query":"{a}"}"#, Asked::One(request("{a}"))),
            (r#"{}"#, Asked::One(request(""))),
            (
                r#"{"query":"{a}","operationName":null,"variables":null,"extensions":null,"id":1}"#,
                Asked::One(request("{a}")),
            ),
            (
                r#" {"extensions":{"x":1},"variables":{"a":[1,2.5,null]},"operationName":"A","query":"{a}"} "#,
                Asked::One(full),
            ),
            // Refused later, as one without a query.
            ("[]", Asked::One(request(""))),
            (
                r#"[{"query":"{a}"},{"query":"{b}"}]"#,
                Asked::Several(vec![request("{a}"), request("{b}")]),
            ),
        ] {
            assert_eq!(read(body).await, Ok(expected), "{body}");
        }
    }

    #[actix_web::test]
    async fn what_is_no_request_is_refused() {
        for body in [
            "",
            "null",
            "3",
            r#"["{a}"]"#,
            r#"[["{a}"]]"#,
            r#"[{"query":"{a}"},null]"#,
            r#"{"query":"{a}","query":"{b}"}"#,
            r#"{"query":null}"#,
            r#"{"query":"{a}","operationName":1}"#,
            r#"{"query":"{a}","variables":[1]}"#,
            r#"{"query":"{a}","extensions":"x"}"#,
            r#"{"query":"{a}"} x"#,
            r#"{"query":"\ud800"}"#,
        ] {
            let error = read(body).await.expect_err(body);
            assert!(
                error.starts_with("The request cannot be read: "),
                "{body}: {error}"
            );
            assert!(!error.contains("enum"), "our own words: {error}");
        }
    }

    #[test]
    fn an_address_is_read() {
        assert_eq!(of_query("query=%7Ba%7D&x=1"), Ok(request("{a}")));
        assert_eq!(of_query(""), Ok(request("")));
        assert_eq!(
            of_query("query=%7Ba%7D&variables=null&extensions={}"),
            Ok(request("{a}"))
        );
        let named = of_query("query=a&operationName=B&variables=%7B%22c%22:1%7D").unwrap();
        assert_eq!(
            (named.operation_name.as_deref(), &named.variables["c"]),
            (Some("B"), &json!(1))
        );
        for (query, expected) in [
            ("query=a&query=b", "duplicate field `query`"),
            (
                "query=a&variables=",
                "The parameter variables must be a JSON object",
            ),
            (
                "query=a&variables=[]",
                "The parameter variables must be a JSON object",
            ),
            (
                "query=a&extensions=1",
                "The parameter extensions must be a JSON object",
            ),
        ] {
            let error = of_query(query).unwrap_err();
            assert!(error.contains(expected), "{query}: {error}");
        }
    }
}
