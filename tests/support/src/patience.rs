//! Waiting for what comes about without the test.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Beyond what a busy machine needs for anything: it is spent only where something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns as soon as it has come; a panic that names it if it never does.
pub async fn eventually(what: &str, mut come: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !come().await {
        assert!(Instant::now() < deadline, "never came: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
