//! What the protocols have in common: what comes in, and what is to be done about it. Pure: no socket, no clock.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use gom_engine::error::ApiError;
use serde_json::{Map, Value};

use super::close_code::CloseCode;
use super::legacy::Legacy;
use super::oldest::Oldest;
use super::transport_ws::TransportWs;
use crate::graphql::{Answer, Request};

/// A subprotocol that a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `graphql-transport-ws`, of npm's `graphql-ws`.
    TransportWs,
    /// `graphql-ws`, of npm's `subscriptions-transport-ws`.
    Legacy,
    /// `graphql-subscriptions`, of the same package before 0.7, and of Prisma 1.
    Oldest,
}

impl Protocol {
    /// Those that are spoken, the better one first.
    pub const NAMES: [&str; 3] = [
        "graphql-transport-ws",
        "graphql-ws",
        "graphql-subscriptions",
    ];

    pub fn named(name: &str) -> Option<Self> {
        match name {
            "graphql-transport-ws" => Some(Protocol::TransportWs),
            "graphql-ws" => Some(Protocol::Legacy),
            "graphql-subscriptions" => Some(Protocol::Oldest),
            _ => None,
        }
    }
}

/// The name of an operation on its socket, as JSON: the legacy protocol's may be numbers, and are echoed as they came.
pub type Id = Rc<str>;

/// A text that has come, read; `None`: it is no JSON object.
pub type Message = Option<Map<String, Value>>;

pub fn read(text: &str) -> Message {
    match serde_json::from_str(text) {
        Ok(Value::Object(message)) => Some(message),
        _ => None,
    }
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A text goes to the client.
    Send(String),
    /// The client is who its handshake says, or what this bearer token says.
    Authenticate(Option<String>),
    /// An operation is started, and one with the same id ended.
    Start(Id, Box<Start>),
    Stop(Id),
    /// Nothing follows but the close frame.
    Close(CloseCode, String),
}

/// An operation as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    pub request: Arc<Request>,
    /// Of the message in which it came.
    pub bytes: usize,
    /// The cursor after which a subscription goes on, sealed.
    pub from: Option<String>,
}

impl Start {
    /// What is held for it: the message, or more where its variables take more than their text.
    pub fn memory(&self) -> usize {
        self.bytes.max(self.request.memory())
    }
}

/// What a client starts before it is known who it is, in order.
#[derive(Debug, Default)]
pub(super) struct EarlyStarts {
    starts: Vec<(Id, Box<Start>)>,
    bytes: usize,
}

impl EarlyStarts {
    /// One with the same id is replaced.
    pub fn add(&mut self, id: Id, start: Box<Start>) {
        self.stop(&id);
        self.bytes += start.memory();
        self.starts.push((id, start));
    }

    pub fn stop(&mut self, id: &str) {
        if let Some(place) = self.starts.iter().position(|(other, _)| &**other == id) {
            let (_, start) = self.starts.remove(place);
            self.bytes -= start.memory();
        }
    }

    /// What they hold.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn into_effects(self) -> impl Iterator<Item = Effect> {
        self.starts
            .into_iter()
            .map(|(id, start)| Effect::Start(id, start))
    }
}

/// An answer as a text, without a copy: it is made of texts and of PostgreSQL's, which was looked at when it came.
pub(super) fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// One socket's protocol and its state.
#[derive(Debug)]
pub enum Machine {
    TransportWs(TransportWs),
    Legacy(Legacy),
    Oldest(Oldest),
}

macro_rules! each {
    ($machine:expr, $one:ident => $does:expr) => {
        match $machine {
            Machine::TransportWs($one) => $does,
            Machine::Legacy($one) => $does,
            Machine::Oldest($one) => $does,
        }
    };
}

impl Machine {
    /// `most`: operations at once. `request`: under which errors are found in the log.
    /// `over`: the client's session lives, and its token has ended.
    pub fn new(protocol: Protocol, most: usize, request: String, over: bool) -> Self {
        match protocol {
            Protocol::TransportWs => Machine::TransportWs(TransportWs::new(most, request)),
            Protocol::Legacy => Machine::Legacy(Legacy::new(most, request, over)),
            Protocol::Oldest => Machine::Oldest(Oldest::new(most, request)),
        }
    }

    /// A message of so many bytes has come.
    pub fn receive(&mut self, message: Message, bytes: usize) -> Vec<Effect> {
        each!(self, one => one.receive(message, bytes))
    }

    /// The answer to [`Effect::Authenticate`]. `head`: with which a client that has no cursor yet may come back.
    pub fn authenticated(&mut self, known: bool, head: Option<&str>) -> Vec<Effect> {
        each!(self, one => one.authenticated(known, head))
    }

    /// What is held of operations that wait until it is known who their client is.
    pub fn early_bytes(&self) -> usize {
        match self {
            Machine::TransportWs(_) => 0,
            Machine::Legacy(legacy) => legacy.early_bytes(),
            Machine::Oldest(oldest) => oldest.early_bytes(),
        }
    }

    /// The client has had time enough to say who it is.
    pub fn init_is_late(&mut self) -> Vec<Effect> {
        each!(self, one => one.init_is_late())
    }

    /// An operation goes on, and will have more than one answer.
    pub fn started(&mut self, id: &Id) -> Vec<Effect> {
        match self {
            Machine::Oldest(oldest) => oldest.started(id),
            Machine::Legacy(legacy) => legacy.started(id),
            Machine::TransportWs(_) => Vec::new(),
        }
    }

    /// What goes before and after a payload that is sent for an operation.
    pub fn around(&self, id: &str) -> (String, &'static str) {
        each!(self, one => one.around(id))
    }

    /// The only answer of an operation; nothing follows.
    pub fn answered(&mut self, id: &str, answer: &Answer) -> Vec<Effect> {
        each!(self, one => one.answered(id, answer))
    }

    /// An operation has ended with an error.
    pub fn failed(&mut self, id: &str, error: ApiError) -> Vec<Effect> {
        each!(self, one => one.failed(id, error))
    }

    /// The session's token has ended, and there is no other: the user has to log in. `carried_out`: operations that have begun
    /// and whose answer is being made.
    pub fn expired(&mut self, carried_out: &HashSet<Id>) -> Vec<Effect> {
        match self {
            Machine::TransportWs(one) => one.expired(),
            Machine::Legacy(legacy) => legacy.expired(carried_out),
            Machine::Oldest(one) => one.expired(),
        }
    }
}
