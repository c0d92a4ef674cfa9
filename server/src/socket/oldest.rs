//! `graphql-subscriptions`, the protocol of npm's `subscriptions-transport-ws` before 0.7, which Prisma 1 spoke beside
//! `graphql-ws`: the operation stands in the message itself, each start is answered, and nothing tells of an end. Its
//! client throws at types that it does not know, so no others are sent.

use std::collections::HashSet;
use std::rc::Rc;

use gom_engine::error::ApiError;
use serde_json::{Map, Value, json};

use super::close_code::CloseCode;
use super::legacy::id;
use super::machine::{self, EarlyStarts, Effect, Id, Message};
use super::payload;
use crate::graphql::{Answer, write_answer, write_errors};

#[derive(Debug)]
enum State {
    Waiting,
    /// What was started before the answer to `init`.
    Asking(EarlyStarts),
    Ready,
}

#[derive(Debug)]
pub struct Oldest {
    state: State,
    running: HashSet<Id>,
    most: usize,
    /// Under which errors are found in the log.
    request: String,
}

impl Oldest {
    pub fn new(most: usize, request: String) -> Self {
        Oldest {
            state: State::Waiting,
            running: HashSet::new(),
            most,
            request,
        }
    }

    pub fn receive(&mut self, message: Message, bytes: usize) -> Vec<Effect> {
        let Some(message) = message else {
            return vec![fail("null", "The message can't be parsed")];
        };
        match message.get("type").and_then(Value::as_str) {
            Some("init") => self.init(message.get("payload")),
            Some("subscription_start") => self.start(&message, bytes),
            Some("subscription_end") => match id(&message) {
                Some(id) => self.stop(id),
                None => vec![fail("null", "Invalid id!")],
            },
            _ => vec![fail(
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
            State::Asking(_) => Vec::new(),
            State::Ready => success(),
        }
    }

    fn start(&mut self, message: &Map<String, Value>, bytes: usize) -> Vec<Effect> {
        let Some(id) = id(message) else {
            return vec![fail("null", "Invalid id!")];
        };
        if let State::Waiting = self.state {
            return vec![fail(
                &id,
                "You have to send an init message before sending anything else.",
            )];
        }
        let start = match payload::start_of(message, bytes) {
            Err(reason) => return vec![fail(&id, &format!("Invalid message: {reason}"))],
            Ok(Err(problem)) => return vec![self.refused(&id, &[problem])],
            Ok(Ok(start)) => Box::new(start),
        };
        if !self.running.contains(&id) && self.running.len() >= self.most {
            return vec![self.refused(&id, &[payload::too_many(self.most)])];
        }
        self.running.insert(Rc::clone(&id));
        if let State::Asking(early) = &mut self.state {
            early.add(id, start);
            return Vec::new();
        }
        vec![Effect::Start(id, start)]
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
        if !known {
            return refuse("Authentication token is invalid.");
        }
        let State::Asking(early) = std::mem::replace(&mut self.state, State::Ready) else {
            return Vec::new();
        };
        success().into_iter().chain(early.into_effects()).collect()
    }

    pub fn expired(&mut self) -> Vec<Effect> {
        vec![Effect::Close(
            CloseCode::Forbidden,
            "the token has expired: connect again".to_owned(),
        )]
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
            State::Asking(_) | State::Ready => Vec::new(),
        }
    }

    /// The client gives a start up that is not answered for five seconds. An event may come before this.
    pub fn started(&self, id: &str) -> Vec<Effect> {
        if self.running.contains(id) {
            vec![subscribed(id)]
        } else {
            Vec::new()
        }
    }

    pub fn around(&self, id: &str) -> (String, &'static str) {
        (
            format!(r#"{{"type":"subscription_data","id":{id},"payload":"#),
            "}",
        )
    }

    pub fn answered(&mut self, id: &str, answer: &Answer) -> Vec<Effect> {
        if !self.running.remove(id) {
            return Vec::new();
        }
        if answer.is_refused() {
            return vec![self.refused(id, &answer.errors)];
        }
        let (before, after) = self.around(id);
        let mut data = before.into_bytes();
        write_answer(&mut data, answer, &self.request);
        data.extend_from_slice(after.as_bytes());
        vec![subscribed(id), Effect::Send(machine::into_text(data))]
    }

    pub fn failed(&mut self, id: &str, problem: ApiError) -> Vec<Effect> {
        if self.running.remove(id) {
            vec![self.refused(id, &[problem])]
        } else {
            Vec::new()
        }
    }

    fn refused(&self, id: &str, errors: &[ApiError]) -> Effect {
        let mut text =
            format!(r#"{{"type":"subscription_fail","id":{id},"payload":{{"errors":"#).into_bytes();
        write_errors(&mut text, errors, &self.request);
        text.extend_from_slice(b"}}");
        Effect::Send(machine::into_text(text))
    }
}

fn success() -> Vec<Effect> {
    vec![Effect::Send(r#"{"type":"init_success"}"#.to_owned())]
}

fn subscribed(id: &str) -> Effect {
    Effect::Send(format!(r#"{{"type":"subscription_success","id":{id}}}"#))
}

fn refuse(reason: &str) -> Vec<Effect> {
    let failure = json!({ "type": "init_fail", "payload": { "error": reason } });
    vec![
        Effect::Send(failure.to_string()),
        Effect::Close(CloseCode::Refused, reason.to_owned()),
    ]
}

fn fail(id: &str, reason: &str) -> Effect {
    let errors = json!([{ "message": reason }]);
    Effect::Send(format!(
        r#"{{"type":"subscription_fail","id":{id},"payload":{{"errors":{errors}}}}}"#
    ))
}
