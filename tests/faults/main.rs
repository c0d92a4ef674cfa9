//! PostgreSQL goes away in every way that it can, under a load of reads and writes from several clients over HTTP. Whatever
//! happens: every answer comes by the deadline, none is wrong, every write is in the database as often as its answer reported, and
//! service resumes by itself within two seconds of PostgreSQL's return. `--nocapture` shows what was measured.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod client;
mod ledger;
mod load;
mod outages;
mod shortages;

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// The server's deadline for a request.
pub const DEADLINE: Duration = Duration::from_millis(1_000);
/// What a loaded test machine may add to an answer's time.
pub const GRACE: Duration = Duration::from_secs(3);
/// How soon after PostgreSQL's return everything must be answered again.
pub const RECOVERY: Duration = Duration::from_secs(2);

/// Each test keeps the machine busy: side by side they would measure each other.
pub async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
