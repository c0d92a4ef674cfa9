//! The `Socket` actor: the one place that knows actix-web-actors. It reads frames (`receiving`), does what the state machine says, and
//! puts what is to be sent into the outbox, which the connection's answer drains.

mod bearer;
mod receiving;
mod remembering;
mod renewing;
mod starting;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Handler, SpawnHandle, WrapFuture};
use actix_http::ws::Codec;
use actix_web::HttpResponse;
use actix_web::error::PayloadError;
use actix_web::web::{Bytes, BytesMut};
use actix_web_actors::ws::WebsocketContext;
use futures::Stream;
use gom_actors::resume::Positions;
use gom_actors::sessions::SessionId;
use gom_engine::error::ErrorKind;
use gom_engine::events::Cursor;
use gom_runtime::waiting::{Charge, Reader};
use gom_telemetry::metrics::{self, CONNECTIONS_CLOSED, Closed, WEBSOCKETS};
use tokio::time::Instant;

use super::close_code::CloseCode;
use super::connection_limiter::Place;
use super::frame;
use super::machine::{Effect, Id, Machine, Protocol, Start};
use super::outbox::{Outbox, OwnSocket};
use super::outlet::{Failed, ToSocket};
use super::receipts::Receipts;
use super::sending::Sending;
use super::services::{Renew, SocketServices};
use crate::admission::reader;
use crate::graphql::{IDEMPOTENCY_KEY, LEAVES, Request, Running};
use crate::identity::Viewer;

/// How long an acknowledgement waits for its cursor.
const TIMEOUT: Duration = Duration::from_secs(2);

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
    services: &Rc<SocketServices>,
    renew: Renew,
    handshake: Handshake,
) -> HttpResponse
where
    S: Stream<Item = Result<Bytes, PayloadError>> + 'static,
{
    let bounds = &services.bounds;
    let words = |code, reason: &str| Some(frame::close(code, reason));
    // Nothing but replies waits for a client that has not authenticated.
    let reader = handshake.viewer.as_ref().map_or_else(
        || Reader::Address(Arc::clone(&handshake.address)),
        |(_, viewer)| reader(viewer),
    );
    let (account, notice) = (services.waiting.account(&reader), services.sockets.notice());
    let outbox = Outbox::new(
        bounds.queue_messages,
        bounds.queue_bytes,
        words,
        handshake.socket,
        &account,
        notice,
    );
    let entry = services.sockets.enter(&outbox, handshake.session.clone());
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
                CloseCode::NotAcceptable,
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
        Some(Protocol::Legacy) => services.positions.clone().zip(handshake.session.clone()),
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
        // A deadline that overflows is none.
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
        verifying: None,
        early: None,
        address: handshake.address,
        partial: BytesMut::new(),
        heard: now,
        outbox: Rc::clone(&outbox),
        services: Rc::clone(services),
        renew,
        request_id: handshake.request_id,
    };
    let counted = WEBSOCKETS.guard(match handshake.protocol {
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
    /// The machine has been given its viewer.
    known: bool,
    running: HashMap<Id, RunningOperation>,
    /// How many operations were started.
    begun: u64,
    expiry: Option<SpawnHandle>,
    /// A bearer token is being verified.
    verifying: Option<SpawnHandle>,
    /// Counts what is started before it is known who the client is, so many bytes.
    early: Option<(usize, Charge)>,
    address: Arc<str>,
    /// The frames of a message that has not come to its end.
    partial: BytesMut,
    heard: Instant,
    outbox: Rc<Outbox>,
    services: Rc<SocketServices>,
    renew: Renew,
    /// An operation could not begin: the socket is closed in a while.
    ends_soon: bool,
    request_id: String,
}

/// An operation that is being started, or runs.
struct RunningOperation {
    number: u64,
    /// The request, to restart it when the viewer's rights change.
    request: Arc<Request>,
    bytes: usize,
    outlet: Rc<ToSocket>,
    /// Of [`Socket::rights`], when it was started.
    rights: u64,
    starting: SpawnHandle,
    running: Option<Running>,
    /// It has run, and was restarted when the viewer's rights changed.
    restarted: bool,
    /// Counts the request for as long as it goes on; nothing if it is refused for that.
    _held: Option<Charge>,
}

impl RunningOperation {
    /// See [`Running::position`].
    pub(super) fn position(&self) -> Option<impl Future<Output = Option<Cursor>> + 'static> {
        self.running.as_ref()?.position(self.outlet.delivered.get())
    }
}

impl Actor for Socket {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let bounds = self.services.bounds.clone();
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
                    CONNECTIONS_CLOSED.inc(Closed::Silent);
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
    fn end(&mut self, code: CloseCode, reason: &str) {
        self.running.clear();
        self.outbox.close(code, reason);
    }

    fn apply(&mut self, effects: Vec<Effect>, ctx: &mut <Self as Actor>::Context) {
        for effect in effects {
            match effect {
                Effect::Send(text) => self.outbox.reply(frame::text(&[text.as_bytes()])),
                Effect::Authenticate(token) => self.authenticate(token, ctx),
                Effect::Start(id, start) => self.start(id, *start, ctx),
                Effect::Stop(id) => self.stop(&id, ctx),
                Effect::Close(code, reason) => {
                    if code == CloseCode::Normal {
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

    /// Who the client is has been found out.
    fn authenticated(&mut self, ctx: &mut <Self as Actor>::Context) {
        let known = self.viewer.is_some();
        if known {
            self.expire_later(ctx);
        }
        self.known = known;
        let live = self.services.api.live.live();
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
        let head = head.map(|head| self.services.api.engine.cursors.seal(head));
        let effects = self.machine.authenticated(known, head.as_deref());
        // From now on, they count for the viewer.
        self.count_early();
        self.apply(effects, ctx);
    }

    fn stop(&mut self, id: &Id, ctx: &mut <Self as Actor>::Context) {
        if let Some(operation) = self.running.remove(id) {
            ctx.cancel_future(operation.starting);
            operation.forget();
        }
    }

    fn start(&mut self, id: Id, mut start: Start, ctx: &mut <Self as Actor>::Context) {
        self.stop(&id, ctx);
        if let Some(session) = &self.session
            && start.request.extensions.get(IDEMPOTENCY_KEY).is_some()
        {
            Arc::make_mut(&mut start.request).session = Some(session.handle());
        }
        let memory = self.memory_of(&start, ctx);
        self.launch(id, start, memory, ctx);
    }
}

impl Handler<Failed> for Socket {
    type Result = ();

    fn handle(&mut self, Failed { id, number, error }: Failed, ctx: &mut Self::Context) {
        let operation = self.running.get(id.as_str());
        let operation = operation.filter(|operation| operation.number == number);
        let ended = operation.is_some();
        // One that keeps a set has to read it again, and is not to begin from now in silence.
        let keeps_set = operation.is_some_and(|operation| {
            let flag = operation.request.extensions.flag(LEAVES);
            flag.unwrap_or_default()
        });
        if ended && error.kind == ErrorKind::Unavailable {
            // Clients come back by themselves, to this server or another, and take up all that they had.
            self.end(CloseCode::TryAgain, &error.message);
        } else if ended
            && error.kind == ErrorKind::ResyncRequired
            && !keeps_set
            && self.has_resumed(&id)
        {
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
