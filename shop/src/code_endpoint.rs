//! `GET /auth/bp?code=…`: what the login page shows to a customer who came with a code.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use gom_actors::limiter::{LoginAttempt, Verdict};
use gom_server::http::openapi::{self, OperationObject, ResponseObject, Tag};
use gom_server::http::{Endpoint, Fields, RestError, State, check_site};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::customers::{Customers, SHOWN_DIGITS};
use crate::phone_login::{CODE_CHARACTERS, look_up_failure};

/// The endpoint. `customers`: nothing, if the datamodel has none who could log in.
pub fn endpoint(customers: Option<Customers>) -> Endpoint {
    let customers = customers.map(Arc::new);
    let handler = move |request: HttpRequest, state: Data<State>| {
        let customers = customers.clone();
        async move { handle(&request, &state, customers.as_deref()).await }
    };
    Endpoint::at("/auth/bp")
        .get(handler, operation())
        .kept_from_caches()
}

fn operation() -> OperationObject {
    let body = json!({
        "type": "object",
        "required": ["phoneLast", "customerOf"],
        "properties": {
            "phoneLast": { "type": "string", "pattern": format!("^[0-9]{{1,{SHOWN_DIGITS}}}$"), "description": "The last digits of the telephone number; the customer types those before." },
            "customerOf": { "type": "string", "description": "The seller's business." },
        },
        "additionalProperties": false,
    });
    OperationObject::new(
        Tag::Sessions,
        "customerOfCode",
        "What the login page shows to a customer who came with a code",
    )
    .text("Every miss counts as a wrong attempt to log in: codes could be guessed here, too.")
    .query(
        "code",
        true,
        "The code that the seller gave.",
        openapi::text(CODE_CHARACTERS),
    )
    .answer(ResponseObject::new(200, "There is such a customer, who can log in.").json(body))
    .answer(ResponseObject::error(
        400,
        &["Bad Request"],
        "No code, or nobody's who could log in (`BP not found`).",
    ))
    .answer(ResponseObject::error(
        403,
        &["EBADCSRFTOKEN"],
        "The page is another site's.",
    ))
    .answer(ResponseObject::error(
        404,
        &["Not Found"],
        "The datamodel has no customers.",
    ))
    .answer(ResponseObject::error(
        429,
        &["Too Many Requests"],
        "Too many wrong attempts.",
    ))
    .answer(ResponseObject::error(
        500,
        &["Internal Server Error"],
        "A fault of the server.",
    ))
    .answer(ResponseObject::error(
        503,
        &["Service Unavailable"],
        "The database does not answer.",
    ))
}

/// Every miss counts as a wrong attempt to log in: codes could be guessed here, too.
async fn handle(
    request: &HttpRequest,
    state: &State,
    customers: Option<&Customers>,
) -> Result<HttpResponse, RestError> {
    let auth = &state.auth;
    let Some(customers) = customers else {
        return Err(RestError::not_found(request));
    };
    // Each miss counts against the visitor's address: no other site's page may use up its attempts.
    check_site(request, auth)?;
    let code = code(request)?;
    let networks = auth.proxies.client_of(request).networks();
    let attempt = LoginAttempt {
        networks: &networks,
        ..LoginAttempt::default()
    };
    let reservation = match auth.limiter.admit(&attempt).await {
        Verdict::Admitted(reservation) => reservation,
        refused => return Err(RestError::not_admitted(&refused)),
    };
    let deadline = Instant::now() + state.limits.everyone.deadline;
    let found = match customers.find(&state.api, &code, deadline).await {
        Ok(found) => found,
        Err(error) => {
            auth.limiter.cancel(reservation).await;
            return Err(look_up_failure(&error));
        }
    };
    match found {
        Some(customer) => {
            auth.limiter.refund(reservation).await;
            Ok(HttpResponse::Ok().json(json!({
                "phoneLast": customer.last_digits(),
                "customerOf": customer.business,
            })))
        }
        None => Err(RestError::new(StatusCode::BAD_REQUEST, "BP not found")),
    }
}

fn code(request: &HttpRequest) -> Result<String, RestError> {
    // Of several, one is taken.
    let query = Query::<HashMap<String, String>>::from_query(request.query_string());
    let code = query
        .ok()
        .and_then(|query| query.into_inner().remove("code"));
    let object: Map<String, Value> = code
        .map(|code| ("code".to_owned(), code.into()))
        .into_iter()
        .collect();
    let mut fields = Fields::of(object);
    let code = fields.text("code", CODE_CHARACTERS);
    fields.check().map(|()| code)
}
