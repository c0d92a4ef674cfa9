//! What a server shows of itself: metrics and log lines, of the program as it is started.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod app;
mod logs;
mod metrics;
mod scrape;
mod traces;
