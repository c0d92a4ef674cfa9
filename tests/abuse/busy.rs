//! What a busy machine alone does to the victim: the ceiling to which its times under attack compare.

use std::process::{Child, Command, Stdio};

use crate::attack::SECONDS;
use crate::measure::victim;
use crate::shop::Shop;

/// As many processes as the costliest attack keeps busy in PostgreSQL and its own client.
const PROCESSES: usize = 4;

/// A process that computes until it is dropped.
struct Busy(Child);

impl Busy {
    fn begin() -> Self {
        let mut shell = Command::new("sh");
        let shell = shell
            .args(["-c", "while :; do :; done"])
            .stdin(Stdio::null());
        Busy(shell.spawn().unwrap())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[actix_web::test]
async fn processes_that_only_compute_cost_the_victim_no_answer() {
    let shop = Shop::open(&[]).await;
    let well_behaved = shop.seller("victim").await;
    victim(&well_behaved, 1).await;
    let alone = victim(&well_behaved, SECONDS).await;
    let busy: Vec<Busy> = (0..PROCESSES).map(|_| Busy::begin()).collect();
    let beside = victim(&well_behaved, SECONDS).await;
    drop(busy);
    println!("alone: p50 {:.1?}, p99 {:.1?}", alone.p50, alone.p99);
    println!(
        "beside {PROCESSES} processes that only compute: p50 {:.1?}, p99 {:.1?}",
        beside.p50, beside.p99
    );
    assert_eq!((alone.failures, beside.failures), (0, 0));
}
