//! What a bare `GET` costs the process that sends it: the least that a session read from Redis can cost. Prints how many were
//! answered, and the microseconds of processor time for each.
//!
//!     cargo run --release -p gom-actors --example redis_get -- redis://127.0.0.1:6379/2 KEY SECONDS AT_ONCE

#![allow(clippy::unwrap_used)] // a measurement that cannot be made is a panic

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, key, seconds, at_once] = arguments.as_slice() else {
        panic!("usage: redis_get URL KEY SECONDS AT_ONCE");
    };
    let (seconds, at_once): (u64, usize) = (seconds.parse().unwrap(), at_once.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let answered = Rc::new(Cell::new(0_u64));
    let before = processor_time();
    LocalSet::new().block_on(&runtime, async {
        let client = redis::Client::open(url.as_str()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        let end = Instant::now() + Duration::from_secs(seconds);
        let ask = |_| {
            let (mut connection, key, answered) =
                (connection.clone(), key.clone(), Rc::clone(&answered));
            tokio::task::spawn_local(async move {
                while Instant::now() < end {
                    let get = redis::cmd("GET").arg(&key).to_owned();
                    let value: Option<Vec<u8>> = get.query_async(&mut connection).await.unwrap();
                    assert!(value.is_some(), "the key is there");
                    answered.set(answered.get() + 1);
                }
            })
        };
        for task in (0..at_once).map(ask).collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    let each = (processor_time() - before) / answered.get() as f64;
    println!("{} {:.3}", answered.get(), each * 1e6);
}

/// Seconds of user and system time of this process.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name, which may hold anything, ends with the last parenthesis.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
