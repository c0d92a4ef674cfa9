//! The addresses at which Prisma 1 served a service: `/SERVICE/STAGE`, for whatever names its clients have been given, and
//! `/status`. A server has one service, so the names choose nothing (ADR 35); paths of our own come first.

use actix_web::Error;
use actix_web::HttpMessage;
use actix_web::HttpResponse;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::guard::{GuardContext, fn_guard};
use actix_web::http::Method;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::middleware::{Next, from_fn};
use actix_web::web;
use gom_telemetry::metrics::Route;
use serde_json::json;
use std::rc::Rc;

use super::access::RequestContext;
use super::endpoint::Endpoint;
use super::openapi::{OperationObject, ResponseObject, Tag};
use super::{asks_for_socket, graphql, socket, vary_by_accept};

/// No service has such a name: these are paths of our own, or Prisma's for other purposes.
const OTHER_SERVICES: [&str; 12] = [
    "auth",
    "favicon.ico",
    "favicon.svg",
    "graphql",
    "healthz",
    "management",
    "metrics",
    "openapi",
    "readyz",
    "status",
    "version",
    "webpush",
];
/// What Prisma served beside a service's API.
const OTHER_STAGES: [&str; 3] = ["export", "import", "private"];
const MAX_NAME_BYTES: usize = 128;

/// To be served after all other paths.
pub fn service() -> Endpoint {
    let named = |operation: OperationObject| {
        operation
            .path(
                "service",
                "Any name that begins with a letter: the server has one service.",
            )
            .path("stage", "Any such name.")
            .answer(ResponseObject::error(
                404,
                &["Not Found"],
                "That is no name, or another path's (`auth`).",
            ))
    };
    Endpoint::at("/{service}/{stage}")
        .only_where(is_service)
        .route(
            web::get()
                .guard(fn_guard(asks_for_socket))
                .to(socket::handle),
        )
        .route(
            web::get()
                .to(graphql::handle)
                .wrap(from_fn(vary_by_accept))
                .wrap(from_fn(note)),
        )
        .route(web::post().to(graphql::handle).wrap(from_fn(note)))
        .described(Method::GET, named(graphql::by_get("graphqlOfServiceByGet")))
        .described(Method::POST, named(graphql::by_post("graphqlOfService")))
}

/// `/status`: what Prisma's health checks expect.
pub fn status() -> Endpoint {
    let operation = OperationObject::new(
        Tag::Server,
        "status",
        "Whether the process answers, as Prisma 1 said it",
    )
    .answer(ResponseObject::new(200, "It does.").content("text/plain", json!({ "const": "OK" })));
    Endpoint::at("/status").get(
        async || {
            HttpResponse::Ok()
                .insert_header((CACHE_CONTROL, "no-store"))
                .content_type("text/plain; charset=utf-8")
                .body("OK")
        },
        operation,
    )
}

fn is_service(request: &GuardContext<'_>) -> bool {
    let mut parts = request.head().uri.path().trim_matches('/').split('/');
    let (Some(service), Some(stage), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    is_name(service)
        && is_name(stage)
        && !OTHER_SERVICES.contains(&service)
        && !OTHER_STAGES.contains(&stage)
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-~".contains(&byte);
    text.len() <= MAX_NAME_BYTES
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(plain)
}

/// In the log and the metrics it is GraphQL, whatever the names are.
async fn note<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if let Some(context) = request.extensions().get::<Rc<RequestContext>>() {
        context.route(Route::Graphql);
    }
    next.call(request).await
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn no_path_of_ours_is_a_service() {
        for endpoint in crate::http::endpoints(&crate::http::Additions::default()) {
            let first = endpoint
                .path()
                .split('/')
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            let known = first.is_empty() || first.starts_with('{') || !is_name(&first);
            assert!(known || OTHER_SERVICES.contains(&first.as_str()), "{first}");
        }
    }

    #[test]
    fn services_and_stages_have_names() {
        let long = format!("/{}/dev", "a".repeat(MAX_NAME_BYTES + 1));
        for (path, expected) in [
            ("/default/default", true),
            ("/My-shop_2/dev~a", true),
            ("/shop", false),
            ("/shop/dev/private", false),
            ("/shop/private", false),
            ("/shop/_datamodel", false),
            ("/shop/2", false),
            ("/auth/dev", false),
            ("/management/dev", false),
            ("/a%2fb/dev", false),
            ("//dev", false),
            (&long, false),
        ] {
            let request = TestRequest::with_uri(path).to_srv_request();
            assert_eq!(is_service(&request.guard_ctx()), expected, "{path}");
        }
    }
}
