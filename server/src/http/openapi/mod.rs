//! `GET /openapi.json` and `GET /openapi`: the server described, for programs and for people. Both are made once, of
//! the list of endpoints that is also the list of routes.

mod operation;
mod page;
mod schemas;

use std::sync::{Arc, LazyLock, OnceLock};

use actix_web::http::header::HeaderValue;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use gom_telemetry::metrics::Route;
use serde_json::{Map, Value, json};

pub use operation::{Caller, OperationObject, ResponseObject, Tag};
pub(crate) use schemas::{ALLOW, GOM_CURSOR, SET_COOKIE};
pub use schemas::{reference, text};

use super::State;
use super::additions::Additions;
use super::built_in::File;
use super::endpoint::Endpoint;
use super::page::bind;
use super::rest_error::RestError;

/// The page needs nothing but its style sheet.
const ONLY_STYLE: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The description of a server's endpoints, made when it is first requested.
pub(crate) struct Description {
    additions: Arc<Additions>,
    document: OnceLock<File>,
    page: OnceLock<File>,
}

impl Description {
    /// Of the server's own endpoints and those that an application adds.
    pub fn new(additions: Arc<Additions>) -> Self {
        Description {
            additions,
            document: OnceLock::new(),
            page: OnceLock::new(),
        }
    }

    fn document(&self) -> &File {
        self.document.get_or_init(|| {
            let text = document_text(&self.additions);
            File::plain("openapi.json", "application/json", text)
        })
    }

    fn page(&self) -> &File {
        self.page.get_or_init(|| {
            let html = page::html(&document(&self.additions));
            File::plain("openapi", "text/html; charset=utf-8", html)
        })
    }
}

static STYLE: LazyLock<File> = LazyLock::new(|| {
    File::plain(
        "openapi.css",
        "text/css; charset=utf-8",
        include_str!("page.css"),
    )
});

pub(super) fn endpoints() -> Vec<Endpoint> {
    let file = |id, summary, text, media_type, schema| {
        OperationObject::new(Tag::Server, id, summary)
            .answer(
                ResponseObject::new(200, text)
                    .content(media_type, schema)
                    .may_be_kept(),
            )
            .answer(ResponseObject::new(304, "The browser has it.").may_be_kept())
    };
    let (object, text) = (json!({ "type": "object" }), json!({ "type": "string" }));
    let document = file(
        "describe",
        "This description",
        "An OpenAPI 3.1 document.",
        "application/json",
        object,
    );
    let page = file(
        "describeAsPage",
        "This description as a page",
        "The page. It has no scripts.",
        "text/html",
        text.clone(),
    );
    let sheet = file(
        "describeStyle",
        "The page's style sheet",
        "The style sheet.",
        "text/css",
        text,
    );
    vec![
        Endpoint::at("/openapi.json")
            .get(as_json, document)
            .labelled(Route::Pages),
        Endpoint::at("/openapi")
            .get(as_page, page)
            .labelled(Route::Pages),
        Endpoint::at("/openapi.css")
            .get(style, sheet)
            .labelled(Route::Pages),
    ]
}

async fn as_json(request: HttpRequest, state: Data<State>) -> HttpResponse {
    shown(&request, &state, Description::document)
}

async fn as_page(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let mut response = shown(&request, &state, Description::page);
    bind(
        response.headers_mut(),
        HeaderValue::from_static(ONLY_STYLE),
        "Accept-Encoding",
    );
    response
}

async fn style(request: HttpRequest, state: Data<State>) -> HttpResponse {
    shown(&request, &state, |_| &STYLE)
}

/// As if there were nothing, where the description is not to be shown.
fn shown(
    request: &HttpRequest,
    state: &State,
    file: impl Fn(&Description) -> &File,
) -> HttpResponse {
    match &state.description {
        Some(description) => file(description).answer(request),
        None => RestError::not_found(request).error_response(),
    }
}

/// The OpenAPI document, JSON of the server's endpoints and those of an application, as `/openapi.json` serves it.
pub fn document_text(additions: &Additions) -> String {
    format!("{:#}\n", document(additions))
}

fn document(additions: &Additions) -> Value {
    let mut paths = Map::new();
    for endpoint in super::endpoints(additions) {
        let operations = endpoint
            .operations()
            .iter()
            .map(|(method, operation)| (method.as_str().to_lowercase(), operation.to_value()))
            .collect::<Map<_, _>>();
        paths.insert(endpoint.path().to_owned(), operations.into());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gom",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        // Where this document lies: behind a proxy that may be any folder.
        "servers": [{ "url": "." }],
        "tags": Tag::ALL.map(|tag| json!({ "name": tag.name(), "description": tag.text() })),
        "paths": paths,
        "components": {
            "securitySchemes": schemas::security_schemes(),
            "headers": schemas::headers(),
            "schemas": schemas::all(additions),
        },
    })
}

const ABOUT: &str = "\
The REST side of a Gom server, and GraphQL as far as HTTP is concerned. What GraphQL can be asked says its schema \
(`gom schema`, or introspection).

**Errors.** Outside GraphQL, and wherever a browser's session is concerned, errors are \
`{ statusCode, message, error }`. GraphQL's own have GraphQL's shape. A path that is not here is 404, a method that \
a path does not take 405 with `Allow`; every GET but that of `/auth/logout` and `/graphql` is answered to HEAD as well. \
Every answer names its request by `Request-Id`.

**Browsers** have the cookies of a session: `session-id` (over https `__Host-session-id` as well), `session-token` and `csrf-token`. `GET /auth/ping` hands out a session \
that is not logged in, with its CSRF token; `POST /auth/login` makes it one that is. What changes something needs the \
header `X-Csrf-Token`, and a page of this server's. A refusal for the token's sake (`EBADCSRFTOKEN`) sets a new one: the \
same can be sent again. Pages of `server.origins` find the token in the header `X-Csrf-Token` of such answers and of \
`/auth/ping`, and get CORS headers on every path. `jwt_error` means that nobody is logged in.

**Services**, and users with an access token of an issuer of `auth.issuers`, send `Authorization: Bearer TOKEN` and need none of this.

**Prisma's addresses.** What `/graphql` serves is served at `/` and at `/SERVICE/STAGE` as well, for clients that were written for Prisma 1.

**Live answers.** `/graphql` also speaks over websockets (subprotocols `graphql-transport-ws`, `graphql-ws` and `graphql-subscriptions`: a GET \
with `Upgrade: websocket`), and as server-sent events where `Accept` prefers `text/event-stream`.";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every text under a key, wherever it is.
    fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get(key).and_then(Value::as_str));
                object.values().for_each(|value| texts(value, key, found));
            }
            Value::Array(items) => items.iter().for_each(|value| texts(value, key, found)),
            _ => {}
        }
    }

    #[test]
    fn references_lead_somewhere_and_each_part_is_used() {
        let document = document(&Additions::default());
        let mut references = Vec::new();
        texts(&document, "$ref", &mut references);
        for reference in &references {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
        for part in ["headers", "schemas"] {
            for name in document["components"][part].as_object().unwrap().keys() {
                let wanted = format!("#/components/{part}/{name}");
                assert!(
                    references.contains(&wanted.as_str()),
                    "{wanted} is not used"
                );
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let mut names = HashSet::new();
        let document = document(&Additions::default());
        let mut found = Vec::new();
        texts(&document, "operationId", &mut found);
        assert!(found.len() > 10);
        for name in found {
            assert!(names.insert(name), "{name}");
        }
    }
}
