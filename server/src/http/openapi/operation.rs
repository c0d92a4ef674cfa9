//! How one method of one path is described: plain values, written beside the handler, that become an Operation Object.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schemas;

/// The groups in which operations are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `/graphql`, in its transports.
    Graphql,
    /// Log in, log out, and what browsers need before they can.
    Sessions,
    /// Subscriptions of browsers to push messages.
    Push,
    /// Health, version, descriptions, and what fits in no other group.
    Server,
}

impl Tag {
    pub(crate) const ALL: [Tag; 4] = [Tag::Graphql, Tag::Sessions, Tag::Push, Tag::Server];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Tag::Graphql => "GraphQL",
            Tag::Sessions => "Sessions",
            Tag::Push => "Web push",
            Tag::Server => "Server",
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Tag::Graphql => {
                "The data. `gom schema`, or introspection, describes what can be asked."
            }
            Tag::Sessions => "Browsers log in and out, and get what they need before they can.",
            Tag::Push => "Browsers say where push messages for their users go, and take it back.",
            Tag::Server => "The state of the server, and what it is.",
        }
    }
}

/// Who may call. Of several, one is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Everybody: nothing is checked.
    Anyone,
    /// A browser that is logged in, for what changes nothing.
    Session,
    /// The same with its CSRF token.
    SessionWithCsrf,
    /// A browser with the cookie and the token that `/auth/ping` hands out; logged in or not.
    CsrfOnly,
    /// A service, with a token that the operator has signed, or a user with one of an issuer elsewhere.
    Bearer,
}

impl Caller {
    fn requirement(self) -> Value {
        match self {
            Caller::Anyone => json!({}),
            Caller::Session => json!({ "session": [], "sessionToken": [] }),
            Caller::SessionWithCsrf => json!({ "session": [], "sessionToken": [], "csrf": [] }),
            Caller::CsrfOnly => json!({ "session": [], "csrf": [] }),
            Caller::Bearer => json!({ "bearer": [] }),
        }
    }
}

/// What one method of one path does.
#[derive(Debug, Clone)]
pub struct OperationObject {
    tag: Tag,
    id: &'static str,
    summary: &'static str,
    text: String,
    callers: Vec<Caller>,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, ResponseObject>,
}

/// What may be answered with one status.
#[derive(Debug, Clone)]
pub struct ResponseObject {
    status: u16,
    text: String,
    headers: Vec<&'static str>,
    contents: Vec<(&'static str, Value)>,
}

impl ResponseObject {
    /// Without a body, until one is added. `Cache-Control: no-store` goes with it.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        let waits = matches!(status, 429 | 503).then_some(schemas::RETRY_AFTER);
        let asks = (status == 401).then_some(schemas::WWW_AUTHENTICATE);
        let headers = [schemas::REQUEST_ID, schemas::NO_STORE]
            .into_iter()
            .chain(waits)
            .chain(asks)
            .collect();
        ResponseObject {
            status,
            text: text.into(),
            headers,
            contents: Vec::new(),
        }
    }

    /// An error outside GraphQL. `errors`: what its key `error` may hold.
    pub fn error(status: u16, errors: &[&str], text: impl Into<String>) -> Self {
        let schema = json!({
            "allOf": [
                schemas::reference("Error"),
                { "properties": { "statusCode": { "const": status }, "error": { "enum": errors } } },
            ],
        });
        Self::new(status, text).json(schema)
    }

    /// A JSON body. `schema`: JSON Schema, in which [`reference`](super::reference) names a shared one.
    #[must_use]
    pub fn json(self, schema: Value) -> Self {
        self.content("application/json", schema)
    }

    /// One more media type; if it is there already, one more shape of it.
    #[must_use]
    pub fn content(mut self, media_type: &'static str, schema: Value) -> Self {
        let known = self
            .contents
            .iter_mut()
            .find(|(name, _)| *name == media_type);
        match known.map(|(_, known)| known) {
            None => self.contents.push((media_type, schema)),
            Some(known) => match known.get_mut("anyOf").and_then(Value::as_array_mut) {
                Some(shapes) => shapes.push(schema),
                None => *known = json!({ "anyOf": [known.take(), schema] }),
            },
        }
        self
    }

    /// Without `Cache-Control: no-store`.
    #[must_use]
    pub fn may_be_kept(mut self) -> Self {
        self.headers.retain(|name| *name != schemas::NO_STORE);
        self
    }

    /// One of the headers in `schemas`.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str) -> Self {
        if !self.headers.contains(&name) {
            self.headers.push(name);
        }
        self
    }

    fn to_value(&self) -> Value {
        let headers: Map<_, _> = self
            .headers
            .iter()
            .map(|name| ((*name).to_owned(), schemas::header_reference(name)))
            .collect();
        let mut value = json!({ "description": self.text, "headers": headers });
        if !self.contents.is_empty() {
            let contents = self.contents.iter();
            value["content"] = contents
                .map(|(name, schema)| ((*name).to_owned(), json!({ "schema": schema })))
                .collect();
        }
        value
    }
}

impl OperationObject {
    /// An operation that anyone may call, without parameters, body or answers, until they are added. `id` is its `operationId`,
    /// unique in the document.
    pub fn new(tag: Tag, id: &'static str, summary: &'static str) -> Self {
        OperationObject {
            tag,
            id,
            summary,
            text: String::new(),
            callers: vec![Caller::Anyone],
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
        }
    }

    /// What the summary does not say; CommonMark.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Who may call, in place of anyone: the handler has to check it.
    #[must_use]
    pub fn by(mut self, callers: &[Caller]) -> Self {
        self.callers = callers.to_vec();
        self
    }

    /// A part of the path.
    #[must_use]
    pub fn path(mut self, name: &str, text: &str) -> Self {
        let schema = json!({ "type": "string", "minLength": 1 });
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": text, "schema": schema,
        }));
        self
    }

    /// A parameter in the query.
    #[must_use]
    pub fn query(mut self, name: &str, required: bool, text: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "required": required, "description": text, "schema": schema,
        }));
        self
    }

    /// A header that may be sent.
    #[must_use]
    pub fn header(mut self, name: &str, text: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": text, "schema": schema,
        }));
        self
    }

    /// A parameter in the query that is JSON.
    #[must_use]
    pub fn json_query(mut self, name: &str, text: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "description": text,
            "content": { "application/json": { "schema": schema } },
        }));
        self
    }

    /// The request's body, always JSON and always needed.
    #[must_use]
    pub fn body(mut self, text: &str, schema: Value) -> Self {
        self.body = Some(json!({
            "description": text,
            "required": true,
            "content": { "application/json": { "schema": schema } },
        }));
        self
    }

    /// One more answer. Of one status, the texts, headers and contents are joined.
    #[must_use]
    pub fn answer(mut self, answer: ResponseObject) -> Self {
        match self.answers.get_mut(&answer.status) {
            None => {
                self.answers.insert(answer.status, answer);
            }
            Some(known) => {
                known.text = format!("{} {}", known.text, answer.text);
                let kept = [&*known, &answer]
                    .iter()
                    .any(|one| !one.headers.contains(&schemas::NO_STORE));
                let mut joined = answer
                    .headers
                    .iter()
                    .fold(known.clone(), |known, name| known.header(name));
                if kept {
                    joined = joined.may_be_kept();
                }
                *known = answer
                    .contents
                    .into_iter()
                    .fold(joined, |known, (name, schema)| known.content(name, schema));
            }
        }
        self
    }

    /// What is answered where a small JSON body cannot be read. `bytes`: how large it may be.
    #[must_use]
    pub fn small_body_errors(self, bytes: usize) -> Self {
        self.answer(ResponseObject::error(
            400,
            &["Bad Request"],
            "The body is not as described: `message` says all that is wrong.",
        ))
        .answer(ResponseObject::error(
            408,
            &["Request Timeout"],
            "The body did not arrive before the deadline.",
        ))
        .answer(ResponseObject::error(
            413,
            &["Payload Too Large"],
            format!("The body is larger than {bytes} bytes."),
        ))
        .answer(ResponseObject::error(
            415,
            &["Unsupported Media Type"],
            "The body is not `application/json`, or is compressed.",
        ))
    }

    /// The Operation Object.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({
            "tags": [self.tag.name()],
            "operationId": self.id,
            "summary": self.summary,
        });
        if !self.text.is_empty() {
            value["description"] = self.text.clone().into();
        }
        value["security"] = self
            .callers
            .iter()
            .map(|caller| caller.requirement())
            .collect();
        if !self.parameters.is_empty() {
            value["parameters"] = self.parameters.clone().into();
        }
        if let Some(body) = &self.body {
            value["requestBody"] = body.clone();
        }
        value["responses"] = self
            .answers
            .values()
            .map(|answer| (answer.status.to_string(), answer.to_value()))
            .collect();
        value
    }
}
