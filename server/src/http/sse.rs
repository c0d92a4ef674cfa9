//! Answers as server-sent events, in the distinct connections mode of the GraphQL over SSE protocol: one operation for each
//! connection. `Last-Event-ID` resumes a subscription.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::http::header::{self, HeaderValue};
use actix_web::rt::time::{Interval, Sleep, interval_at, sleep};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures::future::{LocalBoxFuture, ready};
use futures::{FutureExt, Stream};
use gom_actors::live::Room;
use gom_actors::sessions::SessionId;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::Cursor;
use gom_runtime::waiting::Charge;
use gom_telemetry::metrics::{CONNECTIONS_CLOSED, Closed, EVENT_STREAMS, GaugeGuard, Route};
use tokio::time::Instant;

use super::State;
use super::access::RequestContext;
use super::call::Call;
use super::renewal::renewing;
use super::request_id::RequestId;
use super::rest_error::RestError;
use super::viewer::{check_site, session_of, time_left};
use crate::admission::reader;
use crate::graphql::{
    Answer, CURSOR, CursorEntry, Next, Outlet, Request, Running, Started, malformed, start,
    write_answer,
};
use crate::identity::{Cursors, User, Viewer};
use crate::socket::{CloseCode, Entry, NotRenewed, Outbox, OwnSocket, OwnTask, Place, retry_delay};

pub const CONTENT_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "last-event-id";

/// Starts the call's operation; the answer lasts as long as it does.
///
/// # Errors
/// If there is no room for one more, or the server stops.
pub async fn stream(
    request: &HttpRequest,
    state: &State,
    call: Call,
) -> Result<HttpResponse, RestError> {
    RequestContext::of(request, |context| context.route(Route::Stream));
    let bounds = &state.bounds;
    let user = call.viewer.user();
    let session = session_of(request, &state.auth).filter(|_| user.is_some());
    if session.is_some() {
        // Any page can open a stream by GET, and the browser adds the cookies.
        check_site(request, &state.auth)?;
    }
    let address = state.auth.proxies.client_of(request).to_string();
    let place = state
        .connections
        .enter(bounds, &address, user.map(|user| user.subject.as_str()))
        .map_err(|crowded| RestError::crowded(crowded.to_string()))?;
    let socket = request.conn_data::<OwnSocket>().copied();
    let account = state.waiting.account(&reader(&call.viewer));
    let notice = state.sockets.notice();
    let outbox = Outbox::new(
        bounds.queue_messages,
        bounds.queue_bytes,
        |_, _| None,
        socket,
        &account,
        notice,
    );
    let entry = state.sockets.enter(&outbox, session.clone());
    if outbox.is_over() && !call.by_get {
        // The server stops, and nothing is sent any more: a mutation would be carried out, and its answer lost. A GET changes
        // nothing, and a browser's `EventSource` comes back only if its stream has begun.
        let message = "The server is restarting, and nothing was done: send the request again";
        return Err(RestError::unavailable(message, None));
    }
    let end = End::of(request, state, session, &call.viewer, &outbox);
    let events = Rc::new(Events {
        outbox: Rc::clone(&outbox),
        id: call.id,
        cursors: state.api.engine.cursors.clone(),
        last: Cell::new(None),
        retry: Cell::new(Some(retry_delay())),
    });
    let mut asked = call.requests.into_iter();
    let (operation, another) = (asked.next(), asked.next());
    let from = resumes_after(request, operation.as_ref(), &events.cursors);
    let started = match (operation, another, from) {
        (Some(operation), None, Ok(from)) => {
            if let Some(from) = from {
                events.is_at(from);
            }
            let outlet = Rc::clone(&events) as Rc<dyn Outlet>;
            let starting = start(
                &state.api,
                operation,
                call.viewer,
                from,
                call.by_get,
                call.deadline,
                outlet,
            );
            let started = AssertUnwindSafe(starting).catch_unwind().await;
            started.unwrap_or_else(|_| Started::Answered(Answer::panicked()))
        }
        (_, _, Err(error)) => Started::Answered(Answer::refused(vec![error])),
        _ => {
            let message = "A batch cannot be answered by events: send one operation";
            Started::Answered(Answer::refused(vec![ApiError::new(
                ErrorKind::BadUserInput,
                message,
            )]))
        }
    };
    let running = match started {
        Started::Running(running) => Some(running),
        Started::Answered(answer) => {
            for error in answer
                .errors
                .iter()
                .filter(|error| error.kind == ErrorKind::Internal)
            {
                tracing::error!(request_id = %events.id, cause = error.message, "internal error");
            }
            events.answer(&answer);
            None
        }
    };
    let heartbeat = interval_at(Instant::now() + bounds.heartbeat, bounds.heartbeat);
    let body = Body {
        outbox,
        events,
        _held: running.as_ref().map(|_| call.held),
        running,
        _entry: entry,
        _place: place,
        _counted: EVENT_STREAMS.guard(()),
        heartbeat,
        end: Some(end),
        leaving: None,
    };
    Ok(HttpResponse::Ok()
        .content_type(CONTENT_TYPE)
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        // nginx would wait until its buffer is full.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body))
}

/// Where a subscription resumes: `Last-Event-ID`, which a client that comes back adds by itself to the request with which it began;
/// or the cursor with which it began.
fn resumes_after(
    request: &HttpRequest,
    operation: Option<&Request>,
    cursors: &Cursors,
) -> Result<Option<Cursor>, ApiError> {
    if let Some(last) = last_event_id(request, cursors)? {
        return Ok(Some(last));
    }
    match operation.map(|operation| operation.extensions.cursor()) {
        Some(Ok(CursorEntry::Resume(cursor))) => cursors
            .open(cursor)
            .map(Some)
            .map_err(|error| malformed(CURSOR, &error.to_string())),
        Some(Err(error)) => Err(error),
        _ => Ok(None),
    }
}

fn last_event_id(request: &HttpRequest, cursors: &Cursors) -> Result<Option<Cursor>, ApiError> {
    let Some(value) = request.headers().get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    if value.as_bytes().trim_ascii().is_empty() {
        return Ok(None);
    }
    // What is no text is no cursor: to begin from now would lose events in silence.
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
    /// With which its client comes back.
    last: Cell<Option<Cursor>>,
    /// After how many milliseconds; nothing once the client has it.
    retry: Cell<Option<u64>>,
}

impl Events {
    /// The field that sets the client's delay before it comes back: for the first message only.
    fn retry(&self) -> String {
        let delay = self.retry.take();
        delay.map_or_else(String::new, |delay| format!("retry: {delay}\n"))
    }

    /// A client that comes back goes on after this.
    fn is_at(&self, cursor: Cursor) {
        self.last.set(Some(cursor));
        self.outbox
            .send([format!("{}id: {}\n\n", self.retry(), self.cursors.seal(cursor)).into()]);
    }

    /// The stream has been served up to here, and ends: what a quiet one has had last may be forgotten.
    fn leave_at(&self, position: Option<Cursor>) {
        if let Some(position) = position
            && self
                .last
                .get()
                .is_none_or(|last| last.epoch != position.epoch || last < position)
        {
            self.is_at(position);
        }
        self.outbox.close(CloseCode::Stream, "");
    }

    fn answer(&self, answer: &Answer) {
        let mut payload = Vec::new();
        write_answer(&mut payload, answer, self.id.as_str());
        let complete = Bytes::from_static(b"event: complete\ndata:\n\n");
        self.outbox.send([event(&payload, None, ""), complete]);
        self.outbox.finish();
    }
}

/// One `data:` line, which is all that some clients read. PostgreSQL breaks lines between the items of a list; in JSON a line
/// break is white space, for within a text it is escaped.
/// `retry`: a field that precedes it, or nothing.
fn event(payload: &[u8], cursor: Option<&str>, retry: &str) -> Bytes {
    let mut out = Vec::with_capacity(payload.len() + 64);
    out.extend_from_slice(retry.as_bytes());
    out.extend_from_slice(b"event: next\n");
    if let Some(cursor) = cursor {
        out.extend_from_slice(format!("id: {cursor}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    let start = out.len();
    out.extend_from_slice(payload);
    for byte in out[start..]
        .iter_mut()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
    {
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
        self.is_at(after);
    }

    fn next(&self, next: Next) {
        if next.cursor.is_some() {
            self.last.set(next.cursor);
        }
        let cursor = next.cursor.map(|cursor| self.cursors.seal(cursor));
        self.outbox
            .send([event(&next.payload, cursor.as_deref(), &self.retry())]);
    }

    fn room(&self) -> Option<Room> {
        self.outbox.room()
    }

    fn end(&self, error: ApiError) {
        if error.kind == ErrorKind::Unavailable {
            // Without an end, clients come back by themselves, with the last cursor.
            return self.outbox.close(CloseCode::Stream, "");
        }
        self.answer(&Answer::refused(vec![error]));
    }
}

/// The answer's body: what waits, a sign of life now and then, and an end with the token.
struct Body {
    outbox: Rc<Outbox>,
    events: Rc<Events>,
    running: Option<Running>,
    /// Of the request, for as long as it goes on.
    _held: Option<Charge>,
    _entry: Entry,
    _place: Place,
    _counted: GaugeGuard,
    heartbeat: Interval,
    /// Nothing once it has come.
    end: Option<End>,
    /// Finds out up to where the stream was served.
    leaving: Option<LocalBoxFuture<'static, Option<Cursor>>>,
}

/// What ends a stream.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// Its token has ended: as metrics count it.
    Now(Closed),
    /// The user may something else: the client comes back by itself, with its last cursor.
    Changed,
}

impl Ending {
    /// What becomes of a stream whose token was renewed with other rights, or not; nothing came of a task that was cancelled.
    fn of(renewal: Option<Result<Arc<User>, NotRenewed>>) -> Self {
        match renewal {
            Some(Ok(_)) => Ending::Changed,
            Some(Err(NotRenewed::Over)) => Ending::Now(Closed::Forbidden),
            Some(Err(NotRenewed::Unavailable)) | None => Ending::Now(Closed::Again),
        }
    }
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
    outbox: Rc<Outbox>,
    renewing: OwnTask<Result<Arc<User>, NotRenewed>>,
}

impl End {
    fn of(
        request: &HttpRequest,
        state: &State,
        session: Option<SessionId>,
        viewer: &Viewer,
        outbox: &Rc<Outbox>,
    ) -> Self {
        match (session, viewer, request.app_data::<Data<State>>()) {
            (Some(session), Viewer::User(user), Some(state)) => {
                let (state, user, outbox) = (state.clone(), Arc::clone(user), Rc::clone(outbox));
                let renewing = renewing(
                    state.clone(),
                    session.clone(),
                    user.expires,
                    Rc::clone(&outbox),
                );
                End::Session(Box::new(Tenure {
                    state,
                    session,
                    user,
                    outbox,
                    renewing,
                }))
            }
            _ => {
                let left = time_left(request, state, viewer);
                outbox.may_send_until(Instant::now().checked_add(left));
                End::Token(Box::pin(sleep(left)))
            }
        }
    }

    /// Ready when nothing may follow; not to be polled again then.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let tenure = match self {
            End::Token(expires) => {
                return expires
                    .as_mut()
                    .poll(cx)
                    .map(|()| Ending::Now(Closed::Forbidden));
            }
            End::Session(tenure) => tenure,
        };
        loop {
            match Pin::new(&mut tenure.renewing).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(user))) if user.may_the_same(&tenure.user) => {
                    let (state, outbox) = (tenure.state.clone(), Rc::clone(&tenure.outbox));
                    tenure.renewing = renewing(state, tenure.session.clone(), user.expires, outbox);
                    tenure.user = user;
                }
                Poll::Ready(renewal) => return Poll::Ready(Ending::of(renewal)),
            }
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(Poll::Ready(ending)) = self.end.as_mut().map(|end| end.poll(cx)) {
            self.end = None;
            if let Ending::Now(cause) = ending {
                if !self.outbox.is_over() {
                    CONNECTIONS_CLOSED.inc(cause);
                }
                return Poll::Ready(None);
            }
            let position = self
                .running
                .as_ref()
                .and_then(|running| running.position(self.events.last.get()));
            self.leaving =
                Some(position.map_or_else(|| ready(None).boxed_local(), FutureExt::boxed_local));
        }
        if let Some(Poll::Ready(position)) =
            self.leaving.as_mut().map(|leaving| leaving.poll_unpin(cx))
        {
            self.leaving = None;
            self.events.leave_at(position);
        }
        match self.outbox.poll(cx) {
            Poll::Ready(event) => Poll::Ready(event.map(Ok)),
            Poll::Pending => self
                .heartbeat
                .poll_tick(cx)
                .map(|_| Some(Ok(Bytes::from_static(b":\n\n")))),
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
    fn a_stream_that_ends_because_no_store_answers_is_not_counted_as_forbidden() {
        assert_eq!(
            Ending::of(Some(Err(NotRenewed::Unavailable))),
            Ending::Now(Closed::Again)
        );
        assert_eq!(
            Ending::of(Some(Err(NotRenewed::Over))),
            Ending::Now(Closed::Forbidden)
        );
    }

    #[test]
    fn an_event_has_one_line_of_data() {
        assert_eq!(
            event(b"{\"a\":[1, \n 2, \r\n 3]}", Some("1-2-3"), ""),
            "event: next\nid: 1-2-3\ndata: {\"a\":[1,   2,    3]}\n\n"
        );
        assert_eq!(event(b"{}", None, ""), "event: next\ndata: {}\n\n");
        assert_eq!(
            event(b"{}", None, "retry: 700\n"),
            "retry: 700\nevent: next\ndata: {}\n\n"
        );
    }
}
