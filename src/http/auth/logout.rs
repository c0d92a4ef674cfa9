//! `POST /auth/logout`, and GET for the client: closes the session. Whatever becomes of that, the browser is
//! told to forget what shows it as logged in; a client that cannot would be stuck.

use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gom_actors::sessions::SessionId;

use crate::http::State;
use crate::http::edge::Edge;
use crate::http::openapi::{Answer, Caller, Operation, SET_COOKIE, Tag};
use crate::http::rest_error::RestError;
use crate::http::session::unanswered;
use crate::http::viewer::{check_page, check_site};

pub fn by_post() -> Operation {
    described(Operation::new(Tag::Sessions, "logOut", "Closes the session"))
        .by(&[Caller::SessionWithCsrf, Caller::Anyone])
}

pub fn by_get() -> Operation {
    described(Operation::new(Tag::Sessions, "logOutByGet", "The same, for links"))
        .by(&[Caller::Session, Caller::Anyone])
}

fn described(operation: Operation) -> Operation {
    operation
        .text("Where there is no session, there is nothing to do, and nothing to protect.")
        .answer(Answer::new(204, "Closed. The cookies expire.").header(SET_COOKIE))
        .answer(
            Answer::error(
                403,
                &["EBADCSRFTOKEN"],
                "The page is another site's; or, by POST, the CSRF token is missing or another session's.",
            )
            .header(SET_COOKIE),
        )
        .answer(
            Answer::error(
                503,
                &["Service Unavailable"],
                "Sessions do not answer. The browser's tokens expire all the same.",
            )
            .header(SET_COOKIE),
        )
}

pub async fn handle(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, RestError> {
    let edge = &state.edge;
    // Whatever cookies came with it: what expires in the answer expires in the browser.
    check_site(&request, edge)?;
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
    if request.method() != Method::GET && edge.sessions.resume(id).await.map_err(unclosed)?.is_some() {
        // What is not there needs no protection.
        check_page(request, edge, id)?;
    }
    edge.sessions.close(id).await.map_err(unclosed)
}
