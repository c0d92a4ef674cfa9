//! From the bytes of a GraphQL request to the operations that it asks for. Looks into no document.

use std::future::ready;
use std::pin::Pin;

use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use async_graphql::BatchRequest;
use async_graphql_actix_web::GraphQLBatchRequest;
use futures::Stream;
use futures::stream::once;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::graphql::Request;

/// What one request asks for.
#[derive(Debug, PartialEq)]
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
    let unreadable = |error: &dyn std::fmt::Display| format!("The request cannot be read: {error}");
    if body.trim_ascii_start().starts_with(b"[") {
        // It would take a list of the values of one request, too, without their names.
        serde_json::from_slice::<Vec<Map<String, Value>>>(&body).map_err(|error| unreadable(&error))?;
    }
    let whole: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(once(ready(Ok(body))));
    match GraphQLBatchRequest::from_request(request, &mut whole.into()).await {
        Ok(GraphQLBatchRequest(BatchRequest::Single(single))) => Ok(Asked::One(single.into())),
        Ok(GraphQLBatchRequest(BatchRequest::Batch(batch))) => {
            Ok(Asked::Several(batch.into_iter().map(Request::from).collect()))
        }
        // What is wrong with its shape, the crate does not say.
        Err(error) if error.to_string().contains("untagged enum") => Err(NO_REQUEST.to_owned()),
        Err(error) => Err(unreadable(&error)),
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
    let object = |name: &str, text: Option<String>| match text.as_deref().map(serde_json::from_str) {
        None => Ok(Map::new()),
        Some(Ok(object)) => Ok(Option::<Map<_, _>>::unwrap_or_default(object)),
        Some(Err(error)) => Err(format!("The parameter {name} must be a JSON object: {error}")),
    };
    object("extensions", parameters.extensions)?;
    Ok(Request {
        text: parameters.query,
        operation_name: parameters.operation_name,
        variables: object("variables", parameters.variables)?,
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    fn request(text: &str) -> Request {
        Request { text: text.to_owned(), operation_name: None, variables: Map::new() }
    }

    async fn read(body: &str) -> Result<Asked, String> {
        let request =
            TestRequest::post().insert_header(("content-type", "application/json")).to_http_request();
        of_body(&request, Bytes::copy_from_slice(body.as_bytes())).await
    }

    #[actix_web::test]
    async fn one_or_several_are_read() {
        let Value::Object(variables) = json!({ "a": [1, 2.5, null] }) else { unreachable!() };
        let full = Request { operation_name: Some("A".to_owned()), variables, ..request("{a}") };
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
            (r#"[{"query":"{a}"},{"query":"{b}"}]"#, Asked::Several(vec![request("{a}"), request("{b}")])),
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
            assert!(error.starts_with("The request cannot be read: "), "{body}: {error}");
            assert!(!error.contains("enum"), "our own words: {error}");
        }
    }

    #[test]
    fn an_address_is_read() {
        assert_eq!(of_query("query=%7Ba%7D&x=1"), Ok(request("{a}")));
        assert_eq!(of_query(""), Ok(request("")));
        assert_eq!(of_query("query=%7Ba%7D&variables=null&extensions={}"), Ok(request("{a}")));
        let named = of_query("query=a&operationName=B&variables=%7B%22c%22:1%7D").unwrap();
        assert_eq!((named.operation_name.as_deref(), &named.variables["c"]), (Some("B"), &json!(1)));
        for (query, expected) in [
            ("query=a&query=b", "duplicate field `query`"),
            ("query=a&variables=", "The parameter variables must be a JSON object"),
            ("query=a&variables=[]", "The parameter variables must be a JSON object"),
            ("query=a&extensions=1", "The parameter extensions must be a JSON object"),
        ] {
            let error = of_query(query).unwrap_err();
            assert!(error.contains(expected), "{query}: {error}");
        }
    }
}
