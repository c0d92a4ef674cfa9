//! What operations share: schemas, headers, and the ways to show who one is. References to them are made here only.

use gom_engine::error::ErrorKind;
use serde_json::{Value, json};

use crate::http::Additions;

pub const REQUEST_ID: &str = "Request-Id";
pub const RETRY_AFTER: &str = "Retry-After";
pub const NO_STORE: &str = "Cache-Control";
pub const WWW_AUTHENTICATE: &str = "WWW-Authenticate";
pub const ALLOW: &str = "Allow";
pub const SET_COOKIE: &str = "Set-Cookie";
pub const GOM_CURSOR: &str = "Gom-Cursor";

/// A reference to a schema that operations share, such as `Error`.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// One of [`headers`].
pub fn header_reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// The schema of a text that is not empty, has at most `limit` characters, and no zero byte, which PostgreSQL cannot hold.
pub fn text(limit: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": limit, "pattern": "^[^\\u0000]*$" })
}

pub fn headers() -> Value {
    json!({
        REQUEST_ID: {
            "description": "Names the request: log lines about it have the same id.",
            "required": true,
            "schema": { "type": "string", "pattern": "^[0-9a-f]{16}-[0-9]+$" },
        },
        RETRY_AFTER: {
            "description": "Seconds after which to ask again.",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 },
        },
        NO_STORE: {
            "description": "The answer is for this caller, and for now.",
            "required": true,
            "schema": { "type": "string", "const": "no-store" },
        },
        WWW_AUTHENTICATE: {
            "description": "Which tokens are taken, and what is wrong with the one that was sent (RFC 6750).",
            "required": true,
            "schema": { "type": "string", "pattern": "^Bearer( error=\"invalid_token\", error_description=\"[^\"]*\")?$" },
        },
        GOM_CURSOR: {
            "description": "The cursor of the answer, where the header `Gom-Cursor: true` has asked for it.",
            "schema": { "type": "string" },
        },
        ALLOW: {
            "description": "The methods that are taken.",
            "required": true,
            "schema": { "type": "string" },
        },
        SET_COOKIE: {
            "description": "One line for each of `session-id` (and `__Host-session-id`), `session-token` and `csrf-token` that the browser is to keep, or to forget.",
            "schema": { "type": "string" },
        },
    })
}

pub fn security_schemes() -> Value {
    json!({
        "session": {
            "type": "apiKey", "in": "cookie", "name": "session-id",
            "description": "The session's name, signed. `GET /auth/ping` hands one out that is not logged in, `POST /auth/login` one that is.",
        },
        "sessionToken": {
            "type": "apiKey", "in": "cookie", "name": "session-token",
            "description": "The readable half of the access token: `header.payload`. Its signature stays in the session.",
        },
        "csrf": {
            "type": "apiKey", "in": "header", "name": "X-Csrf-Token",
            "description": "The value of the cookie `csrf-token`, repeated. The page must also be one of ours: by `Sec-Fetch-Site`, else by `Origin`.",
        },
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A service's token (HS256), as `gom token` signs them, or a user's access token of an issuer of `auth.issuers`. It counts before cookies.",
        },
    })
}

pub fn all(additions: &Additions) -> Value {
    let mut all = json!({ "Error": error() });
    for schemas in [
        graphql(&additions.error_codes),
        super::super::webpush::schemas(),
        super::super::auth::schemas(additions),
    ] {
        let (Some(all), Value::Object(schemas)) = (all.as_object_mut(), schemas) else {
            continue;
        };
        all.extend(schemas);
    }
    all
}

fn error() -> Value {
    json!({
        "description": "An error outside GraphQL.",
        "type": "object",
        "required": ["statusCode", "message", "error"],
        "properties": {
            "statusCode": { "type": "integer", "description": "The status again." },
            "message": {
                "description": "For people. A list where a body or a query has several faults.",
                "oneOf": [
                    { "type": "string" },
                    { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                ],
            },
            "error": { "type": "string", "description": "For programs: the status's name, or `jwt_error`, `EBADCSRFTOKEN`, `invalid_grant`." },
        },
    })
}

fn graphql(own_codes: &[&'static str]) -> Value {
    let codes: Vec<_> = ErrorKind::ALL
        .iter()
        .map(|kind| kind.code())
        .chain(own_codes.iter().copied())
        .collect();
    let place = json!({ "type": "integer", "minimum": 1 });
    json!({
        "GraphqlRequest": {
            "type": "object",
            "required": ["query"],
            "properties": {
                "query": { "type": "string", "minLength": 1, "description": "The document." },
                "operationName": { "type": ["string", "null"], "description": "Which of the document's operations; needed if there are several." },
                "variables": { "type": ["object", "null"] },
                "extensions": {
                    "type": ["object", "null"],
                    "description": "What the server does not know is passed over.",
                    "properties": {
                        "cursor": { "type": ["boolean", "string", "null"], "description": "True: the answer has a cursor, from which a subscription misses nothing that it does not show. A cursor: the subscription resumes after it." },
                        "after": { "type": ["string", "null"], "description": "A cursor, as a mutation or an event gave it: the query reads no earlier state, or is answered 503." },
                        "leaves": { "type": ["boolean", "null"], "description": "True: the subscription reports rows that leave it." },
                        "patch": { "enum": ["json-patch", null], "description": "The answers of a live query over an event stream come as JSON Patch, after the first one." },
                        "idempotencyKey": { "type": ["string", "null"], "minLength": 1, "maxLength": 128, "description": "Visible characters of ASCII: a mutation that is repeated with it is carried out once, and answered alike." },
                    },
                },
            },
        },
        "GraphqlAnswer": {
            "type": "object",
            "anyOf": [{ "required": ["data"] }, { "required": ["errors"] }],
            "properties": {
                "data": { "type": ["object", "null"], "description": "Null if nothing was done, or where null has spread to the whole. Absent from a refusal as `application/graphql-response+json`." },
                "errors": { "type": "array", "minItems": 1, "items": reference("GraphqlError") },
                "extensions": {
                    "type": "object",
                    "description": "Only where a cursor was asked for.",
                    "required": ["cursor"],
                    "properties": { "cursor": { "type": ["string", "null"], "description": "Null, if the writes are done and their position could not be found out in time." } },
                    "additionalProperties": false,
                },
            },
            "additionalProperties": false,
        },
        "GraphqlRefusal": {
            "allOf": [
                reference("GraphqlAnswer"),
                { "required": ["errors"], "properties": { "data": { "type": "null" } } },
            ],
        },
        "GraphqlError": {
            "type": "object",
            "required": ["message", "requestId", "extensions"],
            "properties": {
                "message": { "type": "string" },
                "code": { "type": "integer", "description": "The number by which Prisma 1 knew the error." },
                "requestId": { "type": "string" },
                "path": { "type": "array", "items": { "type": ["string", "integer"] } },
                "locations": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["line", "column"],
                        "properties": { "line": place, "column": place },
                    },
                },
                "extensions": {
                    "type": "object",
                    "required": ["code"],
                    "properties": { "code": { "enum": codes } },
                },
            },
            "additionalProperties": false,
        },
    })
}
