//! One path of the server: who answers there, and how that is described. Nothing is served that is not described:
//! the routes and `/openapi.json` are made of one list.

use std::collections::HashMap;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::guard::{GuardContext, fn_guard};
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, FromRequest, Handler, HttpRequest, Responder, ResponseError, Route};
use gom_telemetry::metrics::Route as Label;

use super::openapi::OperationObject;
use super::rest_error::RestError;

/// A path, its methods and their descriptions.
pub struct Endpoint {
    path: &'static str,
    also_at: Vec<&'static str>,
    routes: Vec<Route>,
    operations: Vec<(Method, OperationObject)>,
    /// What `Allow` says where another method is asked for.
    allow: Vec<Method>,
    refuses_methods: bool,
    kept_from_caches: bool,
    only_where: Option<fn(&GuardContext<'_>) -> bool>,
    label: Label,
}

impl Endpoint {
    /// `path` is without a trailing slash, which the server trims.
    pub fn at(path: &'static str) -> Self {
        Endpoint {
            path,
            also_at: Vec::new(),
            routes: Vec::new(),
            operations: Vec::new(),
            allow: Vec::new(),
            refuses_methods: true,
            kept_from_caches: false,
            only_where: None,
            label: Label::Other,
        }
    }

    /// The same at another path, which is not described by itself. Its requests are counted as those of the first.
    #[must_use]
    pub fn also_at(mut self, path: &'static str) -> Self {
        self.also_at.push(path);
        self
    }

    /// GET, and HEAD: the same without a body.
    #[must_use]
    pub fn get<F, Args>(self, handler: F, operation: OperationObject) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let mut endpoint = self.on(Method::GET, handler.clone(), operation);
        endpoint.routes.push(web::head().to(handler));
        endpoint.allow.push(Method::HEAD);
        endpoint
    }

    /// POST, no other.
    #[must_use]
    pub fn post<F, Args>(self, handler: F, operation: OperationObject) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::POST, handler, operation)
    }

    /// One method, no other.
    #[must_use]
    pub fn on<F, Args>(self, method: Method, handler: F, operation: OperationObject) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.described(method.clone(), operation)
            .route(web::method(method).to(handler))
    }

    /// A route that is described by itself, or in another's words. The first that matches answers.
    #[must_use]
    pub(crate) fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// What a method does here that one of the routes answers.
    #[must_use]
    pub(crate) fn described(mut self, method: Method, operation: OperationObject) -> Self {
        self.allow.push(method.clone());
        self.operations.push((method, operation));
        self
    }

    /// A route takes all methods, and refuses those that are not described in words of its own.
    #[must_use]
    pub(crate) fn refuses_methods_itself(mut self) -> Self {
        self.refuses_methods = false;
        self
    }

    /// Every answer is for one browser, and for now: also an error's.
    #[must_use]
    pub fn kept_from_caches(mut self) -> Self {
        self.kept_from_caches = true;
        self
    }

    /// Of what the path matches, only this is served.
    #[must_use]
    pub(crate) fn only_where(mut self, holds: fn(&GuardContext<'_>) -> bool) -> Self {
        self.only_where = Some(holds);
        self
    }

    /// Its name in logs, metrics and traces.
    #[must_use]
    pub(crate) fn labelled(mut self, label: Label) -> Self {
        self.label = label;
        self
    }

    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    /// Its path, and the others at which it is served.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.path).chain(self.also_at.iter().copied())
    }

    pub(crate) fn operations(&self) -> &[(Method, OperationObject)] {
        &self.operations
    }

    /// Adds the path to a worker's routes.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where a path is served"
    )]
    pub(crate) fn serve(self, config: &mut ServiceConfig) {
        let mut resource = web::resource(self.paths().collect::<Vec<_>>());
        if let Some(holds) = self.only_where {
            resource = resource.guard(fn_guard(holds));
        }
        for route in self.routes {
            resource = resource.route(route);
        }
        if self.refuses_methods {
            let allow = self
                .allow
                .iter()
                .map(Method::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            resource = resource.default_service(web::to(move |request: HttpRequest| {
                let error = RestError::method_not_allowed(&request, allow.clone());
                async move { error.error_response() }
            }));
        }
        if self.kept_from_caches {
            config.service(resource.wrap(from_fn(keep_from_caches)));
        } else {
            config.service(resource);
        }
    }
}

/// The label of each path that is served, from the one list of endpoints.
#[derive(Debug, Default)]
pub struct RouteLabels {
    paths: HashMap<&'static str, Label>,
    /// Of patterns: what stands before the first parameter.
    beginnings: Vec<(&'static str, Label)>,
}

impl RouteLabels {
    pub fn of(endpoints: &[Endpoint]) -> Self {
        let mut labels = RouteLabels::default();
        for endpoint in endpoints {
            for path in endpoint.paths() {
                labels.add(path, endpoint.label);
            }
        }
        labels
    }

    /// A path that is no endpoint.
    pub fn add(&mut self, path: &'static str, label: Label) {
        match path.split_once('{') {
            // What takes the paths that are left says nothing about them.
            Some(("/", _)) => {}
            Some((beginning, _)) => self.beginnings.push((beginning, label)),
            None => {
                self.paths.insert(path, label);
            }
        }
    }

    /// The label of a path, with or without a slash at its end.
    pub fn label_of(&self, path: &str) -> Label {
        let path = match path.trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        let of_beginning = || {
            self.beginnings
                .iter()
                .find(|(beginning, _)| path.starts_with(beginning))
        };
        self.paths
            .get(path)
            .or_else(|| of_beginning().map(|(_, label)| label))
            .copied()
            .unwrap_or(Label::Other)
    }
}

async fn keep_from_caches<B: actix_web::body::MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_label_of_its_endpoint() {
        let labels = RouteLabels::of(&[
            Endpoint::at("/").labelled(Label::Root),
            Endpoint::at("/graphql").labelled(Label::Graphql),
            Endpoint::at("/graphql/{file}")
                .also_at("/graphql/graphql/{file}")
                .labelled(Label::Pages),
            Endpoint::at("/healthz")
                .also_at("/status")
                .labelled(Label::Healthz),
            Endpoint::at("/{service}/{stage}").labelled(Label::Graphql),
        ]);
        for (path, label) in [
            ("/", Label::Root),
            ("", Label::Root),
            ("/graphql", Label::Graphql),
            ("/graphql/", Label::Graphql),
            ("/graphql/app.js", Label::Pages),
            ("/graphql/graphql/app.js", Label::Pages),
            ("/status", Label::Healthz),
            ("/default/default", Label::Other),
            ("/graphqlx", Label::Other),
        ] {
            assert_eq!(labels.label_of(path), label, "{path}");
        }
    }
}
