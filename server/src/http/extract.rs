//! What the handlers of an application's endpoints take: the viewer, and a small JSON body. They refuse requests as the
//! server's own endpoints do, so a handler holds checked values only.

use actix_web::dev::Payload;
use actix_web::web::{self, Data};
use actix_web::{Error, FromRequest, HttpRequest};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::{Map, Value};

use super::call::authenticate;
use super::{State, json_body};
use crate::identity::Viewer;

/// The viewer of a request: a user by a browser's cookies, or a service by its token. A browser's request whose method may
/// change something comes from a page that may send it, with the session's CSRF token.
///
/// Requests of others are refused with 401 or 403. An endpoint for everybody calls [`super::check_site`] instead, where a page
/// of another site must not use it.
#[derive(Debug, Clone)]
pub struct Authenticated(pub Viewer);

impl FromRequest for Authenticated {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move {
            let viewer = authenticate(&request, state(&request)).await?;
            Ok(Authenticated(viewer))
        }
        .boxed_local()
    }
}

/// A JSON object of at most [`super::MAX_JSON_BODY_BYTES`], as the request's body. It has to arrive within
/// `limits.deadline`.
///
/// [`super::Fields`] reads its fields and collects what is wrong with them.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonBody(pub Map<String, Value>);

impl FromRequest for JsonBody {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, body) = (
            request.clone(),
            web::Payload::from_request(request, payload),
        );
        async move {
            let deadline = state(&request).limits.everyone.deadline;
            let body = json_body::read(&request, body.await?, deadline).await?;
            Ok(JsonBody(body))
        }
        .boxed_local()
    }
}

fn state(request: &HttpRequest) -> &State {
    request
        .app_data::<Data<State>>()
        .expect("the routes are set up with their state")
}
