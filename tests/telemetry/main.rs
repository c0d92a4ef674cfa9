//! What a server shows of itself: metrics and log lines, of the program as it is started.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod app;
#[path = "../auth/browser.rs"]
#[allow(dead_code)] // more than these tests need
mod browser;
mod logs;
mod metrics;
mod scrape;
mod traces;
