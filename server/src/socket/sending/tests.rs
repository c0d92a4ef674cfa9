//! How the connection ends after a websocket's close frames.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use actix_web::web::Payload;
use actix_web::{App, HttpRequest, HttpServer, web};
use actix_web_actors::ws;
use gom_runtime::waiting::{Reader, Waiting};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::close_code::CloseCode;
use super::super::frame;
use super::super::outbox::OwnSocket;
use super::*;

/// Only so that the test ends where the connection does not.
const STALLED: Duration = Duration::from_secs(60);
/// actix-http's own timers: none of them fires while the test runs.
const NEVER: Duration = Duration::from_secs(3_600);
/// A close frame with code 1000, from the server and, masked by zeros, from a client.
const SERVERS_CLOSE: &[u8] = b"\x88\x02\x03\xe8";
const CLIENTS_CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

/// Reads the client's frames as far as the end of a connection needs it: all of them are close frames.
struct Closes {
    payload: Payload,
    outbox: Rc<Outbox>,
}

impl Stream for Closes {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match Pin::new(&mut self.payload).poll_next(cx) {
            Poll::Ready(Some(Ok(_))) => {
                self.outbox.client_ended(ClientSide::Closed);
                self.outbox.answer_close(CloseCode::Normal);
                Poll::Pending
            }
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

async fn open(request: HttpRequest, payload: Payload) -> actix_web::HttpResponse {
    let account = Waiting::unbounded().account(&Reader::Service);
    let words = |code, reason: &str| Some(frame::close(code, reason));
    let socket = request.conn_data::<OwnSocket>().copied();
    let outbox = Outbox::new(10, 1_000, words, socket, &account, &Arc::default());
    if request.path() == "/server-closes" {
        outbox.close(CloseCode::Normal, "");
    }
    let frames = Closes {
        payload,
        outbox: Rc::clone(&outbox),
    };
    ws::handshake(&request)
        .unwrap()
        .streaming(Sending::new(frames, outbox, ()))
}

/// A client whose handshake is over, and all that it has read.
async fn connect(path: &str) -> (TcpStream, Vec<u8>) {
    let server = HttpServer::new(|| App::new().default_service(web::to(open)))
        .workers(1)
        .client_disconnect_timeout(NEVER)
        .keep_alive(NEVER)
        .on_connect(|connection, data| {
            if let Some(stream) = connection.downcast_ref::<TcpStream>() {
                data.insert(OwnSocket(stream.as_raw_fd()));
            }
        })
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    let mut client = TcpStream::connect(address).await.unwrap();
    let handshake = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    client.write_all(handshake.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    read_until(&mut client, &mut read, b"\r\n\r\n").await;
    (client, read)
}

async fn read_until(client: &mut TcpStream, read: &mut Vec<u8>, found: &[u8]) {
    while !read.windows(found.len()).any(|part| part == found) {
        let got = timeout(STALLED, client.read_buf(read))
            .await
            .expect("something comes")
            .unwrap();
        assert!(got > 0, "the connection has ended");
    }
}

#[actix_web::test]
async fn the_connection_ends_with_the_second_close_frame_before_any_timer_fires() {
    for path in ["/client-closes", "/server-closes"] {
        let (mut client, mut read) = connect(path).await;
        if path == "/server-closes" {
            read_until(&mut client, &mut read, SERVERS_CLOSE).await;
        }
        client.write_all(CLIENTS_CLOSE).await.unwrap();
        timeout(STALLED, client.read_to_end(&mut read))
            .await
            .expect("the server ends the connection")
            .unwrap();
        assert!(read.ends_with(SERVERS_CLOSE), "{path}: {read:?}");
    }
}
