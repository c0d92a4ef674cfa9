//! One websocket, as a client holds it.

use std::time::{Duration, SystemTime};

use futures::{SinkExt, StreamExt};
use gom_server::identity::ServiceTokens;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use gom_test_support::app::TestApp;
use gom_test_support::browser::Browser;

pub const TRANSPORT_WS: &str = "graphql-transport-ws";
pub const LEGACY: &str = "graphql-ws";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Wire(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What has come.
#[derive(Debug, PartialEq)]
pub enum Got {
    Text(Value),
    Closed(u16, String),
    /// Without a close frame.
    Cut,
}

/// A service token of the server.
pub fn token(app: &TestApp, lifetime: Duration) -> String {
    let secret = app.settings.service.secret.as_ref().unwrap();
    ServiceTokens::new(secret)
        .sign(SystemTime::now(), lifetime)
        .unwrap()
}

pub fn init(token: &str) -> Value {
    json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {token}") } })
}

/// A seller's or customer's cookies.
pub fn cookies(browser: &Browser) -> String {
    let pairs: Vec<String> = browser
        .jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("; ")
}

impl Wire {
    /// The status, if the server refuses.
    pub async fn open(
        app: &TestApp,
        protocol: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Wire, u16> {
        let address = format!("{}/graphql", app.address.replace("http://", "ws://"));
        let mut request = address.into_client_request().unwrap();
        if !protocol.is_empty() {
            request
                .headers_mut()
                .insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, response)) => {
                if !protocol.is_empty() {
                    assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
                }
                Ok(Wire(socket))
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// With the service's token, and acknowledged.
    pub async fn service(app: &TestApp, protocol: &str) -> Wire {
        let mut wire = Wire::open(app, protocol, &[]).await.unwrap();
        wire.send(init(&token(app, Duration::from_secs(3_600))))
            .await;
        assert_eq!(wire.text().await["type"], "connection_ack");
        wire
    }

    pub async fn send(&mut self, message: Value) {
        self.say(&message.to_string()).await;
    }

    /// Whatever it is. The server may have gone away before.
    pub async fn say(&mut self, text: &str) {
        let _ = self.0.send(Message::text(text)).await;
    }

    /// A frame of a message, whatever is in it.
    pub async fn frame(&mut self, data: Data, bytes: Vec<u8>, last: bool) {
        let _ = self
            .0
            .send(Message::Frame(Frame::message(
                bytes,
                OpCode::Data(data),
                last,
            )))
            .await;
    }

    pub async fn got(&mut self) -> Got {
        loop {
            match timeout(PATIENCE, self.0.next())
                .await
                .expect("something comes")
            {
                Some(Ok(Message::Text(text))) => {
                    return Got::Text(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Got::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("{other:?}"),
                None | Some(Err(_)) => return Got::Cut,
            }
        }
    }

    pub async fn text(&mut self) -> Value {
        match self.got().await {
            Got::Text(text) => text,
            other => panic!("a text is expected: {other:?}"),
        }
    }

    /// The client closes, as a page does that is left.
    pub async fn close(&mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        let _ = self.0.send(Message::Close(Some(frame))).await;
    }

    /// The close code, whatever comes before it.
    pub async fn end(&mut self) -> u16 {
        loop {
            match self.got().await {
                Got::Text(_) => {}
                Got::Closed(code, _) => return code,
                Got::Cut => return 0,
            }
        }
    }

    /// Nothing comes for a while.
    pub async fn is_quiet(&mut self) -> bool {
        timeout(Duration::from_millis(300), self.0.next())
            .await
            .is_err()
    }
}
