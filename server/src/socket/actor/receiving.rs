//! What comes from the client: frames become messages, and messages the state machine's.

use std::io;
use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, StreamHandler, WrapFuture};
use actix_http::ws::Item;
use actix_web::web::BytesMut;
use actix_web_actors::ws::{self, ProtocolError};
use gom_runtime::waiting::Reader;
use tokio::time::Instant;

use super::super::close_code::CloseCode;
use super::super::frame;
use super::super::machine::{self, Message};
use super::super::outbox::ClientSide;
use super::super::own_task::OwnTask;
use super::Socket;
use crate::admission::reader;
use crate::graphql::is_large;

impl StreamHandler<Result<ws::Message, ProtocolError>> for Socket {
    fn handle(&mut self, message: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        self.heard = Instant::now();
        match message {
            Ok(ws::Message::Text(text)) => self.receive(text, ctx),
            Ok(ws::Message::Continuation(item)) => self.receive_part(item, ctx),
            Ok(ws::Message::Ping(payload)) => self.outbox.reply(frame::pong(&payload)),
            Ok(ws::Message::Pong(payload)) => self.receipt(&payload),
            Ok(ws::Message::Nop) => {}
            Ok(ws::Message::Binary(_)) => self.end(CloseCode::BadData, "messages are texts"),
            Ok(ws::Message::Close(reason)) => {
                let on_purpose = reason
                    .as_ref()
                    .is_some_and(|reason| is_on_purpose(reason.code.into()));
                let code = reason.map_or(CloseCode::Normal, |reason| {
                    CloseCode::Client(reason.code.into())
                });
                if !self.outbox.is_over() && on_purpose {
                    self.forget_all();
                }
                self.running.clear();
                self.outbox.client_ended(ClientSide::Closed);
                self.outbox.answer_close(code);
            }
            Err(error) => {
                self.outbox.client_ended(ClientSide::Unreadable);
                self.refuse_frame(&error, ctx);
            }
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Socket {
    fn refuse_frame(&mut self, error: &ProtocolError, ctx: &mut <Self as Actor>::Context) {
        match error {
            ProtocolError::Overflow => {
                let most = self.services.bounds.message_bytes;
                self.end(
                    CloseCode::TooBig,
                    &format!("a message may have {most} bytes (sockets.message_bytes)"),
                );
            }
            ProtocolError::Io(error) if is_bad_text(error) => {
                self.end(CloseCode::BadText, "that is not UTF-8");
                ctx.stop();
            }
            // The client is gone: there is nobody to close it for.
            ProtocolError::Io(_) => ctx.stop(),
            ProtocolError::BadOpCode
            | ProtocolError::UnmaskedFrame
            | ProtocolError::MaskedFrame => {
                self.end(CloseCode::BadProtocol, "that is no websocket frame");
            }
            error => self.end(CloseCode::BadProtocol, &error.to_string()),
        }
    }

    fn receive(
        &mut self,
        text: impl AsRef<str> + Send + 'static,
        ctx: &mut <Self as Actor>::Context,
    ) {
        let bytes = text.as_ref().len();
        // What comes after the end is not for us.
        if self.outbox.is_over() {
            return;
        }
        if is_large(bytes) {
            self.receive_large(text, bytes, ctx);
        } else {
            self.read(machine::read(text.as_ref()), bytes, ctx);
        }
    }

    fn read(&mut self, message: Message, bytes: usize, ctx: &mut <Self as Actor>::Context) {
        let effects = self.machine.receive(message, bytes);
        self.apply(effects, ctx);
        self.count_early();
    }

    /// Operations that wait for the acknowledgement count for the client's address: anyone can make a token that has to be verified.
    pub(super) fn count_early(&mut self) {
        let bytes = self.machine.early_bytes();
        let counted = self.early.as_ref().map_or(0, |(bytes, _)| *bytes);
        if bytes == counted {
            return;
        }
        let reader = self
            .viewer
            .as_ref()
            .map_or_else(|| Reader::Address(Arc::clone(&self.address)), reader);
        let account = self.services.requests.account_of(&reader);
        if bytes > counted && account.check().is_err() {
            self.end(
                CloseCode::TryAgain,
                "too many operations wait until it is known who their clients are (limits.request_bytes, server.request_bytes): try again",
            );
        }
        self.early = (bytes > 0).then(|| (bytes, account.charge(bytes)));
    }

    /// Reads a message on another thread. What follows on the socket waits for it.
    fn receive_large(
        &mut self,
        text: impl AsRef<str> + Send + 'static,
        bytes: usize,
        ctx: &mut <Self as Actor>::Context,
    ) {
        let api = &self.services.api;
        let (user, patience) = match &self.viewer {
            Some(viewer) => (
                viewer.user().map(|user| user.subject.clone()),
                api.engine.limits_of(viewer).deadline,
            ),
            // All of whom nothing is known share a line.
            None => (Some(String::new()), self.services.bounds.init_timeout),
        };
        let (engine, deadline) = (Arc::clone(&api.engine), Instant::now() + patience);
        // A connection that is stuck in a write must not keep the thread that others wait for.
        let reading = OwnTask::begin(async move {
            engine
                .offload
                .run(user.as_deref(), deadline, move || {
                    machine::read(text.as_ref())
                })
                .await
        });
        ctx.wait(
            reading
                .into_actor(self)
                .map(move |read, socket, ctx| match read {
                    Some(Ok(message)) if !socket.outbox.is_over() => {
                        socket.read(message, bytes, ctx);
                    }
                    Some(Ok(_)) | None => {}
                    Some(Err(_)) => socket.end(
                        CloseCode::TryAgain,
                        "a large message was not read in time, for others before it: try again",
                    ),
                }),
        );
    }

    fn receive_part(&mut self, item: Item, ctx: &mut <Self as Actor>::Context) {
        let (part, last) = match item {
            Item::FirstText(part) => {
                self.partial.clear();
                (part, false)
            }
            Item::FirstBinary(_) => return self.end(CloseCode::BadData, "messages are texts"),
            Item::Continue(part) => (part, false),
            Item::Last(part) => (part, true),
        };
        let most = self.services.bounds.message_bytes;
        if self.partial.len() + part.len() > most {
            self.partial = BytesMut::new();
            return self.end(
                CloseCode::TooBig,
                &format!("a message may have {most} bytes (sockets.message_bytes)"),
            );
        }
        self.partial.extend_from_slice(&part);
        if last {
            let whole = std::mem::take(&mut self.partial);
            match String::from_utf8(whole.into()) {
                Ok(text) => self.receive(text, ctx),
                Err(_) => self.end(CloseCode::BadText, "that is not UTF-8"),
            }
        }
    }
}

/// Whether a client that closes with this code has ended by itself: a page was closed or left, or a script has closed the socket.
/// Other codes are of whatever stands in between, and without one `subscriptions-transport-ws` closes a connection that it is
/// about to open again; it says `connection_terminate` before it closes for good.
fn is_on_purpose(code: u16) -> bool {
    matches!(code, 1000 | 1001 | 3000..)
}

/// Whether a text frame was no text. actix-web-actors reports a connection that was cut as the same kind of error, so that its
/// words decide.
fn is_bad_text(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && error.to_string().contains("utf-8")
}

#[cfg(test)]
mod tests {
    use actix_web::error::PayloadError;

    use super::*;

    /// As actix-web-actors makes both.
    #[test]
    fn a_client_that_vanished_has_sent_no_bad_text() {
        for bytes in [&b"\xff"[..], b"a\xc3"] {
            let error = std::str::from_utf8(bytes).unwrap_err();
            assert!(is_bad_text(&io::Error::other(error.to_string())), "{error}");
        }
        for error in [
            PayloadError::Incomplete(None),
            PayloadError::EncodingCorrupted,
            PayloadError::Overflow,
        ] {
            assert!(
                !is_bad_text(&io::Error::other(error.to_string())),
                "{error}"
            );
        }
        assert!(!is_bad_text(&io::Error::from(
            io::ErrorKind::ConnectionReset
        )));
    }
}
