//! A client that behaves, and what is measured: its times, and the memory of the server and of PostgreSQL.

use std::time::{Duration, Instant};

use gom_test_support::TestDatabase;
use serde_json::json;

use gom_test_support::browser::Browser;

/// Between two of the victim's requests.
const PACE: Duration = Duration::from_millis(50);
/// What a busy machine may add to the victim's times.
pub const SLACK: Duration = Duration::from_millis(500);

const QUERY: &str = "query($first: Int) { ordersConnection(first: $first, orderBy: createdAt_DESC) { edges { node { uid name stage \
                     issuedTo { uid name1 } } } } }";

/// The victim's answers of some seconds.
#[derive(Debug)]
pub struct Times {
    pub p50: Duration,
    pub p99: Duration,
    pub failures: usize,
    pub count: usize,
}

/// Asks for a page of its orders, twenty times a second, whatever becomes of the answers.
pub async fn victim(browser: &Browser, seconds: u64) -> Times {
    let mut asked = Vec::new();
    let mut pace = tokio::time::interval(PACE);
    for _ in 0..seconds * 1_000 / PACE.as_millis() as u64 {
        pace.tick().await;
        let mut browser = browser.clone();
        asked.push(actix_web::rt::spawn(async move {
            let began = Instant::now();
            let reply = browser.graphql(QUERY, json!({ "first": 15 })).await;
            let edges = reply.body["data"]["ordersConnection"]["edges"]
                .as_array()
                .map_or(0, Vec::len);
            let good = reply.status == 200 && edges == 15;
            if !good {
                println!("the victim got {}: {}", reply.status, reply.body);
            }
            (began.elapsed(), good)
        }));
    }
    let mut times = Vec::new();
    let mut failures = 0;
    for answer in asked {
        let (time, good) = answer.await.unwrap();
        times.push(time);
        failures += usize::from(!good);
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    Times {
        p50: at(50),
        p99: at(99),
        failures,
        count: times.len(),
    }
}

/// The victim is served as it is alone, but for what a busy machine explains.
pub fn assert_served(attack: &str, alone: &Times, attacked: &Times) {
    for (when, times) in [("alone", alone), ("under attack", attacked)] {
        let Times {
            p50,
            p99,
            failures,
            count,
        } = times;
        println!(
            "{attack}: the victim {when}: p50 {p50:.1?}, p99 {p99:.1?}, {failures} of {count} failed"
        );
    }
    assert_eq!(
        (alone.failures, attacked.failures),
        (0, 0),
        "{attack}: every request of the victim's is answered"
    );
    assert!(
        attacked.p99 <= alone.p99 * 3 + SLACK,
        "{attack}: the victim waits"
    );
}

/// Bytes that are the processes' own.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident, of the server.
    pub server: u64,
    /// Private, of all of PostgreSQL's processes for the database.
    pub backends: u64,
    /// Private, of the largest of them.
    pub largest: u64,
}

pub async fn memory(server: u32, database: &TestDatabase) -> Memory {
    let pids = "select pid from pg_stat_activity where datname = current_database()";
    let client = database.connect().await;
    let rows = client.query(pids, &[]).await.unwrap();
    // One may have ended by now.
    let sizes: Vec<u64> = rows
        .iter()
        .map(|row| sum_of(row.get::<_, i32>(0) as u32, "Private_"))
        .collect();
    Memory {
        server: sum_of(server, "Rss:"),
        backends: sizes.iter().sum(),
        largest: sizes.into_iter().max().unwrap_or(0),
    }
}

/// The most until `is_over`.
pub async fn peak(server: u32, database: &TestDatabase, is_over: impl Fn() -> bool) -> Memory {
    let mut peak = memory(server, database).await;
    while !is_over() {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = memory(server, database).await;
        peak = Memory {
            server: peak.server.max(now.server),
            backends: peak.backends.max(now.backends),
            largest: peak.largest.max(now.largest),
        };
    }
    peak
}

fn sum_of(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum::<u64>()
        * 1_024
}

/// Neither process has grown out of proportion.
pub fn assert_bounded(attack: &str, before: Memory, peak: Memory, server: u64, largest: u64) {
    const MIB: u64 = 1_048_576;
    println!(
        "{attack}: server {} -> {} MiB, PostgreSQL {} -> {} MiB, its largest process {} -> {} MiB",
        before.server / MIB,
        peak.server / MIB,
        before.backends / MIB,
        peak.backends / MIB,
        before.largest / MIB,
        peak.largest / MIB
    );
    assert!(
        before.server > 0 && before.largest > 0,
        "{attack}: memory can be read"
    );
    assert!(
        peak.server < before.server + server * MIB,
        "{attack}: the server grows"
    );
    assert!(
        peak.largest < before.largest + largest * MIB,
        "{attack}: PostgreSQL grows"
    );
}
