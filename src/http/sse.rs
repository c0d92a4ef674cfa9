//! Answers as server-sent events, in the distinct connections mode of the GraphQL over SSE protocol: one operation for each
//! connection. `Last-Event-ID` resumes a subscription.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::http::header::{self, HeaderValue};
use actix_web::rt::time::{Interval, Sleep, interval_at, sleep};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures::{FutureExt, Stream};
use gom_actors::live::Room;
use gom_actors::metrics::{CONNECTIONS_CLOSED, Closed, EVENT_STREAMS, Level, Route};
use gom_actors::sessions::SessionId;
use gom_actors::waiting::Charge;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::Cursor;
use tokio::time::Instant;

use super::State;
use super::access::Noted;
use super::call::Call;
use super::outgoing::reader;
use super::renewal::{NotRenewed, renewed};
use super::request_id::RequestId;
use super::rest_error::RestError;
use super::viewer::{check_site, time_left};
use crate::graphql::{Answer, Next, Outlet, Running, Started, start, write_answer};
use crate::identity::{Cursors, User, Viewer};
use crate::socket::{Entry, Outbox, OwnSocket, OwnTask, Place};

pub const CONTENT_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "last-event-id";

/// Starts the call's operation; the answer lasts as long as it does.
///
/// # Errors
/// If there is no room for one more.
pub async fn stream(request: &HttpRequest, state: &State, call: Call) -> Result<HttpResponse, RestError> {
    Noted::of(request, |noted| noted.route(Route::Stream));
    let bounds = &state.bounds;
    let user = call.viewer.user();
    if user.is_some() {
        // Any page can open a stream by GET, and the browser adds the cookies.
        check_site(request, &state.edge)?;
    }
    let address = state.edge.proxies.client_of(request).to_string();
    let place = state
        .census
        .enter(bounds, &address, user.map(|user| user.subject.as_str()))
        .map_err(|crowded| RestError::crowded(crowded.to_string()))?;
    let socket = request.conn_data::<OwnSocket>().copied();
    let account = state.waiting.account(&reader(&call.viewer));
    let told = state.sockets.told();
    let outbox = Outbox::new(bounds.queue_messages, bounds.queue_bytes, |_, _| None, socket, &account, told);
    let session = state.edge.cookies.id_of(request).filter(|_| user.is_some());
    let entry = state.sockets.enter(&outbox, session.clone());
    let end = End::of(request, state, session, &call.viewer);
    let events = Rc::new(Events {
        outbox: Rc::clone(&outbox),
        id: call.id,
        cursors: state.api.engine.cursors.clone(),
    });
    let mut asked = call.requests.into_iter();
    let started = match (asked.next(), asked.next(), last_event_id(request, &events.cursors)) {
        (Some(operation), None, Ok(from)) => {
            if let Some(from) = from {
                events.begins(from);
            }
            let outlet = Rc::clone(&events) as Rc<dyn Outlet>;
            let starting =
                start(&state.api, operation, call.viewer, from, call.by_get, call.deadline, outlet);
            let started = AssertUnwindSafe(starting).catch_unwind().await;
            started.unwrap_or_else(|_| Started::Answered(Answer::panicked()))
        }
        (_, _, Err(error)) => Started::Answered(Answer::refused(vec![error])),
        _ => {
            let message = "A batch cannot be answered by events: send one operation";
            Started::Answered(Answer::refused(vec![ApiError::new(ErrorKind::BadUserInput, message)]))
        }
    };
    let running = match started {
        Started::Running(running) => Some(running),
        Started::Answered(answer) => {
            for error in answer.errors.iter().filter(|error| error.kind == ErrorKind::Internal) {
                tracing::error!(request_id = %events.id, cause = error.message, "internal error");
            }
            events.answer(&answer);
            None
        }
    };
    let heartbeat = interval_at(Instant::now() + bounds.heartbeat, bounds.heartbeat);
    let body = Body {
        outbox,
        _held: running.as_ref().map(|_| call.held),
        _running: running,
        _entry: entry,
        _place: place,
        _counted: EVENT_STREAMS.level(()),
        heartbeat,
        end,
    };
    Ok(HttpResponse::Ok()
        .content_type(CONTENT_TYPE)
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        // nginx would wait until its buffer is full.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body))
}

fn last_event_id(request: &HttpRequest, cursors: &Cursors) -> Result<Option<Cursor>, ApiError> {
    let Some(value) = request.headers().get(LAST_EVENT_ID) else { return Ok(None) };
    if value.as_bytes().trim_ascii().is_empty() {
        return Ok(None);
    }
    // What is no text is no cursor: to begin anew would lose events in silence.
    cursors
        .open(String::from_utf8_lossy(value.as_bytes()).trim())
        .map(Some)
        .map_err(|error| ApiError::new(ErrorKind::BadUserInput, format!("Last-Event-ID: {error}")))
}

/// Where the operation's answers go.
struct Events {
    outbox: Rc<Outbox>,
    id: RequestId,
    cursors: Cursors,
}

impl Events {
    fn answer(&self, answer: &Answer) {
        let mut payload = Vec::new();
        write_answer(&mut payload, answer, self.id.as_str());
        let complete = Bytes::from_static(b"event: complete\ndata:\n\n");
        self.outbox.send([event(&payload, None), complete]);
        self.outbox.finish();
    }
}

/// One `data:` line, which is all that some clients read. PostgreSQL breaks lines between the items of a list; in JSON a line
/// break is white space, for within a text it is escaped.
fn event(payload: &[u8], cursor: Option<&str>) -> Bytes {
    let mut out = Vec::with_capacity(payload.len() + 64);
    out.extend_from_slice(b"event: next\n");
    if let Some(cursor) = cursor {
        out.extend_from_slice(format!("id: {cursor}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    let start = out.len();
    out.extend_from_slice(payload);
    for byte in out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    out.extend_from_slice(b"\n\n");
    out.into()
}

impl Outlet for Events {
    fn request_id(&self) -> &str {
        self.id.as_str()
    }

    /// A client that is cut off before its first event comes back with this.
    fn begins(&self, after: Cursor) {
        self.outbox.send([format!("id: {}\n\n", self.cursors.seal(after)).into()]);
    }

    fn next(&self, next: Next) {
        let cursor = next.cursor.map(|cursor| self.cursors.seal(cursor));
        self.outbox.send([event(&next.payload, cursor.as_deref())]);
    }

    fn room(&self) -> Option<Room> {
        self.outbox.room()
    }

    fn end(&self, error: ApiError) {
        if error.kind == ErrorKind::Unavailable {
            // Without an end, clients come back by themselves, with the last cursor.
            return self.outbox.close(0, "");
        }
        self.answer(&Answer::refused(vec![error]));
    }
}

/// The answer's body: what waits, a sign of life now and then, and an end with the token.
struct Body {
    outbox: Rc<Outbox>,
    _running: Option<Running>,
    /// Of the request, for as long as it goes on.
    _held: Option<Charge>,
    _entry: Entry,
    _place: Place,
    _counted: Level,
    heartbeat: Interval,
    end: End,
}

/// When a stream ends.
enum End {
    /// With its token.
    Token(Pin<Box<Sleep>>),
    /// With its session.
    Session(Box<Tenure>),
}

/// Of a session's user.
struct Tenure {
    state: Data<State>,
    session: SessionId,
    user: Arc<User>,
    renewing: OwnTask<Result<Arc<User>, NotRenewed>>,
}

impl End {
    fn of(request: &HttpRequest, state: &State, session: Option<SessionId>, viewer: &Viewer) -> Self {
        match (session, viewer, request.app_data::<Data<State>>()) {
            (Some(session), Viewer::User(user), Some(state)) => {
                let (state, user) = (state.clone(), Arc::clone(user));
                let renewing = OwnTask::begin(renewed(state.clone(), session.clone(), user.expires));
                End::Session(Box::new(Tenure { state, session, user, renewing }))
            }
            _ => End::Token(Box::pin(sleep(time_left(request, state, viewer)))),
        }
    }

    /// Ready when nothing may follow. A client that may go on with other rights comes back by itself, with the last cursor.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let tenure = match self {
            End::Token(expires) => return expires.as_mut().poll(cx),
            End::Session(tenure) => tenure,
        };
        loop {
            match Pin::new(&mut tenure.renewing).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(user))) if user.may_the_same(&tenure.user) => {
                    let renewing = renewed(tenure.state.clone(), tenure.session.clone(), user.expires);
                    tenure.user = user;
                    tenure.renewing = OwnTask::begin(renewing);
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.end.poll(cx).is_ready() {
            if !self.outbox.is_over() {
                CONNECTIONS_CLOSED.one(Closed::Forbidden);
            }
            return Poll::Ready(None);
        }
        match self.outbox.poll(cx) {
            Poll::Ready(event) => Poll::Ready(event.map(Ok)),
            Poll::Pending => self.heartbeat.poll_tick(cx).map(|_| Some(Ok(Bytes::from_static(b":\n\n")))),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.outbox.gone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_line_of_data() {
        assert_eq!(
            event(b"{\"a\":[1, \n 2, \r\n 3]}", Some("1-2-3")),
            "event: next\nid: 1-2-3\ndata: {\"a\":[1,   2,    3]}\n\n"
        );
        assert_eq!(event(b"{}", None), "event: next\ndata: {}\n\n");
    }
}
