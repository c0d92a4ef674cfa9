//! The `Socket` actor: the one place that knows actix-web-actors. It reads frames (`receiving`), does what the state machine says, and
//! puts what is to be sent into the outbox, which the connection's answer drains.

mod receiving;
mod remembering;
mod renewing;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Handler, SpawnHandle, WrapFuture};
use actix_http::ws::Codec;
use actix_web::HttpResponse;
use actix_web::error::PayloadError;
use actix_web::web::{Bytes, BytesMut, Data};
use actix_web_actors::ws::WebsocketContext;
use futures::{FutureExt, Stream};
use gom_actors::resume::Positions;
use gom_actors::sessions::SessionId;
use gom_engine::error::ErrorKind;
use gom_engine::events::Cursor;
use gom_runtime::waiting::{Charge, Reader};
use gom_telemetry::metrics::{self, CONNECTIONS_CLOSED, Closed, WEBSOCKETS};

use super::connection_limiter::Place;
use super::frame;
use super::machine::{Effect, Id, Machine, Protocol, Start};
use super::memory::Memory;
use super::outbox::{Outbox, OwnSocket};
use super::outlet::{Failed, ToSocket};
use super::own_task::OwnTask;
use super::payload::bad_cursor;
use super::receipts::Receipts;
use super::sending::Sending;
use crate::graphql::{self, Answer, Request, Running, Started};
use crate::http::{State, reader, too_much_asked};
use crate::identity::Viewer;

/// How long an acknowledgement waits for its cursor.
const TIMEOUT: Duration = Duration::from_secs(2);
const NORMAL: u16 = 1000;
const TRY_AGAIN: u16 = 1013;
const NOT_ACCEPTABLE: u16 = 4406;

/// What the handshake has found out.
pub struct Handshake {
    /// Nothing, if the client asks for none that is spoken.
    pub protocol: Option<Protocol>,
    /// Of the cookies, or of a token in the handshake's own headers; and how long.
    pub viewer: Option<(Duration, Viewer)>,
    /// There is no viewer, for the token of a session that lives has ended.
    pub over: bool,
    /// With which the socket ends.
    pub session: Option<SessionId>,
    /// Under which errors are found in the log.
    pub request_id: String,
    pub place: Place,
    /// Whence it comes.
    pub address: Arc<str>,
    pub socket: Option<OwnSocket>,
}

/// Answers a handshake that was found good.
pub fn open<S>(
    mut response: actix_web::HttpResponseBuilder,
    payload: S,
    state: Data<State>,
    handshake: Handshake,
) -> HttpResponse
where
    S: Stream<Item = Result<Bytes, PayloadError>> + 'static,
{
    let bounds = &state.bounds;
    let words = |code, reason: &str| Some(frame::close(code, reason));
    // Nothing but replies waits for a client that has not authenticated.
    let reader = handshake.viewer.as_ref().map_or_else(
        || Reader::Address(Arc::clone(&handshake.address)),
        |(_, viewer)| reader(viewer),
    );
    let (account, told) = (state.waiting.account(&reader), state.sockets.told());
    let outbox = Outbox::new(
        bounds.queue_messages,
        bounds.queue_bytes,
        words,
        handshake.socket,
        &account,
        told,
    );
    let entry = state.sockets.enter(&outbox, handshake.session.clone());
    let most = bounds.message_bytes;
    let machine = match handshake.protocol {
        Some(protocol) => Machine::new(
            protocol,
            bounds.operations,
            handshake.request_id.clone(),
            handshake.over,
        ),
        None => {
            let spoken = Protocol::NAMES.join(", ");
            outbox.close(
                NOT_ACCEPTABLE,
                &format!("Subprotocol not acceptable; spoken are {spoken}"),
            );
            Machine::new(
                Protocol::TransportWs,
                0,
                handshake.request_id.clone(),
                false,
            )
        }
    };
    let now = Instant::now();
    let remembers = match handshake.protocol {
        Some(Protocol::Legacy) => state.positions.clone().zip(handshake.session.clone()),
        _ => None,
    };
    let place = Rc::new(RefCell::new(handshake.place));
    let actor = Socket {
        place: Rc::clone(&place),
        remembers,
        asks_for_receipts: false,
        ends_soon: false,
        receipts: Receipts::default(),
        machine,
        // Beyond the clock's end is for ever.
        until: handshake
            .viewer
            .as_ref()
            .and_then(|(left, _)| now.checked_add(*left)),
        viewer: handshake.viewer.map(|(_, viewer)| viewer),
        session: handshake.session,
        known: false,
        rights: 0,
        running: HashMap::new(),
        begun: 0,
        expiry: None,
        partial: BytesMut::new(),
        heard: now,
        outbox: Rc::clone(&outbox),
        state,
        request_id: handshake.request_id,
    };
    let counted = WEBSOCKETS.level(match handshake.protocol {
        Some(Protocol::TransportWs) => metrics::Protocol::TransportWs,
        Some(Protocol::Legacy) => metrics::Protocol::Legacy,
        Some(Protocol::Oldest) => metrics::Protocol::Oldest,
        None => metrics::Protocol::Unknown,
    });
    let frames = WebsocketContext::with_codec(actor, payload, Codec::new().max_size(most));
    response.streaming(Sending::new(frames, outbox, (entry, place, counted)))
}

pub(super) struct Socket {
    machine: Machine,
    /// Among its user's.
    place: Rc<RefCell<Place>>,
    viewer: Option<Viewer>,
    /// When the viewer's token ends.
    until: Option<Instant>,
    /// With which it came: its token is renewed.
    session: Option<SessionId>,
    /// Its client has no cursors: where its operations are kept, and of which session they are.
    remembers: Option<(Positions, SessionId)>,
    asks_for_receipts: bool,
    receipts: Receipts<Vec<remembering::Asked>>,
    /// Counts how often the viewer's rights have changed.
    rights: u64,
    /// The machine has been told who it is.
    known: bool,
    running: HashMap<Id, Operation>,
    /// How many operations were started.
    begun: u64,
    expiry: Option<SpawnHandle>,
    /// The frames of a message that has not come to its end.
    partial: BytesMut,
    heard: Instant,
    outbox: Rc<Outbox>,
    state: Data<State>,
    /// An operation could not begin: the socket is closed in a while.
    ends_soon: bool,
    request_id: String,
}

/// An operation that is being started, or runs.
struct Operation {
    number: u64,
    /// What was asked for, to start it anew when the viewer's rights change.
    request: Arc<Request>,
    bytes: usize,
    outlet: Rc<ToSocket>,
    /// Of [`Socket::rights`], when it was started.
    rights: u64,
    starting: SpawnHandle,
    running: Option<Running>,
    /// It has run, and was started anew when the viewer's rights changed.
    anew: bool,
    /// Counts the request for as long as it goes on; nothing if it is refused for that.
    _held: Option<Charge>,
}

impl Operation {
    /// See [`Running::position`].
    pub(super) fn position(&self) -> Option<impl Future<Output = Option<Cursor>> + 'static> {
        self.running.as_ref()?.position(self.outlet.delivered.get())
    }
}

impl Actor for Socket {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let bounds = self.state.bounds.clone();
        ctx.run_later(bounds.init_timeout, |socket, ctx| {
            let effects = socket.machine.init_is_late();
            socket.apply(effects, ctx);
        });
        ctx.run_interval(bounds.heartbeat, move |socket, ctx| {
            if !socket.outbox.is_idle() {
                // A ping would come late, after what there is to read; whether it reads, the outbox knows.
                socket.heard = Instant::now();
            } else if socket.heard.elapsed() > bounds.heartbeat * 2 {
                // There may be nobody to close it for.
                if !socket.outbox.is_over() {
                    CONNECTIONS_CLOSED.one(Closed::Silent);
                }
                ctx.stop();
            } else {
                socket
                    .outbox
                    .reply(frame::ping(socket.receipts.payload().as_bytes()));
            }
        });
    }
}

impl Socket {
    fn end(&mut self, code: u16, reason: &str) {
        self.running.clear();
        self.outbox.close(code, reason);
    }

    fn apply(&mut self, effects: Vec<Effect>, ctx: &mut <Self as Actor>::Context) {
        for effect in effects {
            match effect {
                Effect::Send(text) => self.outbox.reply(frame::text(&[text.as_bytes()])),
                Effect::Authenticate(token) => self.authenticate(token.as_deref(), ctx),
                Effect::Start(id, start) => self.start(id, *start, ctx),
                Effect::Stop(id) => self.stop(&id, ctx),
                Effect::Close(code, reason) => {
                    if code == NORMAL {
                        self.forget_all();
                    }
                    self.end(code, &reason);
                }
            }
        }
    }

    /// An answer, and that nothing follows: one without the other would be asked for again.
    fn send_answer(&self, effects: Vec<Effect>) {
        let frames = effects.into_iter().filter_map(|effect| match effect {
            Effect::Send(text) => Some(frame::text(&[text.as_bytes()])),
            _ => None,
        });
        self.outbox.send(frames);
    }

    fn authenticate(&mut self, token: Option<&str>, ctx: &mut <Self as Actor>::Context) {
        if let Some(token) = token {
            let left = self.state.tokens.time_left(token).ok();
            self.until = left.and_then(|left| Instant::now().checked_add(left));
            self.viewer = left.map(|_| Viewer::Service);
            if let Some(viewer) = &self.viewer {
                self.outbox
                    .belongs_to(&self.state.waiting.account(&reader(viewer)));
            }
        }
        let known = self.viewer.is_some();
        if known {
            self.expire_later(ctx);
        }
        self.known = known;
        let live = self.state.api.live.live();
        match live.head() {
            None if known => {
                // The server has only just started.
                let live = live.clone();
                let head = async move { live.head_within(TIMEOUT).await }.into_actor(self);
                ctx.spawn(head.map(|head, socket, ctx| {
                    if socket.known {
                        socket.acknowledge(true, head, ctx);
                    }
                }));
            }
            head => self.acknowledge(known, head, ctx),
        }
    }

    fn acknowledge(
        &mut self,
        known: bool,
        head: Option<Cursor>,
        ctx: &mut <Self as Actor>::Context,
    ) {
        let head = head.map(|head| self.state.api.engine.cursors.seal(head));
        let effects = self.machine.authenticated(known, head.as_deref());
        self.apply(effects, ctx);
    }

    fn stop(&mut self, id: &Id, ctx: &mut <Self as Actor>::Context) {
        if let Some(operation) = self.running.remove(id) {
            ctx.cancel_future(operation.starting);
            operation.forget();
        }
    }

    fn start(&mut self, id: Id, start: Start, ctx: &mut <Self as Actor>::Context) {
        self.stop(&id, ctx);
        let memory = self.memory_of(&start, ctx);
        self.launch(id, start, memory, ctx);
    }

    fn launch(
        &mut self,
        id: Id,
        start: Start,
        memory: Option<Rc<Memory>>,
        ctx: &mut <Self as Actor>::Context,
    ) {
        // The machine starts nothing for somebody that it does not know.
        let Some(viewer) = self.viewer.clone().filter(|_| self.known) else {
            return;
        };
        let asked = self.state.asked.account(&reader(&viewer));
        let held = asked
            .check()
            .map(|()| asked.charge(start.bytes.max(start.request.memory())));
        let (request, bytes) = (Arc::clone(&start.request), start.bytes);
        // One that is refused is not kept until there is room to say so.
        let (held, start) = match held {
            Ok(held) => (Some(held), Ok(start)),
            Err(full) => (None, Err(too_much_asked(&self.state, &viewer, full))),
        };
        self.begun += 1;
        let number = self.begun;
        let (before, after) = self.machine.around(&id);
        let outlet = Rc::new(ToSocket {
            outbox: Rc::clone(&self.outbox),
            state: self.state.clone(),
            before: before.into(),
            after,
            socket: ctx.address(),
            id: Rc::clone(&id),
            number,
            request_id: self.request_id.clone(),
            delivered: Cell::new(None),
            begun: Cell::new(false),
            is_remembered: Cell::new(false),
            memory,
        });
        let of_operation = Rc::clone(&outlet);
        let (state, request_id) = (self.state.clone(), self.request_id.clone());
        let outbox = Rc::clone(&self.outbox);
        // On a task of its own: while the connection is stuck in a write, its actor does nothing, and what an operation has or
        // is given meanwhile, others wait for: its user's turn, a thread for large requests.
        let starting = OwnTask::begin(async move {
            let permit = outbox.answer_permit().await;
            // Nobody is answered more while it does not read.
            if let Some(room) = outbox.room() {
                room.await;
            }
            // It was cut off, or closed, while this waited: nothing is done that nobody is told of.
            if outbox.is_over() {
                return (Started::Answered(Answer::refused(Vec::new())), None);
            }
            let start = match start {
                Ok(start) => start,
                Err(error) => return (Started::Answered(Answer::refused(vec![error])), None),
            };
            // Of whom others may wait to be read, here or on other connections.
            if let Err(error) = state.api.admission.check(&viewer) {
                return (Started::Answered(Answer::refused(vec![error])), None);
            }
            let deadline =
                tokio::time::Instant::now() + state.api.engine.limits_of(&viewer).deadline;
            let from = start
                .from
                .map(|from| state.api.engine.cursors.open(&from))
                .transpose();
            let from = match from {
                Ok(from) => from,
                Err(error) => {
                    return (
                        Started::Answered(Answer::refused(vec![bad_cursor(&error.to_string())])),
                        None,
                    );
                }
            };
            outlet.delivered.set(from);
            outlet.begun.set(true);
            let started = graphql::start(
                &state.api,
                start.request,
                viewer,
                from,
                false,
                deadline,
                outlet,
            );
            let started = AssertUnwindSafe(started).catch_unwind().await;
            let started = started.unwrap_or_else(|_| Started::Answered(Answer::panicked()));
            let Started::Answered(answer) = &started else {
                return (started, None);
            };
            let held = (permit, outbox.hold(answer.bytes()));
            if let Some(room) = outbox.room() {
                room.await;
            }
            (started, Some(held))
        });
        let of_task = Rc::clone(&id);
        let starting = starting.into_actor(self).map(move |started, socket, ctx| {
            // Cancelled with the worker's thread.
            let Some((started, held)) = started else {
                return;
            };
            let rights = socket.rights;
            let Some(operation) = socket
                .running
                .get_mut(&of_task)
                .filter(|o| o.number == number)
            else {
                return;
            };
            match started {
                Started::Running(running) => {
                    operation.running = Some(running);
                    let is_stale = operation.rights != rights;
                    // One that is started again was answered before.
                    if !operation.anew {
                        let effects = socket.machine.started(&of_task);
                        socket.apply(effects, ctx);
                    }
                    // They have changed while it was being started.
                    if is_stale {
                        socket.go_on_anew(of_task, ctx);
                    }
                }
                Started::Answered(answer)
                    if operation.has_to_come_back() && is_passing(&answer) =>
                {
                    socket.end_soon(
                        TRY_AGAIN,
                        "a subscription could not begin at the moment: try again",
                        ctx,
                    );
                }
                // Its client has not asked for anything, and would take it for the end.
                Started::Answered(answer) if operation.anew && is_passing(&answer) => {
                    socket.end(
                        TRY_AGAIN,
                        "a subscription could not go on with the renewed token: try again",
                    );
                }
                Started::Answered(answer) => {
                    for error in answer
                        .errors
                        .iter()
                        .filter(|error| error.kind == ErrorKind::Internal)
                    {
                        tracing::error!(request_id, cause = error.message, "internal error");
                    }
                    if let Some(operation) = socket.running.remove(&of_task) {
                        operation.forget();
                    }
                    let effects = socket.machine.answered(&of_task, &answer);
                    // Counted once: as what waits in the connection from now on.
                    drop(held);
                    socket.send_answer(effects);
                }
            }
        });
        let starting = ctx.spawn(starting);
        let (outlet, rights) = (of_operation, self.rights);
        let operation = Operation {
            number,
            request,
            bytes,
            outlet,
            rights,
            starting,
            running: None,
            anew: false,
            _held: held,
        };
        self.running.insert(id, operation);
    }
}

/// Whether another attempt may succeed.
fn is_passing(answer: &Answer) -> bool {
    use ErrorKind::{DeadlineExceeded, TooManyRequests, Unavailable};
    answer
        .errors
        .iter()
        .any(|error| matches!(error.kind, Unavailable | TooManyRequests | DeadlineExceeded))
}

impl Handler<Failed> for Socket {
    type Result = ();

    fn handle(&mut self, Failed { id, number, error }: Failed, ctx: &mut Self::Context) {
        let ended = self
            .running
            .get(id.as_str())
            .is_some_and(|operation| operation.number == number);
        if ended && error.kind == ErrorKind::Unavailable {
            // Clients come back by themselves, to this server or another, and take up all that they had.
            self.end(TRY_AGAIN, &error.message);
        } else if ended && error.kind == ErrorKind::ResyncRequired && self.has_resumed(&id) {
            self.begin_now(&id.into(), ctx);
        } else if ended {
            if let Some(operation) = self.running.remove(id.as_str()) {
                operation.forget();
            }
            let effects = self.machine.failed(&id, error);
            self.apply(effects, ctx);
        }
    }
}
