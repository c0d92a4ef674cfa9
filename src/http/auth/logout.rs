//! `POST /auth/logout`, and GET for the client: closes the session. Whatever becomes of that, the browser is
//! told to forget what shows it as logged in; a client that cannot would be stuck.

use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gom_actors::sessions::SessionId;

use crate::http::State;
use crate::http::edge::Edge;
use crate::http::rest_error::RestError;
use crate::http::session::unanswered;
use crate::http::viewer::{check_page, check_site};

pub async fn handle(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, RestError> {
    let edge = &state.edge;
    if let Some(id) = edge.cookies.id_of(&request) {
        close(&request, edge, &id).await?;
    }
    edge.cookies.forget_tokens(&request);
    edge.cookies.forget_id(&request);
    Ok(HttpResponse::NoContent().finish())
}

async fn close(request: &HttpRequest, edge: &Edge, id: &SessionId) -> Result<(), RestError> {
    // The store has no answer: the name stays with the browser, so that it can ask again.
    let unclosed = |error| {
        edge.cookies.forget_tokens(request);
        RestError::from(unanswered(error))
    };
    if request.method() == Method::GET {
        check_site(request, edge)?;
    } else if edge.sessions.resume(id).await.map_err(unclosed)?.is_some() {
        // What is not there needs no protection.
        check_page(request, edge, id)?;
    }
    edge.sessions.close(id).await.map_err(unclosed)
}
