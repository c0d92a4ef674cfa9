//! Servers whose wall clocks are wrong, each by something else: `clock.c`, preloaded into them. PostgreSQL's stays right.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::nodes::NODES;

/// By how many seconds each node's clock is ahead.
pub const SHIFTS: [i64; NODES] = [3, -47, 310];

/// The node whose clock is ahead of all others.
pub fn fastest() -> usize {
    (0..NODES).max_by_key(|node| SHIFTS[*node]).unwrap()
}

/// The library to preload.
pub struct Shifted(PathBuf);

impl Shifted {
    /// Compiles it, with the compiler that also links the tests.
    pub fn compile() -> Shifted {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/loss/clock.c");
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("clock-{}.so", std::process::id()));
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .output();
        let compiled = compiled.expect("cc is there, as it links the tests");
        assert!(
            compiled.status.success(),
            "{}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        Shifted(library)
    }

    pub fn apply(&self, command: &mut Command, node: usize) {
        command
            .env("LD_PRELOAD", &self.0)
            .env("CLOCK_SHIFT", SHIFTS[node].to_string());
    }
}

impl Drop for Shifted {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The node's clock is wrong by what it should be: its answers bear its time.
pub fn check(node: usize, began: SystemTime, date: &str) {
    // The header has whole seconds, and is made twice a second.
    const TOLERANCE: Duration = Duration::from_secs(3);
    let shown = SystemTime::from(chrono::DateTime::parse_from_rfc2822(date).unwrap());
    let shift = Duration::from_secs(SHIFTS[node].unsigned_abs());
    let shifted = |time: SystemTime| {
        if SHIFTS[node] < 0 {
            time - shift
        } else {
            time + shift
        }
    };
    let possible = shifted(began) - TOLERANCE..=shifted(SystemTime::now()) + TOLERANCE;
    assert!(
        possible.contains(&shown),
        "node {node} shows {date}, {possible:?}"
    );
}
