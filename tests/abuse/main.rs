//! What one hostile user can do to the others: each attack is a file, a bounded loop beside a client that behaves. The
//! victim's times alone and under attack and the memory of both processes are printed (`--nocapture`), and asserted with
//! room for a busy machine.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod answers;
mod attack;
#[path = "../auth/browser.rs"]
#[allow(dead_code)] // shared with the tests of logins, which use all of it
mod browser;
mod busy;
mod events;
mod filters;
mod logins;
mod measure;
#[path = "../operate/process.rs"]
#[allow(dead_code)] // shared with the tests for operators
mod process;
mod shop;
mod turns;
mod writes;

/// How `browser` names the server that it is in front of.
mod app {
    #[allow(dead_code)] // no other servers here
    pub struct TestApp {
        pub address: String,
    }
}
