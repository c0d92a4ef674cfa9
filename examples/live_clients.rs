//! Thousands of subscribers in one process, for `benches/live`. Speaks graphql-transport-ws over plain sockets with as
//! little work of its own as can be; obeys lines on standard input and answers each with one on standard output.
//!
//! - `open N DOCUMENT VARIABLES`: N more subscribers; `#` in the variables becomes each one's number.
//! - `count`: how many events were received since it was last asked.
//! - `await K SECONDS`: waits until K events were received since then; prints the milliseconds of each's receipt since the
//!   line was read: the median, the 99th percentile and the last.
//! - `bare N BYTES`: microseconds of processor time that a bare `send` of a frame of so many bytes costs, on N sockets.

#![allow(clippy::unwrap_used)] // a measurement that cannot be made is a panic

use std::collections::VecDeque;
use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Received = Arc<Mutex<VecDeque<Instant>>>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token] = arguments.as_slice() else { panic!("usage: live_clients HOST:PORT TOKEN") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let received = Received::default();
    let mut number = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split('\t').collect();
        let answer = match words.as_slice() {
            ["open", count, document, variables] => {
                let count: usize = count.parse().unwrap();
                let began = Instant::now();
                for _ in 0..count {
                    let variables = variables.replace('#', &format!("{number:06}"));
                    number += 1;
                    runtime.block_on(subscribe(address, token, document, &variables, &received));
                }
                format!("{} ms", began.elapsed().as_millis())
            }
            ["count"] => received.lock().unwrap().drain(..).count().to_string(),
            ["await", count, seconds] => {
                let (count, seconds): (usize, u64) = (count.parse().unwrap(), seconds.parse().unwrap());
                let began = Instant::now();
                while received.lock().unwrap().len() < count && began.elapsed() < Duration::from_secs(seconds)
                {
                    std::thread::sleep(Duration::from_millis(2));
                }
                let mut times: Vec<f64> = received
                    .lock()
                    .unwrap()
                    .drain(..)
                    .map(|at| millis(at.saturating_duration_since(began)))
                    .collect();
                times.sort_by(f64::total_cmp);
                let of = |part: f64| {
                    times.get(((times.len() as f64 - 1.0) * part) as usize).copied().unwrap_or(0.0)
                };
                format!("{} {:.1} {:.1} {:.1}", times.len(), of(0.5), of(0.99), of(1.0))
            }
            ["bare", count, bytes] => format!("{:.3}", bare(count.parse().unwrap(), bytes.parse().unwrap())),
            other => panic!("unknown: {other:?}"),
        };
        println!("{answer}");
        std::io::stdout().flush().unwrap();
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Opens a socket, subscribes, and counts what comes.
async fn subscribe(address: &str, token: &str, document: &str, variables: &str, received: &Received) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer to the handshake"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let init = format!(r#"{{"type":"connection_init","payload":{{"Authorization":"Bearer {token}"}}}}"#);
    let query = document.replace('"', "\\\"");
    let start =
        format!(r#"{{"id":"1","type":"subscribe","payload":{{"query":"{query}","variables":{variables}}}}}"#);
    stream.write_all(&frame(&init)).await.unwrap();
    stream.write_all(&frame(&start)).await.unwrap();
    let ack = message(&mut stream).await.expect("an ack");
    assert!(ack.windows(14).any(|part| part == b"connection_ack"), "{}", String::from_utf8_lossy(&ack));
    let received = Arc::clone(received);
    tokio::spawn(async move {
        while let Some(text) = message(&mut stream).await {
            assert!(!text.windows(8).any(|part| part == b"\"errors\""), "{}", String::from_utf8_lossy(&text));
            if text.windows(6).any(|part| part == b"\"next\"") {
                received.lock().unwrap().push_back(Instant::now());
            }
        }
    });
}

/// A masked text frame; the mask is zero.
fn frame(text: &str) -> Vec<u8> {
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

/// The next text; pings are not answered, since a measurement is over before anybody minds.
async fn message(stream: &mut tokio::net::TcpStream) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head).await.ok()?;
        let length = match head[1] & 0x7f {
            126 => u64::from(stream.read_u16().await.ok()?),
            127 => stream.read_u64().await.ok()?,
            short => u64::from(short),
        };
        let mut text = vec![0; usize::try_from(length).ok()?];
        stream.read_exact(&mut text).await.ok()?;
        match head[0] & 0x0f {
            1 => return Some(text),
            8 => panic!("closed: {}", String::from_utf8_lossy(text.get(2..).unwrap_or_default())),
            _ => {}
        }
    }
}

/// What the kernel takes for a frame to each of many loopback sockets that somebody reads.
fn bare(sockets: usize, bytes: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut pairs: Vec<(TcpStream, TcpStream)> =
        (0..sockets).map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0)).collect();
    let frame = vec![b'x'; bytes];
    let mut buffer = vec![0; bytes];
    let mut spent = 0.0;
    for _ in 0..5 {
        let before = processor_time();
        for (client, _) in &mut pairs {
            client.write_all(&frame).unwrap();
        }
        spent += processor_time() - before;
        for (_, server) in &mut pairs {
            server.read_exact(&mut buffer).unwrap();
        }
    }
    spent / (5 * sockets) as f64 * 1e6
}

/// Seconds of processor time of this thread.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}
