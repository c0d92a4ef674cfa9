//! Thousands of subscribers that all lose their server at once, for `benches/live`. Each keeps the cursor of its last event and goes
//! on after it; none tries before all may, so that they come at the same moment. Obeys lines on standard input and answers each
//! with one on standard output.
//!
//! - `open N GROUPS DOCUMENT VARIABLES`: N subscribers; `#` in the variables becomes the number of one of GROUPS groups.
//! - `lost`: waits until all have lost their connection.
//! - `back EVENTS`: lets all connect again, and waits until each has received so many events; prints how many have, how many
//!   events came to all of them, how often one had to connect once more, how many have to read again (`RESYNC_REQUIRED`),
//!   and the milliseconds until a subscriber had its last event: the median, the 99th percentile, the longest.
//! - `ask RATE`: begins to ask a plain query RATE times a second over one connection.
//! - `asked`: ends that; prints how many were answered, how many failed, and the milliseconds: the median, the 99th percentile, the
//!   longest. A query that was due earlier than it could be sent counts from when it was due.

#![allow(clippy::unwrap_used)] // a measurement that cannot be made is a panic

mod wire;

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use wire::{CLOSE, ask, contains, millis, received, start};

/// How long the herd may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Until one that was refused tries again.
const PAUSE: Duration = Duration::from_millis(200);

struct Herd {
    address: String,
    token: String,
    /// Whether they may connect, and since when.
    gate: watch::Sender<Option<Instant>>,
    connected: AtomicUsize,
    events: AtomicUsize,
    retries: AtomicUsize,
    resyncs: AtomicUsize,
    /// How many events each has to receive after the gate was opened.
    expected: AtomicUsize,
    /// When each had them.
    current: Mutex<Vec<Instant>>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token] = arguments.as_slice() else {
        panic!("usage: herd HOST:PORT TOKEN")
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let herd = Arc::new(Herd {
        address: address.clone(),
        token: token.clone(),
        gate: watch::Sender::new(None),
        connected: AtomicUsize::new(0),
        events: AtomicUsize::new(0),
        retries: AtomicUsize::new(0),
        resyncs: AtomicUsize::new(0),
        expected: AtomicUsize::new(0),
        current: Mutex::default(),
    });
    let (mut total, mut asking) = (0, None);
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split('\t').collect();
        let said = match words.as_slice() {
            ["open", count, groups, document, variables] => {
                let (count, groups): (usize, usize) =
                    (count.parse().unwrap(), groups.parse().unwrap());
                herd.gate.send_replace(Some(Instant::now()));
                let operations = (0..count).map(|number| {
                    let variables = variables.replace('#', &format!("{:04}", number % groups + 1));
                    ((*document).to_owned(), variables)
                });
                runtime.block_on(open(&herd, operations));
                total += count;
                herd.gate.send_replace(None);
                "open".to_owned()
            }
            ["lost"] => {
                wait(|| herd.connected.load(Ordering::Relaxed) == 0);
                "lost".to_owned()
            }
            ["back", last] => back(&herd, total, last.parse().unwrap()),
            ["ask", rate] => {
                asking = Some(begin(&runtime, &herd, rate.parse().unwrap()));
                "asks".to_owned()
            }
            ["asked"] => {
                let (over, results) = asking.take().expect("it asks");
                over.store(true, Ordering::Relaxed);
                let (times, failed) = results.blocking_recv().unwrap();
                format!("{} {failed} {}", times.len(), summary(times))
            }
            other => panic!("unknown: {other:?}"),
        };
        println!("{said}");
        std::io::stdout().flush().unwrap();
    }
}

fn wait(come: impl Fn() -> bool) {
    let began = Instant::now();
    while !come() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn summary(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let of = |part: f64| {
        let place = ((times.len() as f64 - 1.0) * part) as usize;
        times.get(place).copied().unwrap_or(0.0)
    };
    format!("{:.1} {:.1} {:.1}", of(0.5), of(0.99), of(1.0))
}

fn back(herd: &Herd, total: usize, events: usize) -> String {
    herd.current.lock().unwrap().clear();
    herd.expected.store(events, Ordering::Relaxed);
    herd.events.store(0, Ordering::Relaxed);
    let began = Instant::now();
    herd.gate.send_replace(Some(began));
    wait(|| herd.current.lock().unwrap().len() >= total);
    // What comes twice comes now.
    std::thread::sleep(Duration::from_secs(1));
    let current = herd.current.lock().unwrap();
    let times: Vec<f64> = current.iter().map(|at| millis(*at - began)).collect();
    format!(
        "{} {} {} {} {}",
        times.len(),
        herd.events.load(Ordering::Relaxed),
        herd.retries.load(Ordering::Relaxed),
        herd.resyncs.load(Ordering::Relaxed),
        summary(times)
    )
}

/// Opens them one after the other.
async fn open(herd: &Arc<Herd>, operations: impl Iterator<Item = (String, String)>) {
    for (document, variables) in operations {
        let (herd, (opened, is_open)) = (Arc::clone(herd), oneshot::channel());
        tokio::spawn(async move {
            let (mut cursor, mut opened) = (None, Some(opened));
            let mut gate = herd.gate.subscribe();
            let (mut since, mut count) = (None, 0);
            loop {
                let open = *gate.wait_for(Option::is_some).await.unwrap();
                if open != since {
                    (since, count) = (open, 0);
                }
                let state = (&mut cursor, &mut count);
                follow(&herd, &document, &variables, state, &mut opened).await;
                if gate.borrow().is_some() {
                    herd.retries.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        is_open.await.expect("a subscriber that begins");
    }
}

/// One connection of a subscriber, from its cursor until it ends.
async fn follow(
    herd: &Herd,
    document: &str,
    variables: &str,
    (cursor, count): (&mut Option<String>, &mut usize),
    opened: &mut Option<oneshot::Sender<()>>,
) {
    let extensions = cursor
        .as_ref()
        .map_or_else(|| "{}".to_owned(), |at| format!(r#"{{"cursor":"{at}"}}"#));
    let (address, token) = (&herd.address, &herd.token);
    let Ok((mut stream, ack)) = start(address, token, document, variables, &extensions).await
    else {
        return;
    };
    if cursor.is_none() {
        *cursor = cursor_of(&ack);
        assert!(cursor.is_some(), "{}", String::from_utf8_lossy(&ack));
    }
    herd.connected.fetch_add(1, Ordering::Relaxed);
    opened.take().map(|opened| opened.send(()));
    while let Ok((kind, text)) = received(&mut stream).await {
        if kind == CLOSE || contains(&text, "\"type\":\"error\"") {
            if contains(&text, "RESYNC_REQUIRED") {
                herd.resyncs.fetch_add(1, Ordering::Relaxed);
                *cursor = None;
            }
            break;
        }
        if contains(&text, "\"type\":\"next\"") {
            herd.events.fetch_add(1, Ordering::Relaxed);
            *count += 1;
            if *count == herd.expected.load(Ordering::Relaxed) {
                herd.current.lock().unwrap().push(Instant::now());
            }
            *cursor = cursor_of(&text);
        }
    }
    herd.connected.fetch_sub(1, Ordering::Relaxed);
}

/// The last cursor in a message.
fn cursor_of(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.rsplit_once("\"cursor\":\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

type Asked = (Vec<f64>, usize);

fn begin(
    runtime: &Runtime,
    herd: &Arc<Herd>,
    rate: usize,
) -> (Arc<AtomicBool>, oneshot::Receiver<Asked>) {
    let over = Arc::new(AtomicBool::new(false));
    let (done, results) = oneshot::channel();
    let (herd, ends) = (Arc::clone(herd), Arc::clone(&over));
    runtime.spawn(async move {
        let (mut times, mut failed, mut stream) = (Vec::new(), 0, None);
        let began = Instant::now();
        for turn in 0.. {
            if ends.load(Ordering::Relaxed) {
                break;
            }
            let due = began + Duration::from_secs_f64(turn as f64 / rate as f64);
            tokio::time::sleep_until(due.into()).await;
            let order = turn * 7_919 % 1_000 + 1;
            let body = format!(
                r#"{{"query":"{{ order(where: {{ uid: \"cscaleo{order:018}\" }}) {{ uid stage }} }}"}}"#
            );
            if stream.is_none() {
                stream = TcpStream::connect(&herd.address).await.ok();
            }
            let answer = match &mut stream {
                Some(stream) => ask(stream, &herd.address, &herd.token, &body).await.ok(),
                None => None,
            };
            match answer {
                Some(answer) if answer.starts_with(b"HTTP/1.1 200") => {
                    times.push(millis(due.elapsed()));
                }
                _ => {
                    failed += 1;
                    stream = None;
                }
            }
        }
        let _ = done.send((times, failed));
    });
    (over, results)
}
