//! From the bytes of a GraphQL request to the operations that it asks for. Looks into no document.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::graphql::Request;

/// What one request asks for.
#[derive(Debug, PartialEq)]
pub enum Asked {
    One(Request),
    /// To be answered by a list.
    Several(Vec<Request>),
}

/// From a body.
///
/// # Errors
/// What is wrong with it, and where.
pub fn of_body(body: &[u8]) -> Result<Asked, String> {
    serde_json::from_slice(body).map_err(|error| format!("The request cannot be read: {error}"))
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

/// As it is written. What else there is, is passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    query: String,
    operation_name: Option<String>,
    variables: Option<Map<String, Value>>,
    #[serde(rename = "extensions")]
    _extensions: Option<Map<String, Value>>,
}

impl From<Written> for Request {
    fn from(written: Written) -> Self {
        Request {
            text: written.query,
            operation_name: written.operation_name,
            variables: written.variables.unwrap_or_default(),
        }
    }
}

/// An object, where serde would also take a list of its values.
struct Object(Request);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(Objects { several: false })? {
            Asked::One(request) => Ok(Object(request)),
            Asked::Several(_) => Err(D::Error::custom("a list in a list")),
        }
    }
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Objects { several: true })
    }
}

struct Objects {
    several: bool,
}

impl<'de> Visitor<'de> for Objects {
    type Value = Asked;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(r#"an object {"query": "…", "operationName": "…", "variables": {…}}"#)?;
        if self.several { f.write_str(", or a list of them") } else { Ok(()) }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Asked, A::Error> {
        Written::deserialize(MapAccessDeserializer::new(map)).map(|written| Asked::One(written.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Asked, A::Error> {
        if !self.several {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let mut requests = Vec::new();
        while let Some(Object(request)) = items.next_element()? {
            requests.push(request);
        }
        Ok(Asked::Several(requests))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(text: &str) -> Request {
        Request { text: text.to_owned(), operation_name: None, variables: Map::new() }
    }

    #[test]
    fn one_or_several_are_read() {
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
            ("[]", Asked::Several(vec![])),
            (r#"[{"query":"{a}"},{"query":"{b}"}]"#, Asked::Several(vec![request("{a}"), request("{b}")])),
        ] {
            assert_eq!(of_body(body.as_bytes()), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_is_no_request_is_said() {
        for (body, expected) in [
            ("", "EOF while parsing a value"),
            ("null", "invalid type: null, expected an object {\"query\""),
            ("3", "or a list of them"),
            (r#"["{a}"]"#, "invalid type: string \"{a}\", expected an object"),
            (r#"[["{a}"]]"#, "invalid type: sequence, expected an object"),
            (r#"[{"query":"{a}"},null]"#, "invalid type: null, expected an object"),
            (r#"{"query":"{a}","query":"{b}"}"#, "duplicate field `query`"),
            (r#"{"query":null}"#, "invalid type: null, expected a string"),
            (r#"{"query":"{a}","operationName":1}"#, "invalid type: integer `1`, expected a string"),
            (r#"{"query":"{a}","variables":[]}"#, "invalid type: sequence, expected a map"),
            (r#"{"query":"{a}","extensions":"x"}"#, "invalid type: string \"x\", expected a map"),
            (r#"{"query":"{a}"} x"#, "trailing characters"),
            (r#"{"query":"\ud800"}"#, "unexpected end of hex escape"),
        ] {
            let error = of_body(body.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{body}: {error}");
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
