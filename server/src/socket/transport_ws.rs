//! `graphql-transport-ws`, the protocol of npm's `graphql-ws`.

use std::collections::HashSet;
use std::rc::Rc;

use gom_engine::error::ApiError;
use serde_json::{Map, Value, json};

use super::close_code::CloseCode;
use super::machine::{self, Effect, Id, Message};
use super::payload;
use super::reconnect::{MAX_DELAY, MIN_DELAY, milliseconds};
use crate::graphql::{Answer, write_answer, write_errors};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Asking,
    Ready,
}

#[derive(Debug)]
pub struct TransportWs {
    state: State,
    running: HashSet<Id>,
    most: usize,
    /// Under which errors are found in the log.
    request: String,
}

impl TransportWs {
    pub fn new(most: usize, request: String) -> Self {
        TransportWs {
            state: State::Waiting,
            running: HashSet::new(),
            most,
            request,
        }
    }

    pub fn receive(&mut self, message: Message, bytes: usize) -> Vec<Effect> {
        let Some(message) = message else {
            return close(
                CloseCode::BadRequest,
                "Invalid message: it is no JSON object",
            );
        };
        let payload = message.get("payload");
        match message.get("type").and_then(Value::as_str) {
            Some("connection_init") => self.init(payload),
            Some("ping") => self.ping(payload),
            Some("pong") => Vec::new(),
            Some("subscribe") => self.subscribe(&message, bytes),
            Some("complete") => match id(&message) {
                Some(id) if self.running.remove(&id) => vec![Effect::Stop(id)],
                // Both sides may complete at the same time.
                Some(_) => Vec::new(),
                None => close(
                    CloseCode::BadRequest,
                    "Invalid message: complete needs an id",
                ),
            },
            Some(_) => close(
                CloseCode::BadRequest,
                "Invalid message: its type is unknown",
            ),
            None => close(CloseCode::BadRequest, "Invalid message: it has no type"),
        }
    }

    fn init(&mut self, payload: Option<&Value>) -> Vec<Effect> {
        if !matches!(payload, None | Some(Value::Null | Value::Object(_))) {
            return close(
                CloseCode::BadRequest,
                "Invalid message: the payload of connection_init is no object",
            );
        }
        if self.state != State::Waiting {
            return close(CloseCode::TooManyInits, "Too many initialisation requests");
        }
        self.state = State::Asking;
        vec![Effect::Authenticate(payload::bearer(payload))]
    }

    /// Answered whenever it comes. With a token in it, the client goes on as the token's bearer.
    fn ping(&mut self, payload: Option<&Value>) -> Vec<Effect> {
        let mut effects = vec![Effect::Send(r#"{"type":"pong"}"#.to_owned())];
        if self.state == State::Ready
            && let Some(token) = payload::bearer(payload)
        {
            effects.push(Effect::Authenticate(Some(token)));
        }
        effects
    }

    fn subscribe(&mut self, message: &Map<String, Value>, bytes: usize) -> Vec<Effect> {
        if self.state != State::Ready {
            return close(CloseCode::Unauthorized, "Unauthorized");
        }
        let Some(id) = id(message) else {
            return close(
                CloseCode::BadRequest,
                "Invalid message: subscribe needs an id, a text of up to 256 bytes",
            );
        };
        if self.running.contains(&id) {
            return close(
                CloseCode::SubscriberExists,
                &format!("Subscriber for {} already exists", plain(&id)),
            );
        }
        match payload::start(message.get("payload"), bytes) {
            Err(reason) => close(CloseCode::BadRequest, &format!("Invalid message: {reason}")),
            Ok(Err(error)) => vec![error_message(&id, &[error], &self.request)],
            Ok(Ok(_)) if self.running.len() >= self.most => {
                vec![error_message(
                    &id,
                    &[payload::too_many(self.most)],
                    &self.request,
                )]
            }
            Ok(Ok(start)) => {
                self.running.insert(Rc::clone(&id));
                vec![Effect::Start(id, Box::new(start))]
            }
        }
    }

    pub fn authenticated(&mut self, known: bool, head: Option<&str>) -> Vec<Effect> {
        if !known {
            return close(CloseCode::Forbidden, "Forbidden");
        }
        if self.state == State::Ready {
            return Vec::new();
        }
        self.state = State::Ready;
        let mut ack = json!({ "type": "connection_ack" });
        if let Some(head) = head {
            let (min, max) = (milliseconds(MIN_DELAY), milliseconds(MAX_DELAY));
            let reconnect = json!({ "minMs": min, "maxMs": max });
            ack["payload"] = json!({ "cursor": head, "reconnect": reconnect });
        }
        vec![Effect::Send(ack.to_string())]
    }

    pub fn expired(&mut self) -> Vec<Effect> {
        close(CloseCode::Forbidden, "the token has expired: connect again")
    }

    pub fn init_is_late(&mut self) -> Vec<Effect> {
        match self.state {
            State::Waiting => close(CloseCode::InitTimeout, "Connection initialisation timeout"),
            State::Asking | State::Ready => Vec::new(),
        }
    }

    pub fn around(&self, id: &str) -> (String, &'static str) {
        (format!(r#"{{"id":{id},"type":"next","payload":"#), "}")
    }

    pub fn answered(&mut self, id: &str, answer: &Answer) -> Vec<Effect> {
        // The client has completed it meanwhile.
        if !self.running.remove(id) {
            return Vec::new();
        }
        if answer.is_refused() {
            return vec![error_message(id, &answer.errors, &self.request)];
        }
        let (before, after) = self.around(id);
        let mut next = before.into_bytes();
        write_answer(&mut next, answer, &self.request);
        next.extend_from_slice(after.as_bytes());
        vec![
            send(next),
            Effect::Send(format!(r#"{{"id":{id},"type":"complete"}}"#)),
        ]
    }

    pub fn failed(&mut self, id: &str, error: ApiError) -> Vec<Effect> {
        if self.running.remove(id) {
            vec![error_message(id, &[error], &self.request)]
        } else {
            Vec::new()
        }
    }
}

/// The id as JSON; it is a text that is not empty, and not long.
fn id(message: &Map<String, Value>) -> Option<Id> {
    let id = message.get("id")?;
    id.as_str()
        .filter(|id| !id.is_empty() && id.len() <= payload::MAX_ID_BYTES)?;
    Some(id.to_string().into())
}

fn plain(id: &str) -> &str {
    id.trim_matches('"')
}

fn error_message(id: &str, errors: &[ApiError], request: &str) -> Effect {
    let mut out = format!(r#"{{"id":{id},"type":"error","payload":"#).into_bytes();
    write_errors(&mut out, errors, request);
    out.push(b'}');
    send(out)
}

fn send(text: Vec<u8>) -> Effect {
    Effect::Send(machine::into_text(text))
}

fn close(code: CloseCode, reason: &str) -> Vec<Effect> {
    vec![Effect::Close(code, reason.to_owned())]
}
