//! `GET /graphql` from a browser: GraphiQL, with all that it needs built in. What is built in is made by
//! `scripts/build-console` from the folder `console`. The page is the same for everybody and knows no secrets; whatever
//! it asks, it asks as any client.

use std::sync::Arc;

use actix_web::guard::GuardContext;
use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde_json::json;

use super::built_in::File;
use super::openapi::{OperationObject, ResponseObject, Tag};
use super::page::{bind, wants_page};
use super::rest_error::RestError;
use super::{State, socket};

const PAGE: &str = include_str!("../../../../console/page.html");
const SCRIPT: &[u8] = include_bytes!("bundle/console.js.gz");
const STYLE: &[u8] = include_bytes!("bundle/console.css.gz");
const LICENCES: &[u8] = include_bytes!("bundle/licences.txt.gz");
const ICON: &str = include_str!("../icon.svg");

/// Everything is the server's own, and nothing is written into the page: neither scripts nor styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The examples that any datamodel answers. `console/` has others, of applications.
pub const ANY_EXAMPLES: &str = "any";

/// The page and its files.
#[derive(Debug)]
pub struct Console {
    page: File,
    files: [File; 4],
}

impl Console {
    /// `examples`: what the editor shows at first, by name.
    pub fn new(examples: &str) -> Arc<Self> {
        let script = File::packed("console.js", "text/javascript; charset=utf-8", SCRIPT).forever();
        let style = File::packed("console.css", "text/css; charset=utf-8", STYLE).forever();
        let licences = File::packed("licences.txt", "text/plain; charset=utf-8", LICENCES);
        let icon = File::plain("icon.svg", "image/svg+xml", ICON);
        let page = PAGE
            .replace("{examples}", examples)
            .replace("{script}", script.name())
            .replace("{style}", style.name())
            .replace("{icon}", icon.name());
        let page = File::plain("graphql", "text/html; charset=utf-8", page);
        Arc::new(Console {
            page,
            files: [script, style, licences, icon],
        })
    }
}

/// Whether a browser asks for a page where the API is.
pub fn is_asked_for(request: &GuardContext<'_>) -> bool {
    let head = request.head();
    let on = request
        .app_data::<Data<State>>()
        .is_some_and(|state| state.console.is_some());
    on && matches!(head.method, Method::GET | Method::HEAD)
        && wants_page(head.headers())
        && !socket::is_asked_for(head.headers())
        && !has_document(request)
}

/// Whether the address has a document.
pub fn has_document(request: &GuardContext<'_>) -> bool {
    has_query(request.head().uri.query().unwrap_or_default())
}

/// A document in the address is a request to the API, from any client.
fn has_query(parameters: &str) -> bool {
    parameters
        .split('&')
        .any(|parameter| parameter.split('=').next() == Some("query"))
}

/// The page, beside what the API answers at its address.
pub fn described() -> ResponseObject {
    ResponseObject::new(
        200,
        "Or, to a browser, GraphiQL, if it is on (`graphql.console`).",
    )
    .content("text/html", json!({ "type": "string" }))
    .may_be_kept()
}

/// To a browser that has the page, or the file.
pub fn unchanged() -> ResponseObject {
    ResponseObject::new(304, "The browser has it.").may_be_kept()
}

pub fn describe_file() -> OperationObject {
    let text = json!({ "type": "string" });
    let found = ["text/javascript", "text/css", "text/plain", "image/svg+xml"]
        .into_iter()
        .fold(
            ResponseObject::new(200, "The file."),
            |answer, media_type| answer.content(media_type, text.clone()),
        );
    OperationObject::new(Tag::Graphql, "consoleFile", "A file of GraphiQL")
        .path("file", "Its name, as the page has it.")
        .answer(found.may_be_kept())
        .answer(unchanged())
        .answer(ResponseObject::error(
            404,
            &["Not Found"],
            "There is no such file, or GraphiQL is off.",
        ))
}

pub async fn page(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let Some(console) = &state.console else {
        return RestError::not_found(&request).error_response();
    };
    let mut response = console.page.answer(&request);
    // At the same address the API answers others.
    bind(
        response.headers_mut(),
        HeaderValue::from_static(POLICY),
        "Accept, Accept-Encoding",
    );
    response
}

/// A file of the page.
pub async fn file(request: HttpRequest, state: Data<State>, name: Path<String>) -> HttpResponse {
    let found = state
        .console
        .as_ref()
        .and_then(|console| console.files.iter().find(|f| f.name() == *name));
    match found {
        Some(file) => file.answer(&request),
        None => RestError::not_found(&request).error_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_its_files_and_nothing_is_left_to_fill_in() {
        let console = Console::new(ANY_EXAMPLES);
        let page = console.page.text();
        assert!(!page.contains(['{', '}']), "{page}");
        assert!(page.contains(r#"data-examples="any""#));
        for file in console
            .files
            .iter()
            .filter(|file| file.name() != "licences.txt")
        {
            assert!(
                page.contains(&format!(r#""graphql/{}""#, file.name())),
                "{}",
                file.name()
            );
        }
        assert!(
            !page.contains("<style") && !page.contains("style="),
            "the policy forbids it"
        );
        assert!(!page.contains("<script>"), "the policy forbids it");
    }

    #[test]
    fn the_bundle_is_less_than_a_megabyte() {
        let bytes = SCRIPT.len() + STYLE.len() + LICENCES.len();
        assert!(bytes < 1_000_000, "{bytes}");
    }

    #[test]
    fn a_document_is_known_by_its_parameter() {
        for (parameters, expected) in [
            ("", false),
            ("query=%7Ba%7D", true),
            ("a=1&query=", true),
            ("query", true),
            ("queryx=1", false),
            ("x=query", false),
            ("operationName=A", false),
        ] {
            assert_eq!(has_query(parameters), expected, "{parameters}");
        }
    }
}
