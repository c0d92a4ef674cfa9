//! Thousands of subscribers in one process, for `benches/live`. Speaks graphql-transport-ws over plain sockets with as
//! little work of its own as can be; obeys lines on standard input and answers each with one on standard output.
//!
//! - `open N DOCUMENT VARIABLES`: N more subscribers; `#` in the variables becomes each one's number.
//! - `idle N`: N more sockets that send nothing after the handshake.
//! - `write FIRST SOCKETS RATE CHANGES`: so many changes, RATE a second, each of an order that one of SOCKETS subscribers
//!   waits for, the first of which has the number FIRST; prints how many events came, and the milliseconds from the sending of
//!   the mutation to the event: the median, the 99th percentile and the longest; and the changes made in a second.
//! - `broadcast SOCKETS ROUND`: one change, which all wait for; prints how many events came, the milliseconds to the answer of
//!   the mutation, and to the last event.
//! - `bare N BYTES`: microseconds of processor time that a bare `send` of a frame of so many bytes costs, on N sockets.

#![allow(clippy::unwrap_used)] // a measurement that cannot be made is a panic

mod wire;

use std::collections::VecDeque;
use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wire::{change, connect, message, millis, start, tag};

/// Which change each event is of, and when it came.
type Received = Arc<Mutex<VecDeque<(usize, Instant)>>>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token] = arguments.as_slice() else {
        panic!("usage: live_clients HOST:PORT TOKEN")
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
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
            ["idle", count] => {
                for _ in 0..count.parse().unwrap() {
                    let stream = runtime.block_on(connect(address)).unwrap();
                    runtime.spawn(keep(stream));
                }
                String::from("open")
            }
            ["write", first, sockets, rate, changes] => {
                let [first, sockets, rate, changes] =
                    [first, sockets, rate, changes].map(|word| word.parse().unwrap());
                received.lock().unwrap().clear();
                let began = Instant::now();
                let sent = runtime.block_on(write(address, token, first, sockets, rate, changes));
                let made = changes as f64 / began.elapsed().as_secs_f64();
                wait(&received, changes, Duration::from_secs(5));
                let mut times: Vec<f64> = (received.lock().unwrap().drain(..))
                    .map(|(tag, at)| millis(at.saturating_duration_since(sent[tag])))
                    .collect();
                times.sort_by(f64::total_cmp);
                let of = |part: f64| {
                    times
                        .get(((times.len() as f64 - 1.0) * part) as usize)
                        .copied()
                        .unwrap_or(0.0)
                };
                format!(
                    "{} {:.1} {:.1} {:.1} {made:.0}",
                    times.len(),
                    of(0.5),
                    of(0.99),
                    of(1.0)
                )
            }
            ["broadcast", sockets, round] => {
                received.lock().unwrap().clear();
                let (sockets, round): (usize, usize) =
                    (sockets.parse().unwrap(), round.parse().unwrap());
                let began = Instant::now();
                let answered = runtime.block_on(async {
                    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                    change(&mut stream, address, token, 1, round).await;
                    Instant::now()
                });
                wait(&received, sockets, Duration::from_secs(10));
                let events = received.lock().unwrap();
                let last = events.iter().map(|(_, at)| *at).max().unwrap_or(began);
                format!(
                    "{} {:.1} {:.1}",
                    events.len(),
                    millis(answered - began),
                    millis(last - began)
                )
            }
            ["bare", count, bytes] => format!(
                "{:.3}",
                bare(count.parse().unwrap(), bytes.parse().unwrap())
            ),
            other => panic!("unknown: {other:?}"),
        };
        println!("{answer}");
        std::io::stdout().flush().unwrap();
    }
}

fn wait(received: &Received, count: usize, patience: Duration) {
    let began = Instant::now();
    while received.lock().unwrap().len() < count && began.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Makes the changes over eight connections; when each was sent.
async fn write(
    address: &str,
    token: &str,
    first: usize,
    sockets: usize,
    rate: usize,
    changes: usize,
) -> Vec<Instant> {
    const WRITERS: usize = 8;
    let began = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let (address, token) = (address.to_owned(), token.to_owned());
        tokio::spawn(async move {
            let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
            let mut sent = Vec::new();
            for tag in (writer..changes).step_by(WRITERS) {
                let due = began + Duration::from_secs_f64(tag as f64 / rate as f64);
                tokio::time::sleep_until(due.into()).await;
                sent.push((tag, Instant::now()));
                // Spread over all of them.
                change(
                    &mut stream,
                    &address,
                    &token,
                    first + tag * 7_919 % sockets,
                    tag,
                )
                .await;
            }
            sent
        })
    });
    let mut sent = vec![began; changes];
    for writer in writers.collect::<Vec<_>>() {
        for (tag, at) in writer.await.unwrap() {
            sent[tag] = at;
        }
    }
    sent
}

async fn keep(mut stream: tokio::net::TcpStream) {
    while message(&mut stream).await.is_some() {}
}

/// Opens a socket, subscribes, and counts what comes.
async fn subscribe(
    address: &str,
    token: &str,
    document: &str,
    variables: &str,
    received: &Received,
) {
    let (mut stream, _) = start(address, token, document, variables, "{}")
        .await
        .unwrap();
    let received = Arc::clone(received);
    tokio::spawn(async move {
        while let Some(text) = message(&mut stream).await {
            assert!(
                !text.windows(8).any(|part| part == b"\"errors\""),
                "{}",
                String::from_utf8_lossy(&text)
            );
            if let Some(tag) = tag(&text) {
                received.lock().unwrap().push_back((tag, Instant::now()));
            }
        }
    });
}

/// What the kernel takes for a frame to each of many loopback sockets that somebody reads.
fn bare(sockets: usize, bytes: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut pairs: Vec<(TcpStream, TcpStream)> = (0..sockets)
        .map(|_| {
            (
                TcpStream::connect(address).unwrap(),
                listener.accept().unwrap().0,
            )
        })
        .collect();
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
    stat.split_whitespace()
        .next()
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1e9
}
