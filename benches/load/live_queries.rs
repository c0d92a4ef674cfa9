//! Thousands of live queries in one process, for `benches/live`. Speaks graphql-transport-ws over plain sockets; obeys lines on
//! standard input and answers each with one on standard output.
//!
//! - `open N DOCUMENT VARIABLES`: N more live queries, each of which has had its first answer; `#` in the variables becomes
//!   each one's number.
//! - `one FIRST SOCKETS RATE CHANGES`: so many changes, RATE a second, each of an order that one of SOCKETS live queries shows, the
//!   first of which has the number FIRST.
//! - `all ORDER SOCKETS RATE CHANGES`: so many changes of one order, which all SOCKETS live queries show.
//!
//! Both wait until the last changes are shown, and print: how many answers came, how many live queries show what they must, and
//! the milliseconds from the sending of the mutation to the answer that shows it: the median, the 95th percentile, the longest. An
//! answer may show several changes: the last of them counts.

#![allow(clippy::unwrap_used)] // a measurement that cannot be made is a panic

mod wire;

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wire::{change, contains, message, millis, start, tag};

/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(20);
const WRITERS: usize = 8;

/// An answer: of which live query, the last change that it shows, and when it came.
type Shown = (usize, usize, Instant);

#[derive(Default)]
struct Answers {
    all: Mutex<Vec<Shown>>,
    /// The first answers among them are counted too.
    count: AtomicUsize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token] = arguments.as_slice() else {
        panic!("usage: live_queries HOST:PORT TOKEN")
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let answers = Arc::new(Answers::default());
    // The orders' numbers begin with 1.
    let mut number = 1;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split('\t').collect();
        let said = match words.as_slice() {
            ["open", count, document, variables] => {
                let (count, began): (usize, _) = (count.parse().unwrap(), Instant::now());
                for _ in 0..count {
                    let variables = variables.replace('#', &format!("{number:06}"));
                    runtime.block_on(open(address, token, document, &variables, number, &answers));
                    number += 1;
                }
                let all = wait(|| answers.count.load(Ordering::Relaxed) >= number - 1);
                assert!(all, "a live query has no first answer");
                format!("{} ms", began.elapsed().as_millis())
            }
            [which @ ("one" | "all"), first, sockets, rate, changes] => {
                let [first, sockets, rate, changes] =
                    [first, sockets, rate, changes].map(|word| word.parse().unwrap());
                let spread = if *which == "one" { sockets } else { 1 };
                let of = |tag: usize| first + tag * 7_919 % spread;
                answers.all.lock().unwrap().clear();
                let writers = if *which == "one" { WRITERS } else { 1 };
                let sent = runtime.block_on(write(address, token, writers, rate, changes, of));
                // By order, its last change; an order is shown by the live query of its number, or by all.
                let last: HashMap<usize, usize> = (0..changes).map(|tag| (of(tag), tag)).collect();
                let expected = if *which == "one" { last.len() } else { sockets };
                let up_to_date = || {
                    let all = answers.all.lock().unwrap();
                    let shows = |(_, tag, _): &&Shown| last[&of(*tag)] == *tag;
                    all.iter().filter(shows).count()
                };
                wait(|| up_to_date() >= expected);
                let current = up_to_date();
                report(&answers, current, &sent)
            }
            other => panic!("unknown: {other:?}"),
        };
        println!("{said}");
        std::io::stdout().flush().unwrap();
    }
}

fn report(answers: &Answers, current: usize, sent: &[Instant]) -> String {
    let all = std::mem::take(&mut *answers.all.lock().unwrap());
    let mut times: Vec<f64> = (all.iter())
        .map(|(_, tag, at)| millis(at.saturating_duration_since(sent[*tag])))
        .collect();
    times.sort_by(f64::total_cmp);
    let of = |part: f64| {
        let place = ((times.len() as f64 - 1.0) * part) as usize;
        times.get(place).copied().unwrap_or(0.0)
    };
    format!(
        "{} {current} {:.1} {:.1} {:.1}",
        times.len(),
        of(0.5),
        of(0.95),
        of(1.0)
    )
}

/// Whether it has come in time.
fn wait(come: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !come() {
        if began.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Makes the changes; when each was sent.
async fn write(
    address: &str,
    token: &str,
    writers: usize,
    rate: usize,
    changes: usize,
    of: impl Fn(usize) -> usize,
) -> Vec<Instant> {
    let began = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (address, token) = (address.to_owned(), token.to_owned());
            let own: Vec<(usize, usize)> = (writer..changes)
                .step_by(writers)
                .map(|tag| (tag, of(tag)))
                .collect();
            tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
                let mut sent = Vec::new();
                for (tag, order) in own {
                    let due = began + Duration::from_secs_f64(tag as f64 / rate as f64);
                    tokio::time::sleep_until(due.into()).await;
                    sent.push((tag, Instant::now()));
                    change(&mut stream, &address, &token, order, tag).await;
                }
                sent
            })
        })
        .collect();
    let mut sent = vec![began; changes];
    for task in tasks {
        for (tag, at) in task.await.unwrap() {
            sent[tag] = at;
        }
    }
    sent
}

/// Opens a socket with a live query, and keeps what it shows.
async fn open(
    address: &str,
    token: &str,
    document: &str,
    variables: &str,
    number: usize,
    answers: &Arc<Answers>,
) {
    let started = start(address, token, document, variables, "{}").await;
    let (mut stream, _) = started.unwrap();
    let answers = Arc::clone(answers);
    tokio::spawn(async move {
        let mut first = true;
        while let Some(text) = message(&mut stream).await {
            let failed = contains(&text, "\"errors\"") || contains(&text, "\"type\":\"error\"");
            assert!(!failed, "{}", String::from_utf8_lossy(&text));
            if !contains(&text, "\"type\":\"next\"") {
                continue;
            }
            let at = Instant::now();
            if !std::mem::take(&mut first)
                && let Some(tag) = tag(&text)
            {
                answers.all.lock().unwrap().push((number, tag, at));
            }
            answers.count.fetch_add(1, Ordering::Relaxed);
        }
    });
}
