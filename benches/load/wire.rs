//! A little of HTTP and of graphql-transport-ws over plain sockets, with as little work as can be: what the clients of the
//! measurements have in common.

#![allow(dead_code)] // each of them uses a part

use std::io::{Error, Result};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Kinds of frames.
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;

pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// One mutation: the order of that number gets a name that identifies the change.
pub async fn change(stream: &mut TcpStream, address: &str, token: &str, order: usize, tag: usize) {
    let body = format!(
        r#"{{"query":"mutation($where: OrderWhereUniqueInput!, $data: OrderUpdateInput!) {{ updateOrder(where: $where, data: $data) {{ uid }} }}","variables":{{"where":{{"uid":"cscaleo{order:018}"}},"data":{{"name":"tag {tag}"}}}}}}"#
    );
    let answer = ask(stream, address, token, &body).await.unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// The answer to one request, whose data end with an object in an object.
pub async fn ask(
    stream: &mut TcpStream,
    address: &str,
    token: &str,
    body: &str,
) -> Result<Vec<u8>> {
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}}") {
        if stream.read_buf(&mut answer).await? == 0 || contains(&answer, "\"errors\"") {
            return Err(Error::other(String::from_utf8_lossy(&answer)));
        }
    }
    Ok(answer)
}

/// Opens a socket.
pub async fn connect(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(Error::other(String::from_utf8_lossy(&head)));
    }
    Ok(stream)
}

/// Opens a socket, and starts an operation once it is acknowledged; the acknowledgement is the second value.
pub async fn start(
    address: &str,
    token: &str,
    query: &str,
    variables: &str,
    extensions: &str,
) -> Result<(TcpStream, Vec<u8>)> {
    let mut stream = connect(address).await?;
    let init =
        format!(r#"{{"type":"connection_init","payload":{{"Authorization":"Bearer {token}"}}}}"#);
    let query = query.replace('"', "\\\"");
    let start = format!(
        r#"{{"id":"1","type":"subscribe","payload":{{"query":"{query}","variables":{variables},"extensions":{extensions}}}}}"#
    );
    stream.write_all(&frame(&init)).await?;
    stream.write_all(&frame(&start)).await?;
    match received(&mut stream).await? {
        (TEXT, ack) if contains(&ack, "connection_ack") => Ok((stream, ack)),
        (_, other) => Err(Error::other(String::from_utf8_lossy(&other))),
    }
}

pub fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len())
        .any(|window| window == part.as_bytes())
}

/// The number behind `tag `, of the last change that a message shows.
pub fn tag(text: &[u8]) -> Option<usize> {
    let at = text.windows(4).position(|part| part == b"tag ")?;
    let digits = text[at + 4..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |tag, digit| tag * 10 + usize::from(digit - b'0')))
}

/// A masked text frame; the mask is zero.
pub fn frame(text: &str) -> Vec<u8> {
    let mut out = vec![0x81];
    match u16::try_from(text.len()).expect("a short message") {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length => {
            out.push(0x80 | 126);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(text.as_bytes());
    out
}

/// The next text; nothing when the connection has ended, a panic when the server has closed it.
pub async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    match received(stream).await.ok()? {
        (TEXT, text) => Some(text),
        (_, reason) => panic!(
            "closed: {}",
            String::from_utf8_lossy(reason.get(2..).unwrap_or_default())
        ),
    }
}

/// The next text, or the reason of a close frame; pings are not answered, since a measurement is over before anybody minds.
pub async fn received(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head).await?;
        let length = match head[1] & 0x7f {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            short => u64::from(short),
        };
        let mut text = vec![0; usize::try_from(length).map_err(Error::other)?];
        stream.read_exact(&mut text).await?;
        let kind = head[0] & 0x0f;
        if kind == TEXT || kind == CLOSE {
            return Ok((kind, text));
        }
    }
}
