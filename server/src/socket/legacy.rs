//! `graphql-ws`, the protocol of npm's `subscriptions-transport-ws`, as its client 0.9 needs it: no `ka`, starts before the
//! ack, the same ids again after a reconnect.

use std::collections::HashSet;
use std::rc::Rc;

use gom_engine::error::{ApiError, ErrorKind};
use serde_json::{Map, Value, json};

use super::close_code::CloseCode;
use super::machine::{self, EarlyStarts, Effect, Id, Message};
use super::payload;
use crate::graphql::{Answer, write_answer};

const EXPIRED: &str = "jwt expired";

#[derive(Debug)]
enum State {
    Waiting,
    /// What was started before there was an ack.
    Asking(EarlyStarts),
    Ready,
    /// The session's token has ended and is not renewed. The client would reconnect without end, and be refused: so it stays, and
    /// each of its operations is refused.
    Over,
}

#[derive(Debug)]
pub struct Legacy {
    state: State,
    /// The session of the handshake's cookies lives, and its token has ended.
    over: bool,
    running: HashSet<Id>,
    most: usize,
    /// Under which errors are found in the log.
    request: String,
}

impl Legacy {
    pub fn new(most: usize, request: String, over: bool) -> Self {
        Legacy {
            state: State::Waiting,
            over,
            running: HashSet::new(),
            most,
            request,
        }
    }

    pub fn receive(&mut self, message: Message, bytes: usize) -> Vec<Effect> {
        let Some(message) = message else {
            return vec![connection_error("Message must be a JSON object.")];
        };
        match message.get("type").and_then(Value::as_str) {
            Some("connection_init") => self.init(message.get("payload")),
            Some("start") => self.start(&message, bytes),
            Some("stop") => match id(&message) {
                Some(id) => self.stop(id),
                None => vec![error("null", "Invalid id!")],
            },
            Some("connection_terminate") => vec![Effect::Close(CloseCode::Normal, String::new())],
            _ => vec![error(
                id(&message).as_deref().unwrap_or("null"),
                "Invalid message type!",
            )],
        }
    }

    fn init(&mut self, payload: Option<&Value>) -> Vec<Effect> {
        match self.state {
            State::Waiting => {
                self.state = State::Asking(EarlyStarts::default());
                vec![Effect::Authenticate(payload::bearer(payload))]
            }
            // Asked for already.
            State::Asking(_) => Vec::new(),
            // Who it is was asked and answered; whatever was started goes on.
            State::Ready => ack(),
            State::Over => vec![connection_error(EXPIRED)],
        }
    }

    fn start(&mut self, message: &Map<String, Value>, bytes: usize) -> Vec<Effect> {
        let Some(id) = id(message) else {
            return vec![error("null", "Invalid id!")];
        };
        let start = match payload::start(message.get("payload"), bytes) {
            Err(reason) => return vec![error(&id, &format!("Invalid message: {reason}"))],
            Ok(Err(problem)) => return self.refused(&id, problem),
            Ok(Ok(start)) => start,
        };
        if matches!(self.state, State::Over) {
            return vec![expired(&id)];
        }
        if !self.running.contains(&id) && self.running.len() >= self.most {
            return self.refused(&id, payload::too_many(self.most));
        }
        let start = Box::new(start);
        match &mut self.state {
            State::Waiting => {
                vec![connection_error(
                    "You have to send an init message before sending anything else.",
                )]
            }
            State::Asking(early) => {
                early.add(Rc::clone(&id), start);
                self.running.insert(id);
                Vec::new()
            }
            State::Ready => {
                self.running.insert(Rc::clone(&id));
                vec![Effect::Start(id, start)]
            }
            State::Over => vec![expired(&id)],
        }
    }

    fn stop(&mut self, id: Id) -> Vec<Effect> {
        if let State::Asking(early) = &mut self.state {
            early.stop(&id);
        }
        if self.running.remove(&id) {
            vec![Effect::Stop(id)]
        } else {
            Vec::new()
        }
    }

    pub fn authenticated(&mut self, known: bool, _: Option<&str>) -> Vec<Effect> {
        // The token has ended while the answer was awaited.
        if matches!(self.state, State::Over) {
            return Vec::new();
        }
        if !known && self.over {
            return self.expired(&HashSet::new());
        }
        if !known {
            return refuse("No authorization to connect");
        }
        let State::Asking(early) = std::mem::replace(&mut self.state, State::Ready) else {
            return Vec::new();
        };
        ack().into_iter().chain(early.into_effects()).collect()
    }

    /// The client forgets each operation with its error, and starts it no more (`subscriptions-transport-ws` 0.9). It does not
    /// come back, for the socket stays. What is being carried out gets its answer: a mutation may have been written.
    pub fn expired(&mut self, carried_out: &HashSet<Id>) -> Vec<Effect> {
        self.state = State::Over;
        let ended: Vec<Id> = self
            .running
            .extract_if(|id| !carried_out.contains(id))
            .collect();
        let ended = ended
            .into_iter()
            .flat_map(|id| [expired(&id), Effect::Stop(id)]);
        std::iter::once(connection_error(EXPIRED))
            .chain(ended)
            .collect()
    }

    /// Begun while the token ended, a subscription ends with it.
    pub fn started(&mut self, id: &Id) -> Vec<Effect> {
        let is_over = matches!(self.state, State::Over) && self.running.remove(id);
        if is_over {
            vec![expired(id), Effect::Stop(Rc::clone(id))]
        } else {
            Vec::new()
        }
    }

    pub fn early_bytes(&self) -> usize {
        match &self.state {
            State::Asking(early) => early.bytes(),
            _ => 0,
        }
    }

    pub fn init_is_late(&mut self) -> Vec<Effect> {
        match self.state {
            State::Waiting => refuse("Connection initialisation timeout"),
            State::Asking(_) | State::Ready | State::Over => Vec::new(),
        }
    }

    pub fn around(&self, id: &str) -> (String, &'static str) {
        (format!(r#"{{"type":"data","id":{id},"payload":"#), "}")
    }

    pub fn answered(&mut self, id: &str, answer: &Answer) -> Vec<Effect> {
        if !self.running.remove(id) {
            return Vec::new();
        }
        let unparsed = |error: &&ApiError| error.kind == ErrorKind::ParseFailed;
        if let Some(problem) = answer.errors.iter().find(unparsed) {
            return vec![error(id, &problem.message)];
        }
        self.last(id, answer)
    }

    pub fn failed(&mut self, id: &str, problem: ApiError) -> Vec<Effect> {
        if self.running.remove(id) {
            self.refused(id, problem)
        } else {
            Vec::new()
        }
    }

    fn refused(&self, id: &str, problem: ApiError) -> Vec<Effect> {
        self.last(id, &Answer::refused(vec![problem]))
    }

    /// An answer, errors among it, comes as data; then nothing follows.
    fn last(&self, id: &str, answer: &Answer) -> Vec<Effect> {
        let (before, after) = self.around(id);
        let mut data = before.into_bytes();
        write_answer(&mut data, answer, &self.request);
        data.extend_from_slice(after.as_bytes());
        vec![
            Effect::Send(machine::into_text(data)),
            Effect::Send(format!(r#"{{"type":"complete","id":{id},"payload":null}}"#)),
        ]
    }
}

/// The id as JSON, a text that is not long, or a number.
pub(super) fn id(message: &Map<String, Value>) -> Option<Id> {
    let id = message.get("id")?;
    let is_short = id
        .as_str()
        .is_none_or(|id| id.len() <= payload::MAX_ID_BYTES);
    (is_short && (id.is_string() || id.is_number())).then(|| id.to_string().into())
}

fn ack() -> Vec<Effect> {
    vec![Effect::Send(r#"{"type":"connection_ack"}"#.to_owned())]
}

fn refuse(reason: &str) -> Vec<Effect> {
    vec![
        connection_error(reason),
        Effect::Close(CloseCode::Refused, reason.to_owned()),
    ]
}

fn connection_error(reason: &str) -> Effect {
    Effect::Send(
        json!({ "type": "connection_error", "payload": { "message": reason } }).to_string(),
    )
}

fn error(id: &str, reason: &str) -> Effect {
    let reason = Value::from(reason);
    Effect::Send(format!(
        r#"{{"type":"error","id":{id},"payload":{{"message":{reason}}}}}"#
    ))
}

/// An operation that is refused, or ends, because the session's token has ended: in the words of HTTP.
fn expired(id: &str) -> Effect {
    let payload = json!({
        "message": EXPIRED,
        "error": "jwt_error",
        "extensions": { "code": ErrorKind::Unauthenticated.code() },
    });
    Effect::Send(format!(
        r#"{{"type":"error","id":{id},"payload":{payload}}}"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Message {
        super::super::machine::read(text)
    }

    #[test]
    fn a_token_that_ends_before_its_acknowledgement_leaves_no_rights() {
        let mut legacy = Legacy::new(10, "request".to_owned(), false);
        let init = legacy.receive(read(r#"{"type":"connection_init","payload":{}}"#), 10);
        assert!(matches!(init.as_slice(), [Effect::Authenticate(None)]));
        let start = r#"{"type":"start","id":"1","payload":{"query":"subscription { x }"}}"#;
        assert!(legacy.receive(read(start), 10).is_empty());
        let ended = legacy.expired(&HashSet::new());
        assert!(
            matches!(
                &ended[..],
                [Effect::Send(_), Effect::Send(_), Effect::Stop(_)]
            ),
            "{ended:?}"
        );
        assert_eq!(legacy.authenticated(true, None), []);
        let refused = legacy.receive(read(start), 10);
        assert!(
            matches!(&refused[..], [Effect::Send(text)] if text.contains("jwt expired")),
            "{refused:?}"
        );
    }

    #[test]
    fn what_is_started_before_the_acknowledgement_is_counted_until_then() {
        let mut legacy = Legacy::new(10, "request".to_owned(), false);
        legacy.receive(read(r#"{"type":"connection_init","payload":{}}"#), 10);
        let mut start = |id: u32, bytes| {
            let start = format!(r#"{{"type":"start","id":{id},"payload":{{"query":"x"}}}}"#);
            legacy.receive(read(&start), bytes);
            legacy.early_bytes()
        };
        assert_eq!(start(1, 1_000), 1_000);
        assert_eq!(start(2, 100), 1_100);
        assert_eq!(start(1, 500), 600, "it takes the place of the first");
        legacy.receive(read(r#"{"type":"stop","id":2}"#), 10);
        assert_eq!(legacy.early_bytes(), 500);
        // Numbers take more than their text.
        let list = vec!["1"; 1_000].join(",");
        let start = format!(
            r#"{{"type":"start","id":3,"payload":{{"query":"x","variables":{{"a":[{list}]}}}}}}"#
        );
        legacy.receive(read(&start), start.len());
        assert!(legacy.early_bytes() > 10_000, "{}", legacy.early_bytes());
        assert_eq!(legacy.authenticated(true, None).len(), 3);
        assert_eq!(legacy.early_bytes(), 0);
    }

    #[test]
    fn what_is_carried_out_while_the_token_ends_is_answered_and_a_subscription_that_begins_is_not()
    {
        let mut legacy = Legacy::new(10, "request".to_owned(), false);
        legacy.receive(read(r#"{"type":"connection_init","payload":{}}"#), 10);
        legacy.authenticated(true, None);
        let ids = ["1", "2", "3"].map(Id::from);
        for id in &ids {
            let start = format!(r#"{{"type":"start","id":{id},"payload":{{"query":"x"}}}}"#);
            assert!(matches!(
                &legacy.receive(read(&start), 10)[..],
                [Effect::Start(..)]
            ));
        }
        let [running, mutation, subscription] = ids;
        let ended = legacy.expired(&HashSet::from([
            Rc::clone(&mutation),
            Rc::clone(&subscription),
        ]));
        assert!(
            matches!(&ended[1..], [Effect::Send(_), Effect::Stop(id)] if *id == running),
            "{ended:?}"
        );
        let answered = legacy.answered(&mutation, &Answer::refused(Vec::new()));
        assert!(
            matches!(&answered[..], [Effect::Send(text), Effect::Send(_)] if text.contains("data"))
        );
        let begun = legacy.started(&subscription);
        let [Effect::Send(text), Effect::Stop(id)] = &begun[..] else {
            panic!("{begun:?}")
        };
        assert!(text.contains("jwt expired") && *id == subscription);
    }
}
